"""`python -m benchmarks.registering`: rows with time triggers get their entries by the stream of BatchSchedules."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from benchmarks import stage as stages
from benchmarks.stage import Stage, until
from universal_scheduler.adapters.dynamodb.items import schedule_to_item
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.adapters.scheduler import EventBridgeTimeEntries
from universal_scheduler.domain.time.calendars import Calendar
from universal_scheduler.usecases.timetable import Timetable, reconcile

ROWS = 10_000
CHUNK, WRITERS = 25, 4
GROUP = "usched"
JOB = {"jobName": "only", "jobDefinition": "shell", "jobQueue": "default"}


@dataclass(frozen=True, slots=True)
class Registered:
    """How long it took, and what was wrong at the end."""

    rows: int
    write_seconds: float
    """Until all rows were in the table."""
    entry_seconds: float
    """From the first row to the last entry."""
    drift: int
    """Entries that the reconciler had to put or remove when all was done."""


def measure(here: Stage, rows: int = ROWS) -> Registered:
    """Put so many rows, wait until each has its entry, and compare all rows with all entries."""
    client = here.client("dynamodb")
    made = [_row(number) for number in range(rows)]
    chunks = [made[start : start + CHUNK] for start in range(0, rows, CHUNK)]
    begin = time.perf_counter()

    def write(chunk: Sequence[dict[str, Any]]) -> None:
        pending = {"BatchSchedules": [{"PutRequest": {"Item": schedule_to_item(row)}} for row in chunk]}
        while pending:
            pending = client.batch_write_item(RequestItems=pending)["UnprocessedItems"]

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, chunks))
    written = time.perf_counter() - begin
    until(lambda: _count(here) >= rows or None, what=f"{rows} entries", seconds=60 + rows / 10, pause=1.0)
    registered = time.perf_counter() - begin
    return Registered(rows, written, registered, _drift(here))


def _row(number: int) -> dict[str, Any]:
    """None of them starts while this measures."""
    trigger = {"cron": f"cron({number % 60} 6 {1 + number % 28} 1 ? 2099)", "timezone": "Europe/Berlin"}
    return {"scheduleId": f"registered-{number:06}", "jobList": [JOB], "trigger": trigger}


def _count(here: Stage) -> int:
    pages = here.client("scheduler").get_paginator("list_schedules").paginate(GroupName=GROUP)
    return sum(len(page["Schedules"]) for page in pages)


def _drift(here: Stage) -> int:
    """What a sweep would mend that had time for all rows and all entries."""
    client = here.client("scheduler")
    first = client.list_schedules(GroupName=GROUP, MaxResults=1)["Schedules"][0]["Name"]
    target = client.get_schedule(Name=first, GroupName=GROUP)["Target"]
    entries = EventBridgeTimeEntries(
        lambda: client,
        group=GROUP,
        queue=target["Arn"],
        dead_letters=target["DeadLetterConfig"]["Arn"],
        role=target["RoleArn"],
    )
    store = DynamoStore(
        here.client("dynamodb"), schedules="BatchSchedules", history="BatchScheduleHistory", jobs="BatchScheduleJobs"
    )
    no_calendars: dict[str, Calendar] = {}
    timetable = Timetable(entries, lambda _names: no_calendars, time.time)
    drift = 0
    while True:
        drift += reconcile(timetable, store, lambda: 60.0)
        if not store.entries_page():
            return drift


def show(found: Registered) -> None:
    print(f"{found.rows:,} rows were written in {found.write_seconds:.1f} s")
    print(
        f"each had its entry after {found.entry_seconds:.1f} s: {found.rows / found.entry_seconds:,.0f} rows a second"
    )
    print(f"{found.drift} entries differed from their rows at the end")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registering", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="how many (default: 10,000)")
    rows = parser.parse_args(arguments).rows
    with stages.started() as here:
        show(measure(here, rows))


if __name__ == "__main__":
    main()
