"""`python -m benchmarks`: measures every workload on every side, and prints the tables."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks import before, display, floor, memory, ours, reads, report, runs, stage, start_latency
from benchmarks.measures import Measured, Summary
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.script import PeerError, Script, install, running
from benchmarks.reference.side import Reference
from benchmarks.report import FLOOR, LUIGI, OURS, OURS_BEFORE, REFERENCE, TRY, TRY_BEFORE, Result
from benchmarks.workloads import Workload, all_workloads, diamond

WIDTH = 140
RUN_SECONDS = 150.0
"""A run of a script that takes longer is cut off."""

Measure = Callable[[Workload], Measured]
Say = Callable[[str], object]


def main() -> None:
    arguments = _arguments()
    errors = Console(stderr=True)
    workloads = [each for each in all_workloads() if not arguments.only or each.name in arguments.only]
    if arguments.quick:
        workloads = [diamond()]
    everything = not (arguments.quick or arguments.only)
    try:
        code = before.tree(arguments.before) if arguments.before else None
    except before.RevisionError as error:
        sys.exit(f"{arguments.before} is no revision of this repository: {error}")
    notes: list[str] = []
    with errors.status("starting ...") as status:

        def measured(sides: Mapping[str, Measure], workload: Workload) -> dict[str, Summary]:
            """The sides in turn: a machine that becomes slower meanwhile is slower for each of them."""
            number = 1 if arguments.quick else workload.repeats
            took: dict[str, list[Measured]] = {name: [] for name in sides}
            for repeat in range(1, number + 1):
                for name, measure in sides.items():
                    status.update(f"{workload.name} {report.SIDES[name]}: {repeat} of {number}")
                    took[name].append(measure(workload))
            return {name: Summary(tuple(each)) for name, each in took.items()}

        # Before the engine starts: nothing else wants the processors.
        with _processes(code, luigi=not arguments.quick, say=status.update, notes=notes) as sides:
            _warm_up(sides)
            alone = {each.name: measured(sides, each) for each in workloads}
        shown = None
        if everything:
            status.update("usched try with its display")
            shown = display.measure()
        with ExitStack() as engines:
            status.update("starting an engine ...")
            stages = {memory.NOW: engines.enter_context(stage.started())}
            if code:
                stages[memory.BEFORE] = engines.enter_context(stage.started(code))
            sides = _deployed(stages)
            status.update("warming up")
            _warm_up(sides)
            results = [Result(each, _ordered(measured(sides, each) | alone[each.name])) for each in workloads]
            latency = figures = None
            ran: list[memory.Ran] = []
            if everything:
                here = stages[memory.NOW]
                status.update("start latency")
                latency = start_latency.measure(ours.Ours(here))
                figures = reads.measure(reads.quick_client(here), say=status.update)
        if everything:  # On engines of their own, which have kept nothing yet.
            with ExitStack() as engines:
                stages = {memory.NOW: engines.enter_context(stage.started())}
                if code:
                    stages[memory.BEFORE] = engines.enter_context(stage.started(code))
                ran = memory.measure_all(stages, say=status.update)
    console = Console(width=max(Console().width, WIDTH))
    report.show(console, results, latency, shown)
    for note in notes:
        console.print(f"  {note}", markup=False)
    if figures:
        console.print(reads.reads_table(figures))
    if ran:
        memory.show(console, ran)
    if arguments.json:
        document = report.to_json(results, latency, shown)
        document |= {"before": arguments.before, "reads": figures and figures.to_json(), "large": memory.to_json(ran)}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")


def _deployed(stages: Mapping[str, stage.Stage]) -> dict[str, Measure]:
    """What runs on an engine: the scheduler, as it was before, and the reference design's loop."""
    here = stages[memory.NOW]
    sides: dict[str, Measure] = {OURS: partial(runs.run, here, ours.Ours(here))}
    if there := stages.get(memory.BEFORE):
        sides[OURS_BEFORE] = partial(runs.run, there, ours.Ours(there))
    sides[REFERENCE] = partial(runs.run, here, Reference(here))
    return sides


@contextmanager
def _processes(code: Path | None, *, luigi: bool, say: Say, notes: list[str]) -> Iterator[dict[str, Measure]]:
    """What needs no engine. Luigi is left out, with a note, where it cannot be installed."""
    sides: dict[str, Measure] = {TRY: ours.try_out}
    with ExitStack() as scripts:
        if code:
            say("starting usched try of before")
            trial = scripts.enter_context(running(PEERS_BY_NAME["usched_try"], Path(sys.prefix), code))
            sides[TRY_BEFORE] = _of_script(trial)
        if luigi:
            peer = PEERS_BY_NAME["luigi"]
            try:
                say("installing Luigi")
                sides[LUIGI] = _of_script(scripts.enter_context(running(peer, install(peer))))
            except PeerError as error:
                notes.append(f"{peer.title} was not measured: {error}")
        sides[FLOOR] = floor.run
        yield sides


PEERS_BY_NAME = {peer.name: peer for peer in PEERS}


def _of_script(script: Script) -> Measure:
    script.wait_ready()
    return lambda workload: script.measure(workload.name, RUN_SECONDS)


def _warm_up(sides: Mapping[str, Measure]) -> None:
    """So that no cold start is measured."""
    for measure in sides.values():
        measure(diamond())


def _ordered(summaries: Mapping[str, Summary]) -> dict[str, Summary]:
    return {name: summaries[name] for name in report.SIDES if name in summaries}


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="W1 only, once")
    parser.add_argument("--only", nargs="+", metavar="W", help="these workloads only, such as W1 W4")
    parser.add_argument("--before", metavar="REVISION", help="also measure the scheduler as it was at this revision")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
