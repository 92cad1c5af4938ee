"""What is read from Batch's events: the documented examples, array children, runs' tags, and what is no event."""

from __future__ import annotations

from typing import Any

import pytest

from tests.events import documented, state_change
from universal_scheduler.domain.events.job_events import read_event
from universal_scheduler.domain.runs.model import JobStatus, Observation, RunKey

ID = "4c7599ae-0a82-49aa-ba5a-4727fcce14a8"


def test_the_documented_state_change() -> None:
    event = read_event(documented("batch_job_state_change"))
    assert event.seen == Observation(ID, JobStatus.RUNNABLE)
    assert (event.name, event.queue.rpartition("/")[2]) == ("event-test", "PexjEHappyPathCanary2JobQueue")
    assert (event.at, event.created_at) == (1641944200.0, 1641944200.058)
    assert (event.state, event.attempts, event.run, event.job_name) == ("RUNNABLE", 0, None, "")
    assert (event.parent_id, event.index) == ("", None)


def test_the_documented_queue_blocked_is_no_change_of_state() -> None:
    event = read_event(documented("batch_job_queue_blocked"))
    assert event.blocked
    assert (event.state, event.seen.status, event.seen.reason) == ("BLOCKED", JobStatus.RUNNABLE, "blocked-reason")


def test_how_a_job_ended() -> None:
    attempts = [
        {"container": {"exitCode": 1, "logStreamName": "s/1"}, "statusReason": "Essential container in task exited"},
        {"container": {"exitCode": 3, "reason": "OutOfMemoryError", "logStreamName": "s/2"}},
    ]
    times = {"startedAt": 1641944210000, "stoppedAt": 1641944220500}
    container = {"exitCode": 3, "logStreamName": "s/2"}
    event = read_event(
        state_change(ID, "FAILED", attempts=attempts, container=container, statusReason="Task exited", **times)
    )
    assert event.attempts == 2
    assert event.seen == Observation(
        ID, JobStatus.FAILED, "Task exited; OutOfMemoryError", 3, "s/2", 1641944210.0, 1641944220.5, attempts=2
    )


def test_a_job_of_a_run_names_it() -> None:
    tags = {"usched:scheduleId": "nightly", "usched:start": "2026-11-21T05:59:59.000001", "usched:jobName": "load"}
    event = read_event(state_change(ID, "RUNNING", tags=tags))
    assert (event.run, event.job_name) == (RunKey("nightly", "2026-11-21T05:59:59.000001"), "load")


def test_an_arrays_child_names_its_parent_and_its_place() -> None:
    child = read_event(state_change(f"{ID}:7", "RUNNING", arrayProperties={"index": 7}))
    assert (child.parent_id, child.index) == (ID, 7)
    parent = read_event(state_change(ID, "PENDING", arrayProperties={"size": 10, "statusSummary": {"PENDING": 10}}))
    assert (parent.parent_id, parent.index) == ("", None)


def test_the_events_of_one_second_have_their_order() -> None:
    first_try = [read_event(state_change(ID, status)) for status in ("RUNNABLE", "STARTING", "RUNNING")]
    ended = [{"container": {"exitCode": 1}}]
    second = [read_event(state_change(ID, status, attempts=ended)) for status in ("RUNNABLE", "RUNNING", "FAILED")]
    places = [event.position for event in first_try + second]
    assert places == sorted(set(places))
    assert read_event(state_change(ID, "PENDING", time="2026-11-21T06:00:01Z")).position > max(places)
    blocked = documented("batch_job_queue_blocked")
    runnable = state_change(ID, "RUNNABLE", time=blocked["time"])
    assert read_event(blocked).position > read_event(runnable).position


def without(event: dict[str, Any], *path: str) -> dict[str, Any]:
    inner = event
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return event


@pytest.mark.parametrize(
    "event",
    [
        {},
        [],
        "text",
        None,
        {"source": "aws.batch"},
        without(state_change(ID, "RUNNING"), "detail"),
        without(state_change(ID, "RUNNING"), "detail", "jobId"),
        without(state_change(ID, "RUNNING"), "detail", "jobQueue"),
        without(state_change(ID, "RUNNING"), "time"),
        state_change(ID, "ASLEEP"),
        state_change(ID, "RUNNING", time="soon"),
        state_change(ID, "RUNNING", attempts=3),
        state_change(ID, "RUNNING") | {"source": "mine"},
        state_change(ID, "RUNNING") | {"detail-type": "Batch Job Definition State Change"},
    ],
)
def test_what_is_no_event_is_refused(event: Any) -> None:
    with pytest.raises(ValueError):
        read_event(event)
