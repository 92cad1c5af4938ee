"""Calendars: which days are business days, why the others are none, and until when anybody knows."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from universal_scheduler.domain.documents.calendars import calendar_errors, read_calendar
from universal_scheduler.domain.time.calendars import BeyondHorizon, Calendar
from universal_scheduler.domain.time.exchanges import exchange, exchange_codes
from universal_scheduler.domain.time.holidays import holiday_codes, public_holidays

WITHOUT_HOLIDAYS = {"BV", "HM", "IO", "UA"}
"""Nobody lives there; in Ukraine, no holiday is a day off under martial law."""


def made(**keys: Any) -> Calendar:
    assert not list(calendar_errors(keys))
    return read_calendar(keys)


def open_days(calendar: Calendar, first: str, last: str) -> list[str]:
    """The business days from the first day to the last."""
    day, found = date.fromisoformat(first), []
    while day <= date.fromisoformat(last):
        found += [] if calendar.closed(day) else [day.isoformat()]
        day += timedelta(days=1)
    return found


def closed(calendar: Calendar, day: str) -> str:
    return calendar.closed(date.fromisoformat(day))


def test_without_more_the_weekend_is_saturday_and_sunday() -> None:
    assert open_days(made(), "2026-11-20", "2026-11-24") == ["2026-11-20", "2026-11-23", "2026-11-24"]
    assert closed(made(), "2026-11-21") == "Saturday"
    assert made().horizon is None


def test_a_calendar_has_its_own_weekend_or_none() -> None:
    assert open_days(made(weekend=["FRI", "SAT"]), "2026-11-19", "2026-11-22") == ["2026-11-19", "2026-11-22"]
    assert closed(made(weekend=[]), "2026-11-22") == ""


@pytest.mark.parametrize(
    ("code", "day", "why"),
    [
        # https://www.opm.gov/policy-data-oversight/pay-leave/federal-holidays/
        ("US", "2026-07-03", "Independence Day (observed), US"),
        ("US", "2027-07-05", "Independence Day (observed), US"),
        ("US", "2027-06-18", "Juneteenth National Independence Day (observed), US"),
        ("US", "2027-12-24", "Christmas Day (observed), US"),
        ("US", "2027-12-31", "New Year's Day (observed), US"),
        ("US", "2026-11-27", ""),
        # https://sos.ca.gov/state-holidays
        ("US-CA", "2026-03-31", "Cesar Chavez Day, US-CA"),
        # https://www.gov.uk/bank-holidays
        ("GB-ENG", "2022-09-19", "State Funeral of Queen Elizabeth II, GB-ENG"),
        ("GB-ENG", "2026-12-28", "Boxing Day (observed), GB-ENG"),
        ("GB-ENG", "2027-12-27", "Christmas Day (observed), GB-ENG"),
        ("GB-ENG", "2027-12-28", "Boxing Day (observed), GB-ENG"),
        ("GB-ENG", "2026-01-02", ""),
        ("GB-SCT", "2026-01-02", "New Year Holiday, GB-SCT"),
        # https://www.ecb.europa.eu/ecb/contacts/working-hours/html/index.en.html
        ("ECB", "2026-05-01", "Labour Day, ECB"),
        ("DE-BY", "2026-11-02", ""),
    ],
)
def test_public_holidays_are_named(code: str, day: str, why: str) -> None:
    assert closed(made(holidays=code), day) == why


def test_names_of_holidays_do_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    assert closed(made(holidays="AT"), "2025-10-26") == "National Day, AT"


def test_several_countries_make_one_calendar() -> None:
    both = made(holidays=["US", "GB-ENG"])
    assert closed(both, "2026-07-03").endswith(", US")
    assert closed(both, "2026-12-28").endswith(", GB-ENG")


def test_the_weekend_is_that_of_the_country() -> None:
    saudi = made(holidays="SA")
    assert [closed(saudi, f"2026-11-{day}") for day in (19, 20, 21, 22)] == ["", "Friday", "Saturday", ""]
    assert closed(made(holidays="SA", weekend=["SUN"]), "2026-11-20") == ""


@pytest.mark.parametrize("weekend", [{}, {"weekend": ["SAT", "SUN"]}])
def test_days_of_a_weekend_are_worked_where_a_decree_says_so(weekend: dict[str, Any]) -> None:
    # The State Council's notice of 12 November 2024: https://www.gov.cn/zhengce/content/202411/content_6986382.htm
    china = made(holidays="CN", **weekend)
    assert open_days(china, "2025-01-24", "2025-02-08") == [
        *("2025-01-24", "2025-01-26", "2025-01-27"),
        *("2025-02-05", "2025-02-06", "2025-02-07", "2025-02-08"),
    ]


@pytest.mark.parametrize(
    ("code", "day", "why"),
    [
        # https://www.nyse.com/markets/hours-calendars
        ("XNYS", "2026-04-03", "Good Friday, XNYS"),
        ("XNYS", "2021-12-31", ""),
        ("XNYS", "2025-01-09", "the exchange is closed, XNYS"),
        ("XNYS", "2026-10-12", ""),
        ("XNYS", "2026-11-28", "Saturday"),
        ("XLON", "2026-12-28", "Boxing Day, XLON"),
    ],
)
def test_an_exchange_has_its_own_days(code: str, day: str, why: str) -> None:
    found = closed(made(exchange=code), day)
    assert found == why or (why.startswith("Boxing") and found.endswith(", XLON"))


def test_own_days_off_and_on_come_before_everything_else() -> None:
    mine = made(holidays="US", off=["2026-11-27 Bridge day", "2026-11-30"], on=["2026-11-26", "2026-11-28"])
    assert closed(mine, "2026-11-26") == ""
    assert closed(mine, "2026-11-28") == ""
    assert closed(mine, "2026-11-27") == "Bridge day, US"
    assert closed(mine, "2026-11-30") == "a day off, US"


def test_the_days_off_of_a_named_calendar_bear_its_name() -> None:
    bank = read_calendar({"calendarName": "bank", "off": ["2026-12-24 Christmas Eve"]})
    assert closed(bank, "2026-12-24") == "Christmas Eve, bank"


@pytest.mark.parametrize(
    ("keys", "last", "says"),
    [
        ({"exchange": "XNYS"}, "2028-12-29", "the days of XNYS are known until 2028-12-31"),
        ({"exchange": "XSHG"}, "2026-12-31", "the days of XSHG are known until 2026-12-31"),
        ({"holidays": "US"}, "2034-12-29", "the days of US are known until 2034-12-31"),
        ({"holidays": "CN"}, "2026-12-31", "the days of CN are known until 2026-12-31"),
        ({"holidays": "IN"}, "2034-12-29", "the days of IN are known until 2034-12-31"),
        ({"holidays": "LK"}, "2026-12-31", "the days of LK are known until 2026-12-31"),
        ({"off": ["2027-01-01"], "until": "2027-12-31"}, "2027-12-31", "the days of the calendar are known until 2027"),
    ],
)
def test_beyond_the_horizon_nobody_says_business_day(keys: dict[str, Any], last: str, says: str) -> None:
    calendar = made(**keys)
    assert closed(calendar, last) == ""
    assert calendar.horizon is not None
    for days in range(1, 800):
        with pytest.raises(BeyondHorizon, match=says):
            calendar.closed(calendar.horizon + timedelta(days=days))
    with pytest.raises(BeyondHorizon):
        calendar.add_business_days(date.fromisoformat(last), 1)


def test_before_the_first_known_day_nobody_says_business_day() -> None:
    with pytest.raises(BeyondHorizon, match="the days of XNYS are known from 2010-01-01"):
        closed(made(exchange="XNYS"), "2009-12-31")


def test_the_nearest_horizon_counts_and_own_days_are_known_beyond_it() -> None:
    calendar = made(holidays="US", exchange="XNYS", off=["2030-01-01"], on=["2030-01-02"])
    assert calendar.horizon == date(2028, 12, 31)
    assert closed(calendar, "2030-01-01") == "a day off, US, XNYS"
    assert closed(calendar, "2030-01-02") == ""


def test_business_days_are_counted_forth_and_back() -> None:
    us = made(holidays="US")
    thanksgiving = date(2026, 11, 26)
    assert us.next_business_day(thanksgiving) == date(2026, 11, 27)
    assert us.previous_business_day(thanksgiving) == date(2026, 11, 25)
    assert (
        us.next_business_day(date(2026, 11, 27)) == us.previous_business_day(date(2026, 11, 27)) == date(2026, 11, 27)
    )
    assert us.add_business_days(thanksgiving, 1) == date(2026, 11, 27)
    assert us.add_business_days(thanksgiving, 2) == date(2026, 11, 30)
    assert us.add_business_days(thanksgiving, -1) == date(2026, 11, 25)
    assert us.add_business_days(thanksgiving, 0) == date(2026, 11, 27)
    assert us.add_business_days(date(2026, 11, 27), 0) == date(2026, 11, 27)


@pytest.mark.parametrize("keys", [{}, {"holidays": "US"}, {"exchange": "XTKS"}, {"weekend": ["FRI"]}])
def test_adding_and_taking_away_business_days_are_opposite(keys: dict[str, Any]) -> None:
    calendar = made(**keys)
    days = [date.fromisoformat(day) for day in open_days(calendar, "2025-01-01", "2026-06-30")]
    for place, day in enumerate(days[:-40]):
        assert calendar.add_business_days(day, 40) == days[place + 40]
        assert calendar.add_business_days(days[place + 40], -40) == day


def test_the_nth_and_the_last_business_day_of_a_month() -> None:
    us = made(holidays="US")
    assert us.business_day_of_month(2026, 5, -1) == date(2026, 5, 29)
    assert us.business_day_of_month(2027, 12, -1) == date(2027, 12, 30)
    assert us.business_day_of_month(2026, 1, 1) == date(2026, 1, 2)
    assert us.business_day_of_month(2026, 1, 20) == date(2026, 1, 30)
    assert us.business_day_of_month(2026, 1, 21) is None
    assert us.business_day_of_month(2026, 1, -20) == date(2026, 1, 2)
    assert us.business_day_of_month(2026, 1, -21) is None


def test_no_calendar_goes_beyond_the_last_year() -> None:
    with pytest.raises(BeyondHorizon):
        made(off=["9999-12-31"]).next_business_day(date.max)
    with pytest.raises(BeyondHorizon):
        made().add_business_days(date.max, 1)
    with pytest.raises(BeyondHorizon):
        made().add_business_days(date.min, -1)


def test_a_session_has_its_hours_in_utc() -> None:
    # https://www.nyse.com/markets/hours-calendars: the day after Thanksgiving ends at 1:00 p.m.
    new_york = exchange("XNYS")
    full, half = new_york.session(date(2026, 11, 25)), new_york.session(date(2026, 11, 27))
    assert full is not None
    assert half is not None
    assert [moment.isoformat() for moment in full] == ["2026-11-25T14:30:00+00:00", "2026-11-25T21:00:00+00:00"]
    assert half[1].isoformat() == "2026-11-27T18:00:00+00:00"
    assert new_york.session(date(2026, 11, 26)) is None
    assert new_york.session(date(2026, 11, 28)) is None
    with pytest.raises(BeyondHorizon):
        new_york.session(date(2029, 1, 2))


def test_hours_that_changed_are_those_of_the_day() -> None:
    # https://www.jpx.co.jp/english/equities/trading/domestic/: until 15:30 since 5 November 2024
    tokyo = exchange("XTKS")
    before, after = tokyo.session(date(2024, 11, 1)), tokyo.session(date(2024, 11, 5))
    assert before is not None
    assert after is not None
    assert (before[1].hour, before[1].minute, after[1].hour, after[1].minute) == (6, 0, 6, 30)


@pytest.mark.parametrize("code", exchange_codes())
def test_every_table_is_whole(code: str) -> None:
    table = exchange(code)
    assert table.code == code
    assert table.name
    assert table.first == date(2010, 1, 1)
    assert table.horizon >= date(2026, 12, 31)
    assert table.horizon.timetuple().tm_yday >= 365
    assert all(table.session(day) is None for day in table.closed)
    assert all(table.session(day) for day in (*table.short, *table.worked))
    sessions = [day for days in range(365 * 16) if table.session(day := table.first + timedelta(days=days))]
    assert 235 < len(sessions) / 16 < 262
    assert all((later - earlier).days <= 12 for earlier, later in pairwise(sessions))


def test_every_country_and_market_has_holidays_from_its_first_day_to_its_horizon() -> None:
    codes = [code for code in holiday_codes() if "-" not in code]
    assert {"US", "CH", "ECB"} <= set(codes)
    for code in codes:
        known = public_holidays(code)
        for year in (known.first.year, known.horizon.year):
            days = [date(year, 1, 1) + timedelta(days=day) for day in range(365)]
            assert any(map(known.holiday, days)) or code in WITHOUT_HOLIDAYS, (code, year)


@pytest.mark.parametrize("code", ["XX", "US-XX", "US-", "us", "USA", "", "ECB-A", "-", "US-CA-LA", "\udcff"])
def test_an_unknown_country_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="whose holidays are known"):
        public_holidays(code)


@pytest.mark.parametrize("code", ["XX", "xnys", "../XNYS", ""])
def test_an_unknown_exchange_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="no exchange"):
        exchange(code)
