"""A state machine that runs jobs of Batch becomes a schedule, and what a schedule cannot say is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.importers import CASES, imported, jobs, reports, schedules, spoilt, tried, usched

FILE = CASES / "risk.asl.json"
TEXT = FILE.read_text()
PROGRAMS = ["risk-fetch", "risk-model", "risk-aggregate", "risk-alert"]
SYNC = "arn:aws:states:::batch:submitJob.sync"


def test_a_file_becomes_a_schedule_and_reports(tmp_path: Path) -> None:
    made = usched("import", "step-functions", str(FILE), "--out", str(tmp_path), "--json")
    answer = json.loads(made.stdout)
    assert (made.exit_code, [each["line"] for each in answer["reported"]]) == (1, [69])
    [schedule] = [each["schedule"] for each in answer["schedules"]]
    assert (schedule["scheduleId"], schedule["trigger"], schedule["maxDuration"]) == ("risk", {"manual": True}, 14400)
    assert (tmp_path / "risk.yaml").exists()


def test_states_become_jobs_with_what_batch_gets_and_waits_for() -> None:
    made = jobs(imported("step-functions", TEXT).schedules[0].document)
    assert made["Fetch"]["containerOverrides"]["environment"] == [{"name": "MODE", "value": "full"}]
    assert made["Fetch"]["retryStrategy"] == {"attempts": 3}
    assert made["Credit"]["timeout"] == {"attemptDurationSeconds": 3600}
    assert made["Market"]["jobDependencies"] == made["Credit"]["jobDependencies"] == ["Fetch"]
    assert made["Aggregate"]["jobDependencies"] == ["Market", "Credit"]
    failed = [{"job": name, "status": "FAILED"} for name in ("Fetch", "Aggregate")]
    assert (made["Alert"]["jobDependencies"], made["Alert"]["runWhen"]) == (failed, "one_success")


def without_publish() -> str:
    document = json.loads(TEXT)
    document["States"]["Publish"] = {"Type": "Succeed"}
    return json.dumps(document)


def test_the_imported_state_machine_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = imported("step-functions", without_publish(), name="risk")
    assert not found.reported
    states, calls, run = tried(schedules(found)["risk"], PROGRAMS, tmp_path, monkeypatch)
    assert (run["status"], states["Alert"]) == ("SUCCEEDED", "SKIPPED")
    assert calls[0] == "risk-fetch --all"
    assert sorted(calls[1:3]) == ["risk-model credit", "risk-model market"]
    assert calls[3:] == ["risk-aggregate "]


def test_the_states_behind_a_catch_run_when_a_job_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = schedules(imported("step-functions", without_publish(), name="risk"))["risk"]
    programs = [name for name in PROGRAMS if name != "risk-aggregate"]
    states, calls, run = tried(document, programs, tmp_path, monkeypatch)
    assert (run["status"], states["Aggregate"], states["Alert"]) == ("FAILED", "FAILED", "SUCCEEDED")
    assert calls[-1] == "risk-alert "


def machine(states: dict[str, Any] | None = None, **task: Any) -> str:
    given = {"JobQueue": "q", "JobDefinition": "d"} | task.pop("given", {})
    a = {"Type": "Task", "Resource": SYNC, "Parameters": given, "End": True} | task
    return json.dumps({"StartAt": "A", "States": {"A": a} | (states or {})})


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({"Resource": "arn:aws:states:::batch:submitJob"}, "not batch:submitJob.sync"),
        ({"Type": "Map"}, 'the type "Map"'),
        ({"given": {"JobQueue.$": "$.queue"}}, '"JobQueue.$" is known only in the run'),
        ({"given": {"JobQueue": "${Queue}"}}, "filled in before it runs"),
        ({"given": {"JobQueue": "{% $queue %}"}}, "filled in before it runs"),
        ({"given": {"DependsOn": []}}, '"DependsOn"'),
        ({"given": {"JobQueue": None}}, "no jobQueue"),
        ({"given": {"ContainerOverrides": {"Memory": 1}}}, "ContainerOverrides"),
        ({"Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 10}]}, "10 attempts"),
        ({"Retry": [{"ErrorEquals": ["States.ALL"]}], "given": {"RetryStrategy": {"Attempts": 2}}}, "tried again"),
    ],
)
def test_a_state_that_no_job_can_be_is_reported_and_fails(task: dict[str, Any], why: str) -> None:
    found = imported("step-functions", machine(**task))
    assert "exit 1" in found.schedules[0].document["jobList"][0]["containerOverrides"]["command"][2]
    assert why in reports(found)[0][1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (machine({"B": {"Type": "Choice"}}, Next="B", End=False), "decides by data"),
        (machine(Next="A", End=False), "in a circle"),
        (machine(Next="X", End=False), 'no state "X"'),
        (machine(End=False), "no Next"),
        (machine({"B": {"Type": "Fail"}}, Next="B", End=False), "always comes to the Fail state"),
        (machine({"B": {"Type": "Parallel", "Branches": [], "End": True}}, Next="B", End=False), "no branches"),
        (machine(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "A"}]), "leads back"),
        (machine(Catch=[7]), "cannot be read"),
        (json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}), "no state that does something"),
    ],
)
def test_an_order_that_dependencies_cannot_say_makes_no_schedule(text: str, why: str) -> None:
    found = imported("step-functions", text)
    assert list(found.schedules) == []
    assert why in reports(found)[-1][1]


def test_a_success_after_a_failure_is_reported() -> None:
    behind = {
        "B": {"Type": "Task", "Resource": SYNC, "Parameters": {"JobQueue": "q", "JobDefinition": "d"}, "End": True}
    }
    found = imported("step-functions", machine(behind, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "B"}]))
    assert "here the run has FAILED" in reports(found)[0][1]


def test_a_spoilt_file_is_read_or_refused_but_never_a_fault() -> None:
    for document in spoilt(json.loads(TEXT)):
        if isinstance(document.get("States"), dict):
            imported("step-functions", json.dumps(document))


def test_a_file_that_is_no_state_machine_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    for text in ("{", "[]", "{}"):
        file.write_text(text)
        assert usched("import", "step-functions", str(file)).exit_code == 2
