"""Overlap, catchUp and pauseAfterFailures on the engine: real entries fire, and real jobs outlast their period."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.e2e.conftest import Stage, eventually
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.cli import app
from universal_scheduler.domain.runs.model import AuditEntry, Mark, Verb
from universal_scheduler.domain.time.entries import version_of

pytestmark = pytest.mark.e2e
EVERY_MINUTE = {"cron": "cron(* * * * ? *)"}


def schedule(name: str, command: str = "true", **more: Any) -> dict[str, Any]:
    job = {
        "jobName": "a",
        "jobDefinition": "shell",
        "jobQueue": "default",
        "containerOverrides": {"command": ["sh", "-c", command]},
    }
    row = {"scheduleId": f"{name}-{uuid.uuid4().hex[:6]}", "jobList": [job], "trigger": EVERY_MINUTE, "wait_time": 5}
    return row | more


def stored(stage: Stage, row: dict[str, Any]) -> str:
    status, answer = stage.call("POST", "/schedules", row)
    assert status in (200, 201), answer
    return str(row["scheduleId"])


def store_of(stage: Stage) -> DynamoStore:
    return DynamoStore(
        stage.client("dynamodb"),
        schedules="BatchSchedules",
        history="BatchScheduleHistory",
        jobs="BatchScheduleJobs",
    )


def minutes_ago(count: int) -> str:
    moment = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=count)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def deliver(stage: Stage, row: dict[str, Any], scheduled: str) -> None:
    """What EventBridge Scheduler sends when the schedule's trigger is due."""
    queue = stage.client("sqs").get_queue_url(QueueName="usched-due")["QueueUrl"]
    firing = {"scheduleId": row["scheduleId"], "trigger": 0, "version": version_of(row, 0), "scheduledTime": scheduled}
    stage.client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(firing))


def times(stage: Stage, schedule_id: str) -> dict[str, str]:
    """The state of each run, by the time that it was due."""
    return {run["cause"]["scheduledTime"]: run["scheduleStatus"] for run in stage.runs(schedule_id)}


def test_each_overlap_policy_with_a_job_that_outlasts_its_period(stage: Stage, tmp_path: Path) -> None:
    overlaps = ("allow", "skip", "queueOne", "queueAll", "cancelRunning")
    done = tmp_path / "done"
    outlasts = f"until [ -e {done} ]; do sleep 0.1; done"
    ids = {overlap: stored(stage, schedule(overlap, outlasts, overlap=overlap)) for overlap in overlaps}
    store = store_of(stage)
    first = eventually(lambda: min(times(stage, ids["allow"]), default=""), what="the first start")
    following = datetime.fromisoformat(first.replace("Z", "+00:00")) + timedelta(minutes=1)
    second = f"{following:%Y-%m-%dT%H:%M:%SZ}"

    eventually(lambda: times(stage, ids["allow"]).keys() >= {first, second}, what="a second run beside the first")
    assert times(stage, ids["allow"])[first] == "RUNNING"

    reason = eventually(lambda: store.left_out(ids["skip"], 1), what="a start that is left out")[0].reason
    assert reason == f"a run goes on (that of {first}), and overlap is skip"

    cancelled = eventually(lambda: times(stage, ids["cancelRunning"]).get(second), what="a run in place of the first")
    assert cancelled == "RUNNING"
    assert times(stage, ids["cancelRunning"])[first] == "CANCELLED"

    queues = [ids["queueOne"], ids["queueAll"]]
    for name in queues:
        eventually(lambda name=name: store.activity(name).waiting, what=f"a start that waits ({name})")
        assert times(stage, name) == {first: "RUNNING"}
    done.touch()
    for name in queues:
        eventually(lambda name=name: times(stage, name).get(second), what=f"a run that has waited ({name})")
        assert times(stage, name)[first] == "SUCCEEDED", "one after the other"
    assert second not in times(stage, ids["skip"])
    for name in ids.values():
        stage.table("BatchSchedules").delete_item(Key={"scheduleId": name})


def usched(stage: Stage, *words: str) -> Any:
    done = CliRunner().invoke(app.main, ["--port", str(stage.engine.port), *words], env={"USCHED_USER": "ann"})
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("policies", [{}, {"overlap": "skip"}], ids=["plain", "skip"])
def test_a_firing_that_is_delivered_three_times_starts_one_run(stage: Stage, policies: dict[str, str]) -> None:
    row = schedule("thrice", **policies)
    name, store, scheduled = stored(stage, row), store_of(stage), minutes_ago(1)
    if policies:  # what was due before the row was stored is decided, so let it be stored long ago
        eventually(lambda: store.activity(name).decided, what="its beginning")
        store.forget_activity(name)
    for _ in range(3):
        deliver(stage, row, scheduled)
    eventually(lambda: times(stage, name).get(scheduled) == "SUCCEEDED", what="the run")
    stage.table("BatchSchedules").delete_item(Key={"scheduleId": name})
    assert [run["cause"]["scheduledTime"] for run in stage.runs(name)].count(scheduled) == 1


@pytest.mark.parametrize(("catch_up", "expected"), [("none", []), ("last", []), ("all", [3, 2, 1])])
def test_a_schedule_that_was_paused_over_three_firings(stage: Stage, catch_up: str, expected: list[int]) -> None:
    """With `last` the newest start counts, which is that of the present minute."""
    row = schedule("paused", catchUp=catch_up)
    name, store = row["scheduleId"], store_of(stage)
    now = datetime.now(UTC).timestamp()
    in_pause = [minutes_ago(minutes) for minutes in (3, 2, 1)]
    store.pause(name, AuditEntry(Mark(Verb.PAUSE, "ann", now // 60 * 60 - 190, "holidays")))
    stored(stage, row)
    if catch_up != "none":
        eventually(lambda: store.activity(name).decided, what="its beginning")
        store.forget_activity(name)  # it was stored long ago
    for scheduled in in_pause:
        deliver(stage, row, scheduled)
    if catch_up == "none":
        eventually(lambda: len(store.left_out(name, 3)) == 3, what="the reasons of three starts")
    before = minutes_ago(0)
    usched(stage, "resume", name)
    if catch_up != "none":
        eventually(lambda: max(times(stage, name), default="") >= before, what="the run of the newest start")
    wanted = {at for at, minutes in zip(in_pause, (3, 2, 1), strict=True) if minutes in expected}
    eventually(lambda: wanted <= times(stage, name).keys(), what="the runs that catch up")
    stage.table("BatchSchedules").delete_item(Key={"scheduleId": name})
    assert {at for at in times(stage, name) if at < before} == wanted
    if catch_up == "last":
        assert [left.at for left in store.left_out(name, 9)][-1] == in_pause[0]


def test_a_schedule_is_paused_after_its_failures(stage: Stage) -> None:
    row = schedule("fails", "exit 3", pauseAfterFailures=2, trigger={"cron": "cron(0 0 1 1 ? *)"})
    name, store = stored(stage, row), store_of(stage)
    for number in (1, 2):
        usched(stage, "run", name)
        assert stage.ended(name, number=number)["scheduleStatus"] == "FAILED"
    paused = eventually(lambda: store.paused(name), what="the pause")
    assert str(paused) == "by the scheduler: 2 runs have failed, one after the other; pauseAfterFailures is 2"
