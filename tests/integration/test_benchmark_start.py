"""The state that the benchmark of the start makes is one that an engine starts with, and finds everything in."""

from __future__ import annotations

from pathlib import Path

from benchmarks import stage as stages
from benchmarks.start import fill, multiply
from universal_scheduler.local import engine as engines
from universal_scheduler.local.service.backup import STATE
from universal_scheduler.local.state import Safety


def test_an_engine_starts_with_copies_of_a_schedule_and_a_run_and_finds_them_all(tmp_path: Path) -> None:
    fill(tmp_path)
    multiply(tmp_path / STATE, 30, 20)
    engine = engines.start(0, tmp_path, safety=Safety.PROCESS)
    try:
        client = stages.Stage(engine).client
        rows = client("dynamodb").scan(TableName="BatchSchedules")["Items"]
        history = client("dynamodb").scan(TableName="BatchScheduleHistory")["Items"]
        entries = client("scheduler").list_schedules()["Schedules"]
        executions = client("stepfunctions").list_executions(stateMachineArn=engine.state_machine_arn)["executions"]
        jobs = client("batch").list_jobs(jobQueue="default", jobStatus="SUCCEEDED")["jobSummaryList"]
        lines = client("logs").filter_log_events(logGroupName="/aws/batch/usched")["events"]
        counted = client("dynamodb").describe_table(TableName="BatchSchedules")["Table"]["ItemCount"]
    finally:
        engines.stop(engine)
    assert len({row["scheduleId"]["S"] for row in rows if "trigger" in row}) == len(entries) == 30
    assert len([run for run in history if run.get("scheduleStatus", {}).get("S") == "SUCCEEDED"]) == 20
    assert (len(executions), len(jobs), counted) == (20, 20, 30 + 20)
    assert [event["message"] for event in lines] == ["hello"] * 20
