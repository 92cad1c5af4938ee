"""Which job of the local Batch starts next, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.local_batch import World, definition, environment, needs, queue
from universal_scheduler.local.batch import ClientError


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two vCPUs; a job takes one."""
    return World(tmp_path, vcpus=2)


def test_vcpus_bound_how_many_run(world: World) -> None:
    jobs = [world.submit() for _ in range(4)]
    assert world.running() == jobs[:2]
    world.exit(jobs[1])
    assert world.running() == [jobs[0], jobs[2]]


def test_quarter_vcpus_add_up(world: World) -> None:
    world.call("RegisterJobDefinition", definition("small", "0.25"))
    for _ in range(9):
        world.submit(jobDefinition="small")
    assert len(world.running()) == 8


def test_vcpus_come_from_overrides_requirements_or_the_older_member(world: World) -> None:
    older = {"resourceRequirements": [{"type": "MEMORY", "value": "512"}], "vcpus": 2}
    world.call("RegisterJobDefinition", definition("older", container=older))
    jobs = [
        world.submit(containerOverrides=needs("2")),
        world.submit(jobDefinition="older"),
        world.submit(jobDefinition="older", containerOverrides={"vcpus": 1}),
        world.submit(containerOverrides={"vcpus": 2}),  # without effect on resourceRequirements
    ]
    for running in ([jobs[0]], [jobs[1]], [jobs[2], jobs[3]]):
        assert world.running() == running
        world.exit(running[0])


def test_a_queue_of_higher_priority_goes_first(world: World) -> None:
    world.call("CreateJobQueue", queue("high", 10, "usched"))
    first, _, low = world.submit(), world.submit(), world.submit()
    high = world.submit(jobQueue="high")
    world.exit(first)
    assert high in world.running()
    assert world.status(low) == "RUNNABLE"


def test_changing_the_priority_changes_the_order(world: World) -> None:
    world.call("CreateJobQueue", queue("other", 1, "usched"))
    first, _ = world.submit(), world.submit()
    mine, other = world.submit(), world.submit(jobQueue="other")
    world.call("UpdateJobQueue", {"jobQueue": "other", "priority": 9})
    world.exit(first)
    assert world.status(mine, other) == ["RUNNABLE", "RUNNING"]


def test_a_large_job_is_not_overtaken(world: World) -> None:
    world.call("CreateJobQueue", queue("low", 1, "usched"))
    first = world.submit()
    large = world.submit(containerOverrides=needs("2"))
    behind, low = world.submit(), world.submit(jobQueue="low")
    assert world.running() == [first]
    world.exit(first)
    assert world.running() == [large]
    world.exit(large)
    assert world.running() == [behind, low]


def test_a_job_too_large_for_its_environments_says_so_until_they_grow(world: World) -> None:
    job = world.submit(containerOverrides=needs("3"))
    assert world.job(job)["statusReason"].startswith("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE")
    world.call("UpdateComputeEnvironment", {"computeEnvironment": "usched", "computeResources": {"maxvCpus": 4}})
    world.clock.advance()
    assert world.status(job) == "RUNNING"
    assert "statusReason" not in world.job(job)


def test_cancelling_what_holds_up_a_queue_frees_it(world: World) -> None:
    large, behind = world.submit(containerOverrides=needs("3")), world.submit()
    assert world.status(behind) == "RUNNABLE"
    world.call("CancelJob", {"jobId": large, "reason": "too large"})
    world.clock.advance()
    assert world.status(behind) == "RUNNING"


def test_a_job_that_holds_up_its_queue_is_told_of_once(world: World) -> None:
    large = world.submit(containerOverrides=needs("3"))
    world.submit()
    [told] = world.blocked
    assert (told["jobId"], told["status"]) == (large, "RUNNABLE")
    assert told["statusReason"].startswith("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE")
    world.call("CancelJob", {"jobId": large, "reason": "too large"})
    again = world.submit(containerOverrides=needs("3"))
    assert [event["jobId"] for event in world.blocked] == [large, again]


def test_a_queue_that_is_only_full_is_not_held_up(world: World) -> None:
    for _ in range(3):
        world.submit()
    assert world.blocked == []


def test_environments_are_filled_in_order(world: World) -> None:
    world.call("CreateComputeEnvironment", environment("spare", 1))
    world.call("CreateJobQueue", queue("both", 1, "usched", "spare"))
    jobs = [world.submit(jobQueue="both") for _ in range(4)]
    assert [world.command(job).env["AWS_BATCH_CE_NAME"] for job in jobs[:3]] == ["usched", "usched", "spare"]
    assert world.status(jobs[3]) == "RUNNABLE"


def test_a_disabled_environment_starts_nothing_new(world: World) -> None:
    first = world.submit()
    world.call("UpdateComputeEnvironment", {"computeEnvironment": "usched", "state": "DISABLED"})
    second = world.submit()
    assert world.status(first, second) == ["RUNNING", "RUNNABLE"]
    world.call("UpdateComputeEnvironment", {"computeEnvironment": "usched", "state": "ENABLED"})
    world.clock.advance()
    assert world.status(second) == "RUNNING"


def test_a_disabled_queue_takes_no_jobs_but_ends_those_it_has(world: World) -> None:
    jobs = [world.submit() for _ in range(3)]
    world.call("UpdateJobQueue", {"jobQueue": "default", "state": "DISABLED"})
    with pytest.raises(ClientError, match="job-queue/default is not in ENABLED state"):
        world.submit()
    world.exit(jobs[0])
    assert world.status(jobs[2]) == "RUNNING"


def test_a_retried_job_keeps_its_place(tmp_path: Path) -> None:
    world = World(tmp_path, vcpus=1)
    first, second = world.submit(retryStrategy={"attempts": 2}), world.submit()
    world.exit(first, 1)
    assert world.running() == [first]
    assert world.status(second) == "RUNNABLE"


def test_a_thousand_jobs_run_in_the_order_they_came(world: World) -> None:
    jobs = [world.submit() for _ in range(1000)]
    while running := world.running():
        world.exit(running[0])
    assert world.runner.order == [f"{job}/1" for job in jobs]
    assert set(world.status(*jobs)) == {"SUCCEEDED"}
