"""Random cron expressions against croniter, which knows nothing of this project, in UTC."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import pytest
from croniter import CroniterBadDateError, croniter

from universal_scheduler.domain.time.starts import coming
from universal_scheduler.domain.time.triggers import TimeError, TimeTrigger, read_expression
from universal_scheduler.domain.time.zones import time_zone

EXPRESSIONS, FIRES = 1000, 20
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def numbers(chance: random.Random, low: int, high: int) -> str:
    """One field in the form that AWS, crontabs and croniter share: values, ranges and steps of ranges."""
    match chance.randrange(5):
        case 0:
            return "*"
        case 1:
            return f"*/{chance.randint(2, 7)}" if high > 7 else "*"
        case 2:
            first, last = sorted(chance.sample(range(low, high + 1), 2))
            return f"{first}-{last}" + (f"/{chance.randint(2, 4)}" if chance.random() < 0.4 else "")
        case 3:
            return ",".join(map(str, sorted(chance.sample(range(low, high + 1), chance.randint(2, 4)))))
    return str(chance.randint(low, high))


def week(chance: random.Random) -> tuple[str, str]:
    """A field of days of the week, as AWS counts them from 1 for Sunday, and as crontabs count them from 0."""
    days = sorted(chance.sample(range(7), chance.randint(1, 4)))
    if chance.random() < 0.3:
        return ",".join(WEEK[day] for day in days), ",".join(WEEK[day] for day in days)
    if chance.random() < 0.4 and len(days) > 1:
        first, last = days[0], days[-1]
        return f"{first + 1}-{last + 1}", f"{first}-{last}"
    return ",".join(str(day + 1) for day in days), ",".join(map(str, days))


def random_pair(chance: random.Random) -> tuple[str, str]:
    """The same times for the scheduler and for croniter."""
    minute, hour, month = numbers(chance, 0, 59), numbers(chance, 0, 23), numbers(chance, 1, 12)
    year = chance.choice(["*", "*", "*", "2027", "2028-2031", "2026/3"])
    day = chance.randrange(7)
    match chance.randrange(10):
        case 0:
            of_month, theirs = "L", "l *"
        case 1:
            number = chance.randint(1, 28)
            of_month, theirs = f"{number}W", f"{number}W *"
        case 2:
            return _aws(minute, hour, "?", month, f"{day + 1}L", year), _theirs(minute, hour, month, f"* L{day}", year)
        case 3:
            nth = chance.randint(1, 5)
            return (
                _aws(minute, hour, "?", month, f"{WEEK[day]}#{nth}", year),
                _theirs(minute, hour, month, f"* {day}#{nth}", year),
            )
        case 4 | 5:
            ours, others = week(chance)
            return _aws(minute, hour, "?", month, ours, year), _theirs(minute, hour, month, f"* {others}", year)
        case 6 | 7:
            of_month, of_week = numbers(chance, 1, 31), week(chance)[1]
            text = f"{minute} {hour} {of_month} {month} {of_week}"
            return text, text
        case _:
            of_month = numbers(chance, 1, 31)
            theirs = f"{of_month} *"
    return _aws(minute, hour, of_month, month, "?", year), _theirs(minute, hour, month, theirs, year)


def _aws(minute: str, hour: str, of_month: str, month: str, of_week: str, year: str) -> str:
    return f"cron({minute} {hour} {of_month} {month} {of_week} {year})"


def _theirs(minute: str, hour: str, month: str, days: str, year: str) -> str:
    of_month, of_week = days.split()
    return f"{minute} {hour} {of_month} {month} {of_week} 0 {year}"


def by_croniter(text: str) -> list[datetime]:
    """The first starts after the end of 2025. croniter's years end with 2099."""

    def fires() -> Iterator[datetime]:
        times = croniter(text, datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), max_years_between_matches=80)
        while True:
            try:
                yield times.get_next(datetime)
            except CroniterBadDateError:
                return

    return list(islice(fires(), FIRES))


def by_us(text: str) -> list[datetime]:
    trigger = TimeTrigger(0, read_expression(text), time_zone("UTC"))
    return [start.at for start in islice(coming([trigger], datetime(2025, 12, 31, 23, 59, tzinfo=UTC)), FIRES)]


@pytest.mark.parametrize("part", range(4))
def test_croniter_says_the_same(part: int) -> None:
    chance, disagreements, compared = random.Random(part), list[str](), 0
    while compared < EXPRESSIONS // 4:
        ours, theirs = random_pair(chance)
        expected = by_croniter(theirs)
        try:
            found = by_us(ours)
        except TimeError as error:
            if expected and "both match" not in str(error):
                disagreements.append(f"{ours}: {error}; croniter: {expected[0]}")
            continue
        compared += 1
        if found != expected:
            differ = [f"{us}, croniter {it}" for us, it in zip(found, expected, strict=False) if us != it]
            disagreements.append(f"{ours} | {theirs}: {[*differ, f'{len(found)} starts, croniter {len(expected)}'][0]}")
    assert not disagreements, "\n".join(disagreements)


@pytest.mark.parametrize(
    ("ours", "theirs", "why_ours"),
    [
        ("0 0 * * 1-1", "0 0 * * 1-1", "crontab(5): a range is inclusive, so this is Monday; croniter takes every day"),
        (
            "cron(0 0 31W 4 ? *)",
            "0 0 31W 4 *",
            "as Quartz: April has no 31, and AWS is silent; croniter takes the 30th",
        ),
        (
            "0 0 */2 * 1",
            "0 0 */2 * 1",
            "crontab(5): a field with * does not count as restricted; croniter takes either",
        ),
    ],
)
def test_where_croniter_is_of_another_opinion(ours: str, theirs: str, why_ours: str) -> None:
    assert why_ours
    try:
        found = by_us(ours)
    except TimeError:
        found = []
    assert found != by_croniter(theirs)
