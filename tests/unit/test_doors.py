"""One document, one verdict: the same errors, with the same paths, at every door that it can come in by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.doors import ACCEPTED, Doors, Verdict, could_be_a_row, document_of, doors
from tests.usched import Stage, row
from universal_scheduler.cli.yaml_text import read_yaml
from universal_scheduler.domain.documents.parse import as_row
from universal_scheduler.domain.errors import InvalidSchedule

__all__ = ["doors"]
OURS = Path(__file__).parents[1] / "documents"
CASES = Path(__file__).parents[3] / "shared" / "cases" / "documents"
"""More documents of the same kinds, where they are there."""
FILES = [*sorted(OURS.iterdir()), *(sorted(CASES.iterdir()) if CASES.is_dir() else ())]
TAKEN = {
    *("plain.yaml", "single-job.json", "recorded-run.json", "output-of-a-run.json"),
    *("whole-numbers-as-floats.json", "words-of-yaml-1.1.yaml"),
}


def as_json(path: Path) -> str | None:
    """The JSON that the file means; None where it is YAML that means nothing."""
    if path.suffix == ".json":
        return path.read_text()
    try:
        [document] = read_yaml(path.read_text())
    except InvalidSchedule:
        return None
    return json.dumps(document)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_door_gives_a_document_the_same_verdict(doors: Doors, path: Path) -> None:
    verdicts = doors.by_file(path.name, path.read_bytes())
    text = as_json(path)
    if text is not None:
        verdicts |= doors.by_request(text)
        document = document_of(text)
        if document is not None:
            verdicts["message"] = doors.by_message(document)
        if could_be_a_row(document):
            verdicts["row"] = doors.by_row(as_row(document))
    assert len(set(verdicts.values())) == 1, verdicts
    if path.parent == OURS:
        assert (verdicts["apply"] == ACCEPTED) == (path.name in TAKEN), verdicts


AFTER = {"after": ["load"]}
TRIGGERS: list[tuple[Any, str]] = [
    ([AFTER, {"after": "rates", "outcome": "FAILED"}], ""),
    ({"after": ["load", "rates"], "when": "all", "within": "6h", "sameBusinessDate": True, "outcome": "ENDED"}, ""),
    ({}, "$.trigger"),
    ([], "$.trigger"),
    ("manual", "$.trigger"),
    (["manual"], "$.trigger[0]"),
    ([[AFTER]], "$.trigger[0]"),
    ([AFTER] * 21, "$.trigger"),
    ([AFTER, AFTER], "$.trigger[1]"),
    ({"afetr": ["load"]}, "$.trigger"),
    ({"outcome": "FAILED"}, "$.trigger"),
    ({"manual": True, **AFTER}, "$.trigger"),
    ({"manual": False}, "$.trigger.manual"),
    ([AFTER, {"manual": True}], "$.trigger[1]"),
    ({"manual": True, "when": "all"}, "$.trigger.when"),
    ({"after": "s"}, "$.trigger.after"),
    ([AFTER, {"after": ["load", "s"]}], "$.trigger[1].after[1]"),
    ({"after": ["load", "load"]}, "$.trigger.after"),
    ({"after": ""}, "$.trigger.after"),
    ({**AFTER, "when": "both"}, "$.trigger.when"),
    ({**AFTER, "outcome": "succeeded"}, "$.trigger.outcome"),
    ({**AFTER, "within": "6h"}, "$.trigger.within"),
    ({**AFTER, "when": "any", "sameBusinessDate": True}, "$.trigger.sameBusinessDate"),
    ({**AFTER, "when": "all", "within": "6 hours"}, "$.trigger.within"),
    ({**AFTER, "when": "all", "within": "0h"}, "$.trigger.within"),
]


@pytest.mark.parametrize(("trigger", "path"), TRIGGERS, ids=lambda value: json.dumps(value)[:80])
def test_every_door_gives_a_trigger_the_same_verdict(doors: Doors, trigger: Any, path: str) -> None:
    document = row("s", trigger=trigger)
    text = json.dumps(document)
    verdicts = doors.by_file("s.json", text) | doors.by_request(text)
    verdicts |= {"message": doors.by_message(document), "row": doors.by_row(document)}
    assert set(verdicts.values()) == {(path,) if path else ACCEPTED}, verdicts


def test_schedules_that_would_start_each_other_for_ever_are_refused_where_they_are_stored(
    doors: Doors, stage: Stage
) -> None:
    stage.store.put_schedule(row("report", trigger={"after": ["load"]}))
    stage.store.put_schedule(row("audit", trigger=[{"after": "x"}, {"after": ["report"], "outcome": "FAILED"}]))
    document = row("load", trigger=[{"after": "rates"}, {"after": ["rates", "audit"], "when": "all"}])
    text = json.dumps(document)
    verdicts: dict[str, Verdict] = {
        "apply": doors.by_command("apply", doors.file("load.json", text)),
        "schedules": doors.by_request(text)["schedules"],
        "row": doors.by_row(document),
    }
    assert set(verdicts.values()) == {("$.trigger[1].after[1]",)}, verdicts
    assert "load" not in stage.store.schedules
