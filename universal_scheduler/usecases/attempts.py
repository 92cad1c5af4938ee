"""The attempts of a job and the children of an array, as the platform knows them; if it has forgotten them, from the
log of all jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from universal_scheduler.domain.names import iso
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.arrays import read_children
from universal_scheduler.domain.runs.attempts import (
    Numbered,
    attempts_in,
    numbered,
    of_child,
    recorded_attempts,
    submissions,
)
from universal_scheduler.domain.runs.model import Attempt, Child, JobRun, JobStatus, Submission
from universal_scheduler.ports.job_log import JobLog
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.usecases.views import present

INTEREST = (
    JobStatus.FAILED,
    JobStatus.RUNNING,
    JobStatus.STARTING,
    JobStatus.SUCCEEDED,
    JobStatus.RUNNABLE,
    JobStatus.PENDING,
)
"""The order in which children of an array are shown if there is no room for all."""


def attempts_of(platform: JobPlatform, log: JobLog, job: JobRun, index: int | None = None) -> list[Numbered]:
    """Every known attempt of a job, or of one child of an array (`index`), oldest first.

    Raises:
        PlatformUnavailable: the platform did not answer.
    """
    asked = submissions(job) if index is None else of_child(job, index)
    known = platform.attempts([submission.job_id for submission in asked]) if asked else {}
    parts: list[tuple[Submission, Sequence[Attempt]]] = []
    for submission in asked:
        array = job.job.is_array and index is None
        attempts = known.get(submission.job_id) or attempts_in(log.history(submission.job_id), array=array)
        if submission.job_id == job.job_id:
            attempts = attempts or recorded_attempts(job)
        if submission.job_id == job.job_id and array:
            attempts = tuple(replace(attempt, started_at=job.started_at) for attempt in attempts)
        parts.append((submission, attempts))
    return numbered(parts)


def attempt_view(numbered_attempt: Numbered) -> dict[str, Any]:
    """An attempt in the form of the CLI's JSON."""
    attempt = numbered_attempt.attempt
    return present(
        {
            "attempt": numbered_attempt.number,
            "status": str(attempt.status),
            "startedAt": iso(attempt.started_at) if attempt.started_at else "",
            "stoppedAt": iso(attempt.stopped_at) if attempt.stopped_at else "",
            "exitCode": attempt.exit_code,
            "reason": attempt.reason,
            "jobId": numbered_attempt.job_id,
            "logGroupName": attempt.log_group,
            "logStreamName": attempt.log_stream,
        }
    )


@dataclass(frozen=True, slots=True)
class SeenChild:
    """A child of an array with its index in the schedule, and its last attempt if there is one."""

    index: int
    status: JobStatus
    attempts: int
    last: Attempt | None
    reason: str = ""


def children_of(
    platform: JobPlatform, log: JobLog, job: JobRun, submission: Submission, limit: int
) -> tuple[list[SeenChild], int]:
    """At most `limit` children of one submission of an array, in the order of their indices, and how many there are in
    all.

    If there are more than `limit`, those that failed are taken first.

    Raises:
        PlatformUnavailable: the platform did not answer.
    """
    indices = read_children(submission.children)
    counts = next((seen.child_counts for seen in platform.describe([submission.job_id])), {})
    found = _listed(platform, submission.job_id, counts, limit)
    if not found:
        return _logged(log, job, submission, indices, limit)
    tried = platform.attempts([f"{submission.job_id}:{child.index}" for child in found])
    children = []
    for child in found:
        attempts = tried.get(f"{submission.job_id}:{child.index}", ())
        index = indices[child.index] if indices else child.index
        last = attempts[-1] if attempts else None
        children.append(SeenChild(index, child.status, len(attempts), last, child.reason))
    return sorted(children, key=lambda child: child.index), sum(counts.values())


def _listed(platform: JobPlatform, array_id: str, counts: Any, limit: int) -> list[Child]:
    found: list[Child] = []
    for status in INTEREST:
        if counts.get(status) and len(found) < limit:
            found += platform.children(array_id, status, limit - len(found)) or ()
    return found


def _logged(
    log: JobLog, job: JobRun, submission: Submission, indices: Sequence[int], limit: int
) -> tuple[list[SeenChild], int]:
    """The first children, as the log of all jobs has them: Batch has forgotten the array."""
    size = len(indices) or job.job.array_size or len(job.job.for_each) or sum(job.child_counts.values())
    children = []
    for place in range(min(size, limit)):
        events = [event for event in log.history(f"{submission.job_id}:{place}") if not event.blocked]
        if events:
            attempts = attempts_in(events)
            last = attempts[-1] if attempts else None
            index = indices[place] if indices else place
            children.append(SeenChild(index, events[-1].seen.status, len(attempts), last, events[-1].seen.reason))
    return children, size
