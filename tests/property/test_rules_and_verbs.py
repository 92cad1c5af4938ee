"""Whole runs in which operators act at any time, against a slow and obvious oracle."""

from __future__ import annotations

from hypothesis import given, settings

from tests.oracles.verbs import Case, cases, check_run


@settings(max_examples=300)
@given(cases())
def test_a_run_ends_as_the_oracle_says_whenever_operators_act(case: Case) -> None:
    check_run(case)
