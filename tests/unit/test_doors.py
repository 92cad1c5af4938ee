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
CRON = {"cron": "cron(0 6 ? * MON-FRI *)"}
TIMES: list[tuple[Any, str]] = [
    ({**CRON, "timezone": "Europe/Zurich", "startDate": "2026-01-01", "endDate": "2027-01-01T00:00:00Z"}, ""),
    ({"cron": "0 6 * * 1-5", "calendar": {"holidays": "US-CA", "off": ["2026-12-24"]}, "roll": "next"}, ""),
    ({"cron": "0 6 1 * 1", "onDst": "cron", "calendar": {"exchange": "XNYS"}}, ""),
    ([{"rate": "rate(5 minutes)"}, {"at": "at(2026-12-24T18:00:00)"}, AFTER], ""),
    ({"businessDay": -1, "time": "18:00"}, ""),
    ({"exchange": {"close": "XNYS", "offset": "30m"}}, ""),
    ({"exchange": {"open": "XNYS", "offset": "-30m"}}, ""),
    ({"cron": "cron(0 6 ? *)"}, "$.trigger.cron"),
    ({"cron": "cron(0 0 6 ? * MON-FRI *)"}, "$.trigger.cron"),
    ({"cron": "0 6 * *"}, "$.trigger.cron"),
    ({"cron": "cron(0 6 * * * *)"}, "$.trigger.cron"),
    ({"cron": "cron(0 6 31 2 ? *)"}, "$.trigger.cron"),
    ({"cron": "0 6 31 2 *"}, "$.trigger.cron"),
    ({"cron": "cron(0 25 ? * * *)"}, "$.trigger.cron"),
    ({"cron": "rate(5 minutes)"}, "$.trigger.cron"),
    ({"cron": ""}, "$.trigger.cron"),
    ({"cron": 5}, "$.trigger.cron"),
    ({"cron": "0" * 300}, "$.trigger.cron"),
    ({"rate": "rate(0 minutes)"}, "$.trigger.rate"),
    ({"rate": "rate(5)"}, "$.trigger.rate"),
    ({"rate": "rate(5 seconds)"}, "$.trigger.rate"),
    ({"rate": "rate(5 minutes)", "roll": "next"}, "$.trigger.roll"),
    ({"at": "at(2026-13-24T18:00:00)"}, "$.trigger.at"),
    ({"at": "2026-12-24T18:00:00"}, "$.trigger.at"),
    ({**CRON, "rate": "rate(5 minutes)"}, "$.trigger"),
    ([CRON, {**CRON, "timezone": "Mars/Olympus"}], "$.trigger[1].timezone"),
    ({**CRON, "startDate": "soon"}, "$.trigger.startDate"),
    ({**CRON, "startDate": "2026-12-01", "endDate": "2026-11-01"}, "$.trigger.endDate"),
    ({**CRON, "calendar": {"holidays": "XX"}}, "$.trigger.calendar.holidays"),
    ({**CRON, "calendar": {"weekends": ["SAT"]}}, "$.trigger.calendar"),
    ({**CRON, "calendar": {"exchange": "NYSE"}}, "$.trigger.calendar.exchange"),
    ({**CRON, "calendar": ["2026-12-24"]}, "$.trigger.calendar"),
    ({**CRON, "roll": "next"}, "$.trigger.roll"),
    ({**CRON, "onDst": "quartz"}, "$.trigger.onDst"),
    ({**CRON, "time": "18:00"}, "$.trigger.time"),
    ({"businessDay": 0, "time": "18:00"}, "$.trigger.businessDay"),
    ({"businessDay": 32, "time": "18:00"}, "$.trigger.businessDay"),
    ({"businessDay": 1}, "$.trigger.time"),
    ({"businessDay": 1, "time": "6 pm"}, "$.trigger.time"),
    ({"time": "18:00"}, "$.trigger"),
    ({"exchange": {"close": "NYSE"}}, "$.trigger.exchange.close"),
    ({"exchange": {"close": "XNYS", "offset": "2d"}}, "$.trigger.exchange.offset"),
    ({"exchange": {"offset": "30m"}}, "$.trigger.exchange"),
    ({"exchange": {"open": "XNYS", "close": "XNYS"}}, "$.trigger.exchange"),
    ([{"s3": {"bucket": "inbox", "prefix": "in/", "suffix": ".csv", "stableFor": "2m"}}, CRON], ""),
    ({"event": {"source": ["my.shop"], "detail": {"total": [{"numeric": [">", 5]}]}}}, ""),
    ({"s3": {"prefix": "in/"}}, "$.trigger.s3"),
    ({"s3": {"bucket": "s3://inbox"}}, "$.trigger.s3.bucket"),
    ({"s3": {"bucket": "inbox", "stableFor": "soon"}}, "$.trigger.s3.stableFor"),
    ({"s3": {"bucket": "inbox"}, "roll": "next"}, "$.trigger.roll"),
    ({"event": {}}, "$.trigger.event"),
    ({"event": {"source": ["aws.batch"]}}, "$.trigger.event.source[0]"),
    ({"event": {"detail-type": ["Order"]}}, "$.trigger.event.source"),
]


@pytest.mark.parametrize(("trigger", "path"), [*TRIGGERS, *TIMES], ids=lambda value: json.dumps(value)[:80])
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


def test_a_calendar_that_there_is_not_is_refused_where_a_schedule_is_stored(doors: Doors, stage: Stage) -> None:
    document = row("s", trigger=[AFTER, {**CRON, "calendar": "bnak"}])

    def verdicts() -> set[Verdict]:
        text = json.dumps(document)
        by_file = doors.by_command("apply", doors.file("s.json", text))
        return {by_file, doors.by_request(text)["schedules"], doors.by_row(document)}

    stage.store.put_calendar({"calendarName": "bank", "off": ["2026-12-24"]})
    assert verdicts() == {("$.trigger[1].calendar",)}
    stage.store.put_calendar({"calendarName": "bnak", "holidays": "XX"})
    assert verdicts() == {("$.trigger[1].calendar",)}, "a calendar that is wrong"
    stage.store.put_calendar({"calendarName": "bnak"})
    assert verdicts() == {ACCEPTED}
