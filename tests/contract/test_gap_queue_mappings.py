"""Mappings of queues: a wrong answer is a failure of the batch, and what comes too often is given up."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import Cloud

NOTE = "note = lambda text: print(text, file=open({path!r}, 'a'), flush=True)\n"
SOURCE = NOTE + "def handler(event, context):\n    note(len(event['Records']))\n    return {answer}\n"


def mapped(cloud: Cloud, notes: Path, answer: str, *, most: int) -> tuple[str, str]:
    """Urls of a queue whose messages go to a function that answers so, and of the queue for what is given up."""
    client = cloud.client("sqs")
    dead = client.create_queue(QueueName=f"d-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    attributes = {
        "VisibilityTimeout": "1",
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": most}),
    }
    queue = client.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}", Attributes=attributes)["QueueUrl"]
    cloud.client("lambda").create_event_source_mapping(
        EventSourceArn=client.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ],
        FunctionName=cloud.function(SOURCE.format(path=str(notes), answer=answer)),
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    return queue, dead


def received(cloud: Cloud, url: str) -> Any:
    answer = cloud.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])
    return answer.get("Messages")


@pytest.mark.parametrize("answer", ["{'batchItemFailures': [{'itemIdentifier': 'nobody'}]}", "['no', 'object']"])
def test_an_answer_that_is_not_as_it_should_be_fails_the_batch(cloud: Cloud, notes: Path, answer: str) -> None:
    queue, dead = mapped(cloud, notes, answer, most=2)
    cloud.client("sqs").send_message(QueueUrl=queue, MessageBody="m")
    [message] = cloud.eventually(lambda: received(cloud, dead))
    assert message["Body"] == "m"
    assert notes.exists()
    assert notes.read_text().split() == ["1", "1"]


def test_a_batch_is_as_large_as_the_mapping_says(cloud: Cloud, notes: Path) -> None:
    client, functions = cloud.client("sqs"), cloud.client("lambda")
    queue = client.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    for start in (0, 10):
        entries = [{"Id": str(at), "MessageBody": "m"} for at in range(start, start + 10)]
        client.send_message_batch(QueueUrl=queue, Entries=entries)
    arn = client.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    name = cloud.function(SOURCE.format(path=str(notes), answer="None"))
    functions.create_event_source_mapping(
        EventSourceArn=arn, FunctionName=name, BatchSize=50, MaximumBatchingWindowInSeconds=1
    )
    assert cloud.eventually(lambda: notes.read_text().split() if notes.exists() else None) == ["20"]


def test_what_did_not_fail_is_done(engine: Cloud, notes: Path) -> None:
    bad = "[{'itemIdentifier': it['messageId']} for it in event['Records'] if it['body'] == 'bad']"
    queue, dead = mapped(engine, notes, "{'batchItemFailures': " + bad + "}", most=3)
    client = engine.client("sqs")
    bodies = ["good", "bad", "good", "good"]
    client.send_message_batch(
        QueueUrl=queue, Entries=[{"Id": str(at), "MessageBody": body} for at, body in enumerate(bodies)]
    )
    [message] = engine.eventually(lambda: received(engine, dead))
    assert message["Body"] == "bad"
    assert message["Attributes"]["ApproximateReceiveCount"] == "4", "three times there, once here"

    def empty() -> bool:
        counts = client.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        return counts["ApproximateNumberOfMessages"] == counts["ApproximateNumberOfMessagesNotVisible"] == "0"

    engine.eventually(empty)
