"""Local times: the time zones of the world, and the next moment of a time of day. It is pure."""

from __future__ import annotations

from datetime import datetime, time, timedelta, tzinfo
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo


@cache
def time_zone_names() -> frozenset[str]:
    """All names of time zones in the IANA database."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@cache
def time_zone(name: str) -> ZoneInfo:
    """The time zone with this name, from the package `tzdata`, so that it is the same on every machine.

    `ZoneInfo(name)` would ask the machine first: https://docs.python.org/3/library/zoneinfo.html#data-sources

    Raises:
        ValueError: there is no such zone.
    """
    if name not in time_zone_names():
        raise ValueError(f"'{name}' is no time zone of the IANA database")
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def next_time_of_day(after: float, clock: time, zone: tzinfo) -> float:
    """The next moment after `after`, in epoch seconds, at which a local clock shows this time or jumps over it.

    When clocks go back, a time comes twice, and the next of the two counts. When clocks go forward, a time may not
    come: then the moment of the change counts, because a deadline must not be lost.
    """
    today = datetime.fromtimestamp(after, zone).date()
    # Clocks may go back into the day before, and a day may be left out.
    days = (today + timedelta(days=day) for day in range(-1, 3))
    moments = {_moment(datetime.combine(day, clock, zone).replace(fold=fold)) for day in days for fold in (0, 1)}
    return min(moment for moment in moments if moment > after)


def _moment(wall: datetime) -> float:
    """When a clock shows this, or jumps over it. `fold` tells two times from each other that look the same."""
    assert wall.tzinfo is not None
    moment = wall.timestamp()
    if datetime.fromtimestamp(moment, wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None, fold=0):
        return moment
    # https://peps.python.org/pep-0495/: in a gap, fold 1 counts by the offset after it, which gives a moment before it.
    before, past = int(wall.replace(fold=1).timestamp()), int(wall.replace(fold=0).timestamp())
    offset = datetime.fromtimestamp(before, wall.tzinfo).utcoffset()
    while past - before > 1:
        middle = (before + past) // 2
        if datetime.fromtimestamp(middle, wall.tzinfo).utcoffset() == offset:
            before = middle
        else:
            past = middle
    return float(past)
