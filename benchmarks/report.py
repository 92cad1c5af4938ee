"""Shows what was measured: a table for each workload, and all of it as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.display import WAYS, Display
from benchmarks.measures import Summary, percentile
from benchmarks.start_latency import StartLatency
from benchmarks.workloads import Workload

OURS, OURS_BEFORE, REFERENCE = "ours", "oursBefore", "reference"
TRY, TRY_BEFORE, LUIGI, FLOOR = "try", "tryBefore", "luigi", "floor"
SIDES = {
    OURS: "ours",
    OURS_BEFORE: "ours before",
    REFERENCE: "reference",
    TRY: "usched try",
    TRY_BEFORE: "try before",
    LUIGI: "Luigi",
    FLOOR: "plain Python",
}
RATIOS = {"ours / before": OURS_BEFORE, "ours / ref.": REFERENCE}
NOTHING = "–"
COMPUTED = "* computed from the measured turns of the wait loop, not waited for\n"
WALL_TARGETS = {
    "W1": {OURS: 0.08, TRY: 0.02},
    "W2": {OURS: 0.4, TRY: 0.12},
    "W3": {OURS: 0.35, TRY: 0.08},
    "W4": {OURS: 3.0, TRY: 0.8},
}
"""Seconds, at wait_time 1, on a machine with two processors."""
LAG_TARGETS = {OURS: 300.0, TRY: 5.0}
"""Milliseconds: the 95th percentile in the chain of 50."""
CHAIN = "W3"
MAIN_CALLS = ("SubmitJob", "DescribeJobs", "ListJobs")


@dataclass(frozen=True, slots=True)
class Result:
    """A workload's summaries, by side."""

    workload: Workload
    sides: Mapping[str, Summary]


@dataclass(frozen=True, slots=True)
class _Row:
    title: str
    value: Callable[[Summary], float | None]
    form: str = ",.0f"


def _median(name: str) -> Callable[[Summary], float | None]:
    return lambda side: side.median(name)


def _lag(percent: float) -> Callable[[Summary], float | None]:
    return lambda side: percentile(side.lags, percent)


def _calls(operation: str) -> Callable[[Summary], float | None]:
    return lambda side: None if side.median("lambdas") is None else side.calls(operation)


def rows() -> list[_Row]:
    return [
        _Row("wall, s (wait_time 1)", _median("wall"), ",.3f"),
        _Row("wall, s (wait_time 60) *", _median("wall_at_60"), ",.1f"),
        _Row("lag, ms: median", _lag(50), ",.1f"),
        _Row("lag, ms: p95", _lag(95), ",.1f"),
        _Row("lag, ms: largest", _lag(100), ",.1f"),
        _Row("state transitions", _median("transitions")),
        _Row("history events", _median("history")),
        _Row("Lambda invocations", _median("lambdas")),
        *(_Row(f"Batch: {operation}", _calls(operation)) for operation in MAIN_CALLS),
        _Row("DynamoDB requests", _median("dynamodb")),
        _Row("largest payload, bytes", _median("payload")),
    ]


def table(result: Result) -> Table:
    sides = result.sides
    shown = Table(title=f"{result.workload.name}: {result.workload.title}", title_justify="left", box=SIMPLE)
    shown.add_column("median of the runs", no_wrap=True)
    for name in sides:
        shown.add_column(SIDES[name], justify="right")
    compared = {title: sides.get(other) for title, other in RATIOS.items() if other in sides}
    for title in compared:
        shown.add_column(title, justify="right")
    shown.add_row("runs", *(str(len(side.runs)) for side in sides.values()))
    for row in rows():
        values = {name: row.value(side) for name, side in sides.items()}
        if any(value is not None for value in values.values()):
            cells = [_formed(value, row.form) for value in values.values()]
            shown.add_row(row.title, *cells, *(_ratio(row, sides.get(OURS), other) for other in compared.values()))
    shown.add_row("outcome", *(_outcome(side) for side in sides.values()))
    return shown


def footnotes(result: Result) -> list[str]:
    """What came instead of success, and what AWS would not have let pass."""
    notes = []
    for name, side in result.sides.items():
        if not side.succeeded:
            notes.append(f"{SIDES[name]}: {side.outcome.rstrip('.')}. Its figures are those up to the break.")
        if side.breaks_on_aws:
            notes.append(
                f"{SIDES[name]}: on AWS the run ends by {side.breaks_on_aws}; the embedded engine has no such limit,"
                " so the figures are those of a run that AWS would have let pass."
            )
    return notes


def targets_table(results: Sequence[Result]) -> Table:
    """How far each side of ours is from what it is to reach, and what others take."""
    beside = [name for name in (LUIGI, FLOOR) if any(name in result.sides for result in results)]
    shown = Table(title="Targets (measured / wanted)", title_justify="left", box=SIMPLE)
    shown.add_column("", no_wrap=True)
    for name in (*LAG_TARGETS, *beside):
        shown.add_column(SIDES[name], justify="right")
    for result in results:
        name = result.workload.name
        walls = {side: result.sides[side].median("wall") for side in result.sides}
        others = [_formed(walls.get(side), ".2f") for side in beside]
        shown.add_row(f"{name} wall, s", *_against(walls, WALL_TARGETS.get(name, {}), ".2f"), *others)
        if name == CHAIN:
            lags = {side: percentile(result.sides[side].lags, 95) for side in walls}
            others = [_formed(lags.get(side), ".0f") for side in beside]
            shown.add_row(f"{name} lag p95, ms", *_against(lags, LAG_TARGETS, ".0f"), *others)
    return shown


def _against(values: Mapping[str, float | None], wanted: Mapping[str, float], form: str) -> list[str]:
    cells = []
    for side in LAG_TARGETS:
        value, target = values.get(side), wanted.get(side)
        if value is None or target is None:
            cells.append(NOTHING)
            continue
        missed = "" if value <= target else f", missed by {value / target - 1:.0%}"
        cells.append(f"{value:{form}} / {target:g}{missed}")
    return cells


def latency_table(latency: StartLatency) -> Table:
    shown = Table(
        title=f"Start latency: {len(latency.recorded)} rows inserted with put_item", title_justify="left", box=SIMPLE
    )
    shown.add_column("from put_item's return, s, to", no_wrap=True)
    for title in ("median", "p95"):
        shown.add_column(title, justify="right")
    for title, values in (
        ("the run's history row", latency.recorded),
        ("its first job's submission", latency.submitted),
    ):
        shown.add_row(title, *(_formed(percentile(values, percent), ".3f") for percent in (50, 95)))
    return shown


def display_table(display: Display) -> Table:
    rounds = len(next(iter(display.taken.values())))
    shown = Table(
        title=f"usched try, {display.workload.title}, with its display: {rounds} rounds",
        title_justify="left",
        box=SIMPLE,
    )
    shown.add_column("", no_wrap=True)
    for title in ("wall, s", "/ --json", "processors / --json"):
        shown.add_column(title, justify="right")
    for way in WAYS:
        by_clock, of_processors = display.ratios(way)
        shown.add_row(way, f"{display.wall(way):.2f}", f"{by_clock:.2f}", f"{of_processors:.2f}")
    return shown


def show(
    console: Console, results: Sequence[Result], latency: StartLatency | None, display: Display | None = None
) -> None:
    for result in results:
        console.print(table(result))
        for note in footnotes(result):
            console.print(f"  {note}", markup=False)
        console.print()
    console.print(COMPUTED)
    console.print(targets_table(results))
    if latency:
        console.print(latency_table(latency))
    if display:
        console.print(display_table(display))


def to_json(results: Sequence[Result], latency: StartLatency | None, display: Display | None = None) -> dict[str, Any]:
    return {
        "machine": machine(),
        "workloads": {
            result.workload.name: {
                "title": result.workload.title,
                "jobs": len(result.workload.upstream),
                **{name: side.to_json() for name, side in result.sides.items()},
            }
            for result in results
        },
        "startLatency": None
        if latency is None
        else {
            name: {"median": percentile(values, 50), "p95": percentile(values, 95), "all": values}
            for name, values in (("recorded", latency.recorded), ("submitted", latency.submitted))
        },
        "display": None
        if display is None
        else {way: [asdict(each) for each in rounds] for way, rounds in display.taken.items()},
    }


def machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "memoryMiB": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _ratio(row: _Row, ours: Summary | None, other: Summary | None) -> str:
    if ours is None or other is None or not (ours.succeeded and other.succeeded):
        return NOTHING
    mine, theirs = row.value(ours), row.value(other)
    if mine is None or not theirs:
        return NOTHING
    ratio = mine / theirs
    return f"{ratio:.2g}" if ratio < 10 else f"{ratio:,.0f}"


def _outcome(side: Summary) -> str:
    if not side.succeeded:
        return side.outcome.partition(",")[0]
    return "breaks on AWS" if side.breaks_on_aws else "SUCCEEDED"


def _formed(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)
