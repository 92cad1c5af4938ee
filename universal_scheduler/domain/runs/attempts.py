"""The attempts of a job, numbered from 1 over all Batch jobs that the job was submitted as in its run. It is pure.

A restart or an operator submits a job again, and Batch tries each submission as often as its retryStrategy says. People
see one number: how often the job has begun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from universal_scheduler.domain.events.job_events import JobEvent, array_began, log_group_of, read_reason
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.arrays import children_of, read_children
from universal_scheduler.domain.runs.model import Attempt, JobRun, JobStatus, Observation, Submission

SUBMISSIONS_KEPT = 10
"""How many earlier submissions the row of a job keeps. The oldest are forgotten, so that the row does not grow for
ever."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """One attempt with its number among all attempts of the job, and the Batch job that it belongs to."""

    number: int
    job_id: str
    attempt: Attempt


def earlier_submissions(job: JobRun) -> tuple[Submission, ...]:
    """The submissions that the next submission of the job keeps as its earlier ones, oldest first."""
    if not job.job_id:
        return job.earlier
    return (*job.earlier, present_submission(job))[-SUBMISSIONS_KEPT:]


def present_submission(job: JobRun) -> Submission:
    first = job.first_attempt
    return Submission(job.job_id, first, max(0, job.attempts - first + 1), job.children)


def submissions(job: JobRun) -> tuple[Submission, ...]:
    """All submissions that are known, oldest first."""
    return (*job.earlier, present_submission(job)) if job.job_id else job.earlier


def attempts_after(job: JobRun, seen: Observation) -> int:
    """How many attempts of the job have begun in all, from what the platform says of the present submission."""
    if seen.status is JobStatus.UPSTREAM_FAILED:
        return job.attempts
    return max(job.attempts, job.first_attempt - 1 + seen.attempts)


def is_next_attempt(job: JobRun, seen: Observation) -> bool:
    """Whether `seen` shows a RUNNING job in a later attempt than the one that is known."""
    return seen.status is job.status is JobStatus.RUNNING and attempts_after(job, seen) > job.attempts


def of_child(job: JobRun, index: int) -> tuple[Submission, ...]:
    """The submissions that had this child of an array, each with the Batch id of the child."""
    found = []
    for submission in submissions(job):
        children = read_children(submission.children) if submission.children else range(index + 1)
        if index in children:
            found.append(replace(submission, job_id=f"{submission.job_id}:{children.index(index)}", attempts=0))
    return tuple(found)


def has_child(job: JobRun, index: int) -> bool:
    """Whether one of the submissions of an array had this child. It is True if the size of the array is not known."""
    size = max([*children_of(replace(job, children="")), -1]) + 1
    return 0 <= index < size if size else True


def numbered(parts: Sequence[tuple[Submission, Sequence[Attempt]]]) -> list[Numbered]:
    """The attempts of each submission with their numbers, oldest first.

    If the platform has forgotten a submission, only the numbers of its attempts are counted. If the platform knows more
    attempts of a submission than the row, the attempts of the later submissions get higher numbers.
    """
    found: list[Numbered] = []
    following = 1
    for submission, attempts in parts:
        following = max(following, submission.first)
        found += [Numbered(following + place, submission.job_id, attempt) for place, attempt in enumerate(attempts)]
        following += max(len(attempts), submission.attempts)
    return found


def read_attempts(detail: Mapping[str, Any]) -> tuple[Attempt, ...]:
    """The attempts in a JobDetail of DescribeJobs, with the one that runs now. An array has one, from its first child's
    start.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_AttemptDetail.html
    """
    status, group = JobStatus(detail["status"]), log_group_of(detail)
    array = detail.get("arrayProperties") or {}
    if "size" in array and "index" not in array:
        return (_of_array(detail, status),) if array_began(array.get("statusSummary") or {}) else ()
    found = [
        Attempt(
            status=JobStatus.FAILED,
            started_at=each.get("startedAt", 0) / 1000,
            stopped_at=each.get("stoppedAt", 0) / 1000,
            exit_code=(each.get("container") or {}).get("exitCode"),
            reason=read_reason(each.get("statusReason"), (each.get("container") or {}).get("reason")),
            log_group=group,
            log_stream=(each.get("container") or {}).get("logStreamName", ""),
        )
        for each in detail.get("attempts") or ()
    ]
    if status is JobStatus.SUCCEEDED and found:
        found[-1] = replace(found[-1], status=status)
    if status in UNDER_WAY:
        stream = (detail.get("container") or {}).get("logStreamName", "") if status is JobStatus.RUNNING else ""
        started = detail.get("startedAt", 0) / 1000 if status is JobStatus.RUNNING else 0.0
        found.append(Attempt(status, started, log_group=group, log_stream=stream))
    return tuple(found)


UNDER_WAY = (JobStatus.STARTING, JobStatus.RUNNING)


def _of_array(detail: Mapping[str, Any], status: JobStatus) -> Attempt:
    return Attempt(
        status=status if status.ended else JobStatus.RUNNING,
        started_at=detail.get("startedAt", 0) / 1000,
        stopped_at=detail.get("stoppedAt", 0) / 1000,
        reason=detail.get("statusReason", ""),
    )


def attempts_in(events: Sequence[JobEvent], *, array: bool = False) -> tuple[Attempt, ...]:
    """The attempts in the events of one Batch job. The events have to be in order. An array has one attempt."""
    found: dict[int, Attempt] = {}
    for event in events:
        seen = event.seen
        if event.blocked:
            continue
        if seen.status in UNDER_WAY:
            found[event.attempts] = Attempt(
                seen.status, seen.started_at, log_group=seen.log_group, log_stream=seen.log_stream
            )
        elif event.attempts and (event.attempts - 1 not in found or not found[event.attempts - 1].status.ended):
            began = found.get(event.attempts - 1)
            found[event.attempts - 1] = Attempt(
                status=JobStatus.SUCCEEDED if seen.status is JobStatus.SUCCEEDED else JobStatus.FAILED,
                started_at=began.started_at if began else seen.started_at,
                stopped_at=seen.stopped_at or event.at,
                exit_code=seen.exit_code,
                reason=seen.reason,
                log_group=seen.log_group,
                log_stream=seen.log_stream,
            )
    if array and not found and events and events[-1].seen.status.ended:
        last = events[-1]
        found[0] = Attempt(last.seen.status, stopped_at=last.seen.stopped_at or last.at, reason=last.seen.reason)
    return tuple(found[place] for place in sorted(found))


def recorded_attempts(job: JobRun) -> tuple[Attempt, ...]:
    """The last attempt, from the row of the job alone; empty if the row has none."""
    if not job.attempts or job.attempts < job.first_attempt:
        return ()
    return (Attempt(job.status, job.started_at, job.stopped_at, job.exit_code, job.reason, log_stream=job.log_stream),)
