"""`usched runs` and `usched show`: list runs, and show one run or a schedule."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from universal_scheduler.cli.console import (
    View,
    audit_table,
    cause_text,
    counts_text,
    errors_table,
    heading,
    jobs_table,
    make_console,
    paused_text,
    put_facts,
    put_json,
    runs_table,
    say,
)
from universal_scheduler.cli.failures import show_failures, with_failures
from universal_scheduler.cli.printable import printable
from universal_scheduler.cli.since import moment, since_text
from universal_scheduler.cli.tables import Table, number, prose
from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.errors import RunNotFound, ScheduleNotFound
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.model import Run, RunKey
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.ports.store import Store
from universal_scheduler.usecases.progress import with_progress
from universal_scheduler.usecases.views import audit_view, mark_view, run_summary, run_view, schedule_view

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring

RUNS_SHOWN = 20


def runs_command(store: Store, schedule_id: str | None, limit: int, since: str | None, as_json: bool) -> int:
    runs = store.list_runs(schedule_id, limit, iso(moment(since, time.time())) if since else "")
    if not runs and schedule_id is not None and store.get_schedule(schedule_id) is None:
        raise ScheduleNotFound(schedule_id)
    views = [run_summary(run) for run in runs]
    if as_json:
        put_json({"runs": views})
        return 0
    console = make_console()
    if views:
        console.print(runs_table(views, time.time()))
    else:
        say(console, _nothing_ran(schedule_id, since))
    return 0


def _nothing_ran(schedule_id: str | None, since: str | None = None) -> str:
    if since is not None:
        of = "" if schedule_id is None else f" of '{schedule_id}'"
        return f"No run{of} has started {since_text(since)}. Look further back with --since, for example 1w."
    if schedule_id is None:
        return "Nothing has run yet. Store a schedule with: usched apply FILE"
    return f"The schedule '{schedule_id}' has not run yet. Start it with: usched run {schedule_id}"


def show_command(stage: Wiring, schedule_id: str, start: str | None, as_json: bool) -> int:
    """Show the named run, or the newest. If the schedule is not valid or has no run, show the schedule."""
    view = find_view(stage.store, stage.platform, schedule_id, start)
    if "jobs" in view:
        view = with_failures(stage, view)
    if as_json:
        put_json(view)
    elif "jobs" in view:
        show_run(make_console(), view)
    else:
        show_schedule(make_console(), view)
    return 0


def find_view(store: Store, platform: JobPlatform, schedule_id: str, start: str | None) -> dict[str, Any]:
    if start is not None:
        return _view(store, platform, find_run(store, schedule_id, start))
    row = store.get_schedule(schedule_id)
    invalid = row is not None and bool(find_errors(row))
    runs = store.list_runs(schedule_id, RUNS_SHOWN)
    if runs and not invalid:
        return _view(store, platform, runs[0])
    if row is None:
        raise ScheduleNotFound(schedule_id)
    return schedule_view(row, runs, store.paused(schedule_id))


def find_run(store: Store, schedule_id: str, start: str | None) -> Run:
    """The named run, or the newest run of the schedule.

    Raises:
        ScheduleNotFound, RunNotFound: there is none.
    """
    if start is not None:
        run = store.get_run(RunKey(schedule_id, start))
        if run is None:
            raise RunNotFound(schedule_id, start)
        return run
    newest = store.list_runs(schedule_id, 1)
    if newest:
        return newest[0]
    if store.get_schedule(schedule_id) is None:
        raise ScheduleNotFound(schedule_id)
    raise RunNotFound(schedule_id)


def show_run(console: Console, run: View) -> None:
    """Print what the run is doing and why, then its jobs, then what has started it and what operators did to it."""
    now = time.time()
    console.print(heading(run, now))
    put_facts(
        console,
        {
            "why": run.get("reason"),
            "now": run.get("waitingFor"),
            "schedule": paused_text(run, now),
            "jobs": counts_text(run),
        },
    )
    console.print()
    console.print(jobs_table(run, now, titled=False))
    for job in run["jobs"]:
        if failed := job.get("failedChildren"):
            _show_children(console, job, failed)
    show_failures(console, run)
    put_facts(
        console,
        {
            "startDateTime (UTC)": run["startDateTime"],
            "started by": cause_text(run.get("cause", {})),
            "execution": run.get("name"),
        },
    )
    if run.get("audit"):
        console.print()
        console.print(audit_table(run["audit"], now))


def _show_children(console: Console, job: View, failed: Sequence[View]) -> None:
    left = job["children"]["FAILED"] - len(failed)
    more = f" ({left:,} more are not shown)" if left else ""
    table = Table("child", number("exit"), prose("why"), title=f"{job['jobName']}: failed children{more}")
    for child in failed:
        code = child["exitCode"]
        table.add_row(str(child["index"]), "" if code is None else str(code), child["reason"])
    console.print(table)


def show_schedule(console: Console, schedule: View) -> None:
    now = time.time()
    console.print(Text(printable(schedule["scheduleId"]), style="bold"))
    if "paused" in schedule:
        console.print(Text(printable(paused_text(schedule, now)), style="yellow"))
    if schedule.get("errors"):
        console.print(Text("The row is not valid: it starts nothing until it is corrected.", style="red"))
        console.print(errors_table(schedule["errors"]))
    else:
        say(console, _nothing_ran(schedule["scheduleId"]))
        console.print()
        table = Table("job", "queue", prose("after"), "definition")
        for job in parse(schedule["schedule"]).jobs:
            table.add_row(job.name, job.queue, ", ".join(job.depends_on), job.definition)
        console.print(table)
    if schedule.get("runs"):
        console.print(runs_table(schedule["runs"], now))


def _view(store: Store, platform: JobPlatform, run: Run) -> dict[str, Any]:
    view = run_view(run, with_progress(platform, store.list_jobs(run.key.run_id), time.time()), time.time())
    trail = [audit_view(entry) for entry in store.audit(run.key.run_id)]
    paused = mark_view(store.paused(run.key.schedule_id))
    return view | ({"audit": trail} if trail else {}) | ({"paused": paused} if paused else {})
