"""`python -m benchmarks.memory`: the engine's memory and processor time after each of ten large runs."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import stage as stages
from benchmarks.large import measure, separate

JOBS = 10_000
RUNS = 10


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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help="of each run (10,000)")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help="how many (10)")
    arguments = parser.parse_args()
    table = Table("run", "memory, MB", "processor, s", "wall, s", "outcome", title="The embedded engine's memory")
    errors = Console(stderr=True)
    with stages.started() as stage:
        pid = stage.engine.pid
        measure(stage, "a warm-up", separate(5), 5)
        table.add_row("0", f"{resident_bytes(pid) / 1e6:.0f}")
        for number in range(1, arguments.runs + 1):
            before = processor_seconds(pid)
            with errors.status(f"run {number} of {arguments.runs}"):
                run = measure(stage, f"run {number}", separate(arguments.jobs), arguments.jobs)
            used = processor_seconds(pid) - before
            memory = f"{resident_bytes(pid) / 1e6:.0f}"
            table.add_row(str(number), memory, f"{used:.1f}", f"{run.wall:.1f}", run.outcome)
    Console().print(table)


if __name__ == "__main__":
    main()
