"""The executions of the state machine over AWS Step Functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from universal_scheduler.domain.names import execution_name_problem
from universal_scheduler.domain.runs.model import Execution
from universal_scheduler.ports.workflow import Stopped

if TYPE_CHECKING:
    from types_boto3_stepfunctions import SFNClient

GOING_ON = ("RUNNING", "PENDING_REDRIVE")


class StepFunctionsWorkflow:
    """`ports.workflow.Workflow` over a boto3 client of Step Functions."""

    def __init__(self, client: SFNClient, *, state_machine_arn: str) -> None:
        self._client = client
        self._machine = state_machine_arn

    def execution(self, name: str) -> Execution:
        """The execution with this name, whether it exists or not."""
        return Execution(f"{self._machine.replace(':stateMachine:', ':execution:')}:{name}", name)

    def describe(self, name: str) -> dict[str, Any] | None:
        """What Step Functions knows of an execution; None if there is none. It is for an execution that has no run
        (yet)."""
        if execution_name_problem(name):
            return None
        try:
            seen = self._client.describe_execution(executionArn=self.execution(name).arn)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("ExecutionDoesNotExist", "InvalidArn"):
                return None
            raise
        view = {"name": name, "executionArn": seen["executionArn"], "status": seen["status"]}
        reason = ": ".join(text for text in (seen.get("error"), seen.get("cause")) if text)
        return view | ({"reason": reason} if reason else {})

    def is_running(self, execution: Execution) -> bool:
        """Whether an execution goes on. One that Step Functions does not know does not."""
        seen = self.describe(execution.arn.rpartition(":")[2])
        return seen is not None and seen["status"] in GOING_ON

    def stopped(self, execution: Execution) -> Stopped | None:
        try:
            seen = self._client.describe_execution(executionArn=execution.arn)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("ExecutionDoesNotExist", "InvalidArn"):
                return Stopped()
            raise
        if seen["status"] in GOING_ON:
            return None
        at = seen["stopDate"].timestamp() if "stopDate" in seen else 0.0
        return Stopped(at, aborted=seen["status"] == "ABORTED")

    def start(self, name: str, message: Mapping[str, Any]) -> tuple[Execution, bool]:
        try:
            answer = self._client.start_execution(stateMachineArn=self._machine, name=name, input=json.dumps(message))
        except ClientError as error:
            # The name says what caused the execution: whoever finds it taken was delivered the cause twice.
            # https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
            if error.response.get("Error", {}).get("Code") == "ExecutionAlreadyExists":
                return self.execution(name), False
            raise
        return Execution(answer["executionArn"], name), True

    def wake(self, token: str) -> None:
        try:
            self._client.send_task_success(taskToken=token, output="{}")
        except ClientError as error:
            # A late answer: the wait is over already.
            # https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html
            if error.response.get("Error", {}).get("Code") not in ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken"):
                raise
