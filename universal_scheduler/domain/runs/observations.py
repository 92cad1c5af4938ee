"""What the job platform says of a job, beside what is known of it. Pure."""

from __future__ import annotations

from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.attempts import attempts_after, is_next_attempt
from universal_scheduler.domain.runs.model import JobRun, Observation


def is_news(job: JobRun, seen: Observation) -> bool:
    """Whether a job is further along than is known, runs its next attempt, or the children of a live array are."""
    if seen.status.rank > job.status.rank or is_next_attempt(job, seen):
        return True
    counted = bool(seen.child_counts) and seen.child_counts != job.child_counts
    return counted and seen.status is job.status and not seen.status.ended


def observed(job: JobRun, seen: Observation) -> JobRun:
    """The job as the platform says it is."""
    return replace(
        job,
        status=seen.status,
        reason=seen.reason,
        exit_code=seen.exit_code,
        log_stream=seen.log_stream,
        started_at=seen.started_at,
        stopped_at=seen.stopped_at,
        child_counts=seen.child_counts,
        attempts=attempts_after(job, seen),
    )
