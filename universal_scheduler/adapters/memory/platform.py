"""The job platform in a dictionary."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from universal_scheduler.domain.errors import SubmissionRefused
from universal_scheduler.domain.runs.model import Attempt, Child, Job, JobStatus, Observation


@dataclass(slots=True)
class PlatformJob:
    """A job as the memory platform has it."""

    name: str
    job: Job
    depends_on: tuple[str, ...]
    environment: Mapping[str, str]
    seen: Observation
    children: tuple[Child, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    """What they are said to be; else one, where the job has started."""


@dataclass(slots=True)
class MemoryPlatform:
    """`ports.JobPlatform` in a dictionary; whoever holds it decides how jobs end, with `end`."""

    jobs: dict[str, PlatformJob] = field(default_factory=dict)
    queues: frozenset[str] | None = None
    """The queues there are; None takes any."""
    _dependents: dict[str, list[str]] = field(default_factory=dict)
    """The jobs that depend on a job, by its id."""

    def submit(
        self, job: Job, name: str, depends_on: Sequence[str], environment: Mapping[str, str], tags: Mapping[str, str]
    ) -> str:
        del tags
        if self.queues is not None and job.queue not in self.queues:
            raise SubmissionRefused(f"there is no job queue '{job.queue}'")
        job_id = f"job-{len(self.jobs) + 1}"
        for other in depends_on:
            self._dependents.setdefault(other, []).append(job_id)
        failed = any(self.jobs[other].seen.status is JobStatus.FAILED for other in depends_on)
        seen = Observation(job_id, JobStatus.PENDING if depends_on else JobStatus.SUBMITTED)
        if failed:
            seen = Observation(job_id, JobStatus.FAILED, "Dependent Job failed")
        self.jobs[job_id] = PlatformJob(name, job, tuple(depends_on), environment, seen)
        return job_id

    def find(self, queue: str, name: str) -> str | None:
        return next((i for i, entry in self.jobs.items() if entry.name == name and entry.job.queue == queue), None)

    def describe(self, job_ids: Sequence[str]) -> list[Observation]:
        return [self.jobs[job_id].seen for job_id in job_ids if job_id in self.jobs]

    def attempts(self, job_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        known = {job_id: self._attempts(job_id) for job_id in job_ids}
        return {job_id: attempts for job_id, attempts in known.items() if attempts is not None}

    def _attempts(self, job_id: str) -> tuple[Attempt, ...] | None:
        array_id, _, place = job_id.partition(":")
        entry = self.jobs.get(array_id)
        if entry is None:
            return None
        if place:
            child = next((child for child in entry.children if child.index == int(place)), None)
            stream = f"{job_id}/log"
            ran = child is not None and (child.status.ended or child.status is JobStatus.RUNNING)
            return (
                (Attempt(child.status, 1.0, 2.0, child.exit_code, child.reason, "", stream),) if child and ran else ()
            )
        seen = entry.seen
        made = Attempt(seen.status, seen.started_at, seen.stopped_at, seen.exit_code, seen.reason, "", seen.log_stream)
        return entry.attempts or ((made,) if seen.started_at else ())

    def terminate(self, job_id: str, reason: str) -> None:
        if job_id in self.jobs and self.jobs[job_id].seen.begun:
            if not self.jobs[job_id].seen.status.ended:
                self.end(job_id, JobStatus.FAILED, reason=reason, exit_code=137)
        else:
            self.cancel(job_id, reason)

    def cancel(self, job_id: str, reason: str) -> None:
        """One that waits for others keeps its state until they have ended, as in Batch."""
        entry = self.jobs.get(job_id)
        if entry is None or entry.seen.status.ended or entry.seen.begun:
            return
        if all(self.jobs[other].seen.status.ended for other in entry.depends_on):
            self._fail_unstarted(job_id, reason)
        else:
            entry.seen = replace(entry.seen, cancelled=True, reason=reason)

    def children(self, array_id: str, status: JobStatus, limit: int | None = None) -> list[Child] | None:
        entry = self.jobs.get(array_id)
        if entry is None or not entry.job.array_size:
            return None
        return [child for child in entry.children if child.status is status][:limit]

    def end_array(self, job_id: str, failed: Mapping[int, str] | None = None) -> None:
        """The array's children ran; those of `failed` (by their place in it) failed for these reasons."""
        entry, reasons = self.jobs[job_id], failed or {}
        entry.children = tuple(
            Child(place, JobStatus.FAILED, reasons[place], 1) if place in reasons else Child(place, JobStatus.SUCCEEDED)
            for place in range(entry.job.array_size)
        )
        self.end(job_id, JobStatus.FAILED if failed else JobStatus.SUCCEEDED)
        counts = Counter(str(child.status) for child in entry.children)
        entry.seen = replace(entry.seen, child_counts=dict(counts))

    def end(self, job_id: str, status: JobStatus, *, reason: str = "", exit_code: int | None = None) -> None:
        """The job ran and ended like this; where it failed, jobs that depend on it fail unstarted, as in Batch."""
        entry = self.jobs[job_id]
        entry.seen = Observation(job_id, status, reason, exit_code, started_at=1.0, stopped_at=2.0, attempts=1)
        if status is JobStatus.FAILED:
            self._fail_dependents(job_id)
        for other in self._dependents.get(job_id, ()):
            waiter = self.jobs[other]
            if waiter.seen.cancelled and not waiter.seen.status.ended:
                self.cancel(other, waiter.seen.reason)

    def _fail_unstarted(self, job_id: str, reason: str) -> None:
        entry = self.jobs[job_id]
        entry.seen = Observation(job_id, JobStatus.FAILED, reason, cancelled=True)
        self._fail_dependents(job_id)

    def _fail_dependents(self, job_id: str) -> None:
        failed = deque([job_id])
        while failed:
            for other in self._dependents.get(failed.popleft(), ()):
                entry = self.jobs[other]
                if not entry.seen.status.ended:
                    reason = entry.seen.reason or "Dependent Job failed"
                    entry.seen = replace(entry.seen, status=JobStatus.FAILED, reason=reason)
                    failed.append(other)
