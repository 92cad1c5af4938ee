"""Step Functions Local as the engine of one state machine, while everything else stays on the embedded engine.

Calls that name that machine or its executions, and answers of its tasks, are handed on to the endpoint that
SFN_ENDPOINT_URL names; its tasks come back to the embedded engine's Lambdas.
https://docs.aws.amazon.com/step-functions/latest/dg/sfn-local.html
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from universal_scheduler.local.gaps import require_ministack

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]

ENDPOINT_VARIABLE = "SFN_ENDPOINT_URL"

_SECONDS = 30
_BY_ARN = ("StartExecution", "StopExecution", "DescribeExecution", "ListExecutions", "GetExecutionHistory")
_BY_TOKEN = ("SendTaskSuccess", "SendTaskFailure", "SendTaskHeartbeat")
_CONTENT_TYPE = "application/x-amz-json-1.0"


class SfnLocalError(RuntimeError):
    """Step Functions Local does not answer, or is not as the embedded engine needs it. The message says what to do."""


class SfnLocal:
    """A running Step Functions Local, and the one state machine that it drives."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._machine = ""

    def take(self, machine_arn: str, definition: str, role_arn: str) -> None:
        """Make or update the machine there, and hand its calls on from now on.

        Raises:
            SfnLocalError: it did not take the machine.
        """
        name = machine_arn.rpartition(":")[2]
        status, _, body = self.call("CreateStateMachine", {"name": name, "definition": definition, "roleArn": role_arn})
        answer: Json = json.loads(body)
        if status >= 400 and answer.get("__type") == "StateMachineAlreadyExists":
            status, _, body = self.call(
                "UpdateStateMachine", {"stateMachineArn": machine_arn, "definition": definition}
            )
            answer = {"stateMachineArn": machine_arn, **json.loads(body)}
        if status >= 400:
            raise SfnLocalError(f"{self._endpoint} does not take the state machine: {answer.get('message', answer)}")
        if answer["stateMachineArn"] != machine_arn:
            _, _, _, region, account, *_ = machine_arn.split(":")
            raise SfnLocalError(
                f"{self._endpoint} is of another account or region: start Step Functions Local with "
                f"AWS_ACCOUNT_ID={account} and AWS_DEFAULT_REGION={region}"
            )
        self._machine = machine_arn

    def owns(self, request: Json) -> bool:
        """Whether a request is about the machine or one of its executions."""
        if not self._machine:
            return False
        machine: str = request.get("stateMachineArn", "").partition("#")[0]  # with the name of a mocked case behind it
        executions = self._machine.replace(":stateMachine:", ":execution:") + ":"
        execution: str = request.get("executionArn", "")
        return machine == self._machine or execution.startswith(executions)

    def call(self, action: str, request: Json) -> Answer:
        """The answer of the endpoint.

        Raises:
            SfnLocalError: there is none.
        """
        headers = {
            "Content-Type": _CONTENT_TYPE,
            "X-Amz-Target": f"AWSStepFunctions.{action}",
            "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/states/aws4_request, "
            "SignedHeaders=host, Signature=none",
        }
        message = urllib.request.Request(self._endpoint, json.dumps(request).encode(), headers)
        try:
            with urllib.request.urlopen(message, timeout=_SECONDS) as answer:
                return answer.status, {"Content-Type": _CONTENT_TYPE}, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {"Content-Type": _CONTENT_TYPE}, _plain(error.read())
        except OSError as error:
            raise SfnLocalError(
                f"{ENDPOINT_VARIABLE} is {self._endpoint}, which does not answer ({error}): "
                "start Step Functions Local there, or unset the variable"
            ) from error


def _plain(body: bytes) -> bytes:
    """An error whose type has no namespace, as from ministack."""
    try:
        error: Json = json.loads(body)
    except ValueError:
        error = {"__type": "ServiceUnavailable", "message": body.decode(errors="replace")}
    error["__type"] = error.get("__type", "ServiceUnavailable").rpartition("#")[2]
    return json.dumps(error).encode()


def apply(remote: SfnLocal) -> None:
    """Let ministack hand on everything about the machine of `remote`, whoever calls: over HTTP, or from another state
    machine."""
    require_ministack("sfn_local")
    from ministack.services import stepfunctions

    def hand_on(action: str, theirs: Callable[[Json], bool]) -> None:
        name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in action)
        here: Callable[[Json], Answer] = getattr(stepfunctions, name)

        def call(request: Json) -> Answer:
            if not theirs(request):
                return here(request)
            try:
                return remote.call(action, request)
            except SfnLocalError as error:
                return 503, {}, json.dumps({"__type": "ServiceUnavailable", "message": str(error)}).encode()

        setattr(stepfunctions, name, call)

    for action in _BY_ARN:
        hand_on(action, remote.owns)
    for action in _BY_TOKEN:
        hand_on(action, lambda request: request.get("taskToken") not in stepfunctions._task_tokens)
    # Waiting for another process must not hold up the event loop.
    stepfunctions._OFF_LOOP_ACTIONS = {*stepfunctions._OFF_LOOP_ACTIONS, *_BY_ARN, *_BY_TOKEN}
