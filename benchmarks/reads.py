"""`python -m benchmarks.reads`: what the end of a run and `usched runs` read, of few rows in the tables and of many."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from statistics import median
from typing import Any

import boto3
from botocore.config import Config
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks import stage as stages
from universal_scheduler.adapters.dynamodb.items import run_to_values, schedule_to_item, start_day, to_item
from universal_scheduler.adapters.dynamodb.runs import DAYS_KEY
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.runs.model import Execution, Run, RunKey, RunStatus
from universal_scheduler.usecases.indexes import ROWS, complete_indexes
from universal_scheduler.usecases.triggers import run_ended

SIZES = (10, 100_000)
FOLLOWERS = 3
LISTED = 20
DAYS = 100
WIDTH = 104
REPEATS = 5
CHUNK, WRITERS = 25, 4
NEWEST = datetime(2026, 11, 21, 23)
TABLES = {"schedules": "BatchSchedules", "history": "BatchScheduleHistory", "jobs": "BatchScheduleJobs"}
ENDED, LIST = "the end of a run", "usched runs"
UNLIMITED = float("inf")
WHOLE, INDEXED = "whole tables", "indexes"


@dataclass(frozen=True, slots=True)
class Reads:
    """What one call reads."""

    requests: int
    rows: int
    milliseconds: float


@dataclass
class Counted:
    """The reads of a client since it was told to count."""

    requests: int = 0
    rows: int = 0

    def count(self, model: Any, parsed: Mapping[str, Any], **_: Any) -> None:
        self.requests += 1
        match model.name:
            case "Query" | "Scan":
                self.rows += parsed["ScannedCount"]
            case "BatchGetItem":
                self.rows += sum(len(rows) for rows in parsed["Responses"].values())
            case "GetItem":
                self.rows += "Item" in parsed


@dataclass(frozen=True)
class Figures:
    """What each call reads, by its name, how it finds rows, and how many rows there are."""

    reads: dict[tuple[str, str, int], Reads] = field(default_factory=dict)

    @property
    def sizes(self) -> list[int]:
        return sorted({size for _, _, size in self.reads})

    def to_json(self) -> list[dict[str, Any]]:
        return [
            {"call": call, "by": by, "of": size, "requests": it.requests, "rows": it.rows, "ms": it.milliseconds}
            for (call, by, size), it in self.reads.items()
        ]


def measure(client: Any, sizes: Sequence[int] = SIZES, say: Callable[[str], None] = lambda _: None) -> Figures:
    """Fill tables of their own, like the deployed ones but without streams, and read them in both ways.

    Until the sweeps have looked at all rows, the store reads whole tables, as every version before did.
    """
    figures = Figures()
    for size in sizes:
        say(f"reads: {size:,} schedules and runs")
        names = {part: f"reads-{size}-{table}" for part, table in TABLES.items()}
        for part, table in TABLES.items():
            _create_like(client, table, names[part])
        _put(client, names["schedules"], map(schedule_to_item, _schedules(size)))
        _put(client, names["history"], (to_item(run_to_values(run)) for run in _runs(size)))
        days = sorted({start_day(run.key.start) for run in _runs(size)})
        _put(client, names["jobs"], (to_item({"runId": DAYS_KEY, "jobName": day}) for day in days))
        _read(client, names, size, WHOLE, figures)
        store = DynamoStore(client, **names)
        while not (store.check_followers(ROWS) and store.index_runs(ROWS)):
            complete_indexes(store, lambda: UNLIMITED)
        _read(client, names, size, INDEXED, figures)
        for name in names.values():
            client.delete_table(TableName=name)
    return figures


def quick_client(stage: stages.Stage) -> Any:
    """Like the scheduler's own: it does not check every value of what is written."""
    return boto3.client(
        "dynamodb",
        endpoint_url=stage.engine.endpoint,
        region_name=stages.REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(parameter_validation=False),
    )


def _read(client: Any, names: Mapping[str, str], size: int, by: str, figures: Figures) -> None:
    store = DynamoStore(client, **names)
    ended = Run(RunKey("upstream", "2026-11-21T06:00:00.000001"), RunStatus.SUCCEEDED, Execution("arn", "name"))

    def end() -> None:
        started = run_ended(store, MemoryWorkflow(), ended)
        if len(started) != FOLLOWERS:
            raise stages.BenchmarkError(f"{len(started)} schedules were started instead of {FOLLOWERS}")

    newest = [run.key for run in islice(_runs(size), LISTED)]

    def listed() -> None:
        if [run.key for run in store.list_runs(None, LISTED)] != newest:
            raise stages.BenchmarkError("the newest runs were not listed")

    for name, call in ((ENDED, end), (LIST, listed)):
        figures.reads[name, by, size] = _counted(client, call, 1 if by == WHOLE and size > min(SIZES) else REPEATS)


def _counted(client: Any, call: Callable[[], None], repeats: int) -> Reads:
    """Of the last repeat, because the first also asks whether the indexes are complete; the median time of all."""
    walls: list[float] = []
    for _ in range(repeats):
        with _counting(client) as counted:
            began = time.perf_counter()
            call()
            walls.append(time.perf_counter() - began)
    return Reads(counted.requests, counted.rows, median(walls) * 1000)


@contextmanager
def _counting(client: Any) -> Iterator[Counted]:
    counted = Counted()
    client.meta.events.register("after-call.dynamodb", counted.count)
    try:
        yield counted
    finally:
        client.meta.events.unregister("after-call.dynamodb", counted.count)


def _schedules(size: int) -> Iterator[dict[str, Any]]:
    """Three follow `upstream`; of the others every second follows another."""
    job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}
    for number in range(size):
        named = "upstream" if number < FOLLOWERS else f"s{number - 1}"
        trigger = {"after": [named]} if number < FOLLOWERS or number % 2 else {"manual": True}
        yield {"scheduleId": f"s{number}", "jobList": [job], "trigger": trigger, "description": "x" * 200}


def _runs(size: int) -> Iterator[Run]:
    """As many on each of a hundred days, the newest first."""
    step = timedelta(days=DAYS) / size
    for number in range(size):
        start = (NEWEST - step * number).isoformat(timespec="microseconds")
        name = f"run-{number}"
        cause = {"kind": "row", "eventId": "e" * 32}
        yield Run(RunKey(f"s{number % 500}", start), RunStatus.SUCCEEDED, Execution(f"arn:{name}", name), cause=cause)


def _create_like(client: Any, table: str, name: str) -> None:
    known = client.describe_table(TableName=table)["Table"]
    indexes = [
        {key: index[key] for key in ("IndexName", "KeySchema", "Projection")}
        for index in known.get("GlobalSecondaryIndexes", ())
    ]
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=known["AttributeDefinitions"],
        KeySchema=known["KeySchema"],
        **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
    )


def _put(client: Any, table: str, items: Iterator[Any]) -> None:
    def put(chunk: Sequence[Any]) -> None:
        left = client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": item}} for item in chunk]})
        if left.get("UnprocessedItems"):
            raise stages.BenchmarkError(f"not all rows of {table} were written")

    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(put, iter(lambda: list(islice(items, CHUNK)), [])))


def reads_table(figures: Figures) -> Table:
    shown = Table(
        title=f"What is read: {FOLLOWERS} schedules follow the run; {LISTED} runs are listed",
        title_justify="left",
        box=SIMPLE,
    )
    shown.add_column("", no_wrap=True)
    for size in figures.sizes:
        for what in ("requests", "rows", "ms"):
            shown.add_column(f"{what}\nof {size:,}", justify="right")
    for call, by in dict.fromkeys((call, by) for call, by, _ in figures.reads):
        cells: list[str] = []
        for size in figures.sizes:
            it = figures.reads[call, by, size]
            cells += [f"{it.requests:,}", f"{it.rows:,}", f"{it.milliseconds:,.1f}"]
        shown.add_row(f"{call}, by {by}", *cells)
    return shown


def main() -> None:
    errors = Console(stderr=True)
    with errors.status("starting an engine ...") as status, stages.started() as stage:
        figures = measure(quick_client(stage), say=status.update)
    Console(width=max(Console().width, WIDTH)).print(reads_table(figures))


if __name__ == "__main__":
    main()
