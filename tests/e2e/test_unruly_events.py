"""Events that are lost, doubled, late and out of order, and histories that fill: every run ends right all the same."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually
from tests.e2e.test_main_job import job, schedule

pytestmark = pytest.mark.e2e
RUNS = 20
PART = 0.2
"""Of the events are lost, as many are doubled, as many come late."""
LATEST_SECONDS = 2.0
RULE, QUEUE = "usched-job-events", "usched-job-events"


class Unruly:
    """Takes the events from a queue of its own to the scheduler's, with what can happen on the way."""

    def __init__(self, stage: Stage, source: str, target: str) -> None:
        self.happened: Counter[str] = Counter()
        self._sqs, self._source, self._target = stage.client("sqs"), source, target
        self._chance = random.Random(20)
        self._late: list[tuple[float, str]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Unruly:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.is_set():
            answer = self._sqs.receive_message(QueueUrl=self._source, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in answer.get("Messages", ()):
                self._sqs.delete_message(QueueUrl=self._source, ReceiptHandle=message["ReceiptHandle"])
                self._pass_on(message["Body"])
            due = [body for at, body in self._late if at <= time.monotonic()]
            self._late = [(at, body) for at, body in self._late if at > time.monotonic()]
            self._chance.shuffle(due)
            for body in due:
                self._sqs.send_message(QueueUrl=self._target, MessageBody=body)

    def _pass_on(self, body: str) -> None:
        luck = self._chance.random()
        if luck < PART:
            self.happened["lost"] += 1
            return
        if luck < 3 * PART:
            self.happened["doubled" if luck < 2 * PART else "late"] += 1
            self._late.append((time.monotonic() + self._chance.uniform(0, LATEST_SECONDS), body))
        if not 2 * PART <= luck < 3 * PART:
            self._sqs.send_message(QueueUrl=self._target, MessageBody=body)


@contextmanager
def unruly_events(stage: Stage) -> Iterator[Unruly]:
    """Between the rule and its queue, for as long as this lasts."""
    events, sqs = stage.client("events"), stage.client("sqs")
    target = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    source = sqs.create_queue(QueueName="unruly-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=source, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="unruly-events", EventPattern=json.dumps({"source": ["aws.batch"]}))
    events.put_targets(Rule="unruly-events", Targets=[{"Id": "queue", "Arn": arn}])
    events.disable_rule(Name=RULE)
    try:
        with Unruly(stage, source, target) as unruly:
            yield unruly
    finally:
        events.enable_rule(Name=RULE)
        events.remove_targets(Rule="unruly-events", Ids=["queue"])
        events.delete_rule(Name="unruly-events")
        sqs.delete_queue(QueueUrl=source)


def diamond(failing: str = "") -> dict[str, Any]:
    after = {"job1": (), "job2": ("job1",), "job3": ("job1",), "job4": ("job1", "job2"), "job5": ("job3", "job4")}
    jobs = [job(name, *names, command="exit 3" if name == failing else "true") for name, names in after.items()]
    return schedule(*jobs, maxConcurrentJobs=3)


def submitted(stage: Stage) -> Counter[str]:
    """The Batch jobs of all queues by name."""
    batch = stage.client("batch")
    pages = (
        batch.get_paginator("list_jobs").paginate(jobQueue=queue, filters=[{"name": "JOB_NAME", "values": ["*"]}])
        for queue in stage.engine.queues.values()
    )
    return Counter(each["jobName"] for found in pages for page in found for each in page["jobSummaryList"])


def test_every_run_ends_right_whatever_happens_to_its_events(stage: Stage) -> None:
    with unruly_events(stage) as unruly:
        fine, failing = [diamond() for _ in range(RUNS - 5)], [diamond("job2") for _ in range(5)]
        for row in [*fine, *failing]:
            stage.put(row)
        for row in fine:
            run = stage.ended(row["scheduleId"])
            assert run["scheduleStatus"] == "SUCCEEDED"
            assert {entry["jobStatus"] for entry in stage.jobs(run).values()} == {"SUCCEEDED"}
        for row in failing:
            run = stage.ended(row["scheduleId"])
            assert run["scheduleStatus"] == "FAILED"
            statuses = {name: entry["jobStatus"] for name, entry in stage.jobs(run).items()}
            assert statuses == {
                "job1": "SUCCEEDED",
                "job2": "FAILED",
                "job3": "SUCCEEDED",
                "job4": "UPSTREAM_FAILED",
                "job5": "UPSTREAM_FAILED",
            }
    assert min(unruly.happened[what] for what in ("lost", "doubled", "late")) > RUNS
    assert max(submitted(stage).values()) == 1, "no job twice"


def test_a_history_that_rolls_over_ten_times_is_one_run(stage: Stage) -> None:
    functions, changed = stage.client("lambda"), {}
    for name in ("usched-submit-jobs", "usched-job-status-poller"):
        changed[name] = functions.get_function_configuration(FunctionName=name)["Environment"]
        variables = changed[name]["Variables"] | {"MAX_TURNS": "1"}
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    names = [f"job{number}" for number in range(30)]
    row = schedule(*(job(name, *names[at : at + 1]) for at, name in enumerate(names[1:])), maxConcurrentJobs=1)
    row["jobList"].append(job("job0"))
    for entry in row["jobList"]:  # longer than a turn, which else would look again in the same call
        entry["containerOverrides"] = {"command": ["sleep", "0.3"]}
    try:
        stage.put(row)
        run = stage.ended(row["scheduleId"])
    finally:
        for name, environment in changed.items():
            functions.update_function_configuration(FunctionName=name, Environment=environment)
    assert run["scheduleStatus"] == "SUCCEEDED"
    assert run["generation"] > 10
    assert len(stage.runs(row["scheduleId"])) == 1
    jobs = stage.jobs(run)
    assert {entry["jobStatus"] for entry in jobs.values()} == {"SUCCEEDED"}
    assert {entry["attempt"] for entry in jobs.values()} == {1}
    assert max(submitted(stage).values()) == 1, "no job twice"

    def all_ended() -> bool:
        client = stage.client("stepfunctions")
        pages = client.get_paginator("list_executions").paginate(stateMachineArn=stage.engine.state_machine_arn)
        mine = [each for page in pages for each in page["executions"] if row["scheduleId"] in each["name"]]
        return len(mine) > 10 and all(each["status"] == "SUCCEEDED" for each in mine)

    eventually(all_ended, what="the end of every execution of the run")
