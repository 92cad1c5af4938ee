"""`usched apply`: how calendars are stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.usched import Stage, row, told, usched, written

BANK = {"calendarName": "bank", "holidays": "US", "off": ["2026-12-24 Christmas Eve"]}
ICS = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:20261225
SUMMARY:Christmas Day
END:VEVENT
BEGIN:VEVENT
DTSTART:20261224T120000Z
END:VEVENT
END:VCALENDAR
"""


def test_calendars_are_stored_beside_schedules(stage: Stage, tmp_path: Path) -> None:
    file = written(tmp_path / "both.yaml", BANK, row("x", trigger={"manual": True}))
    result = usched("apply", file)
    assert result.exit_code == 0
    assert stage.store.list_calendars() == [BANK]
    assert list(stage.store.schedules) == ["x"]
    assert "bank" in result.stdout
    assert "US; 1 off; known until 2034-12-31" in result.stdout


@pytest.mark.usefixtures("stage")
def test_apply_says_which_calendars_are_new_changed_and_unchanged(tmp_path: Path) -> None:
    file = written(tmp_path / "c.json", BANK)
    first = told("apply", file)
    assert first["calendars"] == [
        {"file": file, "calendarName": "bank", "row": "new", "days": "US; 1 off; known until 2034-12-31"}
    ]
    assert first["stored"] == []
    assert told("apply", file)["calendars"][0]["row"] == "unchanged"
    assert told("apply", written(tmp_path / "c.json", {**BANK, "off": []}))["calendars"][0]["row"] == "changed"


def test_an_icalendar_file_is_a_calendar_with_the_name_of_the_file(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "bank-days.ics").write_text(ICS)
    answer = told("apply", str(tmp_path))
    assert stage.store.list_calendars() == [
        {"calendarName": "bank-days", "off": ["2026-12-25 Christmas Day"], "until": "2026-12-31"}
    ]
    [warning] = answer["warnings"]
    assert warning["message"] == "events that have a time of day, or are cancelled, are not taken: 1"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a b.ics", ICS, '$.calendarName: found "a b"'),
        ("days.ics", "BEGIN:VCALENDAR\nEND:VCALENDAR\n", "days.ics:1:1: found no event that lasts whole days"),
        ("days.yaml", "calendarName: a\nholidays: XX\n", 'days.yaml:2:1: a, $.holidays: found "XX"'),
        ("days.yaml", "[{calendarName: a}, {calendarName: a}]", "a, $.calendarName: found 'a' again"),
    ],
)
def test_a_wrong_calendar_is_not_stored(stage: Stage, tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    result = usched("apply", str(tmp_path / name))
    assert result.exit_code == 1
    assert says in result.stdout
    assert not stage.store.list_calendars()


def test_a_calendar_and_a_schedule_may_have_the_same_name(stage: Stage, tmp_path: Path) -> None:
    assert usched("apply", written(tmp_path / "s.yaml", {"calendarName": "x"}, row("x"))).exit_code == 0
    assert stage.store.list_calendars() == [{"calendarName": "x"}]


NAMED = {"cron": "0 6 * * *", "calendar": "bank"}


def test_a_schedule_may_name_a_calendar_of_another_file_of_the_same_command(stage: Stage, tmp_path: Path) -> None:
    schedule = written(tmp_path / "a.yaml", row("x", trigger=NAMED))
    assert usched("apply", schedule, written(tmp_path / "b.yaml", BANK)).exit_code == 0
    assert list(stage.store.schedules) == ["x"]


def test_a_schedule_that_names_an_unknown_calendar_is_not_stored(stage: Stage, tmp_path: Path) -> None:
    stage.store.put_calendar({**BANK, "calendarName": "bnak"})
    result = usched("apply", written(tmp_path / "a.yaml", row("x", trigger=NAMED)))
    assert result.exit_code == 1
    assert "x, $.trigger.calendar: found 'bank' (did you mean 'bnak'?), and there is no such calendar" in result.stdout
    assert not stage.store.schedules
