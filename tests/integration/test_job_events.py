"""The handler of the queue of events, on moto: what fails, when it comes again, and what is kept."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.events import state_change
from tests.tables import create_tables


@dataclass
class Queue:
    url: str
    handler: ModuleType

    def take(self, *bodies: Any) -> Any:
        """Put messages into the queue and hand them to the function as Lambda does; what it answers."""
        client = boto3.client("sqs")
        for body in bodies:
            client.send_message(QueueUrl=self.url, MessageBody=body if isinstance(body, str) else json.dumps(body))
        found = client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, AttributeNames=["All"])
        records = [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:usched-job-events",
                "awsRegion": "us-east-1",
            }
            for message in found.get("Messages", [])
        ]
        assert len(records) == len(bodies)
        answer = self.handler.handler({"Records": records}, None)
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        return [record["body"] for record in records if record["messageId"] in failed]

    def visible(self) -> int:
        attributes = boto3.client("sqs").get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"])


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    with mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        create_tables(boto3.client("dynamodb"))
        url = boto3.client("sqs").create_queue(QueueName="events", Attributes={"VisibilityTimeout": "180"})["QueueUrl"]
        monkeypatch.setenv("JOB_EVENTS_QUEUE_URL", url)
        sys.modules.pop("lambdas.job_events", None)
        yield Queue(url, importlib.import_module("lambdas.job_events"))


def kept() -> list[str]:
    rows = boto3.client("dynamodb").scan(TableName="BatchJobEvents")["Items"]
    return sorted(f"{row['jobId']['S']} {row['jobStatus']['S']}" for row in rows)


def test_all_jobs_are_kept(queue: Queue) -> None:
    assert queue.take(state_change("a", "RUNNING"), state_change("b", "FAILED"), state_change("a", "RUNNING")) == []
    assert kept() == ["a RUNNING", "b FAILED"]


def test_what_is_no_event_fails_alone_and_comes_again_at_once(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    bodies = ["no json", {"source": "mine"}, [1]]
    failed = queue.take(bodies[0], state_change("a", "RUNNING"), *bodies[1:])
    assert sorted(failed) == sorted(["no json", json.dumps(bodies[1]), json.dumps(bodies[2])])
    assert kept() == ["a RUNNING"]
    assert queue.visible() == 3
    reasons = [vars(record)["reason"] for record in caplog.records if record.message == "Message is no event"]
    assert len(reasons) == 3
    assert "not an event of Batch: KeyError 'detail-type'" in reasons


def test_what_comes_too_early_is_kept_and_comes_again_after_a_pause(queue: Queue) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    early = state_change("x", "RUNNING", now, jobName="load-0123456789ab")
    [failed] = queue.take(early)
    assert json.loads(failed) == early
    assert kept() == ["x RUNNING"]
    assert queue.visible() == 0, "it is paused"


def test_nothing_is_done_where_the_tables_take_nothing(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    class Down(Exception):
        pass

    def fail(_: object) -> None:
        raise Down

    monkeypatch.setattr(queue.handler.wiring.job_log, "append", fail)
    with pytest.raises(Down):
        queue.take(state_change("a", "RUNNING"))
