"""Runs and jobs that are late, stuck and lost, on the engine: people are told of each once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually

MACHINE_RULE = "usched-execution-events"


@dataclass
class People:
    """Who hears of a schedule: a queue that is subscribed to an SNS topic."""

    stage: Stage
    topic: str
    queue: str

    def heard(self, number: int) -> list[str]:
        """The kinds of the messages, when there are so many."""
        found: list[str] = []

        def look() -> bool:
            got = self.stage.client("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
            for message in got.get("Messages", []):
                found.append(json.loads(message["Body"])["MessageAttributes"]["kind"]["Value"])
                self.stage.client("sqs").delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
            return len(found) >= number

        eventually(look, what=f"{number} messages")
        return found


@pytest.fixture
def people(stage: Stage) -> Iterator[People]:
    name = f"watchdogs-{uuid.uuid4().hex[:8]}"
    topic = stage.client("sns").create_topic(Name=name)["TopicArn"]
    queue = stage.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    attributes = stage.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    stage.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=attributes["QueueArn"])
    yield People(stage, topic, queue)
    stage.client("sns").delete_topic(TopicArn=topic)
    stage.client("sqs").delete_queue(QueueUrl=queue)


def sweep(stage: Stage) -> dict[str, int]:
    answer = stage.client("lambda").invoke(FunctionName="usched-sweep")
    body: dict[str, int] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body
    return body


def soon(stage: Stage, run: Any) -> None:
    """Make the run due for a look now, as if time had passed."""
    stage.table("BatchScheduleHistory").update_item(
        Key={"scheduleId": run["scheduleId"], "startDateTime": run["startDateTime"]},
        UpdateExpression="SET watchAt = :now",
        ExpressionAttributeValues={":now": 0},
    )


def told(stage: Stage, run: Any) -> dict[str, Any]:
    """What people have been told of the run, and when that was begun."""
    rows = stage.table("BatchScheduleJobs").query(
        KeyConditionExpression="runId = :run AND begins_with(jobName, :told)",
        ExpressionAttributeValues={":run": run["runId"], ":told": "#notified#"},
    )["Items"]
    return {row["jobName"]: row["begunAt"] for row in rows if row.get("notified")}


def swept(stage: Stage, run: Any) -> dict[str, Any]:
    soon(stage, run)
    sweep(stage)
    return told(stage, run)


def swept_until_told(stage: Stage, run: Any) -> list[str]:
    """Sweep until something is told, and once more.

    The engine sweeps too, every minute: it may be the one that tells, at any moment since the run's start. So no test
    here may wait for a state that a sweep ends.
    """
    found = eventually(lambda: swept(stage, run), what="that something is told")
    assert swept(stage, run) == found, "nothing is told twice"
    return list(found)


def job(name: str, command: str, **more: Any) -> dict[str, Any]:
    overrides = {"command": ["sh", "-c", command], **more.pop("overrides", {})}
    return {"jobName": name, "jobQueue": "default", "jobDefinition": "shell", "containerOverrides": overrides, **more}


def running(stage: Stage, schedule_id: str, job_name: str, status: str) -> Any:
    """The schedule's run, when its job is in this state."""

    def look() -> Any:
        for run in stage.runs(schedule_id):
            if stage.jobs(run).get(job_name, {}).get("jobStatus") == status:
                return run
        return None

    return eventually(look, what=f"{job_name} {status}")


def test_a_late_run_is_told_once(stage: Stage, people: People) -> None:
    name = "late-run"
    stage.put(
        {
            "scheduleId": name,
            "jobList": [job("slow", "sleep 600")],
            "wait_time": 1,
            "maxDuration": 1,
            "notifications": [{"on": ["run_late"], "sns": people.topic}],
        }
    )
    run = running(stage, name, "slow", "RUNNING")
    assert swept_until_told(stage, run) == ["#notified#run_late#1#maxDuration"]
    assert people.heard(1) == ["run_late"]
    [row] = stage.jobs(run).values()
    stage.client("batch").terminate_job(jobId=row["jobId"], reason="the test is over")
    assert stage.ended(name)["scheduleStatus"] == "FAILED"


def test_a_stuck_job_is_told_once_and_runs_in_its_fallback_queue(stage: Stage, people: People) -> None:
    batch = stage.client("batch")
    name = f"tiny-{uuid.uuid4().hex[:8]}"
    environment = batch.create_compute_environment(
        computeEnvironmentName=name,
        type="MANAGED",
        computeResources={"type": "FARGATE", "maxvCpus": 1, "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]},
    )["computeEnvironmentArn"]
    queue = batch.create_job_queue(
        jobQueueName=name, priority=1, computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}]
    )["jobQueueArn"]
    wanted = {"resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "4096"}]}
    entry = job("large", "true", overrides=wanted, maxQueueTime=1, fallbackQueue="default") | {"jobQueue": queue}
    stage.put(
        {
            "scheduleId": name,
            "jobList": [entry, job("after", "true", jobDependencies=["large"])],
            "wait_time": 1,
            "notifications": [{"on": ["job_stuck"], "sns": people.topic}],
        }
    )
    run = eventually(lambda: next(iter(stage.runs(name)), None), what="the start of the run")
    before = eventually(lambda: swept(stage, run), what="that it is told")
    assert stage.ended(name)["scheduleStatus"] == "SUCCEEDED"
    assert swept(stage, run) == before, "nothing is told twice"
    large = stage.jobs(run)["large"]
    assert (large["attempt"], large["jobQueue"], large["jobStatus"]) == (2, "default", "SUCCEEDED")
    assert people.heard(1) == ["job_stuck"]
    assert list(before) == ["#notified#job_stuck#1#large"]


def lose(stage: Stage, run: Any) -> None:
    """As when Step Functions has forgotten the execution."""
    stage.client("stepfunctions").stop_execution(executionArn=run["executionArn"])
    stage.table("BatchScheduleHistory").update_item(
        Key={"scheduleId": run["scheduleId"], "startDateTime": run["startDateTime"]},
        UpdateExpression="SET executionArn = :gone",
        ExpressionAttributeValues={":gone": f"{run['executionArn']}-gone"},
    )


def test_a_run_whose_execution_is_lost_goes_on_in_a_new_one(stage: Stage, people: People, tmp_path: Path) -> None:
    name, go = "resumed-run", tmp_path / "go"
    events = stage.client("events")
    events.disable_rule(Name=MACHINE_RULE)
    try:
        first = job("first", f"until [ -e {go} ]; do sleep 0.1; done")
        stage.put(
            {
                "scheduleId": name,
                "jobList": [first, job("second", "true", jobDependencies=["first"])],
                "wait_time": 1,
                "notifications": [{"on": ["run_lost", "run_resumed"], "sns": people.topic}],
            }
        )
        run = running(stage, name, "first", "RUNNING")
        lose(stage, run)
        assert swept_until_told(stage, run) == [f"#notified#run_resumed#{run['generation']}#run"]
        go.touch()
        ended = stage.ended(name)
        assert (ended["scheduleStatus"], ended["generation"]) == ("SUCCEEDED", run["generation"] + 1)
        assert {row["attempt"] for row in stage.jobs(run).values()} == {1}
        assert people.heard(1) == ["run_resumed"]
    finally:
        go.touch()
        events.enable_rule(Name=MACHINE_RULE)


def test_a_lost_execution_is_told_once_and_its_jobs_are_ended(stage: Stage, people: People) -> None:
    name = "lost-run"
    events = stage.client("events")
    events.disable_rule(Name=MACHINE_RULE)
    try:
        stage.put(
            {
                "scheduleId": name,
                "jobList": [job("left", "sleep 600")],
                "wait_time": 1,
                "onLost": "fail",
                "notifications": [{"on": ["run_lost", "run_failed"], "sns": people.topic}],
            }
        )
        run = running(stage, name, "left", "RUNNING")
        lose(stage, run)
        assert swept_until_told(stage, run) == [f"#notified#run_lost#{run['generation']}#run"]
        ended = stage.ended(name)
        assert (ended["scheduleStatus"], ended["statusReason"]) == (
            "FAILED",
            "its execution has stopped without a result",
        )
        [row] = stage.jobs(run).values()
        assert row["jobStatus"] == "CANCELLED"
        assert sorted(people.heard(2)) == ["run_failed", "run_lost"]
        batch = stage.client("batch")
        eventually(lambda: batch.describe_jobs(jobs=[row["jobId"]])["jobs"][0]["status"] == "FAILED")
    finally:
        events.enable_rule(Name=MACHINE_RULE)
