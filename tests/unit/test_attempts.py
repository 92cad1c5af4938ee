"""The attempts of a job: counted and numbered over all its submissions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.events import state_change
from universal_scheduler.domain.events.job_events import FIRST_ATTEMPT_TAG, read_event
from universal_scheduler.domain.runs.attempts import (
    SUBMISSIONS_KEPT,
    Numbered,
    attempts_after,
    attempts_in,
    has_child,
    is_next_attempt,
    numbered,
    of_child,
    read_attempts,
    recorded_attempts,
    submissions,
)
from universal_scheduler.domain.runs.model import Attempt, Job, JobRun, JobStatus, Observation, Submission
from universal_scheduler.domain.runs.planner import again

FAILED = JobRun(Job("a", "q", "d"), status=JobStatus.FAILED, job_id="id-1", intent_at=1.0, attempts=2)
ARRAY = replace(FAILED, job=Job("a", "q", "d", array_size=4), attempts=1)


def detail(status: str, **more: Any) -> dict[str, Any]:
    return {"jobId": "id-1", "status": status, **more}


def ended(code: int, start: int, stop: int, stream: str, **container: Any) -> dict[str, Any]:
    outcome = {"exitCode": code, "logStreamName": stream, **container}
    return {"container": outcome, "startedAt": start, "stoppedAt": stop, "statusReason": "exited"}


def test_the_next_submission_goes_on_counting_and_knows_the_one_before() -> None:
    waiting = again(FAILED)
    assert (waiting.attempts, waiting.first_attempt) == (2, 3)
    assert waiting.earlier == (Submission("id-1", 1, 2),)
    running = replace(waiting, job_id="id-2", status=JobStatus.RUNNING)
    assert attempts_after(running, Observation("id-2", JobStatus.RUNNING, attempts=1)) == 3
    assert submissions(replace(running, attempts=3)) == (Submission("id-1", 1, 2), Submission("id-2", 3, 1))


def test_a_job_that_was_never_submitted_leaves_nothing_behind() -> None:
    assert again(replace(FAILED, job_id="", intent_at=0.0, attempts=0)).earlier == ()


def test_a_row_forgets_its_oldest_submissions_and_keeps_their_count() -> None:
    job = FAILED
    for number in range(2, 30):
        job = replace(again(job), job_id=f"id-{number}", status=JobStatus.FAILED, attempts=again(job).attempts + 1)
    waiting = again(job)
    assert len(waiting.earlier) == SUBMISSIONS_KEPT
    assert (waiting.attempts, waiting.first_attempt) == (30, 31)
    assert waiting.earlier[-1] == Submission("id-29", 30, 1)


def test_a_job_runs_for_another_time() -> None:
    running = replace(FAILED, status=JobStatus.RUNNING, attempts=1)
    assert is_next_attempt(running, Observation("id-1", JobStatus.RUNNING, attempts=2))
    assert not is_next_attempt(running, Observation("id-1", JobStatus.RUNNING, attempts=1))
    assert not is_next_attempt(running, Observation("id-1", JobStatus.RUNNABLE, attempts=2)), "it is not there yet"
    assert not is_next_attempt(FAILED, Observation("id-1", JobStatus.RUNNING, attempts=3)), "it is late"


def test_one_that_never_ran_because_of_another_has_no_attempt() -> None:
    waiting = replace(FAILED, attempts=0)
    assert attempts_after(waiting, Observation("id-1", JobStatus.UPSTREAM_FAILED, attempts=1)) == 0


def test_each_attempt_of_a_description_with_the_one_under_way() -> None:
    options = {"logConfiguration": {"options": {"awslogs-group": "/mine"}}, "logStreamName": "s/2"}
    first = ended(1, 1000, 2500, "s/1", reason="OutOfMemoryError")
    running = detail("RUNNING", attempts=[first], startedAt=4000, container=options)
    assert read_attempts(running) == (
        Attempt(JobStatus.FAILED, 1.0, 2.5, 1, "exited; OutOfMemoryError", "/mine", "s/1"),
        Attempt(JobStatus.RUNNING, 4.0, log_group="/mine", log_stream="s/2"),
    )
    starting = read_attempts(detail("STARTING", attempts=[first], container={"logStreamName": "s/1"}))[1]
    assert (starting.status, starting.log_stream) == (JobStatus.STARTING, ""), "that is the stream of the one before"
    done = read_attempts(detail("SUCCEEDED", attempts=[first, ended(0, 4000, 5000, "s/2")]))
    assert [attempt.status for attempt in done] == [JobStatus.FAILED, JobStatus.SUCCEEDED]
    assert read_attempts(detail("RUNNABLE", attempts=[])) == ()


def test_an_attempt_that_never_started_has_no_log() -> None:
    [attempt] = read_attempts(detail("FAILED", attempts=[{"stoppedAt": 2000, "statusReason": "Task failed to start"}]))
    assert attempt == Attempt(JobStatus.FAILED, stopped_at=2.0, reason="Task failed to start")


def test_an_array_is_one_attempt_for_each_submission() -> None:
    array = {"size": 3, "statusSummary": {"RUNNING": 1, "RUNNABLE": 2}}
    assert [each.status for each in read_attempts(detail("PENDING", arrayProperties=array))] == [JobStatus.RUNNING]
    assert read_attempts(detail("PENDING", arrayProperties={"size": 3, "statusSummary": {"RUNNABLE": 3}})) == ()


def test_each_attempt_that_events_tell_of() -> None:
    first, second = ended(1, 1000, 2500, "s/1"), ended(0, 4000, 5000, "s/2")
    told = [
        ("RUNNING", "06:00:01", {"startedAt": 1000, "container": {"logStreamName": "s/1"}}),
        ("RUNNABLE", "06:00:03", {"attempts": [first], "container": {}, "statusReason": "exited"}),
        ("RUNNING", "06:00:04", {"attempts": [first], "startedAt": 4000, "container": {"logStreamName": "s/2"}}),
        ("SUCCEEDED", "06:00:05", {"attempts": [first, second], "startedAt": 4000, "stoppedAt": 5000}),
    ]
    events = [read_event(state_change("a", status, f"2026-11-21T{at}Z", **more)) for status, at, more in told]
    at = events[1].at
    assert attempts_in(events) == (
        Attempt(JobStatus.FAILED, 1.0, at, 1, "exited", log_stream="s/1"),
        Attempt(JobStatus.SUCCEEDED, 4.0, 5.0, 0, log_stream="s/2"),
    )
    assert [each.status for each in attempts_in(events[:3])] == [JobStatus.FAILED, JobStatus.RUNNING]
    assert attempts_in([]) == ()


def test_the_end_of_an_array_is_known_from_its_events() -> None:
    event = state_change("a", "FAILED", statusReason="Array Child Job failed", arrayProperties={"size": 2})
    [attempt] = attempts_in([read_event(event)], array=True)
    assert (attempt.status, attempt.reason) == (JobStatus.FAILED, "Array Child Job failed")
    assert attempt.stopped_at == read_event(event).at, "Batch gives an array no times: the event's is near enough"


def test_events_say_which_attempt_of_the_job_it_is() -> None:
    tags = {"usched:scheduleId": "s", "usched:start": "t", "usched:jobName": "a", FIRST_ATTEMPT_TAG: "3"}
    assert read_event(state_change("a", "RUNNING", tags=tags, attempts=[])).attempts_begun == 3
    assert read_event(state_change("a", "FAILED", tags=tags, attempts=[ended(1, 1, 2, "s")])).attempts_begun == 3
    assert read_event(state_change("a", "RUNNING", tags=tags | {FIRST_ATTEMPT_TAG: "x"})).attempts_begun == 1
    child = state_change("a:1", "RUNNING", tags=tags, arrayProperties={"index": 1})
    assert read_event(child).attempts_begun == 1, "the array's number is not its child's"


def test_numbers_go_on_over_submissions_of_which_nothing_else_is_known() -> None:
    one, two = Attempt(JobStatus.FAILED), Attempt(JobStatus.SUCCEEDED)
    found = numbered([(Submission("id-1", 1, 2), ()), (Submission("id-2", 3, 1), (two,))])
    assert found == [Numbered(3, "id-2", two)]
    more = numbered([(Submission("id-1", 1, 0), (one,)), (Submission("id-2", 1, 1), (two,))])
    assert [each.number for each in more] == [1, 2], "one that ended unseen counts all the same"


def test_a_child_is_followed_through_the_submissions_that_had_it() -> None:
    whole = replace(ARRAY, children="")
    rerun = replace(again(whole), job_id="id-2", children="1 3")
    assert [each.job_id for each in of_child(rerun, 3)] == ["id-1:3", "id-2:1"]
    assert [each.job_id for each in of_child(rerun, 2)] == ["id-1:2"]
    assert (has_child(rerun, 3), has_child(rerun, 4), has_child(rerun, -1)) == (True, False, False)


def test_a_row_alone_knows_the_last_attempt() -> None:
    job = replace(FAILED, exit_code=3, reason="why", log_stream="s")
    assert recorded_attempts(job) == (Attempt(JobStatus.FAILED, exit_code=3, reason="why", log_stream="s"),)
    assert recorded_attempts(replace(job, attempts=0)) == ()
    assert recorded_attempts(again(job)) == (), "the attempts before are another submission's"
