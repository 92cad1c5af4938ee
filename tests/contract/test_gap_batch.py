"""Batch really runs its jobs, and CloudFormation makes its queues and definitions."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.contract.conftest import Cloud


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
