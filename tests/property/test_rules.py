"""Whole runs with every rule against a slow and obvious oracle."""

from __future__ import annotations

from hypothesis import given, settings

from tests.oracles.rules import Case, cases, check_run


@settings(max_examples=400)
@given(cases())
def test_a_run_ends_as_the_oracle_says_in_whatever_order_jobs_end(case: Case) -> None:
    check_run(case)
