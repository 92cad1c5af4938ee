"""Runs imported schedules under `usched try`: the programs that they name are there, and write down what they were
given."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from universal_scheduler.cli import app
from universal_scheduler.cli.importers import FORMATS
from universal_scheduler.cli.importers.found import Found
from universal_scheduler.cli.importing import yaml_of
from universal_scheduler.domain.documents.check import find_errors

CASES = Path(__file__).parent / "cases" / "importers"
PROGRAM = '#!/bin/sh\necho "$(basename "$0") $*" >> "$CALLS"\n'


def usched(*words: str) -> Result:
    return CliRunner().invoke(app.main, words)


def imported(form: str, text: str, **options: Any) -> Found:
    """What the importer finds. Every schedule passes the check."""
    [chosen] = [each for each in FORMATS if each.name == form]
    found = chosen.read(text, **options)
    assert not [find_errors(each.document) for each in found.schedules if find_errors(each.document)]
    return found


def schedules(found: Found) -> dict[str, Any]:
    return {each.document["scheduleId"]: each.document for each in found.schedules}


def jobs(document: Mapping[str, Any]) -> dict[str, Any]:
    return {job["jobName"]: job for job in document["jobList"]}


def reports(found: Found) -> list[tuple[int, str]]:
    return [(each.line, each.why) for each in found.reported]


def tried(
    document: Mapping[str, Any], programs: Iterable[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, str], list[str], Any]:
    """The state of each job of a tried run, the calls of the programs in their order, and the whole run."""
    for name in programs:
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(PROGRAM)
        program.chmod(0o755)
    calls = folder / "calls"
    calls.write_text("")
    monkeypatch.setenv("CALLS", str(calls))
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    file = folder / "schedule.yaml"
    file.write_text(yaml_of(document))
    [run] = json.loads(usched("try", str(file), "--json").stdout)["runs"]
    return {job["jobName"]: job["status"] for job in run["jobs"]}, calls.read_text().splitlines(), run


JUNK: tuple[Any, ...] = (None, 7, "x", "", [], [[]], {}, {"Type": 7}, True)


def spoilt(document: Any) -> Iterator[Any]:
    """The document with each of its values replaced by junk."""
    ahead: list[tuple[Any, ...]] = [()]
    while ahead:
        path = ahead.pop()
        value = document
        for part in path:
            value = value[part]
        if isinstance(value, dict | list):
            ahead += [(*path, part) for part in (value if isinstance(value, dict) else range(len(value)))]
        for junk in JUNK if path else ():
            made = copy.deepcopy(document)
            inside = made
            for part in path[:-1]:
                inside = inside[part]
            inside[path[-1]] = junk
            yield made
