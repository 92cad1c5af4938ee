"""The public holidays of countries and the holidays of financial markets, from the package `holidays`.

The package is imported where it is first used: that takes 0.1 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holidays import HolidayBase

FIRST_YEAR, LAST_YEAR = 2002, 2034
"""The years that are known of every country. A later law is known to nobody, and of a year before 2001 or after 2035
the package would leave out the Hindu holidays without a word."""
SURVEYED = 2026
"""The year in which the pinned version of the package was made: it has what was decided by decree for this year."""


@cache
def holiday_codes() -> tuple[str, ...]:
    """Every code: of countries (US), of their subdivisions (US-CA), and of financial markets (ECB)."""
    subdivisions, markets = _known()
    parts = (f"{country}-{part}" for country, its_parts in subdivisions.items() for part in its_parts)
    return tuple(sorted((*subdivisions, *parts, *markets)))


@cache
def public_holidays(code: str) -> Holidays:
    """The holidays with this code.

    Raises:
        ValueError: there is no such country, subdivision or market.
    """
    country, _, subdivision = code.partition("-")
    subdivisions, markets = _known()
    if country not in subdivisions and code not in markets:
        raise ValueError(f"'{code}' is no country or financial market whose holidays are known")
    if code != country and subdivision not in subdivisions.get(country, ()):
        raise ValueError(f"'{code}' is no subdivision of {country} whose holidays are known")
    made = _made(code)
    last = min(made.end_year, LAST_YEAR, _last_decree(made))
    return Holidays(code, date(max(made.start_year, FIRST_YEAR), 1, 1), date(last, 12, 31))


@dataclass(frozen=True, slots=True)
class Holidays:
    """The holidays of one country, subdivision or market, from its first known day to its horizon."""

    code: str
    first: date
    horizon: date
    """The last day that is known."""

    def holiday(self, day: date) -> str:
        """The names of the holidays on this day, in English where the package has them; empty if there is none."""
        return _year(self.code, day.year).names.get(day, "")

    def is_weekend(self, day: date) -> bool:
        """Whether this is a day of the weekend there, and no decree makes it a working day."""
        year = _year(self.code, day.year)
        return day not in year.worked and year.made.is_weekend(day)

    def works_weekend(self, day: date) -> bool:
        """Whether a decree makes this day of a weekend a working day."""
        return day in _year(self.code, day.year).worked


@dataclass(frozen=True, slots=True)
class _Year:
    made: HolidayBase
    names: Mapping[date, str]
    worked: Set[date]


@lru_cache(maxsize=1000)
def _year(code: str, year: int) -> _Year:
    """One year. A holiday may be observed in the year before, and a decree may move a day of the year after."""
    made = _made(code, [each for each in (year - 1, year, year + 1) if each <= LAST_YEAR + 1])
    return _Year(made, dict(made), frozenset(made.weekend_workdays))


def _made(code: str, years: list[int] | None = None) -> HolidayBase:
    import holidays

    country, _, subdivision = code.partition("-")
    entity: Any = getattr(holidays, country)
    known = entity.supported_languages
    # Without a language, the environment of the process would decide.
    language = next((each for each in ("en_US", "en_GB", *known) if each in known and each[:2] == "en"), None)
    made: HolidayBase = entity(
        years=years, expand=False, subdiv=subdivision or None, language=language or entity.default_language
    )
    return made


@cache
def _known() -> tuple[Mapping[str, list[str]], Set[str]]:
    """The countries with their subdivisions, and the markets."""
    import holidays

    countries = holidays.list_supported_countries(include_aliases=False)
    return countries, holidays.list_supported_financial().keys()


def _last_decree(made: HolidayBase) -> int:
    """The last year whose working days are known, where each year's decree moves some to a weekend: China, Hungary.

    `LAST_YEAR` where there are no such decrees, or none any more.
    """
    moved = 0
    for name in dir(made):
        years = getattr(made, name) if name.startswith("special_") else None
        if isinstance(years, dict):
            moved = max([moved, *(year for year, days in years.items() if _has_move(days))])
    return max(moved, SURVEYED) if moved >= SURVEYED - 1 else LAST_YEAR


def _has_move(days: tuple[Any, ...]) -> bool:
    """Whether one of these entries is `(month, day, of month, of day)`; a holiday is `(month, day, name)`."""
    entries = days if days and isinstance(days[0], tuple) else (days,)
    return any(len(entry) > 3 for entry in entries)
