"""`python -m benchmarks.schedules`: when a million schedules start on the coming day, and how long the answer takes.

Every schedule is a trigger as a document writes it. No two have the same owner, so each is read and evaluated for
itself. Nothing is stored and no engine runs: this measures the evaluator of time alone.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks import registering
from benchmarks import stage as stages
from universal_scheduler.domain.time.starts import coming
from universal_scheduler.domain.time.triggers import read_triggers

SCHEDULES = 1_000_000
BUSY_DAY = datetime(2026, 10, 25, tzinfo=UTC)
"""Europe sets its clocks back."""
USUAL_DAY = datetime(2026, 11, 26, tzinfo=UTC)
DAY = timedelta(days=1)
WIDTH = 104
REPEATS = 200
ZONES = (
    *("UTC", "Europe/London", "Europe/Zurich", "Europe/Berlin", "Europe/Paris", "Europe/Madrid", "Europe/Warsaw"),
    *("America/New_York", "America/Chicago", "America/Los_Angeles", "America/Sao_Paulo", "America/Mexico_City"),
    *("Asia/Tokyo", "Asia/Shanghai", "Asia/Kolkata", "Asia/Singapore", "Asia/Dubai", "Asia/Kathmandu"),
    *("Australia/Sydney", "Australia/Lord_Howe", "Pacific/Auckland", "Africa/Casablanca", "Africa/Lagos"),
)
CALENDARS: tuple[dict[str, Any], ...] = (
    {"weekend": ["SAT", "SUN"], "off": ["2026-11-26", "2026-12-25"]},
    {"weekend": ["FRI", "SAT"]},
    {"exchange": "XNYS"},
)
ALONE: dict[str, dict[str, Any]] = {
    "every five minutes": {"cron": "*/5 * * * *"},
    "weekdays, a zone with summer time": {"cron": "cron(0 6 ? * MON-FRI *)", "timezone": "Europe/Zurich"},
    "29 February": {"cron": "0 0 29 2 *"},
    "a Sunday that is a 29 February, after 2170": {"cron": "cron(0 0 ? 2 SUN#5 2171-2199)"},
    "the last business day, rolled": {
        "cron": "cron(0 18 L * ? *)",
        "calendar": {"exchange": "XNYS"},
        "roll": "previous",
    },
    "half an hour after an exchange closes": {"exchange": {"close": "XNYS", "offset": "30m"}},
}


@dataclass
class Figures:
    """What was measured."""

    schedules: int = 0
    read_seconds: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    """Of the coming day, by what kind of day it is."""
    starts: dict[str, int] = field(default_factory=dict)
    megabytes: float = 0.0
    """The largest size of the process."""
    next_ms: dict[str, float] = field(default_factory=dict)
    """Of one trigger, from the document to its next start."""


def random_triggers(count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Triggers as users write them: most start once a day, some every hour, few every ten minutes."""
    chance = random.Random(seed)
    for _ in range(count):
        minute, hour = chance.randrange(60), chance.randrange(24)
        given: dict[str, Any] = {"timezone": chance.choice(ZONES)}
        match chance.choices(range(9), (30, 20, 10, 8, 12, 4, 6, 5, 5))[0]:
            case 0:
                given["cron"] = f"{minute} {hour} * * *"
            case 1:
                given["cron"] = f"cron({minute} {hour} ? * MON-FRI *)"
            case 2:
                given["cron"] = f"{minute} {hour} * * {chance.randrange(7)}"
            case 3:
                days = chance.choice(("1", "15", "L", "LW", "15W", "L-2"))
                given["cron"] = f"cron({minute} {hour} {days} * ? *)"
            case 4:
                given["cron"] = f"{minute} * * * *"
            case 5:
                given["cron"] = f"*/{chance.choice((10, 15, 20, 30))} * * * *"
            case 6:
                given |= {"cron": f"{minute} {hour} * * *", "calendar": chance.choice(CALENDARS)}
                given["roll"] = chance.choice(("skip", "next", "previous"))
            case 7:
                day = BUSY_DAY + timedelta(minutes=chance.randrange(60 * 1440))
                given = {"rate": f"rate({chance.choice((1, 4, 6, 12, 24))} hours)", "startDate": day.isoformat()}
            case _:
                number = chance.choice((1, 2, -1))
                given |= {"businessDay": number, "time": f"{hour:02}:{minute:02}", "calendar": chance.choice(CALENDARS)}
        yield given


def measure(count: int = SCHEDULES) -> Figures:
    """Read the triggers, and evaluate the coming day of each, on a usual day and on one on which clocks change."""
    figures = Figures(count)
    documents = list(random_triggers(count))
    gc.collect()
    gc.freeze()  # the documents are the measurement's own
    begin = time.process_time()
    triggers = [read_triggers(given, "", {}) for given in documents]
    figures.read_seconds = time.process_time() - begin
    for name, day in (("a usual day", USUAL_DAY), ("a day on which clocks change", BUSY_DAY)):
        begin, starts = time.process_time(), 0
        for each in triggers:
            for start in coming(each, day, day + DAY):
                starts += not start.left_out
        figures.seconds[name], figures.starts[name] = time.process_time() - begin, starts
    figures.megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures.next_ms = {name: next_milliseconds(given) for name, given in ALONE.items()}
    return figures


def next_milliseconds(given: dict[str, Any]) -> float:
    """The median time from a trigger's document to its next start. What is kept for other schedules is used."""
    took = []
    for repeat in range(REPEATS):
        begin = time.perf_counter()
        next(coming(read_triggers(given, "", {}), USUAL_DAY + repeat * DAY), None)
        took.append(time.perf_counter() - begin)
    return median(took) * 1000


def tables(figures: Figures) -> Iterator[Table]:
    """The figures for people."""
    shown = Table(title=f"The coming day of {figures.schedules:,} schedules", title_justify="left", box=SIMPLE)
    for heading in ("", "seconds on one core", "µs a schedule", "starts"):
        shown.add_column(heading, justify="right" if heading else "left", no_wrap=True)

    def row(name: str, seconds: float, starts: str = "") -> None:
        shown.add_row(name, f"{seconds:.1f}", f"{seconds / figures.schedules * 1e6:.1f}", starts)

    row("to read the triggers", figures.read_seconds)
    for name, seconds in figures.seconds.items():
        row(name, seconds, f"{figures.starts[name]:,}")
    shown.add_row("memory of the process, with the documents", f"{figures.megabytes:,.0f} MB")
    yield shown
    alone = Table(title="The next start of one schedule", title_justify="left", box=SIMPLE)
    alone.add_column("")
    alone.add_column("ms", justify="right")
    for name, milliseconds in figures.next_ms.items():
        alone.add_row(name, f"{milliseconds:.3f}")
    yield alone


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedules", description=__doc__)
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help="how many (default: a million)")
    parser.add_argument("--rows", type=int, default=registering.ROWS, help="put into an engine; 0 for none (10,000)")
    given = parser.parse_args(arguments)
    console = Console()
    console = Console(width=max(console.width, WIDTH))
    for table in tables(measure(given.schedules)):
        console.print(table)
    if given.rows:
        with stages.started() as here:
            registering.show(registering.measure(here, given.rows))


if __name__ == "__main__":
    main()
