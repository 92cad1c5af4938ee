"""A local Batch in which time and processes are the test's: nothing runs, nothing waits."""

from __future__ import annotations

import heapq
import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Any
from uuid import uuid4

from universal_scheduler.local.batch import Batch, BatchApi, Exit
from universal_scheduler.local.batch.runner import UNBOUNDED, Bounds
from universal_scheduler.local.state import Safety, State

REGION, ACCOUNT = "us-east-1", "123456789012"
ARN = f"arn:aws:batch:{REGION}:{ACCOUNT}"


@dataclass
class FakeTimer:
    action: Callable[[], None] | None

    def cancel(self) -> None:
        self.action = None


class FakeClock:
    """A clock that stands still until it is advanced."""

    def __init__(self) -> None:
        self.time = 1_700_000_000_000
        self._timers: list[tuple[int, int, FakeTimer]] = []
        self._order = itertools.count()

    def now(self) -> int:
        return self.time

    def call_later(self, seconds: float, action: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(action)
        heapq.heappush(self._timers, (self.time + round(seconds * 1000), next(self._order), timer))
        return timer

    def advance(self, seconds: float = 0) -> None:
        """Let time pass, with all that was to happen in it."""
        end = self.time + round(seconds * 1000)
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            self.time = max(self.time, due)
            if timer.action is not None:
                timer.action()
        self.time = end


@dataclass
class Command:
    argv: list[str]
    env: dict[str, str]
    cwd: Path
    output: Path
    on_start: Callable[[int], None]
    on_exit: Callable[[Exit], None]
    bounds: Bounds
    started: int
    signals: list[Signals] = field(default_factory=list)
    ended: Exit | None = None
    """How it ended while nobody listened."""


class FakeRunner:
    """Starts commands at once and lets the test say how they end. ``kept`` are the commands of an earlier runner."""

    def __init__(self, clock: FakeClock, kept: Mapping[str, Command] | None = None) -> None:
        self._clock = clock
        self.kept = kept is not None
        self.commands = dict(kept or {})
        self._adopted: set[str] = set()
        self.order: list[str] = []
        self.refuses: str | None = None
        self.starts = True

    async def open(self) -> None:
        pass

    async def close(self, *, keep: bool = False) -> None:
        pass

    def start(
        self,
        job_id: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        output_path: Path,
        *,
        bounds: Bounds = UNBOUNDED,
        on_start: Callable[[int], None],
        on_exit: Callable[[Exit], None],
    ) -> None:
        command = Command(list(argv), dict(env), cwd, output_path, on_start, on_exit, bounds, self._clock.now())
        self.order.append(job_id)
        if (error := self.refuses) is not None:
            self._clock.call_later(0, lambda: on_exit(Exit(error=error)))
            return
        self.commands[job_id] = command
        self._adopted.add(job_id)
        if self.starts:
            self._clock.call_later(0, lambda: on_start(1))

    def advance(self) -> None:
        pass

    def adopt(self, job_id: str, *, on_start: Callable[[int], None], on_exit: Callable[[Exit], None]) -> bool:
        command = self.commands.get(job_id)
        if command is None:
            return False
        self._adopted.add(job_id)
        command.on_start, command.on_exit = on_start, on_exit
        self._clock.call_later(0, lambda: on_start(command.started))
        if (how := command.ended) is not None:
            self._clock.call_later(0, lambda: on_exit(how))
        return True

    def end_others(self) -> None:
        self.commands = {job_id: it for job_id, it in self.commands.items() if job_id in self._adopted}

    def forget(self, job_id: str) -> None:
        self.commands.pop(job_id, None)

    def kill(self, job_id: str, number: Signals) -> None:
        if job_id in self.commands:
            self.commands[job_id].signals.append(number)


class World:
    """A Batch with a queue ``default`` over a compute environment ``usched`` and a job definition ``shell``.

    With a ``safety`` it is durable, and ``again`` is what comes after it was killed.
    """

    def __init__(
        self,
        state_dir: Path,
        vcpus: int = 256,
        safety: Safety = Safety.EPHEMERAL,
        clock: FakeClock | None = None,
        kept: Mapping[str, Command] | None = None,
        *,
        resumes: bool = True,
        state: Path | None = None,
    ) -> None:
        self._state = state or state_dir / "state"
        self.clock = clock or FakeClock()
        self.runner = FakeRunner(self.clock, kept)
        self._made = state_dir, vcpus, safety
        self.events: list[dict[str, Any]] = []
        self.is_deaf = False
        self.blocked: list[dict[str, Any]] = []
        self.hindrance = ""
        self.batch = Batch(
            region=REGION,
            account=ACCOUNT,
            state_dir=state_dir,
            base_env={"PATH": "/usr/bin:/bin", "BASE": "1"},
            log_sink=None,
            runner=self.runner,
            clock=self.clock,
            listener=self._hear,
            on_blocked=self.blocked.append,
            hindrance=lambda: self.hindrance,
            state=State(self._state, safety),
        )
        self.api = BatchApi(self.batch)
        self.call = self.api.call
        self.call("CreateComputeEnvironment", environment("usched", vcpus))
        self.call("CreateJobQueue", queue("default", 5, "usched"))
        self.call("RegisterJobDefinition", definition("shell"))
        if resumes:
            self.batch.resume()
            self.clock.advance()

    def again(self, kept: Mapping[str, Command] | None = None, *, resumes: bool = True) -> World:
        """What comes after a kill -9. ``kept``: the commands that ran on meanwhile; None if what they ran under was
        killed too."""
        state_dir, vcpus, safety = self._made
        clock = FakeClock()
        clock.time = self.clock.time
        # A copy, at a path that nobody had: when the killed one is collected, SQLite deletes its log of writes by name.
        copy = self._state.with_name(f"state-{uuid4()}")
        shutil.copytree(self._state, copy)
        return World(state_dir, vcpus, safety, clock, kept, resumes=resumes, state=copy)

    def _hear(self, _id: str, _status: str, detail: Callable[[], dict[str, Any]]) -> None:
        if self.is_deaf:
            raise RuntimeError("nobody can be told of anything")
        self.events.append(detail())

    def submit(self, name: str = "job", **request: Any) -> str:
        """Submit a job and let Batch look at it; its id."""
        request = {"jobQueue": "default", "jobDefinition": "shell", **request}
        job_id: str = self.call("SubmitJob", {"jobName": name, **request})["jobId"]
        self.clock.advance()
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        (found,) = self.call("DescribeJobs", {"jobs": [job_id]})["jobs"]
        return dict(found)

    def status(self, *job_ids: str) -> Any:
        """The status of a job, or of several."""
        found = [self.job(job_id)["status"] for job_id in job_ids]
        return found[0] if len(found) == 1 else found

    def exit(
        self,
        job_id: str,
        code: int | None = 0,
        signal: int | None = None,
        *,
        out_of_memory: bool = False,
        at: int | None = None,
    ) -> None:
        """The job's current attempt ends."""
        number = len(self.job(job_id)["attempts"]) + 1
        how = Exit(code=code, signal=signal, out_of_memory=out_of_memory, at=at)
        self.runner.commands.pop(f"{job_id}/{number}").on_exit(how)
        self.clock.advance()

    def running(self) -> list[str]:
        return [key.rpartition("/")[0] for key in self.runner.commands]

    def command(self, job_id: str) -> Command:
        (found,) = [it for key, it in self.runner.commands.items() if key.startswith(f"{job_id}/")]
        return found

    def history(self, job_id: str) -> list[str]:
        """The statuses that events told of."""
        return [event["status"] for event in self.events if event["jobId"] == job_id]


def environment(name: str, vcpus: int, **settings: Any) -> dict[str, Any]:
    resources = {"type": "FARGATE", "maxvCpus": vcpus, "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}
    return {"computeEnvironmentName": name, "type": "MANAGED", "computeResources": resources, **settings}


def queue(name: str, priority: int, *environments: str, **settings: Any) -> dict[str, Any]:
    order = [{"order": number, "computeEnvironment": it} for number, it in enumerate(environments)]
    return {"jobQueueName": name, "priority": priority, "computeEnvironmentOrder": order, **settings}


def definition(name: str, vcpus: str = "1", **settings: Any) -> dict[str, Any]:
    needs = [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": "512"}]
    container = {"image": "busybox", "command": ["true"], "resourceRequirements": needs}
    container |= settings.pop("container", {})
    return {"jobDefinitionName": name, "type": "container", "containerProperties": container, **settings}


def needs(vcpus: str) -> dict[str, Any]:
    """Overrides for so many vCPUs."""
    return {"resourceRequirements": [{"type": "VCPU", "value": vcpus}]}
