"""What an importer finds in a file, and how it is collected: schedules, what could not be imported, and notes.

Nothing is guessed. Where a file says something that a schedule cannot say, the schedule does less than the file, never
something else: a job without its work FAILS and says why, and a schedule without its times starts only by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from universal_scheduler.domain.documents.check import find_errors

NAME_LIMIT = 128
DESCRIPTION_LIMIT = 4096
SHELL = "/bin/sh"
LONGEST_BATCH_RETRIES = 10
SHORTEST_TIMEOUT = 60
"""Seconds. https://docs.aws.amazon.com/batch/latest/APIReference/API_JobTimeout.html"""
SAY_AND_FAIL = 'echo "$0" >&2; exit 1'
FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]|[\ud800-\udfff]")
MANUAL: Mapping[str, Any] = {"manual": True}


@dataclass(frozen=True, slots=True)
class Imported:
    """A part of the file that has become a schedule."""

    line: int
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reported:
    """A line with something that was not imported, or that has another meaning here; and why."""

    line: int
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a file, in the order of its lines."""

    schedules: Sequence[Imported]
    reported: Sequence[Reported]
    """What could not be imported."""
    notes: Sequence[Reported]
    """What has another meaning here."""


class Refused(Exception):
    """Something that cannot be imported; the text says why."""


class Collector:
    """Gathers what an importer finds in one text."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._schedules: list[Imported] = []
        self._reported: dict[Reported, None] = {}
        self._notes: dict[Reported, None] = {}
        self._noted: set[str] = set()
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def report(self, line: int, why: str) -> None:
        self._reported[Reported(line, self._text(line), why)] = None

    def note(self, line: int, why: str) -> None:
        """The same note is kept once: where it is true first."""
        if why not in self._noted:
            self._noted.add(why)
            self._notes[Reported(line, self._text(line), why)] = None

    def schedule_id(self, name: str) -> str:
        """The scheduleId for a name of the file: always the same for the same name, and never that of another."""
        if name not in self._names:
            self._names[name] = unused(_plain(name, "._-"), self._taken)
        return self._names[name]

    def add(self, line: int, document: Mapping[str, Any]) -> None:
        """A schedule, or, where the check of documents refuses it, a report for each of its errors."""
        errors = find_errors(document)
        for error in errors:
            self.report(line, f"no schedule {document['scheduleId']}: {error}")
        if not errors:
            self._schedules.append(Imported(line, document))

    def found(self, looked_for: str) -> Found:
        """All that was gathered. `looked_for` is what the importer makes schedules of, for a file that has none."""
        if not self._schedules and not self._reported:
            self.report(1, f"there is no {looked_for} in this file")
        return Found(
            sorted(self._schedules, key=lambda each: each.line),
            sorted(self._reported, key=lambda each: each.line),
            sorted(self._notes, key=lambda each: each.line),
        )

    def _text(self, line: int) -> str:
        return self._lines[line - 1].strip()[:200] if 0 < line <= len(self._lines) else ""


class JobNames:
    """The jobNames of one schedule for the names of the file."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def name(self, written: str, line: int) -> str:
        if written not in self._names:
            made = self._names[written] = unused(_plain(written, "_-"), self._taken)
            if made != written:
                self._collector.note(line, f"the job {written!r} is named {made!r}: so are jobs named here")
        return self._names[written]


def unused(name: str, taken: set[str]) -> str:
    """The name, or with a number if it is taken. It is then taken."""
    made, number = name, 1
    while made in taken:
        number += 1
        made = f"{name[: NAME_LIMIT - 6]}-{number}"
    taken.add(made)
    return made


def _plain(name: str, signs: str) -> str:
    return re.sub(f"[^A-Za-z0-9{re.escape(signs)}]+", "-", name).strip("._-")[:NAME_LIMIT] or "unnamed"


def shell_job(name: str, command: str, shell: str = SHELL) -> dict[str, Any]:
    """A job that runs a command line by a shell."""
    return command_job(name, [shell, "-c", command])


def command_job(name: str, words: Sequence[str]) -> dict[str, Any]:
    return {
        "jobName": name,
        "jobQueue": "default",
        "jobDefinition": "shell",
        "containerOverrides": {"command": list(words)},
    }


def missing_job(name: str, line: int, why: str) -> dict[str, Any]:
    """A job whose work could not be imported: it keeps its place among the others, FAILS, and prints why."""
    said = FORBIDDEN.sub("?", f"Line {line} was not imported: {why}")[:1000]
    said = re.sub(r"\{\{+", "{", said)  # no reference
    return command_job(name, [SHELL, "-c", SAY_AND_FAIL, said])


def described(text: str) -> dict[str, str]:
    return {"description": text[:DESCRIPTION_LIMIT]} if text.strip() else {}
