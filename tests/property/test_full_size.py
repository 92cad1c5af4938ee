"""What unit tests try with a few, at the size that users may have: nothing recurses, and nothing takes minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.local_batch import World
from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.storable import MAX_ERRORS
from universal_scheduler.domain.runs.model import JobStatus
from universal_scheduler.local.simulation import simulate


def job(name: str, *after: str) -> dict[str, Any]:
    return {"jobName": name, "jobQueue": "q", "jobDefinition": "d", "jobDependencies": list(after)}


def row(*jobs: dict[str, Any]) -> dict[str, Any]:
    return {"scheduleId": "s", "jobList": list(jobs)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("exit_codes", [{"j0": 1}, {}])
def test_a_chain_of_as_many_jobs_as_a_schedule_may_have(exit_codes: dict[str, int]) -> None:
    jobs = [job(f"j{index}", *([f"j{index - 1}"] if index else [])) for index in range(10_000)]
    last = simulate(row(*jobs), exit_codes=exit_codes).jobs[-1]
    if exit_codes:
        assert (last.status, last.reason) == (
            JobStatus.UPSTREAM_FAILED,
            "did not run: upstream j9998 (UPSTREAM_FAILED)",
        )
    else:
        assert (last.status, last.stopped_at) == (JobStatus.SUCCEEDED, 600_000)


def test_10_000_wrong_jobs_are_told_by_the_first_50_errors() -> None:
    errors = find_errors(row(*(job(f"load-table-{n:05d}", f"load-tabel-{n:05d}") for n in range(10_000))))
    assert len(errors) == MAX_ERRORS
    assert errors[0].found == "'load-tabel-00000' (did you mean 'load-table-00000'?)"
    assert len(find_errors(row(*[{"jobNam": "x"}] * 10_000))) == MAX_ERRORS
    assert str(find_errors(row(*[{}] * 100_000))[0]) == "$.jobList: found 100,000 entries, expected at most 10,000"


def test_a_chain_of_ten_thousand_children_fails_without_recursion(world: World) -> None:
    array = world.submit(arrayProperties={"size": 10_000}, dependsOn=[{"type": "SEQUENTIAL"}])
    world.exit(f"{array}:0", 1)
    assert world.job(array)["arrayProperties"]["statusSummary"]["FAILED"] == 10_000
    assert world.status(array) == "FAILED"


def test_two_thousand_children_wait_for_two_thousand(world: World) -> None:
    first = world.submit(arrayProperties={"size": 2_000})
    second = world.submit(arrayProperties={"size": 2_000}, dependsOn=[{"jobId": first, "type": "N_TO_N"}])
    while world.runner.commands:
        for key in list(world.runner.commands):
            world.exit(key.rpartition("/")[0])
    assert world.status(first, second) == ["SUCCEEDED", "SUCCEEDED"]
