"""`python -m benchmarks`: measures every workload on every side, and prints the tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import display, floor, ours, reads, report, runs, stage, start_latency
from benchmarks.measures import Measured, Summary
from benchmarks.reference.side import Reference
from benchmarks.report import FLOOR, OURS, REFERENCE, TRY, Result
from benchmarks.workloads import Workload, all_workloads, diamond

WIDTH = 104

Measure = Callable[[Workload], Measured]


def main() -> None:
    arguments = _arguments()
    errors = Console(stderr=True)
    workloads = [each for each in all_workloads() if not arguments.only or each.name in arguments.only]
    if arguments.quick:
        workloads = [diamond()]
    with errors.status("starting an engine ...") as status:

        def repeated(name: str, measure: Measure, workload: Workload) -> Summary:
            number = 1 if arguments.quick else workload.repeats
            measured = []
            for repeat in range(1, number + 1):
                status.update(f"{workload.name} {report.SIDES[name]}: {repeat} of {number}")
                measured.append(measure(workload))
            return Summary(tuple(measured))

        # Before the engine starts: nothing else wants the processors.
        alone = {
            each.name: {TRY: repeated(TRY, ours.try_out, each), FLOOR: repeated(FLOOR, floor.run, each)}
            for each in workloads
        }
        shown = None
        if not (arguments.quick or arguments.only):
            status.update("usched try with its display")
            shown = display.measure()
        with stage.started() as running:
            mine, theirs = ours.Ours(running), Reference(running)
            measures: dict[str, Measure] = {
                OURS: lambda workload: runs.run(running, mine, workload),
                REFERENCE: lambda workload: runs.run(running, theirs, workload),
            }
            for measure in measures.values():
                status.update("warming up")
                measure(diamond())
            results = [
                Result(
                    each,
                    {name: repeated(name, measure, each) for name, measure in measures.items()} | alone[each.name],
                )
                for each in workloads
            ]
            status.update("start latency")
            latency = None if arguments.quick or arguments.only else start_latency.measure(mine)
            figures = None
            if not (arguments.quick or arguments.only):
                figures = reads.measure(reads.quick_client(running), say=status.update)
    console = Console(width=max(Console().width, WIDTH))
    report.show(console, results, latency, shown)
    if figures:
        console.print(reads.reads_table(figures))
    if arguments.json:
        document = report.to_json(results, latency, shown) | {"reads": figures and figures.to_json()}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="W1 only, once")
    parser.add_argument("--only", nargs="+", metavar="W", help="these workloads only, such as W1 W4")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
