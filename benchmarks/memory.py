"""`python -m benchmarks.memory`: ten large runs on one engine, and the engine's memory after each.

The jobs stand side by side and in layers by turns. So the same runs show what layers cost.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks import before
from benchmarks import stage as stages
from benchmarks.large import JOBS, LAYERS, layered, measure, separate

RUNS = 10
FLAT, LAYERED = "side by side", "in layers"
SHAPES = 2
NOW, BEFORE = "now", "before"
GOAL_MB, GOAL_LAYERED, GOAL_SECONDS = 300, 1.3, 30.0
"""The engine's memory after the last run; layered as a multiple of side by side; seconds for 10,000 side by side."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One large run, and the engine after it."""

    version: str
    number: int
    shape: str
    jobs: int
    wall: float
    """Seconds from the start until the run's end was recorded."""
    processor: float
    """Seconds of processor of the engine's process; functions and jobs are processes of their own."""
    transitions: int
    memory: int
    """Bytes: the engine's resident set when the run has ended."""
    outcome: str


def measure_all(
    versions: Mapping[str, stages.Stage],
    jobs: int = JOBS,
    runs: int = RUNS,
    say: Callable[[str], object] = lambda _: None,
) -> list[Ran]:
    """Run them on every version in turn: a machine that becomes slower meanwhile is slower for each of them.

    An earlier revision runs one of each shape, because it may be slow.
    """
    ran: list[Ran] = []
    for stage in versions.values():
        measure(stage, "a warm-up", separate(5), 5)
    for number in range(1, runs + 1):
        shape = FLAT if number % 2 else LAYERED
        documents = separate(jobs) if shape == FLAT else layered(jobs, max(1, jobs // LAYERS))
        for version, stage in versions.items():
            if version == BEFORE and number > SHAPES:
                continue
            say(f"large run {number} of {runs}, {shape}, {version}")
            used = processor_seconds(stage.engine.pid)
            run = measure(stage, f"run {number}", documents, jobs)
            ran.append(
                Ran(
                    version=version,
                    number=number,
                    shape=shape,
                    jobs=jobs,
                    wall=run.wall,
                    processor=processor_seconds(stage.engine.pid) - used,
                    transitions=run.transitions,
                    memory=resident_bytes(stage.engine.pid),
                    outcome=run.outcome,
                )
            )
    return ran


def resident_bytes(pid: int) -> int:
    """The resident set of a process; 0 where the system does not tell."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def processor_seconds(pid: int) -> float:
    """What a process has used so far; 0 where the system does not tell."""
    with suppress(OSError):
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def tables(ran: Sequence[Ran]) -> list[Table]:
    """The runs as they went, and what they say together."""
    versions = list(dict.fromkeys(run.version for run in ran))
    each = Table(
        title=f"Large runs on one engine: {ran[0].jobs:,} jobs each; CPU and memory are the engine's own",
        title_justify="left",
        box=SIMPLE,
    )
    together = Table(title="All of them", title_justify="left", box=SIMPLE)
    each.add_column("run", justify="right")
    each.add_column("jobs", no_wrap=True)
    together.add_column("", no_wrap=True)
    for version in versions:
        for what in ("wall, s", "CPU, s", "transitions", "MB"):
            each.add_column(f"{what}\n{version}", justify="right", no_wrap=True)
        together.add_column(version, justify="right")
    together.add_column("wanted", justify="right")
    by_place = {(run.version, run.number): run for run in ran}
    for number in sorted({run.number for run in ran}):
        cells: list[str] = []
        for version in versions:
            run = by_place.get((version, number))
            cells += (
                4 * ["–"]
                if run is None
                else [f"{run.wall:.1f}", f"{run.processor:.1f}", f"{run.transitions:,}", f"{run.memory / 1e6:.0f}"]
            )
        each.add_row(str(number), by_place[versions[0], number].shape, *cells)
    summaries = [_summary([run for run in ran if run.version == version]) for version in versions]
    for title, form, wanted in (
        (FLAT_SECONDS, ".1f", f"{GOAL_SECONDS:g}" if ran[0].jobs == JOBS else ""),
        (LAYERED_SECONDS, ".1f", ""),
        (RATIO, ".2f", f"{GOAL_LAYERED:g}"),
        (MEMORY, ".0f", f"{GOAL_MB}"),
    ):
        values = [summary.get(title) for summary in summaries]
        together.add_row(title, *("–" if value is None else format(value, form) for value in values), wanted)
    return [each, together]


FLAT_SECONDS, LAYERED_SECONDS = f"{FLAT}: wall, s (median)", f"{LAYERED}: wall, s (median)"
RATIO, MEMORY = "in layers / side by side", "engine's memory after the last run, MB"


def _summary(ran: Sequence[Ran]) -> dict[str, float]:
    flat, layers = ([run.wall for run in ran if run.shape == shape] for shape in (FLAT, LAYERED))
    found = {FLAT_SECONDS: median(flat), MEMORY: ran[-1].memory / 1e6}
    if layers:
        found |= {LAYERED_SECONDS: median(layers), RATIO: median(layers) / median(flat)}
    return found


def show(console: Console, ran: Sequence[Ran]) -> None:
    for table in tables(ran):
        console.print(table)
    for run in ran:
        if run.outcome != f"SUCCEEDED: {run.jobs:,} SUCCEEDED":
            console.print(f"  run {run.number}, {run.version}: {run.outcome}", markup=False)


def to_json(ran: Sequence[Ran]) -> list[dict[str, Any]]:
    return [asdict(run) for run in ran]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help="of each run (10,000)")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help="how many (10)")
    parser.add_argument("--before", metavar="REVISION", help="also run them on this earlier revision")
    arguments = parser.parse_args()
    errors = Console(stderr=True)
    with errors.status("starting an engine ...") as status, ExitStack() as engines:
        versions = {NOW: engines.enter_context(stages.started())}
        if arguments.before:
            versions[BEFORE] = engines.enter_context(stages.started(before.tree(arguments.before)))
        ran = measure_all(versions, arguments.jobs, arguments.runs, status.update)
    show(Console(width=max(Console().width, 104)), ran)


if __name__ == "__main__":
    main()
