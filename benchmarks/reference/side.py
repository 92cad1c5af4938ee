"""The reference design's loop as a side of the comparison: deploys its state machine, functions and tables."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from string import Template
from typing import Any

from benchmarks.runs import Row
from benchmarks.stage import Stage

HERE = Path(__file__).parent
FUNCTIONS = ("get_schedule", "submit_jobs", "get_job_status", "update_history", "record_result")
SCHEDULES, HISTORY = "ReferenceSchedules", "ReferenceHistory"
ROLE = "arn:aws:iam::123456789012:role/reference"


class Reference:
    """The baseline as deployed beside the scheduler on the same engine."""

    def __init__(self, stage: Stage) -> None:
        self._batch = stage.client("batch")
        self._queue = stage.engine.queues["default"]
        _make_tables(stage.client("dynamodb"))
        arns = _make_functions(stage.client("lambda"))
        definition = Template((HERE / "machine.asl.json").read_text())
        # "$." in the definition is a JSONPath: only what names a function is replaced.
        made = stage.client("stepfunctions").create_state_machine(
            name="reference", definition=definition.safe_substitute(arns), roleArn=ROLE
        )
        self.machine_arn: str = made["stateMachineArn"]
        self._schedules, self._history = stage.table(SCHEDULES), stage.table(HISTORY)

    def put(self, document: Row) -> None:
        self._schedules.put_item(Item=document)

    def ended_run(self, schedule_id: str) -> Row | None:
        row: Row | None = self._history.get_item(Key={"scheduleId": schedule_id}).get("Item")
        return row if row and "lastDateTime" in row else None

    def job_ids(self, run: Row | None, since: float) -> dict[str, str]:
        if run is not None:
            return {job["jobName"]: job["jobId"]["jobId"] for job in run["jobList"]}
        recent = [{"name": "AFTER_CREATED_AT", "values": [str(int(since * 1000))]}]
        pages = self._batch.get_paginator("list_jobs").paginate(jobQueue=self._queue, filters=recent)
        return {job["jobName"]: job["jobId"] for page in pages for job in page["jobSummaryList"]}


def _make_tables(dynamodb: Any) -> None:
    for name in (SCHEDULES, HISTORY):
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "scheduleId", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "scheduleId", "KeyType": "HASH"}],
        )


def _make_functions(functions: Any) -> dict[str, str]:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handlers.py", (HERE / "handlers.py").read_text())
    arns = {}
    for name in FUNCTIONS:
        arns[name] = functions.create_function(
            FunctionName=f"reference-{name.replace('_', '-')}",
            Runtime="python3.13",
            Handler=f"handlers.{name}",
            Role=ROLE,
            Code={"ZipFile": code.getvalue()},
            MemorySize=512,
            Timeout=300,
            Environment={"Variables": {"SCHEDULES_TABLE": SCHEDULES, "HISTORY_TABLE": HISTORY}},
        )["FunctionArn"]
    return arns
