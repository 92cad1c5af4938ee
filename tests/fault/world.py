"""A simulated world for fault tests: one thread, one seed, a clock of its own, and ports that fail when told to."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest

from universal_scheduler.adapters.memory.job_log import MemoryJobLog
from universal_scheduler.adapters.memory.objects import MemoryObjects
from universal_scheduler.adapters.memory.outbox import MemoryOutbox
from universal_scheduler.adapters.memory.platform import MemoryPlatform
from universal_scheduler.adapters.memory.state import Parked
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.watch import MemoryWatch
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.errors import (
    IllegalVerb,
    PlatformUnavailable,
    RunChanged,
    RunNotFound,
    SchedulerError,
    StaleExecution,
    StoreUnavailable,
    SweepFailed,
    Throttled,
)
from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.runs.model import Changes, Execution, JobStatus, Mark, Run, RunKey, RunStatus, Verb
from universal_scheduler.ports.workflow import Stopped
from universal_scheduler.usecases.boards import Boards
from universal_scheduler.usecases.drive import (
    Next,
    RunRef,
    Turn,
    next_or_continue,
    poll_jobs,
    record_result,
    seconds_to_wait,
    submit_jobs,
)
from universal_scheduler.usecases.start import start_run
from universal_scheduler.usecases.sweep import Watchdogs, sweep
from universal_scheduler.usecases.verbs import cancel_run
from universal_scheduler.usecases.wake import handle_job_events, wait_for_change

T = TypeVar("T")
LISTED_AFTER_SECONDS = 45.0
"""How long the simulated ListJobs does not show a job that was accepted: less than what the planner allows for."""
RETRY_SECONDS = 2.0
PAUSE_SECONDS = 5.0
NOTHING: Mapping[str, Mapping[str, Any]] = {}
EVENTS_AT_ONCE = 10
REFUSED: dict[str, type[SchedulerError]] = {"submit": Throttled, "read": StoreUnavailable}


class Crash(Exception):
    """The function was cut off here."""


class ExecutionLost(Exception):
    """The execution of the state machine is gone: nobody tries the state again."""


TALLY: Counter[str] = Counter()
"""How many faults and runs there were in this process; the end of the tests prints it."""


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
            TALLY["faults"] += 1
        match fault:
            case "crash before":
                raise Crash(name)
            case "throttle":
                raise REFUSED.get(name, PlatformUnavailable)(f"{name} was throttled")
            case "lost answer":
                call()
                raise (StoreUnavailable if name == "read" else PlatformUnavailable)(f"{name}'s answer was lost")
        result = call()
        if fault == "crash after":
            raise Crash(name)
        if fault == "execution lost":
            raise ExecutionLost(name)
        return result


class Faulty:
    """A port whose every method goes through the faults."""

    def __init__(self, port: Any, faults: Faults) -> None:
        self._port, self._faults = port, faults

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)
        return lambda *args, **kwargs: self._faults.around(name, lambda: method(*args, **kwargs))


class FaultyObjects(Faulty):
    """What an object's address is needs no call."""

    def address(self, key: str) -> str:
        return MemoryObjects().address(key)


class SimulatedBatch(MemoryPlatform):
    """Batch accepts a job at once and lists it later; what happens to a job is told to `listener`."""

    clock: Callable[[], float] = staticmethod(lambda: 0.0)
    listener: Callable[[str], None] = staticmethod(lambda _job_id: None)
    accepted: dict[str, float]
    slow: Callable[[], bool] = staticmethod(lambda: False)
    """Whether a job that is cancelled keeps its state for a while: in its queue, Batch ends it when its turn comes."""

    def submit(self, *args: Any, **kwargs: Any) -> str:
        job_id = super().submit(*args, **kwargs)
        self.accepted[job_id] = self.clock()
        self.listener(job_id)
        return job_id

    def cancel(self, job_id: str, reason: str) -> None:
        entry = self.jobs[job_id]
        if entry.seen.status.ended or entry.seen.begun or entry.seen.cancelled or not self.slow():
            super().cancel(job_id, reason)
        else:
            entry.seen = replace(entry.seen, cancelled=True, reason=reason)

    def find(self, queue: str, name: str) -> str | None:
        found = super().find(queue, name)
        return found if found and self.clock() - self.accepted[found] >= LISTED_AFTER_SECONDS else None


@dataclass(order=True)
class Delivery:
    """An event on its way."""

    at: float
    number: int
    event: JobEvent = field(compare=False)


class World:
    """Drives one run as the state machine does: every state is tried again after a fault, as its Retry says.

    Of the events, the `chaos`th part is lost, and as many are delivered twice, and late.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        exit_codes: Mapping[str, int],
        faults: Faults,
        seed: int,
        max_turns: int = 1_000_000,
        chaos: float = 0.0,
        outputs: Mapping[str, Mapping[str, Any]] = NOTHING,
    ) -> None:
        self._max_turns = max_turns
        self.executions = 1
        self.now = 1_000_000.0
        self.store, self.platform, self.workflow = MemoryStore(), SimulatedBatch(), MemoryWorkflow()
        self.platform.clock, self.platform.accepted = lambda: self.now, {}
        self.platform.listener = self._accepted
        self.faults, self.chaos = faults, chaos
        self._document, self._exit_codes = document, exit_codes
        self._chance = random.Random(seed)
        self._faulty_store, self._faulty_platform = Faulty(self.store, faults), Faulty(self.platform, faults)
        self.objects, self._outputs = MemoryObjects(), outputs
        self._faulty_objects = FaultyObjects(self.objects, faults)
        self._faulty_workflow = Faulty(self.workflow, faults)
        self._deliveries: list[Delivery] = []
        self._told: dict[str, JobStatus] = {}
        self.platform.slow = lambda: self._chance.random() < 0.5
        self._tokens = self._sent = 0
        self._functions = [Boards(), Boards()]
        self._key = RunKey("", "")
        self.lost, self.driven, self.outbox = 0, False, MemoryOutbox()
        watch = Faulty(MemoryWatch(self.store), faults)
        ports = (self._faulty_store, watch, self._faulty_platform, self._faulty_workflow)
        self._dogs = Watchdogs(*ports, MemoryJobLog(), self.outbox, lambda: self.now, 1e9)

    def run(self) -> Run:
        TALLY["runs"] += 1
        execution = Execution("arn:exec:1", "one")
        started = "2026-11-21T06:00:00.123Z"
        run = self._tried(lambda: start_run(self._faulty_store, self._document, execution, started))
        self._key, self.driven = run.key, True
        ref: RunRef | None = RunRef(run.key, run.generation)
        while ref:
            try:
                self._drive(ref, run.wait_seconds)
                break
            except ExecutionLost:
                ref = self._resumed()
        ended = self.store.get_run(run.key)
        assert ended is not None
        return ended

    def _drive(self, ref: RunRef, wait_seconds: int) -> None:
        turn = Turn(Next.SUBMIT, Changes())
        turns = made = idle = 0
        while turn.next is not Next.RECORD or not self._recorded(ref):
            turns += 1
            assert turns < 1000, "the run does not end"
            if turn.next is Next.RECORD:  # an operator acted on the run while its end was being recorded
                turn = Turn(Next.SUBMIT, Changes())
            then = next_or_continue(turn.next, made, self._max_turns)
            if then is Next.CONTINUE:
                ref, then, made = self._continued(ref), Next.SUBMIT, 0
            if then is Next.PAUSE:
                self._pass(PAUSE_SECONDS)
                then = Next.SUBMIT
            if then is Next.WAIT and self._woken(ref, turn, idle, wait_seconds):
                then = Next.SUBMIT
            turn = self._submit(ref, made) if then is Next.SUBMIT else self._poll(ref)
            made += 1
            idle = 0 if turn.changed else idle + 1

    def _resumed(self) -> RunRef | None:
        """Whoever drives the run after its execution was lost, as the watchdogs do; None if they have given it up."""
        while True:
            self.lost, self.driven = self.lost + 1, False
            run, before = self.store.get_run(self._key), len(self.workflow.started)
            assert run is not None
            for arn in (run.execution.arn, *(self.workflow.execution(name).arn for name in self.workflow.started)):
                self.workflow.ends.setdefault(arn, Stopped(self.now))
            while len(self.workflow.started) == before:
                self._pass(60.0)
                with suppress(Crash, PlatformUnavailable, SweepFailed):
                    sweep(self._dogs, lambda: 100.0)
                run = self.store.get_run(self._key)
                if run is not None and run.status.ended:
                    return None
            self.driven = True
            with suppress(ExecutionLost):
                return self._taken_over(*list(self.workflow.started.items())[-1])

    def _taken_over(self, name: str, message: Mapping[str, Any]) -> RunRef:
        execution, started = self.workflow.execution(name), "2026-11-21T07:00:00Z"
        run = self._tried(lambda: start_run(self._faulty_store, message, execution, started))
        return RunRef(run.key, run.generation)

    @property
    def generation(self) -> int:
        run = self.store.get_run(self._key)
        return run.generation if run else 0

    def cancel(self) -> None:
        """An operator asks for the run's end, again and again until somebody has heard it, or it is over."""
        mark = Mark(Verb.CANCEL, "ann", self.now)
        with suppress(RunNotFound, IllegalVerb):
            self._again(lambda: cancel_run(self._faulty_store, self._faulty_workflow, self._key, mark))

    def _recorded(self, ref: RunRef) -> bool:
        return self._tried(lambda: record_result(self._faulty_store, ref, self.now)).ended

    def _woken(self, ref: RunRef, turn: Turn, idle: int, wait_seconds: int) -> bool:
        """Wait as the state does: whether something woke the run before its time-out."""
        end = self.now + seconds_to_wait(turn, wait_seconds, idle, True, self.now)
        try:
            self._tried(lambda: wait_for_change(self._faulty_store, ref, self._token(), turn.seen, turn.ends_needed))
        except RunChanged:
            return True
        while self.now < end:
            self._pass(self._chance.uniform(1, wait_seconds))
            if self.workflow.woken[-1:] == [f"token-{self._tokens}"]:
                return True
        return False

    def _token(self) -> str:
        """Every try of the task has its own."""
        self._tokens += 1
        return f"token-{self._tokens}"

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        self._let_jobs_end()
        due = sorted(delivery for delivery in self._deliveries if delivery.at <= self.now)
        self._deliveries = [delivery for delivery in self._deliveries if delivery.at > self.now]
        for start in range(0, len(due), EVENTS_AT_ONCE):
            self._deliver([delivery.event for delivery in due[start : start + EVENTS_AT_ONCE]])

    def _deliver(self, events: Sequence[JobEvent]) -> None:
        try:
            again = handle_job_events(
                self._faulty_store, self._faulty_workflow, self._faulty_platform, events, self.now
            )
        except (Crash, PlatformUnavailable, ExecutionLost):
            again = list(events)
        for event in again:
            self._send(event, RETRY_SECONDS)

    def _accepted(self, job_id: str) -> None:
        """Sometimes a job has ended, and its event is here, before SubmitJob has answered."""
        self._tell([job_id])
        if self._chance.random() < self.chaos:
            self._let_jobs_end()
            early, self._deliveries = self._deliveries, []
            self._deliver([delivery.event for delivery in early])

    def _tell(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            entry = self.platform.jobs[job_id]
            self._told[job_id] = entry.seen.status
            event = JobEvent(entry.seen, entry.name, entry.job.queue, self.now, run=self._key, job_name=entry.job.name)
            luck = self._chance.random()
            if luck < self.chaos:
                continue
            self._send(event, 0.1)
            if luck < 2 * self.chaos:
                self._send(event, self._chance.uniform(0, 200))
            elif luck < 3 * self.chaos:
                self._deliveries.pop()
                self._send(event, self._chance.uniform(0, 200))

    def _send(self, event: JobEvent, delay: float) -> None:
        self._sent += 1
        self._deliveries.append(Delivery(self.now + delay, self._sent, event))

    def _submit(self, ref: RunRef, number: int) -> Turn:
        """By one of two functions, each with a memory of its own."""
        ports = self._faulty_store, self._faulty_platform, self._faulty_objects

        def submit() -> Turn:
            boards = self._functions[self._chance.random() < 0.3]
            return submit_jobs(*ports, ref, lambda: self.now, lambda: 60.0, boards=boards, turn=number)

        return self._tried(submit)

    def _poll(self, ref: RunRef) -> Turn:
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

    def check(self, run: Run, expected: Mapping[str, str], optional: Container[str] = ()) -> None:
        """No job twice for one attempt, none before its rule holds, none lost, and the run ends right."""
        names = Counter(entry.name for entry in self.platform.jobs.values())
        assert not [name for name, count in names.items() if count > 1], "a job was submitted twice"
        jobs = {job.name: job for job in self.store.list_jobs(run.key.run_id)}
        assert {name: str(job.status) for name, job in jobs.items()} == expected
        known = {job.job_id for job in jobs.values() if job.job_id}
        assert known <= set(self.platform.jobs)
        taken_back = [entry for job_id, entry in self.platform.jobs.items() if job_id not in known]
        assert not [entry for entry in taken_back if entry.seen.started_at], "a job ran that nobody knows of"
        self._check_nothing_is_left()
        self._check_last(run)
        well = (JobStatus.SUCCEEDED, JobStatus.SKIPPED)
        fine = all(status in well or name in optional for name, status in expected.items())
        assert run.status is (RunStatus.SUCCEEDED if fine else RunStatus.FAILED)
        assert len(self.store.history) == 1
        assert not self.store.waits.get(run.key.run_id, Parked()).token, "a token is left"

    def check_cancelled(self, run: Run) -> None:
        """Nothing runs, nothing waits, and nothing was submitted twice; unless it was all over before."""
        names = Counter(entry.name for entry in self.platform.jobs.values())
        assert not [name for name, count in names.items() if count > 1], "a job was submitted twice"
        self._check_nothing_is_left()
        self._check_last(run)
        assert all(job.status.ended for job in self.store.list_jobs(run.key.run_id))
        assert (run.status is RunStatus.CANCELLED) == (run.cancel is not None)
        assert not self.store.waits.get(run.key.run_id, Parked()).token, "a token is left"

    def check_given_up(self, run: Run) -> None:
        """Nothing runs and nothing waits."""
        self._check_nothing_is_left()
        assert all(job.status.ended for job in self.store.list_jobs(run.key.run_id))
        assert not self.store.waits.get(run.key.run_id, Parked()).token, "a token is left"

    def _check_last(self, run: Run) -> None:
        """Finally jobs were given to Batch after all others, at least for the last time; and ran, unless skipped."""
        final = {job.name for job in self.store.list_jobs(run.key.run_id) if job.job.final}
        order = [entry.job.name for entry in self.platform.jobs.values()]
        others = max((at for at, name in enumerate(order) if name not in final), default=-1)
        for job in self.store.list_jobs(run.key.run_id):
            if job.name in final and job.status is not JobStatus.SKIPPED:
                assert max(at for at, name in enumerate(order) if name == job.name) > others
                assert job.status in (JobStatus.SUCCEEDED, JobStatus.FAILED)

    def _check_nothing_is_left(self) -> None:
        """What has not ended never starts: Batch was told to end it."""
        assert all(entry.seen.status.ended or entry.seen.cancelled for entry in self.platform.jobs.values())

    def _tried(self, step: Callable[[], T]) -> T:
        try:
            return self._again(step)
        except RunChanged:
            raise
        except SchedulerError as error:
            raise AssertionError(f"not to be retried: {error}") from error

    def _again(self, step: Callable[[], T]) -> T:
        for _ in range(200):
            try:
                return step()
            except (Crash, PlatformUnavailable):
                self.now += RETRY_SECONDS
        raise AssertionError("it never succeeds")

    def _let_jobs_end(self) -> None:
        jobs = self.platform.jobs
        ready = [
            job_id
            for job_id, entry in jobs.items()
            if not entry.seen.status.ended
            and all(jobs[other].seen.status is JobStatus.SUCCEEDED for other in entry.depends_on)
            and self._chance.random() < 0.3
        ]
        for job_id in ready:
            seen, name = jobs[job_id].seen, jobs[job_id].job.name
            if seen.cancelled and not seen.begun:
                self.platform.cancel(job_id, seen.reason)
                continue
            if not seen.begun and self._chance.random() < 0.5:
                jobs[job_id].seen = replace(seen, status=JobStatus.RUNNING, started_at=self.now)
                continue
            code = self._exit_codes.get(name, 0)
            if name in self._outputs:
                address = jobs[job_id].environment["USCHED_OUTPUT"]
                self.objects.objects[address] = json.dumps(self._outputs[name]).encode()
            self.platform.end(job_id, JobStatus.FAILED if code else JobStatus.SUCCEEDED, exit_code=code)
        changed = [job_id for job_id, entry in jobs.items() if entry.seen.status is not self._told.get(job_id)]
        self._chance.shuffle(changed)
        self._tell(changed)
