"""What is wrong with time triggers, beside their expressions: where it is told, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from universal_scheduler.domain.documents.calendars import read_calendar
from universal_scheduler.domain.errors import InvalidSchedule
from universal_scheduler.domain.time.calendars import Calendar
from universal_scheduler.domain.time.expressions import BusinessDay, ExchangeTime
from universal_scheduler.domain.time.triggers import OnDst, Roll, read_triggers, time_errors

OURS = {"ours": read_calendar({"off": ["2026-12-24"]})}


@pytest.mark.parametrize(
    ("given", "where", "what"),
    [
        ({"cron": "0 6 * * *", "timezone": "CEST"}, "timezone", "no such zone (did you mean 'CET'?)"),
        ({"cron": "0 6 * * *", "startDate": "2026-13-01"}, "startDate", 'found "2026-13-01", expected a date'),
        ({"cron": "0 6 * * *", "endDate": "3000-01-01"}, "endDate", "in the years to 2199"),
        (
            {"cron": "0 6 * * *", "startDate": "2026-12-01", "endDate": "2026-11-01"},
            "endDate",
            "a time after startDate",
        ),
        ({"cron": "0 6 * * *", "roll": "next"}, "roll", "roll without a calendar"),
        ({"cron": "0 6 * * *", "calendar": "our"}, "calendar", "no such calendar (did you mean 'ours'?)"),
        ({"cron": "0 6 * * *", "calendar": {"weekend": ["SATURDAY"]}}, "calendar.weekend[0]", "one of MON"),
        ({"cron": "rate(5 minutes)"}, "cron", "a cron expression is written cron(MINUTES"),
        ({"rate": "5 minutes"}, "rate", "rate(VALUE UNIT)"),
        ({"businessDay": 0, "time": "18:00"}, "businessDay", "-1 for the last"),
        ({"businessDay": 32, "time": "18:00"}, "businessDay", "1 for the first"),
        ({"businessDay": 1}, "time", "found no time, expected the time of day"),
        ({"businessDay": 1, "time": "24:00"}, "time", "the time of day: 18:00"),
        ({"exchange": {"close": "XNYSE"}}, "exchange.close", "did you mean 'XNYS'?"),
        ({"exchange": {"open": "XNYS", "close": "XNYS"}}, "exchange", "found open and close"),
        ({"exchange": {"close": "XNYS", "offset": "2d"}}, "exchange.offset", "at most a day"),
    ],
)
def test_an_error_has_its_place_and_says_what_to_write(given: dict[str, Any], where: str, what: str) -> None:
    [error] = time_errors("$.trigger[2]", given, "Europe/Zurich", OURS)
    assert error.path == f"$.trigger[2].{where}"
    assert what in error.problem


def test_names_of_calendars_are_not_looked_up_where_there_are_none() -> None:
    assert time_errors("$.trigger", {"cron": "0 6 * * *", "calendar": "nobody knows"}) == []


def test_all_errors_of_all_triggers_are_told() -> None:
    with pytest.raises(InvalidSchedule) as caught:
        read_triggers([{"cron": "60 6 * * *"}, {"manual": True}, {"at": "tomorrow"}], "", {})
    assert [error.path for error in caught.value.errors] == ["$.trigger[0].cron", "$.trigger[2].at"]


def test_a_trigger_without_a_zone_has_the_schedules() -> None:
    ours, own = read_triggers(
        [{"cron": "0 6 * * *"}, {"cron": "0 6 * * *", "timezone": "Asia/Tokyo"}], "Europe/Zurich", {}
    )
    assert (ours.zone.key, own.zone.key) == ("Europe/Zurich", "Asia/Tokyo")
    assert read_triggers({"cron": "0 6 * * *"}, "", {})[0].zone.key == "UTC"


def test_everything_that_a_trigger_says_is_read() -> None:
    given = {
        "cron": "0 0 13 * 5",
        "timezone": "Europe/Zurich",
        "startDate": "2026-01-01",
        "endDate": "2026-12-31",
        "calendar": "ours",
        "roll": "previous",
        "onDst": "both",
    }
    [trigger] = read_triggers(given, "", OURS)
    assert [expression.text for expression in trigger.expressions] == ["cron(0 0 13 * ? *)", "cron(0 0 ? * FRI *)"]
    assert (trigger.calendar, trigger.roll, trigger.on_dst) == (OURS["ours"], Roll.PREVIOUS, OnDst.BOTH)
    assert trigger.start == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert trigger.end == datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC)


def test_a_business_day_needs_no_calendar_and_an_exchange_brings_its_zone() -> None:
    business, exchange = read_triggers(
        [{"businessDay": -1, "time": "18:30"}, {"exchange": {"open": "XTKS", "offset": "-PT5M"}}], "", {}
    )
    assert isinstance(business.expressions[0], BusinessDay)
    assert business.calendar == Calendar()
    [opening] = exchange.expressions
    assert isinstance(opening, ExchangeTime)
    assert (opening.offset, opening.at_close, exchange.zone.key) == (timedelta(minutes=-5), False, "Asia/Tokyo")
