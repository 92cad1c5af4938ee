"""The coming starts against somebody who watches the clock, and what is true of all of them."""

from __future__ import annotations

import itertools
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.clocks import EXPRESSIONS, oracle, utc, watch
from universal_scheduler.domain.time.starts import between, coming
from universal_scheduler.domain.time.triggers import OnDst, TimeError, TimeTrigger, read_expression, read_triggers
from universal_scheduler.domain.time.zones import time_zone

ZONES = [
    ("America/New_York", 2025),
    ("Europe/London", 2025),
    ("Europe/Dublin", 2025),
    ("Australia/Lord_Howe", 2025),
    ("Antarctica/Troll", 2025),
    ("Africa/Casablanca", 2024),
    ("Asia/Gaza", 2025),
    ("America/Nuuk", 2023),
    ("America/Sao_Paulo", 2017),
    ("America/St_Johns", 2005),
    ("Asia/Kathmandu", 2025),
    ("Pacific/Apia", 2010),
]
YEARS = 3


@pytest.mark.parametrize(("name", "year"), ZONES)
def test_starts_are_what_somebody_sees_who_watches_the_clock(name: str, year: int) -> None:
    zone = time_zone(name)
    watched = watch(zone, utc(year), utc(year + YEARS))
    for fields in EXPRESSIONS:
        for rule in OnDst:
            trigger = TimeTrigger(0, read_expression(fields.text), zone, on_dst=rule)
            starts = between([trigger], utc(year), utc(year + YEARS))
            found = [start.at for start in starts if not start.left_out]
            assert found == oracle(rule)(watched, fields), (fields.text, rule)


CALENDAR = {"weekend": ["SAT", "SUN"], "off": ["2026-12-24", "2026-12-25", "2026-12-31", "2027-01-01", "2027-03-29"]}
TRIGGERS = st.fixed_dictionaries(
    {
        "cron": st.sampled_from(
            ["0 9 * * *", "30 2 * * *", "*/20 * * * *", "0,30 0-3 28-31 * *", "cron(15 23 LW * ? *)", "0 9 25 12 *"]
        ),
        "timezone": st.sampled_from([name for name, _ in ZONES]),
        "onDst": st.sampled_from(list(OnDst)),
    }
) | st.fixed_dictionaries(
    {
        "cron": st.sampled_from(["0 9 * * *", "30 2 * * SUN", "0 9,17 20-31 * *", "0 0 1 * *"]),
        "timezone": st.sampled_from([name for name, _ in ZONES]),
        "calendar": st.just(CALENDAR),
        "roll": st.sampled_from(["skip", "next", "previous"]),
    }
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(TRIGGERS, min_size=1, max_size=3), st.integers(0, 150 * 1440), st.integers(1, 20 * 1440), st.randoms())
def test_a_span_of_time_has_the_starts_of_its_parts(
    given_triggers: list[dict[str, Any]], first: int, length: int, chance: random.Random
) -> None:
    """So it does not matter how often anybody asks, nor when."""
    triggers = read_triggers(given_triggers, "", {})
    begin = datetime(2026, 10, 20, tzinfo=UTC) + timedelta(minutes=first)
    end = begin + timedelta(minutes=length)
    cuts = sorted({begin, end, *(begin + (end - begin) * chance.random() for _ in range(4))})
    whole = list(coming(triggers, begin, end))
    parts = [start for low, high in itertools.pairwise(cuts) for start in coming(triggers, low, high)]
    assert whole == parts
    started = [start.at for start in whole if not start.left_out]
    assert started == sorted(set(started))
    assert all(begin < start.at <= end for start in whole)
    assert all(start.local.astimezone(UTC) == start.at for start in whole)


WORDS = [
    "0",
    "5",
    "31",
    "60",
    "*",
    "?",
    "L",
    "W",
    "#",
    "/",
    "-",
    ",",
    "MON",
    "cron(",
    "rate(",
    "at(",
    ")",
    "minutes",
    "@",
]


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from(WORDS)).map(" ".join)
    | st.lists(st.text("0123*?LW#/,-", min_size=1, max_size=3), min_size=5, max_size=6).map(" ".join)
)
def test_a_text_is_an_expression_or_is_told_to_be_none(text: str) -> None:
    for written in (text, f"cron({text})", f"rate({text})", f"at({text})"):
        with suppress(TimeError):
            trigger = TimeTrigger(0, read_expression(written), time_zone("Europe/Zurich"), start=utc(2026))
            list(between([trigger], utc(2026), utc(2026, 1, 3)))
