"""What jobs of the local Batch wait for: dependencies, arrays, and chains of thousands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.local_batch import World
from universal_scheduler.local.batch import ClientError


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def after(*job_ids: str) -> dict[str, Any]:
    return {"dependsOn": [{"jobId": job_id} for job_id in job_ids]}


def test_a_job_waits_for_all_it_depends_on(world: World) -> None:
    first, second = world.submit(), world.submit()
    third = world.submit(**after(first, second))
    world.exit(first)
    assert world.status(third) == "PENDING"
    world.exit(second)
    assert world.history(third) == ["PENDING", "RUNNABLE", "STARTING", "RUNNING"]
    assert world.job(third)["dependsOn"] == [{"jobId": first}, {"jobId": second}]


def test_a_failure_fails_everything_downstream(world: World) -> None:
    first = world.submit()
    second = world.submit(**after(first))
    third = world.submit(**after(second))
    world.exit(first, 1)
    assert world.status(first, second, third) == ["FAILED"] * 3
    assert world.job(third)["statusReason"] == "Dependent Job failed"
    assert world.history(third) == ["PENDING", "FAILED"]


def test_a_retried_failure_is_no_failure_yet(world: World) -> None:
    first = world.submit(retryStrategy={"attempts": 2})
    second = world.submit(**after(first))
    world.exit(first, 1)
    assert world.status(second) == "PENDING"
    world.exit(first, 0)
    assert world.status(second) == "RUNNING"


def test_what_has_ended_already_counts(world: World) -> None:
    good, bad = world.submit(), world.submit()
    world.exit(good)
    world.exit(bad, 1)
    assert world.status(world.submit(**after(good)), world.submit(**after(bad))) == ["RUNNING", "FAILED"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"dependsOn": [{"jobId": "11111111-1111-1111-1111-111111111111"}]}, "11111111.* does not exist"),
        ({"dependsOn": [{"type": "SEQUENTIAL"}]}, "needs a jobId"),
        ({"dependsOn": [{}]}, "needs a jobId"),
        ({"dependsOn": [{"jobId": "x"}] * 21}, "found 21 jobs, expected at most 20"),
        ({"arrayProperties": {"size": 1}}, "found 1, expected a number between 2 and 10,000"),
        ({"arrayProperties": {"size": 10001}}, "found 10001, expected a number between 2 and 10,000"),
    ],
)
def test_impossible_dependencies_and_sizes_are_refused(world: World, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        world.submit(**request_)


def test_an_array_runs_its_children_and_sums_them_up(world: World, tmp_path: Path) -> None:
    array = world.submit(arrayProperties={"size": 3})
    assert world.status(array) == "PENDING"
    for index in range(3):
        command = world.command(f"{array}:{index}")
        assert command.env["AWS_BATCH_JOB_ID"] == f"{array}:{index}"
        assert command.env["AWS_BATCH_JOB_ARRAY_INDEX"] == str(index)
        assert command.env["AWS_BATCH_JOB_ARRAY_SIZE"] == "3"
    folders = {world.command(f"{array}:{index}").cwd for index in range(3)}
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {tmp_path / "jobs"}
    world.exit(f"{array}:2")
    properties = world.job(array)["arrayProperties"]
    assert properties["size"] == 3
    assert properties["statusSummary"] == {
        "SUBMITTED": 0,
        "PENDING": 0,
        "RUNNABLE": 0,
        "STARTING": 0,
        "RUNNING": 2,
        "SUCCEEDED": 1,
        "FAILED": 0,
    }
    assert world.job(f"{array}:2")["arrayProperties"] == {"index": 2}
    world.exit(f"{array}:0")
    world.exit(f"{array}:1")
    assert world.status(array) == "SUCCEEDED"
    assert "startedAt" not in world.job(array)


def test_an_array_fails_once_all_children_have_ended_and_one_failed(world: World) -> None:
    array = world.submit(arrayProperties={"size": 2})
    later = world.submit(**after(array))
    world.exit(f"{array}:0", 1)
    assert world.status(array, later) == ["PENDING", "PENDING"]
    world.exit(f"{array}:1")
    assert world.job(array)["statusReason"] == "Array Child Job failed"
    assert world.status(later) == "FAILED"


def test_a_job_can_wait_for_one_child(world: World) -> None:
    array = world.submit(arrayProperties={"size": 2})
    later = world.submit(**after(f"{array}:1"))
    world.exit(f"{array}:1")
    assert world.status(later) == "RUNNING"


def test_an_array_waits_as_a_whole(world: World) -> None:
    first = world.submit()
    array = world.submit(arrayProperties={"size": 2}, **after(first))
    assert world.status(array, f"{array}:0", f"{array}:1") == ["PENDING"] * 3
    world.exit(first)
    assert world.status(f"{array}:0", f"{array}:1") == ["RUNNING"] * 2


def test_an_array_fails_as_a_whole(world: World) -> None:
    first = world.submit()
    array = world.submit(arrayProperties={"size": 2}, **after(first))
    world.exit(first, 1)
    for job in (array, f"{array}:0", f"{array}:1"):
        assert (world.status(job), world.job(job)["statusReason"]) == ("FAILED", "Dependent Job failed")
    late = world.submit(arrayProperties={"size": 2}, **after(first))
    assert world.history(f"{late}:0") == ["FAILED"]


def test_sequential_children_run_one_after_the_other(world: World) -> None:
    array = world.submit(arrayProperties={"size": 3}, dependsOn=[{"type": "SEQUENTIAL"}])
    assert world.running() == [f"{array}:0"]
    world.exit(f"{array}:0")
    assert world.running() == [f"{array}:1"]
    world.exit(f"{array}:1", 1)
    assert world.job(f"{array}:2")["statusReason"] == "Dependent Job failed"
    assert world.status(array) == "FAILED"


def test_n_to_n_children_wait_for_their_like(world: World) -> None:
    first = world.submit(arrayProperties={"size": 2})
    second = world.submit(arrayProperties={"size": 2}, dependsOn=[{"jobId": first, "type": "N_TO_N"}])
    world.exit(f"{first}:1")
    assert world.status(f"{second}:0", f"{second}:1") == ["PENDING", "RUNNING"]
    world.exit(f"{first}:0", 1)
    assert world.status(f"{second}:0") == "FAILED"
    world.exit(f"{second}:1")
    assert world.status(second) == "FAILED"


def test_sequential_and_n_to_n_and_plain_go_together(world: World) -> None:
    gate, other = world.submit(), world.submit(arrayProperties={"size": 2})
    kinds = [{"type": "SEQUENTIAL"}, {"jobId": other, "type": "N_TO_N"}, {"jobId": gate}]
    array = world.submit(arrayProperties={"size": 2}, dependsOn=kinds)
    world.exit(f"{other}:0")
    world.exit(f"{other}:1")
    assert world.running() == [gate]
    world.exit(gate)
    assert world.running() == [f"{array}:0"]
    world.exit(f"{array}:0")
    assert world.running() == [f"{array}:1"]


def test_n_to_n_needs_arrays_of_one_size(world: World) -> None:
    single, array = world.submit(), world.submit(arrayProperties={"size": 2})
    for upstream in (single, array):
        with pytest.raises(ClientError, match="between arrays of one size"):
            world.submit(arrayProperties={"size": 3}, dependsOn=[{"jobId": upstream, "type": "N_TO_N"}])
    between_singles = world.submit(dependsOn=[{"jobId": single, "type": "N_TO_N"}])
    assert world.status(between_singles) == "PENDING"


def test_an_array_cancelled_at_once_fails_those_that_depend_on_its_children(world: World) -> None:
    shape = {"jobQueue": "default", "jobDefinition": "shell", "arrayProperties": {"size": 2}}
    first = world.call("SubmitJob", {"jobName": "a", **shape})["jobId"]
    depends = [{"jobId": first, "type": "N_TO_N"}]
    second = world.call("SubmitJob", {"jobName": "b", **shape, "dependsOn": depends})["jobId"]
    world.call("CancelJob", {"jobId": first, "reason": "oops"})
    world.clock.advance()
    assert world.status(first, second, f"{second}:0") == ["FAILED"] * 3


def test_terminating_an_array_ends_every_child(tmp_path: Path) -> None:
    world = World(tmp_path, vcpus=1)
    array = world.submit(arrayProperties={"size": 3})
    world.call("TerminateJob", {"jobId": array, "reason": "enough"})
    assert world.status(f"{array}:1", f"{array}:2") == ["FAILED", "FAILED"]
    world.exit(f"{array}:0", None, signal=15)
    assert (world.status(array), world.job(array)["statusReason"]) == ("FAILED", "enough")


def test_cancelling_an_array_lets_running_children_end(tmp_path: Path) -> None:
    world = World(tmp_path, vcpus=1)
    array = world.submit(arrayProperties={"size": 3})
    world.call("CancelJob", {"jobId": array, "reason": "enough"})
    assert world.status(array, f"{array}:0", f"{array}:1") == ["PENDING", "RUNNING", "FAILED"]
    world.exit(f"{array}:0")
    assert world.status(array, f"{array}:0") == ["FAILED", "SUCCEEDED"]


def test_a_chain_fails_without_recursion(world: World) -> None:
    array = world.submit(arrayProperties={"size": 1_100}, dependsOn=[{"type": "SEQUENTIAL"}])
    world.exit(f"{array}:0", 1)
    assert world.job(array)["arrayProperties"]["statusSummary"]["FAILED"] == 1_100
    assert world.status(array) == "FAILED"


def test_hundred_children_wait_for_hundred(world: World) -> None:
    first = world.submit(arrayProperties={"size": 100})
    second = world.submit(arrayProperties={"size": 100}, dependsOn=[{"jobId": first, "type": "N_TO_N"}])
    while world.runner.commands:
        for key in list(world.runner.commands):
            world.exit(key.rpartition("/")[0])
    assert world.status(first, second) == ["SUCCEEDED", "SUCCEEDED"]
