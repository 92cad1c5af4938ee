"""Reads files of schedule documents, YAML or JSON, one or several in a file, and says what is wrong with each."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.parse import as_row
from universal_scheduler.domain.errors import DocumentError, ItemTooLarge

SUFFIXES = (".yaml", ".yml", ".json")
WANTED = "a file of schedules in YAML or JSON"


@dataclass(frozen=True, slots=True)
class Checked:
    """One file: the rows in it, or, where anything is wrong with any of them, everything that is wrong."""

    file: str
    rows: tuple[dict[str, Any], ...] = ()
    errors: tuple[tuple[str, DocumentError], ...] = ()
    """Each with the scheduleId, or where there is none the number, of its document."""


def files_of(paths: Sequence[str]) -> Iterator[str]:
    """The files that are meant: of a directory those with a known suffix, by name."""
    for path in paths:
        if path != "-" and Path(path).is_dir():
            inside = sorted(str(entry) for entry in Path(path).iterdir() if entry.suffix in SUFFIXES)
            yield from inside or [path]
        else:
            yield path


def check_file(file: str) -> Checked:
    """Read a file (`-` is standard input) and check every document in it."""
    try:
        documents = list(_documents(file))
    except _Unreadable as unreadable:
        return Checked(file, errors=(("", unreadable.error),))
    rows: list[dict[str, Any]] = []
    errors: list[tuple[str, DocumentError]] = []
    for number, document in enumerate(documents, start=1):
        if not isinstance(document, dict):
            errors.append((f"document {number}", DocumentError("$", _kind(document), "an object: a schedule")))
            continue
        row = {key: value for key, value in as_row(document).items() if key != "scheduleErrors"}
        label = row["scheduleId"] if isinstance(row.get("scheduleId"), str) else f"document {number}"
        errors += [(label, error) for error in find_errors(row) or too_large(row)]
        if any(label == other.get("scheduleId") for other in rows):
            errors.append((label, DocumentError("$.scheduleId", f"'{label}' again", "one document for a schedule")))
        rows.append(row)
    return Checked(file, errors=tuple(errors)) if errors else Checked(file, rows=tuple(rows))


def too_large(row: dict[str, Any]) -> list[DocumentError]:
    from universal_scheduler.adapters.items import ITEM_LIMIT_BYTES, schedule_to_item

    try:
        schedule_to_item(row)
    except ItemTooLarge:
        found = "a schedule that is too large, also with its jobs compressed"
        return [DocumentError("$", found, f"at most {ITEM_LIMIT_BYTES:,} bytes")]
    return []


class _Unreadable(Exception):
    def __init__(self, found: str, expected: str = WANTED, path: str = "$") -> None:
        super().__init__(found)
        self.error = DocumentError(path, found, expected)


def _documents(file: str) -> Iterator[Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except IsADirectoryError:
        raise _Unreadable("a directory without any", f"files that end in {', '.join(SUFFIXES)}") from None
    except OSError as error:
        raise _Unreadable(error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise _Unreadable("no UTF-8 text") from None
    found = 0
    for content in _json(text) if file.endswith(".json") else _yaml(text):
        for document in content if isinstance(content, list) else [content]:
            found += 1
            yield document
    if not found:
        raise _Unreadable("nothing in it")


def _json(text: str) -> list[Any]:
    try:
        return [json.loads(text)]
    except ValueError as error:
        raise _Unreadable(f"no JSON: {error}") from None


def _yaml(text: str) -> list[Any]:
    import yaml

    try:
        contents = [content for content in yaml.safe_load_all(text) if content is not None]
        # YAML knows more kinds of values than JSON: a date becomes the text that it was written as.
        return [json.loads(json.dumps(content, default=str)) for content in contents]
    except yaml.YAMLError as error:
        raise _Unreadable(f"no YAML: {' '.join(str(error).split())}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise _Unreadable(f"YAML that is no JSON: {error}") from None


def _kind(value: object) -> str:
    return {str: "a text", int: "a number", float: "a number", bool: "true or false", list: "a list"}.get(
        type(value), "nothing"
    )
