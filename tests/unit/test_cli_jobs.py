"""`usched jobs` over memory: all jobs of the queues, one job, and what it makes of times and names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.events import QUEUE, documented, state_change
from tests.usched import Stage, told, usched
from universal_scheduler.cli import target
from universal_scheduler.cli.jobs import queue_arn
from universal_scheduler.domain.events.job_events import read_event

TAGS = {"usched:scheduleId": "nightly", "usched:start": "2026-11-21T05:59:59.000001", "usched:jobName": "load"}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(target, "connect", lambda _: made)
    return made


def happened(stage: Stage, job_id: str, *statuses: str, minutes_ago: int = 5, **detail: Any) -> None:
    """A job's changes, a second after the other."""
    began = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    for at, status in enumerate(statuses):
        time = (began + timedelta(seconds=at)).strftime("%Y-%m-%dT%H:%M:%SZ")
        stage.job_log.append([read_event(state_change(job_id, status, time, jobName=f"name-{job_id}", **detail))])


def ids(*words: str) -> list[str]:
    return [job["jobId"] for job in told("jobs", *words)["jobs"]]


def test_the_jobs_of_all_queues_the_last_changed_first(stage: Stage) -> None:
    happened(stage, "a", "RUNNING", "FAILED", minutes_ago=30)
    happened(stage, "b", "RUNNABLE", jobQueue=QUEUE.replace("default", "low"))
    happened(stage, "c", "RUNNING", "SUCCEEDED", minutes_ago=3 * 1440)
    happened(stage, "d", "RUNNING", jobQueue=QUEUE.replace("default", "foreign"))
    assert ids() == ["b", "a"]
    assert ids("--since", "1w") == ["b", "a", "c"]
    assert ids("--since", "10m") == ["b"]
    assert ids("--status", "failed") == ["a"]
    assert ids("--status", "RUNNING") == [], "it was, and has failed since"
    assert ids("--queue", "low") == ["b"]
    assert ids("--queue", "foreign") == ["d"]
    assert ids("--name", "name-a") == ["a"]
    assert ids("--name", "name-a", "--queue", "low") == []
    assert ids("--name", "name-a", "--status", "RUNNING") == []
    assert ids("--limit", "1") == ["b"]


def test_a_list_for_people_has_each_change(stage: Stage) -> None:
    happened(stage, "a", "RUNNABLE", "RUNNING", "FAILED", statusReason="Task failed", container={"exitCode": 7})
    happened(stage, "b", "RUNNING", tags=TAGS)
    out = " ".join(usched("jobs").stdout.split())
    for word in ("name-a", "default", "FAILED", "7", "Task failed", "RUNNABLE", "load", "nightly"):
        assert word in out


def test_a_list_of_no_jobs_says_what_was_looked_for(stage: Stage) -> None:
    del stage
    assert usched("jobs").stdout.startswith(
        "No job of this stage's queues has changed in the last 1d. Look further back"
    )
    words = "--since", "2026-11-21", "--queue", "low", "--status", "failed", "--name", "x"
    told = "No job named 'x' of the queue 'low' has changed since 2026-11-21 and is FAILED now."
    assert usched("jobs", *words).stdout.startswith(told)


def test_a_job_with_every_change(stage: Stage) -> None:
    attempts = [{"container": {"exitCode": 0}}]
    happened(stage, "a", "RUNNABLE", "RUNNING", tags=TAGS)
    happened(stage, "a", "RUNNING", minutes_ago=2, tags=TAGS, attempts=[{"container": {"exitCode": 9}}])
    assert "exitCode" not in told("jobs", "a"), "that was the attempt before"
    happened(stage, "a", "SUCCEEDED", minutes_ago=1, tags=TAGS, attempts=attempts, createdAt=1000, stoppedAt=2500)
    job = told("jobs", "a")
    assert [event["status"] for event in job["events"]] == ["RUNNABLE", "RUNNING", "RUNNING", "SUCCEEDED"]
    assert (job["jobName"], job["batchJobName"], job["exitCode"]) == ("load", "name-a", 0)
    assert (job["scheduleId"], job["startDateTime"]) == ("nightly", TAGS["usched:start"])
    assert (job["createdAt"], job["stoppedAt"]) == ("1970-01-01T00:00:01.000000", "1970-01-01T00:00:02.500000")
    out = usched("jobs", "a").stdout
    for word in ("load a SUCCEEDED", "RUNNABLE", "run: nightly"):
        assert word in out
    happened(stage, "b", "RUNNING")
    assert "exitCode" not in told("jobs", "b")
    assert "none" in usched("jobs", "b").stdout


def test_a_job_that_holds_up_its_queue_is_still_runnable(stage: Stage) -> None:
    event = documented("batch_job_queue_blocked")
    event["detail"]["jobQueue"] = QUEUE
    stage.job_log.append([read_event(state_change(event["detail"]["jobId"], "RUNNABLE", "2022-01-11T23:36:00Z"))])
    stage.job_log.append([read_event(event)])
    job = told("jobs", event["detail"]["jobId"])
    assert (job["status"], job["reason"]) == ("RUNNABLE", "blocked-reason")
    assert [each["status"] for each in job["events"]] == ["RUNNABLE", "BLOCKED"]


def test_a_job_that_nobody_knows(stage: Stage) -> None:
    del stage
    result = usched("jobs", "unknown")
    assert result.exit_code == 2
    assert "The log of jobs has no job 'unknown'" in result.stderr


def test_queues_by_short_name_arn_and_name() -> None:
    known = {"default": "arn:aws:batch:r:1:job-queue/stage-default"}
    assert queue_arn("default", known) == known["default"]
    assert queue_arn("arn:aws:batch:r:1:job-queue/x", known) == "arn:aws:batch:r:1:job-queue/x"
    assert queue_arn("big", known) == "arn:aws:batch:r:1:job-queue/big"
