"""Times of day in the world's time zones: the next moment at which a clock on the wall shows them."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, time

import pytest

from universal_scheduler.domain.time.zones import next_time_of_day, time_zone, time_zone_names


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("zone", "after", "by", "due"),
    [
        ("UTC", "2026-11-21T05:00:00", "06:30", "2026-11-21T06:30:00"),
        ("UTC", "2026-11-21T06:30:00", "06:30", "2026-11-22T06:30:00"),
        ("UTC", "2026-11-21T06:29:59.999999", "06:30", "2026-11-21T06:30:00"),
        # Zurich, 29 March 2026: 02:00 to 02:59 do not exist, and 03:00 comes at 01:00 UTC.
        ("Europe/Zurich", "2026-03-29T00:30:00", "01:59", "2026-03-29T00:59:00"),
        ("Europe/Zurich", "2026-03-29T00:30:00", "02:00", "2026-03-29T01:00:00"),
        ("Europe/Zurich", "2026-03-29T00:30:00", "02:30", "2026-03-29T01:00:00"),
        ("Europe/Zurich", "2026-03-29T00:30:00", "03:00", "2026-03-29T01:00:00"),
        ("Europe/Zurich", "2026-03-29T01:00:00", "02:30", "2026-03-30T00:30:00"),
        ("Europe/Zurich", "2026-03-29T01:10:00", "02:30", "2026-03-30T00:30:00"),
        # 25 October 2026: 02:00 to 02:59 come twice, from 00:00 UTC and from 01:00 UTC on.
        ("Europe/Zurich", "2026-10-24T22:00:00", "02:30", "2026-10-25T00:30:00"),
        ("Europe/Zurich", "2026-10-25T00:30:00", "02:30", "2026-10-25T01:30:00"),
        ("Europe/Zurich", "2026-10-25T00:40:00", "02:30", "2026-10-25T01:30:00"),
        ("Europe/Zurich", "2026-10-25T01:10:00", "02:30", "2026-10-25T01:30:00"),
        ("Europe/Zurich", "2026-10-25T01:30:00", "02:30", "2026-10-26T01:30:00"),
        ("Europe/Zurich", "2026-10-25T00:10:00", "02:00", "2026-10-25T01:00:00"),
        ("Europe/Zurich", "2026-10-25T00:10:00", "03:00", "2026-10-25T02:00:00"),
        # New York, 8 March and 1 November 2026.
        ("America/New_York", "2026-03-08T05:00:00", "02:30", "2026-03-08T07:00:00"),
        ("America/New_York", "2026-03-08T07:20:00", "02:30", "2026-03-09T06:30:00"),
        ("America/New_York", "2026-11-01T05:00:00", "01:30", "2026-11-01T05:30:00"),
        ("America/New_York", "2026-11-01T05:45:00", "01:30", "2026-11-01T06:30:00"),
        # Lord Howe turns its clocks by half an hour, on 5 April and 4 October 2026.
        ("Australia/Lord_Howe", "2026-10-03T15:00:00", "02:15", "2026-10-03T15:30:00"),
        ("Australia/Lord_Howe", "2026-10-03T15:40:00", "02:15", "2026-10-04T15:15:00"),
        ("Australia/Lord_Howe", "2026-04-04T14:00:00", "01:45", "2026-04-04T14:45:00"),
        ("Australia/Lord_Howe", "2026-04-04T14:50:00", "01:45", "2026-04-04T15:15:00"),
        # Sao Paulo, 4 November 2018: no midnight. 18 February 2018: back from midnight to 23:00 of the day before.
        ("America/Sao_Paulo", "2018-11-04T02:00:00", "00:00", "2018-11-04T03:00:00"),
        ("America/Sao_Paulo", "2018-11-04T02:00:00", "00:30", "2018-11-04T03:00:00"),
        ("America/Sao_Paulo", "2018-11-04T03:00:00", "00:30", "2018-11-05T02:30:00"),
        ("America/Sao_Paulo", "2018-02-18T01:40:00", "23:30", "2018-02-18T02:30:00"),
        # Apia had no 30 December 2011 at all.
        ("Pacific/Apia", "2011-12-29T23:00:00", "12:00", "2011-12-30T10:00:00"),
        ("Pacific/Apia", "2011-12-30T10:00:00", "12:00", "2011-12-30T22:00:00"),
        # Until 2006 St. John's turned its clocks at a minute past midnight: back into the day before.
        ("America/St_Johns", "2005-10-30T02:30:30", "23:30", "2005-10-30T03:00:00"),
    ],
)
def test_the_next_time_of_day(zone: str, after: str, by: str, due: str) -> None:
    found = next_time_of_day(epoch(after), time.fromisoformat(by), time_zone(zone))
    assert datetime.fromtimestamp(found, UTC).isoformat() == datetime.fromtimestamp(epoch(due), UTC).isoformat()


def test_zones_are_those_of_the_package_and_not_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise AssertionError("the machine's zones were asked for")

    monkeypatch.setattr(zoneinfo, "ZoneInfo", none)
    assert str(time_zone("Europe/Zurich")) == "Europe/Zurich"
    assert time_zone("Europe/Zurich") is time_zone("Europe/Zurich")
    assert {"UTC", "Europe/Zurich", "Australia/Lord_Howe"} <= time_zone_names()


@pytest.mark.parametrize(
    "name", ["", "Europe", "Europe/Zuerich", "../etc/passwd", "/etc/localtime", "localtime", "a\0b"]
)
def test_what_is_no_zone(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        time_zone(name)
