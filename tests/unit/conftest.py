"""Fixtures of the unit tests."""

from tests.usched import stage

__all__ = ["stage"]
