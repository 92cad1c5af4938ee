"""What the quick look at a value is sure of conforms to the schema."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.oracles.conforms import check_changed_schedules, check_tree, trees


@settings(max_examples=1000)
@given(trees())
def test_what_it_is_sure_of_conforms(value: Any) -> None:
    check_tree(value)


@pytest.mark.parametrize("seed", range(20))
def test_no_row_is_taken_that_the_schema_refuses(seed: int) -> None:
    check_changed_schedules(seed, 50)
