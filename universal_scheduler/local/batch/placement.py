"""Decides which runnable job starts next, and where: by queue priority, in order of submission, as far as vCPUs go.

https://docs.aws.amazon.com/batch/latest/userguide/job_scheduling.html
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping

from universal_scheduler.local.batch.model import ComputeEnvironment, Job, JobQueue, JobStatus, Reason, State


class Placement:
    """The runnable jobs of each queue and the vCPUs that are taken in each compute environment."""

    def __init__(self) -> None:
        self._ready: dict[str, list[tuple[int, int, Job]]] = {}
        self._used: dict[str, int] = {}
        self._blocking: dict[str, Job] = {}
        self._blocked: list[Job] = []

    def add(self, job: Job) -> None:
        """A job became runnable. A retried one keeps its place in the order of submission."""
        heapq.heappush(self._ready.setdefault(job.spec.queue.arn, []), (job.seq, job.index or 0, job))

    def occupy(self, job: Job) -> None:
        """A job runs in an environment since before this engine's start."""
        if job.environment is not None:
            arn = job.environment.arn
            self._used[arn] = self._used.get(arn, 0) + job.spec.millicpus

    def release(self, job: Job) -> None:
        """A job's attempt is over: give back what it held."""
        if job.environment is not None:
            self._used[job.environment.arn] -= job.spec.millicpus
            job.environment = None

    def blocking(self) -> list[Job]:
        """The jobs that have come to hold up their queues since the last call: too large for every environment."""
        blocked, self._blocked = self._blocked, []
        return blocked

    def hold(self, reason: str) -> bool:
        """Say why the next job of each queue does not start. Whether there is one."""
        heads = [ready[0][2] for ready in self._ready.values() if ready]
        for job in [job for job in heads if job.status is JobStatus.RUNNABLE]:
            job.status_reason = reason
        return bool(heads)

    def place(
        self, queues: Iterable[JobQueue], environments: Mapping[str, ComputeEnvironment]
    ) -> Iterator[tuple[Job, ComputeEnvironment]]:
        """Take every job that can start now. A queue stops at its first job that cannot (FIFO, so that a large job is
        not overtaken for ever), and what that job waits for is not given to queues of lower priority either."""
        reserved: set[str] = set()
        for queue in sorted(queues, key=lambda queue: -queue.priority):
            ready = self._ready.get(queue.arn)
            if not ready:
                continue
            usable = [
                environment
                for arn in queue.environments
                if (environment := environments.get(arn)) and environment.state is State.ENABLED
            ]
            while ready:
                job = ready[0][2]
                if job.status is not JobStatus.RUNNABLE:  # cancelled meanwhile
                    heapq.heappop(ready)
                    continue
                fitting = [environment for environment in usable if environment.capacity >= job.spec.millicpus]
                if not fitting:
                    # As on AWS it stays at the head of the queue until it is cancelled or the environment is changed.
                    job.status_reason = Reason.TOO_LARGE if usable else None
                    if usable and self._blocking.get(queue.arn) is not job:
                        self._blocking[queue.arn] = job
                        self._blocked.append(job)
                    break
                chosen = next((it for it in fitting if it.arn not in reserved and self._has_room(it, job)), None)
                if chosen is None:
                    reserved.update(environment.arn for environment in fitting)
                    break
                heapq.heappop(ready)
                self._used[chosen.arn] = self._used.get(chosen.arn, 0) + job.spec.millicpus
                yield job, chosen

    def _has_room(self, environment: ComputeEnvironment, job: Job) -> bool:
        return self._used.get(environment.arn, 0) + job.spec.millicpus <= environment.capacity
