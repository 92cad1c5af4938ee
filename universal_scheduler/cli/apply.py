"""`usched apply`: checks documents of schedules and calendars, and stores their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Console
from rich.text import Text

from universal_scheduler.cli import target
from universal_scheduler.cli.console import make_console, put_json
from universal_scheduler.cli.documents import Checked, Remark, check_file, files_of
from universal_scheduler.cli.printable import printable
from universal_scheduler.cli.tables import Table, number, prose, wrapped
from universal_scheduler.domain.documents.calendars import calendar_text
from universal_scheduler.domain.documents.stage import Kind, Short, foreign_names, misspelt
from universal_scheduler.domain.documents.triggers import what_starts
from universal_scheduler.domain.documents.upstreams import upstreams_of
from universal_scheduler.ports.calendars import Calendars
from universal_scheduler.ports.store import Store
from universal_scheduler.usecases.calendars import calendar_name_errors, store_calendar
from universal_scheduler.usecases.stage_check import check_names, check_over, check_upstream
from universal_scheduler.usecases.triggers import find_cycle, store_schedule

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring

FAILED = 1
Rows: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Rows by their scheduleId."""


def apply_command(stage: Wiring, paths: Sequence[str], as_json: bool) -> int:
    """Exit code 1 if a file was not stored."""
    checked = on_stage(stage, [check_file(file) for file in files_of(paths)])
    calendars = store_calendars(stage.store, checked)
    stored = store_all(stage.store, checked)
    if as_json:
        put_json(
            {"stored": stored, "calendars": calendars, "errors": errors_of(checked), "warnings": warnings_of(checked)}
        )
    else:
        console = make_console()
        show_calendars(console, calendars)
        show(console, stored, checked)
        show_warnings(console, checked)
    return FAILED if any(entry.errors for entry in checked) else 0


def on_stage(stage: Wiring, checked: Sequence[Checked]) -> list[Checked]:
    """The files with what the stage says of their names: a name that can never be right is an error, a doubtful one a
    warning."""
    short = {Kind.QUEUE: stage.settings.job_queues, Kind.DEFINITION: stage.settings.job_definitions}
    together = {row["scheduleId"]: row for entry in checked for row in entry.rows}
    calendars = [row for entry in checked for row in entry.calendars]
    return [_on_stage(stage, short, together, calendars, entry) for entry in checked]


def _on_stage(
    stage: Wiring, short: Short, together: Rows, calendars: Sequence[Mapping[str, Any]], entry: Checked
) -> Checked:
    errors: list[Remark] = []
    warnings: list[Remark] = []
    for place, row in enumerate(entry.rows):
        wrong, doubtful = check_names(row, short, stage.batch_names)
        wrong += find_cycle(stage.store, row, together)
        wrong += calendar_name_errors(stage.store, row, calendars, hints=True)
        doubtful += check_upstream(stage.store, row, list(together))
        doubtful += check_over(row, stage.calendars, datetime.now(UTC))
        errors += [entry.placed(place, error) for error in wrong]
        warnings += [entry.placed(place, warning) for warning in doubtful]
    kept = (*entry.warnings, *warnings)
    if errors:
        return replace(entry, rows=(), calendars=(), errors=tuple(errors), warnings=kept)
    return replace(entry, warnings=kept)


def store_all(store: Store, checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """Store the rows of all good files, each after the schedules that its triggers name, so that a cycle that only old
    rows had is no error. Rows that start when they are inserted come last, so that no other row misses the end of their
    runs."""
    rows = [(entry.file, row) for entry in checked for row in entry.rows]
    together = {row["scheduleId"]: row for _, row in rows}
    starting = {name for name, row in together.items() if "trigger" not in row and store.get_schedule(name) is None}
    places = {name: place for place, name in enumerate(_upstream_first(together))}
    rows.sort(key=lambda entry: (entry[1]["scheduleId"] in starting, places[entry[1]["scheduleId"]]))
    return [_store(store, file, row, together) for file, row in rows]


def _upstream_first(rows: Rows) -> Sequence[str]:
    try:
        return list(TopologicalSorter({name: upstreams_of(row) for name, row in rows.items()}).static_order())
    except CycleError:  # one that is too long to be looked for
        return list(rows)


def store_calendars(calendars: Calendars, checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """Store the calendars of all good files: before the schedules, which may name them."""
    return [_store_calendar(calendars, entry.file, row) for entry in checked for row in entry.calendars]


def _store_calendar(calendars: Calendars, file: str, row: Mapping[str, Any]) -> dict[str, Any]:
    name = row["calendarName"]
    before = calendars.get_calendars([name]).get(name)
    new = store_calendar(calendars, row)
    state = "new" if new else "unchanged" if before == row else "changed"
    return {"file": file, "calendarName": name, "row": state, "days": calendar_text(row)}


def errors_of(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    return [error for entry in checked for error in entry.errors_as_json]


def warnings_of(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    return [warning for entry in checked for warning in entry.warnings_as_json]


def misspelt_names(entry: Checked) -> tuple[Remark, ...]:
    """Warnings about names that look like the short names of every stage. No stage is asked."""
    short = target.SHORT_NAMES
    return tuple(
        entry.placed(place, remark)
        for place, row in enumerate(entry.rows)
        for remark in misspelt(foreign_names(row, short), short)
    )


def show_warnings(console: Console, checked: Sequence[Checked]) -> None:
    for entry in checked:
        for line in entry.doubts:
            console.print(Text.assemble(("Warning: ", "bold yellow"), line))


def show_calendars(console: Console, stored: Sequence[Mapping[str, Any]]) -> None:
    if stored:
        table = Table("calendar", "row", prose("what it is made of"))
        for entry in stored:
            table.add_row(entry["calendarName"], entry["row"], entry["days"])
        console.print(table)


def show(console: Console, stored: Sequence[Mapping[str, Any]], checked: Sequence[Checked]) -> None:
    if stored:
        table = Table("schedule", "row", number("jobs"), prose("what starts it"))
        for entry in stored:
            table.add_row(entry["scheduleId"], entry["row"], str(entry["jobs"]), entry["startedBy"])
        console.print(table)
    for bad in checked:
        if bad.errors:
            console.print(Text.assemble(("Not stored: ", "bold red"), printable(bad.file)), soft_wrap=True)
            for line in bad.lines:
                for place, part in enumerate(wrapped(console, Text(line), console.width - 4)):
                    console.print(Text.assemble("    " if place else "  ", part))


def _store(store: Store, file: str, row: Mapping[str, Any], together: Rows) -> dict[str, Any]:
    before = store.get_schedule(row["scheduleId"]) or {}
    before.pop("scheduleErrors", None)
    schedule_id, new = store_schedule(store, row, together)
    state = "new" if new else "unchanged" if before == row else "changed"
    return {
        "file": file,
        "scheduleId": schedule_id,
        "row": state,
        "jobs": len(row["jobList"]),
        "startedBy": what_starts(row, new=new),
    }
