"""A week of cron schedules in the engine's EventBridge Scheduler, in simulated time: it fires what the clock says."""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.engine_scheduler import EngineScheduler
from tests.oracles.clock import CronCase, random_case
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.usecases.timetable import Timetable, keep_in_step, reconcile

SCHEDULES = int(os.environ.get("USCHED_WEEK_SCHEDULES", "100"))
"""`make fault` has 2,000."""
FIRST = datetime(2026, 10, 22, tzinfo=UTC)
"""In this week clocks change in Europe."""
DAYS = 7


class Week:
    """A machine on which time passes from one firing to the next. Once an hour the engine is killed and started."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, FIRST.timestamp()
        self.fired: Counter[tuple[str, str]] = Counter()
        self._store = MemoryStore()
        self._start()

    def put(self, row: dict[str, Any]) -> None:
        self._store.put_schedule(row)
        keep_in_step(self._timetable, None, row)

    def until(self, end: datetime) -> None:
        while self.now < end.timestamp():
            due = self.scheduler.next_due()
            self.now = min(end.timestamp(), due if due is not None else end.timestamp())
            self.scheduler.fire()

    def restart(self) -> None:
        self.scheduler.close()
        self._start()

    def mended(self) -> int:
        """What the sweep finds to mend of all rows and entries."""
        return sum(reconcile(self._timetable, self._store, lambda: 60.0) for _ in range(-(-SCHEDULES // 500)))

    def size(self) -> int:
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def _start(self) -> None:
        self.scheduler = EngineScheduler(self.folder, lambda: self.now, self._sent)
        self._timetable = Timetable(self.scheduler.entries, lambda _: {}, lambda: self.now)

    def _sent(self, message: dict[str, Any]) -> None:
        self.fired[message["scheduleId"], message["scheduledTime"]] += 1


def _cases() -> list[CronCase]:
    chance, found = random.Random(7), []
    while len(found) < SCHEDULES:
        case = random_case(chance, FIRST)
        if isinstance(case, CronCase):
            found.append(case)
    return found


def _memory() -> int:
    """What this process holds, in MiB, with the test's own clocks."""
    told = Path("/proc/self/statm")
    return int(told.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20 if told.exists() else 0


def test_a_week_of_cron_schedules_fires_what_the_clock_says_and_nothing_grows(tmp_path: Path) -> None:
    week, cases = Week(tmp_path), _cases()
    for number, case in enumerate(cases):
        week.put({"scheduleId": f"s{number}", "trigger": case.trigger})
    firings, sizes, memory = 0, [], []
    for day in range(DAYS):
        begin = FIRST + timedelta(days=day)
        for hour in range(24):
            week.until(begin + timedelta(hours=hour + 1))
            week.restart()
        assert week.mended() == 0
        expected = Counter(
            (f"s{number}", f"{start:%Y-%m-%dT%H:%M:%SZ}")
            for number, case in enumerate(cases)
            for start in case.starts(begin, begin + timedelta(days=1))
        )
        assert week.fired == expected
        firings += expected.total()
        week.fired.clear()
        del expected
        sizes.append(week.size())
        memory.append(_memory())
    week.scheduler.close()
    print(
        f"{SCHEDULES:,} schedules, {DAYS} days: {firings:,} firings, each as expected. "
        f"Bytes of the file, day by day: {sizes}. MiB of this process: {memory}."
    )
    assert sizes[-1] <= sizes[0] + 64 * 1024
    assert memory[-1] <= memory[1] + 32
