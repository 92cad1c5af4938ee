"""When triggers start: every case of tests/cases/starts.jsonl, and what starts that are left out say."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.oracles.clocks import EXPRESSIONS, oracle, utc, watch
from universal_scheduler.domain.documents.calendars import read_calendar
from universal_scheduler.domain.time.calendars import Calendar
from universal_scheduler.domain.time.starts import Start, between, coming
from universal_scheduler.domain.time.triggers import OnDst, TimeTrigger, read_expression, read_triggers, time_errors
from universal_scheduler.domain.time.zones import time_zone

CASES = [json.loads(line) for line in (Path(__file__).parents[1] / "cases/starts.jsonl").read_text().splitlines()]
STARTS = [case for case in CASES if "starts" in case]
REFUSED = [case for case in CASES if "refused" in case]


def triggers(
    *given: dict[str, Any], zone: str = "", calendars: dict[str, Calendar] | None = None
) -> tuple[TimeTrigger, ...]:
    return read_triggers(list(given), zone, calendars or {})


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def texts(starts: list[Start]) -> list[str]:
    return [f"{start.at:%Y-%m-%dT%H:%M:%SZ}" for start in starts if not start.left_out]


@pytest.mark.parametrize("case", STARTS, ids=[case["name"] for case in STARTS])
def test_a_case(case: dict[str, Any]) -> None:
    found = list(between(triggers(case["trigger"]), moment(case["from"]), moment(case["before"])))
    assert texts(found) == case["starts"], case["source"]
    assert found == sorted(found, key=lambda start: start.at)


@pytest.mark.parametrize("case", REFUSED, ids=[case["name"] for case in REFUSED])
def test_a_case_that_is_refused(case: dict[str, Any]) -> None:
    errors = time_errors("$.trigger", case["trigger"])
    assert any(case["refused"] in str(error) for error in errors), (errors, case["source"])
    assert all(error.path.startswith("$.trigger.") for error in errors)


@pytest.mark.parametrize("case", [case for case in STARTS if "aws" in case], ids=lambda case: case["name"])
def test_what_aws_is_given_for_five_fields(case: dict[str, Any]) -> None:
    [trigger] = triggers(case["trigger"])
    assert [expression.text for expression in trigger.expressions] == case["aws"]


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Zurich", utc(2026, 3, 28)),
        ("Europe/Zurich", utc(2026, 10, 24)),
        ("Australia/Lord_Howe", utc(2026, 4, 4)),
        ("America/St_Johns", utc(2005, 10, 29)),
        ("America/Nuuk", utc(2024, 3, 30)),
    ],
)
def test_starts_are_what_somebody_sees_who_watches_the_clock(zone: str, day: datetime) -> None:
    end = day + timedelta(days=3)
    watched = watch(time_zone(zone), day, end)
    for fields in EXPRESSIONS:
        for rule in OnDst:
            trigger = TimeTrigger(0, read_expression(fields.text), time_zone(zone), on_dst=rule)
            found = [start.at for start in between([trigger], day, end) if not start.left_out]
            assert found == oracle(rule)(watched, fields), (fields.text, rule)


def test_it_is_after_one_moment_and_up_to_another() -> None:
    every = triggers({"cron": "*/10 * * * *"})
    ten, twenty = moment("2026-01-01T00:10:00Z"), moment("2026-01-01T00:20:00Z")
    assert texts(list(coming(every, ten, twenty))) == ["2026-01-01T00:20:00Z"]
    a_moment = timedelta(microseconds=1)
    assert texts(list(coming(every, ten - a_moment, twenty - a_moment))) == ["2026-01-01T00:10:00Z"]
    assert list(coming(every, ten, ten)) == []


def test_a_start_has_its_local_time_its_trigger_and_its_business_date() -> None:
    two = triggers({"manual": True}, {"cron": "30 23 * * *"}, zone="America/New_York")
    assert next(coming(two, moment("2026-01-01T00:00:00Z"))) == Start(
        at=moment("2026-01-01T04:30:00Z"),
        local=datetime(2025, 12, 31, 23, 30, tzinfo=two[0].zone),
        trigger=1,
        scheduled=moment("2026-01-01T04:30:00Z"),
        business_date=date(2025, 12, 31),
    )


def test_several_triggers_start_once_at_an_instant_and_the_first_counts() -> None:
    both = triggers(
        {"cron": "0 */2 * * *"}, {"cron": "0 */3 * * *"}, {"rate": "rate(6 hours)", "startDate": "2026-01-01"}
    )
    found = list(between(both, moment("2026-01-01T00:00:00Z"), moment("2026-01-01T08:00:00Z")))
    assert [(start.at.hour, start.trigger) for start in found] == [(0, 0), (2, 0), (3, 1), (4, 0), (6, 0)]


@pytest.mark.parametrize(
    ("trigger", "since", "local", "why"),
    [
        (
            {"cron": "30 2 * * *", "timezone": "Europe/Zurich"},
            "2026-03-29T00:00:00Z",
            "2026-03-29 02:30",
            "clocks jump from 02:00 to 03:00, so there is no 02:30 on 2026-03-29",
        ),
        (
            {"cron": "30 2 * * *", "timezone": "Europe/Zurich"},
            "2026-10-25T00:30:00Z",
            "2026-10-25 02:30",
            "clocks show 02:30 twice on 2026-10-25, and it starts at the first",
        ),
        (
            {"cron": "0 9 * * *", "timezone": "Pacific/Apia"},
            "2011-12-29T20:00:00Z",
            "2011-12-30 09:00",
            "clocks jump from 2011-12-30 00:00 to 2011-12-31 00:00, so there is no 09:00 on 2011-12-30",
        ),
        (
            {"cron": "0 9 * * *", "calendar": {"off": ["2026-12-24 Christmas Eve"]}},
            "2026-12-24T00:00:00Z",
            "2026-12-24 09:00",
            "Christmas Eve, the calendar",
        ),
        (
            {"cron": "0 9 4-6 7 *", "calendar": {"weekend": ["SAT", "SUN"]}, "roll": "next"},
            "2026-07-01T00:00:00Z",
            "2026-07-04 09:00",
            "Saturday: it rolls to 2026-07-06, where there is a start at the same time",
        ),
        (
            {"businessDay": 22, "time": "09:00"},
            "2026-02-01T00:00:00Z",
            "2026-02-28 09:00",
            "February 2026 has no business day 22",
        ),
    ],
)
def test_a_start_that_is_left_out_says_why(trigger: dict[str, Any], since: str, local: str, why: str) -> None:
    found = next(start for start in coming(triggers(trigger), moment(since)) if start.left_out)
    assert (f"{found.local:%Y-%m-%d %H:%M}", found.left_out) == (local, why)
    assert found.local.astimezone(UTC) == found.at


def test_a_rolled_start_tells_when_it_was_scheduled() -> None:
    rolled = triggers({"cron": "0 9 4 7 *", "calendar": {"weekend": ["SAT", "SUN"]}, "roll": "previous"})
    start = next(coming(rolled, moment("2026-07-01T00:00:00Z")))
    assert (start.at, start.scheduled) == (moment("2026-07-03T09:00:00Z"), moment("2026-07-04T09:00:00Z"))
    assert start.business_date == date(2026, 7, 3)


def test_it_does_not_matter_for_a_reason_when_anybody_asks() -> None:
    rolled = triggers({"cron": "0 9 * * SAT,SUN", "calendar": {"weekend": ["SAT", "SUN"]}, "roll": "previous"})
    whole = list(coming(rolled, moment("2026-07-02T00:00:00Z"), moment("2026-07-06T00:00:00Z")))
    sunday = list(coming(rolled, moment("2026-07-05T00:00:00Z"), moment("2026-07-06T00:00:00Z")))
    assert [start.business_date.day for start in whole] == [3, 5]
    assert sunday == whole[1:]


@pytest.mark.parametrize(
    ("trigger", "last", "unknown_at"),
    [
        ({"cron": "0 9 * * *", "calendar": "ours"}, "2026-12-30T09:00:00Z", "2027-01-01T09:00:00Z"),
        ({"cron": "0 9 31 12 *", "calendar": "ours", "roll": "next"}, "", "2026-12-31T09:00:00Z"),
        (
            {"cron": "0 9 31 12 *", "calendar": "ours", "roll": "previous"},
            "2026-12-30T09:00:00Z",
            "2027-12-31T09:00:00Z",
        ),
        ({"businessDay": -1, "time": "09:00", "calendar": "ours"}, "2026-12-30T09:00:00Z", "2027-01-01T09:00:00Z"),
        (
            {"rate": "rate(1 day)", "startDate": "2026-12-01", "calendar": "ours"},
            "2026-12-30T00:00:00Z",
            "2027-01-01T00:00:00Z",
        ),
        ({"exchange": {"open": "XNYS"}}, "2028-12-29T14:30:00Z", "2029-01-01T05:00:00Z"),
    ],
)
def test_where_a_calendar_ends_one_start_says_so_and_there_are_no_more(
    trigger: dict[str, Any], last: str, unknown_at: str
) -> None:
    ours = read_calendar({"off": ["2026-12-31"], "until": "2026-12-31"})
    found = list(coming(triggers(trigger, calendars={"ours": ours}), moment("2026-12-15T12:00:00Z")))
    assert [start for start in found if start.left_out.startswith("unknown: ")] == found[-1:]
    assert f"{found[-1].at:%Y-%m-%dT%H:%M:%SZ}" == unknown_at
    assert texts(found)[-1:] == ([last] if last else [])


def test_a_calendar_that_ended_long_ago_says_so_at_once() -> None:
    old = {"old": read_calendar({"until": "2020-12-31"})}
    for trigger in ({"cron": "0 9 * * *"}, {"businessDay": 1, "time": "09:00"}, {"rate": "rate(1 hour)"}):
        [start] = coming(triggers(trigger | {"calendar": "old"}, calendars=old), moment("2026-01-15T12:00:00Z"))
        assert start.left_out.startswith("unknown: ")
        assert moment("2026-01-15T12:00:00Z") < start.at <= moment("2026-01-16T12:00:00Z")


def test_a_rate_counts_from_its_anchor() -> None:
    [rate] = read_triggers({"rate": "rate(7 minutes)"}, "", {}, anchor=moment("2026-01-01T00:03:00Z"))
    found = list(islice(coming([rate], moment("2026-01-01T00:03:30Z")), 2))
    assert texts(found) == ["2026-01-01T00:10:00Z", "2026-01-01T00:17:00Z"]
    assert texts(list(islice(coming([rate], moment("2025-01-01T00:00:00Z")), 1))) == ["2026-01-01T00:03:00Z"]


def test_a_rate_without_an_anchor_counts_from_the_moment_that_is_asked_for() -> None:
    rate = triggers({"rate": "rate(7 minutes)"})
    found = list(islice(coming(rate, moment("2026-01-01T00:03:00Z")), 2))
    assert texts(found) == ["2026-01-01T00:10:00Z", "2026-01-01T00:17:00Z"]


def test_starts_end_with_the_year_2199() -> None:
    daily = triggers({"cron": "0 0 1 1 *"}, {"rate": "rate(100 days)", "startDate": "2199-12-01"})
    assert texts(list(coming(daily, moment("2199-01-01T00:00:00Z")))) == ["2199-12-01T00:00:00Z"]


def test_rare_starts_are_found_without_a_long_search() -> None:
    rare = triggers({"cron": "cron(0 0 29 2 ? 2196)"}, {"cron": "cron(0 0 ? FEB SUN#5 2176-2199)"})
    found = texts(list(coming(rare, moment("2026-01-01T00:00:00Z"))))
    assert found == ["2184-02-29T00:00:00Z", "2196-02-29T00:00:00Z"]
