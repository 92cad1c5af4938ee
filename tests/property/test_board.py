"""A board plans what the planner plans, at a cost that follows the changes. USCHED_BOARD_STEPS makes more steps."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from tests.oracles.boards import check_boards
from universal_scheduler.domain.runs.board import Board
from universal_scheduler.domain.runs.model import Dependency, Job, JobRun, JobStatus, RunWhen

STEPS = int(os.environ.get("USCHED_BOARD_STEPS", "4000"))
RUNS = 20
"""Each has its share of the steps."""


@pytest.mark.parametrize("seed", range(RUNS))
def test_a_board_plans_what_the_planner_plans(seed: int) -> None:
    check_boards(seed, STEPS // RUNS)


def test_a_plan_costs_what_has_changed_and_not_how_many_jobs_there_are() -> None:
    """As a ratio in one process: ten times the jobs, the same change."""

    def cost(layers: int) -> float:
        jobs = [
            JobRun(Job(f"{layer}-{place}", "q", "d", up(layer, place), RunWhen.ALL_DONE))
            for layer in range(layers)
            for place in range(10)
        ]
        board = Board(jobs)
        board.plan(0.0)
        board.update([replace(job, status=JobStatus.SUBMITTED) for job in jobs[:10]])
        times = []
        for round_ in range(20):
            board.update([replace(jobs[0], status=JobStatus.SUBMITTED, reason=str(round_))])
            began = time.process_time()
            board.plan(0.0)
            times.append(time.process_time() - began)
        return sorted(times)[5]

    def up(layer: int, place: int) -> tuple[Dependency, ...]:
        return tuple(Dependency(f"{layer - 1}-{(place + far) % 10}") for far in range(3)) if layer else ()

    assert cost(1000) < 10 * cost(20), "fifty times the jobs"
