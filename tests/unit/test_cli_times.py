"""Times as people read them: their own clock and its zone, the date where it is another day's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from universal_scheduler.cli.times import Times, clock, seconds

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("UTC", "06:31:04 UTC"),
        ("Europe/Zurich", "07:31:04 CET"),
        ("Asia/Kolkata", "12:01:04 IST"),
        ("America/Sao_Paulo", "03:31:04 UTC-03"),
        ("Asia/Kathmandu", "12:16:04 UTC+0545"),
        ("Pacific/Auckland", "2026-11-21 19:31:04 NZDT"),
    ],
)
def test_a_time_is_told_with_its_zone(zone: Callable[[str], None], name: str, shown: str) -> None:
    zone(name)
    assert clock("2026-11-21T06:31:04.123456", NOON) == shown
    assert clock("2026-11-21T06:31:04+00:00", NOON) == shown


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        ("2026-11-20T22:59:59", "2026-11-20 23:59:59 CET"),
        ("2026-11-20T23:00:00", "00:00:00 CET"),
        ("2026-11-21T22:59:59", "23:59:59 CET"),
        ("2026-11-21T23:00:00", "2026-11-22 00:00:00 CET"),
    ],
)
def test_the_date_is_told_where_it_is_another_day_here(zone: Callable[[str], None], moment: str, shown: str) -> None:
    zone("Europe/Zurich")
    assert clock(moment, NOON) == shown


def test_the_zone_is_in_the_heading_unless_times_are_of_several(zone: Callable[[str], None]) -> None:
    zone("Europe/Zurich")
    winter = Times(["2026-11-21T06:00:00", "", "2026-11-20T06:00:00"], NOON)
    assert winter.heading("started") == "started (CET)"
    assert winter.clock("2026-11-21T06:00:00") == "07:00:00"
    turn = ["2026-10-25T00:30:00", "2026-10-25T01:30:00"]
    both = Times(turn, NOON)
    assert both.heading("started") == "started"
    assert [both.clock(each) for each in turn] == ["2026-10-25 02:30:00 CEST", "2026-10-25 02:30:00 CET"]
    assert Times([], NOON).heading("started") == "started (CET)"


@pytest.mark.parametrize("text", ["", "soon", "9999-12-31T23:59:59"])
def test_what_this_clock_does_not_know_is_told_as_it_is(zone: Callable[[str], None], text: str) -> None:
    zone("Pacific/Auckland")
    assert clock(text, NOON) == text
    assert Times([text], NOON).clock(text) == text


def test_seconds() -> None:
    assert seconds("2026-11-21T06:00:00", "2026-11-21T06:00:01.5", NOON) == "1.50"
    assert seconds("2026-11-21T06:00:00", "2026-11-21T07:00:00", NOON) == "3600"
    assert seconds("2026-11-21T11:59:00", "", NOON) == "60"
    assert seconds("", "", NOON) == ""
