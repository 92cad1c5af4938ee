"""Start messages: each means what it says, or is refused with the place, what was found and what is expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_drive import document
from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.message import read_message, run_named
from universal_scheduler.domain.documents.parse import as_row
from universal_scheduler.domain.errors import InvalidName, InvalidSchedule
from universal_scheduler.domain.names import check_execution_name, execution_name

START = "2018-09-07T04:20:00.884784"
DOCUMENT = document({"a": (), "b": ("a",)})
SINGLE = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}


def stored(**more: Any) -> dict[str, Any]:
    return {"scheduleId": "daily", **more}


def restart(**more: Any) -> dict[str, Any]:
    return stored(scheduleStatus="RESTART", startDateTime=START, **more)


def paths(message: object) -> list[str]:
    with pytest.raises(InvalidSchedule) as caught:
        read_message(message)
    assert all(error.found and error.expected for error in caught.value.errors)
    return [error.path for error in caught.value.errors]


@pytest.mark.parametrize(
    "message",
    [
        stored(),
        stored(startDateTime=" ", scheduleStatus=" "),
        stored(startDateTime=None, scheduleStatus=None),
        stored(scheduleStatus="SUCCEEDED"),
        stored(parameters={"day": "2025-01-06"}),
        stored(cause={"kind": "cli", "requestId": "1"}),
        stored(cause={"kind": "time", "scheduledTime": START + "Z", "businessDate": "2026-11-21", "trigger": "1"}),
        stored(cause={"kind": "s3", "bucket": "in", "size": 12}),
        stored(cause={"kind": "upstream", "chain": ["a", "b"], "runs": ["a#1", "b#2"]}),
        stored(AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID="arn:aws:states:eu-west-1:123456789012:execution:other:1"),
        DOCUMENT,
        SINGLE,
        {**DOCUMENT, "scheduleStatus": "FAILED", "startDateTime": START},
        {"name": "Schedule Succeeded", "output": {**DOCUMENT, "scheduleStatus": "SUCCEEDED", "startDateTime": START}},
    ],
    ids=str,
)
def test_what_starts_a_new_run(message: dict[str, Any]) -> None:
    read = read_message(message)
    assert not read.restart
    assert not read.restart_of


@pytest.mark.parametrize(
    "message",
    [
        restart(),
        restart(parameters={"day": "1"}, skip=["a"], definition="newest"),
        {**DOCUMENT, "scheduleId": "daily", "scheduleStatus": "RESTART", "startDateTime": START, "from": ["a"]},
        {**SINGLE, "scheduleId": "daily", "scheduleStatus": "RESTART", "startDateTime": START},
    ],
    ids=str,
)
def test_what_restarts_a_run(message: dict[str, Any]) -> None:
    read = read_message(message)
    assert (read.restart, read.schedule_id, read.restart_of) == (True, "daily", START)
    assert run_named(message) == ("daily", START)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (stored(**{"from": ["a"]}), "$.from"),
        (stored(only=["a"]), "$.only"),
        (stored(skip=["a"]), "$.skip"),
        (stored(definition="newest"), "$.definition"),
        (stored(startDateTime=START), "$.startDateTime"),
        (stored(startDateTime=START, scheduleStatus="FAILED"), "$.startDateTime"),
        (stored(scheduleStatus="RESTART"), "$.startDateTime"),
        (stored(scheduleStatus="RESTART", startDateTime=" "), "$.startDateTime"),
        (stored(scheduleStatus="restart"), "$.scheduleStatus"),
        (stored(scheduleStatus=" RESTART "), "$.scheduleStatus"),
        (stored(scheduleStatus="rerun", startDateTime=START), "$.scheduleStatus"),
        (stored(scheduleStatus=7), "$.scheduleStatus"),
        (stored(scheduleStatus={"a": 1}), "$.scheduleStatus"),
        (stored(rerun=True), "$"),
        (stored(jobs=[]), "$"),
        (restart(newest=True), "$"),
        (restart(definition="oldest"), "$.definition"),
        (restart(only="a"), "$.only"),
        (restart(skip=["a:x"]), "$.skip[0]"),
        (restart(parameters=[]), "$.parameters"),
        (stored(parameters="day=1"), "$.parameters"),
        (stored(scheduleStatus="RESTART", startDateTime=7), "$.startDateTime"),
        (stored(cause="me"), "$.cause"),
        (stored(cause={"chain": 5}), "$.cause.chain"),
        (stored(cause={"kind": {}}), "$.cause.kind"),
        (stored(cause={"runs": "load#1"}), "$.cause.runs"),
        (stored(cause={"trigger": True}), "$.cause.trigger"),
        (stored(cause={"scheduledTime": "2026-11-21T06:00:00"}), "$.cause.scheduledTime"),
        (stored(cause={"businessDate": "21 November"}), "$.cause.businessDate"),
        (stored(cause={"businessDate": 20261121}), "$.cause.businessDate"),
        (stored(continueOf="1", startDateTime=START), "$.continueOf"),
        (stored(continueOf=1), "$.startDateTime"),
        (restart(ofGeneration=[]), "$.ofGeneration"),
        ({**DOCUMENT, "scheduleStatus": "RESTART"}, "$.startDateTime"),
        ({**DOCUMENT, "scheduleStatus": "restart"}, "$.scheduleStatus"),
        ({**DOCUMENT, "startDateTime": START}, "$.startDateTime"),
        ({**DOCUMENT, "from": ["a"]}, "$"),
        ({"scheduleId": 7}, "$.scheduleId"),
        ({"scheduleId": " "}, "$.scheduleId"),
        ({"scheduleId": "x" * 129}, "$.scheduleId"),
        ({"jobName": "a"}, "$"),
        ({}, "$"),
        ([], "$"),
        (None, "$"),
    ],
    ids=str,
)
def test_what_cannot_mean_what_it_says_is_refused(message: object, path: str) -> None:
    assert path in paths(message)


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        (stored(scheduleStatus="restart"), "did you mean 'RESTART'?"),
        (stored(scheduleStatus="RESTART"), "usched restart ID"),
        (stored(parameter={}), "did you mean 'parameters'?"),
        ({"scheduleID": "daily"}, "did you mean 'scheduleId'?"),
        ({**stored(), "joblist": []}, "did you mean 'jobList'?"),
        ({"jobName": "a", "jobQueue": "q"}, "no jobDefinition"),
    ],
    ids=str,
)
def test_a_refusal_says_what_was_meant(message: object, hint: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        read_message(message)
    assert hint in str(caught.value)


@pytest.mark.parametrize("status", ["RESTART", "restart", "rerun", "RESTARTED"])
def test_a_row_is_no_start_message(status: str) -> None:
    [error] = find_errors({**DOCUMENT, "scheduleStatus": status})
    assert error.path == "$.scheduleStatus"


@pytest.mark.parametrize("status", ["", " ", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"])
def test_a_row_may_carry_what_a_run_has_recorded(status: str) -> None:
    assert not find_errors({**DOCUMENT, "scheduleStatus": status})


def test_restart_keys_in_a_row_are_unknown_keys() -> None:
    [error] = find_errors({**DOCUMENT, "from": ["a"]})
    assert "'from'" in error.found


@pytest.mark.parametrize("name", ["run 1", "a:b", "x" * 81, "", "tab\t", "\x7f", "\ud83d", "😀", "a/b", 7, None])
def test_names_that_step_functions_refuses(name: object) -> None:
    with pytest.raises(InvalidName, match="at most 80 characters"):
        check_execution_name(name)


@pytest.mark.parametrize("name", ["x" * 80, "run-1_of.2025", "läuft", "(a)+=!@'"])
def test_names_that_step_functions_takes(name: str) -> None:
    check_execution_name(name)


def test_the_names_that_the_scheduler_makes_can_be_taken() -> None:
    check_execution_name(execution_name("row", "every odd schedule / id", "cause"))


REFERENCE = Path(__file__).parents[3] / "shared" / "reference"


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference design's documents are not here")
@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*.json")), ids=lambda path: path.name)
def test_the_reference_designs_documents_are_taken(path: Path) -> None:
    content = json.loads(path.read_text())
    if path.name == "start_messages.json":
        assert not read_message(json.loads(content["start"]["input"])).restart
        assert read_message(json.loads(content["restart"]["input"])).restart
    else:
        assert not find_errors(as_row(content))
        assert not read_message(content).restart
