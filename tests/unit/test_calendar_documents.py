"""Calendars as documents write them: what is right, and what is wrong with the others."""

from __future__ import annotations

from typing import Any

import pytest

from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.domain.documents.calendars import (
    calendar_errors,
    calendar_row_errors,
    calendars_of,
    is_calendar,
    read_calendar,
)
from universal_scheduler.domain.errors import InvalidCalendar
from universal_scheduler.usecases.calendars import calendar_name_errors, store_calendar

BANK = {
    "calendarName": "bank",
    "description": "Days of the bank",
    "holidays": "US",
    "off": ["2026-12-24 Christmas Eve"],
}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"weekend": []},
        {"weekend": ["FRI", "SAT"], "holidays": ["US", "GB-ENG", "ECB"], "exchange": "XNYS"},
        {"off": ["2026-12-24", "2026-12-25 Christmas Day"], "on": ["2026-12-26"], "until": "2026-12-31"},
        {"off": [], "on": []},
    ],
)
def test_right_calendars_have_no_errors(value: dict[str, Any]) -> None:
    assert not list(calendar_errors(value))
    assert not list(calendar_row_errors({"calendarName": "a.b-c_1", **value}))


@pytest.mark.parametrize(
    ("value", "path", "says"),
    [
        (7, "$", "found 7, expected the name of a calendar"),
        ([], "$", "found []"),
        ({"holiday": "US"}, "$", "unknown key 'holiday' (did you mean 'holidays'?)"),
        ({"calendarName": "a"}, "$", "unknown key 'calendarName'"),
        ({1: "US"}, "$", "unknown key '1'"),
        ({"weekend": "SAT"}, "$.weekend", 'found "SAT", expected a list of up to six days'),
        ({"weekend": ["SAT"] * 7}, "$.weekend", "up to six days"),
        ({"weekend": ["sat"]}, "$.weekend[0]", "one of MON"),
        ({"weekend": [["SAT"]]}, "$.weekend[0]", "one of MON"),
        ({"holidays": "USA"}, "$.holidays", 'found "USA"'),
        ({"holidays": "US-CAL"}, "$.holidays", "(did you mean 'US-CA'?)"),
        ({"holidays": []}, "$.holidays", "1 to 10 countries"),
        ({"holidays": ["US"] * 11}, "$.holidays", "1 to 10 countries"),
        ({"holidays": ["US", None]}, "$.holidays[1]", "found null"),
        ({"exchange": "XNYS "}, "$.exchange", "(did you mean 'XNYS'?)"),
        ({"exchange": ["XNYS"]}, "$.exchange", "an exchange: "),
        ({"exchange": {}}, "$.exchange", "an exchange: "),
        ({"off": "2026-12-24"}, "$.off", "a list of at most 5000 days"),
        ({"off": ["2026-12-24"] * 5001}, "$.off", "found 5001 entries"),
        ({"off": ["24.12.2026"]}, "$.off[0]", "expected a date, 2026-12-24"),
        ({"off": ["2026-02-30"]}, "$.off[0]", "expected a date"),
        ({"off": ["2026-12-24T00:00"]}, "$.off[0]", "expected a date"),
        ({"off": ["2026-12-24 "]}, "$.off[0]", "expected a date"),
        ({"off": ["2026-12-24 a\nb"]}, "$.off[0]", "expected a date"),
        ({"off": ["٢٠٢٦-12-24"]}, "$.off[0]", "expected a date"),
        ({"off": [20261224]}, "$.off[0]", "found 20261224"),
        ({"off": ["2026-12-24", "2026-12-24 Eve"]}, "$.off[1]", "2026-12-24 again"),
        ({"off": ["2026-12-24"], "on": ["2026-12-24"]}, "$.on[0]", "every day once: $.off[0] has it"),
        ({"until": "2026"}, "$.until", "the last day that off and on know of"),
        ({"until": None}, "$.until", "found null"),
    ],
)
def test_wrong_calendars_have_an_error_with_its_place(value: Any, path: str, says: str) -> None:
    [error] = calendar_errors(value)
    assert error.path == path
    assert says in error.problem
    if isinstance(value, dict) and "calendarName" not in value:
        assert list(calendar_row_errors({"calendarName": "a", **value})) or 1 in value
        with pytest.raises(ValueError, match="found"):
            read_calendar(value)


@pytest.mark.parametrize(
    ("row", "path"),
    [
        ("bank", "$"),
        ({}, "$.calendarName"),
        ({"calendarName": ""}, "$.calendarName"),
        ({"calendarName": "a b"}, "$.calendarName"),
        ({"calendarName": "a\n"}, "$.calendarName"),
        ({"calendarName": "a" * 129}, "$.calendarName"),
        ({"calendarName": 7}, "$.calendarName"),
        ({"calendarName": "a", "description": []}, "$.description"),
        ({"calendarName": "a", "description": "a" * 4097}, "$.description"),
        ({"calendarName": "a", "jobs": 1}, "$"),
    ],
)
def test_wrong_rows_have_an_error_with_its_place(row: Any, path: str) -> None:
    [error] = calendar_row_errors(row)
    assert error.path == path


def test_a_document_with_a_calendar_name_is_a_calendar() -> None:
    assert is_calendar({"calendarName": "a"})
    assert not is_calendar({"scheduleId": "a", "jobList": []})
    assert not is_calendar({"scheduleId": "a", "jobList": [], "calendarName": "a"})
    assert not is_calendar(["calendarName"])


def test_a_wrong_row_is_left_out_of_the_calendars() -> None:
    assert list(calendars_of({"bank": BANK, "bad": {"calendarName": "bad", "holidays": "XX"}})) == ["bank"]


def test_only_a_right_calendar_is_stored() -> None:
    kept = MemoryStore()
    assert store_calendar(kept, BANK)
    assert not store_calendar(kept, BANK)
    with pytest.raises(InvalidCalendar, match=r"The calendar is not valid. \$.holidays"):
        store_calendar(kept, {"calendarName": "bad", "holidays": "XX"})
    assert kept.list_calendars() == [BANK]


@pytest.mark.parametrize(
    ("trigger", "errors"),
    [
        ({"cron": "0 6 * * *", "calendar": "bank"}, []),
        ({"cron": "0 6 * * *", "calendar": {"holidays": "US"}}, []),
        ({"manual": True}, []),
        ({"cron": "0 6 * * *", "calendar": "new"}, []),
        (
            {"cron": "0 6 * * *", "calendar": "bnak"},
            ["$.trigger.calendar: found 'bnak' (did you mean 'bank'?), and there"],
        ),
        (
            [{"manual": True}, {"rate": "rate(1 day)", "calendar": "bad"}],
            ["$.trigger[1].calendar: found 'bad', whose row is wrong: $.holidays"],
        ),
        ("bank", []),
        ([7, None], []),
    ],
)
def test_the_names_of_calendars_are_looked_up(trigger: Any, errors: list[str]) -> None:
    kept = MemoryStore()
    kept.put_calendar(BANK)
    kept.put_calendar({"calendarName": "bad", "holidays": "XX"})
    found = calendar_name_errors(kept, {"scheduleId": "a", "trigger": trigger}, [{"calendarName": "new"}], hints=True)
    assert len(found) == len(errors)
    assert all(says in str(error) for error, says in zip(found, errors, strict=True))
