"""A simulated world for fault tests: one thread, one seed, a clock of its own, and ports that fail when told to."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from universal_scheduler.adapters.memory import MemoryPlatform, MemoryStore
from universal_scheduler.domain.errors import PlatformUnavailable, SchedulerError, StaleExecution, Throttled
from universal_scheduler.domain.model import Execution, JobStatus, Run, RunStatus
from universal_scheduler.usecases.drive import Next, RunRef, next_or_continue, poll_jobs, record_result, submit_jobs
from universal_scheduler.usecases.start import start_run

T = TypeVar("T")
LISTED_AFTER_SECONDS = 45.0
"""How long the simulated ListJobs does not show a job that was accepted: less than what the planner allows for."""
RETRY_SECONDS = 2.0
PAUSE_SECONDS = 5.0


class Crash(Exception):
    """The function was cut off here."""


@dataclass
class Faults:
    """Decides, at each call to a port, what goes wrong: nothing, or before, or after the call has taken effect."""

    decide: Callable[[int], str]
    calls: int = 0
    injected: Counter[str] = field(default_factory=Counter)

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        number, self.calls = self.calls, self.calls + 1
        fault = self.decide(number)
        if fault:
            self.injected[f"{fault} {name}"] += 1
        match fault:
            case "crash before":
                raise Crash(name)
            case "throttle":
                raise (Throttled if name == "submit" else PlatformUnavailable)(f"{name} was throttled")
            case "lost answer":
                call()
                raise PlatformUnavailable(f"{name} was answered with an error")
        result = call()
        if fault == "crash after":
            raise Crash(name)
        return result


class Faulty:
    """A port whose every method goes through the faults."""

    def __init__(self, port: Any, faults: Faults) -> None:
        self._port, self._faults = port, faults

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)
        return lambda *args, **kwargs: self._faults.around(name, lambda: method(*args, **kwargs))


class SlowlyListed(MemoryPlatform):
    """Batch accepts a job at once, and lists it later."""

    clock: Callable[[], float] = staticmethod(lambda: 0.0)
    accepted: dict[str, float]

    def submit(self, *args: Any, **kwargs: Any) -> str:
        job_id = super().submit(*args, **kwargs)
        self.accepted[job_id] = self.clock()
        return job_id

    def find(self, queue: str, name: str) -> str | None:
        found = super().find(queue, name)
        return found if found and self.clock() - self.accepted[found] >= LISTED_AFTER_SECONDS else None


class World:
    """Drives one run as the state machine does: every state is tried again after a fault, as its Retry says."""

    def __init__(
        self,
        document: Mapping[str, Any],
        exit_codes: Mapping[str, int],
        faults: Faults,
        seed: int,
        max_turns: int = 1_000_000,
    ) -> None:
        self._max_turns = max_turns
        self.executions = 1
        self.now = 1_000_000.0
        self.store, self.platform = MemoryStore(), SlowlyListed()
        self.platform.clock, self.platform.accepted = lambda: self.now, {}
        self.faults = faults
        self._document, self._exit_codes = document, exit_codes
        self._chance = random.Random(seed)
        self._faulty_store, self._faulty_platform = Faulty(self.store, faults), Faulty(self.platform, faults)

    def run(self) -> Run:
        execution = Execution("arn:exec:1", "one")
        started = "2026-11-21T06:00:00.123Z"
        run = self._tried(lambda: start_run(self._faulty_store, self._document, execution, started))
        ref, then, turns = RunRef(run.key, run.generation), Next.SUBMIT, 0
        while then is not Next.RECORD:
            turns += 1
            assert turns < 1000, "the run does not end"
            then = next_or_continue(then, turns % (self._max_turns + 1), self._max_turns)
            if then is Next.CONTINUE:
                ref, then = self._continued(ref), Next.SUBMIT
            if then is Next.PAUSE:
                self.now += PAUSE_SECONDS
                then = Next.SUBMIT
            elif then is Next.WAIT:
                self.now += run.wait_seconds
                self._let_jobs_end()
                then = self._poll(ref)
            else:
                then = self._submit(ref)
        self._tried(lambda: record_result(self._faulty_store, ref, self.now))
        ended = self.store.get_run(run.key)
        assert ended is not None
        return ended

    def _submit(self, ref: RunRef) -> Next:
        store, platform = self._faulty_store, self._faulty_platform
        return self._tried(lambda: submit_jobs(store, platform, ref, lambda: self.now, lambda: 60.0))

    def _poll(self, ref: RunRef) -> Next:
        return self._tried(lambda: poll_jobs(self._faulty_store, self._faulty_platform, ref, self.now))

    def _continued(self, ref: RunRef) -> RunRef:
        """The next execution takes the run over; the one before can do nothing more."""
        self.executions += 1
        execution = Execution(f"arn:exec:{self.executions}", f"next-{self.executions}")
        message = {
            "scheduleId": ref.key.schedule_id,
            "startDateTime": ref.key.start,
            "continueOf": ref.generation,
        }
        run = self._tried(lambda: start_run(self._faulty_store, message, execution, "2026-11-21T06:33:20.000Z"))
        with pytest.raises(StaleExecution):
            poll_jobs(self.store, self.platform, ref, self.now)
        return RunRef(run.key, run.generation)

    def check(self, run: Run, expected: Mapping[str, str]) -> None:
        """No job twice for one attempt, none before its rule holds, none lost, and the run ends right."""
        names = Counter(entry.name for entry in self.platform.jobs.values())
        assert not [name for name, count in names.items() if count > 1], "a job was submitted twice"
        jobs = {job.name: job for job in self.store.list_jobs(run.key.run_id)}
        assert {name: str(job.status) for name, job in jobs.items()} == expected
        known = {job.job_id for job in jobs.values() if job.job_id}
        assert known == set(self.platform.jobs), "a job runs that nobody knows of"
        fine = all(status in (JobStatus.SUCCEEDED, JobStatus.SKIPPED) for status in expected.values())
        assert run.status is (RunStatus.SUCCEEDED if fine else RunStatus.FAILED)
        assert len(self.store.history) == 1

    def _tried(self, step: Callable[[], T]) -> T:
        for _ in range(200):
            try:
                return step()
            except (Crash, PlatformUnavailable):
                self.now += RETRY_SECONDS
            except SchedulerError as error:
                raise AssertionError(f"not to be retried: {error}") from error
        raise AssertionError("it never succeeds")

    def _let_jobs_end(self) -> None:
        jobs = self.platform.jobs
        ready: Sequence[str] = [
            job_id
            for job_id, entry in jobs.items()
            if not entry.seen.status.ended
            and all(jobs[other].seen.status is JobStatus.SUCCEEDED for other in entry.depends_on)
        ]
        for job_id in self._chance.sample(ready, self._chance.randint(0, len(ready))):
            code = self._exit_codes.get(jobs[job_id].job.name, 0)
            self.platform.end(job_id, JobStatus.FAILED if code else JobStatus.SUCCEEDED, exit_code=code)
