"""The local Batch as boto3 sees it, with every answer checked against the model that boto3 is made from."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape

from tests.local_batch import ARN, World, definition, environment, needs, queue
from universal_scheduler.local.batch import Batch, BatchApi, ProcessRunner, jobs, owns
from universal_scheduler.local.batch.logs import Event
from universal_scheduler.local.batch.shapes import batch_model, operations

Answer = tuple[int, dict[str, str], bytes]
Handle = Callable[[str, str, Mapping[str, str], bytes], Answer]


@pytest.fixture(autouse=True, params=["in memory", "on disk"])
def ended_jobs_are(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch answers the same about jobs that ended just now and about those that are in its archive already."""
    if request.param == "on disk":
        monkeypatch.setattr(jobs, "RECENT", 0)
        monkeypatch.setattr(jobs, "ARCHIVED_AT_ONCE", 1)


class Raw:
    """The stream that botocore reads an answer from."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> list[bytes]:
        return [self._body]


def client_of(handle: Handle) -> Any:
    """A boto3 client whose requests go to ``handle`` instead of the network."""
    client = boto3.client("batch", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        url = urlsplit(request.url)
        path = f"{url.path}?{url.query}" if url.query else url.path
        assert request.method is not None
        assert owns(request.method, path)
        body = request.body or b""
        status, headers, answer = handle(request.method, path, dict(request.headers), bytes(body))
        if status == 200:
            operation = operations_by_path(request.method, url.path)
            assert operation.output_shape is not None
            assert_fits(json.loads(answer), operation.output_shape)
        return AWSResponse(request.url, status, headers, Raw(answer))  # type: ignore[arg-type]

    client.meta.events.register("before-send.batch.*", send)
    return client


def operations_by_path(method: str, path: str) -> Any:
    return operations().get((method, path)) or operations()[(method, "/v1/tags/{resourceArn}")]


def assert_fits(value: Any, shape: Shape, path: str = "") -> None:
    """Every member is the model's, of its type, and the required ones are there."""
    match shape:
        case StructureShape():
            assert isinstance(value, dict), path
            assert set(value) <= set(shape.members), path
            # startedAt is required by the model, but AWS leaves it out of what has not started.
            assert set(shape.required_members) - {"startedAt"} <= set(value), path
            for name, item in value.items():
                assert_fits(item, shape.members[name], f"{path}.{name}")
        case ListShape():
            assert isinstance(value, list), path
            for item in value:
                assert_fits(item, shape.member, f"{path}[]")
        case MapShape():
            assert isinstance(value, dict), path
            for item in value.values():
                assert_fits(item, shape.value, f"{path}{{}}")
        case _:
            kinds = {"string": str, "boolean": bool, "integer": int, "long": int, "float": float}
            assert type(value) is kinds[shape.type_name], path
            if enum := getattr(shape, "enum", None):
                assert value in enum, path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def client(world: World) -> Any:
    return client_of(lambda *request: asyncio.run(world.api.handle(*request)))


def refused(call: Callable[..., object], **request: Any) -> str:
    """The message with which a call is refused as ClientException."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response
    assert error["Error"]["Code"] == "ClientException"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error["Error"]["Message"]


# Jobs


def test_a_job_is_described_in_every_state(world: World, client: Any) -> None:
    job = client.submit_job(
        jobName="full",
        jobQueue="default",
        jobDefinition="shell",
        parameters={"a": "b"},
        containerOverrides={"command": ["echo", "Ref::a"], "environment": [{"name": "X", "value": "y"}], **needs("2")},
        retryStrategy={"attempts": 2, "evaluateOnExit": [{"onExitCode": "9", "action": "exit"}]},
        timeout={"attemptDurationSeconds": 90},
        tags={"team": "edw"},
        propagateTags=True,
        schedulingPriorityOverride=3,
    )
    assert job["jobArn"] == f"{ARN}:job/{job['jobId']}"
    for step in (None, world.clock.advance, lambda: world.exit(job["jobId"], 1), lambda: world.exit(job["jobId"])):
        if step:
            step()
        (detail,) = client.describe_jobs(jobs=[job["jobId"]])["jobs"]
    assert detail["status"] == "SUCCEEDED"
    assert detail["jobQueue"] == f"{ARN}:job-queue/default"
    assert detail["jobDefinition"] == f"{ARN}:job-definition/shell:1"
    assert detail["container"]["command"] == ["echo", "b"]
    assert detail["container"]["environment"] == [{"name": "X", "value": "y"}]
    assert {"type": "VCPU", "value": "2"} in detail["container"]["resourceRequirements"]
    assert detail["retryStrategy"]["evaluateOnExit"] == [{"onExitCode": "9", "action": "EXIT"}]
    assert (detail["timeout"], detail["tags"]) == ({"attemptDurationSeconds": 90}, {"team": "edw"})
    assert [attempt["container"]["exitCode"] for attempt in detail["attempts"]] == [1, 0]
    assert detail["createdAt"] == detail["startedAt"] == world.clock.now()


def test_events_are_job_details(world: World, client: Any) -> None:
    array = world.submit(arrayProperties={"size": 2})
    world.exit(f"{array}:0")
    world.exit(f"{array}:1", 1)
    assert client.describe_jobs(jobs=[array])["jobs"][0]["status"] == "FAILED"
    for event in world.events:
        assert_fits(event, batch_model().shape_for("JobDetail"))


def test_unknown_jobs_are_left_out(world: World, client: Any) -> None:
    job = world.submit()
    unknown = "00000000-0000-0000-0000-000000000000"
    assert [it["jobId"] for it in client.describe_jobs(jobs=[unknown, job, job])["jobs"]] == [job]
    assert "Up to 100" in refused(client.describe_jobs, jobs=[unknown] * 101)


def test_jobs_are_listed_by_status_the_running_ones_by_default(world: World, client: Any) -> None:
    done, running = world.submit("done"), world.submit("running")
    world.exit(done, 4)
    listed = client.list_jobs(jobQueue=f"{ARN}:job-queue/default")["jobSummaryList"]
    assert [job["jobId"] for job in listed] == [running]
    (summary,) = client.list_jobs(jobQueue="default", jobStatus="FAILED")["jobSummaryList"]
    assert (summary["jobName"], summary["container"]["exitCode"]) == ("done", 4)


def test_children_are_listed_by_their_array(world: World, client: Any) -> None:
    array = world.submit(arrayProperties={"size": 5})
    world.exit(f"{array}:3")
    listed = client.list_jobs(arrayJobId=array)["jobSummaryList"]
    assert [job["arrayProperties"]["index"] for job in listed] == [0, 1, 2, 4]
    (parent,) = client.list_jobs(jobQueue="default", jobStatus="PENDING")["jobSummaryList"]
    assert (parent["jobId"], parent["arrayProperties"]) == (array, {"size": 5})


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("JOB_NAME", ["LOAD"], ["load"]),
        ("JOB_NAME", ["load*"], ["Load2", "load"]),
        ("JOB_DEFINITION", ["shell"], ["Load2", "load"]),
        ("JOB_DEFINITION", ["sh*", "other"], ["other", "Load2", "load"]),
        ("JOB_DEFINITION", [f"{ARN}:job-definition/other:1"], ["other"]),
        ("AFTER_CREATED_AT", ["1700000001000"], ["other"]),
        ("BEFORE_CREATED_AT", ["1700000001000"], ["load"]),
    ],
)
def test_jobs_are_filtered(world: World, client: Any, name: str, values: list[str], found: list[str]) -> None:
    client.register_job_definition(**definition("other"))
    for job, uses in (("load", "shell"), ("Load2", "shell"), ("other", "other")):
        world.exit(world.submit(job, jobDefinition=uses))
        world.clock.advance(1)
    listed = client.list_jobs(jobQueue="default", filters=[{"name": name, "values": values}])["jobSummaryList"]
    assert [job["jobName"] for job in listed] == found


def test_listings_come_in_pages_that_changes_do_not_shift(world: World, client: Any) -> None:
    jobs = [world.submit() for _ in range(25)]
    first = client.list_jobs(jobQueue="default", maxResults=10)
    world.exit(first["jobSummaryList"][-1]["jobId"])
    rest = client.list_jobs(jobQueue="default", maxResults=20, nextToken=first["nextToken"])
    assert "nextToken" not in rest
    listed = [job["jobId"] for page in (first, rest) for job in page["jobSummaryList"]]
    assert listed == jobs[::-1]
    pages = client.get_paginator("list_jobs").paginate(jobQueue="default", PaginationConfig={"PageSize": 7})
    assert len([job for page in pages for job in page["jobSummaryList"]]) == 24
    assert "nextToken" in refused(client.list_jobs, jobQueue="default", nextToken="é")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"jobQueue": "nowhere"}, "JobQueue nowhere not found"),
        ({"jobDefinition": "nothing"}, "JobDefinition name nothing does not exist or is not in ACTIVE status"),
        ({"jobDefinition": "shell:9"}, "shell:9 does not exist"),
        ({"jobName": "no spaces"}, "Job name should match valid pattern"),
        ({"containerOverrides": {"environment": [{"name": "AWS_BATCH_X", "value": ""}]}}, "AWS_BATCH_X"),
        ({"containerOverrides": needs("many")}, "found 'many' for VCPU, expected whole vCPUs"),
        ({"nodeOverrides": {"numNodes": 2}}, "nodeOverrides"),
        ({"tags": {"aws:x": "y"}}, "aws:"),
    ],
)
def test_impossible_submissions_are_refused(client: Any, request_: dict[str, Any], message: str) -> None:
    valid = {"jobName": "job", "jobQueue": "default", "jobDefinition": "shell"}
    assert message in refused(client.submit_job, **{**valid, **request_})
    for status in ("SUBMITTED", "PENDING", "RUNNABLE", "RUNNING"):
        assert client.list_jobs(jobQueue="default", jobStatus=status)["jobSummaryList"] == []


def test_listing_needs_one_scope_and_a_known_filter(client: Any) -> None:
    assert "exactly one of" in refused(client.list_jobs)
    assert "exactly one of" in refused(client.list_jobs, jobQueue="default", arrayJobId="x")
    assert "does not exist" in refused(client.list_jobs, arrayJobId="x")
    for filters in ([{"name": "COLOUR", "values": ["red"]}], [{"name": "JOB_NAME", "values": []}], [{}] * 2):
        refused(client.list_jobs, jobQueue="default", filters=filters)


def test_cancelling_and_terminating(world: World, client: Any) -> None:
    job = world.submit()
    client.cancel_job(jobId=job, reason="r")
    client.terminate_job(jobId=job, reason="r")
    assert client.terminate_jobs(jobs=[job], reason="r")["successful"] == [job]
    assert client.cancel_jobs(jobs=["x"], reason="r")["errors"][0]["code"] == "ValidationException"
    world.exit(job, None, signal=15)
    (detail,) = client.describe_jobs(jobs=[job])["jobs"]
    assert (detail["status"], detail["statusReason"], detail["isTerminated"]) == ("FAILED", "r", True)


# Resources


def test_compute_environments(client: Any) -> None:
    created = client.create_compute_environment(**environment("more", 8, tags={"a": "b"}))
    assert created["computeEnvironmentArn"] == f"{ARN}:compute-environment/more"
    assert "already exists" in refused(client.create_compute_environment, **environment("more", 8))
    client.update_compute_environment(computeEnvironment="more", computeResources={"maxvCpus": 16})
    client.create_job_queue(**queue("more", 1, "more"))
    assert "DISABLED first" in refused(client.delete_compute_environment, computeEnvironment="more")
    client.update_compute_environment(computeEnvironment="more", state="DISABLED")
    assert "relationship: more" in refused(client.delete_compute_environment, computeEnvironment="more")
    (shown,) = client.describe_compute_environments(computeEnvironments=["more", "none"])["computeEnvironments"]
    assert (shown["status"], shown["state"], shown["tags"]) == ("VALID", "DISABLED", {"a": "b"})
    assert shown["computeResources"]["maxvCpus"] == 16
    client.update_job_queue(jobQueue="more", state="DISABLED")
    client.delete_job_queue(jobQueue="more")
    client.delete_compute_environment(computeEnvironment=created["computeEnvironmentArn"])
    assert "does not exist" in refused(client.delete_compute_environment, computeEnvironment="more")


def test_job_queues(client: Any) -> None:
    created = client.create_job_queue(**queue("high", 10, "usched", tags={"a": "b"}))
    assert created["jobQueueArn"] == f"{ARN}:job-queue/high"
    assert "already exists" in refused(client.create_job_queue, **queue("high", 10, "usched"))
    client.update_job_queue(jobQueue="high", priority=7)
    (shown,) = client.describe_job_queues(jobQueues=[created["jobQueueArn"]])["jobQueues"]
    assert (shown["priority"], shown["state"], shown["status"]) == (7, "ENABLED", "VALID")
    order = [{"order": 1, "computeEnvironment": f"{ARN}:compute-environment/usched"}]
    assert (shown["computeEnvironmentOrder"], shown["jobQueueType"]) == (order, "ECS_FARGATE")
    assert [it["jobQueueName"] for it in client.describe_job_queues()["jobQueues"]] == ["default", "high"]
    assert "between 0 and 1000" in refused(client.create_job_queue, **queue("q", 1001, "usched"))
    assert "none does not exist" in refused(client.create_job_queue, **queue("q", 1, "none"))
    assert "1 to 3" in refused(client.create_job_queue, **queue("q", 1))


def test_job_definitions_have_revisions(world: World, client: Any) -> None:
    second = client.register_job_definition(**definition("shell", "2", timeout={"attemptDurationSeconds": 60}))
    assert (second["revision"], second["jobDefinitionArn"]) == (2, f"{ARN}:job-definition/shell:2")
    for reference, revision in (("shell", 2), ("shell:1", 1), (second["jobDefinitionArn"], 2)):
        job = world.job(world.submit(jobDefinition=reference))
        assert job["jobDefinition"] == f"{ARN}:job-definition/shell:{revision}"
    client.deregister_job_definition(jobDefinition="shell:2")
    assert world.job(world.submit())["jobDefinition"].endswith("shell:1")
    active = client.describe_job_definitions(jobDefinitionName="shell", status="ACTIVE")["jobDefinitions"]
    assert [it["revision"] for it in active] == [1]
    (shown,) = client.describe_job_definitions(jobDefinitions=["shell:2"])["jobDefinitions"]
    assert (shown["status"], shown["timeout"]) == ("INACTIVE", {"attemptDurationSeconds": 60})
    assert client.register_job_definition(**definition("shell"))["revision"] == 3
    assert "shell:9 not found" in refused(client.deregister_job_definition, jobDefinition="shell:9")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"jobDefinitionName": "a b"}, "should match the pattern"),
        ({"containerProperties": {"image": ""}}, "image"),
        ({"containerProperties": {"image": "x", "memory": 1}}, "vCPU is not provided"),
        ({"containerProperties": {"image": "x", "vcpus": 1}}, "Memory is not provided"),
        ({"type": "multinode"}, "type container"),
        ({"timeout": {"attemptDurationSeconds": 1}}, "at least 60"),
    ],
)
def test_impossible_definitions_are_refused(client: Any, request_: dict[str, Any], message: str) -> None:
    assert message in refused(client.register_job_definition, **{**definition("bad"), **request_})


def test_tags(world: World, client: Any) -> None:
    job = world.job(world.submit(tags={"a": "1"}))
    for arn in (job["jobArn"], job["jobQueue"], job["jobDefinition"], f"{ARN}:compute-environment/usched"):
        client.tag_resource(resourceArn=arn, tags={"b": "2", "c": "3"})
        client.untag_resource(resourceArn=arn, tagKeys=["c", "none"])
        tags = client.list_tags_for_resource(resourceArn=arn)["tags"]
        assert {key: tags[key] for key in tags if key != "a"} == {"b": "2"}
    assert world.job(job["jobId"])["tags"] == {"a": "1", "b": "2"}
    assert "does not exist" in refused(client.list_tags_for_resource, resourceArn=f"{ARN}:job-queue/none")


def test_a_job_that_has_ended_can_have_other_tags(world: World, client: Any) -> None:
    job = world.submit(tags={"a": "1", "b": "2"})
    world.exit(job)
    client.tag_resource(resourceArn=world.job(job)["jobArn"], tags={"a": "3"})
    client.untag_resource(resourceArn=world.job(job)["jobArn"], tagKeys=["b"])
    assert world.job(job)["tags"] == {"a": "3"}


# HTTP


def answer(world: World, path: str, body: bytes, method: str = "POST") -> tuple[int, str | None, Any]:
    status, headers, content = asyncio.run(world.api.handle(method, path, {}, body))
    return status, headers.get("x-amzn-errortype"), json.loads(content)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "jobName is required. jobQueue is required. jobDefinition is required."),
        (b"[]", "The request body must be an object."),
        (b"{", "The request body is not valid JSON: .*"),
        (b'{"jobName": 1, "jobQueue": "q", "jobDefinition": "d"}', "jobName must be a string, not a number."),
        (
            b'{"jobName": "n", "jobQueue": "q", "jobDefinition": "d", "containerOverrides": {"command": ["a", true]}}',
            r"containerOverrides.command\[1\] must be a string, not a boolean.",
        ),
        (
            b'{"jobName": "n", "jobQueue": "q", "jobDefinition": "d", "dependsOn": [{"jobId": "x", "type": "ALL"}]}',
            r"dependsOn\[0\].type must be one of N_TO_N, SEQUENTIAL, not 'ALL'.",
        ),
    ],
)
def test_malformed_requests_are_told_what_is_wrong(world: World, body: bytes, message: str) -> None:
    status, error, content = answer(world, "/v1/submitjob", body)
    assert (status, error) == (400, "ClientException")
    assert re.fullmatch(message, content["message"])


def test_unknown_and_null_members_are_ignored(world: World) -> None:
    body = b'{"jobName": "n", "jobQueue": "default", "jobDefinition": "shell", "tags": null, "colour": "red"}'
    assert answer(world, "/v1/submitjob", body)[0] == 200


def test_operations_that_are_not_there_say_so(world: World) -> None:
    status, error, content = answer(world, "/v1/listschedulingpolicies", b"{}")
    assert (status, error) == (400, "ClientException")
    assert "ListSchedulingPolicies" in content["message"]


def test_a_fault_of_the_service_is_a_server_exception(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.batch._life.jobs = None  # type: ignore[assignment]
    status, error, _ = answer(world, "/v1/describejobs", b'{"jobs": ["x"]}')
    assert (status, error) == (500, "ServerException")
    assert "Traceback" in caplog.text


def test_only_batch_paths_are_owned() -> None:
    arn = f"{ARN}:job-queue/q"
    owned = [("POST", "/v1/submitjob"), ("POST", "/v1/describejobs?x=1"), ("GET", f"/v1/tags/{arn}")]
    owned.append(("DELETE", f"/v1/tags/{arn.replace(':', '%3A').replace('/', '%2F')}?tagKeys=a"))
    for method, path in owned:
        assert owns(method, path)
    others = [("GET", "/v1/submitjob"), ("POST", "/v1/other"), ("GET", "/v1/tags/arn:aws:kafka:us-east-1:1:cluster/c")]
    for method, path in others:
        assert not owns(method, path)


# With real processes


class Sink:
    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}

    async def open(self, group: str, stream: str) -> None:
        assert group == "/aws/batch/job"
        self.texts.setdefault(stream, [])

    async def put(self, group: str, stream: str, events: Sequence[Event]) -> None:
        assert group == "/aws/batch/job"
        self.texts.setdefault(stream, []).extend(text for _, text in events)


def test_jobs_really_run(tmp_path: Path) -> None:
    """The whole service over HTTP's seam, from another thread: logs are there when the end is told."""
    sink = Sink()

    def use(client: Any) -> None:
        client.create_compute_environment(**environment("usched", 4))
        client.create_job_queue(**queue("default", 1, "usched"))
        client.register_job_definition(**definition("shell"))

        def submit(*command: str, **request: Any) -> str:
            overrides = {"command": list(command)}
            names = {"jobName": "job", "jobQueue": "default", "jobDefinition": "shell"}
            return str(client.submit_job(**names, containerOverrides=overrides, **request)["jobId"])

        first = submit(
            "sh",
            "-c",
            "echo hello $AWS_BATCH_JOB_ATTEMPT; exit $((2 - $AWS_BATCH_JOB_ATTEMPT))",
            retryStrategy={"attempts": 3},
        )
        second = submit("sh", "-c", "echo after", dependsOn=[{"jobId": first}])
        missing = submit("no-such-command")
        array = submit("sh", "-c", "echo $AWS_BATCH_JOB_ARRAY_INDEX", arrayProperties={"size": 10})
        endless = submit("sleep", "1000")
        ids = [first, second, missing, array, *(f"{array}:{index}" for index in range(10))]
        jobs: list[dict[str, Any]] = []
        while not jobs or any(job["status"] not in ("SUCCEEDED", "FAILED") for job in jobs):
            jobs = client.describe_jobs(jobs=ids)["jobs"]
        client.terminate_job(jobId=endless, reason="enough")
        while (ended := client.describe_jobs(jobs=[endless])["jobs"][0])["status"] != "FAILED":
            pass
        assert ended["container"]["exitCode"] == 143

        assert [job["status"] for job in jobs] == ["SUCCEEDED", "SUCCEEDED", "FAILED"] + ["SUCCEEDED"] * 11
        streams = [attempt["container"]["logStreamName"] for attempt in jobs[0]["attempts"]]
        assert [sink.texts[stream] for stream in streams] == [["hello 1"], ["hello 2"]]
        assert sink.texts[jobs[1]["container"]["logStreamName"]] == ["after"]
        assert jobs[1]["startedAt"] >= jobs[0]["stoppedAt"]
        reason = 'CannotStartContainerError: exec: "no-such-command": executable file not found in $PATH'
        assert jobs[2]["container"]["reason"] == reason
        assert [sink.texts[job["container"]["logStreamName"]] for job in jobs[4:]] == [[str(n)] for n in range(10)]

    async def main() -> None:
        batch = Batch(
            region="us-east-1",
            account="123456789012",
            state_dir=tmp_path,
            base_env={"PATH": "/usr/bin:/bin"},
            log_sink=sink,
            runner=ProcessRunner(),
        )
        api = BatchApi(batch)
        await api.start()
        loop = asyncio.get_running_loop()

        def handle(*request: Any) -> Answer:
            return asyncio.run_coroutine_threadsafe(api.handle(*request), loop).result()

        try:
            async with asyncio.timeout(60):
                await asyncio.to_thread(use, client_of(handle))
                names = await asyncio.to_thread(api.call_from_thread, "DescribeJobQueues", {})
            assert names == api.call_from_thread("DescribeJobQueues", {})
        finally:
            await api.close()

    asyncio.run(main())
