"""`python -m benchmarks.peers`: installs each peer in an environment of its own, measures it, and prints the table."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.status import Status

from benchmarks import floor, report
from benchmarks.measures import Measured, Summary
from benchmarks.peers import table
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.script import CutOff, PeerError, Script, install, installed_mb, running
from benchmarks.peers.table import Figures
from benchmarks.workloads import Workload, all_workloads, diamond

REPEATS = 3
ENOUGH_SECONDS = 20.0
"""A workload that has taken as long is not repeated."""
RUN_SECONDS = 150.0
"""A run that takes longer is cut off."""

Tell = Callable[[str], None]


def main() -> None:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # through every `finally`
    workloads = [diamond()] if arguments.quick else all_workloads()
    errors = Console(stderr=True)
    figures = [measure_floor(workloads)]
    with errors.status("") as status:
        for peer in PEERS:
            if not arguments.peers or peer.name in arguments.peers:
                figures.append(measure(peer, workloads, partial(_tell, status, peer)))
                status.console.print(f"{peer.title}: {figures[-1].problem or 'done'}", highlight=False)
    table.show(Console(width=max(Console().width, table.WIDTH)), figures)
    if arguments.json:
        written = {"machine": report.machine(), "peers": [each.to_json() for each in figures]}
        arguments.json.write_text(json.dumps(written, indent=2) + "\n")


def measure(peer: Peer, workloads: Sequence[Workload], tell: Tell = lambda _: None) -> Figures:
    """All figures of a peer; one that cannot be installed or does not run has the reason instead."""
    figures = Figures(peer.title, peer.how)
    left = list(workloads)
    try:
        tell("installing")
        environment = install(peer)
        figures.install_mb = installed_mb(environment)
        while left:
            tell("starting")
            began = time.perf_counter()
            with running(peer, environment) as script:
                script.wait_ready()
                if figures.cold_start is None:
                    figures.cold_start = time.perf_counter() - began
                tell("warming up")
                script.measure(diamond().name, RUN_SECONDS)
                while left:
                    tell(left[0].name)
                    workload = left.pop(0)
                    try:
                        figures.workloads[workload.name] = repeated(script, workload)
                    except CutOff as cut_off:
                        figures.workloads[workload.name] = str(cut_off)
                        break  # it is still at it: the next workload needs another
                    finally:
                        figures.memory_mb = max(figures.memory_mb or 0, script.memory_mb)
    except PeerError as error:
        figures.problem = str(error)
    return figures


def _tell(status: Status, peer: Peer, text: str) -> None:
    status.update(f"{peer.title}: {text}")


def repeated(script: Script, workload: Workload) -> Summary:
    runs: list[Measured] = []
    began = time.monotonic()
    while len(runs) < REPEATS and time.monotonic() - began < ENOUGH_SECONDS:
        runs.append(script.measure(workload.name, RUN_SECONDS))
    return Summary(tuple(runs))


def measure_floor(workloads: Sequence[Workload]) -> Figures:
    figures = Figures("plain Python", "a loop over subprocess, one a processor; nothing recorded")
    for workload in workloads:
        figures.workloads[workload.name] = Summary(tuple(floor.run(workload) for _ in range(REPEATS)))
    return figures


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    names = [peer.name for peer in PEERS]
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"these only, of: {' '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="W1 only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    arguments = parser.parse_args(given)
    if unknown := set(arguments.peers) - set(names):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return arguments


if __name__ == "__main__":
    main()
