"""Shows runs while they go on: a table that changes on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from universal_scheduler.cli.console import View, jobs_table
from universal_scheduler.cli.printable import printable
from universal_scheduler.cli.times import clock_now

Look = Callable[[], Sequence[View]]
"""Answers the present state of the runs (`views.run_view`)."""
Pause = Callable[[float], object]
"""Waits for so many seconds, or until there is nothing more to wait for."""
TABLE_FRAME = 6
"""The lines of a table that are not jobs."""
SHARE = 0.02
"""The part of the processor's time that drawing may take. The jobs themselves may run on the same processor."""


def follow(
    console: Console,
    look: Look,
    ended: Callable[[Sequence[View]], bool],
    interval: float,
    *,
    stays: bool = True,
    pause: Pause = time.sleep,
) -> Sequence[View]:
    """Look at runs every `interval` seconds until they have ended, and show what changes. Answers the last look.

    If a look or its drawing takes long, the next look comes later. A look may leave out jobs that have no line or no
    room: `counts` counts all. `stays` says whether the last table stays on the terminal.
    """
    if console.is_terminal:
        return _live(console, look, ended, interval, stays, pause)
    return quietly(_lines(console, look), ended, interval, pause)


def quietly(
    look: Look, ended: Callable[[Sequence[View]], bool], interval: float, pause: Pause = time.sleep
) -> Sequence[View]:
    while True:
        began = time.thread_time()
        runs = look()
        if ended(runs):
            return runs
        pause(max(interval, (time.thread_time() - began) / SHARE))


def _live(
    console: Console,
    look: Look,
    ended: Callable[[Sequence[View]], bool],
    interval: float,
    stays: bool,
    pause: Pause,
) -> Sequence[View]:
    with Live(console=console, auto_refresh=False, transient=not stays) as live:

        def shown() -> Sequence[View]:
            runs = look()
            room = console.height // max(1, len(runs)) - TABLE_FRAME
            tables = [jobs_table(run, time.time(), max(1, room)) for run in runs]
            live.update(Group(*tables) if tables else Text("waiting for the run …", style="dim"), refresh=True)
            return runs

        return quietly(shown, ended, interval, pause)


def _lines(console: Console, look: Look) -> Look:
    """The looks, each with a line for all that has changed since the one before; they are written together."""
    known: dict[tuple[str, str, int], str] = {}
    lines: list[str] = []

    def shown() -> Sequence[View]:
        runs = look()
        for run in runs:
            name = run["scheduleId"]
            for job in run["jobs"]:
                exit_code = f" exit code {job['exitCode']}" if "exitCode" in job else ""
                report(f"{name} {job['jobName']}", run["runId"], job["attempts"], job["status"], exit_code)
            report(name, run["runId"], run["generation"], run["status"], f" {run['reason']}" if "reason" in run else "")
        if lines:
            now = clock_now()
            console.file.write("".join(f"{now} {printable(line)}\n" for line in lines))
            console.file.flush()
            lines.clear()
        return runs

    def report(what: str, run_id: str, turn: int, status: str, more: str) -> None:
        if known.get((what, run_id, turn)) != status:
            known[what, run_id, turn] = status
            lines.append(f"{what} {status}{more}")

    return shown
