"""Reads durations and dates as documents write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
SHORT = re.compile(r"(\d+)([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration_seconds(value: float | str) -> float:
    """The seconds of a duration: a number of seconds; a number with a unit (`90s`, `30m`, `6h`, `2d`); or ISO 8601 with
    days, hours, minutes and seconds (`PT1H30M`).

    Raises:
        ValueError: it is none of these.
    """
    if not isinstance(value, str):
        return float(value)
    text = value.rstrip("\n")  # which the schema's `$` lets by
    if short := SHORT.fullmatch(text):
        return timedelta(**{UNITS[short[2]]: int(short[1])}).total_seconds()
    found = DURATION.fullmatch(text)
    if found is None or not any(found.groups()):
        raise ValueError(f"'{value}' is no duration")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()


def epoch_seconds(text: str) -> float:
    """The epoch seconds of an ISO 8601 date and time with a zone.

    Raises:
        ValueError: the text is something else, or its year in UTC is not between 1 and 9999.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    try:
        return moment.astimezone(UTC).timestamp()
    except OverflowError:
        raise ValueError(f"{text} is in no year from 1 to 9999 in UTC") from None
