"""`python -m benchmarks.durable`: a durable engine beside an ephemeral one.

Both run the workloads in turn, and then 10,000 jobs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks import large, ours, runs
from benchmarks import stage as stages
from benchmarks.memory import processor_seconds
from benchmarks.stage import Stage
from benchmarks.workloads import Workload, all_workloads, diamond
from universal_scheduler.local.state import Safety

GOAL_RATIO = 1.3
Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Side:
    """What a workload took on one of the engines."""

    workload: str
    safety: str
    walls: tuple[float, ...]
    processor: tuple[float, ...]
    """Seconds of the engine's own process: of functions, the supervisor and jobs it makes no difference."""


@dataclass(frozen=True, slots=True)
class _Took:
    """Several runs of a workload on one engine."""

    walls: list[float]
    processor: list[float]

    def add(self, stage: Stage, run: Callable[[], float]) -> None:
        before = processor_seconds(stage.engine.pid)
        self.walls.append(run())
        self.processor.append(processor_seconds(stage.engine.pid) - before)

    def side(self, workload: str, safety: Safety) -> Side:
        return Side(workload, str(safety), tuple(self.walls), tuple(self.processor))


def _wall(stage: Stage, workload: Workload) -> float:
    measured = runs.run(stage, ours.Ours(stage), workload)
    if not measured.succeeded:
        raise stages.BenchmarkError(f"{workload.name} on a {stage.engine.safety} engine: {measured.outcome}")
    return measured.wall


def measure_sides(safeties: Sequence[Safety], jobs: int, say: Say) -> list[Side]:
    """Run every workload on each engine in turn: a machine that becomes slower meanwhile is slower for each of them."""
    sides: list[Side] = []
    with ExitStack() as opened:
        here = {each: opened.enter_context(stages.started(safety=each)) for each in safeties}
        for stage in here.values():
            runs.run(stage, ours.Ours(stage), diamond())
        for workload in all_workloads():
            took = {each: _Took([], []) for each in here}
            for repeat in range(workload.repeats):
                for safety, stage in _in_turn(here, repeat):
                    say(f"{workload.name}, {safety}: {repeat + 1} of {workload.repeats}")
                    took[safety].add(stage, partial(_wall, stage, workload))
            sides += [its.side(workload.name, safety) for safety, its in took.items()]
        for number, (safety, stage) in enumerate(_in_turn(here, 1) if jobs else ()):
            say(f"{jobs:,} jobs, {safety}: {number + 1} of {len(here)}")
            its = _Took([], [])
            its.add(stage, lambda stage=stage: large.measure(stage, "many jobs", large.separate(jobs), jobs).wall)  # type: ignore[misc]
            sides.append(its.side(f"{jobs:,} jobs", safety))
    return sides


def _in_turn(here: Mapping[Safety, Stage], repeat: int) -> list[tuple[Safety, Stage]]:
    """Each engine comes first as often as the others."""
    order = list(here.items())
    return order[repeat % len(order) :] + order[: repeat % len(order)]


def sides_tables(sides: Sequence[Side]) -> list[Table]:
    """What the workloads took by the clock, and of the engine's processor."""
    return [
        _sides_table("Wall seconds (medians)", sides, lambda side: median(side.walls), f"≤ {GOAL_RATIO}"),
        _sides_table("Processor seconds of the engine (medians)", sides, lambda side: median(side.processor), ""),
    ]


def _sides_table(title: str, sides: Sequence[Side], value: Callable[[Side], float], wanted: str) -> Table:
    safeties = list(dict.fromkeys(side.safety for side in sides))
    first = safeties[0]
    table = Table(title=title, title_justify="left", box=SIMPLE)
    table.add_column("", no_wrap=True)
    for column in (*safeties, *(f"{safety} / {first}" for safety in safeties[1:]), *(["wanted"] if wanted else [])):
        table.add_column(column, justify="right")
    values = {(side.workload, side.safety): value(side) for side in sides}
    for workload in dict.fromkeys(side.workload for side in sides):
        its = [values[workload, safety] for safety in safeties]
        ratios = [f"{each / its[0]:.2f}" if its[0] else "–" for each in its[1:]]
        table.add_row(workload, *(f"{each:.3f}" for each in its), *ratios, *([wanted] if wanted else []))
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.durable", description=__doc__)
    parser.add_argument("--jobs", type=int, default=large.JOBS, metavar="N", help="of the large run (10,000); 0: none")
    parser.add_argument("--power", action="store_true", help="also measure --safety power")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    given = parser.parse_args(arguments)
    safeties = [Safety.EPHEMERAL, Safety.PROCESS, *([Safety.POWER] if given.power else [])]
    with Console(stderr=True).status("starting ...") as status:
        sides = measure_sides(safeties, given.jobs, status.update)
    for table in sides_tables(sides):
        Console(width=max(Console().width, 104)).print(table)
    if given.json:
        given.json.write_text(json.dumps([asdict(side) for side in sides], indent=2) + "\n")


if __name__ == "__main__":
    main()
