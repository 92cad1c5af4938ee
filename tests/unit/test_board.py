"""A board plans what the planner plans, whatever has changed since. USCHED_BOARD_STEPS makes more steps."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace

import pytest

from universal_scheduler.domain.runs.board import Board
from universal_scheduler.domain.runs.model import Dependency, Job, JobRun, JobStatus, Mark, RunWhen, Verb
from universal_scheduler.domain.runs.planner import Wait, plan

STEPS = int(os.environ.get("USCHED_BOARD_STEPS", "4000"))
RUNS = 20
"""Each has its share of the steps."""


def dependency(chance: random.Random, name: str) -> Dependency:
    match chance.randrange(8):
        case 0:
            return Dependency(name, status=chance.choice([JobStatus.FAILED, JobStatus.SUCCEEDED]))
        case 1:
            return Dependency(name, exit_codes=(0, 3))
        case 2:
            return Dependency(name, output=(("n", "1"),))
        case _:
            return Dependency(name)


def job(chance: random.Random, number: int, upstream: list[str], *, final: bool) -> Job:
    dependencies = tuple(dependency(chance, name) for name in upstream)
    reads = [each.job for each in dependencies if each.output or chance.random() < 0.1]
    return Job(
        f"j{number}",
        "q",
        "d",
        dependencies,
        run_when=RunWhen.ALL_SUCCESS if final else chance.choice([*RunWhen, RunWhen.ALL_SUCCESS, RunWhen.ALL_SUCCESS]),
        optional=chance.random() < 0.2,
        hold=chance.random() < 0.1,
        not_before=chance.choice([0.0, 0.0, 0.0, 500.0]),
        for_each_s3="s3://b/k" if chance.random() < 0.05 else "",
        outputs_of=tuple(dict.fromkeys(reads)),
        final=final,
    )


def changed(chance: random.Random, before: JobRun, jobs: dict[str, JobRun], now: float) -> JobRun:
    """The job in any state that it can be in, whether one leads to the other or not."""
    status = chance.choice(list(JobStatus))
    mark = Mark(chance.choice([Verb.HOLD, Verb.RELEASE, Verb.SKIP, Verb.FORCE_OK, Verb.CANCEL]), "ann", now)
    behind = {name: jobs[name].attempt - chance.randrange(2) for name in before.job.depends_on if chance.random() < 0.4}
    output = chance.choice([None, None, {"n": 1}, {"n": 2}]) if status is JobStatus.SUCCEEDED else None
    return replace(
        before,
        status=status,
        attempt=before.attempt + chance.randrange(2),
        job_id=chance.choice(["", "id"]),
        intent_at=now - chance.randrange(100) if status is JobStatus.SUBMITTING else chance.choice([0.0, 1.0]),
        submitted_at=now if status.live else 0.0,
        started_at=chance.choice([0.0, now]),
        exit_code=chance.choice([None, 0, 1, 3]),
        not_taken=status is JobStatus.SKIPPED and chance.random() < 0.5,
        mark=mark if chance.random() < 0.15 else None,
        move_to="other" if chance.random() < 0.05 else "",
        behind=behind if status.live or status is JobStatus.FAILED else {},
        output=output,
        output_problem="none" if status is JobStatus.SUCCEEDED and output is None and chance.random() < 0.2 else "",
    )


@pytest.mark.parametrize("seed", range(RUNS))
def test_a_board_plans_what_the_planner_plans(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(max(1, STEPS // RUNS // 40)):
        count = chance.choice([1, 3, 8, 20])
        final = chance.random() < 0.1
        specs: list[Job] = []
        for number in range(count):
            last = final and number >= count - 2
            others = [spec.name for spec in specs if not last or spec.final]
            specs.append(job(chance, number, chance.sample(others, min(len(others), chance.randrange(4))), final=last))
        chance.shuffle(specs)
        jobs = {spec.name: JobRun(spec, position) for position, spec in enumerate(specs)}
        board, now = Board(jobs.values()), 100.0
        limit = chance.choice([None, None, None, 2])
        for _ in range(40):
            cancel = Mark(Verb.CANCEL, "ann", now) if chance.random() < 0.02 else None
            planned, whole = board.plan(now, limit, cancel), plan(list(jobs.values()), now, limit, cancel)
            assert planned.work == whole.work
            assert planned.outcome == whole.outcome
            assert planned.due == whole.due
            if not whole.work:
                assert planned.ends_needed == whole.ends_needed
            for name in chance.sample(list(jobs), min(count, chance.choice([0, 1, 1, 2, 5]))):
                jobs[name] = changed(chance, jobs[name], jobs, now)
                board.update([jobs[name]])
            now += chance.choice([0, 1, 30, 200])


def test_what_waits_is_left_out() -> None:
    board = Board([JobRun(Job("a", "q", "d")), JobRun(Job("b", "q", "d", (Dependency("a"),), RunWhen.ALL_DONE), 1)])
    assert [action.name for action in board.plan(0.0).actions] == ["a"]
    assert not any(isinstance(action, Wait) for action in board.plan(0.0).actions)


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
