"""What jobs, their attempts and the children of arrays printed: read on a running engine, live and afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually
from tests.e2e.test_cli import usched

pytestmark = pytest.mark.e2e


def job(name: str, script: str, **more: Any) -> dict[str, Any]:
    command = {"command": ["sh", "-c", script]}
    return {"jobName": name, "jobQueue": "default", "jobDefinition": "shell", "containerOverrides": command, **more}


@pytest.fixture
def scheduled(stage: Stage, tmp_path: Path) -> Any:
    """Store these jobs as a schedule; its id."""

    def store(*jobs: dict[str, Any]) -> str:
        schedule_id = f"logs-{uuid.uuid4().hex[:8]}"
        file = tmp_path / f"{schedule_id}.json"
        document = {"scheduleId": schedule_id, "wait_time": 1, "trigger": {"manual": True}, "jobList": list(jobs)}
        file.write_text(json.dumps(document))
        assert usched("apply", str(file), "--port", str(stage.engine.port)).returncode == 0
        return schedule_id

    return store


def test_children_and_retries_are_read_one_by_one(stage: Stage, scheduled: Any) -> None:
    port = str(stage.engine.port)
    schedule_id = scheduled(
        job("kids", "echo child $AWS_BATCH_JOB_ARRAY_INDEX", arrayProperties={"size": 2}),
        job(
            "third",
            "echo why attempt $AWS_BATCH_JOB_ATTEMPT failed; [ $AWS_BATCH_JOB_ATTEMPT = 3 ]",
            retryStrategy={"attempts": 3},
        ),
        job("silent", "true"),
    )
    run = json.loads(usched("run", schedule_id, "--wait", "--json", "--port", port).stdout)
    assert run["status"] == "SUCCEEDED"
    jobs = {each["jobName"]: each for each in run["jobs"]}
    assert (jobs["third"]["attempts"], jobs["kids"]["attempts"]) == (3, 1)
    assert jobs["kids"]["startedAt"] <= jobs["kids"]["stoppedAt"]
    listed = json.loads(usched("logs", schedule_id, "kids", "--json", "--port", port).stdout)
    assert [child["lastLine"] for child in listed["children"]] == ["child 0", "child 1"]
    assert usched("logs", schedule_id, "kids:1", "--port", port).stdout == "child 1\n"
    for attempt in (1, 2, 3):
        read = usched("logs", schedule_id, "third", "--attempt", str(attempt), "--port", port)
        assert read.stdout == f"why attempt {attempt} failed\n"
    shown = json.loads(usched("show", schedule_id, "--job", "third", "--json", "--port", port).stdout)
    assert [each["exitCode"] for each in shown["attemptDetails"]] == [1, 1, 0]
    [listed] = [
        each
        for each in json.loads(usched("jobs", "--name", "third", "--json", "--port", port).stdout)["jobs"]
        if each.get("scheduleId") == schedule_id
    ]
    assert listed["attempts"] == 3, "jobs and show say the same"
    silent = json.loads(usched("logs", schedule_id, "silent", "--json", "--port", port).stdout)
    assert silent["events"] == []
    group, stream = silent["logGroupName"], silent["logStreamName"]
    found = stage.client("logs").describe_log_streams(logGroupName=group, logStreamNamePrefix=stream)
    assert [each["logStreamName"] for each in found["logStreams"]] == [stream], "made though nothing was printed"


def test_the_attempt_before_a_restart_stays_and_the_failure_tells_how_to_go_on(
    stage: Stage, scheduled: Any, tmp_path: Path
) -> None:
    port, mended = str(stage.engine.port), tmp_path / "mended"
    schedule_id = scheduled(
        job("a", f"echo try; test -e {mended} && echo good && exit 0; echo 'no such table'; exit 4")
    )
    failed = usched("run", schedule_id, "--wait", "--port", port)
    [run] = json.loads(usched("runs", schedule_id, "--json", "--port", port).stdout)["runs"]
    start = run["startDateTime"]
    assert failed.returncode == 1
    assert "a printed last:\n  try\n  no such table\n" in failed.stdout
    assert failed.stdout.endswith(f"usched --port {port} restart {schedule_id} {start}\n")
    mended.touch()
    assert usched("restart", schedule_id, start, "--wait", "--port", port).returncode == 0
    assert usched("logs", schedule_id, "a", "--port", port).stdout == "try\ngood\n"
    before = usched("logs", schedule_id, "a", "--attempt", "1", "--port", port)
    assert before.stdout == "try\nno such table\n"
    shown = json.loads(usched("show", schedule_id, "--job", "a", "--json", "--port", port).stdout)
    assert [(it["attempt"], it["exitCode"]) for it in shown["attemptDetails"]] == [(1, 4), (2, 0)]
    [newest, first] = json.loads(usched("jobs", "--name", "a", "--since", "1h", "--json", "--port", port).stdout)[
        "jobs"
    ][:2]
    assert (newest["attempts"], first["attempts"]) == (2, 1), "a later Batch job goes on counting"


def test_following_ends_with_the_job(stage: Stage, scheduled: Any, tmp_path: Path) -> None:
    port, go_on = str(stage.engine.port), tmp_path / "go"
    schedule_id = scheduled(job("slow", f"echo first; while ! test -e {go_on}; do sleep 0.05; done; echo last"))
    usched("run", schedule_id, "--port", port)
    eventually(lambda: json.loads(usched("runs", schedule_id, "--json", "--port", port).stdout)["runs"])
    command = [sys.executable, "-u", "-m", "universal_scheduler.cli", "logs", schedule_id, "slow", "-f", "--port", port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "first\n", "while it runs"
        go_on.touch()
        assert follower.stdout.readline() == "last\n"
        assert follower.wait(60) == 0
