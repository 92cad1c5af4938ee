"""What a run costs in state transitions, however long its jobs take."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.asl.walk import Walk
from tests.unit.test_drive import DIAMOND, document

FAN: dict[str, tuple[str, ...]] = {"first": ()} | {f"part{n}": ("first",) for n in range(100)}
FAN |= {"last": tuple(f"part{n}" for n in range(100))}
TEN_MINUTES = 600.0


def stored(walk: Walk, row: dict[str, Any]) -> dict[str, Any]:
    """The message that starts a stored schedule."""
    walk.store.put_schedule(row)
    return {"scheduleId": row["scheduleId"]}


@pytest.mark.parametrize("seconds", [1.0, TEN_MINUTES])
@pytest.mark.parametrize("jobs", [DIAMOND, FAN], ids=["diamond", "fan"])
def test_a_run_costs_few_transitions_however_long_its_jobs_take(jobs: Any, seconds: float) -> None:
    walk = Walk(seconds)
    assert walk.run(stored(walk, document(jobs, wait_time=60))) == "Schedule Succeeded"
    assert walk.transitions <= 15
    assert walk.largest_payload < 2048
    assert len(walk.platform.jobs) == len(jobs)


def test_a_week_costs_one_look_an_hour() -> None:
    walk = Walk(7 * 86_400.0)
    assert walk.run(document({"a": ()}, wait_time=60)) == "Schedule Succeeded"
    assert walk.entered.count("Get Job Status") < 7 * 24 + 5


def test_without_events_a_run_looks_as_often_as_its_document_says() -> None:
    walk = Walk(TEN_MINUTES, events=False)
    assert walk.run(document({"a": ()}, wait_time=60)) == "Schedule Succeeded"
    assert 9 <= walk.entered.count("Get Job Status") <= 11


def test_a_history_rolls_over_as_often_as_it_must() -> None:
    walk = Walk(TEN_MINUTES, max_turns=1)
    chain = {f"j{n}": (f"j{n - 1}",) if n else () for n in range(10)}
    assert walk.run(document(chain, maxConcurrentJobs=1)) == "Schedule Succeeded"
    assert walk.executions >= 10
    assert len(walk.store.history) == 1
    assert max(Counter(entry.name for entry in walk.platform.jobs.values()).values()) == 1
    [row] = walk.store.history.values()
    assert (row["scheduleStatus"], row["executionName"], row["generation"]) == (
        "SUCCEEDED",
        "execution-1",
        walk.executions,
    )
