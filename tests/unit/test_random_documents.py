"""A few random documents at every door; the property tests throw many."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.doors import Doors, doors
from tests.oracles.documents import (
    check_documents,
    check_routes,
    check_rows,
    check_start_messages,
    nearly_a_schedule,
    value,
)
from tests.usched import Stage

__all__ = ["doors"]
SEEDS = [pytest.param(seed, id=f"seed-{seed}") for seed in range(1)]
EACH = 6
"""Documents of a seed."""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("made", [value, nearly_a_schedule], ids=["anything", "nearly-a-schedule"])
def test_what_is_thrown_at_the_doors_gets_one_verdict(
    doors: Doors, made: Callable[[random.Random], Any], seed: int
) -> None:
    check_documents(doors, made, seed, EACH)


@pytest.mark.parametrize("seed", SEEDS)
def test_start_messages_are_refused_with_a_path_or_start(doors: Doors, stage: Stage, seed: int) -> None:
    check_start_messages(doors, stage, seed, EACH)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_row_of_any_attributes_fails_no_function(doors: Doors, seed: int) -> None:
    check_rows(doors, seed, EACH)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_other_route_fails(doors: Doors, seed: int) -> None:
    check_routes(doors, seed, EACH)
