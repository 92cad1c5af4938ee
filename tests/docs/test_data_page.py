"""docs/data.md names every attribute that the scheduler writes into its tables, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.docs.desk import ROOT
from tests.tables import create_tables
from universal_scheduler.adapters.dynamodb import job_log
from universal_scheduler.adapters.dynamodb.items import (
    COMPRESSED_JOBS,
    audit_to_values,
    job_to_values,
    run_to_values,
    to_item,
)
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.adapters.dynamodb.watch import DynamoWatch
from universal_scheduler.domain.documents.calendars import ROW_KEYS as CALENDAR_KEYS
from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.runs.model import (
    AuditEntry,
    Changes,
    Execution,
    Job,
    JobRun,
    JobStatus,
    Mark,
    Observation,
    Run,
    RunKey,
    RunStatus,
    Verb,
)
from universal_scheduler.domain.runs.upstream_runs import UpstreamRuns
from universal_scheduler.domain.time.policies import Activity, Firing, Holder, LeftOut
from universal_scheduler.ports.waits import CHANGE_LOG_LIMIT

KEY = RunKey("nightly", "2026-11-21T06:00:00.000001")
RUN = Run(KEY, RunStatus.RUNNING, Execution("arn:one", "one"), cause={"kind": "row"})
ENTRY = AuditEntry(Mark(Verb.PAUSE, "ann", 1.0, "why"), "a", "WAITING", "HELD", {"from": ["a"]})


def documented(heading: str) -> set[str]:
    """The names in the first cells of the tables below a heading, up to the next one of its level."""
    page = (ROOT / "docs" / "data.md").read_text()
    level = heading.split()[0]
    [section] = re.findall(rf"^{re.escape(heading)}\n(.*?)(?=^#{{2,{len(level)}}} |\Z)", page, re.MULTILINE | re.DOTALL)
    cells = re.findall(r"^\| (`[^|]*?) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        made = boto3.client("dynamodb", "us-east-1")
        create_tables(made)
        yield made


@pytest.fixture
def store(client: Any) -> DynamoStore:
    return DynamoStore(client, schedules="BatchSchedules", history="BatchScheduleHistory", jobs="BatchScheduleJobs")


def attributes(client: Any, table: str) -> set[str]:
    return {name for item in client.scan(TableName=table)["Items"] for name in item}


def test_what_is_written_beside_a_schedule(client: Any, store: DynamoStore) -> None:
    store.put_schedule({"scheduleId": "large", "jobList": [{"jobName": f"{number}" * 9} for number in range(40_000)]})
    store.put_schedule({"scheduleId": "wrong"})
    store.record_schedule_errors("wrong", [{"path": "$", "found": "no jobList", "expected": "jobList"}])
    assert COMPRESSED_JOBS in attributes(client, "BatchSchedules")
    assert attributes(client, "BatchSchedules") - {"scheduleId"} == documented("## `BatchSchedules`")


def test_the_attributes_of_a_run(client: Any, store: DynamoStore) -> None:
    store.create_run(RUN)
    assert store.finish_run(RUN, RunStatus.FAILED, "why", "2026-11-21T06:10:00.000001", [{"jobName": "a"}])
    large = replace(RUN, key=RunKey("nightly", "2026-11-21T07:00:00.000001"))
    store.create_run(large)
    assert store.finish_run(large, RunStatus.FAILED, "why", "2026-11-21T07:10:00.000001", [{"jobName": "a" * 400_000}])
    written = set(run_to_values(RUN)) | attributes(client, "BatchScheduleHistory")
    assert written == documented("## `BatchScheduleHistory`")


def test_the_attributes_of_a_job() -> None:
    said, happened = documented("### What the schedule says"), documented("### What happened")
    assert set(job_to_values(KEY.run_id, JobRun(Job("a", "default", "shell")))) == said | happened
    assert not said & happened


def test_the_attributes_of_control_rows(client: Any, store: DynamoStore) -> None:
    store.pause("nightly", ENTRY)
    store.count_change(KEY.run_id, 0, True, ["a"])
    names = ["b"] * CHANGE_LOG_LIMIT
    store.count_change(KEY.run_id, 0, False, names)
    store.count_change(KEY.run_id, 0, False, ["c"])
    assert store.park(KEY.run_id, 1, "token", Changes(1, 0), 1)
    watch = DynamoWatch(client, history="BatchScheduleHistory", jobs="BatchScheduleJobs")
    assert watch.begin_notification(KEY.run_id, "late", 1.0, 0.0)
    watch.finish_notification(KEY.run_id, "late")
    watch.keep_samples("nightly", {"a": [1.0]})
    for name in ("nightly", "weekly"):
        store.put_schedule({"scheduleId": name, "trigger": {"after": ["other"]}})
    assert store.put_upstream_runs("nightly", "x", UpstreamRuns())
    store.create_run(RUN)
    assert store.newest_object("nightly", 0, "in/a.csv", "1")
    store.entries_page_done("page")
    store.check_followers(1)
    while not store.index_runs(1):
        pass
    firing = Firing("2026-01-10T06:00:00Z", "2026-01-10T06:00:00Z", "2026-01-10", 0)
    busy = Activity(decided=1.0, limit=1, holders=(Holder("a", 1.0, firing),), waiting=(firing,), failures=("b",))
    assert store.write_activity("nightly", Activity(), busy, [LeftOut(firing.at, firing.at, "why", 1.0)])
    written = attributes(client, "BatchScheduleJobs") | set(audit_to_values("nightly", ENTRY, 0))
    assert written - {"runId", "jobName"} == documented("### Control rows")


def test_the_attributes_of_a_calendar() -> None:
    assert set(CALENDAR_KEYS) == documented("## `BatchCalendars`")


def test_the_attributes_of_an_event(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written: set[str] = set()

    def remember(values: Mapping[str, Any]) -> Any:  # also those that this event has no value for
        written.update(values)
        return to_item(values)

    monkeypatch.setattr(job_log, "to_item", remember)
    event = JobEvent(Observation("1:7", JobStatus.RUNNING), "a", "arn:queue", 3.0)
    job_log.DynamoJobLog(client, table="BatchJobEvents", keep_days=90).append([event])
    assert written == documented("## `BatchJobEvents`")
