"""Reads the log of all jobs in the scheduler's queues, one job at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.model import JobStatus
from universal_scheduler.ports.job_log import JobLog
from universal_scheduler.usecases.views import present, time_text


def find_jobs(
    log: JobLog,
    queues: Sequence[str],
    *,
    since: float,
    status: JobStatus | None = None,
    name: str | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """The jobs in these queues (ARNs) that have changed since a time (epoch seconds), the last changed job first.

    Each has the form of `job_view`.
    """

    def matching() -> Iterator[dict[str, Any]]:
        found = log.changed_jobs(queues, since, status) if name is None else log.named_jobs(name, since)
        for job_id in found:
            events = log.history(job_id)
            # The index may be behind.
            if events and events[-1].queue in queues and status in (None, events[-1].seen.status):
                yield job_view(events)

    return list(islice(matching(), limit))


def job_view(events: Sequence[JobEvent]) -> dict[str, Any]:
    """A job from all its events in order: its present state, and each change with its time (UTC)."""
    last = events[-1]
    changes = [event for event in events if not event.blocked] or events
    run = next((event for event in reversed(events) if event.run), None)
    return present(
        {
            "jobId": last.job_id,
            "jobName": last.job_name or last.name,
            "batchJobName": last.name,
            "jobQueue": last.queue,
            "status": str(changes[-1].seen.status),
            "since": iso(changes[-1].at),
            "reason": last.seen.reason,
            "exitCode": _exit_code(last),
            "attempts": last.attempts_begun,
            "logStreamName": last.seen.log_stream,
            "createdAt": time_text(last.created_at),
            "startedAt": time_text(last.seen.started_at),
            "stoppedAt": time_text(last.seen.stopped_at),
            "arrayJobId": last.parent_id,
            "arrayIndex": last.index,
            "scheduleId": run.run.schedule_id if run and run.run else None,
            "startDateTime": run.run.start if run and run.run else None,
            "events": [_event_view(event) for event in events],
        }
    )


def _event_view(event: JobEvent) -> dict[str, Any]:
    return present(
        {
            "time": iso(event.at),
            "status": event.state,
            "attempts": event.attempts_begun,
            "reason": event.seen.reason,
            "exitCode": _exit_code(event),
            "logStreamName": event.seen.log_stream,
        }
    )


def _exit_code(event: JobEvent) -> int | None:
    """Of the attempt that is over: while the next one starts and runs, Batch still tells the last one's."""
    under_way = event.seen.status in (JobStatus.STARTING, JobStatus.RUNNING)
    return None if under_way else event.seen.exit_code
