"""One suite over every job log: memory, and the table of template.yaml on moto's DynamoDB and on the engine's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.engine_dynamodb import engine_dynamodb
from tests.events import QUEUE, documented, state_change
from tests.tables import create_tables
from universal_scheduler.adapters.dynamodb.job_log import DynamoJobLog
from universal_scheduler.adapters.memory.job_log import MemoryJobLog
from universal_scheduler.domain.errors import StoreUnavailable
from universal_scheduler.domain.events.job_events import JobEvent, read_event
from universal_scheduler.domain.runs.model import JobStatus
from universal_scheduler.ports.job_log import JobLog

OTHER = QUEUE.replace("default", "low")
TAGS = {"usched:scheduleId": "nightly", "usched:start": "2026-11-21T05:59:59.000001", "usched:jobName": "load"}


@pytest.fixture(params=["memory", "dynamodb", "engine"])
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobLog]:
    if request.param == "memory":
        yield MemoryJobLog()
        return
    if request.param == "engine":
        with engine_dynamodb() as client:
            yield DynamoJobLog(client, table="BatchJobEvents", keep_days=90)
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("dynamodb", "us-east-1")
        create_tables(client)
        yield DynamoJobLog(client, table="BatchJobEvents", keep_days=90)


def told(job_id: str, *statuses: str, second: int = 0, **detail: Any) -> list[JobEvent]:
    """One event a second."""
    return [
        read_event(
            state_change(job_id, status, f"2026-11-21T06:00:{second + at:02}Z", jobName=f"name-{job_id}", **detail)
        )
        for at, status in enumerate(statuses)
    ]


def changed(log: JobLog, status: str | None = None, since: float = 0.0, queues: Sequence[str] = (QUEUE,)) -> list[str]:
    return list(log.changed_jobs(queues, since, None if status is None else JobStatus(status)))


def test_what_was_told_of_a_job_comes_back_in_order(log: JobLog) -> None:
    attempts = [{"container": {"exitCode": 0, "logStreamName": "s/1", "reason": "r"}}]
    events = told("a", "RUNNABLE", "RUNNING", tags=TAGS)
    events += told("a", "SUCCEEDED", second=9, tags=TAGS, attempts=attempts, startedAt=1000, stoppedAt=2500)
    child = told("p:0", "RUNNING", arrayProperties={"index": 0})
    blocked = read_event(documented("batch_job_queue_blocked"))
    log.append([events[2], *child, events[0], blocked, events[1]])
    assert log.history("a") == events
    assert log.history("p:0") == child
    assert log.history(blocked.job_id) == [blocked]
    assert log.history("unknown") == []


def test_an_event_that_comes_twice_is_kept_once(log: JobLog) -> None:
    events = told("a", "RUNNABLE", "RUNNING")
    log.append(events + events)
    log.append(events)
    assert log.history("a") == events


def test_an_event_that_comes_again_among_others_is_kept_once_and_takes_none_away(log: JobLog) -> None:
    runnable, starting, running, failed = told("a", "RUNNABLE", "STARTING", "RUNNING", "FAILED")
    log.append([runnable, failed])
    log.append([failed])
    log.append([failed, starting])
    log.append([running, failed, runnable])
    assert log.history("a") == [runnable, starting, running, failed]
    assert changed(log) == changed(log, "FAILED") == ["a"]
    assert changed(log, "RUNNING") == []


def test_what_comes_late_does_not_make_a_job_younger(log: JobLog) -> None:
    runnable, starting, running, failed = told("a", "RUNNABLE", "STARTING", "RUNNING", "FAILED")
    log.append([running, failed])
    log.append(told("b", "RUNNING", second=1))
    log.append([runnable, starting])
    assert log.history("a") == [runnable, starting, running, failed]
    assert changed(log) == ["a", "b"]
    assert changed(log, since=failed.at) == changed(log, "FAILED") == ["a"]
    assert changed(log, "STARTING") == []


def test_every_event_keeps_what_it_says_alone(log: JobLog) -> None:
    """Attempts, reasons and exit codes differ; a name, a queue or a run may, and Batch's times stand in some only."""
    failed = [{"container": {"exitCode": 3, "logStreamName": "s/1", "reason": "r"}}]
    events = told("a", "RUNNABLE")
    events += told("a", "RUNNING", second=1, tags=TAGS, startedAt=500)
    events += told("a", "RUNNABLE", second=2, tags=TAGS, attempts=failed, statusReason="again")
    events += told("a", "RUNNING", second=3, tags=TAGS | {"usched:firstAttempt": "4"}, attempts=failed, startedAt=2500)
    events += told("a", "SUCCEEDED", second=4, attempts=[*failed, {"container": {"exitCode": 0}}], stoppedAt=2750)
    events += [replace(events[3], blocked=True, at=events[3].at + 0.25, queue=OTHER)]
    log.append(events)
    assert log.history("a") == sorted(events, key=lambda event: event.position)


def test_more_events_than_one_request_takes(log: JobLog) -> None:
    events = [event for number in range(30) for event in told(f"job-{number}", "RUNNING", "FAILED")]
    log.append(events)
    assert sum(len(log.history(f"job-{number}")) for number in range(30)) == len(events)


def test_the_jobs_of_a_queue_the_last_changed_first(log: JobLog) -> None:
    log.append(told("a", "RUNNING", "FAILED"))
    log.append(told("b", "RUNNING", "SUCCEEDED", second=10))
    log.append(told("c", "RUNNING", second=20))
    log.append(told("elsewhere", "RUNNING", jobQueue=OTHER))
    assert changed(log) == ["c", "b", "a"]
    assert changed(log, "FAILED") == ["a"]
    assert changed(log, "RUNNING") == ["c"], "the others were, and have ended"
    assert changed(log, "PENDING") == []
    assert changed(log, since=told("b", "RUNNING", second=10)[0].at) == ["c", "b"]
    assert changed(log, queues=[OTHER]) == ["elsewhere"]
    assert changed(log, queues=[OTHER, QUEUE]) == ["c", "b", "a", "elsewhere"]
    assert changed(log, queues=[]) == []


def test_a_job_is_found_by_its_name(log: JobLog) -> None:
    log.append(told("a", "RUNNING", "FAILED"))
    log.append(told("b", "RUNNING", second=10, tags=TAGS))
    log.append(told("c", "RUNNING", second=20, tags=TAGS))
    assert list(log.named_jobs("name-a", 0)) == ["a"]
    assert list(log.named_jobs("load", 0)) == ["c", "b"], "a run's job has the schedule's name for it"
    assert list(log.named_jobs("load", told("c", "RUNNING", second=20)[0].at)) == ["c"]
    assert list(log.named_jobs("name-b", 0)) == []


class Throttled:
    """A client whose table takes one item a call, and nothing from the third call on."""

    def __init__(self, patience: int) -> None:
        self.taken: list[Any] = []
        self._patience = patience

    def batch_write_item(self, RequestItems: Any) -> Any:  # noqa: N803 - boto3's name
        [(table, requests)] = RequestItems.items()
        if len(self.taken) >= self._patience:
            return {"UnprocessedItems": RequestItems}
        self.taken.append(requests[0])
        return {"UnprocessedItems": {table: requests[1:]} if requests[1:] else {}}


def test_what_a_table_does_not_take_at_once_is_written_again() -> None:
    client: Any = Throttled(10)
    events = [*told("a", "RUNNABLE", "RUNNING"), *told("b", "FAILED")]
    DynamoJobLog(client, table="t", keep_days=1, sleep=lambda _: None).append(events)
    assert [each["PutRequest"]["Item"]["jobStatus"]["S"] for each in client.taken] == ["RUNNING", "FAILED"]
    client = Throttled(1)
    with pytest.raises(StoreUnavailable):
        DynamoJobLog(client, table="t", keep_days=1, sleep=lambda _: None).append(events)


def test_what_one_call_tells_of_a_job_is_one_item_and_always_the_same() -> None:
    events = told("a", "RUNNABLE", "STARTING", "RUNNING", "FAILED")
    items = []
    for calls in ([events], [events[::-1]], [events[1:]], [events[3:]]):
        client: Any = Throttled(10)
        for call in calls:
            DynamoJobLog(client, table="t", keep_days=1).append(call)
        [item] = [each["PutRequest"]["Item"] for each in client.taken]
        items.append(item)
    assert items[0] == items[1]
    assert len({item["at"]["S"] for item in items}) == 3, "other events make another item"
    assert items[3]["at"]["S"] == events[3].position
    assert sorted(item["at"]["S"] for item in items)[0] == events[3].position


def test_the_item_of_a_single_event_is_what_earlier_versions_wrote() -> None:
    client: Any = Throttled(10)
    [event] = told("a", "FAILED")
    DynamoJobLog(client, table="t", keep_days=1).append([event])
    assert "earlier" not in client.taken[0]["PutRequest"]["Item"]
    assert client.taken[0]["PutRequest"]["Item"]["at"]["S"] == event.position


def test_an_event_forgets_itself_some_days_after_it_happened() -> None:
    client: Any = Throttled(1)
    running, ended = told("a", "RUNNING", "FAILED")
    DynamoJobLog(client, table="t", keep_days=90).append([ended, running])
    assert client.taken[0]["PutRequest"]["Item"]["expiresAt"] == {"N": str(int(ended.at) + 90 * 86400)}
