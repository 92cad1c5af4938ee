"""What holds for every test: the settings of whoever runs the tests change nothing."""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.oracles")

# How long inputs take to make says how busy the machine is, and nothing of the code.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

SETTINGS = (
    "USCHED_LOCAL",
    "USCHED_STACK",
    "USCHED_STATE_DIR",
    "USCHED_USER",
    "STATE_MACHINE_ARN",
    "NO_COLOR",
    "COLUMNS",  # of the terminal; pytest-xdist sets it for its workers too
)


@pytest.fixture(autouse=True)
def _no_settings_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


def pytest_collection_finish() -> None:
    """What was loaded until now stays: a collection of garbage need not look at it each time."""
    gc.collect()
    gc.freeze()
