"""`usched backfill`: runs a schedule for each logical date of a span of time, so many at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from universal_scheduler.cli import target
from universal_scheduler.cli.console import make_console, put_json, say, status_text
from universal_scheduler.cli.next_starts import bound
from universal_scheduler.cli.operator import mark_of
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.tables import Table, prose
from universal_scheduler.cli.times import clock_now
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.errors import ScheduleNotFound
from universal_scheduler.domain.runs.model import AuditEntry, Verb
from universal_scheduler.domain.time.local_days import utc_text
from universal_scheduler.domain.time.starts import Start
from universal_scheduler.usecases.backfill import Backfill, Date, State, backfill
from universal_scheduler.usecases.upcoming import Span, checked_triggers, starts_in

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring

DONE, SOME_FAILED, INTERRUPTED = 0, 1, 130
MOST_DATES = 10_000
"""So many dates are run by one command at most."""


def backfill_command(
    stage: Wiring,
    schedule_id: str,
    first: str,
    last: str,
    *,
    parallel: int,
    newest_first: bool,
    again: bool,
    reason: str,
    interval: float,
    as_json: bool,
) -> int:
    """Exit code 0 if a run has succeeded for every date, 1 if not, 130 if it was interrupted.

    Raises:
        ScheduleNotFound, InvalidSchedule, Problem: nothing was started.
    """
    row = stage.store.get_schedule(schedule_id)
    if row is None:
        raise ScheduleNotFound(schedule_id)
    parse(row)
    starts, left_out = _dates(stage, row, Span(bound(first, "--from"), bound(last, "--to")))
    dates = [Date(start) for start in (reversed(starts) if newest_first else starts)]
    mark = mark_of(stage, Verb.BACKFILL, reason)
    given = {"from": first, "to": last, "dates": len(dates), "parallel": parallel, "again": again}
    stage.store.record_verb(schedule_id, AuditEntry(mark, given=given))
    cause = {"by": mark.by} | ({"reason": reason} if reason else {})
    asked = Backfill(schedule_id, dates, parallel, again, cause)
    console = make_console()
    progress = _Progress(console, asked, quiet=as_json)
    code = DONE
    try:
        with progress:
            for date in backfill(stage.store, stage.workflow, asked, lambda: time.sleep(interval)):
                progress.changed(date)
    except KeyboardInterrupt:
        code = INTERRUPTED
    counts = Counter(date.state for date in dates)
    if code is DONE and counts[State.SUCCEEDED] + counts[State.SKIPPED] < len(dates):
        code = SOME_FAILED
    if as_json:
        put_json(_view(asked, left_out, interrupted=code == INTERRUPTED))
    else:
        _summarize(console, asked, left_out, interrupted=code == INTERRUPTED)
    return code


def _dates(stage: Wiring, row: Mapping[str, Any], span: Span) -> tuple[list[Start], list[Start]]:
    """The dates to run, and those that the calendar leaves out."""
    schedule_id = row["scheduleId"]
    triggers = checked_triggers(row, stage.calendars)
    if not triggers:
        advice = f"Only a schedule with a cron, rate or at has dates. Start one run with: usched run {schedule_id}"
        raise Problem(f"The schedule '{schedule_id}' has no time trigger, so it has no dates.", advice)
    starts: list[Start] = []
    left_out: list[Start] = []
    for start in starts_in(triggers, span):
        (left_out if start.left_out else starts).append(start)
        if len(starts) > MOST_DATES or len(left_out) > MOST_DATES:
            message = f"The schedule '{schedule_id}' has more than {MOST_DATES:,} dates in this time."
            raise Problem(message, "Choose a shorter time with --from and --to.")
    if not starts:
        why = f", and {len(left_out)} are left out" if left_out else ""
        advice = f"See its dates with: {target.command('next', schedule_id, '--from', 'DAY', '--to', 'DAY')}"
        raise Problem(f"The schedule '{schedule_id}' has no date in this time{why}.", advice)
    return starts, left_out


class _Progress:
    """Shows each change of a date on a line, and on a terminal how far the backfill is."""

    def __init__(self, console: Console, asked: Backfill, *, quiet: bool) -> None:
        self._console, self._asked, self._quiet = console, asked, quiet
        self._live = Live(console=console, auto_refresh=False, transient=True) if self._shown else None

    @property
    def _shown(self) -> bool:
        return self._console.is_terminal and not self._quiet

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.start()

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def changed(self, date: Date) -> None:
        if self._quiet:
            return
        more = f", {date.reason}" if date.reason else ""
        line = Text.assemble(f"{clock_now()} {_local(date.start)} ", status_text(date.state), more)
        self._console.print(line, soft_wrap=True)
        if self._live is not None:
            self._live.update(Text(_counted(self._asked), style="dim"), refresh=True)


def _counted(asked: Backfill) -> str:
    """`30 dates: 12 SUCCEEDED, 2 RUNNING, 16 WAITING`"""
    counts = Counter(date.state for date in asked.dates)
    return f"{len(asked.dates)} dates: " + ", ".join(f"{counts[state]} {state}" for state in State if counts[state])


def _summarize(console: Console, asked: Backfill, left_out: Sequence[Start], *, interrupted: bool) -> None:
    table = Table("date", "status", prose("why"))
    for date in asked.dates:
        if date.state in (State.FAILED, State.CANCELLED):
            table.add_row(_local(date.start), status_text(date.state), date.reason)
    for start in left_out:
        table.add_row(_local(start), "left out", start.left_out)
    console.print()
    say(console, f"{asked.schedule_id}: {_counted(asked)}")
    if table.rows:
        console.print(table)
    if interrupted:
        say(console, "Interrupted. Runs that have started go on. Give the same command again to resume.", "yellow")
    elif any(date.state in (State.FAILED, State.CANCELLED) for date in asked.dates):
        say(console, "Give the same command again to run the dates that did not succeed.", "dim")


def _local(start: Start) -> str:
    return f"{start.local:%Y-%m-%d %H:%M:%S %Z}"


def _view(asked: Backfill, left_out: Sequence[Start], *, interrupted: bool) -> dict[str, Any]:
    counts = Counter(str(date.state) for date in asked.dates)
    return {
        "scheduleId": asked.schedule_id,
        "interrupted": interrupted,
        "counts": dict(counts),
        "dates": [_date_view(date) for date in asked.dates],
        "leftOut": [{"at": utc_text(start.at), "reason": start.left_out} for start in left_out],
    }


def _date_view(date: Date) -> dict[str, Any]:
    shown = {
        "at": utc_text(date.start.at),
        "local": date.start.local.isoformat(timespec="seconds"),
        "businessDate": date.start.business_date.isoformat(),
        "status": str(date.state),
        "reason": date.reason,
        "name": date.execution.name if date.execution else "",
        "startDateTime": date.run.key.start if date.run else "",
    }
    return {key: value for key, value in shown.items() if value}
