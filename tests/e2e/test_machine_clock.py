"""The machine's clock is set by hours while the engine is down: what begins is what each schedule's policy says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually
from tests.machine_clock import Machine, needs_a_clock
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.domain.time.policies import LeftOut

pytestmark = [pytest.mark.e2e, needs_a_clock]
POLICIES: dict[str, Any] = {
    "none": "none",
    "last": "last",
    "all": "all",
    "window": {"policy": "all", "window": "2h"},
}
UNHANDLED = "nobody handled it when it was due, and catchUp is none"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine(tmp_path, monkeypatch)
    yield made
    made.stop()


def row(schedule_id: str, trigger: dict[str, Any], **more: Any) -> dict[str, Any]:
    job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "high", "containerOverrides": {"command": ["true"]}}
    return {"scheduleId": schedule_id, "wait_time": 1, "jobList": [job], "trigger": trigger, **more}


def begun(stage: Stage, schedule_id: str) -> list[str]:
    return sorted(run["cause"]["scheduledTime"] for run in stage.runs(schedule_id))


def wait_for_entries(stage: Stage, number: int) -> None:
    client = stage.client("scheduler")
    eventually(lambda: len(client.list_schedules(GroupName="usched")["Schedules"]) == number, what="the entries")


def start_one_now(machine: Machine, stage: Stage, name: str) -> None:
    """When its run has ended, all that was due at the engine's start has begun."""
    due = machine.now.replace(microsecond=0) + timedelta(seconds=6)
    stage.put(row(name, {"at": f"at({due:%Y-%m-%dT%H:%M:%S})"}))
    assert stage.ended(name)["scheduleStatus"] == "SUCCEEDED"


def test_a_clock_that_is_set_while_the_engine_is_down(machine: Machine) -> None:
    # It is half past: the starts at a quarter past each hour are not near.
    machine.set_clock(machine.now.replace(minute=30, second=0))
    stage = Stage(machine.start())
    for name, policy in POLICIES.items():
        stage.put(row(name, {"cron": "cron(15 * * * ? *)"}, catchUp=policy))
    stage.put(row("often", {"cron": "cron(0/15 * * * ? *)"}))
    wait_for_entries(stage, 5)
    half_past = machine.now.replace(minute=30, second=0, microsecond=0)
    machine.kill()

    forward = half_past + timedelta(hours=4, minutes=37)  # seven minutes past an hour
    machine.set_clock(forward)
    stage = Stage(machine.start())
    quarters = [half_past + timedelta(minutes=45 + 60 * hour) for hour in range(4)]
    expected = {
        "none": [],
        "last": quarters[-1:],
        "all": quarters,
        "window": quarters[-2:],  # 52 and 112 minutes late
        "often": [forward - timedelta(minutes=22), forward - timedelta(minutes=7)],
    }
    for name, starts in expected.items():
        eventually(lambda it=name, wanted=starts: begun(stage, it) == texts(wanted), what=f"the starts of {name}")
    start_one_now(machine, stage, "sentinel")
    assert {name: begun(stage, name) for name in expected} == {name: texts(each) for name, each in expected.items()}
    reasons = {each.at: each.reason for each in left_out(stage, "none")}
    assert reasons == dict.fromkeys(texts([quarters[0], quarters[-1]]), UNHANDLED)
    assert [(each.at, each.until) for each in left_out(stage, "last")] == [tuple(texts([quarters[0], quarters[-2]]))]
    machine.kill()

    machine.set_clock(half_past - timedelta(hours=3))
    stage = Stage(machine.start())
    start_one_now(machine, stage, "second-sentinel")
    assert {name: begun(stage, name) for name in expected} == {name: texts(each) for name, each in expected.items()}


def left_out(stage: Stage, schedule_id: str) -> list[LeftOut]:
    tables = {"schedules": "BatchSchedules", "history": "BatchScheduleHistory", "jobs": "BatchScheduleJobs"}
    return DynamoStore(stage.client("dynamodb"), **tables).left_out(schedule_id, 10)


def texts(starts: list[datetime]) -> list[str]:
    return [f"{start:%Y-%m-%dT%H:%M:%SZ}" for start in starts]
