"""The log of everything that Batch reports of jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.runs.model import JobStatus


class JobLog(Protocol):
    """The events of every job in the scheduler's queues, whoever has submitted the job. An event in the log never
    changes."""

    def append(self, events: Sequence[JobEvent]) -> None:
        """Add events to the log. An event that is there already stays as it is.

        Raises:
            StoreUnavailable: DynamoDB refused the writes for too long. Some of them may be done.
        """
        ...

    def history(self, job_id: str) -> list[JobEvent]:
        """All events of a job that are still kept, in order; empty if there are none."""
        ...

    def changed_jobs(self, queues: Sequence[str], since: float, status: JobStatus | None = None) -> Iterator[str]:
        """The ids of the jobs in these queues (ARNs) with an event since a time (epoch seconds), the last changed job
        first.

        With `status`, only the jobs whose last event has it. Eventually consistent.
        """
        ...

    def named_jobs(self, name: str, since: float) -> Iterator[str]:
        """The ids of the jobs with this name and an event since a time (epoch seconds), the last changed job first.

        A job of a run has its name in the schedule; another job has its name in Batch. Eventually consistent.
        """
        ...
