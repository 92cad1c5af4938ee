"""Simulates a run of a schedule with the real planner and use cases, over memory and simulated time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count, islice
from math import inf
from typing import Any

from universal_scheduler.adapters.memory.objects import MemoryObjects
from universal_scheduler.adapters.memory.platform import MemoryPlatform
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.domain.errors import DocumentError, InvalidSchedule, did_you_mean
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.model import Changes, Execution, JobRun, JobStatus, Run, Scalar
from universal_scheduler.domain.runs.references import outputs_referred_to
from universal_scheduler.local.trial_document import as_tried
from universal_scheduler.usecases.drive import Next, RunRef, Turn, poll_jobs, record_result, submit_jobs
from universal_scheduler.usecases.start import start_run

DEFAULT_SECONDS = 60.0
SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Simulated:
    """The end of the simulated run. Times of its jobs are epoch seconds; the run starts at `started`."""

    run: Run
    jobs: tuple[JobRun, ...]
    started: float


def simulate(
    document: Mapping[str, Any],
    *,
    exit_codes: Mapping[str, int] | None = None,
    durations: Mapping[str, float] | None = None,
    outputs: Mapping[str, Mapping[str, Scalar]] | None = None,
    parameters: Mapping[str, Scalar] | None = None,
    now: float = 0.0,
) -> Simulated:
    """Simulate a run. Nothing is submitted anywhere, and the same arguments give the same result.

    `exit_codes` has the exit codes of jobs, by job name; the other jobs succeed. An array with an exit code just fails,
    because arrays have none. `durations` are seconds by job name; 60 for the other jobs. `outputs` are outputs by job
    name; a value that a job refers to and that is not given is `simulated`, and so is the only value of a list in S3.
    `parameters` replace the schedule's defaults. `now` is the start of the run, in epoch seconds.

    There is no limit on capacity, and a held job is released at once. The short delay between the end of a job and the
    reaction to it is left out.

    Raises:
        InvalidSchedule: the document is not valid, or a job or a parameter that is named does not exist.
    """
    store, platform, objects = MemoryStore(), MemoryPlatform(), _Objects()
    run = start_run(store, as_tried(document, parameters), Execution("simulation", "simulation"), f"{iso(now)}Z")
    _check_names(store.list_jobs(run.key.run_id), [*(exit_codes or {}), *(durations or {}), *(outputs or {})])
    put_out = _expected_outputs(run.document, outputs or {})
    world = _World(platform, objects, exit_codes or {}, durations or {}, put_out, now)
    ref, turn = RunRef(run.key, run.generation), Turn(Next.SUBMIT, Changes())
    while turn.next is not Next.RECORD:
        if turn.next is Next.SUBMIT:
            turn = submit_jobs(store, platform, objects, ref, lambda: world.now, lambda: inf)
        else:
            world.advance(turn.ends_needed, _waking(store.list_jobs(run.key.run_id)))
            turn = poll_jobs(store, platform, ref, world.now)
    record_result(store, ref, world.now)
    ended = store.get_run(run.key)
    assert ended is not None
    return Simulated(ended, tuple(store.list_jobs(run.key.run_id)), now)


class _World:
    """The platform's jobs in simulated time: each starts when those before it have succeeded, and lasts as told."""

    def __init__(
        self,
        platform: MemoryPlatform,
        objects: MemoryObjects,
        exit_codes: Mapping[str, int],
        durations: Mapping[str, float],
        outputs: Mapping[str, Mapping[str, Scalar]],
        now: float,
    ) -> None:
        self._platform, self._exit_codes, self._durations = platform, exit_codes, durations
        self._objects, self._outputs = objects, outputs
        self.now = now
        self._known = 0
        """How many of the platform's jobs have been looked at."""
        self._unmet: dict[str, int] = {}
        """Of each job that waits: how many of those before it have not ended."""
        self._dependents: dict[str, list[str]] = defaultdict(list)
        self._ends: list[tuple[float, int, str]] = []
        """A heap of what runs: when it ends, and in which order it started."""
        self._order = count()

    def advance(self, ends_needed: int, wakings: Sequence[float]) -> None:
        """Until a run that waits for so many ends has something new to decide, as it would be woken by events.

        That is also when a job has failed, and at the next time that a job waits for.
        """
        self._update()
        waking = min((waking for waking in wakings if waking > self.now), default=inf)
        failed = False
        while ends_needed > 0 and not failed and self.now < waking:
            self.now = min(self._ends[0][0] if self._ends else inf, waking)
            if self.now == inf:
                raise RuntimeError("the run waits for something that never happens: this is a defect of the planner")
            while self._ends and self._ends[0][0] <= self.now:
                _, _, job_id = heappop(self._ends)
                ends_needed -= 1
                failed = not self._end(job_id) or failed

    def _update(self) -> None:
        """The jobs that were submitted since the last look."""
        jobs = self._platform.jobs
        for job_id, entry in islice(jobs.items(), self._known, None):
            upstream = [other for other in entry.depends_on if jobs[other].seen.status is not JobStatus.SUCCEEDED]
            for other in upstream:
                self._dependents[other].append(job_id)
            self._unmet[job_id] = len(upstream)
            if not upstream:
                self._start(job_id)
        self._known = len(jobs)

    def _start(self, job_id: str) -> None:
        entry = self._platform.jobs[job_id]
        if entry.seen.status.ended:
            return
        entry.seen = replace(entry.seen, status=JobStatus.RUNNING, started_at=self.now)
        end = self.now + self._durations.get(entry.job.name, DEFAULT_SECONDS)
        heappush(self._ends, (end, next(self._order), job_id))

    def _end(self, job_id: str) -> bool:
        """Whether it succeeded: then those behind it may start."""
        entry = self._platform.jobs[job_id]
        started, code = entry.seen.started_at, self._exit_codes.get(entry.job.name, 0)
        status = JobStatus.FAILED if code else JobStatus.SUCCEEDED
        if entry.job.name in self._outputs:
            content = json.dumps(self._outputs[entry.job.name]).encode()
            self._objects.objects[entry.environment["USCHED_OUTPUT"]] = content
        reported = None if entry.job.array_size else code  # Batch has an exit code of an array's children only
        self._platform.end(job_id, status, exit_code=reported, reason="simulated failure" if code else "")
        entry.seen = replace(entry.seen, started_at=started, stopped_at=self.now)
        for other in self._dependents.pop(job_id, ()):
            self._unmet[other] -= 1
            if not self._unmet[other]:
                self._start(other)
        return not code


class _Objects(MemoryObjects):
    """Has what jobs have put out; anything else that is read is a list of values, which nobody knows."""

    def read(self, address: str, limit_bytes: int) -> bytes:
        if address in self.objects:
            return super().read(address, limit_bytes)
        return json.dumps([SIMULATED]).encode()


def _expected_outputs(
    document: Mapping[str, Any], outputs: Mapping[str, Mapping[str, Scalar]]
) -> dict[str, dict[str, Scalar]]:
    """What each job puts out that another refers to, or of which it was told."""
    expected: dict[str, dict[str, Scalar]] = {}
    for entry in document["jobList"]:
        for _, job, name in outputs_referred_to(entry):
            expected.setdefault(job, {})[name] = SIMULATED
    for job, values in outputs.items():
        expected.setdefault(job, {}).update(values)
    return expected


def _waking(jobs: Sequence[JobRun]) -> list[float]:
    return [job.job.not_before for job in jobs if not job.status.ended and job.job.not_before]


def _check_names(jobs: Sequence[JobRun], names: Sequence[str]) -> None:
    known = [job.name for job in jobs]
    unknown = [name for name in names if name not in known]
    if unknown:
        expected = f"a job of the schedule: {', '.join(known[:20])}"
        found = [f"no job '{name}'{did_you_mean(name, known)}" for name in unknown]
        raise InvalidSchedule([DocumentError("$.jobList", what, expected) for what in found])
