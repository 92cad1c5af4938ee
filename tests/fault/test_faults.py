"""Runs with a fault at every call to a port, in turn and at random: the outcome is always the same."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from typing import Any

import pytest

from tests.fault.world import Faults, World
from universal_scheduler.domain.runs.model import RunStatus

KINDS = ("crash before", "crash after", "throttle", "lost answer")
SEEDS = int(os.environ.get("USCHED_FAULT_SEEDS", "60"))
"""How many random runs: `make fault` has thousands of each kind."""
EXIT_CODES = {"transform": 3}
EXPECTED = {
    "extract": "SUCCEEDED",
    "transform": "FAILED",
    "check": "SUCCEEDED",
    "load": "UPSTREAM_FAILED",
    "publish": "UPSTREAM_FAILED",
    "clean-up": "SUCCEEDED",
    "other": "SUCCEEDED",
    "sweep": "SUCCEEDED",
}


def document(**more: Any) -> dict[str, Any]:
    after: dict[str, tuple[str, ...]] = {
        "extract": (),
        "transform": ("extract",),
        "check": ("extract",),
        "load": ("transform", "check"),
        "publish": ("load",),
        "clean-up": ("transform",),
        "other": (),
        "sweep": (),
    }
    jobs = [
        {"jobName": name, "jobDefinition": "d", "jobQueue": "q", "jobDependencies": list(upstream)}
        | ({"runWhen": "one_failed"} if name == "clean-up" else {"finally": name == "sweep"})
        for name, upstream in after.items()
    ]
    return {"scheduleId": "nightly", "jobList": jobs, "wait_time": 20, **more}


def played(faults: Faults, seed: int = 0, max_turns: int = 1_000_000, chaos: float = 0.0, **more: Any) -> Faults:
    world = World(document(**more), EXIT_CODES, faults, seed, max_turns, chaos)
    world.check(world.run(), EXPECTED)
    return faults


CALLS = played(Faults(lambda _: "")).calls


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_each_call_in_turn(kind: str) -> None:
    for at in range(CALLS):
        faults = played(Faults(lambda number, at=at: kind if number == at else ""))  # type: ignore[misc]
        assert faults.injected.total() == 1


@pytest.mark.parametrize("limit", [None, 1, 2])
def test_faults_at_random(limit: int | None) -> None:
    injected: Counter[str] = Counter()
    for seed in range(SEEDS):
        chance = random.Random(seed)
        faults = Faults(lambda _, chance=chance: chance.choice(KINDS) if chance.random() < 0.15 else "")  # type: ignore[misc]
        more = {} if limit is None else {"maxConcurrentJobs": limit}
        injected += played(faults, seed, **more).injected
    assert injected.total() > SEEDS


def test_a_run_goes_on_as_a_new_execution_as_often_as_it_must() -> None:
    jobs = [
        {"jobName": f"j{n}", "jobDefinition": "d", "jobQueue": "q", "jobDependencies": [f"j{n - 1}"] if n else []}
        for n in range(20)
    ]
    chain = {"scheduleId": "nightly", "jobList": jobs, "maxConcurrentJobs": 1}
    world = World(chain, {}, Faults(lambda _: ""), seed=3, max_turns=1)
    run = world.run()
    world.check(run, {f"j{n}": "SUCCEEDED" for n in range(20)})
    assert world.executions >= 10
    assert (run.generation, run.execution.name) == (world.executions, "one"), (
        "it keeps the name that it was started under"
    )


def test_faults_while_a_run_goes_on_as_new_executions() -> None:
    for seed in range(SEEDS):
        chance = random.Random(seed)
        played(Faults(lambda _, c=chance: c.choice(KINDS) if c.random() < 0.1 else ""), seed, max_turns=2)  # type: ignore[misc]


def test_events_that_are_lost_or_late_or_come_twice_and_in_any_order() -> None:
    for seed in range(200):
        played(Faults(lambda _: ""), seed, chaos=0.2)


def test_faults_at_random_with_such_events() -> None:
    for seed in range(SEEDS):
        chance = random.Random(seed)
        faults = Faults(lambda _, chance=chance: chance.choice(KINDS) if chance.random() < 0.1 else "")  # type: ignore[misc]
        played(faults, seed, max_turns=50, chaos=0.2)


def cancelled(at: int, seed: int, chance_of_fault: float) -> World:
    """A run that is cancelled just before a call to a port, wherever that is."""
    chance, asked = random.Random(seed), False

    def decide(number: int) -> str:
        nonlocal asked
        if number >= at and not asked:
            asked = True
            world.cancel()
        return chance.choice(KINDS) if chance.random() < chance_of_fault else ""

    world = World(document(), EXIT_CODES, Faults(decide), seed, chaos=chance_of_fault)
    world.check_cancelled(world.run())
    return world


def test_a_run_that_is_cancelled_in_the_middle_leaves_nothing_running() -> None:
    runs = [cancelled(at, seed=at, chance_of_fault=0.0) for at in range(CALLS)]
    statuses = Counter(str(job.status) for world in runs for jobs in world.store.jobs.values() for job in jobs.values())
    assert statuses["CANCELLED"] > CALLS
    assert not statuses["WAITING"]


def test_a_run_that_is_cancelled_in_the_middle_of_faults_leaves_nothing_running() -> None:
    for seed in range(SEEDS):
        cancelled(random.Random(seed).randrange(CALLS), seed, chance_of_fault=0.1)


def lost(losses: int, seed: int, chance_of_loss: float, chance_of_fault: float, first: int = 0, **more: Any) -> World:
    """A run whose execution is lost so many times, from its `first` call to a port on."""
    chance, left = random.Random(seed), losses

    def decide(number: int) -> str:
        nonlocal left
        if left and world.driven and number >= first and chance.random() < chance_of_loss:
            left -= 1
            return "execution lost"
        return chance.choice(KINDS) if chance.random() < chance_of_fault else ""

    notifications = [{"on": ["run_lost", "run_resumed"], "sns": "arn:aws:sns:us-east-1:123456789012:people"}]
    given = document(notifications=notifications, **more)
    world = World(given, EXIT_CODES, Faults(decide), seed, chaos=chance_of_fault)
    run = world.run()
    told = Counter(
        json.loads(body)["kind"] for body in {json.loads(it)["id"]: it for it in world.outbox.bodies}.values()
    )
    if told["run_lost"]:
        assert (run.status, run.reason) == (RunStatus.FAILED, "its execution has stopped without a result")
        world.check_given_up(run)
    else:
        world.check(run, EXPECTED)
        assert told["run_resumed"] == run.generation - 1
    return world


def test_a_run_whose_execution_is_lost_at_each_call_in_turn_goes_on() -> None:
    worlds = [lost(1, seed=at, chance_of_loss=1.0, chance_of_fault=0.0, first=at) for at in range(CALLS)]
    losses = Counter(world.lost for world in worlds)
    assert losses[1] > CALLS / 2, "the others were lost in a function that no execution waits for"


def test_a_run_whose_execution_is_lost_again_and_again_goes_on_three_times() -> None:
    generations: Counter[int] = Counter()
    for seed in range(SEEDS):
        world = lost(seed % 4, seed, chance_of_loss=0.03, chance_of_fault=0.05)
        assert not any("run_lost" in body for body in world.outbox.bodies)
        generations[world.generation] += 1
    assert set(generations) == {1, 2, 3, 4}


def test_a_run_whose_executions_are_all_lost_is_given_up() -> None:
    for seed in range(SEEDS):
        world = lost(1000, seed, chance_of_loss=0.3, chance_of_fault=0.05)
        assert any("run_lost" in body for body in world.outbox.bodies)


def test_a_run_is_given_up_at_the_first_loss_if_the_schedule_says_so() -> None:
    for seed in range(SEEDS):
        world = lost(1, seed, chance_of_loss=0.05, chance_of_fault=0.05, onLost="fail")
        assert not any("run_resumed" in body for body in world.outbox.bodies)


def values_document() -> dict[str, Any]:
    """Jobs that give each other values: a branch, a reference, a list, and one that refers to what is not put out."""

    def job(name: str, *after: Any, **more: Any) -> dict[str, Any]:
        overrides = {"command": ["work", *more.pop("words", ())]}
        known = {"jobName": name, "jobDefinition": "d", "jobQueue": "q", "jobDependencies": list(after)}
        return known | {"containerOverrides": overrides} | more

    jobs = [
        job("list"),
        job("full", {"job": "list", "output": {"kind": "full"}}),
        job("part", {"job": "list", "output": {"kind": "part"}}),
        job("load", "list", words=["{{jobs.list.output.kind}}"], forEach={"s3": "{{jobs.list.output.values}}"}),
        job("report", "load", words=["{{jobs.list.output.gone}}"]),
    ]
    return {"scheduleId": "nightly", "jobList": jobs, "wait_time": 20}


def test_faults_while_jobs_give_each_other_values() -> None:
    expected = {"list": "SUCCEEDED", "full": "SUCCEEDED", "part": "SKIPPED", "load": "SUCCEEDED", "report": "FAILED"}
    for seed in range(SEEDS):
        chance = random.Random(seed)
        faults = Faults(lambda _, c=chance: c.choice(KINDS) if c.random() < 0.15 else "")  # type: ignore[misc]
        outputs = {"list": {"kind": "full", "values": "s3://b/list"}}
        world = World(values_document(), {}, faults, seed, chaos=0.2, outputs=outputs)
        world.objects.objects["s3://b/list"] = b"a\nb\n"
        world.check(world.run(), expected)
        assert {entry.job.array_size for entry in world.platform.jobs.values() if entry.job.name == "load"} == {2}


def test_the_same_seed_replays_the_same_run() -> None:
    def trace() -> tuple[int, Counter[str]]:
        chance = random.Random(7)
        faults = played(Faults(lambda _: chance.choice(KINDS) if chance.random() < 0.2 else ""), 7)
        return faults.calls, faults.injected

    assert trace() == trace()
