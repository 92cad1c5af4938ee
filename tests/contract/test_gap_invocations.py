"""Functions that EventBridge and SNS invoke are tried again when they fail, and what they never handle is put away."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from tests.contract.conftest import Cloud

SOURCE = """
def handler(event, context):
    with open({path!r}, "a") as notes:
        notes.write("called\\n")
    raise ValueError("no")
"""


@pytest.mark.parametrize("service", ["events", "sns"])
def test_a_function_that_fails_is_tried_three_times(cloud: Cloud, notes: Path, service: str) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html"""
    name = f"dead-{uuid.uuid4().hex[:8]}"
    sqs = cloud.client("sqs")
    dead = sqs.create_queue(QueueName=name)["QueueUrl"]
    dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    function = cloud.function(SOURCE.format(path=str(notes)), DeadLetterConfig={"TargetArn": dead_arn})
    arn = cloud.client("lambda").get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    if service == "events":
        events = cloud.client("events")
        events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
        events.put_targets(Rule=name, Targets=[{"Id": "function", "Arn": arn}])
        events.put_events(Entries=[{"Source": name, "DetailType": "any", "Detail": "{}"}])
    else:
        topic = cloud.client("sns").create_topic(Name=name)["TopicArn"]
        cloud.client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)
        cloud.client("sns").publish(TopicArn=topic, Message="any")
    [given_up] = cloud.eventually(lambda: sqs.receive_message(QueueUrl=dead).get("Messages"))
    assert notes.read_text().split() == ["called"] * 3
    assert json.loads(given_up["Body"])["requestContext"]["condition"] == "RetriesExhausted"
