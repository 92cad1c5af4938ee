"""How runs, jobs and errors look on a terminal. The functions take the JSON of `usecases/views.py`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from universal_scheduler.cli.printable import json_text, printable
from universal_scheduler.cli.tables import Table, number, prose
from universal_scheduler.cli.times import Times, clock, seconds
from universal_scheduler.domain.runs.arrays import progress_text

WIDTH_WITHOUT_TERMINAL = 1_000_000
COLOURS = {
    "SUCCEEDED": "green",
    "SKIPPED": "green",
    "FAILED": "red",
    "NOTFOUND": "red",
    "UPSTREAM_FAILED": "yellow",
    "CANCELLED": "yellow",
    "RUNNING": "cyan",
    "STARTING": "cyan",
}
INTEREST = {status: rank for rank, status in enumerate(("FAILED", "NOTFOUND", "RUNNING", "STARTING", "RUNNABLE"))}
"""The order in which jobs are shown if there is no room for all."""

View = Mapping[str, Any]


def make_console() -> Console:
    """Standard output, as wide as the terminal or as COLUMNS says. In a pipe the width is not limited: a row is one
    line."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_WITHOUT_TERMINAL
    return console


def put_json(document: object) -> None:
    click.echo(json_text(document))


def say(console: Console, text: str, style: str = "") -> None:
    """Print a sentence on one line, so that a command in it can be copied."""
    console.print(Text(printable(text), style=style), soft_wrap=True)


def put_facts(console: Console, facts: Mapping[str, str | None]) -> None:
    """Print one line for each fact that has a value: its name and its value."""
    for name, value in facts.items():
        if value:
            console.print(Text.assemble((f"{name}: ", "dim"), printable(value)))


def status_text(status: str) -> Text:
    return Text(status, style=COLOURS.get(status, "dim"))


def jobs_table(run: View, now: float, limit: int | None = None, *, titled: bool = True) -> Table:
    """A run's jobs with state, duration, exit code and reason. With `limit`, only so many lines: the most important
    jobs.

    The run may have only some of its jobs (`views.part_of_run_view`).
    """
    jobs: Sequence[View] = run["jobs"]
    count = sum(run.get("counts", {}).values()) or len(jobs)
    times = Times((job.get("startedAt", "") for job in jobs), now)
    table = Table(
        "job",
        "status",
        times.heading("started"),
        number("seconds"),
        number("exit"),
        prose("why"),
        title=heading(run, now) if titled else None,
        height=limit,
        caption=lambda shown: f"{shown:,} of {count:,} jobs: {counts_text(run)}" if shown < count else "",
    )
    if limit is not None and len(jobs) > limit:
        jobs = sorted(jobs, key=_interest)[:limit]
    for job in jobs:
        table.add_row(
            job["jobName"],
            status_text(job["status"]),
            times.clock(job.get("startedAt", "")),
            seconds(job.get("startedAt", ""), job.get("stoppedAt", ""), now),
            str(job.get("exitCode", "")),
            _why(job),
            interest=_interest(job),
        )
    return table


def _interest(job: View) -> int:
    return INTEREST.get(job["status"], len(INTEREST))


def counts_text(run: View) -> str:
    """How many jobs are in each state: `3 SUCCEEDED, 1 FAILED`."""
    return ", ".join(f"{count:,} {status}" for status, count in run.get("counts", {}).items())


def _why(job: View) -> str:
    """Its reason, unless it succeeded by itself; before it how far an array is, and which attempt this is."""
    attempts = job.get("attempts", 0)
    tried = f"attempt {attempts}" if attempts > 1 else ""
    if job["status"] == "SUCCEEDED" and "operator" not in job:
        return tried
    reason = job.get("reason", "")
    counted = _children_text(job)
    return "; ".join(filter(None, (tried, "" if counted in reason else counted, reason)))


def _children_text(job: View) -> str:
    """How far an array is, or what became of its children."""
    children = job.get("children", {})
    if "stoppedAt" in job:
        return ", ".join(f"{count:,} {status}" for status, count in children.items())
    return progress_text(children)


def runs_table(runs: Sequence[View], now: float) -> Table:
    """Runs, each with its startDateTime (UTC), by which other commands name it."""
    times = Times((run["startDateTime"] for run in runs), now)
    columns = "schedule", "status", times.heading("started"), number("seconds"), "startDateTime (UTC)", "started by"
    table = Table(*columns, prose("why"))
    for run in runs:
        table.add_row(
            run["scheduleId"],
            status_text(run["status"]),
            times.clock(run["startDateTime"]),
            seconds(run["startDateTime"], run.get("endDateTime", ""), now),
            run["startDateTime"],
            cause_text(run.get("cause", {})),
            run.get("reason", ""),
        )
    return table


def audit_table(trail: Sequence[View], now: float) -> Table:
    """What operators did, oldest first."""
    times = Times((entry["at"] for entry in trail), now)
    columns = times.heading("when"), "verb", "job", "was", "is", "by", "run (startDateTime, UTC)"
    table = Table(*columns, prose("why"))
    for entry in trail:
        given = " ".join(f"{key}: {json.dumps(value)}" for key, value in entry.get("given", {}).items())
        table.add_row(
            times.clock(entry["at"]),
            entry["verb"],
            entry.get("job", ""),
            entry.get("before", ""),
            entry.get("after", ""),
            entry["by"],
            entry.get("startDateTime", ""),
            " ".join(text for text in (entry.get("reason", ""), given) if text),
        )
    return table


def paused_text(view: View, now: float) -> str:
    """Since when the schedule is paused, by whom, and why; empty if it is not paused."""
    if "paused" not in view:
        return ""
    mark = view["paused"]
    return f"paused since {clock(mark['at'], now)} {mark_text(mark)}; no trigger starts it"


def mark_text(mark: View) -> str:
    """Who did something, and why."""
    return f"by {mark['by']}" + (f": {mark['reason']}" if mark.get("reason") else "")


def errors_table(errors: Sequence[View]) -> Table:
    table = Table("where", prose("found"), prose("expected"))
    for error in errors:
        table.add_row(error["path"], error["found"], error["expected"])
    return table


def heading(run: View, now: float) -> Text:
    taken = seconds(run["startDateTime"], run.get("endDateTime", ""), now)
    return Text.assemble(
        f"{printable(run['scheduleId'])} ",
        status_text(run["status"]),
        f", started {clock(run['startDateTime'], now)}, {taken} s",
    )


def cause_text(cause: View) -> str:
    """What has started a run, and who has asked for it."""
    by = f" {mark_text(cause)}" if "by" in cause else ""
    paused = f", though the schedule was paused {cause['schedulePaused']}" if "schedulePaused" in cause else ""
    return f"{_kind_text(cause)}{by}{paused}"


def _kind_text(cause: View) -> str:
    match cause.get("kind"):
        case "row":
            return "row inserted"
        case "upstream":
            return f"end of {cause.get('scheduleId', '?')}"
        case "api":
            return "REST API"
        case "cli":
            return "usched run"
        case "time":
            return f"time trigger of {cause.get('scheduledTime', '?')}"
        case "backfill":
            return f"backfill of {cause.get('scheduledTime', '?')}"
        case "s3":
            return f"object s3://{cause.get('bucket', '?')}/{cause.get('key', '?')}"
        case "event":
            return f"event of {cause.get('source', '?')}"
        case None:
            return ""
        case kind:
            return str(kind)
