"""What `usched try` costs with its display, beside `--json`: the command itself, in a pipe and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from threading import Thread

from benchmarks.workloads import Workload, side_by_side

JSON, PIPE, TERMINAL = "--json", "in a pipe", "on a terminal"
ROUNDS = 5
COLUMNS, LINES = 120, 40


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds that a command took by the clock, and of the processors (with its jobs)."""

    wall: float
    processor: float


@dataclass(frozen=True, slots=True)
class Display:
    """What each round took, by the way in which the same schedule was tried."""

    workload: Workload
    taken: dict[str, tuple[Taken, ...]]

    def wall(self, way: str) -> float:
        """The median over the rounds."""
        return median(each.wall for each in self.taken[way])

    def ratios(self, way: str) -> tuple[float, float]:
        """How many times what it takes with `--json`, by the clock and of the processors: medians over the rounds.

        On a machine that is busy otherwise the processors' ratio is the one that can be repeated.
        """
        pairs = list(zip(self.taken[way], self.taken[JSON], strict=True))
        walls, processors = ([getattr(a, name) / getattr(b, name) for a, b in pairs] for name in ("wall", "processor"))
        return median(walls), median(processors)


def measure(workload: Workload | None = None, rounds: int = ROUNDS) -> Display:
    """Try a workload in every way, one after the other, in each round."""
    tried = workload or side_by_side()
    taken: dict[str, list[Taken]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="usched-display-") as home:
        file = Path(home) / "schedule.json"
        file.write_text(json.dumps(tried.document("shown", "default", "shell")))
        for _ in range(rounds):
            for way, run in WAYS.items():
                taken[way].append(_timed(run, file))
    return Display(tried, {way: tuple(measured) for way, measured in taken.items()})


def _timed(run: Callable[[Path], None], file: Path) -> Taken:
    before, began = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    run(file)
    wall, after = time.perf_counter() - began, getrusage(RUSAGE_CHILDREN)
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _command(file: Path, *options: str) -> Sequence[str]:
    return [sys.executable, "-m", "universal_scheduler.cli", "try", *options, str(file)]


def _as_json(file: Path) -> None:
    subprocess.run(_command(file, "--json"), stdout=subprocess.PIPE, check=True)


def _in_a_pipe(file: Path) -> None:
    subprocess.run(_command(file), stdout=subprocess.PIPE, check=True)


def _on_a_terminal(file: Path) -> None:
    here, there = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
    process = subprocess.Popen(_command(file), stdin=there, stdout=there, stderr=there, env=environment)
    os.close(there)
    reader = Thread(target=_read_all, args=(here,))
    reader.start()
    code = process.wait()
    reader.join()
    os.close(here)
    if code:
        raise subprocess.CalledProcessError(code, process.args)


def _read_all(terminal: int) -> None:
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass  # Linux: nobody has the other side open any more


WAYS: dict[str, Callable[[Path], None]] = {JSON: _as_json, PIPE: _in_a_pipe, TERMINAL: _on_a_terminal}


def main() -> None:
    measured = measure()
    for way in WAYS:
        by_clock, of_processors = measured.ratios(way)
        print(
            f"{way:14} {measured.wall(way):6.2f} s  {by_clock:.2f} × by the clock  {of_processors:.2f} × of processors"
        )


if __name__ == "__main__":
    main()
