"""Schedules tried in this process, with real processes as their jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from universal_scheduler.domain.errors import InvalidSchedule
from universal_scheduler.domain.model import JobStatus, RunStatus
from universal_scheduler.local.trial import Trial, try_schedule


def job(name: str, *after: Any, command: str = "true", **more: Any) -> dict[str, Any]:
    overrides = {"command": ["sh", "-c", command]}
    return {
        "jobName": name,
        "jobQueue": "arn:aws:batch:us-east-1:1:job-queue/elsewhere",
        "jobDefinition": "elsewhere",
        "jobDependencies": list(after),
        "containerOverrides": overrides,
        **more,
    }


def tried(*jobs: dict[str, Any], **more: Any) -> Trial:
    return try_schedule({"scheduleId": "tried", "jobList": list(jobs), **more})


def statuses(trial: Trial) -> dict[str, str]:
    return {each.name: str(each.status) for each in trial.jobs}


def test_jobs_run_in_their_order_and_share_a_directory() -> None:
    trial = tried(
        job("write", command="echo 41 > $USCHED_DATA/x"),
        job("read", "write", command="echo $(( $(cat $USCHED_DATA/x) + 1 )) for $USCHED_JOB_NAME"),
    )
    assert trial.run.status is RunStatus.SUCCEEDED
    assert trial.output == {"read": "42 for read"}


def test_a_branch_is_taken_by_exit_code() -> None:
    trial = tried(
        job("check", command="exit 3", optional=True),
        job("small", {"job": "check", "exitCode": 0}),
        job("large", {"job": "check", "exitCode": [3, 4]}),
        job("report", "small", "large", runWhen="none_failed"),
    )
    assert statuses(trial) == {"check": "FAILED", "small": "SKIPPED", "large": "SUCCEEDED", "report": "SUCCEEDED"}
    assert trial.run.status is RunStatus.SUCCEEDED


def test_a_clean_up_runs_after_a_failure_and_the_run_says_what_failed() -> None:
    trial = tried(
        job("load", command="echo no space >&2; exit 7"),
        job("publish", "load"),
        job("clean-up", "load", runWhen="one_failed"),
    )
    assert statuses(trial) == {"load": "FAILED", "publish": "UPSTREAM_FAILED", "clean-up": "SUCCEEDED"}
    assert trial.run.reason.startswith("load FAILED with exit code 7")
    assert trial.output["load"] == "no space"


def test_a_command_that_does_not_exist_fails_its_job_only() -> None:
    missing = job("a") | {"containerOverrides": {"command": ["/no/such/program"]}}
    assert statuses(tried(missing, job("b"))) == {"a": "FAILED", "b": "SUCCEEDED"}


def test_no_more_jobs_run_at_a_time_than_the_schedule_says(tmp_path: Path) -> None:
    only_one = f"mkdir {tmp_path}/lock && rmdir {tmp_path}/lock"
    trial = tried(*(job(f"j{i}", command=only_one) for i in range(8)), maxConcurrentJobs=1)
    assert {each.status for each in trial.jobs} == {JobStatus.SUCCEEDED}


def test_files_are_kept_where_a_directory_is_given(tmp_path: Path) -> None:
    document = {"scheduleId": "tried", "jobList": [job("a", command="echo kept > $USCHED_DATA/x")]}
    try_schedule(document, directory=tmp_path / "here")
    assert (tmp_path / "here" / "data" / "x").read_text() == "kept\n"


def test_whoever_watches_is_told_of_every_state() -> None:
    seen: list[str] = []
    document = {"scheduleId": "tried", "jobList": [job("a"), job("b", "a")]}
    try_schedule(document, on_change=lambda _run, jobs: seen.append("".join(str(each.status)[0] for each in jobs)))
    assert seen[-1] == "SS"


def test_a_document_that_is_not_valid_runs_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidSchedule):
        tried(job("a", "b", command=f"touch {tmp_path}/ran"))
    assert not list(tmp_path.iterdir())
