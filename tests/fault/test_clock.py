"""Weeks of random schedules over changes of clocks, in simulated time: every start begins one run, none is lost.

The simulated EventBridge Scheduler delivers each start up to three times, late and in any order. Whoever handles it is
cut off at random, at each call to a port, and then it is delivered again.
"""

from __future__ import annotations

import heapq
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fault.world import Crash, Faults, Faulty
from tests.oracles.clock import Case, random_case
from universal_scheduler.adapters.memory.outbox import MemoryOutbox
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.time_entries import MemoryTimeEntries
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.errors import PlatformUnavailable, StoreUnavailable
from universal_scheduler.domain.runs.model import Run, RunKey, RunStatus
from universal_scheduler.domain.time.entries import version_of
from universal_scheduler.domain.time.policies import moment, read_policies
from universal_scheduler.domain.time.starts import coming
from universal_scheduler.domain.time.triggers import read_triggers
from universal_scheduler.usecases.admission import begin_schedule, run_over, tend
from universal_scheduler.usecases.fire import Firing, fire
from universal_scheduler.usecases.timetable import Timetable

SCHEDULES = int(os.environ.get("USCHED_CLOCK_SCHEDULES", "40"))
DAYS = int(os.environ.get("USCHED_CLOCK_DAYS", "4"))
"""`make fault` has 500 schedules over 30 days."""
KINDS = ("crash before", "crash after", "throttle", "lost answer")
CHANGES = {"autumn": datetime(2026, 10, 24, tzinfo=UTC), "spring": datetime(2026, 3, 28, tzinfo=UTC)}
"""The day before clocks change in Europe. Thirty days from then on have the changes of other continents, too."""
LATEST_SECONDS = 900.0
SWEEP_SECONDS = 3600.0
POLICIES: tuple[dict[str, Any], ...] = (
    *({}, {}, {}),
    {"catchUp": "all"},
    {"overlap": "queueAll"},
    {"maxConcurrentRuns": 3},
    {"overlap": "queueAll", "catchUp": "all", "maxConcurrentRuns": 2},
)
"""Under each of them every start begins a run, sooner or later."""


class World:
    """One schedule, and what happens to it in the order of time."""

    def __init__(self, case: Case, policies: dict[str, Any], first: datetime, days: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.faults = Faults(lambda _: self.chance.choice(KINDS) if self.chance.random() < 0.05 else "")
        self.store, self.workflow, self.outbox = MemoryStore(), MemoryWorkflow(), MemoryOutbox()
        self._ports: tuple[Any, Any] = Faulty(self.store, self.faults), Faulty(self.workflow, self.faults)
        job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}
        self.row = {"scheduleId": f"s{seed}", "jobList": [job], "trigger": case.trigger, **policies}
        self.policies = read_policies(self.row)
        self.store.put_schedule(self.row)
        entries: Any = Faulty(MemoryTimeEntries(), self.faults)
        self._timetable = Timetable(entries, lambda _: {}, lambda: self.now)
        self._version = version_of(self.row, 0)
        self.triggers = self._timetable.triggers_of(self.row)
        self.expected = case.starts(first, first + timedelta(days=days))
        self.now = first.timestamp()
        self._last = (first + timedelta(days=days)).timestamp()
        self._steps: list[tuple[float, int, Callable[[], None]]] = []
        self._count = self.delivered = 0
        self._running: set[str] = set()
        begin_schedule(self.store, None, self.row, self.now)

    def run(self) -> None:
        for start in self.expected:
            lost = self.row.get("catchUp") == "all" and self.chance.random() < 0.05
            for _ in range(0 if lost else self.chance.choice([1, 1, 2, 3])):
                self._after(start.timestamp() + self.chance.uniform(0, LATEST_SECONDS), self._delivery(start))
        sweeps = range(int((self._last - self.now) // SWEEP_SECONDS) + 2)
        for number in sweeps if self.policies.tracked else ():
            self._after(self.now + number * SWEEP_SECONDS, self._sweep)
        while self._steps:
            self.now, _, step = heapq.heappop(self._steps)
            try:
                step()
            except (Crash, StoreUnavailable, PlatformUnavailable):
                self._after(self.now + self.chance.uniform(1, 60), step)
            self._let_runs_begin()

    def check(self) -> None:
        times = Counter(message["cause"]["scheduledTime"] for message in self.workflow.started.values())
        assert max(times.values(), default=1) == 1, "a start has begun two runs"
        begun = {
            text for text in times if text <= f"{moment(self._last):%Y-%m-%dT%H:%M:%SZ}"
        }  # the last runs end later
        wanted = {f"{start:%Y-%m-%dT%H:%M:%SZ}" for start in self.expected}
        assert sorted(begun - wanted) == [], "nobody expects these"
        assert sorted(wanted - begun) == [], "these are lost"
        activity = self.store.activity(self.row["scheduleId"])
        assert (activity.holders, activity.waiting) == ((), ()), "nothing goes on, and nothing waits"

    def _after(self, at: float, step: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._steps, (at, self._count, step))

    def _delivery(self, at: datetime) -> Callable[[], None]:
        def deliver() -> None:
            self.delivered += 1
            store, workflow = self._ports
            fired = fire(store, workflow, self._timetable, Firing(self.row["scheduleId"], 0, self._version, at))
            assert not fired.differs

        return deliver

    def _sweep(self) -> None:
        store, workflow = self._ports
        tend(store, workflow, self.row, self.triggers, self.now)

    def _let_runs_begin(self) -> None:
        """Each execution that was started makes its run, which takes some time and ends."""
        for name in list(self.workflow.started)[len(self._running) :]:
            self._running.add(name)
            key = RunKey(self.row["scheduleId"], f"{moment(self.now):%Y-%m-%dT%H:%M:%S}.{len(self._running):06}")
            run = Run(key, RunStatus.RUNNING, self.workflow.execution(name), document=self.row, cause={"kind": "time"})
            self.store.create_run(run)
            self._after(self.now + self.chance.choice([5.0, 60.0, 200.0]), self._end(run))

    def _end(self, run: Run) -> Callable[[], None]:
        ended = replace(run, status=RunStatus.SUCCEEDED)

        def end() -> None:
            store, workflow = self._ports
            self.store.finish_run(run, RunStatus.SUCCEEDED, "", "2026-12-31T00:00:00.000000", [])
            self.workflow.ended.add(run.execution.name)
            run_over(store, workflow, self.outbox, ended, self.now)

        return end


@pytest.mark.parametrize("season", CHANGES)
def test_every_start_begins_one_run_over_a_change_of_clocks(season: str) -> None:
    first, started, delivered, faults = CHANGES[season], 0, 0, 0
    for seed in range(SCHEDULES):
        chance = random.Random(seed)
        case, policies = random_case(chance, first), POLICIES[seed % len(POLICIES)]
        world = World(case, policies, first, DAYS, seed)
        world.run()
        try:
            world.check()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {case.trigger}, {policies}: {error}") from error
        started += len(world.workflow.started)
        delivered += world.delivered
        faults += world.faults.injected.total()
    print(f"{SCHEDULES} schedules, {DAYS} days: {delivered:,} deliveries, {faults:,} faults, {started:,} runs")
    assert started > SCHEDULES
    assert faults > SCHEDULES


def test_the_oracle_and_our_own_reckoning_name_the_same_starts() -> None:
    first = CHANGES["autumn"]
    for seed in range(SCHEDULES):
        case = random_case(random.Random(seed), first)
        last = first + timedelta(days=DAYS)
        found = [start for start in coming(read_triggers(case.trigger, "", {}), first, last) if not start.left_out]
        assert [start.at for start in found] == case.starts(first, last), case.trigger
        assert len({start.at for start in found}) == len(found)
