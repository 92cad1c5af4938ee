"""`usched apply`: checks schedule documents and stores their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from universal_scheduler.cli.console import make_console, put_json
from universal_scheduler.cli.documents import Checked, check_file, files_of
from universal_scheduler.cli.printable import printable
from universal_scheduler.cli.tables import Table, number, prose, wrapped
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.ports import Store
from universal_scheduler.usecases.triggers import store_schedule

FAILED = 1


def apply_command(store: Store, paths: Sequence[str], as_json: bool) -> int:
    """Exit code 1 where a file was not stored."""
    checked = [check_file(file) for file in files_of(paths)]
    stored = store_all(store, checked)
    if as_json:
        put_json({"stored": stored, "errors": errors_of(checked)})
    else:
        show(make_console(), stored, checked)
    return FAILED if any(entry.errors for entry in checked) else 0


def store_all(store: Store, checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """Store the good files' rows. Those that wait for a trigger come first: none may miss the end of a run that the
    insertion of another starts."""
    rows = [(entry.file, row) for entry in checked for row in entry.rows]
    rows.sort(key=lambda entry: parse(entry[1]).starts_when_inserted)
    return [_store(store, file, row) for file, row in rows]


def errors_of(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    return [error for entry in checked for error in entry.errors_as_json]


def show(console: Console, stored: Sequence[Mapping[str, Any]], checked: Sequence[Checked]) -> None:
    if stored:
        table = Table("schedule", "row", number("jobs"), prose("what starts it"))
        for entry in stored:
            table.add_row(entry["scheduleId"], entry["row"], str(entry["jobs"]), entry["startedBy"])
        console.print(table)
    for bad in checked:
        if bad.errors:
            console.print(Text.assemble(("Not stored: ", "bold red"), printable(bad.file)), soft_wrap=True)
            for line in bad.told:
                for place, part in enumerate(wrapped(console, Text(line), console.width - 4)):
                    console.print(Text.assemble("    " if place else "  ", part))


def _store(store: Store, file: str, row: Mapping[str, Any]) -> dict[str, Any]:
    before = store.get_schedule(row["scheduleId"]) or {}
    before.pop("scheduleErrors", None)
    schedule_id, new = store_schedule(store, row)
    state = "new" if new else "unchanged" if before == row else "changed"
    return {
        "file": file,
        "scheduleId": schedule_id,
        "row": state,
        "jobs": len(row["jobList"]),
        "startedBy": _started_by(row, new),
    }


def _started_by(row: Mapping[str, Any], new: bool) -> str:
    schedule = parse(row)
    by_hand = f"usched run {schedule.schedule_id}"
    if schedule.after:
        return f"a run of {' or '.join(schedule.after)} that succeeds"
    if schedule.manual:
        return f"{by_hand}, or POST /executions"
    return "its insertion: it starts now" if new else f"{by_hand}: a changed row starts no run"
