"""Events end to end: every job is kept, a dead execution's jobs are ended, and a burst is taken in without loss."""

from __future__ import annotations

import json
import os
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import PATIENCE_SECONDS, Stage, eventually
from tests.e2e.test_cli import usched
from tests.e2e.test_main_job import job, schedule
from tests.events import state_change
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.domain.runs.model import Job, JobRun, JobStatus, RunKey
from universal_scheduler.local import engine as engines

pytestmark = pytest.mark.e2e
EVENTS = int(os.environ.get("USCHED_EVENTS", "1000"))
"""How many events are replayed; `USCHED_EVENTS=10000` for the whole burst."""
QUEUE = "usched-job-events"


def jobs(stage: Stage, *words: str) -> Any:
    result = usched("jobs", *words, "--json", "--port", str(stage.engine.port))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_stage_without_job_events_runs_all_the_same(tmp_path: Path) -> None:
    engine = engines.start(0, tmp_path / "engine", events=False)
    try:
        stage = Stage(engine)
        row = schedule(job("a"), job("b", "a"))
        stage.put(row)
        run = stage.ended(row["scheduleId"])
        assert run["scheduleStatus"] == "SUCCEEDED"
        assert stage.table("BatchJobEvents").scan()["Items"] == []
    finally:
        engines.stop(engine)


def submit(stage: Stage, name: str, command: str, **more: Any) -> str:
    """Submit a job to Batch by hand; its id."""
    overrides = {"command": ["sh", "-c", command]}
    answer = stage.client("batch").submit_job(
        **{"jobName": name, "jobQueue": "low", "jobDefinition": "shell", "containerOverrides": overrides, **more}
    )
    return str(answer["jobId"])


def ended(stage: Stage, job_id: str) -> Any:
    """The job as the log has it, when it has ended."""

    def look() -> Any:
        result = usched("jobs", job_id, "--json", "--port", str(stage.engine.port))
        view = json.loads(result.stdout)
        return view if view.get("status") in ("SUCCEEDED", "FAILED") else None

    return eventually(look, what=f"the end of {job_id}")


def test_a_job_that_no_run_submitted_is_kept_with_every_change(stage: Stage) -> None:
    name = f"by-hand-{uuid.uuid4().hex[:8]}"
    job_id = submit(stage, name, "echo no; exit 7")
    kept = ended(stage, job_id)
    assert [event["status"] for event in kept["events"]] == ["RUNNABLE", "STARTING", "RUNNING", "FAILED"]
    assert all(event["time"] for event in kept["events"])
    assert (kept["exitCode"], kept["attempts"], kept["jobName"]) == (7, 1, name)
    assert "scheduleId" not in kept
    assert kept["logStreamName"]
    listed = jobs(stage, "--queue", "low", "--status", "FAILED", "--since", "1d")["jobs"]
    assert kept in listed
    assert jobs(stage, "--name", name)["jobs"] == [kept]
    assert kept not in jobs(stage, "--queue", "high")["jobs"]


def test_a_retried_array_is_kept_child_by_child(stage: Stage) -> None:
    name = f"array-{uuid.uuid4().hex[:8]}"
    command = "test $AWS_BATCH_JOB_ARRAY_INDEX = 0 || test $AWS_BATCH_JOB_ATTEMPT = 2"
    parent = submit(stage, name, command, arrayProperties={"size": 2}, retryStrategy={"attempts": 2})
    assert ended(stage, parent)["status"] == "SUCCEEDED"
    first, second = ended(stage, f"{parent}:0"), ended(stage, f"{parent}:1")
    assert (first["attempts"], second["attempts"]) == (1, 2)
    assert (second["arrayJobId"], second["arrayIndex"]) == (parent, 1)
    assert [event["status"] for event in second["events"]].count("RUNNING") == 2
    assert {found["jobId"] for found in jobs(stage, "--name", name)["jobs"]} == {parent, f"{parent}:0", f"{parent}:1"}


def test_a_runs_job_names_its_run(stage: Stage) -> None:
    row = schedule(job("only"))
    stage.put(row)
    run = stage.ended(row["scheduleId"])
    kept = ended(stage, stage.jobs(run)["only"]["jobId"])
    assert (kept["scheduleId"], kept["startDateTime"], kept["jobName"]) == (
        row["scheduleId"],
        run["startDateTime"],
        "only",
    )


def started(stage: Stage, tmp_path: Path, **more: Any) -> tuple[str, Any, int]:
    """A run whose first job runs for long and whose second waits: scheduleId, row, and the process of the first."""
    row = schedule(job("long", command=f"echo $$ > {tmp_path}/pid; exec sleep 300"), job("behind", "long"), **more)
    stage.put(row)
    file = tmp_path / "pid"
    pid = int(eventually(lambda: file.exists() and file.read_text().strip(), what="the job's start"))
    [run] = stage.runs(row["scheduleId"])
    return row["scheduleId"], run, pid


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_aborting_an_execution_ends_its_jobs_and_records_the_run(stage: Stage, tmp_path: Path) -> None:
    schedule_id, run, pid = started(stage, tmp_path)
    stage.client("stepfunctions").stop_execution(executionArn=run["executionArn"])
    run = stage.ended(schedule_id)
    assert (run["scheduleStatus"], run["statusReason"]) == ("CANCELLED", "the execution was aborted")
    assert {row["jobStatus"] for row in stage.jobs(run).values()} == {"CANCELLED"}
    eventually(lambda: gone(pid), what="the end of the job's process")


@contextmanager
def machine_that_times_out(stage: Stage, seconds: int) -> Iterator[None]:
    client, arn = stage.client("stepfunctions"), stage.engine.state_machine_arn
    text = client.describe_state_machine(stateMachineArn=arn)["definition"]
    definition = json.dumps(json.loads(text) | {"TimeoutSeconds": seconds})
    client.update_state_machine(stateMachineArn=arn, definition=definition)
    try:
        yield
    finally:
        client.update_state_machine(stateMachineArn=arn, definition=text)


def test_an_execution_that_times_out_ends_its_jobs_where_a_lost_run_fails(stage: Stage, tmp_path: Path) -> None:
    with machine_that_times_out(stage, 2):
        schedule_id, _, pid = started(stage, tmp_path, onLost="fail")
        run = stage.ended(schedule_id)
    assert (run["scheduleStatus"], run["statusReason"]) == ("FAILED", "the execution timed out")
    eventually(lambda: gone(pid), what="the end of the job's process")


def url(stage: Stage, name: str) -> str:
    return str(stage.client("sqs").get_queue_url(QueueName=name)["QueueUrl"])


def left(stage: Stage, name: str) -> int:
    """How many messages a queue has, those that somebody holds included."""
    counts = stage.client("sqs").get_queue_attributes(QueueUrl=url(stage, name), AttributeNames=["All"])["Attributes"]
    return int(counts["ApproximateNumberOfMessages"]) + int(counts["ApproximateNumberOfMessagesNotVisible"])


def given_up(stage: Stage) -> list[str]:
    """The dead letters, which are then gone."""
    client, dead, bodies = stage.client("sqs"), url(stage, f"{QUEUE}-dead-letters"), []
    while found := client.receive_message(QueueUrl=dead, MaxNumberOfMessages=10).get("Messages"):
        bodies += [message["Body"] for message in found]
        entries = [{"Id": str(at), "ReceiptHandle": it["ReceiptHandle"]} for at, it in enumerate(found)]
        client.delete_message_batch(QueueUrl=dead, Entries=entries)
    return bodies


def send(stage: Stage, bodies: list[str]) -> None:
    client, to = stage.client("sqs"), url(stage, QUEUE)
    for start in range(0, len(bodies), 10):
        entries = [{"Id": str(at), "MessageBody": body} for at, body in enumerate(bodies[start : start + 10])]
        assert not client.send_message_batch(QueueUrl=to, Entries=entries).get("Failed")


def kept(stage: Stage, prefix: str) -> Counter[str]:
    """How many states the log has of each job of these."""
    pages = (
        stage.client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName="BatchJobEvents",
            FilterExpression="begins_with(jobId, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": prefix}},
        )
    )
    states = {
        (row["jobId"]["S"], status)
        for page in pages
        for row in page["Items"]
        for status in (
            row["jobStatus"]["S"],
            *(it["jobStatus"] for it in json.loads(row.get("earlier", {"S": "[]"})["S"])),
        )
    }
    return Counter(job_id for job_id, _ in states)


STATES = ("RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED")


def replay(stage: Stage, bodies: list[str]) -> float:
    """Put these into the queue; the seconds until it is empty again."""
    began = time.monotonic()
    send(stage, bodies)
    eventually(lambda: left(stage, QUEUE) == 0, seconds=PATIENCE_SECONDS + len(bodies) / 200, what="the queue's end")
    return time.monotonic() - began


def foreign(prefix: str, count: int) -> list[str]:
    """Events of jobs that no run submitted, four of each job."""
    return [json.dumps(state_change(f"{prefix}-{at // 4}", STATES[at % 4])) for at in range(count)]


def calls(stage: Stage) -> Counter[str]:
    with urllib.request.urlopen(f"{stage.engine.endpoint}/_usched/calls", timeout=PATIENCE_SECONDS) as answer:
        return Counter(json.loads(answer.read()))


def test_a_burst_of_a_runs_events_is_recorded_in_few_writes(stage: Stage) -> None:
    """The run is one that nobody drives: only what is heard of its jobs changes its rows."""
    key = RunKey(f"burst-{uuid.uuid4().hex[:8]}", "2026-11-21T06:00:00.000001")
    store = DynamoStore(
        stage.client("dynamodb"), schedules="BatchSchedules", history="BatchScheduleHistory", jobs="BatchScheduleJobs"
    )
    count = EVENTS // 4
    submitted = [
        JobRun(Job(f"j{at}", "default", "shell"), at, JobStatus.SUBMITTED, job_id=f"{key.schedule_id}-{at}")
        for at in range(count)
    ]
    store.put_jobs(key.run_id, submitted)
    bodies = [
        json.dumps(
            state_change(
                each.job_id,
                status,
                startedAt=1,
                tags={
                    "usched:scheduleId": key.schedule_id,
                    "usched:start": key.start,
                    "usched:jobName": each.name,
                },
            )
        )
        for status in STATES
        for each in submitted
    ]
    before = calls(stage)
    seconds = replay(stage, bodies)
    made = calls(stage) - before
    writes, together = (made[f"DynamoDB_20120810.{name}"] for name in ("UpdateItem", "TransactWriteItems"))
    print(
        f"\n{len(bodies)} events of {count} jobs of a run: recorded in {seconds:.1f} s;"
        f" {writes} writes of single rows, the run's among them, {together} of many job rows"
    )
    assert {job.status for job in store.list_jobs(key.run_id)} == {JobStatus.SUCCEEDED}
    assert store.changes(key.run_id).ended >= count
    assert 0 < writes < count, "the run's row is written once for many events"
    assert given_up(stage) == []


def test_a_burst_of_events_is_kept_without_loss(stage: Stage) -> None:
    given_up(stage)
    prefix = uuid.uuid4().hex[:8]
    seconds = replay(stage, foreign(prefix, EVENTS))
    found = kept(stage, prefix)
    print(f"\n{EVENTS} events: kept in {seconds:.1f} s, {EVENTS / seconds:.0f} a second")
    assert (found.total(), set(found.values())) == (EVENTS, {4})
    assert given_up(stage) == []


def test_what_is_no_event_ends_in_the_dead_letters_with_the_reason_logged_and_holds_up_nothing(stage: Stage) -> None:
    given_up(stage)
    malformed = EVENTS // 200
    prefix = uuid.uuid4().hex[:8]
    bodies = foreign(prefix, EVENTS)
    for at in range(malformed):
        bodies.insert(at * EVENTS // malformed, json.dumps({"malformed": f"{prefix}-{at}"}))
    seconds = replay(stage, bodies)
    found, dead = kept(stage, prefix), given_up(stage)
    print(f"\n{EVENTS} events, {malformed} malformed: kept in {seconds:.1f} s, {len(dead)} dead letters")
    assert (found.total(), set(found.values())) == (EVENTS, {4})
    assert len({json.loads(body)["malformed"] for body in dead}) == len(dead) == malformed
    logged = stage.client("logs").filter_log_events(
        logGroupName=f"/aws/lambda/{QUEUE}", filterPattern='"Message is no event"'
    )["events"]
    assert logged
    assert "KeyError 'source'" in json.loads(logged[-1]["message"])["reason"]
