"""`usched import`: writes the schedules that an importer has found in a file, and says what was not imported."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from universal_scheduler.cli.console import make_console, put_json, say
from universal_scheduler.cli.importers import Format
from universal_scheduler.cli.importers.found import Found, Imported, Reported
from universal_scheduler.cli.printable import printable
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.tables import Table, number, prose
from universal_scheduler.domain.documents.text import unicode_text
from universal_scheduler.domain.errors import UnreadableDocument

SOME_REPORTED = 1
ESCAPED = re.compile("[^\\x20-\\x7e\\xa0-\\u2027\\u202a-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""What JSON allows in a text and YAML does not, and the line breaks of YAML 1.1."""


def import_command(
    form: Format, file: str, out: str | None, as_json: bool, *, zone: str = "UTC", user_column: bool = False
) -> int:
    """Exit code 1 if something could not be imported.

    Raises:
        Problem: the file cannot be read, or a schedule cannot be written.
    """
    options: dict[str, Any] = {"zone": zone} if form.zone else {}
    if form.named and file != "-":
        options["name"] = Path(file).name.split(".")[0] or Path(file).name
    if form.user_column:
        system_wide = file == "/etc/crontab" or file.startswith("/etc/cron.d/")
        options["user_column"] = user_column or system_wide
    found = _read(form, file, options)
    files = [] if out is None else _write(Path(out), found.schedules)
    if as_json:
        put_json(_as_json(found, files))
    elif out is None:
        sys.stdout.write("---\n".join(yaml_of(each.document) for each in found.schedules))
        _explain(Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True), found)
    else:
        console = make_console()
        _show(console, found.schedules, files)
        _explain(console, found)
        if files:
            say(console, f"Look at them, and store them with: usched apply {out}", "dim")
    return SOME_REPORTED if found.reported else 0


def _read(form: Format, file: str, options: Mapping[str, Any]) -> Found:
    text = _text(file)
    try:
        return form.read(text, **options)
    except UnreadableDocument as unreadable:
        lines = "".join(f"\n         {error}" for error in unreadable.errors)
        raise Problem(f"{file} cannot be read as {form.name}.{lines}", "Correct the file.") from None


def yaml_of(document: Mapping[str, Any]) -> str:
    """A schedule as YAML: a key on a line, with its value in the form of JSON, which YAML contains."""
    lines = []
    for key, value in document.items():
        if key == "jobList":
            lines += ["jobList:", *(f"  - {_flow(job)}" for job in value)]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: object) -> str:
    return ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _text(file: str) -> str:
    try:
        return unicode_text(_bytes(file))
    except UnreadableDocument as unreadable:
        advice = f"Convert it: iconv -f LATIN1 -t UTF-8 {file}"
        raise Problem(f"{file} is not a text in UTF-8: {unreadable.errors[0]}", advice) from None


def _bytes(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        advice = "Name a file, or - for standard input: crontab -l | usched import crontab -"
        raise Problem(f"{file} cannot be read: {why}", advice) from None


def _write(directory: Path, schedules: Sequence[Imported]) -> list[Path]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        files = []
        for each in schedules:
            files.append(directory / f"{each.document['scheduleId']}.yaml")
            files[-1].write_text(yaml_of(each.document), encoding="utf-8")
    except OSError as error:
        raise Problem(f"{directory} cannot be written: {error.strerror}", "Choose another --out.") from None
    return files


def _as_json(found: Found, files: Sequence[Path]) -> dict[str, Any]:
    schedules = [{"line": each.line, "schedule": dict(each.document)} for each in found.schedules]
    for entry, file in zip(schedules, files, strict=False):
        entry["file"] = str(file)
    return {
        "schedules": schedules,
        "reported": [_reported(each) for each in found.reported],
        "notes": [_reported(each) for each in found.notes],
    }


def _reported(each: Reported) -> dict[str, Any]:
    return {"line": each.line, "text": each.text, "why": each.why}


def _show(console: Console, schedules: Sequence[Imported], files: Sequence[Path]) -> None:
    if not schedules:
        return
    table = Table("schedule", number("line"), number("jobs"), prose("starts"), prose("file"))
    for each, file in zip(schedules, files, strict=True):
        jobs = len(each.document["jobList"])
        table.add_row(each.document["scheduleId"], str(each.line), f"{jobs:,}", _starts(each.document), str(file))
    console.print(table)


def _starts(document: Mapping[str, Any]) -> str:
    """The triggers in a word or two each."""
    triggers = document["trigger"] if isinstance(document["trigger"], list) else [document["trigger"]]
    return "; ".join(_start(trigger) for trigger in triggers)


def _start(trigger: Mapping[str, Any]) -> str:
    if "manual" in trigger:
        return "by hand"
    if "after" in trigger:
        return f"after {', '.join(trigger['after'])}"
    times = trigger.get("cron") or trigger.get("rate") or trigger.get("at")
    return f"{times}, {trigger['timezone']}" if "timezone" in trigger else str(times)


def _explain(console: Console, found: Found) -> None:
    for head, style, entries in (
        ("Not imported: ", "bold red", found.reported),
        ("Note: ", "bold yellow", found.notes),
    ):
        for each in entries:
            why = printable(f"line {each.line}: {each.why} | {each.text}")
            console.print(Text.assemble((head, style), why), soft_wrap=True)
