"""The state machine's paths with mocked answers of its functions: `MockConfigFile.json`, on whatever engine runs it."""

from __future__ import annotations

import uuid

import pytest

from tests.e2e.conftest import Stage, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.sfn_local]
TURN = ["Wait For Change", "Get Job Status", "Run Complete?"]
SUBMIT = ["Submit Jobs", "Run Complete?"]
END = ["Record Result", "Run Succeeded?"]
CASES = {
    "Success": ["Start Run", *SUBMIT, *TURN, *END, "Schedule Succeeded"],
    "Failure": ["Start Run", *SUBMIT, *TURN, *END, "Schedule Failed"],
    "Restart": ["Start Run", *SUBMIT, *TURN, *END, "Schedule Succeeded"],
    "SeveralTurns": ["Start Run", *SUBMIT, *SUBMIT, *TURN, *TURN, *SUBMIT, *TURN, *END, "Schedule Succeeded"],
    "Throttled": ["Start Run", *SUBMIT, "Pause", *SUBMIT, *TURN, *END, "Schedule Succeeded"],
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
    assert ended["status"] == ("SUCCEEDED" if entered[-1] == "Schedule Succeeded" else "FAILED")
