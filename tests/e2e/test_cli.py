"""The `usched` command as processes against a running engine, engines that it starts and stops, and `make run`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stage

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


def usched(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "universal_scheduler.cli", *words]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=120, check=False)


def written(path: Path, command: str, **more: Any) -> tuple[str, str]:
    """A file with a schedule of two jobs, the first of which runs this command; the file and the scheduleId."""
    schedule_id = f"cli-{uuid.uuid4().hex[:8]}"
    jobs = [
        {"jobName": name, "jobDefinition": "shell", "jobQueue": "default", "containerOverrides": {"command": words}}
        for name, words in (("first", ["sh", "-c", command]), ("second", ["echo", "done"]))
    ]
    jobs[1]["jobDependencies"] = ["first"]
    schedule = {"scheduleId": schedule_id, "wait_time": 1, "trigger": {"manual": True}, "jobList": jobs, **more}
    file = path / f"{schedule_id}.json"
    file.write_text(json.dumps(schedule))
    return str(file), schedule_id


def test_a_schedule_from_its_file_to_its_logs(stage: Stage, tmp_path: Path) -> None:
    file, schedule_id = written(tmp_path, "for i in $(seq 25); do echo line $i of $USCHED_JOB_NAME; done")
    port = str(stage.engine.port)
    assert usched("apply", file, "--port", port).returncode == 0
    waited = usched("run", schedule_id, "--wait", "--port", port)
    assert waited.returncode == 0, waited.stderr
    assert f"{schedule_id} second SUCCEEDED exit code 0" in waited.stdout
    run = json.loads(usched("show", schedule_id, "--json", "--port", port).stdout)
    assert (run["status"], run["cause"]["kind"]) == ("SUCCEEDED", "cli")
    listed = json.loads(usched("runs", schedule_id, "--json", "--port", port).stdout)["runs"]
    assert [entry["startDateTime"] for entry in listed] == [run["startDateTime"]]
    lines = usched("logs", schedule_id, "first", "--port", port).stdout.splitlines()
    assert lines == [f"line {number} of first" for number in range(1, 26)]


def test_a_failed_run_is_restarted_where_it_failed(stage: Stage, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    file, schedule_id = written(tmp_path, f"test -e {mended} || exit 7")
    port = str(stage.engine.port)
    usched("apply", file, "--port", port)
    failed = usched("run", schedule_id, "--wait", "--json", "--port", port)
    assert failed.returncode == 1
    run = json.loads(failed.stdout)
    assert "first FAILED with exit code 7" in run["reason"]
    mended.touch()
    again = usched("run", schedule_id, "--restart", run["startDateTime"], "--wait", "--json", "--port", port)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["generation"] == 2


def test_names_are_looked_up_on_the_engine(stage: Stage, tmp_path: Path) -> None:
    port = str(stage.engine.port)
    jobs = [{"jobName": "a", "jobDefinition": "shell", "jobQueue": "hihg"}]
    bad, _ = written(tmp_path, "true", jobList=jobs)
    refused = usched("apply", bad, "--json", "--port", port)
    assert refused.returncode == 1
    [error] = json.loads(refused.stdout)["errors"]
    assert error["found"] == "the queue 'hihg' (did you mean 'high'?), which Batch does not have"
    full = {"jobDefinition": stage.engine.job_definitions["shell"], "jobQueue": stage.engine.queues["high"]}
    later = {"jobDefinition": "nowhere:3", "jobQueue": "arn:aws:batch:us-east-1:123456789012:job-queue/nowhere"}
    file, schedule_id = written(tmp_path, "true", jobList=[{"jobName": "a", **full}, {"jobName": "b", **later}])
    taken = usched("apply", file, "--json", "--port", port)
    assert taken.returncode == 0, taken.stderr
    answer = json.loads(taken.stdout)
    assert [each["scheduleId"] for each in answer["stored"]] == [schedule_id]
    assert [each["path"] for each in answer["warnings"]] == ["$.jobList[1].jobQueue", "$.jobList[1].jobDefinition"]


def test_the_route_and_the_command_say_the_same_of_the_next_starts(stage: Stage, tmp_path: Path) -> None:
    port = str(stage.engine.port)
    trigger = {"cron": "0 6 * * 1-5", "timezone": "America/New_York", "calendar": {"holidays": "US"}}
    file, schedule_id = written(tmp_path, "true", trigger=trigger)
    assert usched("apply", file, "--port", port).returncode == 0
    shown = usched("next", schedule_id, "--from", "2026-07-01", "--to", "2026-07-06", "--json", "--port", port)
    status, answer = stage.call("GET", f"/schedules/{schedule_id}/next?from=2026-07-01&to=2026-07-06")
    assert (status, json.loads(shown.stdout)) == (200, answer)
    assert [start["at"][:10] for start in answer["starts"]] == ["2026-07-01", "2026-07-02", "2026-07-06"]
    assert answer["leftOut"][0]["reason"] == "Independence Day (observed), US"
    assert json.loads(usched("next", file, "--from", "2026-07-01", "--to", "2026-07-06", "--json").stdout) == answer
    assert stage.call("GET", f"/schedules/{schedule_id}/next?n=none")[0] == 400
    assert stage.call("GET", "/schedules/nobody/next")[0] == 404


def test_a_line_of_a_crontab_runs_as_it_did(stage: Stage, tmp_path: Path) -> None:
    port, word = str(stage.engine.port), uuid.uuid4().hex[:8]
    crontab = tmp_path / "crontab"
    crontab.write_text(f"WORD={word}\n0 4 1 1 * cat; echo $WORD 100\\%%one%two\n")
    made = usched("import", "crontab", str(crontab), "--out", str(tmp_path / "made"), "--json")
    assert made.returncode == 0, made.stderr
    [schedule] = [entry["schedule"] for entry in json.loads(made.stdout)["schedules"]]
    assert usched("apply", str(tmp_path / "made"), "--port", port).returncode == 0
    assert usched("run", schedule["scheduleId"], "--wait", "--port", port).returncode == 0
    printed = usched("logs", schedule["scheduleId"], "cat", "--port", port).stdout
    assert printed.splitlines() == ["one", "two", f"{word} 100%"]


def test_the_sdks_own_configuration_leads_to_the_stack(stage: Stage, tmp_path: Path) -> None:
    file, schedule_id = written(tmp_path, "true")
    configured = {
        "AWS_ENDPOINT_URL": stage.engine.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    assert usched("apply", file, **configured).returncode == 0
    assert stage.row(schedule_id)["scheduleId"] == schedule_id
    absent = usched("runs", "--stack", "nowhere", **configured)
    assert absent.returncode == 2
    assert "There is no stack 'nowhere'" in absent.stderr


def test_an_engine_is_started_described_and_stopped(tmp_path: Path) -> None:
    env = {"USCHED_STATE_DIR": str(tmp_path)}
    started = usched("local", "start", "--port", "0", "--json", **env)
    assert started.returncode == 0, started.stderr
    engine = json.loads(started.stdout)
    try:
        keys = {"endpoint", "api", "stateMachineArn", "tables", "queues", "jobDefinitions", "pid"}
        assert keys <= engine.keys()
        assert engine["api"].endswith("/api/v1")
        assert json.loads(usched("local", "status", "--json", **env).stdout) == engine
        assert json.loads(usched("--local", "runs", "--json", **env).stdout) == {"runs": []}
    finally:
        stopped = usched("local", "stop", "--json", **env)
    assert json.loads(stopped.stdout) == {"stopped": [engine["stateDir"]]}
    assert usched("local", "status", **env).returncode == 2
    assert json.loads(usched("local", "stop", "--json", **env).stdout) == {"stopped": []}


def test_make_run_goes_from_two_documents_to_the_report() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "universal_scheduler.cli.demo"], capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "LoadRedshift SUCCEEDED exit code 0" in done.stdout
    assert "WriteReport SUCCEEDED exit code 0" in done.stdout
    assert "curl -sS -X POST http://127.0.0.1:" in done.stdout
    end = done.stdout.split("When each schedule starts next, and why")[1]
    assert re.search(r"\d\d:00:00 E[DS]T  20\d\d-\d\d-\d\dT1[01]:00:00Z", end)
    assert "daily-edw-report: a run of daily-edw-load that succeeds" in end
    [report] = [line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line.startswith("report ")]
    assert Path(report).read_text().startswith("# Daily sales")
