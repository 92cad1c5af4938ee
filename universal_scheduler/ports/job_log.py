"""The log of what Batch reports of jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.runs.model import JobStatus


class JobLog(Protocol):
    """What Batch has told of every job in the scheduler's queues, whoever submitted it. Nothing in it is changed."""

    def append(self, events: Sequence[JobEvent]) -> None:
        """Keep these; one that is there already stays as it is.

        Raises:
            StoreUnavailable: throttled for too long; some may be written.
        """
        ...

    def history(self, job_id: str) -> list[JobEvent]:
        """All that is kept of a job, in order; empty for one that no event has told of."""
        ...

    def changed_jobs(self, queues: Sequence[str], since: float, status: JobStatus | None = None) -> Iterator[str]:
        """Ids of the jobs of these queues (ARNs) with an event since then (epoch seconds), the last changed first.

        With a status those whose last event has it. Eventually consistent.
        """
        ...

    def named_jobs(self, name: str, since: float) -> Iterator[str]:
        """Ids of the jobs of this name with an event since then, the last changed first. Eventually consistent.

        A run's job has its name in the schedule, another its name in Batch.
        """
        ...
