"""On the deployed stage: what is no document or no message is refused at once at every door, and starts nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.conftest import Stage, eventually

pytestmark = pytest.mark.e2e
DOCUMENTS = Path(__file__).parents[1] / "documents"
JOB = {"jobName": "a", "jobQueue": "default", "jobDefinition": "shell", "containerOverrides": {"command": ["true"]}}
WRONG = {"scheduleId": "wrong", "jobList": [{**JOB, "jobQueue": 7}]}
MANUAL = {"scheduleId": "doors-stored", "trigger": {"manual": True}, "parameters": {"day": "1"}, "jobList": [JOB]}
AT_ONCE_SECONDS = 30.0
"""A start that was retried in vain takes longer than a minute."""


@pytest.fixture(scope="module")
def stored(stage: Stage) -> str:
    status, _ = stage.call("POST", "/schedules", MANUAL)
    assert status in (200, 201)
    return str(MANUAL["scheduleId"])


def started(stage: Stage, message: Any, **more: str) -> str:
    machine = stage.engine.state_machine_arn
    given = message if isinstance(message, str) else json.dumps(message)
    answer = stage.client("stepfunctions").start_execution(stateMachineArn=machine, input=given, **more)
    return str(answer["executionArn"])


def failed_at_once(stage: Stage, execution: str) -> None:
    begun = time.monotonic()

    def look() -> Any:
        seen = stage.client("stepfunctions").describe_execution(executionArn=execution)
        return seen if seen["status"] != "RUNNING" else None

    assert eventually(look, what="the end of a refused execution")["status"] == "FAILED"
    assert time.monotonic() - begun < AT_ONCE_SECONDS


@pytest.mark.parametrize("path", sorted(DOCUMENTS.glob("*.json")), ids=lambda path: path.name)
def test_a_documents_text_gets_one_verdict_by_rest(stage: Stage, path: Path) -> None:
    text = path.read_bytes().replace(b'"jobQueue": "q"', b'"jobQueue": "default"')
    text = text.replace(b'"jobDefinition": "d"', b'"jobDefinition": "shell"')
    (stored, row), (begun, run) = stage.call("POST", "/schedules", text), stage.call("POST", "/executions", text)
    assert max(stored, begun) < 500
    assert (stored >= 400) == (begun >= 400)
    if stored >= 400:
        paths = [{error["path"] for error in answer["error"]["errors"]} for answer in (row, run)]
        assert paths[0] == paths[1]


@pytest.mark.parametrize(
    "message",
    [
        {"from": ["a"]},
        {"scheduleStatus": "restart", "startDateTime": "2026-11-21T06:00:00.000000"},
        {"scheduleStatus": "RESTART"},
        {"startDateTime": "2026-11-21T06:00:00.000000"},
        {"rerun": True},
        {"parameters": {"dya": 1}},
        {"parameters": [1]},
    ],
    ids=str,
)
def test_a_message_that_cannot_mean_what_it_says_starts_no_job(
    stage: Stage, stored: str, message: dict[str, Any]
) -> None:
    status, answer = stage.call("POST", "/executions", {"scheduleId": stored, **message})
    assert status == 400
    assert all(error["path"].startswith("$") for error in answer["error"]["errors"])
    before = len(stage.runs(stored))
    failed_at_once(stage, started(stage, {"scheduleId": stored, **message}))
    *_, run = eventually(lambda: runs if len(runs := stage.runs(stored)) > before else None)
    assert run["scheduleStatus"] == "FAILED"
    assert "InvalidSchedule: " in run["statusReason"]
    assert "$" in run["statusReason"]
    assert not stage.jobs(run)


@pytest.mark.parametrize(
    "given",
    [
        WRONG,
        [1],
        "text",
        7,
        {},
        '{"scheduleId": "\\ud83d"}',
        '{"scheduleId": "deep", "jobList": ' + "[" * 900 + "]" * 900 + "}",
        {"scheduleId": "x" * 3000},
        {"scheduleId": "doors-stored", "cause": {"chain": 5}},
    ],
    ids=lambda given: str(given)[:40],
)
def test_what_an_execution_cannot_run_fails_it_at_once(stage: Stage, given: Any) -> None:
    text = given if isinstance(given, str) and given.startswith("{") else json.dumps(given)
    failed_at_once(stage, started(stage, text))


def test_names_that_no_execution_can_have_are_refused_at_every_door(stage: Stage, stored: str) -> None:
    for name in ("bad name!", "a:b", "x" * 81):
        status, answer = stage.call("POST", "/executions", {"scheduleId": stored, "name": name})
        assert (status, [error["path"] for error in answer["error"]["errors"]]) == (400, ["$.name"])
        with pytest.raises(ClientError):
            started(stage, {"scheduleId": stored}, name=name)


@pytest.mark.parametrize(
    ("schedule_id", "more"),
    [
        ("doors-restart", {"scheduleStatus": "RESTART"}),
        ("doors-from", {"from": ["a"]}),
        ("doors-set", {"description": {"a", "b"}, "jobList": [{**JOB, "jobQueue": b"bytes"}]}),
    ],
)
def test_a_row_that_cannot_run_has_its_errors_beside_it(stage: Stage, schedule_id: str, more: dict[str, Any]) -> None:
    stage.put({"scheduleId": schedule_id, "jobList": [JOB], **more})
    row = eventually(lambda: (found := stage.row(schedule_id)) and "scheduleErrors" in found and found)
    assert all(error["path"].startswith("$") for error in row["scheduleErrors"])
    assert not stage.runs(schedule_id)


def test_odd_ids_and_names_are_not_found(stage: Stage) -> None:
    for odd in ("%00", "x" * 3000, "%F0%9F%98%80", "%ED%A0%BD", "a%2Fb", "%25", "'"):
        for route in ("executions", "schedules"):
            assert stage.call("GET", f"/{route}/{odd}")[0] == 404


@pytest.mark.parametrize("text", [b"\xff", b"", b"{", b"[" * 3000, b'{"scheduleId": "\xff"}', b"\x00" * 10])
def test_bodies_that_say_nothing_are_refused(stage: Stage, text: bytes) -> None:
    for route in ("executions", "schedules", "submitJob"):
        assert 400 <= stage.call("POST", f"/{route}", text)[0] < 500
