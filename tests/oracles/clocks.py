"""When a trigger starts, by watching the clock minute by minute: slow, and without any of the scheduler's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

MINUTE = timedelta(minutes=1)
SAVING = timedelta(hours=3)


@dataclass(frozen=True, eq=False)
class Fields:
    """A cron expression as sets of values. `days` says whether it names a day."""

    text: str
    minutes: Set[int]
    hours: Set[int]
    days: Callable[[date], bool]
    wild: bool

    def names(self, shown: datetime) -> bool:
        return shown.minute in self.minutes and shown.hour in self.hours and self.days(shown.date())


@dataclass(frozen=True, eq=False)
class Watched:
    """What a clock shows at each minute, and the minutes that it has just jumped over."""

    shown: Mapping[tuple[int, int], Sequence[tuple[datetime, datetime]]]
    """By hour and minute on the clock: the UTC times, each with all that the clock shows."""
    jumped: Sequence[tuple[datetime, list[datetime]]]
    again: Set[datetime]
    """The UTC minutes at which the clock shows what it has shown before."""


def watch(zone: tzinfo, first: datetime, before: datetime) -> Watched:
    """Look at the clock every minute."""
    shown: dict[tuple[int, int], list[tuple[datetime, datetime]]] = {}
    jumped: list[tuple[datetime, list[datetime]]] = []
    again: set[datetime] = set()
    moment = first
    expected = latest = first.astimezone(zone).replace(tzinfo=None, fold=0)
    while moment < before:
        wall = moment.astimezone(zone).replace(tzinfo=None, fold=0)
        if wall > expected and wall > latest:
            jumped.append((moment, [expected + MINUTE * each for each in range((wall - expected) // MINUTE)]))
        if wall < latest:
            again.add(moment)
        else:
            latest = wall + MINUTE
        shown.setdefault((wall.hour, wall.minute), []).append((moment, wall))
        moment += MINUTE
        expected = wall + MINUTE
    return Watched(shown, jumped, again)


def aws(watched: Watched, fields: Fields) -> list[datetime]:
    return [at for at, wall in _matching(watched, fields) if at not in watched.again]


def both(watched: Watched, fields: Fields) -> list[datetime]:
    return [at for at, _ in _matching(watched, fields)]


def debian(watched: Watched, fields: Fields) -> list[datetime]:
    """Changes of clocks are of less than three hours here."""
    if fields.wild:
        return both(watched, fields)
    caught_up = {at for at, walls in watched.jumped if any(map(fields.names, walls)) and len(walls) * MINUTE < SAVING}
    return sorted(caught_up.union(aws(watched, fields)))


@lru_cache(maxsize=1)
def _matching(watched: Watched, fields: Fields) -> list[tuple[datetime, datetime]]:
    named: dict[date, bool] = {}
    found = []
    for hour in fields.hours:
        for minute in fields.minutes:
            for at, wall in watched.shown.get((hour, minute), ()):
                day = wall.date()
                if day not in named:
                    named[day] = fields.days(day)
                if named[day]:
                    found.append((at, wall))
    return sorted(found)


def _last(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1


EVERY_MINUTE, EVERY_HOUR = frozenset(range(60)), frozenset(range(24))
EXPRESSIONS = [
    Fields("cron(0 0 * * ? *)", {0}, {0}, lambda _: True, False),
    Fields("cron(30 1,2 * * ? *)", {30}, {1, 2}, lambda _: True, False),
    Fields("cron(15,45 0-3,22-23 * * ? *)", {15, 45}, {0, 1, 2, 3, 22, 23}, lambda _: True, False),
    Fields("cron(0/20 * * * ? *)", {0, 20, 40}, EVERY_HOUR, lambda _: True, True),
    Fields("cron(7 * ? * SUN *)", {7}, EVERY_HOUR, lambda day: day.weekday() == 6, True),
    Fields("cron(* 2 L * ? *)", EVERY_MINUTE, {2}, _last, True),
    Fields(
        "cron(30 2 ? 3,4,10,11 1L *)",
        {30},
        {2},
        lambda day: day.month in (3, 4, 10, 11) and day.weekday() == 6 and (day + timedelta(days=7)).month != day.month,
        False,
    ),
    Fields("cron(59 23 ? * 2#2 *)", {59}, {23}, lambda day: day.weekday() == 0 and 8 <= day.day <= 14, False),
]


def oracle(rule: str) -> Callable[[Watched, Fields], list[datetime]]:
    return {"aws": aws, "both": both, "cron": debian}[rule]


def utc(year: int, month: int = 1, day: int = 1) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)
