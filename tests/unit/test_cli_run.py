"""`usched run`, `runs` and `show` over memory: what they start and show, their JSON and exit codes."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tests.usched import STARTED, Stage, row, told, usched
from universal_scheduler.cli import run
from universal_scheduler.cli.console import jobs_table
from universal_scheduler.cli.progress import follow
from universal_scheduler.domain.runs.model import Execution, RunKey
from universal_scheduler.usecases.start import start_run


def test_run_starts_an_execution_that_is_named_for_the_command(stage: Stage) -> None:
    stage.store.put_schedule(row())
    first, second = told("run", "load"), told("run", "load")
    assert first.keys() == {"scheduleId", "name", "executionArn"}
    assert first["name"].startswith("cli-load-")
    assert first["name"] != second["name"]
    message = stage.workflow.started[first["name"]]
    assert message["scheduleId"] == "load"
    assert message["cause"]["kind"] == "cli"


def test_run_takes_a_name_once(stage: Stage) -> None:
    stage.store.put_schedule(row())
    assert told("run", "load", "--name", "mine")["name"] == "mine"
    result = usched("run", "load", "--name", "mine")
    assert result.exit_code == 2
    assert "'mine' has been used" in result.stderr


@pytest.mark.parametrize("name", ["bad name!", "x" * 81, "", "a:b"])
@pytest.mark.parametrize("more", [[], ["--restart", "2025-01-06T04:20:00.884784"]], ids=["new", "restart"])
def test_run_refuses_a_name_that_no_execution_can_have(stage: Stage, name: str, more: list[str]) -> None:
    stage.store.put_schedule(row())
    result = usched("run", "load", "--name", name, *more)
    assert result.exit_code == 2
    assert "No execution can be named" in result.stderr
    assert "at most 80 characters" in result.stderr
    assert not stage.workflow.started


def test_run_of_an_unknown_schedule_starts_nothing(stage: Stage) -> None:
    result = usched("run", "nope")
    assert result.exit_code == 2
    assert "There is no schedule 'nope'" in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert not stage.workflow.started


def test_run_of_an_invalid_row_says_why_and_starts_nothing(stage: Stage) -> None:
    stage.store.put_schedule(row(jobList=[]))
    result = usched("run", "load", "--json")
    assert result.exit_code == 2
    [error] = json.loads(result.stdout)["error"]["errors"]
    assert error["path"] == "$.jobList"
    assert "$.jobList" in result.stderr
    assert not stage.workflow.started


@pytest.mark.parametrize(("failing", "code"), [("", 0), ("a", 1)])
def test_wait_shows_progress_and_exits_with_the_runs_end(stage: Stage, failing: str, code: int) -> None:
    stage.store.put_schedule(row())
    stage.workflow.on_start = lambda name: stage.drive(name, failing=failing) and None
    result = usched("run", "load", "--wait")
    assert result.exit_code == code
    assert f"load a {'FAILED exit code 3' if failing else 'SUCCEEDED exit code 0'}" in result.stdout
    assert f"load b {'UPSTREAM_FAILED' if failing else 'SUCCEEDED'}" in result.stdout


def test_wait_with_json_prints_the_ended_run_only(stage: Stage) -> None:
    stage.store.put_schedule(row())
    stage.workflow.on_start = lambda name: stage.drive(name, failing="b") and None
    view = told("run", "load", "--wait")
    assert (view["status"], view["counts"]) == ("FAILED", {"SUCCEEDED": 1, "FAILED": 1})
    assert "b FAILED with exit code 3" in view["reason"]


def test_wait_ends_when_the_execution_ended_without_a_run(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "AGAIN_SECONDS", 0.0)
    stage.store.put_schedule(row())
    stage.workflow.described["x"] = {"name": "x", "status": "FAILED", "reason": "Boom: the function is gone"}
    result = usched("run", "load", "--wait", "--name", "x")
    assert result.exit_code == 1
    assert "x ended FAILED: Boom: the function is gone" in result.stderr


def test_wait_ends_when_the_execution_was_stopped_and_its_run_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "AGAIN_SECONDS", 0.0)
    stage.store.put_schedule(row())

    def begin(name: str) -> None:
        start_run(stage.store, stage.workflow.started[name], Execution(f"arn:{name}", name), STARTED)
        stage.workflow.described[name] = {"name": name, "status": "ABORTED"}

    stage.workflow.on_start = begin
    result = usched("run", "load", "--wait")
    assert result.exit_code == 1
    assert "ended ABORTED and left the run 2026-11-21T06:00" in result.stderr


def test_restart_names_the_run_and_refuses_what_cannot_be(stage: Stage) -> None:
    stage.store.put_schedule(row())
    key = stage.drive(told("run", "load")["name"], failing="a")
    name = told("run", "load", "--restart", key.start)["name"]
    message = stage.workflow.started[name]
    assert (message["startDateTime"], message["scheduleStatus"]) == (key.start, "RESTART")
    start_run(stage.store, message, Execution(f"arn:{name}", name), STARTED)
    assert "still RUNNING" in usched("run", "load", "--restart", key.start).stderr
    absent = usched("run", "load", "--restart", "2020-01-01T00:00:00.000000")
    assert absent.exit_code == 2
    assert "has no run that started at '2020" in absent.stderr


@pytest.fixture
def ran(stage: Stage) -> RunKey:
    """A schedule with one run that failed in its first job."""
    stage.store.put_schedule(row())
    return stage.drive(told("run", "load")["name"], failing="a")


def test_runs_lists_the_newest(ran: RunKey) -> None:
    assert [entry["runId"] for entry in told("runs")["runs"]] == [ran.run_id]
    assert [entry["status"] for entry in told("runs", "load", "--limit", "1")["runs"]] == ["FAILED"]
    text = usched("runs").stdout
    assert ran.start in text
    assert "usched run" in text


def test_runs_of_a_schedule_that_never_ran_and_of_one_that_is_not_there(stage: Stage) -> None:
    stage.store.put_schedule(row("idle"))
    assert told("runs", "idle") == {"runs": []}
    told_so = "The schedule 'idle' has not run yet. Start it with: usched run idle\n"
    assert usched("runs", "idle").stdout == told_so
    assert told_so in usched("show", "idle").stdout
    refused = usched("logs", "idle", "a").stderr
    assert refused == "Error: The schedule 'idle' has not run yet.\n       Start it with: usched run idle\n"
    assert usched("runs").stdout == "Nothing has run yet. Store a schedule with: usched apply FILE\n"
    assert usched("runs", "nope").exit_code == 2


def test_show_takes_the_newest_run_or_the_one_that_is_named(ran: RunKey) -> None:
    newest = told("show", "load")
    assert newest["status"] == "FAILED"
    assert [(job["jobName"], job["status"]) for job in newest["jobs"]] == [("a", "FAILED"), ("b", "UPSTREAM_FAILED")]
    assert told("show", "load", ran.start) == newest
    text = usched("show", "load").stdout
    assert "UPSTREAM_FAILED" in text
    assert "did not run: upstream a (FAILED)" in text
    assert usched("show", "load", "2020").exit_code == 2


def test_show_of_a_schedule_without_runs_is_the_schedule(stage: Stage) -> None:
    stage.store.put_schedule(row())
    view = told("show", "load")
    assert (view["valid"], view["schedule"]["wait_time"]) == (True, 1)
    assert "has not run yet" in usched("show", "load").stdout


def test_show_of_a_row_with_errors_shows_them_though_it_has_run(stage: Stage, ran: RunKey) -> None:
    stage.store.put_schedule(row(jobLst=1))
    view = told("show", "load")
    assert not view["valid"]
    assert view["errors"][0]["path"] == "$"
    assert view["runs"][0]["runId"] == ran.run_id
    text = usched("show", "load").stdout
    assert "did you mean 'jobList'" in text
    assert "FAILED" in text


@pytest.mark.usefixtures("stage")
def test_show_of_nothing() -> None:
    result = usched("show", "nope", "--json")
    assert result.exit_code == 2
    assert "nope" in json.loads(result.stdout)["error"]["message"]
    assert "usched apply" in result.stderr


def test_a_terminal_shows_a_table_that_changes_and_stays() -> None:
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    base = {"scheduleId": "load", "runId": "r", "startDateTime": "2026-11-21T06:00:00", "generation": 1}
    job = {"jobName": "a", "attempts": 1}
    looks = iter(
        [
            [],
            [base | {"status": "RUNNING", "jobs": [job | {"status": "WAITING", "reason": "waits for b (RUNNING)"}]}],
            [base | {"status": "SUCCEEDED", "jobs": [job | {"status": "SUCCEEDED", "exitCode": 0}]}],
        ]
    )
    follow(console, lambda: next(looks), lambda runs: bool(runs) and runs[0]["status"] != "RUNNING", 0.0)
    shown = screen.getvalue()
    assert shown.index("waiting for the run") < shown.index("waits for b (RUNNING)") < shown.rindex("SUCCEEDED")


def test_a_narrow_terminal_shows_whole_names_and_states_while_a_run_goes_on() -> None:
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, color_system=None, width=80, height=40)
    long = "load_customers_from_the_warehouse_into_the_lake"
    job = {"jobName": long, "attempt": 1, "status": "UPSTREAM_FAILED", "startedAt": "2026-11-21T06:00:01"}
    view = {"scheduleId": "load", "runId": "r", "startDateTime": "2026-11-21T06:00:00", "status": "FAILED"}
    view |= {"generation": 1, "jobs": [job | {"reason": "why " * 30}]}  # type: ignore[dict-item]
    follow(console, lambda: [view], bool, 0.0)
    lines = screen.getvalue().splitlines()
    assert all(cell_len(Text.from_ansi(line).plain) <= 80 for line in lines)
    assert any(long in line for line in lines)
    assert any("UPSTREAM_FAILED  2026-11-21" in line for line in lines)


def test_of_many_jobs_a_terminal_shows_what_matters() -> None:
    jobs = [{"jobName": f"j{number}", "status": "WAITING"} for number in range(999)]
    view: dict[str, Any] = {
        "scheduleId": "load",
        "startDateTime": "",
        "status": "RUNNING",
        "counts": {"WAITING": 999, "RUNNING": 1},
    }
    view["jobs"] = [*jobs, {"jobName": "here", "status": "RUNNING"}]
    screen = StringIO()
    Console(file=screen, width=120).print(jobs_table(view, 0.0, 3, titled=False))
    _, _, *lines = screen.getvalue().splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["here", "j0", "j1"]
    assert lines[3] == "3 of 1,000 jobs: 999 WAITING, 1 RUNNING"


def test_run_is_given_parameters(stage: Stage) -> None:
    stage.store.put_schedule(row(parameters={"day": "today", "limit": 5}))
    name = told("run", "load", "--param", "day=a=b", "--param", "limit=7")["name"]
    assert stage.workflow.started[name]["parameters"] == {"day": "a=b", "limit": "7"}
    assert "parameters" not in stage.workflow.started[told("run", "load")["name"]]


@pytest.mark.parametrize("words", [["run", "load"], ["run", "load", "--restart", "START"], ["restart", "load"]])
def test_a_parameter_that_the_schedule_does_not_have_starts_nothing(stage: Stage, words: list[str]) -> None:
    stage.store.put_schedule(row(parameters={"day": "today", "limit": 5}))
    key = stage.drive(told("run", "load")["name"], failing="a")
    asked = [key.start if word == "START" else word for word in words]
    result = usched(*asked, "--param", "dya=x")
    assert result.exit_code == 2
    assert "The schedule 'load' has no parameter 'dya' (did you mean 'day'?)." in result.stderr
    assert "Its parameters are day, limit. A document declares one with its default: parameters:" in result.stderr
    assert len(stage.workflow.started) == 1


def test_a_newer_schedule_may_have_other_parameters(stage: Stage) -> None:
    stage.store.put_schedule(row())
    stage.drive(told("run", "load")["name"], failing="a")
    stage.store.put_schedule(row(parameters={"day": "today"}))
    refused = usched("restart", "load", "--param", "day=x").stderr
    assert "It has no parameters." in refused
    assert usched("restart", "load", "--newest", "--param", "day=x").exit_code == 0


def test_show_tells_which_children_of_an_array_failed(stage: Stage) -> None:
    work = {"arrayProperties": {"size": 30}, "containerOverrides": {"command": ["work"]}}
    jobs = [{"jobName": "a", "jobDefinition": "shell", "jobQueue": "default", **work}]
    stage.store.put_schedule(row(jobList=jobs))
    failed = {place: f"no {place}" for place in range(5, 30)}
    key = stage.drive(told("run", "load")["name"], failing_children=failed)
    [job] = told("show", "load")["jobs"]
    assert job["children"] == {"SUCCEEDED": 5, "FAILED": 25}
    assert len(job["failedChildren"]) == 20
    assert job["failedChildren"][0] == {"index": 5, "reason": "no 5", "exitCode": 1}
    shown = usched("show", "load", key.start).stdout
    assert "5 SUCCEEDED, 25 FAILED" in " ".join(shown.split())
    assert "a: failed children (5 more are not shown)" in shown
    assert "no 24" in shown
