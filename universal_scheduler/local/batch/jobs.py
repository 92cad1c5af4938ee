"""Keeps the jobs: finds them by id, lists them by queue and status or by array, and forgets them in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from universal_scheduler.local.batch.errors import ClientError
from universal_scheduler.local.batch.job_file import Condition, JobFile
from universal_scheduler.local.batch.journal import Journal
from universal_scheduler.local.batch.model import Job, JobQueue, JobStatus, Json
from universal_scheduler.local.batch.pages import page, place_of

KEPT_MS = 7 * 24 * 3600 * 1000
"""https://docs.aws.amazon.com/batch/latest/userguide/job_states.html: ended jobs stay for at least seven days."""
MAX_RESULTS_BY_STATUS = 1000
MAX_RESULTS_BY_FILTER = 100
_LATEST = 10**12


RECENT = 512
"""How many ended jobs stay in memory: who waits for a job asks for it soon after its end."""
ARCHIVED_AT_ONCE = 64


class JobStore:
    """Every known job. The children of arrays are found by id and through their parent, not through the queue.

    Jobs that ended some time ago are in the file only, but for arrays and their children where the file is not
    durable. One that never ``archives`` keeps all in memory.
    """

    def __init__(self, file: JobFile, journal: Journal, *, archives: bool = True) -> None:
        self._file, self._journal, self._archives = file, journal, archives
        self._by_id: dict[str, Job] = {}
        self._by_queue: dict[str, dict[JobStatus, dict[str, Job]]] = {}
        self._ended: deque[Job] = deque()
        self._recent: deque[Job] = deque()

    def add(self, job: Job) -> None:
        self.enter(job)
        if job.parent is None:
            self._journal.new(job)
        else:
            self._journal.changed(job)

    def enter(self, job: Job) -> None:
        """A job that is in the file already."""
        self._by_id[job.id] = job
        if job.parent is None:
            self._in_status(job)[job.id] = job

    def withdraw(self, job: Job) -> None:
        """A job that was just added, and could not be written."""
        self._journal.withdraw(job)
        self._drop(job)

    def get(self, job_id: str) -> Job | None:
        return self._by_id.get(job_id) or self._file.get(job_id)

    def children(self, array_id: str) -> Sequence[Job]:
        """All children of an array; none of one that has none, or is not known."""
        job = self.get(array_id)
        if job is None or job.array is None:
            return ()
        return job.array.children if job.id in self._by_id else self._file.all_children(job)

    def move(self, job: Job, status: JobStatus, now: int) -> None:
        """Set a job's status, in the indexes too."""
        if job.parent is None:
            del self._in_status(job)[job.id]
            job.status = status
            self._in_status(job)[job.id] = job
            if status.is_final:
                self._keep_ended(job)
        else:
            array = job.parent.array
            assert array is not None
            array.counts[job.status] -= 1
            array.counts[status] += 1
            array.updated_at = now
            job.status = status
        self._journal.changed(job)

    def changed(self, job: Job) -> None:
        """A job that was found here is another now; it may have been found in the file."""
        self._journal.changed(job)
        if job.id not in self._by_id and not self._file.durable:
            with self._file.transaction():
                self._file.change([job])

    def unfinished(self, queue: JobQueue) -> list[Job]:
        """The jobs of a queue that have not ended."""
        by_status = self._by_queue.get(queue.arn, {})
        return [job for status, jobs in by_status.items() if not status.is_final for job in jobs.values()]

    def counts(self) -> dict[tuple[str, ...], int]:
        """How many jobs have not ended, by the ARN of their queue and their status."""
        return {
            (queue, status.value): len(jobs)
            for queue, by_status in self._by_queue.items()
            for status, jobs in by_status.items()
            if not status.is_final
        }

    def live_tasks(self) -> set[str]:
        """The tasks of the attempts that run. For any thread."""
        return {job.task_id for job in list(self._by_id.values()) if job.task_id and not job.status.is_final}

    def forget(self, now: int, count: int) -> list[Job]:
        """Drop, and return, jobs that ended more than seven days ago: so many of those that are in the file only."""
        dropped: list[Job] = []
        for ended in (self._ended, self._recent):
            while ended and (ended[0].stopped_at or now) < now - KEPT_MS:
                dropped += self._drop(ended.popleft())
        with self._file.transaction():
            there = self._file.forget(now - KEPT_MS, count)
        return list({job.id: job for job in (*there, *dropped)}.values())

    def _drop(self, job: Job) -> list[Job]:
        """Keep a job no longer in memory, nor the children that it has."""
        self._in_status(job).pop(job.id, None)
        dropped = [job, *(job.array.children if job.array else ())]
        for it in dropped:
            self._by_id.pop(it.id, None)
        return dropped

    def _keep_ended(self, job: Job) -> None:
        if job.spec.array_size is not None and not self._file.durable:
            self._ended.append(job)
        else:
            self._recent.append(job)
            self._journal.after(self._put_away)

    def _put_away(self) -> None:
        if not self._archives or len(self._recent) < RECENT + ARCHIVED_AT_ONCE:
            return
        jobs = [self._recent.popleft() for _ in range(ARCHIVED_AT_ONCE)]
        if not self._file.durable:
            with self._file.transaction():
                self._file.add(jobs)
                self._file.change(jobs)
        for job in jobs:
            self._drop(job)

    def list_children(self, array_id: str, request: Json) -> tuple[Sequence[Job], dict[str, str]]:
        """A page of an array's children in one status, RUNNING unless the request says another."""
        parent = self.get(array_id)
        if parent is None or parent.spec.array_size is None or parent.parent is not None:
            raise ClientError(f"Array job {array_id} does not exist.")
        status = JobStatus(request.get("jobStatus", JobStatus.RUNNING))
        if parent.id in self._by_id:
            children = [job for job in parent.array.children if job.status is status] if parent.array else []
        else:
            after, wanted = _part(request, MAX_RESULTS_BY_STATUS, -1)
            children = self._file.children(parent, status, after, wanted + 1)
        return page(children, request, lambda job: f"{job.index:05}", MAX_RESULTS_BY_STATUS)

    def list_queue(self, queue: JobQueue, request: Json) -> tuple[Sequence[Job], dict[str, str]]:
        """A page of a queue's jobs, the latest first: by filter, or else in one status.

        https://docs.aws.amazon.com/batch/latest/APIReference/API_ListJobs.html
        """
        by_status = self._by_queue.get(queue.arn, {})
        if filters := request.get("filters"):
            accepts, condition = _filter(filters)
            jobs = [job for found in by_status.values() for job in found.values() if accepts(job)]
            limit = MAX_RESULTS_BY_FILTER
        else:
            status = JobStatus(request.get("jobStatus", JobStatus.RUNNING))
            jobs, condition = list(by_status.get(status, {}).values()), ("status = ?", [status.value])
            limit = MAX_RESULTS_BY_STATUS
        place, wanted = _part(request, limit, 0)
        there = {job.seq for status, found in by_status.items() if status.is_final for job in found.values()}
        # One more tells that there are more.
        jobs += self._file.find(queue.arn, _LATEST - place, condition, wanted + 1, there)
        return page(jobs, request, lambda job: f"{_LATEST - job.seq:013}", limit)

    def _in_status(self, job: Job) -> dict[str, Job]:
        return self._by_queue.setdefault(job.spec.queue.arn, {}).setdefault(job.status, {})


def _part(request: Json, limit: int, first: int) -> tuple[int, int]:
    """The place after which a request's page begins, and how many it asks for at most."""
    token = request.get("nextToken")
    return place_of(token) if token else first, max(0, min(request.get("maxResults", limit), limit))


def _filter(filters: Sequence[Json]) -> tuple[Callable[[Job], bool], Condition]:
    """What a filter asks of a job, and the same for the file."""
    if len(filters) != 1:
        raise ClientError("Only one filter can be used at a time.")
    name, values = filters[0].get("name"), filters[0].get("values", [])
    if not values:
        raise ClientError(f"The filter {name} needs a value.")
    match name:
        case "JOB_NAME":
            patterns = [value.lower() for value in values]
            return _matcher(patterns, lambda job: job.spec.name.lower()), _matching(patterns, "name")
        case "JOB_DEFINITION":
            by_arn = any(value.startswith("arn:") for value in values)
            matcher = _matcher(values, lambda job: job.spec.definition.arn if by_arn else job.spec.definition.name)
            return matcher, _matching(values, "definition_arn" if by_arn else "definition")
        case "BEFORE_CREATED_AT":
            before = _milliseconds(values[0])
            return lambda job: job.created_at < before, ("created < ?", [before])
        case "AFTER_CREATED_AT":
            after = _milliseconds(values[0])
            return lambda job: job.created_at > after, ("created > ?", [after])
        case _:
            raise ClientError(
                f"{name!r} is no filter: use JOB_NAME, JOB_DEFINITION, BEFORE_CREATED_AT or AFTER_CREATED_AT."
            )


def _matcher(patterns: Sequence[str], value: Callable[[Job], Any]) -> Callable[[Job], bool]:
    exact = {pattern for pattern in patterns if not pattern.endswith("*")}
    prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
    return lambda job: value(job) in exact or (bool(prefixes) and value(job).startswith(prefixes))


def _matching(patterns: Sequence[str], column: str) -> Condition:
    """As _matcher."""
    prefixes = [pattern[:-1] for pattern in patterns if pattern.endswith("*")]
    exact = [pattern for pattern in patterns if not pattern.endswith("*")]
    parts = [f"{column} = ?"] * len(exact)
    parts += [f"substr({column}, 1, {len(prefix)}) = ?" for prefix in prefixes]
    return " OR ".join(parts), [*exact, *prefixes]


def _milliseconds(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ClientError(f"{value!r} is not a time in milliseconds.") from None
