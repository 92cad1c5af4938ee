"""The state machine's paths with mocked answers of its functions: `MockConfigFile.json`, on whatever engine runs it."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.sfn_local]
TURN = ["Wait For Change", "Get Job Status", "Run Complete?"]
SUBMIT = ["Submit Jobs", "Run Complete?"]
WOKEN = ["Wait For Change", *SUBMIT]
END = ["Record Result", "Run Succeeded?"]
CASES = {
    "Success": ["Start Run", *SUBMIT, *TURN, *END, "Schedule Succeeded"],
    "Failure": ["Start Run", *SUBMIT, *TURN, *END, "Schedule Failed"],
    "Restart": ["Start Run", *SUBMIT, *TURN, *END, "Schedule Succeeded"],
    "SeveralTurns": ["Start Run", *SUBMIT, *SUBMIT, *TURN, *TURN, *SUBMIT, *TURN, *END, "Schedule Succeeded"],
    "Woken": ["Start Run", *SUBMIT, *WOKEN, *END, "Schedule Succeeded"],
    "WokenAndTimedOut": ["Start Run", *SUBMIT, *WOKEN, *TURN, *END, "Schedule Succeeded"],
    "ChangedMeanwhile": ["Start Run", *SUBMIT, *WOKEN, *END, "Schedule Succeeded"],
    "Throttled": ["Start Run", *SUBMIT, "Pause", *SUBMIT, *TURN, *END, "Schedule Succeeded"],
    "HistoryFills": ["Start Run", *SUBMIT, *TURN, "Continue As New", "Continued"],
    "NothingLeft": ["Start Run", *SUBMIT, *END, "Schedule Succeeded"],
    "Refused": ["Start Run", "Record Refusal", "Schedule Failed"],
    "Abandoned": ["Start Run", *SUBMIT, *TURN[:-1], "Abandon Run", "Schedule Failed"],
    "Superseded": ["Start Run", *SUBMIT, *TURN[:-1], "Superseded"],
}


@pytest.mark.parametrize("case", CASES)
def test_a_mocked_case_takes_its_path(stage: Stage, case: str) -> None:
    client = stage.client("stepfunctions")
    arn = client.start_execution(
        stateMachineArn=f"{stage.engine.state_machine_arn}#{case}",
        name=f"mock-{case}-{uuid.uuid4().hex[:8]}",
        input='{"scheduleId": "nightly"}',
    )["executionArn"]
    ended = eventually(
        lambda: seen if (seen := client.describe_execution(executionArn=arn))["status"] != "RUNNING" else None
    )
    events = client.get_execution_history(executionArn=arn, maxResults=1000)["events"]
    entered = [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]
    assert entered == CASES[case]
    assert ended["status"] == ("SUCCEEDED" if entered[-1] in ("Schedule Succeeded", "Continued") else "FAILED")


def test_the_next_execution_is_really_started_and_only_once(stage: Stage) -> None:
    """`Continue As New` itself is not mocked here; the run that the new execution is to take over does not exist."""
    client = stage.client("stepfunctions")
    machine = stage.engine.state_machine_arn
    for _ in range(2):
        arn = client.start_execution(stateMachineArn=f"{machine}#GoesOn", input='{"scheduleId": "nightly"}')[
            "executionArn"
        ]

        def ended(arn: str = arn) -> Any:
            seen = client.describe_execution(executionArn=arn)
            return seen if seen["status"] != "RUNNING" else None

        assert eventually(ended)["status"] == "SUCCEEDED"
    started = client.describe_execution(
        executionArn=f"{machine.replace(':stateMachine:', ':execution:')}:next-nightly-0"
    )
    message = json.loads(started["input"])
    assert message["continueOf"] == 1
    assert message["startDateTime"] == "2026-11-21T06:00:00.000001"
