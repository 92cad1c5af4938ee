"""`usched calendar`: a month with its closed days and the starts of a schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.usched import Stage, row, told, usched, written

BANK = {"calendarName": "bank", "holidays": "US", "off": ["2026-11-27 Bridge day"], "until": "2026-12-31"}
TRIGGERS = [
    {"cron": "0 6 * * *", "timezone": "America/New_York", "calendar": "bank"},
    {"exchange": {"close": "XNYS"}},
]
NOVEMBER = """\
XNYS, New York Stock Exchange, November 2026
 Mo   Tu   We   Th   Fr   Sa   Su
                                1-
  2    3    4    5    6    7-   8-
  9   10   11   12   13   14-  15-
 16   17   18   19   20   21-  22-
 23   24   25   26-  27   28-  29-
 30
- closed
Known until 2028-12-31.

day     what is on it
──────────────────────────
Thu 26  Thanksgiving, XNYS

"""


def day(view: dict[str, Any], date: str) -> dict[str, Any]:
    [found] = [each for each in view["days"] if each["date"] == date]
    return dict(found)


def test_an_exchange_is_drawn_without_any_engine() -> None:
    assert usched("calendar", "XNYS", "--month", "2026-11").stdout == NOVEMBER


@pytest.mark.parametrize("code", ["US", "US-CA", "ECB", "GB-ENG"])
def test_a_country_or_a_market_is_drawn_without_any_engine(code: str) -> None:
    view = told("calendar", code, "--month", "2026-12")
    assert day(view, "2026-12-25")["closed"] == f"Christmas Day, {code}"
    assert len(view["days"]) == 31
    assert view["horizon"] == "2034-12-31"


def test_a_stored_calendar_is_drawn(stage: Stage) -> None:
    stage.store.put_calendar(BANK)
    view = told("calendar", "bank", "--month", "2026-11")
    assert (view["name"], view["month"], view["horizon"]) == ("bank", "2026-11", "2026-12-31")
    assert day(view, "2026-11-27") == {
        "date": "2026-11-27",
        "closed": "Bridge day, bank",
        "unknown": "",
        "starts": [],
        "leftOut": [],
    }
    assert day(view, "2026-11-30")["closed"] == ""


def test_beyond_the_horizon_every_day_is_unknown_and_it_is_said_once(stage: Stage) -> None:
    stage.store.put_calendar(BANK)
    view = told("calendar", "bank", "--month", "2027-01")
    assert {each["unknown"] for each in view["days"]} == {"the days of bank are known until 2026-12-31"}
    assert not any(each["closed"] for each in view["days"])
    drawn = usched("calendar", "bank", "--month", "2027-01").stdout
    assert drawn.count("unknown: the days of bank are known until 2026-12-31") == 1
    assert "? unknown" in drawn
    assert " 31?" in drawn


def test_a_stored_schedule_is_drawn_with_its_starts(stage: Stage) -> None:
    stage.store.put_calendar(BANK)
    stage.store.put_schedule(row("nightly", trigger=TRIGGERS))
    view = told("calendar", "nightly", "--month", "2026-11")
    assert day(view, "2026-11-27") == {
        "date": "2026-11-27",
        "closed": "Bridge day, bank",
        "unknown": "",
        "starts": [{"at": "2026-11-27T18:00:00Z", "local": "2026-11-27T13:00:00-05:00", "trigger": 1}],
        "leftOut": [
            {
                "at": "2026-11-27T11:00:00Z",
                "local": "2026-11-27T06:00:00-05:00",
                "trigger": 0,
                "reason": "Bridge day, bank",
            }
        ],
    }
    drawn = usched("calendar", "nightly", "--month", "2026-11").stdout
    assert "nightly, November 2026" in drawn
    assert " 23*  24*  25*  26!  27*  28!  29!" in drawn
    assert "Thu 26  left out 06:00: Thanksgiving Day, US\n" in drawn
    assert "Fri 27  starts 13:00; left out 06:00: Bridge day, bank\n" in drawn
    assert "Sat 28" not in drawn
    assert "* a run starts   ! a start is left out\n" in drawn


def test_a_day_belongs_to_the_zone_of_the_trigger(stage: Stage) -> None:
    stage.store.put_schedule(row("far", trigger={"cron": "30 0 1 * *", "timezone": "Pacific/Kiritimati"}))
    view = told("calendar", "far", "--month", "2026-11")
    assert [each["at"] for each in day(view, "2026-11-01")["starts"]] == ["2026-10-31T10:30:00Z"]


def test_many_starts_of_a_day_are_counted(stage: Stage) -> None:
    stage.store.put_schedule(row("often", trigger={"cron": "*/5 * * * *"}))
    drawn = usched("calendar", "often", "--month", "2026-11").stdout
    assert "Mon 30  starts 00:00, 00:05, 00:10, 00:15 and 284 more\n" in drawn


def test_a_schedule_without_a_time_has_an_empty_month(stage: Stage) -> None:
    stage.store.put_schedule(row("x", trigger={"manual": True}))
    view = told("calendar", "x", "--month", "2026-11")
    assert not any(each["closed"] or each["starts"] for each in view["days"])
    assert usched("calendar", "x", "--month", "2026-11").exit_code == 0


def test_the_calendars_of_a_file_are_drawn_without_any_engine(tmp_path: Path) -> None:
    file = written(tmp_path / "c.yaml", BANK, {**BANK, "calendarName": "other", "off": []})
    answer = told("calendar", file, "--month", "2026-11")
    assert [view["name"] for view in answer["months"]] == ["bank", "other"]
    assert day(answer["months"][1], "2026-11-27")["closed"] == ""


def test_without_a_name_the_calendars_are_listed(stage: Stage) -> None:
    assert "usched apply FILE" in usched("calendar").stdout
    stage.store.put_calendar(BANK)
    stage.store.put_calendar({"calendarName": "bad", "holidays": "XX"})
    assert told("calendar")["calendars"] == [
        {
            "calendarName": "bad",
            "days": 'not valid: $.holidays: found "XX", expected a country (US), its part (US-CA), or a market (ECB)',
        },
        {"calendarName": "bank", "days": "US; 1 off; known until 2026-12-31"},
    ]
    assert "US; 1 off; known until 2026-12-31" in usched("calendar").stdout


@pytest.mark.usefixtures("stage")
def test_without_a_month_it_is_the_present_one() -> None:
    assert len(told("calendar", "US")["month"]) == len("2026-11")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing"], "There is no calendar, schedule, country or exchange 'nothing'."),
        (["US", "--month", "2026-13"], "--month 2026-13: this is no month."),
        (["US", "--month", "1926-12"], "--month 1926-12: this is no month."),
        (["US", "--month", "2026-1"], "Write --month 2026-11."),
        (["no.yaml"], "it cannot be read"),
        (["bad"], "The calendar is not valid.\n         $.holidays"),
        (["wrong"], "The schedule 'wrong' is not valid"),
    ],
)
def test_what_cannot_be_drawn_is_said(stage: Stage, words: list[str], says: str) -> None:
    stage.store.put_calendar({"calendarName": "bad", "holidays": "XX"})
    stage.store.put_schedule(row("wrong", scheduleErrors=[{"path": "$", "found": "a", "expected": "b"}]))
    result = usched("calendar", *words)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_schedule_in_a_file_is_drawn_with_the_calendars_of_the_file(tmp_path: Path) -> None:
    file = written(tmp_path / "both.yaml", BANK, row("nightly", trigger=TRIGGERS))
    answer = told("calendar", file, "--month", "2026-11")
    assert [view["name"] for view in answer["months"]] == ["bank", "nightly"]
    assert day(answer["months"][1], "2026-11-26")["closed"] == "Thanksgiving Day, US"
