"""What becomes of jobs in the local Batch: their states, attempts, time-outs, cancellation and what they are told."""

from __future__ import annotations

from pathlib import Path
from signal import Signals
from typing import Any

import pytest

from tests.local_batch import ARN, World, definition, queue
from universal_scheduler.local.batch import ClientError
from universal_scheduler.local.batch.runner import Bounds


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_job_goes_through_all_states(world: World) -> None:
    job = world.submit()
    assert world.status(job) == "RUNNING"
    world.exit(job)
    assert world.history(job) == ["RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED"]


def test_a_submitted_job_is_seen_before_it_is_looked_at(world: World) -> None:
    request = {"jobName": "early", "jobQueue": "default", "jobDefinition": "shell"}
    answer = world.call("SubmitJob", request)
    assert answer["jobArn"] == f"{ARN}:job/{answer['jobId']}"
    job = world.job(answer["jobId"])
    assert (job["status"], job["createdAt"]) == ("SUBMITTED", world.clock.now())
    assert "startedAt" not in job


def test_a_finished_job_tells_its_times_task_log_and_reason(world: World) -> None:
    job = world.submit()
    world.clock.advance(7)
    world.exit(job)
    detail = world.job(job)
    assert detail["stoppedAt"] - detail["startedAt"] == 7000
    assert detail["statusReason"] == "Essential container in task exited"
    container = detail["container"]
    assert container["exitCode"] == 0
    assert container["taskArn"].startswith("arn:aws:ecs:us-east-1:123456789012:task/")
    assert container["logStreamName"] == f"shell/default/{container['taskArn'].rpartition('/')[2]}"
    assert "reason" not in container
    (attempt,) = detail["attempts"]
    assert attempt["container"]["logStreamName"] == container["logStreamName"]
    assert attempt["startedAt"] == detail["startedAt"]


def test_an_exit_code_fails_a_job(world: World) -> None:
    job = world.submit()
    world.exit(job, 3)
    assert world.status(job) == "FAILED"
    assert world.job(job)["container"]["exitCode"] == 3


def test_a_job_does_not_end_before_it_started(world: World) -> None:
    """The end is told with its time, the start when somebody hears of it: on a busy machine that may be later."""
    job_id = world.submit()
    started = world.job(job_id)["startedAt"]
    world.exit(job_id, at=started - 1)
    assert world.job(job_id)["stoppedAt"] == started


def test_a_signal_shows_as_an_exit_code_above_128(world: World) -> None:
    job = world.submit()
    world.exit(job, None, signal=Signals.SIGKILL)
    assert world.job(job)["container"]["exitCode"] == 137


def test_a_command_that_cannot_start_fails_with_the_reason(world: World) -> None:
    world.runner.refuses = "executable file not found in $PATH"
    job = world.submit()
    detail = world.job(job)
    assert (detail["status"], detail["statusReason"]) == ("FAILED", "Task failed to start")
    assert detail["container"]["exitCode"] == 127
    assert detail["container"]["reason"] == "CannotStartContainerError: executable file not found in $PATH"
    assert "startedAt" not in detail
    assert world.history(job) == ["RUNNABLE", "STARTING", "FAILED"]


def test_the_environment_is_base_then_definition_then_overrides_then_batch(world: World) -> None:
    variables = [{"name": "BASE", "value": "2"}, {"name": "OWN", "value": "3"}]
    world.call("RegisterJobDefinition", definition("env", container={"environment": variables}))
    overrides = {"environment": [{"name": "OWN", "value": "4"}], "command": ["printenv", "OWN"]}
    job = world.submit(jobDefinition="env", containerOverrides=overrides)
    command = world.command(job)
    assert command.argv == ["printenv", "OWN"]
    assert command.env == {
        "PATH": "/usr/bin:/bin",
        "BASE": "2",
        "OWN": "4",
        "AWS_BATCH_JOB_ID": job,
        "AWS_BATCH_JOB_ATTEMPT": "1",
        "AWS_BATCH_JQ_NAME": "default",
        "AWS_BATCH_CE_NAME": "usched",
    }


def test_each_attempt_has_its_own_directory_and_its_output_beside_it(world: World, tmp_path: Path) -> None:
    job = world.submit(retryStrategy={"attempts": 2})
    first = world.command(job)
    task = world.job(job)["container"]["taskArn"].rpartition("/")[2]
    assert first.cwd == tmp_path / "jobs" / task
    assert first.output == tmp_path / "jobs" / f"{task}.log"
    first.cwd.mkdir(parents=True)
    assert world.batch.outputs() == {}
    first.output.write_text("said")
    assert world.batch.outputs() == {task: first.output}
    world.exit(job, 1)
    assert world.command(job).cwd != first.cwd


def test_parameters_replace_references(world: World) -> None:
    command = ["convert", "--in=Ref::source", "Ref::format", "Ref::unknown"]
    settings = {"container": {"command": command}, "parameters": {"source": "a.csv", "format": "csv"}}
    world.call("RegisterJobDefinition", definition("convert", **settings))
    job = world.submit(jobDefinition="convert", parameters={"format": "parquet"})
    assert world.command(job).argv == ["convert", "--in=a.csv", "parquet", "Ref::unknown"]
    assert world.job(job)["parameters"] == {"source": "a.csv", "format": "parquet"}


def test_a_listener_that_fails_changes_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("deaf")

    world.batch._life._listener = fail
    job = world.submit()
    world.exit(job)
    assert world.status(job) == "SUCCEEDED"
    assert "the listener failed" in caplog.text


# Attempts


def test_a_failed_attempt_is_followed_by_another(world: World) -> None:
    job = world.submit(retryStrategy={"attempts": 3})
    world.exit(job, 1)
    assert world.status(job) == "RUNNING"
    assert world.command(job).env["AWS_BATCH_JOB_ATTEMPT"] == "2"
    world.exit(job, 0)
    detail = world.job(job)
    assert (detail["status"], [it["container"]["exitCode"] for it in detail["attempts"]]) == ("SUCCEEDED", [1, 0])
    assert len({it["container"]["logStreamName"] for it in detail["attempts"]}) == 2
    assert world.history(job).count("RUNNABLE") == 2


def test_attempts_run_out(world: World) -> None:
    job = world.submit(retryStrategy={"attempts": 2})
    world.exit(job, 1)
    world.exit(job, 2)
    assert (world.status(job), len(world.job(job)["attempts"])) == ("FAILED", 2)


def test_the_definitions_strategy_holds_unless_the_submission_has_its_own(world: World) -> None:
    world.call("RegisterJobDefinition", definition("twice", retryStrategy={"attempts": 2}))
    first, second = world.submit(jobDefinition="twice"), world.submit(jobDefinition="twice")
    third = world.submit(jobDefinition="twice", retryStrategy={"attempts": 1})
    for job in (first, second, third):
        world.exit(job, 1)
    assert world.status(first, second, third) == ["RUNNING", "RUNNING", "FAILED"]


@pytest.mark.parametrize(
    ("rules", "code", "retried"),
    [
        ([{"onExitCode": "1", "action": "EXIT"}], 1, False),
        ([{"onExitCode": "1", "action": "EXIT"}], 13, True),  # none matches: retried
        ([{"onExitCode": "1*", "action": "exit"}], 13, False),
        ([{"onExitCode": "7", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}], 7, True),
        ([{"onExitCode": "7", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}], 8, False),
        ([{"onStatusReason": "Essential container*", "action": "EXIT"}], 1, False),
        ([{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onExitCode": "*", "action": "EXIT"}], 1, False),
        ([{"onStatusReason": "Essential*", "onExitCode": "2", "action": "EXIT"}], 1, True),  # both must hold
    ],
)
def test_exits_are_evaluated(world: World, rules: list[dict[str, str]], code: int, retried: bool) -> None:
    job = world.submit(retryStrategy={"attempts": 2, "evaluateOnExit": rules})
    world.exit(job, code)
    assert (world.status(job) == "RUNNING") is retried


def test_what_cannot_start_is_evaluated_by_its_reason(world: World) -> None:
    world.runner.refuses = "executable file not found in $PATH"
    rules = [{"onReason": "CannotStartContainerError:*", "action": "EXIT"}]
    job = world.submit(retryStrategy={"attempts": 5, "evaluateOnExit": rules})
    assert len(world.job(job)["attempts"]) == 1


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"attempts": 0}, "between 1 and 10"),
        ({"attempts": 11}, "between 1 and 10"),
        ({"evaluateOnExit": [{"onReason": "*", "action": "EXIT"}]}, "RetryAttempts must be provided"),
        ({}, "RetryAttempts must be provided"),
        ({"attempts": 2, "evaluateOnExit": [{"onReason": "*", "action": "EXIT"}] * 6}, "at most 5"),
        ({"attempts": 2, "evaluateOnExit": [{"onExitCode": "[1-9]", "action": "EXIT"}]}, "1 to 512 characters: digits"),
        ({"attempts": 2, "evaluateOnExit": [{"onReason": "*OutOfMemory*", "action": "EXIT"}]}, "may stand at the end"),
        ({"attempts": 2, "evaluateOnExit": [{"action": "EXIT"}]}, "a rule without a condition"),
        ({"attempts": 2, "evaluateOnExit": [{"onReason": "*", "action": "STOP"}]}, "must be one of RETRY, EXIT"),
    ],
)
def test_impossible_strategies_are_refused(world: World, strategy: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        world.submit(retryStrategy=strategy)


# Time-outs, terminating, cancelling


def test_a_job_that_takes_too_long_is_ended_gently_then_killed_and_not_retried(world: World) -> None:
    job = world.submit(timeout={"attemptDurationSeconds": 60}, retryStrategy={"attempts": 3})
    command = world.command(job)
    world.clock.advance(59)
    assert command.signals == []
    world.clock.advance(1)
    assert command.signals == [Signals.SIGTERM]
    world.clock.advance(30)
    assert command.signals == [Signals.SIGTERM, Signals.SIGKILL]
    world.exit(job, None, signal=Signals.SIGKILL)
    detail = world.job(job)
    assert (detail["status"], detail["statusReason"]) == ("FAILED", "Job attempt duration exceeded timeout")
    assert detail["attempts"][0]["container"]["exitCode"] == 137


def test_each_attempt_has_its_own_time(world: World) -> None:
    job = world.submit(timeout={"attemptDurationSeconds": 60}, retryStrategy={"attempts": 2})
    world.clock.advance(50)
    world.exit(job, 1)
    world.clock.advance(50)
    assert world.command(job).signals == []


def test_a_timeout_is_at_least_a_minute(world: World) -> None:
    with pytest.raises(ClientError, match="found 59, expected a number at least 60"):
        world.submit(timeout={"attemptDurationSeconds": 59})


def test_terminating_a_running_job_fails_it_with_the_callers_reason(world: World) -> None:
    job = world.submit(retryStrategy={"attempts": 3})
    world.call("TerminateJob", {"jobId": job, "reason": "wrong input"})
    assert world.command(job).signals == [Signals.SIGTERM]
    assert world.status(job) == "RUNNING"
    world.exit(job, 0)  # it caught the signal
    detail = world.job(job)
    assert (detail["status"], detail["statusReason"], detail["isTerminated"]) == ("FAILED", "wrong input", True)


def test_a_job_that_obeys_is_not_killed_later(world: World) -> None:
    job = world.submit()
    command = world.command(job)
    world.call("TerminateJob", {"jobId": job, "reason": "enough"})
    world.exit(job, None, signal=Signals.SIGTERM)
    world.clock.advance(60)
    assert command.signals == [Signals.SIGTERM]


@pytest.mark.parametrize("operation", ["CancelJob", "TerminateJob"])
def test_a_job_that_does_not_run_yet_is_cancelled(tmp_path: Path, operation: str) -> None:
    world = World(tmp_path, vcpus=1)
    first, second = world.submit(), world.submit()
    assert world.status(second) == "RUNNABLE"
    world.call(operation, {"jobId": second, "reason": "not needed"})
    detail = world.job(second)
    assert (detail["status"], detail["statusReason"], detail["attempts"]) == ("FAILED", "not needed", [])
    world.exit(first)
    assert world.running() == []


def test_cancelling_leaves_a_running_job_alone(world: World) -> None:
    job = world.submit()
    world.call("CancelJob", {"jobId": job, "reason": "too late"})
    world.exit(job)
    assert (world.status(job), world.job(job)["isCancelled"]) == ("SUCCEEDED", False)


def test_a_cancelled_job_that_waits_for_others_ends_after_them(world: World) -> None:
    first = world.submit()
    second = world.submit(dependsOn=[{"jobId": first}])
    world.call("CancelJob", {"jobId": second, "reason": "not needed"})
    assert (world.status(second), world.job(second)["isCancelled"]) == ("PENDING", True)
    world.exit(first)
    assert (world.status(second), world.job(second)["statusReason"]) == ("FAILED", "not needed")


def test_stopping_unknown_and_ended_jobs_is_no_error(world: World) -> None:
    job = world.submit()
    world.exit(job)
    for job_id in (job, "00000000-0000-0000-0000-000000000000"):
        for operation in ("CancelJob", "TerminateJob"):
            assert world.call(operation, {"jobId": job_id, "reason": "-"}) == {}
    assert world.status(job) == "SUCCEEDED"
    with pytest.raises(ClientError, match="not valid"):
        world.call("CancelJob", {"jobId": "nonsense", "reason": "-"})


def test_many_jobs_are_stopped_at_once(world: World) -> None:
    jobs = [world.submit(), world.submit()]
    answer = world.call("TerminateJobs", {"jobs": [*jobs, "nonsense"], "reason": "all"})
    assert answer["successful"] == jobs
    assert [error["job"] for error in answer["errors"]] == ["nonsense"]
    assert all(world.command(job).signals for job in jobs)


def test_deleting_a_queue_ends_its_jobs(world: World) -> None:
    world.call("CreateJobQueue", queue("other", 1, "usched"))
    job = world.submit(jobQueue="other")
    with pytest.raises(ClientError, match="must be DISABLED first"):
        world.call("DeleteJobQueue", {"jobQueue": "other"})
    world.call("UpdateJobQueue", {"jobQueue": "other", "state": "DISABLED"})
    world.call("DeleteJobQueue", {"jobQueue": "other"})
    world.exit(job, None, signal=Signals.SIGTERM)
    assert world.job(job)["statusReason"] == "Job queue other was deleted"


def test_ended_jobs_are_kept_for_seven_days(world: World) -> None:
    world.batch._life.open()
    kept, dropped = world.submit(tags={"a": "b"}), world.submit(arrayProperties={"size": 2})
    for index in range(2):
        world.exit(f"{dropped}:{index}")
    world.clock.advance(7 * 24 * 3600 - 10)
    assert world.status(dropped) == "SUCCEEDED"
    world.exit(kept)
    world.clock.advance(2 * 3600)
    assert world.call("DescribeJobs", {"jobs": [dropped, f"{dropped}:1", kept]})["jobs"] == [world.job(kept)]


def test_the_files_of_a_job_are_kept_as_long_as_it_is(world: World, tmp_path: Path) -> None:
    world.batch._life.open()
    job = world.submit()
    command = world.command(job)
    (command.cwd / "below").mkdir(parents=True)
    command.output.write_text("said")
    world.exit(job)
    world.clock.advance(7 * 24 * 3600 - 3600)
    assert {path.name for path in (tmp_path / "jobs").iterdir()} == {command.cwd.name, command.output.name}
    world.clock.advance(2 * 3600)
    assert list((tmp_path / "jobs").iterdir()) == []


# What SubmitJob takes or refuses


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"containerOverrides": {"command": ["echo", ""]}}, "Command cannot be empty"),
        ({"containerOverrides": {"command": ["Ref::x"]}, "parameters": {"x": ""}}, "Command cannot be empty"),
        ({"parameters": {"x": "x" * 31_000}}, "Job size must be less than 30 KiB, got 31 KiB"),
        ({"schedulingPriorityOverride": 10_000}, "between 0 and 9,999"),
        ({"shareIdentifier": "a-b"}, "up to 255 letters and digits"),
        ({"tags": {"x": "y" * 257}}, "1 to 128 characters|0 to 256 characters"),
        ({"containerOverrides": {"resourceRequirements": [{"type": "MEMORY", "value": "1"}]}}, "at least 4"),
    ],
)
def test_what_aws_refuses_is_refused(world: World, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        world.submit(**request_)


def test_an_empty_parameter_of_the_definition_counts(world: World) -> None:
    container = {**definition("x")["containerProperties"], "command": ["echo", "Ref::who"]}
    world.call("RegisterJobDefinition", definition("greet", parameters={"who": ""}, containerProperties=container))
    with pytest.raises(ClientError, match="Command cannot be empty"):
        world.submit(jobDefinition="greet")
    assert world.status(world.submit(jobDefinition="greet", parameters={"who": "you"})) == "RUNNING"


@pytest.mark.parametrize(
    "request_",
    [
        {"containerOverrides": {"environment": [{"name": "BIG", "value": "x" * 8192}]}},
        {"containerOverrides": {"command": ["echo", "Ref::x"]}, "parameters": {"x": "x" * 8192}},
    ],
)
def test_a_job_whose_overrides_are_too_long_for_ecs_fails_when_it_should_start(
    world: World, request_: dict[str, Any]
) -> None:
    job = world.submit(**request_)
    detail = world.job(job)
    assert (detail["status"], detail["attempts"]) == ("FAILED", [])
    assert detail["statusReason"] == "Container Overrides length must be at most 8192"
    array = world.submit(arrayProperties={"size": 3}, **request_)
    assert world.status(array) == "FAILED"
    assert world.running() == []
    assert world.status(world.submit()) == "RUNNING"  # what they held is given back


def test_a_job_that_held_too_much_memory_says_so(world: World) -> None:
    job = world.submit()
    world.exit(job, None, signal=Signals.SIGKILL, out_of_memory=True)
    detail = world.job(job)
    assert (detail["status"], detail["statusReason"]) == ("FAILED", "Essential container in task exited")
    assert detail["container"]["exitCode"] == 137
    assert detail["container"]["reason"] == "OutOfMemoryError: Container killed due to memory usage"


def test_a_rule_may_try_a_job_again_that_held_too_much_memory(world: World) -> None:
    rules = [{"onReason": "OutOfMemoryError*", "action": "RETRY"}, {"onExitCode": "*", "action": "EXIT"}]
    job = world.submit(retryStrategy={"attempts": 3, "evaluateOnExit": rules})
    world.exit(job, None, signal=Signals.SIGKILL, out_of_memory=True)
    assert world.status(job) == "RUNNING"
    world.exit(job, None, signal=Signals.SIGKILL)
    assert world.status(job) == "FAILED"


@pytest.mark.parametrize(
    ("vcpus", "nice"), [("0.25", 6), ("0.5", 3), ("1", 0), ("4", 0), ("0.001", 19)], ids=lambda it: str(it)
)
def test_a_job_has_the_bounds_that_it_asks_for(world: World, vcpus: str, nice: int) -> None:
    world.call("RegisterJobDefinition", definition("sized", vcpus))
    job = world.submit(jobDefinition="sized")
    assert world.command(job).bounds == Bounds(memory=512 << 20, nice=nice)


def test_the_memory_of_an_override_is_the_bound(world: World) -> None:
    job = world.submit(containerOverrides={"resourceRequirements": [{"type": "MEMORY", "value": "2048"}]})
    assert world.command(job).bounds.memory == 2048 << 20


@pytest.mark.parametrize("memory", ["lots", "0", "-5", "1.5", ""])
def test_a_definition_with_no_number_of_mebibytes_is_refused(world: World, memory: str) -> None:
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": memory}]
    with pytest.raises(ClientError, match="not a valid number of MiB"):
        world.call("RegisterJobDefinition", definition("odd", container={"resourceRequirements": needs}))


def test_no_job_starts_while_something_hinders_it_and_each_says_what(world: World) -> None:
    runs = world.submit()
    world.hindrance = "There is no room."
    first, second = world.submit(), world.submit()
    assert world.status(runs, first, second) == ["RUNNING", "RUNNABLE", "RUNNABLE"]
    assert world.job(first)["statusReason"] == "There is no room."
    world.exit(runs)
    assert world.status(runs, first) == ["SUCCEEDED", "RUNNABLE"]
    world.hindrance = ""
    world.clock.advance(1)
    assert world.status(first, second) == ["RUNNING", "RUNNING"]
    assert "statusReason" not in world.job(first)
