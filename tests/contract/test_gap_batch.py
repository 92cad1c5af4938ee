"""Batch really runs its jobs, and CloudFormation makes its queues and definitions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.conftest import Cloud
from tests.events import documented


class Stack:
    """A stack of Batch resources, which can be changed."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._formation = cloud.client("cloudformation")
        self._name = f"s-{uuid.uuid4().hex[:8]}"

    def create(self, **parameters: Any) -> dict[str, str]:
        self._formation.create_stack(StackName=self._name, TemplateBody=template(self._name, **parameters))
        return self.outputs("CREATE_COMPLETE")

    def update(self, **parameters: Any) -> dict[str, str]:
        self._formation.update_stack(StackName=self._name, TemplateBody=template(self._name, **parameters))
        return self.outputs("UPDATE_COMPLETE")

    def delete(self) -> None:
        self._formation.delete_stack(StackName=self._name)

    def outputs(self, wanted: str) -> dict[str, str]:
        stack: Any = {}

        def settled() -> bool:
            stack.update(self._formation.describe_stacks(StackName=self._name)["Stacks"][0])
            return not stack["StackStatus"].endswith("IN_PROGRESS")

        self._cloud.eventually(settled)
        assert stack["StackStatus"] == wanted, stack.get("StackStatusReason")
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def template(name: str, *, vcpus: str = "4", priority: int = 1, command: str = "exit 0") -> str:
    resources = {
        "Environment": {
            "Type": "AWS::Batch::ComputeEnvironment",
            "Properties": {
                "Type": "MANAGED",
                "ComputeResources": {"Type": "FARGATE", "MaxvCpus": vcpus, "Subnets": ["s"], "SecurityGroupIds": ["g"]},
            },
        },
        "Queue": {
            "Type": "AWS::Batch::JobQueue",
            "Properties": {
                "JobQueueName": name,
                "Priority": priority,
                "ComputeEnvironmentOrder": [{"Order": 1, "ComputeEnvironment": {"Ref": "Environment"}}],
            },
        },
        "Definition": {
            "Type": "AWS::Batch::JobDefinition",
            "Properties": {
                "Type": "container",
                "JobDefinitionName": name,
                "PlatformCapabilities": ["FARGATE"],
                "ContainerProperties": {
                    "Image": "any",
                    "Command": ["sh", "-c", command],
                    "ExecutionRoleArn": "arn:aws:iam::123456789012:role/any",
                    "ResourceRequirements": [{"Type": "VCPU", "Value": "1"}, {"Type": "MEMORY", "Value": "512"}],
                },
            },
        },
    }
    outputs = {
        "Environment": {"Value": {"Fn::GetAtt": ["Environment", "ComputeEnvironmentArn"]}},
        "Queue": {"Value": {"Ref": "Queue"}},
        "Definition": {"Value": {"Ref": "Definition"}},
    }
    return json.dumps({"Resources": resources, "Outputs": outputs})


def test_a_stacks_queue_and_definition_run_a_real_job(cloud: Cloud) -> None:
    made = Stack(cloud).create(command="exit 3")
    batch = cloud.client("batch")
    job = batch.submit_job(jobName="j", jobQueue=made["Queue"], jobDefinition=made["Definition"])["jobId"]

    def ended() -> Any:
        seen = batch.describe_jobs(jobs=[job])["jobs"][0]
        return seen if seen["status"] in ("SUCCEEDED", "FAILED") else None

    seen = cloud.eventually(ended)
    assert (seen["status"], seen["container"]["exitCode"]) == ("FAILED", 3)


def test_a_stack_that_changes_changes_its_batch_resources(cloud: Cloud) -> None:
    stack = Stack(cloud)
    before = stack.create()
    after = stack.update(vcpus="8", priority=7, command="exit 1")
    batch = cloud.client("batch")
    environment = batch.describe_compute_environments(computeEnvironments=[after["Environment"]])
    assert environment["computeEnvironments"][0]["computeResources"]["maxvCpus"] == 8
    assert batch.describe_job_queues(jobQueues=[after["Queue"]])["jobQueues"][0]["priority"] == 7
    assert (before["Definition"].rpartition(":")[2], after["Definition"].rpartition(":")[2]) == ("1", "2")


def test_a_stack_that_is_deleted_takes_its_batch_resources_along(cloud: Cloud) -> None:
    stack = Stack(cloud)
    made = stack.create()
    stack.delete()
    batch = cloud.client("batch")
    cloud.eventually(lambda: not batch.describe_job_queues(jobQueues=[made["Queue"]])["jobQueues"])
    cloud.eventually(
        lambda: (
            not batch.describe_compute_environments(computeEnvironments=[made["Environment"]])["computeEnvironments"]
        )
    )


def test_an_unknown_queue_is_refused(cloud: Cloud) -> None:
    batch = cloud.client("batch")
    with pytest.raises(batch.exceptions.ClientException):
        batch.submit_job(jobName="j", jobQueue="no-such-queue", jobDefinition="no-such-definition")


@pytest.fixture
def told(cloud: Cloud) -> Callable[..., Any]:
    """What EventBridge told of Batch, by detail type and state: one event, as soon as it comes."""
    name = f"q-{uuid.uuid4().hex[:8]}"
    queues, events = cloud.client("sqs"), cloud.client("events")
    url = queues.create_queue(QueueName=name)["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.batch"]}))
    events.put_targets(Rule=name, Targets=[{"Id": "q", "Arn": arn}])
    seen: list[Any] = []

    def look(job: str, kind: str, status: str) -> Any:
        answer = queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        seen.extend(json.loads(message["Body"]) for message in answer.get("Messages", []))
        wanted = (kind, job, status)
        return next(
            (it for it in seen if (it["detail-type"], it["detail"]["jobId"], it["detail"]["status"]) == wanted), None
        )

    return lambda *wanted: cloud.eventually(lambda: look(*wanted))


def lacks(found: Any, expected: Any, path: str = "") -> list[str]:
    """What an event lacks of the documented one's keys."""
    missing = [f"{path}.{key}" for key in expected if key not in found]
    inner = [key for key in expected if key in found and isinstance(expected[key], dict)]
    return missing + [more for key in inner for more in lacks(found[key], expected[key], f"{path}.{key}")]


def test_a_jobs_changes_are_told_as_documented(cloud: Cloud, told: Callable[..., Any]) -> None:
    made = Stack(cloud).create(command="exit 3")
    job = cloud.client("batch").submit_job(
        jobName="j", jobQueue=made["Queue"], jobDefinition=made["Definition"], tags={"team": "edw"}
    )["jobId"]
    for status in ("RUNNABLE", "STARTING", "RUNNING", "FAILED"):
        event = told(job, "Batch Job State Change", status)
        assert lacks(event, documented("batch_job_state_change")) == []
        assert event["resources"] == [event["detail"]["jobArn"]]
        assert event["detail"]["jobQueue"] == made["Queue"]
        assert event["detail"]["tags"] == {"team": "edw", "resourceArn": event["detail"]["jobArn"]}
    assert event["detail"]["container"]["exitCode"] == 3
    [attempt] = event["detail"]["attempts"]
    assert attempt["stoppedAt"] == event["detail"]["stoppedAt"] >= event["detail"]["startedAt"], "milliseconds"


def test_an_arrays_children_are_told_of(cloud: Cloud, told: Callable[..., Any]) -> None:
    made = Stack(cloud).create()
    array = cloud.client("batch").submit_job(
        jobName="j", jobQueue=made["Queue"], jobDefinition=made["Definition"], arrayProperties={"size": 2}
    )["jobId"]
    child = told(f"{array}:1", "Batch Job State Change", "SUCCEEDED")
    assert child["detail"]["arrayProperties"]["index"] == 1
    parent = told(array, "Batch Job State Change", "SUCCEEDED")
    assert parent["detail"]["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 2


def test_a_job_that_holds_up_its_queue_is_told_as_documented(cloud: Cloud, told: Callable[..., Any]) -> None:
    made = Stack(cloud).create(vcpus="2")
    needs = {"resourceRequirements": [{"type": "VCPU", "value": "4"}]}
    job = cloud.client("batch").submit_job(
        jobName="j", jobQueue=made["Queue"], jobDefinition=made["Definition"], containerOverrides=needs
    )["jobId"]
    event = told(job, "Batch Job Queue Blocked", "RUNNABLE")
    assert lacks(event, documented("batch_job_queue_blocked")) == []
    assert event["resources"] == [event["detail"]["jobArn"], made["Queue"]]
    assert event["detail"]["statusReason"].startswith("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE")
