"""The days off of iCalendar files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from universal_scheduler.domain.documents.calendars import calendar_row_errors
from universal_scheduler.domain.documents.icalendar import read_icalendar
from universal_scheduler.domain.errors import UnreadableDocument


def event(*lines: str) -> str:
    return "\r\n".join(["BEGIN:VEVENT", "UID:1", *lines, "END:VEVENT", ""])


def text(*events: str) -> str:
    return "".join(["BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//a//b\r\n", *events, "END:VCALENDAR\r\n"])


def off(*events: str) -> list[str]:
    row, left_out = read_icalendar(text(*events), "bank")
    assert not list(calendar_row_errors(row))
    assert left_out == 0
    return list(row["off"])


def test_an_event_of_whole_days_is_days_off_up_to_the_day_before_its_end() -> None:
    christmas = event("DTSTART;VALUE=DATE:20261225", "DTEND;VALUE=DATE:20261227", "SUMMARY:Christmas")
    new_year = event("DTSTART;VALUE=DATE:20270101", "SUMMARY:New\\, and\r\n  happy\\; Year")
    row, left_out = read_icalendar(text(new_year, christmas), "bank")
    assert row == {
        "calendarName": "bank",
        "off": ["2026-12-25 Christmas", "2026-12-26 Christmas", "2027-01-01 New, and happy; Year"],
        "until": "2027-12-31",
    }
    assert left_out == 0


def test_events_with_a_time_and_cancelled_events_are_left_out() -> None:
    row, left_out = read_icalendar(
        text(
            event("DTSTART:20261224T120000Z", "DTEND:20261224T130000Z", "SUMMARY:Lunch"),
            event("DTSTART;TZID=Europe/Zurich:20261224T120000", "RRULE:FREQ=DAILY"),
            event("DTSTART;VALUE=DATE:20261228", "STATUS:CANCELLED"),
            event("DTSTART;VALUE=DATE:20261225"),
        ),
        "bank",
    )
    assert (row["off"], left_out) == (["2026-12-25"], 3)


def test_what_is_inside_of_an_event_is_not_its_own() -> None:
    alarm = ["BEGIN:VALARM", "DTSTART;VALUE=DATE:20261231", "SUMMARY:Ring", "END:VALARM"]
    assert off(event("DTSTART;VALUE=DATE:20261225", *alarm, "SUMMARY:Christmas")) == ["2026-12-25 Christmas"]


def test_a_colon_in_quotes_ends_no_name() -> None:
    start = 'DTSTART;VALUE=DATE;X-A="a:b":20261225'
    assert off(event(start, "DURATION:P2D")) == ["2026-12-25", "2026-12-26"]


@pytest.mark.parametrize(
    ("start", "rule", "days"),
    [
        ("20320704", "FREQ=YEARLY", ["2032-07-04", "2033-07-04", "2034-07-04"]),
        ("20261126", "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;COUNT=3", ["2026-11-26", "2027-11-25", "2028-11-23"]),
        ("20260525", "FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO;UNTIL=20280101", ["2026-05-25", "2027-05-31"]),
        ("20240229", "FREQ=YEARLY;UNTIL=20321231T000000Z", ["2024-02-29", "2028-02-29", "2032-02-29"]),
        ("20200101", "FREQ=YEARLY;INTERVAL=10;BYMONTHDAY=2", ["2020-01-02", "2030-01-02"]),
        ("20270331", "FREQ=YEARLY;BYMONTH=3;BYDAY=5WE;COUNT=2", ["2027-03-31", "2028-03-29"]),
    ],
)
def test_an_event_comes_again_each_year(start: str, rule: str, days: list[str]) -> None:
    assert off(event(f"DTSTART;VALUE=DATE:{start}", f"RRULE:{rule}")) == days


def test_a_day_may_be_taken_out_of_a_series() -> None:
    series = event("DTSTART;VALUE=DATE:20320704", "RRULE:FREQ=YEARLY", "EXDATE;VALUE=DATE:20330704,20340704")
    assert off(series) == ["2032-07-04"]


def test_the_days_are_known_until_the_end_of_the_last_year_with_a_day_of_its_own() -> None:
    once = event("DTSTART;VALUE=DATE:20261231", "DTEND;VALUE=DATE:20270102")
    yearly = event("DTSTART;VALUE=DATE:20200704", "RRULE:FREQ=YEARLY")
    assert read_icalendar(text(once, yearly), "a")[0]["until"] == "2027-12-31"
    assert read_icalendar(text(yearly), "a")[0]["until"] == "2034-12-31"


@pytest.mark.parametrize(
    ("wrong", "line", "says"),
    [
        ("", 1, "nothing in it"),
        ("hello", 1, "which begins with BEGIN:VCALENDAR"),
        ("BEGIN:VCALENDAR\n", 1, "no END:VCALENDAR"),
        (text(), 1, "no event that lasts whole days"),
        (text("nonsense\n"), 4, "expected NAME:VALUE"),
        (text("END:VEVENT\n"), 4, "the END of what has begun"),
        (text(event()), 4, "expected a day"),
        (text(event("DTSTART;VALUE=DATE:20260230")), 6, "expected a day"),
        (text(event("DTSTART:2026-12-25")), 6, "expected a day"),
        (text(event("DTSTART:00010101")), 6, "expected a day"),
        (text(event("DTSTART:20261225", "RRULE:FREQ=WEEKLY")), 7, "expected FREQ=YEARLY"),
        (text(event("DTSTART:20261225", "RRULE:FREQ=YEARLY;BYDAY=MO")), 7, "BYMONTH with a BYDAY"),
        (text(event("DTSTART:20261225", "RRULE:FREQ=YEARLY;BYMONTH=13")), 7, "a month from 1 to 12"),
        (text(event("DTSTART:20261225", "RRULE:FREQ=YEARLY;COUNT=0")), 7, "a number from 1"),
        (text(event("DTSTART:20261225", "RRULE:FREQ=YEARLY;UNTIL=soon")), 7, "expected a day"),
        (text(event("DTSTART:20261225", "RDATE:20271225")), 7, "found RDATE"),
        (text(event("DTSTART:20261225", "DURATION:PT1H")), 7, "whole days"),
        (text(event("DTSTART:20261225", "DTEND:20281225")), 4, "at most 366 days"),
    ],
)
def test_a_text_that_cannot_be_read_has_an_error_with_its_line(wrong: str, line: int, says: str) -> None:
    with pytest.raises(UnreadableDocument) as error:
        read_icalendar(wrong, "bank")
    assert error.value.errors[0].line == line
    assert says in error.value.errors[0].problem


PIECES = st.sampled_from(
    [
        *("BEGIN:VCALENDAR", "END:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "DTSTART:20261225", "DTSTART:99991231"),
        *(
            "DTEND:99991231",
            "DURATION:P99W",
            "RRULE:FREQ=YEARLY",
            "RRULE:FREQ=YEARLY;INTERVAL=9999;COUNT=9",
            "SUMMARY:\\",
        ),
        *(
            "RRULE:FREQ=YEARLY;UNTIL=00010101",
            "EXDATE:20261225",
            "DTSTART:00010101",
            ' "',
            "",
            ":",
            "RRULE:;",
            "SUMMARY:\0",
        ),
    ]
)


@given(st.lists(PIECES, max_size=12), st.booleans())
def test_no_text_makes_another_error(lines: list[str], whole: bool) -> None:
    written = text(event(*lines)) if whole else "\n".join(lines)
    try:
        row, _ = read_icalendar(written, "bank")
    except UnreadableDocument:
        return
    assert not list(calendar_row_errors(row))
