"""The main job end to end: rows, REST and streams start real processes, and record what these did."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from random import randbytes
from typing import Any

import pytest
from boto3.dynamodb.conditions import Key

from tests.e2e.conftest import Stage, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.sfn_local]


def job(name: str, *after: str, command: str = "true", **more: Any) -> dict[str, Any]:
    return {
        "jobName": name,
        "jobDefinition": "shell",
        "jobQueue": "default",
        "jobDependencies": list(after),
        "containerOverrides": {"command": ["sh", "-c", command]},
        **more,
    }


def schedule(*jobs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"scheduleId": f"s-{uuid.uuid4().hex[:8]}", "jobList": list(jobs), "wait_time": 1, **more}


def test_a_row_becomes_real_jobs_and_a_recorded_run(stage: Stage, tmp_path: Path) -> None:
    write = f"echo $USCHED_JOB_NAME >> {tmp_path}/order"
    row = schedule(job("b", "a", command=write), job("a", command=write), job("c", "a", "b", command=write))
    stage.put(row)
    run = stage.ended(row["scheduleId"])
    assert (run["scheduleStatus"], run["cause"]["kind"]) == ("SUCCEEDED", "row")
    assert (tmp_path / "order").read_text().split() == ["a", "b", "c"]
    assert [entry["jobStatus"] for entry in run["jobList"]] == ["SUCCEEDED"] * 3
    assert {entry["exitCode"] for entry in stage.jobs(run).values()} == {0}


def test_a_schedule_that_waits_for_all_starts_when_the_last_has_ended(stage: Stage) -> None:
    good, bad = schedule(job("a"), trigger={"manual": True}), schedule(job("a", command="false"))
    bad["trigger"] = [{"after": good["scheduleId"]}]
    names = [good["scheduleId"], bad["scheduleId"]]
    dated = job("b", command="test -n {{run.businessDate-1bd}}")
    last = schedule(dated, trigger={"after": names, "when": "all", "outcome": "ENDED", "within": "6h"})
    for each in (bad, last, good):
        assert stage.call("POST", "/schedules", each)[0] == 201
    assert stage.call("POST", "/executions", {"scheduleId": good["scheduleId"]})[0] == 202
    run = stage.ended(last["scheduleId"])
    assert run["cause"]["chain"] == names
    assert [cause.partition("#")[0] for cause in run["cause"]["runs"]] == sorted(names)
    status, answer = stage.call("POST", "/schedules", {**good, "trigger": {"after": last["scheduleId"]}})
    assert status == 400
    assert answer["error"]["errors"][0]["found"].startswith("a cycle: ")


def followers(stage: Stage, schedule_id: str) -> list[Any]:
    """The names that are kept for the schedule, as the end of its run reads them."""
    key = Key("runId").eq(f"#after#{schedule_id}")
    rows = stage.table("BatchScheduleJobs").query(KeyConditionExpression=key, ConsistentRead=True)["Items"]
    return [row["jobName"] for row in rows]


def swept(stage: Stage) -> Any:
    """All rows have been looked at: from now on the end of a run reads the kept names alone."""
    stage.client("lambda").invoke(FunctionName="usched-sweep")
    key = {"runId": "#sweep", "jobName": "#followers"}
    return stage.table("BatchScheduleJobs").get_item(Key=key, ConsistentRead=True).get("Item", {}).get("everComplete")


@pytest.mark.parametrize("by_hand", [False, True])
def test_the_end_of_a_run_starts_the_next_schedule_once(stage: Stage, by_hand: bool) -> None:
    eventually(lambda: swept(stage))
    first = schedule(job("a"), trigger={"manual": True})
    second = schedule(job("b"), trigger={"after": [first["scheduleId"]]})
    if by_hand:
        stage.put(second)
        eventually(lambda: followers(stage, first["scheduleId"]))
    else:
        assert stage.call("POST", "/schedules", second)[0] == 201
    stage.put(first)
    assert stage.call("POST", "/executions", {"scheduleId": first["scheduleId"]})[0] in (200, 202)
    upstream = stage.ended(first["scheduleId"])
    run = stage.ended(second["scheduleId"])
    assert run["cause"] == {
        "kind": "upstream",
        "scheduleId": first["scheduleId"],
        "startDateTime": upstream["startDateTime"],
        "chain": [first["scheduleId"]],
    }


def test_a_schedule_that_was_changed_or_removed_by_hand_starts_after_nothing_else(stage: Stage) -> None:
    one, two = schedule(job("a"), trigger={"manual": True}), schedule(job("a"), trigger={"manual": True})
    other = schedule(job("b"), trigger={"after": [one["scheduleId"]]})
    stage.put(other)
    eventually(lambda: followers(stage, one["scheduleId"]))
    stage.put(other | {"trigger": {"after": [two["scheduleId"]]}})
    eventually(lambda: followers(stage, two["scheduleId"]) and not followers(stage, one["scheduleId"]))
    stage.table("BatchSchedules").delete_item(Key={"scheduleId": other["scheduleId"]})
    eventually(lambda: not followers(stage, two["scheduleId"]))


def test_a_failing_job_stops_its_dependents_and_a_restart_runs_what_is_left(stage: Stage, tmp_path: Path) -> None:
    log = tmp_path / "log"
    row = schedule(
        job("a", command=f"echo a >> {log}"),
        job("b", "a", command=f"echo b >> {log}; test -e {tmp_path}/mended || exit 3"),
        job("c", "b", command=f"echo c >> {log}"),
        trigger={"manual": True},
    )
    stage.put(row)
    stage.call("POST", "/executions", {"scheduleId": row["scheduleId"]})
    run = stage.ended(row["scheduleId"])
    assert run["scheduleStatus"] == "FAILED"
    assert "b FAILED with exit code 3" in run["statusReason"]
    jobs = stage.jobs(run)
    assert {name: entry["jobStatus"] for name, entry in jobs.items()} == {
        "a": "SUCCEEDED",
        "b": "FAILED",
        "c": "UPSTREAM_FAILED",
    }
    assert jobs["c"]["statusReason"] == "did not run: upstream b (FAILED)"
    assert log.read_text().split() == ["a", "b"]

    (tmp_path / "mended").touch()
    key = {"scheduleId": row["scheduleId"], "startDateTime": run["startDateTime"], "scheduleStatus": "RESTART"}
    status, _ = stage.call("POST", "/executions", {"input": json.dumps(key), "name": f"restart-{uuid.uuid4().hex[:8]}"})
    assert status in (200, 202)
    again = eventually(
        lambda: next((r for r in stage.runs(row["scheduleId"]) if r["scheduleStatus"] == "SUCCEEDED"), None)
    )
    assert (again["startDateTime"], again["generation"]) == (run["startDateTime"], 2)
    assert log.read_text().split() == ["a", "b", "b", "c"]


def test_a_jobs_end_wakes_its_run_and_nobody_has_to_ask(stage: Stage) -> None:
    row = schedule(job("slow", command="sleep 2.5"))
    stage.put(row)
    run = stage.ended(row["scheduleId"])
    history = stage.client("stepfunctions").get_execution_history(executionArn=run["executionArn"], maxResults=1000)
    entered = [e["stateEnteredEventDetails"]["name"] for e in history["events"] if "stateEnteredEventDetails" in e]
    assert run["scheduleStatus"] == "SUCCEEDED"
    turn = ["Submit Jobs", "Run Complete?"]
    end = ["Record Result", "Run Succeeded?", "Schedule Succeeded"]
    assert entered == ["Start Run", *turn, "Wait For Change", *turn, *end]
    key = {"runId": run["runId"], "jobName": "#wake"}
    assert "waitToken" not in stage.table("BatchScheduleJobs").get_item(Key=key)["Item"], "no token is left"


def test_a_queue_that_does_not_exist_fails_the_run_and_is_named(stage: Stage) -> None:
    arn = "arn:aws:batch:us-east-1:123456789012:job-queue/SampleJobQueue-0"
    row = schedule(job("a", jobQueue=arn), job("b", "a"))
    stage.put(row)
    run = stage.ended(row["scheduleId"])
    assert run["scheduleStatus"] == "FAILED"
    assert arn in run["statusReason"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"jobList": [job("a", "b"), job("b", "a")]}, "a cycle"),
        ({"jobLst": []}, "jobLst"),
        ({"jobList": [{"jobName": "a", "jobQueue": "default"}]}, "jobDefinition"),
        ({"jobList": "a"}, "expected"),
        ({"jobList": [job("x" * 129)]}, "129 characters"),
    ],
    ids=["cycle", "misspelt key", "missing key", "wrong type", "over-long name"],
)
def test_a_bad_row_starts_nothing_and_shows_its_errors(stage: Stage, change: dict[str, Any], named: str) -> None:
    bad = schedule(job("a")) | change
    good = schedule(job("a"))
    stage.put(bad)
    stage.put(good)
    kept = eventually(lambda: (stage.row(bad["scheduleId"]) or {}).get("scheduleErrors"))
    assert any(named in f"{error['found']} expected {error['expected']}" for error in kept)
    assert stage.ended(good["scheduleId"])["scheduleStatus"] == "SUCCEEDED"
    status, shown = stage.call("GET", f"/schedules/{bad['scheduleId']}")
    assert (status, shown["valid"]) == (200, False)
    assert stage.runs(bad["scheduleId"]) == []
    assert stage.call("POST", "/executions", {"scheduleId": bad["scheduleId"]})[0] == 422


def test_a_start_message_starts_once_and_says_so_the_second_time(stage: Stage) -> None:
    row = schedule(job("a"), trigger={"manual": True})
    stage.put(row)
    name = f"executed-via-api-{uuid.uuid4().hex[:6]}"
    message = {
        "input": json.dumps({"scheduleId": row["scheduleId"], "startDateTime": " ", "scheduleStatus": " "}),
        "name": name,
        "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:BatchSchedulerMasterStateMachine",
    }
    status, started = stage.call("POST", "/executions", message)
    assert status in (200, 202)
    assert started["name"] == name
    status, refused = stage.call("POST", "/executions", message)
    assert status == 409
    assert name in refused["error"]["message"]
    stage.ended(row["scheduleId"])
    status, shown = stage.call("GET", f"/executions/{name}")
    assert (status, shown["status"], shown["jobs"][0]["exitCode"]) == (200, "SUCCEEDED", 0)
    assert stage.call("POST", "/executions", message)[0] == 409


@pytest.mark.parametrize(
    "message",
    [
        {"jobName": "my-job", "jobDefinition": "shell", "jobQueue": "default", "wait_time": 1},
        {"scheduleId": "inline-1", "jobList": [job("a")], "scheduleStatus": " ", "wait_time": "1"},
        {"name": "Schedule Succeeded", "output": {"scheduleId": "inline-2", "jobList": [job("a")], "wait_time": 1}},
    ],
    ids=["single job", "document", "output of a run"],
)
def test_inline_forms_run_without_a_row(stage: Stage, message: dict[str, Any]) -> None:
    body = {"input": json.dumps(message), "name": f"inline-{uuid.uuid4().hex[:8]}"}
    status, started = stage.call("POST", "/executions", body)
    assert status in (200, 202), started

    def look() -> Any:
        status, run = stage.call("GET", f"/executions/{body['name']}")
        return run if status == 200 and run["status"] not in ("RUNNING",) else None

    assert eventually(look)["status"] == "SUCCEEDED"


def test_submit_job_runs_a_job_without_a_schedule(stage: Stage) -> None:
    status, answer = stage.call(
        "POST", "/submitJob", {"jobName": "by-hand", "jobQueue": "default", "jobDefinition": "shell"}
    )
    assert (status, answer["jobName"]) == (200, "by-hand")
    batch = stage.client("batch")
    eventually(lambda: batch.describe_jobs(jobs=[answer["jobId"]])["jobs"][0]["status"] in ("SUCCEEDED", "FAILED"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"jobQueue": "nowhere"}, "nowhere"),
        ({"jobDefinition": "nothing"}, "nothing"),
        ({"jobName": None}, "jobName"),
        ({"jobQueu": "default"}, "jobQueu"),
    ],
)
def test_submit_job_refuses_what_cannot_run(stage: Stage, change: dict[str, Any], named: str) -> None:
    body = {"jobName": "x", "jobQueue": "default", "jobDefinition": "shell"} | change
    status, answer = stage.call("POST", "/submitJob", {key: value for key, value in body.items() if value is not None})
    assert 400 <= status < 500
    assert named in answer["error"]["message"]


def test_post_schedules_stores_a_row_that_runs(stage: Stage) -> None:
    row = schedule(job("a"))
    stored = {"scheduleId": row["scheduleId"], "created": True, "warnings": []}
    assert stage.call("POST", "/schedules", row) == (201, stored)
    assert stage.ended(row["scheduleId"])["scheduleStatus"] == "SUCCEEDED"
    assert stage.call("POST", "/schedules", row)[0] == 200
    assert len(stage.runs(row["scheduleId"])) == 1, "a changed row starts nothing"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/executions", {"scheduleId": "unknown-schedule"}, 404),
        ("POST", "/executions", b"{not json", 400),
        ("POST", "/executions", {}, 400),
        ("POST", "/schedules", b"{not json", 400),
        ("POST", "/schedules", {"scheduleId": "x", "jobList": []}, 400),
        (
            "POST",
            "/schedules",
            {"scheduleId": "huge", "jobList": [job(f"j{i}", command=randbytes(250).hex()) for i in range(2000)]},
            413,
        ),
        ("GET", "/executions/nobody", None, 404),
        ("GET", "/schedules/unknown-schedule", None, 404),
    ],
)
def test_what_cannot_be_done_is_refused_clearly(stage: Stage, method: str, path: str, body: Any, status: int) -> None:
    answered, shown = stage.call(method, path, body)
    assert answered == status, shown
    assert len(shown["error"]["message"]) > 15


def test_a_thousand_queued_jobs_all_run(stage: Stage) -> None:
    batch = stage.client("batch")
    ids = [
        batch.submit_job(
            jobName=f"many-{i}",
            jobQueue="low",
            jobDefinition="shell",
            containerOverrides={"command": ["true"]},
        )["jobId"]
        for i in range(1000)
    ]
    deadline = time.monotonic() + 120
    left = ids
    while left and time.monotonic() < deadline:
        chunk = batch.describe_jobs(jobs=left[:100])["jobs"]
        assert not [seen for seen in chunk if seen["status"] == "FAILED"]
        done = {seen["jobId"] for seen in chunk if seen["status"] == "SUCCEEDED"}
        left = [job_id for job_id in left if job_id not in done]
    assert not left
