"""Fixtures of the property tests."""

from tests.usched import stage

__all__ = ["stage"]
