"""Fixtures of the unit tests."""

from __future__ import annotations

import pytest

from tests.usched import Stage
from universal_scheduler.cli import app, target


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The scheduler that `usched` talks to, over memory."""
    made = Stage()
    monkeypatch.setattr(target, "connect", lambda _: made)
    monkeypatch.setattr(app, "AWS_SECONDS", 0.001)
    return made
