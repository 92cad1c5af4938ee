"""Executions of a durable engine go on when it comes back, however it ended."""

from __future__ import annotations

import io
import json
import os
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually
from universal_scheduler.local import engine as engines
from universal_scheduler.local.state import Safety

pytestmark = pytest.mark.e2e

FUNCTION = """
import os, time

def handler(event, context):
    open(event["calls"], "a").write("called\\n")
    while not os.path.exists(event["go"]):
        time.sleep(0.05)
    return "done"
"""


def kill(engine: engines.Engine) -> None:
    os.kill(engine.pid, signal.SIGKILL)
    eventually(lambda: engines.find(engine.state_dir) is None)


def stop(engine: engines.Engine) -> None:
    engines.stop(engine, keep_jobs=True)


@pytest.mark.parametrize("end", [kill, stop])
def test_runs_and_machines_of_users_go_on(tmp_path: Path, end: Callable[[engines.Engine], None]) -> None:
    """A run waits for its job, and a machine of a user's for its function, which ends with the engine."""
    home, go, calls = tmp_path / "engine", tmp_path / "go", tmp_path / "calls"
    stage = Stage(engines.start(0, home, safety=Safety.PROCESS))
    try:
        execution = start_machine(stage, {"go": str(go), "calls": str(calls)})
        command = ["sh", "-c", f"until [ -e {go} ]; do sleep 0.1; done"]
        first = {"jobName": "first", "jobQueue": "default", "jobDefinition": "shell"}
        jobs = [
            first | {"containerOverrides": {"command": command}},
            first | {"jobName": "second", "jobDependencies": ["first"], "containerOverrides": {"command": ["true"]}},
        ]
        stage.put({"scheduleId": "nightly", "jobList": jobs, "wait_time": 1})
        eventually(calls.exists, what="the function's call")
        eventually(lambda: run_at(stage, "RUNNING"), what="the first job")
        end(stage.engine)

        stage = Stage(engines.start(0, home, safety=Safety.PROCESS))
        machines = stage.client("stepfunctions")
        eventually(lambda: calls.read_text().count("called") == 2, what="the function's second call")
        assert machines.describe_execution(executionArn=execution)["status"] == "RUNNING"
        go.touch()
        assert stage.ended("nightly")["scheduleStatus"] == "SUCCEEDED"
        [run] = stage.runs("nightly")
        assert {row["attempt"] for row in stage.jobs(run).values()} == {1}
        found = eventually(lambda: ended(machines, execution), what="the end of the execution")
        assert (found["status"], json.loads(found["output"])) == ("SUCCEEDED", "done")
        events = machines.get_execution_history(executionArn=execution)["events"]
        entered = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
        assert entered == ["Call"]
    finally:
        go.touch()
        engines.stop(stage.engine)


def start_machine(stage: Stage, message: dict[str, str]) -> str:
    """The ARN of an execution that calls a function."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("main.py", FUNCTION)
    role = "arn:aws:iam::123456789012:role/mine"
    function = stage.client("lambda").create_function(
        FunctionName="mine",
        Runtime="python3.11",
        Handler="main.handler",
        Role=role,
        Timeout=600,
        Code={"ZipFile": code.getvalue()},
    )
    states = {"Call": {"Type": "Task", "Resource": function["FunctionArn"], "End": True}}
    definition = json.dumps({"StartAt": "Call", "States": states})
    machines = stage.client("stepfunctions")
    machine = machines.create_state_machine(name="mine", definition=definition, roleArn=role)
    started = machines.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps(message))
    return str(started["executionArn"])


def run_at(stage: Stage, status: str) -> bool:
    """Whether the first job of the run is in this state."""
    return any(stage.jobs(run).get("first", {}).get("jobStatus") == status for run in stage.runs("nightly"))


def ended(machines: Any, execution: str) -> Any:
    found = machines.describe_execution(executionArn=execution)
    return found if found["status"] != "RUNNING" else None
