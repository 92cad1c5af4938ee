"""What AWS's services of a durable engine have answered is done, although the engine is killed again and again."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import random
import signal
import socket
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.e2e.conftest import eventually
from universal_scheduler.local import engine
from universal_scheduler.local.state import Safety

KILLS = int(os.environ.get("USCHED_SERVICE_KILLS", "3"))
NOTING = """
import json


def handler(event, context):
    bodies = [record["body"] for record in event["Records"]] if "Records" in event else [event["body"]]
    with open({path!r}, "a") as notes:
        notes.write("".join(f"{{body}}\\n" for body in bodies))
"""


class Machine:
    """A durable engine on one port."""

    def __init__(self, home: Path) -> None:
        with socket.create_server((engine.HOST, 0)) as free:
            self._port = free.getsockname()[1]
        self._home = home
        self.start()

    def start(self) -> None:
        self._engine = engine.start(self._port, self._home, safety=Safety.PROCESS)

    def kill(self) -> None:
        os.kill(self._engine.pid, signal.SIGKILL)
        eventually(lambda: engine.find(self._home) is None)

    def stop(self) -> None:
        engine.stop(self._home)

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://{engine.HOST}:{self._port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10),
        )


class Sender:
    """Sends one thing after the other, and knows which were taken."""

    def __init__(self, send: Callable[[str], object], *, repeats: bool = False) -> None:
        self.taken: list[str] = []
        self._send, self._repeats = send, repeats
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            body = f"{number:05}"
            while not self._sent(body):
                self._stop.wait(0.02)
                if self._stop.is_set() or not self._repeats:
                    break
            self._stop.wait(0.005)

    def _sent(self, body: str) -> bool:
        try:
            self._send(body)
        except (BotoCoreError, ClientError):
            return False
        self.taken.append(body)
        return True

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


def test_what_was_taken_is_done_however_often_the_engine_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine, rng, notes = Machine(tmp_path / "engine"), random.Random(11), tmp_path / "notes"
    try:
        senders = begin(machine, notes)
        try:
            for _ in range(KILLS):
                before = [len(sender.taken) for sender in senders.values()]
                eventually(
                    lambda before=before: all(
                        len(sender.taken) > old + 3 for sender, old in zip(senders.values(), before, strict=True)
                    )
                )
                time.sleep(rng.random() / 2)
                machine.kill()
                machine.start()
        finally:
            for sender in senders.values():
                sender.end()
        check(machine, senders, notes)
        counts = ", ".join(f"{len(sender.taken)} by {name}" for name, sender in senders.items())
        with capsys.disabled():
            print(f"\n{KILLS} kills; taken and done: {counts}")
    finally:
        machine.stop()


def begin(machine: Machine, notes: Path) -> dict[str, Sender]:
    sqs, s3, sns, functions = (machine.client(name) for name in ("sqs", "s3", "sns", "lambda"))
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("work", "arrived", "copied")}
    urls["order.fifo"] = sqs.create_queue(QueueName="order.fifo", Attributes=fifo)["QueueUrl"]
    arns = {
        name: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for name, url in urls.items()
    }
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("main.py", NOTING.format(path=str(notes)))
    functions.create_function(
        FunctionName="noting",
        Role="arn:aws:iam::123456789012:role/any",
        Handler="main.handler",
        Runtime="python3.13",
        Code={"ZipFile": code.getvalue()},
    )
    functions.create_event_source_mapping(EventSourceArn=arns["work"], FunctionName="noting")
    s3.create_bucket(Bucket="mine")
    s3.put_bucket_notification_configuration(Bucket="mine", NotificationConfiguration={"EventBridgeConfiguration": {}})
    events = machine.client("events")
    events.put_rule(
        Name="arrived", EventPattern=json.dumps({"source": ["aws.s3"], "detail": {"bucket": {"name": ["mine"]}}})
    )
    events.put_targets(
        Rule="arrived", Targets=[{"Id": "q", "Arn": arns["arrived"], "InputPath": "$.detail.object.key"}]
    )
    topic = sns.create_topic(Name="copied")["TopicArn"]
    raw = {"RawMessageDelivery": "true"}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns["copied"], Attributes=raw)
    invoke = {"FunctionName": "noting", "InvocationType": "Event"}
    return {
        "queue": Sender(lambda body: sqs.send_message(QueueUrl=urls["work"], MessageBody=f"queue-{body}")),
        "order": Sender(
            lambda body: sqs.send_message(QueueUrl=urls["order.fifo"], MessageBody=body, MessageGroupId="g"),
            repeats=True,
        ),
        "bucket": Sender(lambda body: s3.put_object(Bucket="mine", Key=body, Body=content(body))),
        "topic": Sender(lambda body: sns.publish(TopicArn=topic, Message=body)),
        "call": Sender(lambda body: functions.invoke(**invoke, Payload=json.dumps({"body": f"call-{body}"}))),
    }


def content(body: str) -> bytes:
    return hashlib.sha256(body.encode()).digest() * 100


def check(machine: Machine, senders: dict[str, Sender], notes: Path) -> None:
    taken = {name: set(sender.taken) for name, sender in senders.items()}
    wanted = {f"queue-{body}" for body in taken["queue"]} | {f"call-{body}" for body in taken["call"]}
    eventually(lambda: wanted <= set(notes.read_text().splitlines()))
    s3 = machine.client("s3")
    for key in taken["bucket"]:
        assert s3.get_object(Bucket="mine", Key=key)["Body"].read() == content(key)
    arrived: set[str] = set()
    eventually(
        lambda: arrived.update(json.loads(body) for body in drained(machine, "arrived")) or taken["bucket"] <= arrived
    )
    copied = Counter(drained(machine, "copied"))
    assert taken["topic"] <= copied.keys()
    assert drained(machine, "order.fifo") == senders["order"].taken, "each once, in order"


def drained(machine: Machine, name: str) -> list[str]:
    sqs = machine.client("sqs")
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    bodies: list[str] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            bodies.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return bodies
