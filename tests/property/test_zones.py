"""The next moment of a time of day, against somebody who watches the clock."""

from __future__ import annotations

import random
from datetime import UTC, datetime, time, timedelta, tzinfo

import pytest

from universal_scheduler.domain.time.zones import next_time_of_day, time_zone

DAY = 86_400


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def minute_by_minute(after: float, by: time, zone: tzinfo) -> float:
    """The same by watching the clock: it shows the time of day, or jumps over it."""
    moment = int(after // 60) * 60
    while True:
        before = datetime.fromtimestamp(moment, zone).replace(tzinfo=None)
        moment += 60
        shown = datetime.fromtimestamp(moment, zone).replace(tzinfo=None)
        passed = max(1, (shown - before) // timedelta(minutes=1))
        if any((shown - timedelta(minutes=minute)).time() == by for minute in range(passed)):
            return float(moment)


@pytest.mark.parametrize(
    "name",
    [
        "Europe/Zurich",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "Asia/Beirut",
        "Asia/Kathmandu",
        "Africa/Casablanca",
        "Pacific/Apia",
        "America/Caracas",
    ],
)
def test_it_is_what_somebody_sees_who_watches_the_clock(name: str) -> None:
    zone, chance = time_zone(name), random.Random(name)
    days = [epoch("2007-01-01T00:00:00") + day * DAY for day in range(23 * 365)]
    turned = [
        day
        for day in days
        if datetime.fromtimestamp(day, zone).utcoffset() != datetime.fromtimestamp(day + DAY, zone).utcoffset()
    ]
    for _ in range(60):
        day = chance.choice(turned or days)
        after = day + chance.uniform(-DAY, 2 * DAY) if chance.random() < 0.5 else day + chance.randrange(2 * 24) * 1800
        by = time(chance.randrange(24), chance.choice([0, 0, 15, 30, 59]))
        assert next_time_of_day(after, by, zone) == minute_by_minute(after, by, zone), (after, by)
