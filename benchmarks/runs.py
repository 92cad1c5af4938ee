"""Runs a workload once on a side and measures it: the same way for the scheduler and for the reference design."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from benchmarks.measures import (
    REFERENCE_WAIT_SECONDS,
    Measured,
    lags,
    largest_payload,
    transitions,
    wall_with_wait,
)
from benchmarks.stage import Stage, until
from benchmarks.workloads import Workload

Row = dict[str, Any]


class Side(Protocol):
    """One of the two that are compared: its state machine, and its tables."""

    machine_arn: str

    def put(self, document: Row) -> None:
        """Store a schedule, without starting it."""

    def ended_run(self, schedule_id: str) -> Row | None:
        """The run's row in the history, if its end is recorded."""

    def job_ids(self, run: Row | None, since: float) -> dict[str, str]:
        """The Batch jobs of a run, by name; where the run has no row, those that were submitted since then."""


def run(stage: Stage, side: Side, workload: Workload) -> Measured:
    schedule_id = f"{workload.name.lower()}-{uuid.uuid4().hex[:8]}"
    queue, definition = stage.engine.queues["default"], stage.engine.job_definitions["shell"]
    side.put(workload.document(schedule_id, queue, definition))
    workflow = stage.client("stepfunctions")
    stage.become_quiet()
    with stage.counted() as counted:
        since = time.time()
        began = time.perf_counter()
        started = workflow.start_execution(
            stateMachineArn=side.machine_arn, name=schedule_id, input=json.dumps({"scheduleId": schedule_id})
        )

        def look() -> Mapping[str, Any] | None:
            execution: Mapping[str, Any] = workflow.describe_execution(executionArn=started["executionArn"])
            return None if execution["status"] == "RUNNING" else execution

        execution = until(look, what=f"the end of {schedule_id}")
        wall = time.perf_counter() - began
        calls = counted()
    row = side.ended_run(schedule_id)
    ids = side.job_ids(row, since)
    times = stage.job_times(ids)
    events = stage.events(started["executionArn"])
    outcome = _outcome(execution, row, len(ids), len(workload.upstream))
    return Measured(
        outcome=outcome,
        wall=wall,
        lags=lags(times, workload.upstream),
        wall_at_60=wall_with_wait(wall, events, REFERENCE_WAIT_SECONDS) if outcome == "SUCCEEDED" else None,
        transitions=transitions(events),
        lambdas=sum(len(seconds) for seconds in calls.lambdas.values()),
        batch=calls.batch,
        dynamodb=calls.dynamodb,
        payload=largest_payload(events),
        history=len(events),
        lambda_seconds={name: sum(seconds) for name, seconds in calls.lambdas.items()},
    )


def _outcome(execution: Mapping[str, Any], row: Row | None, submitted: int, jobs: int) -> str:
    status: str = execution["status"]
    if row is not None and status == row["scheduleStatus"] == "SUCCEEDED":
        return status
    recorded = "no history" if row is None else f"recorded as {row['scheduleStatus']}"
    return f"{status}, {submitted} of {jobs} jobs submitted, {recorded}: {_cause(execution)}"


def _cause(execution: Mapping[str, Any]) -> str:
    """The error's name and message. A function's error is a document, of which the rest is its stack trace."""
    cause = execution.get("cause", "")
    with suppress(ValueError, KeyError, TypeError):
        cause = json.loads(cause)["errorMessage"]
    return f"{execution.get('error', '')} {cause}".strip()
