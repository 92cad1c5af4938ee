"""What the clocks of a time zone show on a day: which times come, come twice, or are jumped over. It is pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

DAY = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL = EPOCH.toordinal()
SECOND = timedelta(seconds=1)
FARTHEST = 16 * 3600
"""No zone's clock is so far from UTC; Manila's was 15:56 behind."""
LOOK_EVERY = 3 * 3600
"""No zone has changed its clocks twice within so short a time."""
DAYS_KEPT = 16_384


@dataclass(frozen=True, slots=True)
class Gap:
    """Times that clocks jump over, in local seconds since 1970."""

    first: int
    end: int
    at: int
    """The epoch second of the jump."""
    offset: int
    """The zone's distance from UTC before the jump."""


@dataclass(frozen=True, slots=True)
class LocalDay:
    """One day in one zone. Local seconds count from the local 1970-01-01T00:00."""

    local_midnight: datetime
    """The day's beginning on the clock, with the zone."""
    utc_midnight: datetime
    """The same instant in UTC, if the whole day has one distance from UTC."""
    midnight: int
    """The day's first local second."""
    begin: int
    """The first epoch second at which the day, or a later one, has come."""
    offset: int | None
    """Local seconds less epoch seconds, if the whole day has one such distance."""
    spans: tuple[tuple[int, int, int], ...]
    """Spans of time with one offset: epoch seconds from and before, and the offset."""
    gaps: tuple[Gap, ...]

    def instants(self, local: int) -> list[int]:
        """The epoch seconds at which clocks show this local second: none, one or two."""
        if self.offset is not None:
            return [local - self.offset]
        return [local - offset for start, end, offset in self.spans if start <= local - offset < end]

    def gap(self, local: int) -> Gap | None:
        """The gap that the local second lies in, if it lies in one."""
        return next((gap for gap in self.gaps if gap.first <= local < gap.end), None)


def epoch_second(moment: datetime) -> int:
    """The epoch second of a moment with a zone, without its fraction."""
    return (moment - EPOCH) // SECOND


def moment(second: int) -> datetime:
    """The UTC time of an epoch second."""
    return EPOCH + timedelta(seconds=second)


def utc_text(moment: datetime) -> str:
    """A time with a zone as answers, messages and rows have it: `2026-11-21T06:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_midnight(day: date) -> int:
    """The local second at which the day begins."""
    return (day.toordinal() - EPOCH_ORDINAL) * DAY


@lru_cache(maxsize=DAYS_KEPT)
def local_day(zone: ZoneInfo, day: date) -> LocalDay:
    """What the clocks of the zone show on the day."""
    midnight = local_midnight(day)
    spans = tuple(_spans(zone, midnight - FARTHEST - LOOK_EVERY, midnight + DAY + FARTHEST + LOOK_EVERY))
    begin = min(max(start, midnight - offset) for start, end, offset in spans if end > midnight - offset)
    here = tuple(
        (start, end, offset)
        for start, end, offset in spans
        if start < midnight + DAY - offset and midnight - offset < end
    )
    gaps = tuple(_gaps(spans, midnight, midnight + DAY))
    whole = here[0][2] if len(here) == 1 and not gaps else None
    wall = datetime(day.year, day.month, day.day, tzinfo=zone)
    return LocalDay(wall, moment(midnight - (whole or 0)), midnight, begin, whole, here, gaps)


def _spans(zone: ZoneInfo, first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """The spans with one offset between two epoch seconds, in order."""
    begin, offset = first, _offset(zone, first)
    for look in range(first + LOOK_EVERY, last + LOOK_EVERY, LOOK_EVERY):
        found = _offset(zone, look)
        if found != offset:
            before, past = look - LOOK_EVERY, look
            while past - before > 1:
                middle = (before + past) // 2
                if _offset(zone, middle) == offset:
                    before = middle
                else:
                    past = middle
            yield begin, past, offset
            begin, offset = past, found
    yield begin, last + LOOK_EVERY, offset


def _offset(zone: ZoneInfo, second: int) -> int:
    distance = moment(second).astimezone(zone).utcoffset()
    assert distance is not None
    return distance // SECOND


def _gaps(spans: Iterable[tuple[int, int, int]], first: int, end: int) -> Iterator[Gap]:
    """The gaps between spans that have a local second from `first` on and before `end`."""
    for (_, change, offset), (_, _, following) in pairwise(spans):
        if following > offset and change + offset < end and first < change + following:
            yield Gap(change + offset, change + following, change, offset)
