"""Schedules that wait for runs of several others: one suite over memory and DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.tables import create_tables
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.runs.model import AuditEntry, Execution, Mark, Run, RunKey, RunStatus, Verb
from universal_scheduler.domain.runs.upstream_runs import Ended, UpstreamRuns
from universal_scheduler.ports.store import Store
from universal_scheduler.usecases.triggers import run_ended, schedule_written

PAUSE = AuditEntry(Mark(Verb.PAUSE, "ann", 1.0))
ALL = {"after": ["load", "rates"], "when": "all"}


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("dynamodb", "us-east-1")
        create_tables(client)
        names = {"schedules": "BatchSchedules", "history": "BatchScheduleHistory", "jobs": "BatchScheduleJobs"}
        made = DynamoStore(client, **names)
        assert made.check_followers(1)
        yield made


class Days:
    """Runs of other schedules end, and a schedule with these triggers perhaps starts."""

    def __init__(self, store: Store, trigger: object) -> None:
        self.store, self.workflow = store, MemoryWorkflow()
        job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}
        self.row: dict[str, Any] = {"scheduleId": "report", "trigger": trigger, "jobList": [job]}
        store.put_schedule(self.row)

    def ends(self, schedule_id: str, hour: float, status: RunStatus = RunStatus.SUCCEEDED, **cause: Any) -> list[str]:
        """A run that started one hour before. Answers what it has started."""
        run = Run(
            RunKey(schedule_id, _iso(hour - 1)), status, Execution("arn", "name"), cause=cause, ended_at=_iso(hour)
        )
        return run_ended(self.store, self.workflow, run)

    @property
    def causes(self) -> list[dict[str, Any]]:
        return [message["cause"] for message in self.workflow.started.values()]


def _iso(hour: float) -> str:
    day, hours = divmod(hour, 24)
    return f"2026-11-{21 + int(day)}T{int(hours):02}:{int(hours * 60) % 60:02}:00.000001"


def test_the_last_of_all_runs_starts_it_once(store: Store) -> None:
    days = Days(store, ALL)
    assert days.ends("load", 6) == []
    assert days.ends("load", 6) == [], "the same record again"
    assert days.ends("rates", 7) == ["report"]
    assert days.ends("rates", 7) == []
    assert days.ends("load", 6) == []
    [cause] = days.causes
    assert cause == {
        "kind": "upstream",
        "scheduleId": "rates",
        "startDateTime": _iso(6),
        "chain": ["load", "rates"],
        "runs": [f"load#{_iso(5)}", f"rates#{_iso(6)}"],
    }


def test_a_start_uses_all_that_came_before_it(store: Store) -> None:
    days = Days(store, ALL)
    days.ends("load", 6)
    days.ends("load", 7)
    assert days.ends("rates", 8) == ["report"]
    assert days.causes[0]["runs"] == [f"load#{_iso(6)}", f"rates#{_iso(7)}"], "the newest of each"
    assert days.ends("load", 6) == []
    assert days.ends("rates", 9) == [], "load has not come again"
    assert days.ends("load", 10) == ["report"]


def test_a_start_that_was_lost_is_made_when_the_record_comes_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = Days(store, ALL)
    days.ends("load", 6)
    with monkeypatch.context() as broken:
        broken.setattr(MemoryWorkflow, "start", lambda *_: (_ for _ in ()).throw(OSError("no network")))
        with pytest.raises(OSError, match="no network"):
            days.ends("rates", 7)
    assert days.ends("rates", 7) == ["report"]
    assert days.ends("rates", 7) == []


def test_two_ends_at_once_start_it_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    days, put, started = Days(store, ALL), store.put_upstream_runs, []

    def overtaken(*given: Any) -> bool:
        monkeypatch.setattr(store, "put_upstream_runs", put)
        started.extend(days.ends("load", 6))
        return put(*given)

    monkeypatch.setattr(store, "put_upstream_runs", overtaken)
    assert [*days.ends("rates", 7), *started] == ["report"]
    assert len(days.workflow.started) == 1


@pytest.mark.parametrize(
    ("outcome", "starting"),
    [
        ({}, {RunStatus.SUCCEEDED}),
        ({"outcome": "FAILED"}, {RunStatus.FAILED}),
        ({"outcome": "ENDED"}, {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED}),
    ],
)
@pytest.mark.parametrize("when", ["any", "all"])
def test_only_the_outcome_that_it_waits_for_starts_it(
    store: Store, when: str, outcome: dict[str, str], starting: set[RunStatus]
) -> None:
    days = Days(store, {"after": "load", "when": when, **outcome})
    ends = [status for status in RunStatus if status.ended]
    assert {status for hour, status in enumerate(ends, 6) if days.ends("load", hour, status)} == starting


def test_a_run_that_is_restarted_starts_it_only_once(store: Store) -> None:
    days = Days(store, {"after": ["load", "rates"], "when": "all", "outcome": "ENDED"})
    days.ends("load", 6, RunStatus.FAILED)
    assert days.ends("rates", 7) == ["report"]
    days.ends("load", 8)
    assert days.ends("rates", 9) == ["report"]
    run = Run(RunKey("load", _iso(5)), RunStatus.SUCCEEDED, Execution("arn", "name"), ended_at=_iso(10))
    assert run_ended(store, days.workflow, run) == [], "the run of 6 o'clock, after its restart"
    assert days.ends("rates", 11) == []


def test_runs_count_together_within_the_window_alone(store: Store) -> None:
    days = Days(store, {**ALL, "within": "6h"})
    days.ends("load", 1)
    assert days.ends("rates", 7.5) == [], "six and a half hours later"
    assert days.ends("load", 13.5) == ["report"], "exactly six hours later"
    assert days.causes[0]["runs"] == [f"load#{_iso(12.5)}", f"rates#{_iso(6.5)}"]
    assert days.ends("load", 1) == [], "it was too old before"
    assert days.ends("rates", 7.6) == []


def test_records_may_come_in_any_order(store: Store) -> None:
    days = Days(store, {**ALL, "within": 3600})
    days.ends("load", 10)
    assert days.ends("load", 9) == []
    assert days.ends("rates", 10.5) == ["report"]
    assert days.causes[0]["runs"][0] == f"load#{_iso(9)}"


def test_runs_of_one_business_date_belong_together(store: Store) -> None:
    days = Days(store, {**ALL, "sameBusinessDate": True})
    days.ends("load", 23, businessDate="2026-11-20", scheduledTime="2026-11-21T02:00:00Z")
    assert days.ends("rates", 23.5) == [], "of the 21st, because it says nothing else"
    assert days.ends("rates", 24.5, businessDate="2026-11-20", scheduledTime="2026-11-21T03:00:00Z") == ["report"]
    assert days.causes[0] | {"chain": 0, "runs": 0} == {
        "kind": "upstream",
        "scheduleId": "rates",
        "startDateTime": _iso(23.5),
        "scheduledTime": "2026-11-21T03:00:00Z",
        "businessDate": "2026-11-20",
        "chain": 0,
        "runs": 0,
    }
    assert days.ends("load", 26, businessDate="2026-11-21") == ["report"]


def test_one_of_several_triggers_is_enough_and_each_run_starts_one(store: Store) -> None:
    days = Days(store, [{"after": "load"}, {"after": ["load", "rates"]}, ALL, {"after": "load", "outcome": "FAILED"}])
    assert days.ends("load", 6) == ["report"]
    assert days.ends("rates", 7) == ["report", "report"], "any of the two, and all"
    assert days.ends("load", 8, RunStatus.FAILED) == ["report"]
    assert len(days.workflow.started) == 4


def test_a_paused_schedule_sees_runs_and_starts_none(store: Store) -> None:
    days = Days(store, ALL)
    store.pause("report", PAUSE)
    days.ends("load", 6)
    assert days.ends("rates", 7) == []
    store.resume("report", AuditEntry(Mark(Verb.RESUME, "ann", 2.0)))
    assert days.ends("load", 8) == []
    assert days.ends("rates", 9) == ["report"]


def test_what_a_trigger_has_seen_goes_with_the_trigger(store: Store) -> None:
    days = Days(store, [ALL, {**ALL, "sameBusinessDate": True}])
    days.ends("load", 6)
    more = {**days.row, "trigger": [{**ALL, "within": "1h"}, {**ALL, "sameBusinessDate": True}]}
    for old, new in ((days.row, more), (more, {**more, "trigger": ALL})):
        store.put_schedule(new)
        schedule_written(store, days.workflow, "event", old, new)
    assert days.ends("rates", 6.5) == []
    assert days.ends("load", 7) == ["report"]


def test_a_write_is_refused_if_another_came_first(store: Store) -> None:
    first = UpstreamRuns(came={"load": Ended(_iso(5), _iso(6))}, used={"load": (_iso(1),)}, started_by={"a.b": _iso(2)})
    assert store.upstream_runs("report", "x") == UpstreamRuns()
    assert store.put_upstream_runs("report", "x", first)
    assert not store.put_upstream_runs("report", "x", UpstreamRuns())
    kept = store.upstream_runs("report", "x")
    assert kept == UpstreamRuns(1, first.came, first.used, first.started_by)
    assert store.put_upstream_runs("report", "x", kept)
    assert not store.put_upstream_runs("report", "x", kept)
    store.put_upstream_runs("report", "x#2026-11-21", UpstreamRuns())
    store.put_upstream_runs("reports", "x", UpstreamRuns())
    store.forget_upstream_runs("report", ["x", "nothing"])
    store.forget_upstream_runs("", ["x"])
    assert store.upstream_runs("report", "x").version == store.upstream_runs("report", "x#2026-11-21").version == 0
    assert store.upstream_runs("reports", "x").version == 1
