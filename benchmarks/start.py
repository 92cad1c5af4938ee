"""`python -m benchmarks.start`: how long a durable engine takes to start, and its memory, with little state and much.

A real engine takes one schedule with a time trigger and one run, and is stopped. What its files have of them is copied
many times, under other names. Then engines start on both.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks import stage as stages
from universal_scheduler.adapters.dynamodb.items import to_item
from universal_scheduler.local import engine as engines
from universal_scheduler.local.service.backup import STATE
from universal_scheduler.local.state import Safety

SCHEDULES, RUNS, REPEATS = 100_000, 10_000, 5
STRIDE = 10_000
"""Between the numbers of a row and of its copy: more than one schedule and one run have of any rows."""
WHOLE = ("logs", "batch", "executions")
SCHEDULE, RUN = "schedule-0000000", "run-0000000"
SECONDS = 120
JOB = {
    "jobName": "job",
    "jobQueue": "default",
    "jobDefinition": "shell",
    "jobDependencies": [],
    "containerOverrides": {"command": ["echo", "hello"]},
}
# The columns that number rows: a copy has other numbers, and where one row names another it names the copy.
NUMBERED = {
    ("scheduler", "kept"): ("id",),
    ("batch", "submissions"): ("seq",),
    ("batch", "jobs"): ("seq",),
    ("executions", "executions"): ("id",),
    ("executions", "steps"): ("execution",),
    ("logs", "streams"): ("id",),
    ("logs", "events"): ("id", "stream"),
    ("dynamodb", "items"): (),
    ("dynamodb", "entries"): (),
}


@dataclass(frozen=True, slots=True)
class Started:
    """What one start took."""

    seconds: float
    processor: float
    """Seconds of the engine's own process: other programs on the machine do not count."""
    megabytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how long a durable engine takes to start.")
    parser.add_argument("--schedules", type=int, default=SCHEDULES)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="usched-start-") as folder:
        little = Path(folder, "little")
        fill(little)
        much = Path(folder, "much")
        shutil.copytree(little, much)
        multiply(much / STATE, arguments.schedules, arguments.runs)
        homes = {f"{1:,} + {1:,}": little, f"{arguments.schedules:,} + {arguments.runs:,}": much}
        table = Table(box=SIMPLE, title="the start of a durable engine")
        for column in ("schedules + runs", "state, MB", "seconds: median", "longest", "of the processor", "memory, MB"):
            table.add_column(column, justify="left" if "+" in column else "right")
        for name, home in homes.items():
            starts = [start(home) for _ in range(arguments.repeats)]
            seconds = [each.seconds for each in starts]
            size = sum(file.stat().st_size for file in (home / STATE).iterdir()) / 1e6
            processor, memory = median(each.processor for each in starts), median(each.megabytes for each in starts)
            figures = (size, median(seconds), max(seconds), processor, memory)
            table.add_row(name, *(f"{figure:,.0f}" if figure > 20 else f"{figure:.2f}" for figure in figures))
        Console(width=100).print(table)


def start(home: Path) -> Started:
    """Start an engine on the state, and stop it."""
    began = time.monotonic()
    engine = engines.start(0, home, safety=Safety.PROCESS)
    try:
        seconds = time.monotonic() - began
        status = Path(f"/proc/{engine.pid}/status").read_text()
        [resident] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
        # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        ticks = sum(map(int, Path(f"/proc/{engine.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        return Started(seconds, ticks / os.sysconf("SC_CLK_TCK"), int(resident) / 1024)
    finally:
        engines.stop(engine)


def fill(home: Path) -> None:
    """Let a new engine take one schedule with a time trigger, and record one run."""
    engine = engines.start(0, home, safety=Safety.PROCESS)
    try:
        stage = stages.Stage(engine)
        client = stage.client("dynamodb")
        row = {"scheduleName": "benchmark", "category": "benchmark", "jobList": [JOB]}
        trigger = {"trigger": {"cron": "0 4 1 1 *"}}
        for values in ({"scheduleId": RUN, **row}, {"scheduleId": SCHEDULE, **row, **trigger}):
            client.put_item(TableName="BatchSchedules", Item=to_item(values))
        deadline = time.monotonic() + SECONDS
        while not (_ended(client) and stage.client("scheduler").list_schedules()["Schedules"]):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the run did not end, or the schedule got no entry, within {SECONDS} s")
            time.sleep(0.1)
    finally:
        engines.stop(engine)


def _ended(client: Any) -> bool:
    found = client.query(
        TableName="BatchScheduleHistory",
        KeyConditionExpression="scheduleId = :id",
        ExpressionAttributeValues={":id": {"S": RUN}},
    )
    return any(run["scheduleStatus"]["S"] == "SUCCEEDED" for run in found["Items"])


def multiply(folder: Path, schedules: int, runs: int) -> None:
    """Copy what the files have of the schedule and of the run until there are so many of each."""
    with closing(sqlite3.connect(folder / "batch.sqlite")) as batch:
        [(job,)] = batch.execute("SELECT id FROM submissions").fetchall()
    for (file, table), numbers in NUMBERED.items():
        with closing(sqlite3.connect(folder / f"{file}.sqlite")) as state, state:
            found = state.execute(f"SELECT * FROM {table}")
            columns = [each[0] for each in found.description]
            rows = found.fetchall()
            places = [columns.index(name) for name in numbers]
            # Each run of a function has a stream of its own.
            streams = [row[columns.index("name")] for row in rows] if table == "streams" else []
            insert = f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})"
            for number, names in ((schedules, [SCHEDULE]), (runs, [RUN, job])):
                whole = file in WHOLE and RUN in names
                copied = [row for row in rows if whole or _names(row, names)]
                state.executemany(insert, _copies(copied, places, [*names, *streams], number))


def _names(row: Sequence[Any], names: Sequence[str]) -> bool:
    texts = [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return any(name.encode() in text for text in texts for name in names)


def _copies(
    rows: Sequence[Sequence[Any]], places: Sequence[int], names: Sequence[str], number: int
) -> Iterator[list[Any]]:
    """The rows for each of so many, without the first, which is there."""
    for copy in range(1, number):
        for row in rows:
            made = [_renamed(value, names, copy) for value in row]
            for place in places:
                made[place] = row[place] + copy * STRIDE
            yield made


def _renamed(value: Any, names: Sequence[str], copy: int) -> Any:
    match value:
        case str():
            for name in names:
                value = value.replace(name, f"{name[:-7]}{copy:07}")
        case bytes():
            for name in names:
                value = value.replace(name.encode(), f"{name[:-7]}{copy:07}".encode())
    return value


if __name__ == "__main__":
    main()
