"""Runs are forgotten when their time is over, on DynamoDB as moto and as the engine have it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.engine_dynamodb import engine_dynamodb
from tests.tables import create_tables
from universal_scheduler.adapters.dynamodb.retention import FORGOTTEN_KEY, DynamoRetention
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.domain.runs.model import Execution, Job, JobRun, Run, RunKey, RunStatus
from universal_scheduler.ports.retention import Retention

TABLES = {"schedules": "BatchSchedules", "history": "BatchScheduleHistory", "jobs": "BatchScheduleJobs"}
JOBS = [JobRun(Job(f"job-{number}", "default", "shell")) for number in range(30)]


class Stage:
    """The tables with runs, each on a day of its own or on a given one."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.store = DynamoStore(client, **TABLES)
        self.retention: Retention = DynamoRetention(client, **TABLES)

    def run(self, day: str, number: int = 1, status: RunStatus = RunStatus.SUCCEEDED) -> RunKey:
        key = RunKey("nightly", f"{day}T06:00:0{number}.000001")
        run = Run(key, RunStatus.RUNNING, Execution(f"arn:{key.start}", key.start), cause={"kind": "row"})
        assert self.store.create_run(run)
        self.store.put_jobs(key.run_id, JOBS)
        if status is not RunStatus.RUNNING:
            assert self.store.finish_run(run, status, "", f"{day}T07:00:00", [])
        return key

    def days(self) -> list[str]:
        return sorted({run.key.start[:10] for run in self.store.list_runs("nightly", 100)})

    def rows(self, run_id: str) -> list[str]:
        found = self.client.query(
            TableName="BatchScheduleJobs",
            KeyConditionExpression="runId = :id",
            ExpressionAttributeValues={":id": {"S": run_id}},
        )
        return [item["jobName"]["S"] for item in found["Items"]]


@pytest.fixture(params=["dynamodb", "engine"])
def stage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    if request.param == "engine":
        with engine_dynamodb() as client:
            yield Stage(client)
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("dynamodb", "us-east-1")
        create_tables(client)
        yield Stage(client)


def test_runs_of_days_that_are_over_go_with_their_jobs(stage: Stage) -> None:
    old, kept = stage.run("2026-11-20"), stage.run("2026-11-21")
    assert stage.retention.forget_runs("2026-11-21", 10) == 1
    assert stage.days() == ["2026-11-21"]
    assert stage.rows(old.run_id) == []
    assert len(stage.rows(kept.run_id)) == len(JOBS)
    assert stage.rows("#days") == ["2026-11-21"]
    assert stage.rows(FORGOTTEN_KEY) == []
    assert stage.retention.forget_runs("2026-11-21", 10) == 0


def test_the_oldest_go_first_and_no_more_than_wanted(stage: Stage) -> None:
    for day in ("2026-11-20", "2026-11-18", "2026-11-19"):
        for number in (1, 2):
            stage.run(day, number)
    assert stage.retention.forget_runs("2026-11-21", 3) == 3
    assert stage.days() == ["2026-11-19", "2026-11-20"]
    assert stage.rows("#days") == ["2026-11-19", "2026-11-20"]
    assert stage.retention.forget_runs("2026-11-21", 3) == 3
    assert stage.days() == []


def test_a_run_that_goes_on_stays_and_so_does_its_day(stage: Stage) -> None:
    running = stage.run("2026-11-20", 1, RunStatus.RUNNING)
    stage.run("2026-11-20", 2)
    assert stage.retention.forget_runs("2026-11-21", 10) == 1
    assert [run.key for run in stage.store.list_runs("nightly", 10)] == [running]
    assert len(stage.rows(running.run_id)) == len(JOBS)
    assert stage.rows("#days") == ["2026-11-20"]
    assert stage.rows(FORGOTTEN_KEY) == []


def test_what_an_interrupted_call_has_left_goes_with_the_next(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    key = stage.run("2026-11-20")
    with monkeypatch.context() as patch:
        patch.setattr(DynamoRetention, "_forget_jobs", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            stage.retention.forget_runs("2026-11-21", 10)
    assert stage.store.get_run(key) is None
    assert len(stage.rows(key.run_id)) == len(JOBS)
    stage.retention.forget_runs("2026-11-21", 10)
    assert stage.rows(key.run_id) == stage.rows(FORGOTTEN_KEY) == stage.rows("#days") == []


def test_the_same_run_can_be_made_again(stage: Stage) -> None:
    key = stage.run("2026-11-20")
    stage.retention.forget_runs("2026-11-21", 10)
    again = Run(key, RunStatus.RUNNING, Execution("arn:again", "again"), cause={"kind": "row"})
    assert DynamoStore(stage.client, **TABLES).create_run(replace(again))
    assert stage.rows("#days") == ["2026-11-20"]
