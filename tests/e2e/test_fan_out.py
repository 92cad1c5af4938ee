"""Arrays, lists of values, parameters and outputs end to end: real children, a real bucket."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually
from tests.e2e.test_main_job import job, schedule

pytestmark = pytest.mark.e2e


def started(stage: Stage, row: dict[str, Any], **message: Any) -> Any:
    """The run, ended, of a row that somebody starts."""
    stage.put({**row, "trigger": {"manual": True}})
    status, answer = stage.call("POST", "/executions", {"scheduleId": row["scheduleId"], **message})
    assert status == 202, answer
    return stage.ended(row["scheduleId"])


def restarted(stage: Stage, run: Any, **message: Any) -> Any:
    key = {"scheduleId": run["scheduleId"], "startDateTime": run["startDateTime"], "scheduleStatus": "RESTART"}
    name = f"restart-{uuid.uuid4().hex[:8]}"
    status, answer = stage.call("POST", "/executions", {"input": json.dumps({**key, **message}), "name": name})
    assert status == 202, answer
    generation = run["generation"] + 1
    return eventually(
        lambda: next(
            (r for r in stage.runs(run["scheduleId"]) if r["generation"] == generation and "lastDateTime" in r), None
        )
    )


def test_the_failed_child_of_an_array_is_restarted_alone(stage: Stage, tmp_path: Path) -> None:
    log = tmp_path / "log"
    say = f'echo "$USCHED_INDEX/$AWS_BATCH_JOB_ARRAY_INDEX/$AWS_BATCH_JOB_ARRAY_SIZE $USCHED_VALUE" >> {log}'
    work = f'{say}; [ "$USCHED_VALUE" != c ] || [ -e {tmp_path}/mended ] || exit 3'
    run = started(stage, schedule(job("load", command=work, forEach=["a", "b", "c", "d", "e e"])))
    assert run["scheduleStatus"] == "FAILED"
    assert sorted(log.read_text().splitlines()) == ["0/0/5 a", "1/1/5 b", "2/2/5 c", "3/3/5 d", "4/4/5 e e"]
    failed = stage.jobs(run)["load"]
    assert failed["childCounts"] == {"SUCCEEDED": 4, "FAILED": 1}
    command = [sys.executable, "-m", "universal_scheduler.cli", "show", run["scheduleId"], "--json"]
    shown = subprocess.run([*command, "--port", str(stage.engine.port)], capture_output=True, timeout=120, check=True)
    [view] = json.loads(shown.stdout)["jobs"]
    assert [(child["index"], child["exitCode"]) for child in view["failedChildren"]] == [(2, 3)]

    (tmp_path / "mended").touch()
    log.unlink()
    again = restarted(stage, run)
    assert again["scheduleStatus"] == "SUCCEEDED"
    assert log.read_text().splitlines() == ["2/2/5 c"]
    _, seen = stage.call("GET", f"/executions/{again['executionName']}")
    assert (seen["jobs"][0]["attempts"], seen["jobs"][0]["childrenOfAttempt"]) == (2, "2")


def test_a_failed_child_that_is_skipped_lets_the_run_succeed(stage: Stage) -> None:
    work = '[ "$AWS_BATCH_JOB_ARRAY_INDEX" != 1 ]'
    run = started(stage, schedule(job("load", command=work, arrayProperties={"size": 3}), job("after", "load")))
    assert run["scheduleStatus"] == "FAILED"
    again = restarted(stage, run, skip=["load:1"])
    assert again["scheduleStatus"] == "SUCCEEDED"
    statuses = {name: entry["jobStatus"] for name, entry in stage.jobs(again).items()}
    assert statuses == {"load": "SKIPPED", "after": "SUCCEEDED"}


def test_a_list_that_a_job_wrote_has_a_child_for_each_of_its_values(stage: Stage, tmp_path: Path) -> None:
    [bucket] = [each["Name"] for each in stage.client("s3").list_buckets()["Buckets"] if "outputs" in each["Name"]]
    place = f"lists/{tmp_path.name}"
    write = (
        "import boto3, json; client = boto3.client('s3'); values = ['x' * 200 + str(n) for n in range(50)];"
        f" client.put_object(Bucket='{bucket}', Key='{place}', Body=json.dumps(values))"
    )
    echo = "echo $USCHED_INDEX $USCHED_VALUE >> "
    jobs = [
        job("short", command="printf 'x\\ny z\\n' | usched-output --list files"),
        job("load", "short", command=f"{echo} {tmp_path}/short", forEach={"s3": "{{jobs.short.output.files}}"}),
        job("long", command=f'python -c "{write}"'),
        job("each", "long", command=f"{echo} {tmp_path}/long", forEach={"s3": f"s3://{bucket}/{place}"}),
    ]
    run = started(stage, schedule(*jobs))
    assert run["scheduleStatus"] == "SUCCEEDED", run["statusReason"]
    assert sorted((tmp_path / "short").read_text().splitlines()) == ["0 x", "1 y z"]
    expected = [f"{number} {'x' * 200}{number}" for number in range(50)]
    assert sorted((tmp_path / "long").read_text().splitlines()) == sorted(expected), "too long for the environment"


def test_values_go_from_the_request_through_jobs_to_a_branch(stage: Stage, tmp_path: Path) -> None:
    row = schedule(
        job("list", command="usched-output count=3 kind={{run.parameters.kind}} day={{run.date}}"),
        job("load", "list", command="echo {{jobs.list.output.count}} {{jobs.list.output.day}} > " + f"{tmp_path}/log"),
        job("full", {"job": "list", "output": {"kind": "full"}}),
        job("part", {"job": "list", "output": {"kind": "part"}}),
        parameters={"kind": "full", "limit": 5},
    )
    run = started(stage, row, parameters={"kind": "part"})
    assert run["scheduleStatus"] == "SUCCEEDED", run["statusReason"]
    assert run["parameters"] == {"kind": "part", "limit": 5}
    assert (tmp_path / "log").read_text() == f"3 {run['startDateTime'][:10]}\n"
    statuses = {name: entry["jobStatus"] for name, entry in stage.jobs(run).items()}
    assert (statuses["full"], statuses["part"]) == ("SKIPPED", "SUCCEEDED")
    _, seen = stage.call("GET", f"/executions/{run['executionName']}")
    assert seen["jobs"][0]["output"] == {"count": "3", "kind": "part", "day": run["startDateTime"][:10]}


def test_what_was_not_put_out_fails_the_job_that_refers_to_it(stage: Stage) -> None:
    run = started(stage, schedule(job("list"), job("load", "list", command="echo {{jobs.list.output.n}}")))
    assert run["scheduleStatus"] == "FAILED"
    assert "job 'list' has no output: s3://" in run["statusReason"]


def test_a_parameter_that_the_schedule_does_not_have_is_refused_and_named(stage: Stage) -> None:
    row = schedule(job("a"), parameters={"day": "today"}, trigger={"manual": True})
    stage.put(row)
    status, answer = stage.call("POST", "/executions", {"scheduleId": row["scheduleId"], "parameters": {"dya": "x"}})
    assert status == 400
    assert "unknown parameter 'dya' (did you mean 'day'?)" in json.dumps(answer, ensure_ascii=False)
    assert stage.runs(row["scheduleId"]) == []
