"""The state machines as documents: every state reachable, every task guarded, every placeholder filled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tables import template

FOLDER = Path(__file__).parents[2] / "state_machine"
FILES = sorted(FOLDER.glob("*.asl.json"))
MACHINES = {path.name: json.loads(path.read_text()) for path in FILES}
STATES = [
    pytest.param(machine, name, id=f"{file}:{name}") for file, machine in MACHINES.items() for name in machine["States"]
]
TASKS = [param for param in STATES if param.values[0]["States"][param.values[1]]["Type"] == "Task"]


def targets(state: dict[str, Any]) -> Iterator[str]:
    for key in ("Next", "Default"):
        if key in state:
            yield state[key]
    for branch in [*state.get("Choices", []), *state.get("Catch", [])]:
        yield branch["Next"]


@pytest.mark.parametrize("file", MACHINES)
def test_every_state_is_reached_and_every_target_exists(file: str) -> None:
    machine = MACHINES[file]
    seen, todo = set(), [machine["StartAt"]]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += targets(machine["States"][name])
    assert seen == set(machine["States"])


@pytest.mark.parametrize(("machine", "name"), STATES)
def test_every_path_ends(machine: dict[str, Any], name: str) -> None:
    state = machine["States"][name]
    if state["Type"] in ("Succeed", "Fail"):
        assert not list(targets(state))
    else:
        assert state.get("End") or list(targets(state))
    if state["Type"] == "Choice":
        assert "Default" in state


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_every_task_has_retry_catch_and_a_time_out(machine: dict[str, Any], name: str) -> None:
    task = machine["States"][name]
    assert task.get("TimeoutSeconds", 0) > 0 or task["TimeoutSecondsPath"]
    assert task["Retry"]
    assert task["Catch"][-1]["ErrorEquals"] == ["States.ALL"]
    for rule in [*task["Retry"], *task["Catch"]]:
        assert ("States.ALL" in rule["ErrorEquals"]) <= (len(rule["ErrorEquals"]) == 1), "States.ALL stands alone"


@pytest.mark.parametrize("file", MACHINES)
def test_the_main_loop_runs_on_step_functions_local_too(file: str) -> None:
    text = json.dumps(MACHINES[file])
    assert "JSONata" not in text
    if file == "schedule_runner.asl.json":
        assert "aws-sdk" not in text
        assert "DISTRIBUTED" not in text


@pytest.mark.parametrize("file", MACHINES)
def test_the_template_fills_every_placeholder(file: str) -> None:
    wanted = set(re.findall(r"\$\{(\w+)}", (FOLDER / file).read_text()))
    [machine] = [
        resource["Properties"]
        for resource in template()["Resources"].values()
        if resource["Type"] == "AWS::Serverless::StateMachine"
        and resource["Properties"]["DefinitionUri"] == f"state_machine/{file}"
    ]
    assert set(machine["DefinitionSubstitutions"]) == wanted


def test_errors_that_the_machine_names_exist() -> None:
    from universal_scheduler.domain import errors

    named = {
        error
        for state in MACHINES["schedule_runner.asl.json"]["States"].values()
        for rule in [*state.get("Retry", []), *state.get("Catch", [])]
        for error in rule["ErrorEquals"]
        if "." not in error and error != "ExecutionAlreadyExists"  # States.ALL, and those of other services
    }
    assert all(issubclass(getattr(errors, name), errors.SchedulerError) for name in named)
