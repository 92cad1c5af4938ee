"""A YAML file of dag-factory becomes schedules, and what a schedule cannot say is reported with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.importers import CASES, imported, jobs, reports, schedules, spoilt, tried, usched
from universal_scheduler.cli.yaml_text import read_yaml

TEXT = (CASES / "sales_dags.yml").read_text()
PROGRAMS = [f"sales-{name}" for name in ("extract", "load", "report", "tidy", "features", "refresh")]


def test_a_file_becomes_schedules_and_reports() -> None:
    found = imported("dag-factory", TEXT)
    assert list(schedules(found)) == ["sales_daily", "sales_model", "sales_events"]
    assert [(line, why.split(":")[0]) for line, why in reports(found)] == [
        (52, 'the task "features" has no work here, so it FAILS'),
        (55, 'the task "train" has no work here, so it FAILS'),
        (62, '"sales_events" starts only by hand'),
    ]
    assert (22, "retry_delay: Batch tries a job again at once") in [(each.line, each.why) for each in found.notes]


def test_a_dag_has_its_defaults_times_and_limits() -> None:
    made = schedules(imported("dag-factory", TEXT, zone="Asia/Tokyo"))
    daily = made["sales_daily"]
    assert daily["trigger"] == {"cron": "0 3 * * *", "timezone": "Europe/Zurich", "startDate": "2026-01-01"}
    assert (daily["overlap"], daily["maxConcurrentRuns"], daily["catchUp"]) == ("queueAll", 1, "last")
    assert made["sales_model"]["trigger"]["timezone"] == "Asia/Tokyo"
    assert made["sales_events"]["trigger"] == {"manual": True}
    tasks = jobs(daily)
    assert tasks["extract"]["timeout"] == {"attemptDurationSeconds": 1800}
    assert tasks["load_orders"]["jobDependencies"] == tasks["load_returns"]["jobDependencies"] == ["extract"]
    assert tasks["check"]["jobDependencies"] == ["load_orders", "load_returns"]
    assert tasks["report"]["runWhen"] == "none_failed"


def test_the_imported_dag_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = schedules(imported("dag-factory", TEXT))["sales_daily"]
    states, calls, run = tried(document, PROGRAMS, tmp_path, monkeypatch)
    assert (run["status"], set(states.values())) == ("SUCCEEDED", {"SUCCEEDED"})
    assert calls[0] == "sales-extract --market ch"
    assert sorted(calls[1:3]) == ["sales-load orders", "sales-load returns"]
    assert calls[3:] == ["sales-report ", "sales-tidy "]


def test_a_task_that_was_not_imported_fails_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = schedules(imported("dag-factory", TEXT))["sales_model"]
    states, calls, run = tried(document, PROGRAMS, tmp_path, monkeypatch)
    assert (states, calls) == ({"features": "FAILED", "train": "UPSTREAM_FAILED"}, [])
    assert "ds }} is filled in by Airflow" in run["jobs"][0]["printed"].replace('"', "")


def dag(task: dict[str, Any] | None = None, **more: Any) -> str:
    a = {"operator": "airflow.operators.bash.BashOperator", "bash_command": "a"} | (task or {})
    says = {"schedule": "0 3 * * *", "default_args": {"start_date": "2026-01-01"}, "catchup": False}
    return json.dumps({"d": says | {"tasks": {"a": a}} | more})


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({"bash_command": "run.sh"}, "a file that Airflow fills in"),
        ({"bash_command": "a {% if x %}"}, "filled in by Airflow"),
        ({"bash_command": "a {{ params.x }}"}, "no value for"),
        ({"bash_command": 7}, "bash_command is 7"),
        ({"cwd": "/tmp"}, "the argument cwd"),
        ({"env": {"A": 1}}, "its env"),
        ({"trigger_rule": "one_done"}, "trigger_rule"),
        ({"retries": 10}, "at most 10 times"),
        ({"execution_timeout_secs": 30}, "at least 60 seconds"),
        ({"depends_on_past": True}, "depends_on_past"),
        ({"pool": "small"}, "the pool"),
        ({"operator": "airflow.providers.http.sensors.http.HttpSensor"}, "what HttpSensor does"),
        ({"operator": "shop.operators.BashOperator"}, "what shop.operators.BashOperator does"),
        (
            {
                "operator": "airflow.providers.amazon.aws.operators.batch.BatchOperator",
                "job_queue": "q",
                "bash_command": None,
            },
            "job_definition",
        ),
    ],
)
def test_a_task_that_no_job_can_be_is_reported_and_fails(task: dict[str, Any], why: str) -> None:
    found = imported("dag-factory", dag(task))
    assert "exit 1" in found.schedules[0].document["jobList"][0]["containerOverrides"]["command"][2]
    assert why in reports(found)[0][1]


def test_a_task_of_batch_keeps_its_queue_definition_and_overrides() -> None:
    overrides = {"command": ["load", "{{ params.day }}"], "environment": [{"name": "A", "value": "{{params.day}}"}]}
    batch = {
        "operator": "airflow.providers.amazon.aws.operators.batch.BatchOperator",
        "job_queue": "etl",
        "job_definition": "load:3",
        "job_name": "load",
    }
    text = dag(batch | {"container_overrides": overrides, "bash_command": None}, params={"day": "today"})
    [job] = imported("dag-factory", text).schedules[0].document["jobList"]
    reference = "{{run.parameters.day}}"
    filled = {"command": ["load", reference], "environment": [{"name": "A", "value": reference}]}
    assert job == {"jobName": "a", "jobQueue": "etl", "jobDefinition": "load:3", "containerOverrides": filled}


@pytest.mark.parametrize(
    "more",
    [
        {"schedule": "@once"},
        {"schedule": "0 3 * * * 30"},
        {"schedule": {"datasets": ["x"]}},
        {"default_args": {"start_date": "2 days"}},
        {"timezone": 7},
    ],
)
def test_a_schedule_that_no_trigger_can_say_is_reported_and_starts_by_hand(more: dict[str, Any]) -> None:
    found = imported("dag-factory", dag(**more))
    assert found.schedules[0].document["trigger"] == {"manual": True}
    assert "starts only by hand" in reports(found)[0][1]


@pytest.mark.parametrize(
    "more",
    [
        {"tasks": {}},
        {"tasks": {"a": 7}},
        {"tasks": {"a": {"dependencies": ["b"]}}},
        {"tasks": {"a": {"dependencies": "b"}}},
        {"tasks": {"a": {"task_group_name": "g"}}},
        {"task_groups": {"g": {"parent_group_name": "h"}}},
    ],
)
def test_a_dag_whose_tasks_cannot_be_read_becomes_no_schedule(more: dict[str, Any]) -> None:
    found = imported("dag-factory", dag(**more))
    assert (list(found.schedules), len(found.reported)) == ([], 1)


def test_a_spoilt_file_is_read_or_refused_but_never_a_fault() -> None:
    [content] = read_yaml(TEXT)
    for document in spoilt(content):
        imported("dag-factory", json.dumps(document))


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "f.yml"
    file.write_text("a: [")
    refused = usched("import", "dag-factory", str(file))
    assert (refused.exit_code, "cannot be read as dag-factory" in refused.output) == (2, True)
