"""Every door that a schedule document comes in by, over memory, and the verdict that each gives.

What is between a caller and the function behind `POST /executions`, the state machine `start_request`, is tested
elsewhere. Here the text goes from the REST API straight to the function, as every text does that says more than a
scheduleId.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.rest_api import ROOT, Backends, call, openapi, rest_api
from tests.usched import Stage, usched
from universal_scheduler.adapters.dynamodb.items import to_attribute
from universal_scheduler.adapters.memory.outbox import MemoryOutbox
from universal_scheduler.adapters.memory.platform import MemoryPlatform
from universal_scheduler.adapters.memory.time_entries import MemoryTimeEntries
from universal_scheduler.domain.errors import InvalidSchedule, SchedulerError
from universal_scheduler.local.gateway import Answer, AwsRequest, RestApi

RUNNER = json.loads((ROOT / "state_machine" / "schedule_runner.asl.json").read_text())
NOT_RETRIED = frozenset(RUNNER["States"]["Start Run"]["Retry"][0]["ErrorEquals"])
Verdict = tuple[str, ...]
"""The paths of what is wrong, each once; empty for a document that is taken."""
ACCEPTED: Verdict = ()
EXECUTION = {
    "executionArn": "arn:aws:states:us-east-1:123456789012:execution:schedule_runner:one",
    "executionName": "one",
    "startTime": "2026-11-21T06:00:00.123Z",
}


class Context:
    function_name = "f"
    memory_limit_in_mb = 128
    invoked_function_arn = "arn"
    aws_request_id = "id"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class Doors:
    """One stage. The function behind each door is the real handler; whatever it raises, the test sees."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "true")
        self._stage, self._directory = stage, directory
        self._handlers = {name: self._load(name) for name in HANDLERS}
        backends = Backends(aws=self._behind, function=self._proxied)
        self.api: RestApi = rest_api(backends, openapi())

    def by_file(self, name: str, text: str | bytes) -> dict[str, Verdict]:
        """The doors of the command, which takes files."""
        file = self.file(name, text)
        return {command: self.by_command(command, file) for command in ("simulate", "try", "apply")}

    def file(self, name: str, text: str | bytes) -> str:
        file = self._directory / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(file)

    def by_command(self, command: str, file: str) -> Verdict:
        result = usched(command, file, "--json")
        assert "Traceback" not in result.output
        told = json.loads(result.stdout)
        return verdict(told["errors"] if "errors" in told else told.get("error", {}).get("errors", ()))

    def by_request(self, text: str | bytes) -> dict[str, Verdict]:
        return {
            route: refused(call(self.api, "POST", f"/api/v1/{route}", text)) for route in ("schedules", "executions")
        }

    def by_message(self, document: object) -> Verdict:
        """What StartExecution has taken, as state *Start Run* gets it."""
        refusal: SchedulerError | None = None
        try:
            self._handlers["start_run"].handler({**EXECUTION, "input": document}, Context())
        except SchedulerError as error:
            refusal = error
        if refusal is None:
            return ACCEPTED
        assert type(refusal).__name__ in NOT_RETRIED, "the state machine knows errors by the name of their class"
        refused = {**EXECUTION, "refused": document, "error": {"Error": "E", "Cause": str(refusal)}}
        assert self._handlers["record_result"].handler(refused, Context()) == {"status": "FAILED"}
        return (
            verdict(each.as_dict() for each in refusal.errors) if isinstance(refusal, InvalidSchedule) else ("$ 404",)
        )

    def by_row(self, document: Mapping[str, Any]) -> Verdict:
        """A row that somebody has put into the table, as its stream tells of it."""
        return self.by_item({key: to_attribute(value) for key, value in document.items()})

    def by_item(self, item: Mapping[str, Any]) -> Verdict:
        schedule_id = item["scheduleId"]["S"]
        self._stage.store.schedules[schedule_id] = {"scheduleId": schedule_id}
        record = {"eventID": "1", "eventName": "INSERT", "dynamodb": {"NewImage": item, "SequenceNumber": "1"}}
        answer = self._handlers["schedule_stream"].handler({"Records": [record]}, Context())
        assert answer == {"batchItemFailures": []}
        row = self._stage.store.schedules.pop(schedule_id)
        return verdict(row.get("scheduleErrors", ()))

    def _load(self, name: str) -> ModuleType:
        module = importlib.import_module(f"lambdas.{name}")
        wiring = vars(module.wiring)  # its cached properties
        wiring |= {"store": self._stage.store, "workflow": self._stage.workflow}
        wiring |= {"platform": MemoryPlatform(), "outbox": MemoryOutbox()}
        if hasattr(module, "timetable"):
            module.timetable = replace(module.timetable, entries=MemoryTimeEntries())
        return module

    def _behind(self, service: str, request: AwsRequest) -> tuple[int, Mapping[str, str], bytes]:
        if service == "batch":
            return 200, {}, json.dumps({"jobId": "1", "jobName": json.loads(request.body)["jobName"]}).encode()
        given = json.loads(json.loads(request.body)["input"])
        if "tooLarge" in given:
            found = {"statusCode": 413, "body": {"error": {"code": "TooLarge", "message": "as the machine says it"}}}
        else:
            found = self._handlers["check_start"].handler(given, Context())
        answer = {"statusCode": found.get("statusCode", 202), "body": json.dumps(found.get("body", {}))}
        return 200, {}, json.dumps({"status": "SUCCEEDED", "output": json.dumps(answer)}).encode()

    def _proxied(self, arn: str, event: dict[str, Any]) -> Any:
        return self._handlers[arn.rpartition("usched-")[2].replace("-", "_")].handler(event, Context())


HANDLERS = (
    *("put_schedule", "get_schedule", "get_execution", "check_start"),
    *("start_run", "record_result", "schedule_stream"),
)


@pytest.fixture
def doors(stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Doors:
    return Doors(stage, monkeypatch, tmp_path)


def verdict(errors: Iterable[Mapping[str, Any]]) -> Verdict:
    found = {error["path"]: error for error in errors}
    for path, error in found.items():
        assert path.startswith("$")
        assert error["found"]
        assert error["expected"]
    return tuple(sorted(found))


def refused(answer: Answer) -> Verdict:
    assert answer.status < 500, answer.body
    if answer.status < 300:
        return ACCEPTED
    error = json.loads(answer.body)["error"]
    assert error["code"]
    assert error["message"]
    return verdict(error["errors"]) if "errors" in error else (f"$ {answer.status}",)


def document_of(text: str) -> Any:
    """As Step Functions and DynamoDB could have it; None where they could not."""
    try:
        document = json.loads(text, object_pairs_hook=_once)
        text.encode()
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key twice")
    return made


def could_be_a_row(document: object) -> bool:
    """Whether a table could hold it, so that somebody could have put it there."""
    try:
        return isinstance(document, dict) and bool(to_attribute(document))
    except (TypeError, ArithmeticError):  # what boto3 says of a number
        return False
