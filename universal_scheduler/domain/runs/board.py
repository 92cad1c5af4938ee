"""The board of a run: it keeps the run's jobs between turns, so that a plan only costs what has changed. It is pure."""

from __future__ import annotations

from collections import ChainMap, Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush

from universal_scheduler.domain.runs.model import JobRun, JobStatus, Mark
from universal_scheduler.domain.runs.planner import (
    INTENT_SETTLE_SECONDS,
    Plan,
    Planning,
    Wait,
    outcome,
    plan,
    upstream_first,
)
from universal_scheduler.domain.runs.rules import NEEDS_ALL


class Board:
    """The jobs of one run. It gets every change, and plans the same as `planner.plan`.

    A plan only looks at the jobs that have changed since the last plan, the jobs downstream of them, the jobs that wait
    for a time, and the jobs that the last plan had something to do for. A plan leaves out the jobs that wait. Where
    every job depends on every other one (a limit, a cancelled run, finally jobs), it calls the full planner.
    """

    def __init__(self, jobs: Iterable[JobRun]) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._final = any(job.job.final for job in self._jobs.values())
        order = upstream_first({job.name: job.job.depends_on for job in self._jobs.values()})
        self._rank = {name: rank for rank, name in enumerate(order)}
        self._names = order
        self._downstream: dict[str, list[str]] = defaultdict(list)
        self._readers: dict[str, list[str]] = defaultdict(list)
        self._live: set[str] = set()
        self._timed: set[str] = set()
        self._open = 0
        self._open_upstream: Counter[str] = Counter()
        self._live_upstream: Counter[str] = Counter()
        self._needed: dict[str, int] = {}
        self._needs: Counter[int] = Counter()
        for job in self._jobs.values():
            for upstream in _upstream(job):
                self._downstream[upstream].append(job.name)
            for upstream in job.job.outputs_of:
                self._readers[upstream].append(job.name)
        for job in self._jobs.values():
            self._note(job)
            self._count(job, 1)
        for name in self._jobs:
            self._weigh(name)
        self._to_visit = set(self._jobs)

    @property
    def jobs(self) -> dict[str, JobRun]:
        """The jobs by name, in their first order. Only `update` may change them."""
        return self._jobs

    def update(self, jobs: Iterable[JobRun]) -> None:
        """Take the new state of these jobs. The dependencies of a job never change."""
        for job in jobs:
            before = self._jobs[job.name]
            if before is job:
                continue
            self._count(before, -1)
            self._jobs[job.name] = job
            self._note(job)
            self._count(job, 1)
            self._weigh(job.name)
            self._to_visit.add(job.name)
            self._to_visit.update(job.job.outputs_of)
            self._to_visit.update(self._downstream[job.name])
            if _presence(before) != _presence(job):
                for name in self._downstream[job.name]:
                    self._weigh(name)

    def plan(self, now: float, limit: int | None = None, cancel: Mark | None = None) -> Plan:
        """Plan like `planner.plan`, but leave out the jobs that wait. `ends_needed` is only right if there is nothing
        to do."""
        if self._final or limit is not None or cancel is not None:
            return plan(list(self._jobs.values()), now, limit, cancel)
        planning = Planning(ChainMap({}, self._jobs), set(self._live), _Wanted(self._jobs, self._readers), now)
        ahead: list[int] = []
        for name in self._to_visit | self._timed:
            heappush(ahead, self._rank[name])
        last, supposed = -1, set[str]()
        while ahead:
            rank = heappop(ahead)
            if rank == last:
                continue
            last = rank
            if planning.visit(self._names[rank]):
                for name in self._downstream[self._names[rank]]:
                    supposed.add(name)
                    heappush(ahead, self._rank[name])
        work = tuple(action for action in planning.actions if not isinstance(action, Wait))
        # What was decided on what the plan only supposes has to be decided again.
        self._to_visit = supposed.union(action.name for action in work)
        done = not work and not self._open
        needed = min((ends for ends, jobs in self._needs.items() if jobs), default=len(self._live))
        return Plan(work, outcome(list(self._jobs.values())) if done else None, max(1, needed), self._due(now))

    def _note(self, job: JobRun) -> None:
        """What of the run's own sets the job is in."""
        keep = self._live.add if job.status.live else self._live.discard
        keep(job.name)
        waits = not job.status.ended and not job.status.live and bool(job.job.not_before)
        keep = self._timed.add if waits or job.status is JobStatus.SUBMITTING else self._timed.discard
        keep(job.name)

    def _count(self, job: JobRun, one: int) -> None:
        is_open, is_live = _presence(job)
        self._open += one * is_open
        for name in self._downstream[job.name]:
            self._open_upstream[name] += one * is_open
            self._live_upstream[name] += one * is_live

    def _weigh(self, name: str) -> None:
        """How many ends the job waits for, as `planner.plan` counts them."""
        before = self._needed.pop(name, None)
        if before is not None:
            self._needs[before] -= 1
        job = self._jobs[name]
        if job.status.ended or job.status.live:
            return
        is_open, at_work = self._open_upstream[name], self._live_upstream[name]
        needed = 1 if job.job.run_when not in NEEDS_ALL else at_work if at_work == is_open else 0
        if at_work and needed:
            self._needed[name] = needed
            self._needs[needed] += 1

    def _due(self, now: float) -> float | None:
        times = []
        for name in self._timed:
            job = self._jobs[name]
            times.append(job.job.not_before)
            if job.status is JobStatus.SUBMITTING:
                times.append(job.intent_at + INTENT_SETTLE_SECONDS)
        return min((time for time in times if time > now), default=None)


class _Wanted(Mapping[str, str]):
    """Of each job whose output is referred to: the last job that refers to it and has not ended."""

    def __init__(self, jobs: Mapping[str, JobRun], readers: Mapping[str, list[str]]) -> None:
        self._jobs, self._readers = jobs, readers

    def __getitem__(self, name: str) -> str:
        for reader in reversed(self._readers.get(name, ())):
            if not self._jobs[reader].status.ended:
                return reader
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._readers if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _upstream(job: JobRun) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*job.job.depends_on, *job.job.outputs_of]))


def _presence(job: JobRun) -> tuple[bool, bool]:
    """Whether it has not ended, and whether its platform has it."""
    return not job.status.ended, job.status.live
