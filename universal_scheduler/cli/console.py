"""How things look on a terminal: consoles, tables, times. Takes the JSON shapes of `usecases/views.py`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_WITHOUT_TERMINAL = 160
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
"""What to show first where there is no room for all."""

View = Mapping[str, Any]


def make_console() -> Console:
    """Standard output: the terminal's width, or a wide page where there is no terminal (COLUMNS changes it)."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_WITHOUT_TERMINAL
    return console


def put_json(document: object) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def status_text(status: str) -> Text:
    return Text(status, style=COLOURS.get(status, "dim"))


def plain_table(*columns: str, title: Text | str | None = None) -> Table:
    table = Table(*columns, box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    table.title_style = "bold"
    return table


def jobs_table(run: View, now: float, limit: int | None = None) -> Table:
    """A run: its jobs with state, duration, exit code and reason; of more than `limit` those that matter most now."""
    jobs: Sequence[View] = run["jobs"]
    table = plain_table("job", "status", "started", "seconds", "exit", "why", title=heading(run, now))
    table.columns[3].justify = table.columns[4].justify = "right"
    table.columns[0].overflow = "fold"
    if limit is not None and len(jobs) > limit:
        counts = ", ".join(f"{count} {status}" for status, count in run["counts"].items())
        table.caption = f"{limit} of {len(jobs)} jobs: {counts}"
        jobs = sorted(jobs, key=lambda job: INTEREST.get(job["status"], len(INTEREST)))[:limit]
    for job in jobs:
        table.add_row(
            job["jobName"],
            status_text(job["status"]),
            clock(job.get("startedAt", "")),
            seconds(job.get("startedAt", ""), job.get("stoppedAt", ""), now),
            str(job.get("exitCode", "")),
            Text(_why(job)),
        )
    return table


def _why(job: View) -> str:
    """Its reason, unless it succeeded by itself; of an array first how many children are in which state."""
    if job["status"] == "SUCCEEDED" and "operator" not in job:
        return ""
    children = ", ".join(f"{count:,} {status}" for status, count in job.get("children", {}).items())
    return "; ".join(filter(None, (children, job.get("reason", ""))))


def runs_table(runs: Sequence[View], now: float) -> Table:
    table = plain_table("schedule", "startDateTime (UTC)", "status", "seconds", "started by", "why")
    table.columns[3].justify = "right"
    for column in table.columns[:2]:
        column.no_wrap = True
    for run in runs:
        table.add_row(
            run["scheduleId"],
            run["startDateTime"],
            status_text(run["status"]),
            seconds(run["startDateTime"], run.get("endDateTime", ""), now),
            cause_text(run.get("cause", {})),
            Text(run.get("reason", "")),
        )
    return table


def audit_table(trail: Sequence[View]) -> Table:
    """What operators did, oldest first."""
    table = plain_table("when (UTC)", "run", "verb", "job", "by", "was", "is", "why")
    table.columns[0].no_wrap = True
    for entry in trail:
        given = " ".join(f"{key}: {json.dumps(value)}" for key, value in entry.get("given", {}).items())
        table.add_row(
            entry["at"][:19].replace("T", " "),
            entry.get("startDateTime", ""),
            entry["verb"],
            Text(entry.get("job", "")),
            Text(entry["by"]),
            entry.get("before", ""),
            entry.get("after", ""),
            Text(" ".join(text for text in (entry.get("reason", ""), given) if text)),
        )
    return table


def mark_text(mark: View) -> str:
    """Who did it and why."""
    return f"by {mark['by']}" + (f": {mark['reason']}" if mark.get("reason") else "")


def errors_table(errors: Sequence[View]) -> Table:
    table = plain_table("where", "found", "expected")
    for error in errors:
        table.add_row(Text(error["path"]), Text(error["found"]), Text(error["expected"]))
    return table


def heading(run: View, now: float) -> Text:
    taken = seconds(run["startDateTime"], run.get("endDateTime", ""), now)
    return Text.assemble(f"{run['scheduleId']} {run['startDateTime']} ", status_text(run["status"]), f" {taken} s")


def cause_text(cause: View) -> str:
    """What started a run, and on whose word."""
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
        case None:
            return ""
        case kind:
            return str(kind)


def clock(moment: str) -> str:
    """The time of day (UTC) of an ISO 8601 moment; of the day it is, the day is not repeated."""
    return moment[11:19]


def seconds(start: str, end: str, now: float) -> str:
    """How long something took, or takes until now where it has no end."""
    began = _epoch(start)
    if began is None:
        return ""
    taken = max(0.0, (_epoch(end) or now) - began)
    return f"{taken:.2f}" if taken < 10 else f"{taken:.0f}"


def _epoch(moment: str) -> float | None:
    try:
        read = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
