"""Reads the events of Step Functions about executions. It is pure.

https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EXECUTION_STATUS = "Step Functions Execution Status Change"
ABORTED, TIMED_OUT, FAILED = "ABORTED", "TIMED_OUT", "FAILED"


@dataclass(frozen=True, slots=True)
class ExecutionEnded:
    """An execution that has ended without success."""

    arn: str
    name: str
    status: str
    """ABORTED, TIMED_OUT or FAILED."""
    reason: str
    """Why it ended, in words, with the error and the cause of Step Functions if the event has them."""
    input: str = "{}"
    """The input of the execution as JSON; `{}` if the event leaves it out because it is too large."""


def read_execution_event(event: Mapping[str, Any]) -> ExecutionEnded:
    """Read an EventBridge event of detail type *Step Functions Execution Status Change* about an end without success.

    Raises:
        ValueError: it is another event, or it lacks something that every such event has.
    """
    try:
        detail, kind = event["detail"], (event["source"], event["detail-type"])
        if kind != ("aws.states", EXECUTION_STATUS) or detail["status"] not in (ABORTED, TIMED_OUT, FAILED):
            raise ValueError(f"not the end of an execution: {kind}, {detail.get('status')}")
        said = ": ".join(text for text in (detail.get("error"), detail.get("cause")) if text)
        did = {ABORTED: "was aborted", TIMED_OUT: "timed out", FAILED: "failed"}[detail["status"]]
        given = detail.get("input") or "{}"
        return ExecutionEnded(
            arn=detail["executionArn"],
            name=detail["name"],
            status=detail["status"],
            reason=f"the execution {did}" + (f": {said}" if said else ""),
            input=given if isinstance(json.loads(given), dict) else "{}",
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event of Step Functions: {type(error).__name__} {error}") from error
