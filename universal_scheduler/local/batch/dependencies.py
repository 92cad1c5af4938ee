"""What jobs wait for: reads ``dependsOn``, and finds the jobs that wait for one without looking at the others.

https://docs.aws.amazon.com/batch/latest/userguide/job_dependencies.html
https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from universal_scheduler.local.batch.errors import ClientError
from universal_scheduler.local.batch.model import Dependencies, Job, Json


def parse_dependencies(
    depends_on: Sequence[Json], array_size: int | None, find: Callable[[str], Job | None]
) -> Dependencies:
    """Read a request's ``dependsOn``. ``find`` looks a job up by its id. ClientError if AWS would refuse it.

    A type is only meaningful between arrays. AWS takes one between single jobs too, and then it changes nothing.
    """
    jobs: dict[str, None] = {}
    n_to_n: dict[str, None] = {}
    sequential = False
    for entry in depends_on:
        job_id, kind = entry.get("jobId"), entry.get("type")
        if job_id is None:
            if kind != "SEQUENTIAL" or array_size is None:
                raise ClientError("A dependency needs a jobId, unless it is of type SEQUENTIAL and in an array job.")
            sequential = True
            continue
        upstream = find(job_id)
        if upstream is None:
            raise ClientError(f"Job {job_id} in dependsOn does not exist.")
        size = upstream.spec.array_size if upstream.parent is None else None
        if kind == "N_TO_N" and size != array_size:
            raise ClientError(
                f"An N_TO_N dependency is between arrays of one size: job {job_id} has {size or 'no'} children, "
                f"this one has {array_size or 'none'}."
            )
        if kind == "N_TO_N" and size is not None:
            n_to_n[job_id] = None
        else:
            jobs[job_id] = None
    return Dependencies(tuple(jobs), tuple(n_to_n), sequential)


class Waiters:
    """The jobs that wait for a job, by that job's id."""

    def __init__(self) -> None:
        self._by_upstream: dict[str, list[Job]] = {}

    def add(self, upstream: Job, job: Job) -> None:
        """``job`` waits for ``upstream``, which has not ended."""
        self._by_upstream.setdefault(upstream.id, []).append(job)
        job.unmet += 1

    def pop(self, upstream: Job) -> Sequence[Job]:
        """Those that waited for a job that has ended now."""
        return self._by_upstream.pop(upstream.id, ())
