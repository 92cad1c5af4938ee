"""What AWS Batch refuses, at its boundaries: of a request, of a document, of a job whose references are filled in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from universal_scheduler.domain.batch import limits as batch_limits
from universal_scheduler.domain.batch.limits import overrides_length, overrides_refusals, payload_refusals, refusals
from universal_scheduler.domain.batch.request import check_job, check_request, submit_job_request
from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.errors import SubmissionRefused
from universal_scheduler.domain.runs.model import Job


def rule(**conditions: str) -> dict[str, Any]:
    return {"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"action": "RETRY", **conditions}]}}


def command(*words: str, **parameters: str) -> dict[str, Any]:
    return {"containerOverrides": {"command": list(words)}, "parameters": parameters}


def variable(name: str) -> dict[str, Any]:
    return {"containerOverrides": {"environment": [{"name": name, "value": "x"}]}}


def resource(kind: str, value: str) -> dict[str, Any]:
    return {"containerOverrides": {"resourceRequirements": [{"type": kind, "value": value}]}}


def tags(number: int = 1, key: int = 8, value: int = 1) -> dict[str, Any]:
    return {"tags": {f"{index:0{key}}": "v" * value for index in range(number)}}


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"jobName": "a" * 128},
        {"shareIdentifier": "a" * 255 + "*"},
        {"arrayProperties": {"size": 2}},
        {"arrayProperties": {"size": 10_000}},
        {"timeout": {"attemptDurationSeconds": 60}},
        {"schedulingPriorityOverride": 0},
        {"schedulingPriorityOverride": 9999},
        {"dependsOn": [{"jobId": "x"}] * 20},
        {"retryStrategy": {"attempts": 1}},
        {"retryStrategy": {"attempts": 10, "evaluateOnExit": [{"onReason": "*", "action": "EXIT"}] * 5}},
        rule(onExitCode="1*"),
        rule(onExitCode="9" * 512),
        rule(onExitCode="*"),
        rule(onReason="CannotPullContainerError:*", onStatusReason="Host EC2*"),
        rule(onReason="a.b: c\td" + "e" * 504),
        command("echo", " ", "Ref::unknown", "xRef::blank", blank=""),
        variable("AWSBATCH"),
        variable("MY_AWS_BATCH"),
        resource("VCPU", "0.25"),
        resource("VCPU", "0.5"),
        resource("VCPU", "96"),
        resource("MEMORY", "4"),
        resource("GPU", "1"),
        tags(50, key=128, value=256),
    ],
    ids=lambda request: json.dumps(request)[:60],
)
def test_what_batch_takes_is_let_by(request_: dict[str, Any]) -> None:
    assert list(refusals(request_)) == []


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        ({"jobName": "a" * 129}, "jobName"),
        ({"jobName": ""}, "jobName"),
        ({"jobName": "a\n"}, "jobName"),
        ({"jobName": "_a"}, "jobName"),
        ({"shareIdentifier": "a-b"}, "shareIdentifier"),
        ({"shareIdentifier": "a" * 256}, "shareIdentifier"),
        ({"shareIdentifier": "a**"}, "shareIdentifier"),
        ({"arrayProperties": {"size": 1}}, "arrayProperties.size"),
        ({"arrayProperties": {"size": 10_001}}, "arrayProperties.size"),
        ({"timeout": {"attemptDurationSeconds": 59}}, "timeout.attemptDurationSeconds"),
        ({"schedulingPriorityOverride": -1}, "schedulingPriorityOverride"),
        ({"schedulingPriorityOverride": 10_000}, "schedulingPriorityOverride"),
        ({"dependsOn": [{"jobId": "x"}] * 21}, "dependsOn"),
        ({"retryStrategy": {}}, "retryStrategy"),
        ({"retryStrategy": {"evaluateOnExit": [{"onReason": "*", "action": "EXIT"}]}}, "retryStrategy"),
        ({"retryStrategy": {"attempts": 0}}, "retryStrategy.attempts"),
        ({"retryStrategy": {"attempts": 11}}, "retryStrategy.attempts"),
        (
            {"retryStrategy": {"attempts": 1, "evaluateOnExit": [{"onReason": "*", "action": "EXIT"}] * 6}},
            "retryStrategy.evaluateOnExit",
        ),
        (rule(), "retryStrategy.evaluateOnExit[0]"),
        (rule(onExitCode="1?"), "retryStrategy.evaluateOnExit[0].onExitCode"),
        (rule(onExitCode="1**"), "retryStrategy.evaluateOnExit[0].onExitCode"),
        (rule(onExitCode="-1"), "retryStrategy.evaluateOnExit[0].onExitCode"),
        (rule(onExitCode=""), "retryStrategy.evaluateOnExit[0].onExitCode"),
        (rule(onExitCode="9" * 513), "retryStrategy.evaluateOnExit[0].onExitCode"),
        (rule(onReason="*OutOfMemory*"), "retryStrategy.evaluateOnExit[0].onReason"),
        (rule(onReason="Out-of-memory"), "retryStrategy.evaluateOnExit[0].onReason"),
        (rule(onStatusReason="Host EC2 (instance*"), "retryStrategy.evaluateOnExit[0].onStatusReason"),
        (rule(onStatusReason="größe"), "retryStrategy.evaluateOnExit[0].onStatusReason"),
        (command("echo", ""), "containerOverrides.command[1]"),
        (command("echo", "Ref::blank", blank=""), "containerOverrides.command[1]"),
        (variable("AWS_BATCH_X"), "containerOverrides.environment[0].name"),
        (variable("AWS_BATCH"), "containerOverrides.environment[0].name"),
        (resource("VCPU", "0"), "containerOverrides.resourceRequirements[0].value"),
        (resource("VCPU", "1.5"), "containerOverrides.resourceRequirements[0].value"),
        (resource("MEMORY", "3"), "containerOverrides.resourceRequirements[0].value"),
        (resource("MEMORY", "2GB"), "containerOverrides.resourceRequirements[0].value"),
        (resource("GPU", "0"), "containerOverrides.resourceRequirements[0].value"),
        (resource("GPU", "-1"), "containerOverrides.resourceRequirements[0].value"),
        (tags(51), "tags"),
        (tags(key=129), f"tags.{'0' * 129}"),
        (tags(value=257), "tags.00000000"),
        ({"tags": {"": "x"}}, "tags."),
        ({"tags": {"AWS:x": "y"}}, "tags.AWS:x"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_what_batch_refuses_is_named_by_its_path(request_: dict[str, Any], path: str) -> None:
    assert [refusal.path for refusal in refusals(request_)] == [path]


def overrides(length: int) -> dict[str, Any]:
    """A request whose overrides have so many characters as JSON."""
    empty = overrides_length({"containerOverrides": {"command": [""]}})
    return {"containerOverrides": {"command": ["é" * (length - empty)]}}


def test_overrides_have_room_for_8192_characters_and_no_more() -> None:
    assert list(overrides_refusals(overrides(8192))) == []
    [refusal] = overrides_refusals(overrides(8193))
    assert str(refusal).startswith("containerOverrides: found 8,193 characters as JSON, expected at most 8,192")
    assert refusal.answer == "Container Overrides length must be at most 8192"


def test_a_parameter_counts_where_it_stands_in_the_command() -> None:
    long = {"parameters": {"x": "x" * 8192}}
    assert list(overrides_refusals({"containerOverrides": {"command": ["echo"]}, **long})) == []
    assert list(overrides_refusals({"containerOverrides": {"command": ["Ref::x"]}, **long}))


def test_a_request_has_room_for_30_kib_and_no_more() -> None:
    empty = len(json.dumps({"parameters": {"x": ""}}))
    assert list(payload_refusals({"parameters": {"x": "x" * (30 * 1024 - empty)}})) == []
    [refusal] = payload_refusals({"parameters": {"x": "x" * (30 * 1024 - empty + 1)}})
    assert str(refusal).startswith("found a job of 30,721 bytes as JSON, expected at most 30,720 (30 KiB)")
    assert refusal.answer == "Job size must be less than 30 KiB, got 31 KiB"


# Documents


def job(name: str = "a", *after: Any, **more: Any) -> dict[str, Any]:
    return {"jobName": name, "jobQueue": "q", "jobDefinition": "d", "jobDependencies": list(after), **more}


def row(*jobs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"scheduleId": "nightly", "jobList": list(jobs), **more}


def told(*jobs: dict[str, Any], **more: Any) -> list[str]:
    return [str(error) for error in find_errors(row(*jobs, **more))]


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (command("echo", ""), "$.jobList[0].containerOverrides.command[1]: found an empty word, expected a word"),
        (
            command("echo", "Ref::x", x=""),
            "$.jobList[0].containerOverrides.command[1]: found 'Ref::x', which is empty, expected a word",
        ),
        (variable("AWS_BATCH_X"), "$.jobList[0].containerOverrides.environment[0].name: found 'AWS_BATCH_X'"),
        (resource("MEMORY", "2GB"), "$.jobList[0].containerOverrides.resourceRequirements[0].value: found '2GB' for"),
        ({"retryStrategy": {}}, "$.jobList[0].retryStrategy: found no attempts, expected attempts, 1 to 10"),
        (rule(onExitCode="1?"), '$.jobList[0].retryStrategy.evaluateOnExit[0].onExitCode: found "1?", expected 1 to'),
        (
            rule(onReason="*OutOfMemory*"),
            '$.jobList[0].retryStrategy.evaluateOnExit[0].onReason: found "*OutOfMemory*"',
        ),
        (rule(), "$.jobList[0].retryStrategy.evaluateOnExit[0]: found a rule without a condition, expected one or"),
        (overrides(8193), "$.jobList[0].containerOverrides: found 8,"),
        ({"parameters": {"x": "x" * 31_000}}, "$.jobList[0]: found a job of 31,"),
        ({"jobName": "a\n"}, "$.jobList[0].jobName: found a line break at character 2, expected one line"),
    ],
    ids=lambda value: json.dumps(value)[:50],
)
def test_a_document_says_what_batch_would_refuse(entry: dict[str, Any], error: str) -> None:
    assert [line[: len(error)] for line in told(job() | entry)] == [error]


def test_what_the_run_tells_its_job_counts() -> None:
    assert told(job(**overrides(7800))) == []
    assert len(told(job(**overrides(8100)))) == 1
    assert told(job(parameters={"x": "x" * 8192})) == []


@pytest.mark.parametrize("word", ["{{run.parameters.x}}", "a{{run.parameters.x}}", "{{job.id}}", "Ref::y"])
def test_a_word_that_a_run_may_fill_is_no_error(word: str) -> None:
    assert told(job(containerOverrides={"command": ["echo", word]}), parameters={"x": ""}) == []


def test_the_length_of_a_reference_does_not_count() -> None:
    variables = [{"name": f"V{number}", "value": "{{run.parameters.a_very_long_name}}"} for number in range(150)]
    assert told(job(containerOverrides={"environment": variables}), parameters={"a_very_long_name": ""}) == []


@pytest.mark.parametrize(
    "array", [{"arrayProperties": {"size": 3}}, {"forEach": ["one"]}, {"forEach": {"s3": "s3://b/k"}}]
)
def test_an_array_has_no_exit_code_to_branch_on(array: dict[str, Any]) -> None:
    [error] = told(job("arr", **array, **command("work")), job("b", {"job": "arr", "exitCode": [2, 3]}))
    assert error.startswith("$.jobList[1].jobDependencies[0].exitCode: found an exit code of 'arr', which is an array")
    assert "expected status" in error
    assert told(job("arr", **array, **command("work")), job("b", {"job": "arr", "status": "FAILED"})) == []


# Submission


def filled(written: dict[str, Any], **resolved: Any) -> tuple[Job, Job]:
    whole = {"container_overrides": written}
    return Job("a", "q", "d", **whole), Job("a", "q", "d", **{**whole, **resolved})


def test_a_reference_that_came_out_empty_is_named_as_the_document_has_it() -> None:
    written, resolved = filled(
        {"command": ["echo", "{{run.parameters.x}}"]}, container_overrides={"command": ["echo", ""]}
    )
    with pytest.raises(SubmissionRefused) as refused:
        check_job(written, resolved)
    assert str(refused.value).startswith(
        "AWS Batch would refuse the job. containerOverrides.command[1]: found '{{run.parameters.x}}', which is empty"
    )


def test_a_parameter_that_came_out_empty_is_named_where_it_stands() -> None:
    written, resolved = filled({"command": ["echo", "Ref::x"]}, parameters={"x": ""})
    with pytest.raises(SubmissionRefused, match="found 'Ref::x', which is empty"):
        check_job(written, resolved)


def test_a_whole_request_that_is_too_large_is_refused() -> None:
    spec = Job("a", "q", "d", container_overrides={"command": ["x" * 7000]})
    check_request(submit_job_request(spec, "a-1", (), {}, {}))
    with pytest.raises(SubmissionRefused, match=r"containerOverrides: found 8,\d+ characters"):
        check_request(submit_job_request(spec, "a-1", (), {"MORE": "x" * 1200}, {}))


def test_the_rules_are_those_of_the_service_model() -> None:
    """What botocore's model says in numbers is what the rules say."""
    from botocore.loaders import Loader

    shapes = Loader().load_service_model("batch", "service-2")["shapes"]
    assert shapes["TagrisTagsMap"]["max"] == batch_limits.MAX_TAGS
    assert shapes["TagKey"]["max"] == batch_limits.MAX_TAG_KEY
    assert shapes["TagValue"]["max"] == batch_limits.MAX_TAG_VALUE
    said = {name: json.dumps(shapes[name]) for name in ("ContainerOverrides", "SubmitJobRequest", "EvaluateOnExit")}
    assert "This parameter can't contain an empty string" in said["ContainerOverrides"]
    assert 'cannot start with \\"<code>AWS_BATCH</code>\\"' in said["ContainerOverrides"]
    assert "maximum supported value is 9999" in said["SubmitJobRequest"]
    assert "up to 512 characters" in said["EvaluateOnExit"]
