"""Cron expressions with five fields, as crontabs have them: translates them into AWS's form.

https://manpages.debian.org/bookworm/cron/crontab.5.en.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from universal_scheduler.domain.time.cron import EXPRESSIONS_KEPT, MONTHS, WEEK, read_cron
from universal_scheduler.domain.time.expressions import LONGEST, TimeError

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
PART = re.compile(r"(?:(\*)|([0-9]{1,2}|[A-Z]{3})(?:-([0-9]{1,2}|[A-Z]{3}))?)(?:/([0-9]{1,2}))?")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def values(self) -> str:
        names = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.low} to {self.high}{names}"

    def value(self, word: str) -> int:
        if word in self.names:
            return self.names.index(word) + (1 if self.low else 0)
        if not word.isdigit() or not self.low <= int(word) <= self.high:
            raise TimeError(f"{self.name} '{word}': write {self.values}")
        return int(word)


FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day of week", 0, 7, WEEK),
)
"""A week has 0 and 7 for Sunday."""


@lru_cache(maxsize=EXPRESSIONS_KEPT)
def to_aws(text: str) -> tuple[str, ...]:
    """The AWS expressions that together mean what five fields, or a nickname like `@daily`, mean.

    There are two where day of month and day of week are both set: a crontab means either.

    Raises:
        TimeError: it is no such expression, or AWS cannot say what it means.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise TimeError(f"it has {len(text)} characters: write at most {LONGEST}")
    if text.startswith("@"):
        if text.lower() not in NICKNAMES:
            raise TimeError(f"'{text}' names no time: write {', '.join(NICKNAMES)}, or five fields")
        text = NICKNAMES[text.lower()]
    words = text.upper().split()
    if len(words) != len(FIELDS):
        raise TimeError(
            f"it has {len(words)} fields: write five, 0 6 * * 1-5, or AWS's form with a year, cron(0 6 ? * MON-FRI *)"
        )
    for field, word in zip(FIELDS, words, strict=True):
        _check_characters(field, word)
    minute, hour, of_month, month, of_week = (_parts(field, word) for field, word in zip(FIELDS, words, strict=True))
    head, months = f"{_aws(minute)} {_aws(hour)}", _aws(month)
    all_days, all_week = _is_all(of_month), _is_all(of_week)
    if not all_days and not all_week and (words[2].startswith("*") or words[4].startswith("*")):
        raise TimeError(
            f"day of month '{words[2]}' and day of week '{words[4]}': with * at its beginning, cron runs where both "
            "match, which AWS cannot say. Set one of them, or write both without *: then cron runs where either matches"
        )
    by_month = f"cron({head} {_aws(of_month)} {months} ? *)"
    by_week = f"cron({head} ? {months} {_aws_week(of_week)} *)"
    if all_week:
        return (by_month,)
    return (by_week,) if all_days or not _ever_comes(by_month) else (by_month, by_week)


def _ever_comes(expression: str) -> bool:
    """Whether there is such a day of the month at all. AWS need not be asked for 31 September."""
    try:
        read_cron(expression)
    except TimeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Part:
    field: _Field
    low: int
    high: int
    step: int
    star: bool


def _check_characters(field: _Field, word: str) -> None:
    if "?" in word:
        raise TimeError(f"? is not of the five-field form: write cron(…), or * in {field.name}")
    if field.name in ("day of month", "day of week") and re.search(r"#|[0-9]L|^L|[0-9]W|^W$|~", word):
        raise TimeError(f"{field.name} '{word}': L, W and # are not of the five-field form: write cron(…)")


def _parts(field: _Field, word: str) -> list[_Part]:
    return [_part(field, part) for part in word.split(",")]


def _part(field: _Field, part: str) -> _Part:
    found = PART.fullmatch(part)
    if found is None:
        raise TimeError(f"{field.name} '{part}': write {field.values}, lists and ranges of them, *, or */2")
    star, low_word, high_word, step_word = found.groups()
    if step_word and not star and not high_word:
        raise TimeError(
            f"{field.name} '{part}': a step follows * or a range: write {low_word}-{field.high}/{step_word}"
        )
    step = int(step_word) if step_word else 1
    if not 1 <= step <= field.high:
        raise TimeError(f"{field.name} '{part}': a step is 1 to {field.high}")
    if star:
        return _Part(field, field.low, 6 if field.names is WEEK else field.high, step, True)
    low = field.value(low_word)
    high = field.value(high_word) if high_word else low
    if high < low:
        raise TimeError(f"{field.name} '{part}': the range runs backwards. Write a list of two ranges")
    return _Part(field, low, high, step, False)


def _is_all(parts: Sequence[_Part]) -> bool:
    return any(part.star and part.step == 1 for part in parts)


def _aws(parts: Sequence[_Part]) -> str:
    if _is_all(parts):
        return "*"
    return ",".join(_aws_part(part) for part in parts)


def _aws_part(part: _Part) -> str:
    step = f"/{part.step}" if part.step > 1 else ""
    if part.star:
        return f"{part.low}{step}"
    return f"{part.low}{step}" if part.low == part.high else f"{part.low}-{part.high}{step}"


def _aws_week(parts: Sequence[_Part]) -> str:
    """AWS counts from 1 for Sunday to 7, has no steps there, and no range over the week's end is needed."""
    if _is_all(parts):
        return "*"
    return ",".join(_aws_week_part(part) for part in parts)


def _aws_week_part(part: _Part) -> str:
    if part.low == part.high:
        return WEEK[part.low % 7]
    days = [day % 7 + 1 for day in range(part.low, part.high + 1, part.step)]
    if part.step == 1 and part.high < 7:
        return f"{days[0]}-{days[-1]}"
    return ",".join(str(day) for day in dict.fromkeys(days))
