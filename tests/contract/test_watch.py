"""One suite over what the watchdogs remember: memory, and DynamoDB on moto with the tables of template.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import boto3
import pytest
from moto import mock_aws

from tests.contract.test_store import JOB, KEY, RUN
from tests.tables import create_tables
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.adapters.dynamodb.watch import JOBS_IN_ROW, DynamoWatch
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.watch import MemoryWatch
from universal_scheduler.domain.runs.model import Changes, Execution, Run, RunKey, RunStatus
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.watch import Watch

RUN_ID = KEY.run_id


@dataclass
class Kept:
    store: Store
    watch: Watch


@pytest.fixture(params=["memory", "dynamodb"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    if request.param == "memory":
        memory = MemoryStore()
        yield Kept(memory, MemoryWatch(memory))
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("dynamodb", "us-east-1")
        create_tables(client)
        store = DynamoStore(
            client, schedules="BatchSchedules", history="BatchScheduleHistory", jobs="BatchScheduleJobs"
        )
        yield Kept(store, DynamoWatch(client, history="BatchScheduleHistory", jobs="BatchScheduleJobs"))


def due(kept: Kept, now: float) -> list[RunKey]:
    return list(kept.watch.due_runs(now))


def test_a_run_is_looked_at_at_once_then_when_it_was_said_and_no_more_after_its_end(kept: Kept) -> None:
    assert due(kept, 1e10) == []
    kept.store.create_run(RUN)
    other = Run(RunKey("other", KEY.start), RunStatus.RUNNING, Execution("arn:o", "o"))
    kept.store.create_run(other)
    assert sorted(due(kept, 0.0)) == [KEY, other.key]
    kept.watch.schedule_check(KEY, 500.5)
    kept.watch.schedule_check(other.key, 400.0)
    assert due(kept, 399.0) == []
    assert due(kept, 500.5) == [other.key, KEY]
    kept.watch.unwatch(KEY)
    assert due(kept, 500.5) == [other.key, KEY], "it is RUNNING"
    assert kept.store.finish_run(RUN, RunStatus.FAILED, "", "2026", [])
    assert due(kept, 500.5) == [other.key, KEY], "its end was not looked at"
    kept.watch.unwatch(KEY)
    assert due(kept, 1e10) == [other.key]
    ended = kept.store.get_run(KEY)
    assert ended is not None
    again = replace(ended, status=RunStatus.RUNNING, execution=Execution("arn:two", "two"), generation=2)
    assert kept.store.restart_run(again, ended)
    assert due(kept, 0.0) == [KEY], "a restarted run is watched again"


def test_what_a_run_is_watched_by_is_no_part_of_it(kept: Kept) -> None:
    kept.store.create_run(RUN)
    before = kept.store.get_run(KEY)
    assert before is not None
    assert before.document == {"scheduleId": "nightly", "wait_time": 7}
    kept.watch.schedule_check(KEY, 5.0)
    assert kept.store.get_run(KEY) == before


def test_one_of_many_tells(kept: Kept) -> None:
    assert kept.watch.begin_notification(RUN_ID, "run_late#1#mustEndBy", 100.0, 40.0)
    assert not kept.watch.begin_notification(RUN_ID, "run_late#1#mustEndBy", 101.0, 41.0)
    assert kept.watch.begin_notification(RUN_ID, "job_stuck#1#a", 101.0, 41.0)
    assert kept.watch.notified(RUN_ID) == set()
    kept.watch.finish_notification(RUN_ID, "job_stuck#1#a")
    assert kept.watch.notified(RUN_ID) == {"job_stuck#1#a"}
    assert kept.watch.notified("other") == set()
    assert not kept.watch.begin_notification(RUN_ID, "job_stuck#1#a", 999.0, 939.0)
    assert kept.watch.begin_notification(RUN_ID, "run_late#1#mustEndBy", 999.0, 939.0), "whoever began has died over it"


def test_marks_are_no_jobs(kept: Kept) -> None:
    kept.store.put_jobs(RUN_ID, [JOB])
    kept.watch.begin_notification(RUN_ID, "x", 1.0, 0.0)
    kept.watch.keep_samples(RUN_ID, {"a": [1.0]})
    assert kept.store.list_jobs(RUN_ID) == [JOB]


def test_a_token_is_unanswered_where_somebody_counted_and_did_not_answer(kept: Kept) -> None:
    assert kept.watch.unanswered_token(RUN_ID) == ""
    kept.store.count_change(RUN_ID, 1, True)
    assert kept.watch.unanswered_token(RUN_ID) == ""
    assert kept.store.park(RUN_ID, 1, "one", Changes(1, 1), 2)
    assert kept.watch.unanswered_token(RUN_ID) == ""
    kept.store.count_change(RUN_ID, 1, False)
    assert kept.watch.unanswered_token(RUN_ID) == ""
    kept.store.count_change(RUN_ID, 1, False)
    assert kept.watch.unanswered_token(RUN_ID) == "one"
    assert kept.store.park(RUN_ID, 1, "two", Changes(1, 3), 2)
    kept.store.count_change(RUN_ID, 0, True)
    assert kept.watch.unanswered_token(RUN_ID) == "two"
    kept.store.clear_token(RUN_ID, "two")
    assert kept.watch.unanswered_token(RUN_ID) == ""


def test_durations_come_back_for_however_many_jobs(kept: Kept) -> None:
    assert kept.watch.samples("nightly") == {}
    many = {f"job{n}": [float(n), 0.5] for n in range(JOBS_IN_ROW + 1)}
    kept.watch.keep_samples("nightly", many)
    assert kept.watch.samples("nightly") == many
    kept.watch.keep_samples("nightly", {"job0": [1.5]})
    assert kept.watch.samples("nightly") == {"job0": [1.5]}
