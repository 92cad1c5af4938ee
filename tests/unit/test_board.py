"""A board plans what the planner plans, whatever has changed since."""

from __future__ import annotations

import pytest

from tests.oracles.boards import check_boards
from universal_scheduler.domain.runs.board import Board
from universal_scheduler.domain.runs.model import Dependency, Job, JobRun, RunWhen
from universal_scheduler.domain.runs.planner import Wait


@pytest.mark.parametrize("seed", range(5))
def test_a_board_plans_what_the_planner_plans(seed: int) -> None:
    check_boards(seed, steps=40)


def test_what_waits_is_left_out() -> None:
    board = Board([JobRun(Job("a", "q", "d")), JobRun(Job("b", "q", "d", (Dependency("a"),), RunWhen.ALL_DONE), 1)])
    assert [action.name for action in board.plan(0.0).actions] == ["a"]
    assert not any(isinstance(action, Wait) for action in board.plan(0.0).actions)
