"""An engine that is down for minutes or days, on a machine whose clock is set back: what begins is what policies say.

EventBridge Scheduler is the engine's own, on disk, in simulated time. The engine is killed at random, also between a
firing and its note that it has fired, and between the starter's calls.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.engine_scheduler import EngineScheduler
from tests.fault.world import Crash, Faults, Faulty
from tests.oracles.clock import Case, CronCase, random_case
from universal_scheduler.adapters.memory.outbox import MemoryOutbox
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.runs.model import Run, RunKey, RunStatus
from universal_scheduler.domain.time.policies import ON_TIME_SECONDS, moment, read_policies
from universal_scheduler.usecases.admission import begin_schedule, run_over, tend
from universal_scheduler.usecases.fire import fire, read_firing
from universal_scheduler.usecases.timetable import Timetable, keep_in_step, mend_row

SCHEDULES = int(os.environ.get("USCHED_OUTAGE_SCHEDULES", "60"))
"""`make fault` has 1,000."""
DAYS = 9.0
FIRST = datetime(2026, 10, 24, tzinfo=UTC)
"""The day before clocks change in Europe."""
POLICIES: tuple[dict[str, Any], ...] = (
    {},
    {"catchUp": "last"},
    {"catchUp": "all"},
    {"catchUp": {"policy": "all", "window": "2h"}},
    {"catchUp": {"policy": "last", "window": "3h"}},
    {"overlap": "queueAll"},
    {"overlap": "queueAll", "catchUp": "all"},
)
OUTAGES = (120.0, 600.0, 1500.0, 2400.0, 2400.0, 3 * 3600.0, 30 * 3600.0)
SET_BACK = (300.0, 3600.0, 5 * 3600.0)


class Killed(BaseException):
    """The engine was killed here."""


class World:
    """One schedule on one machine."""

    def __init__(self, case: Case, policies: dict[str, Any], folder: Path, seed: int) -> None:
        self.chance, self.case, self._folder = random.Random(seed), case, folder
        faults = Faults(lambda _: "crash after" if self.chance.random() < 0.02 else "")
        self.store, self.workflow, self.outbox = MemoryStore(), MemoryWorkflow(), MemoryOutbox()
        self._ports: tuple[Any, Any] = Faulty(self.store, faults), Faulty(self.workflow, faults)
        job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}
        trigger = dict(case.trigger)
        if case.trigger.get("timezone") == "UTC" and "cron" in trigger:
            trigger["onDst"] = "cron"  # which EventBridge Scheduler cannot say: each start has an entry of its own
        self.row = {"scheduleId": f"s{seed}", "jobList": [job], "trigger": trigger, **policies}
        self.policies = read_policies(self.row)
        self.store.put_schedule(self.row)
        self.now = FIRST.timestamp()
        self._last = self.now + DAYS * 86400
        self._queue: list[dict[str, Any]] = []
        self._runs = 0
        self.seen: Counter[str] = Counter()
        self.up: list[tuple[float, float]] = []
        """When the engine was there, by the machine's clock."""
        self._start()
        begin_schedule(self.store, None, self.row, self.now)
        keep_in_step(self._timetable, None, self.row)

    def run(self) -> None:
        while self.now < self._last:
            began, until = self.now, self.now + self.chance.choice([600.0, 3 * 3600.0, 15 * 3600.0, 40 * 3600.0])
            self._live(until)
            self.up.append((began, self.now))
            self.scheduler.close()
            if self.chance.random() < 0.2:
                self.now = max(FIRST.timestamp(), self.now - self.chance.choice(SET_BACK))
                self.seen["set back"] += 1
            else:
                self.now += self.chance.choice(OUTAGES)
                self.seen["outages"] += 1
            self._start()
        self._live(self.now)
        self.up.append((self.now, self.now))
        self.scheduler.close()

    def _start(self) -> None:
        self.scheduler = EngineScheduler(self._folder, lambda: self.now, self._sent)
        self._timetable = Timetable(self.scheduler.entries, lambda _: {}, lambda: self.now)
        self.triggers = self._timetable.triggers_of(self.row)

    def _live(self, until: float) -> None:
        """Let the engine work until it is killed, now or at this time."""
        sweep = self.now + self.chance.uniform(0, 60)
        try:
            while True:
                self.scheduler.fire()
                self._handle()
                if self.now >= sweep:
                    self._sweep()
                    sweep = self.now + 1800.0
                due = self.scheduler.next_due()
                following = min(until, sweep, due or until)
                if self.now >= until:
                    return
                self.now = max(self.now, following)
        except Killed:
            self.seen["killed at work"] += 1
            self.scheduler.close()
            self._start()  # at once, by the same clock
            self._live(self.now)

    def _sent(self, message: dict[str, Any]) -> None:
        self._queue.append(message)
        self.seen["firings"] += 1
        if self.chance.random() < 0.02:
            raise Killed

    def _handle(self) -> None:
        """The starter takes each message out of the queue when it has handled it."""
        while self._queue:
            store, workflow = self._ports
            try:
                fire(store, workflow, self._timetable, read_firing(self._queue[0]))
            except Crash:
                continue
            self._queue.pop(0)
            self._let_runs_end()

    def _sweep(self) -> None:
        mend_row(self._timetable, self.row)
        tend(self.store, self.workflow, self.row, self.triggers, self.now)
        self._let_runs_end()

    def _let_runs_end(self) -> None:
        while self._runs < len(self.workflow.started):
            name = list(self.workflow.started)[self._runs]
            self._runs += 1
            key = RunKey(self.row["scheduleId"], f"{moment(self.now):%Y-%m-%dT%H:%M:%S}.{self._runs:06}")
            run = Run(key, RunStatus.RUNNING, self.workflow.execution(name), document=self.row, cause={"kind": "time"})
            self.store.create_run(run)
            self.store.finish_run(run, RunStatus.SUCCEEDED, "", "2026-12-31T00:00:00.000000", [])
            self.workflow.ended.add(name)
            run_over(self.store, self.workflow, self.outbox, replace(run, status=RunStatus.SUCCEEDED), self.now)

    # ---- What should have begun --------------------------------------------------------------------------------------

    def check(self) -> None:
        begun = Counter(message["cause"]["scheduledTime"] for message in self.workflow.started.values())
        assert max(begun.values(), default=1) == 1, "a start has begun two runs"
        wanted, left_out, again = self._expected()
        assert sorted(wanted - begun.keys()) == [], "these are lost"
        assert sorted(begun.keys() - wanted - again) == [], "nobody expects these"
        said = self.store.left_out(self.row["scheduleId"], 10_000)
        if self.policies.tracked:
            unsaid = [at for at in left_out - again if not any(each.at <= at <= each.until for each in said)]
            assert sorted(unsaid) == [], "of these nobody says why they were left out"
        self.seen["begun"] += len(begun)
        self.seen["left out"] += len(left_out - begun.keys())

    def _expected(self) -> tuple[set[str], set[str], set[str]]:
        """The starts that begin; those that the policies leave out; and those that were missed in an outage and that
        were on time again, on a clock that was set back: they may begin then, or not."""
        wanted, left_out, again = set(), set(), set()
        decided = FIRST.timestamp()
        ends = max(end for _, end in self.up)
        starts = [start.timestamp() for start in self.case.starts(FIRST, moment(ends))]
        for began, end in self.up:
            missed = [at for at in starts if decided < at <= began]
            for at in missed:
                if self._begins(began - at, newest=at == missed[-1]):
                    wanted.add(_text(at))
                else:
                    left_out.add(_text(at))
            wanted |= {_text(at) for at in starts if max(decided, began) < at <= end}
            again |= {_text(at) for at in starts if began - ON_TIME_SECONDS <= at <= min(decided, end)} & left_out
            decided = max(decided, end)
        return wanted, left_out, again

    def _begins(self, late: float, *, newest: bool) -> bool:
        if late <= ON_TIME_SECONDS:
            return True
        window = self.policies.window_seconds
        match str(self.policies.catch_up):
            case "none":
                return False
            case "last" if not newest:
                return False
            case _:
                return window is None or late <= window


def _text(at: float) -> str:
    return f"{moment(at):%Y-%m-%dT%H:%M:%SZ}"


def _case(chance: random.Random) -> Case:
    """Most of them in UTC, so that there are chains of entries."""
    case = random_case(chance, FIRST)
    if isinstance(case, CronCase) and chance.random() < 0.3:
        case = replace(case, zone="UTC", trigger={**case.trigger, "timezone": "UTC"})
    return case


@pytest.mark.parametrize("policies", POLICIES, ids=str)
def test_what_begins_after_an_outage_is_what_the_policy_says(policies: dict[str, Any], tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for number in range(-(-SCHEDULES // len(POLICIES))):
        seed = POLICIES.index(policies) + number * len(POLICIES)
        case = _case(random.Random(seed))
        world = World(case, policies, tmp_path / str(seed), seed)
        world.run()
        try:
            world.check()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {case.trigger}, {policies}: {error}") from error
        seen.update(world.seen)
    print(f"{policies}: {dict(sorted(seen.items()))}")
    assert min(seen[what] for what in ("outages", "set back", "begun")) > 0
