"""Reads files of schedules and calendars: YAML or JSON with one or several documents, or iCalendar. Finds the errors of
each document."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from universal_scheduler.cli.printable import printable
from universal_scheduler.cli.yaml_text import read_yaml, yaml_positions
from universal_scheduler.domain.documents.calendars import calendar_row_errors, is_calendar
from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.icalendar import read_icalendar
from universal_scheduler.domain.documents.json_text import json_positions, read_json
from universal_scheduler.domain.documents.parse import as_row, written_path
from universal_scheduler.domain.documents.storable import plain
from universal_scheduler.domain.documents.text import unicode_text
from universal_scheduler.domain.documents.values import SHOWN
from universal_scheduler.domain.errors import DocumentError, InvalidSchedule, ItemTooLarge, NotJson, UnreadableDocument

ICALENDAR = ".ics"
SUFFIXES = (".yaml", ".yml", ".json", ICALENDAR)
WANTED = "a file of schedules or calendars in YAML or JSON"
Remark: TypeAlias = tuple[str, DocumentError]
"""An error or a warning, with the scheduleId of its document; if it has none, with its number in the file."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One file: its rows; or, if a row has an error, all errors of the file."""

    file: str
    rows: tuple[dict[str, Any], ...] = ()
    """Of schedules."""
    calendars: tuple[dict[str, Any], ...] = ()
    """Rows of calendars."""
    errors: tuple[Remark, ...] = ()
    warnings: tuple[Remark, ...] = ()
    places: tuple[Callable[[DocumentError], DocumentError], ...] = ()
    """For each row, a function that adds the line and the column to an error of the row."""

    @property
    def lines(self) -> list[str]:
        """One line for each error: FILE:LINE:COLUMN, in the form that editors open, then the schedule, the job and the
        error."""
        return [_line(self.file, label, error) for label, error in self.errors]

    @property
    def errors_as_json(self) -> list[dict[str, Any]]:
        return [_as_json(self.file, label, error) for label, error in self.errors]

    @property
    def doubts(self) -> list[str]:
        """One line for each warning, in the same form."""
        return [_line(self.file, label, warning) for label, warning in self.warnings]

    @property
    def warnings_as_json(self) -> list[dict[str, Any]]:
        return [_as_json(self.file, label, warning) for label, warning in self.warnings]

    def placed(self, number: int, remark: DocumentError) -> Remark:
        """A remark about the row with this number, from 0, with its line and column."""
        return printable(self.rows[number]["scheduleId"]), self.places[number](remark)


def files_of(paths: Sequence[str]) -> Iterator[str]:
    """The files that the paths name. A directory stands for the files in it with a known suffix, in the order of their
    names."""
    for path in paths:
        if path != "-" and os.path.isdir(path):
            yield from _inside(path) or [path]
        else:
            yield path


def check_file(file: str) -> Checked:
    """Read a file (`-` is standard input) and check every document in it."""
    try:
        if file.endswith(ICALENDAR):
            return _check_icalendar(file)
        source = _read(file)
    except UnreadableDocument as unreadable:
        return Checked(file, errors=tuple(("", error) for error in unreadable.errors))
    rows: list[dict[str, Any]] = []
    calendars: list[dict[str, Any]] = []
    errors: list[Remark] = []
    places: list[Callable[[DocumentError], DocumentError]] = []
    known: set[tuple[str, str]] = set()
    for number, written in enumerate(source.documents, start=1):
        label = f"document {number}"
        if is_calendar(written.document):
            calendar = plain(written.document)
            label = _name_of(calendar, "calendarName", label)
            errors += [(label, source.placed(error, written)) for error in calendar_row_errors(calendar)]
            errors += _once(known, "calendarName", label, partial(source.placed, written=written))
            calendars.append(calendar)
            continue
        try:
            row = as_row(written.document)
        except InvalidSchedule as invalid:
            errors += [(label, source.placed(error, written)) for error in invalid.errors]
            continue
        label = _name_of(row, "scheduleId", label)
        errors += [(label, source.placed(error, written)) for error in find_errors(row) or too_large(row)]
        errors += _once(known, "scheduleId", label, partial(source.placed, written=written))
        rows.append(row)
        places.append(partial(source.placed, written=written))
    if errors:
        return Checked(file, errors=tuple(errors))
    return Checked(file, rows=tuple(rows), calendars=tuple(calendars), places=tuple(places))


def _name_of(row: dict[str, Any], key: str, otherwise: str) -> str:
    return printable(row[key][:SHOWN]) if isinstance(row.get(key), str) else otherwise


def _once(
    known: set[tuple[str, str]], key: str, name: str, placed: Callable[[DocumentError], DocumentError]
) -> Iterator[Remark]:
    """An error if the file had another document with this name."""
    if (key, name) in known:
        yield name, placed(DocumentError(f"$.{key}", f"'{name}' again", "one document for each name"))
    known.add((key, name))


def _check_icalendar(file: str) -> Checked:
    """The days off of an iCalendar file, as a calendar that bears the file's name.

    Raises:
        UnreadableDocument: it is no iCalendar file, or it has nothing to take.
    """
    name = Path(file).stem
    calendar, left_out = read_icalendar(unicode_text(_bytes(file)), name)
    label = printable(name)
    if errors := [(label, error) for error in calendar_row_errors(calendar)]:
        return Checked(file, errors=tuple(errors))
    message = f"events that have a time of day, or are cancelled, are not taken: {left_out}"
    warning = (label, DocumentError("$", f"{left_out} other events", "events of whole days", message))
    return Checked(file, calendars=(calendar,), warnings=(warning,) if left_out else ())


def too_large(row: dict[str, Any]) -> list[DocumentError]:
    """An error if the row of a valid schedule does not fit into the table."""
    from universal_scheduler.adapters.dynamodb.items import ITEM_LIMIT_BYTES, schedule_to_item

    try:
        schedule_to_item(row)
    except ItemTooLarge:
        found = "a schedule that is too large, also with its jobs compressed"
        return [DocumentError("$", found, f"at most {ITEM_LIMIT_BYTES:,} bytes")]
    return []


@dataclass(frozen=True, slots=True)
class _Written:
    """A document as it was written, and where: in which document of the text, and at which place of a list there."""

    document: Any
    content: int
    place: int | None


@dataclass(slots=True)
class _Source:
    """What a file says. Where its values are is only looked up where something is wrong with one of them."""

    text: str
    contents: list[Any]
    is_json: bool
    positions: list[dict[str, tuple[int, int]]] | None = None

    @property
    def documents(self) -> Iterator[_Written]:
        for number, content in enumerate(self.contents):
            if isinstance(content, list):
                yield from (_Written(document, number, place) for place, document in enumerate(content))
            else:
                yield _Written(content, number, None)

    def placed(self, error: DocumentError, written: _Written) -> DocumentError:
        """The error with the line and the column of its path, or of what is nearest around it."""
        if self.positions is None:
            self.positions = [json_positions(self.text)] if self.is_json else yaml_positions(self.text)
        positions, document = self.positions[written.content], written.document
        above = "$" if written.place is None else f"$[{written.place}]"
        path = above + (written_path(document, error.path) if isinstance(document, dict) else error.path)[1:]
        while path not in positions:
            path = path[: max(path.rfind("."), path.rfind("["), 1)]
        line, column = positions[path]
        return replace(error, line=line, column=column)


def _read(file: str) -> _Source:
    """A text that is JSON is read as JSON, whatever its name; a file that ends in .json must be.

    Raises:
        UnreadableDocument: there is nothing to read, or it is neither.
    """
    text = unicode_text(_bytes(file))
    if file.endswith(".json") or text.lstrip().startswith(("{", "[")):
        try:
            contents, is_json = [read_json(text)], True
        except NotJson:
            if file.endswith(".json"):
                raise
            contents, is_json = read_yaml(text), False
    else:
        contents, is_json = read_yaml(text), False
    source = _Source(text, contents, is_json)
    if not any(True for _ in source.documents):
        raise UnreadableDocument([DocumentError("$", "nothing in it", WANTED)])
    return source


def _bytes(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except IsADirectoryError:
        wanted = f"files that end in {', '.join(SUFFIXES)}"
        raise UnreadableDocument([DocumentError("$", "a directory without any", wanted)]) from None
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        message = f"it cannot be read: {why}"
        raise UnreadableDocument([DocumentError("$", why, WANTED, message)]) from None


def _inside(directory: str) -> list[str]:
    """None where the directory cannot be listed: reading it as a file says so."""
    try:
        return sorted(str(entry) for entry in Path(directory).iterdir() if entry.suffix in SUFFIXES)
    except OSError:
        return []


def _as_json(file: str, label: str, error: DocumentError) -> dict[str, Any]:
    return {"file": printable(file), **({"document": label} if label else {}), **error.as_dict()}


def _line(file: str, label: str, error: DocumentError) -> str:
    place = f"{printable(file)}:{error.line}:{error.column}" if error.line else printable(file)
    job = f"job '{error.job}'" if error.job else ""
    where = ", ".join(part for part in (label, job, error.path if error.path != "$" else "") if part)
    return printable(f"{place}: {f'{where}: ' if where else ''}{error.problem}")
