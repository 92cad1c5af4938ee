"""The job log in a dictionary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.model import JobStatus


class MemoryJobLog:
    """`ports.JobLog` in a dictionary."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, JobEvent]] = {}

    def append(self, events: Sequence[JobEvent]) -> None:
        for event in events:
            self.events.setdefault(event.job_id, {})[event.position] = event

    def history(self, job_id: str) -> list[JobEvent]:
        known = self.events.get(job_id, {})
        return [known[position] for position in sorted(known)]

    def changed_jobs(self, queues: Sequence[str], since: float, status: JobStatus | None = None) -> Iterator[str]:
        for last in self._newest_first(since):
            if last.queue in queues and status in (None, last.seen.status):
                yield last.job_id

    def named_jobs(self, name: str, since: float) -> Iterator[str]:
        for last in self._newest_first(since):
            if name == (last.job_name or last.name):
                yield last.job_id

    def _newest_first(self, since: float) -> list[JobEvent]:
        """The last event of each job."""
        last = [self.history(job_id)[-1] for job_id in self.events]
        return sorted(
            (event for event in last if event.position >= iso(since)), key=lambda event: event.position, reverse=True
        )
