"""Mappings of DynamoDB streams: partial failures, splitting, retry limits; none waits for another.

https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import json
import os
import signal
import uuid
from pathlib import Path
from typing import Any

from tests.contract.conftest import Cloud
from universal_scheduler.local import engine as engines
from universal_scheduler.local import processes
from universal_scheduler.local.state import Safety

# Notes the keys of each batch that it gets, then handles them one after the other as ``{each}`` says.
NOTING = """
import json, pathlib
notes = pathlib.Path({notes!r})
def handler(event, context):
    keys = [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]
    with notes.open("a") as file:
        file.write(json.dumps(keys) + "\\n")
    for key, record in zip(keys, event["Records"]):
        number = record["dynamodb"]["SequenceNumber"]
        {each}
"""
REPORTS_BAD = "if key.startswith('bad'): return {'batchItemFailures': [{'itemIdentifier': number}]}"
REPORTS_BAD_ONCE = "if key == 'bad' and notes.read_text().count('bad') == 1: return " + REPORTS_BAD.split("return ")[1]
RAISES_BAD = "assert not key.startswith('bad')"


class Table:
    """A table with a stream that functions are mapped to."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.name = f"t-{uuid.uuid4().hex[:8]}"
        made = cloud.client("dynamodb").create_table(
            TableName=self.name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self.stream = made["TableDescription"]["LatestStreamArn"]

    def put(self, *keys: str) -> None:
        for key in keys:
            self._cloud.client("dynamodb").put_item(TableName=self.name, Item={"id": {"S": key}})

    def map(self, notes: Path, each: str, **settings: Any) -> None:
        self._cloud.client("lambda").create_event_source_mapping(
            EventSourceArn=self.stream,
            FunctionName=self._cloud.function(NOTING.format(notes=str(notes), each=each)),
            StartingPosition="TRIM_HORIZON",
            FunctionResponseTypes=["ReportBatchItemFailures"],
            **settings,
        )


def batches(notes: Path) -> list[list[str]]:
    return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []


def test_records_are_delivered_again_from_the_first_that_failed(cloud: Cloud, notes: Path) -> None:
    table = Table(cloud)
    table.put("a", "bad", "c")
    table.map(notes, REPORTS_BAD_ONCE)
    expected = [["a", "bad", "c"], ["bad", "c"]]
    assert cloud.eventually(lambda: seen if len(seen := batches(notes)) == 2 else None) == expected


def test_a_batch_that_fails_for_good_goes_to_the_queue_and_the_next_is_delivered(cloud: Cloud, notes: Path) -> None:
    queues = cloud.client("sqs")
    url = queues.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    table = Table(cloud)
    table.put("bad", "good")
    given_up = {"OnFailure": {"Destination": arn}}
    table.map(notes, REPORTS_BAD, BatchSize=1, MaximumRetryAttempts=1, DestinationConfig=given_up)
    cloud.eventually(lambda: ["good"] in batches(notes))
    assert batches(notes) == [["bad"], ["bad"], ["good"]]
    message = cloud.eventually(lambda: queues.receive_message(QueueUrl=url).get("Messages"))
    told = json.loads(message[0]["Body"])
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told["DDBStreamBatchInfo"]["batchSize"] == 1


def test_a_batch_is_split_until_what_fails_is_alone(cloud: Cloud, notes: Path) -> None:
    table = Table(cloud)
    table.put("a", "b", "bad", "d")
    table.map(notes, RAISES_BAD, BisectBatchOnFunctionError=True, MaximumRetryAttempts=0)
    cloud.eventually(lambda: ["d"] in batches(notes))
    assert batches(notes) == [["a", "b", "bad", "d"], ["a", "b"], ["bad", "d"], ["bad"], ["d"]]


def test_a_mapping_whose_function_is_slow_holds_up_no_other(cloud: Cloud, notes: Path, tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    slow, quick = Table(cloud), Table(cloud)
    slow.map(tmp_path / "slow", f"while not pathlib.Path({str(go_on)!r}).exists(): __import__('time').sleep(0.01)")
    slow.put("a")
    try:
        cloud.eventually(lambda: batches(tmp_path / "slow"))
        quick.map(notes, "pass")
        quick.put("b")
        assert cloud.eventually(lambda: batches(notes)) == [["b"]]
    finally:
        go_on.touch()


def test_a_mapping_goes_on_where_it_was_when_the_engine_is_killed(tmp_path: Path) -> None:
    notes, well = tmp_path / "notes", tmp_path / "well"
    fails = NOTING.format(notes=str(notes), each=f"assert key != 'fails' or pathlib.Path({str(well)!r}).exists()")

    def start() -> tuple[Cloud, engines.Engine]:
        started = engines.start(0, tmp_path / "engine", bare=True, safety=Safety.PROCESS)
        return Cloud(started.endpoint, patience=60), started

    cloud, started = start()
    try:
        table = Table(cloud)
        table.put("before")
        cloud.client("lambda").create_event_source_mapping(
            EventSourceArn=table.stream, FunctionName=cloud.function(fails, name="noting"), StartingPosition="LATEST"
        )
        table.put("first")
        cloud.eventually(lambda: ["first"] in batches(notes))
        table.put("fails")
        cloud.eventually(lambda: ["fails"] in batches(notes))
        os.kill(started.pid, signal.SIGKILL)
        cloud.eventually(lambda: not processes.alive(started.pid))
        notes.unlink()
        well.touch()
        cloud, started = start()
        assert cloud.client("dynamodb").describe_table(TableName=table.name)["Table"]["LatestStreamArn"] == table.stream
        assert cloud.eventually(lambda: batches(notes)) == [["fails"]]
    finally:
        engines.stop(started)
