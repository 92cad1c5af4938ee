"""What the scheduler asks Step Functions of an execution."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from universal_scheduler.adapters.stepfunctions import StepFunctionsWorkflow
from universal_scheduler.ports.workflow import Stopped


@pytest.fixture
def workflow() -> Iterator[StepFunctionsWorkflow]:
    with mock_aws():
        client = boto3.client("stepfunctions", region_name="us-east-1")
        waits = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}
        role = "arn:aws:iam::123456789012:role/machine"
        machine = client.create_state_machine(name="runner", definition=json.dumps(waits), roleArn=role)
        workflow = StepFunctionsWorkflow(client, state_machine_arn=machine["stateMachineArn"])
        workflow.start("one", {})
        yield workflow


def test_an_execution_that_goes_on_has_not_stopped(workflow: StepFunctionsWorkflow) -> None:
    assert workflow.stopped(workflow.execution("one")) is None
    assert workflow.is_running(workflow.execution("one"))


def test_an_execution_that_is_unknown_has_stopped_at_any_time(workflow: StepFunctionsWorkflow) -> None:
    assert workflow.stopped(workflow.execution("two")) == Stopped()


def test_an_execution_that_somebody_has_stopped_was_aborted(workflow: StepFunctionsWorkflow) -> None:
    client = boto3.client("stepfunctions", region_name="us-east-1")
    stopped = client.stop_execution(executionArn=workflow.execution("one").arn)
    assert workflow.stopped(workflow.execution("one")) == Stopped(stopped["stopDate"].timestamp(), aborted=True)
