"""Notifications over real HTTP and the SNS, SQS and secrets of moto: what arrives, and what becomes of the rest."""

from __future__ import annotations

import importlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.tables import create_tables, template
from tests.webhooks import Receiver, checked, receiver
from universal_scheduler.adapters.outbox import SqsOutbox
from universal_scheduler.domain.errors import StoreUnavailable
from universal_scheduler.domain.messages.messages import signature
from universal_scheduler.domain.messages.notifications import Channel, Delivery, Kind, Notification, Service, to_body
from universal_scheduler.domain.runs.model import RunKey

RECEIVES = template()["Resources"]["NotificationsQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]
TOLD = Notification(Kind.RUN_FAILED, RunKey("load", "2026-11-21T06:00:00.000001"), 0.0)


class Queue:
    """The queue of notifications, and Lambda's poller of it: `usched-notify` gets every message until none is left."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.dead_url = client.create_queue(QueueName="dead")["QueueUrl"]
        arn = client.get_queue_attributes(QueueUrl=self.dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVES})
        self.url = client.create_queue(QueueName="live", Attributes={"RedrivePolicy": redrive})["QueueUrl"]

    def put(self, service: Service, target: str, key: str = "") -> Delivery:
        delivery = Delivery(TOLD, Channel(service, target, key))
        SqsOutbox(lambda: self.client, queue=self.url).put([to_body(delivery)])
        return delivery

    def drain(self, handler: Callable[..., Any]) -> int:
        """How many times the function was called."""
        deadline, calls = time.monotonic() + 30, 0
        while time.monotonic() < deadline:
            names = ["ApproximateReceiveCount"]
            got = self.client.receive_message(QueueUrl=self.url, AttributeNames=names).get("Messages", [])
            if not got:
                return calls
            calls += 1
            [message] = got
            record = {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
            }
            if not handler({"Records": [record]}, None)["batchItemFailures"]:
                self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        raise AssertionError("the queue does not get empty")

    def dead(self) -> list[tuple[str, str]]:
        """The ids of dead letters, and why they were given up at once, where they were."""
        got = self.client.receive_message(
            QueueUrl=self.dead_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages", [])
        return [
            (json.loads(each["Body"])["id"], each.get("MessageAttributes", {}).get("reason", {}).get("StringValue", ""))
            for each in got
        ]


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        create_tables(boto3.client("dynamodb"))
        row = {"scheduleId": "load", "scheduleName": "Daily load", "jobList": []}
        boto3.resource("dynamodb").Table("BatchSchedules").put_item(Item=row)
        yield


@pytest.fixture
def queue() -> Queue:
    return Queue(boto3.client("sqs"))


@pytest.fixture
def load(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """The function as on the embedded engine (`local`), or on AWS; its pauses and time-out are short."""

    def load_function(*, local: bool = True) -> ModuleType:
        monkeypatch.setenv("NOTIFICATIONS_QUEUE_URL", queue.url)
        monkeypatch.setenv("NOTIFICATIONS_DEAD_LETTERS_URL", queue.dead_url)
        monkeypatch.setenv("NOTIFY_PAUSE", "0")
        monkeypatch.setenv("NOTIFY_TIMEOUT", "0.2")
        sys.modules.pop("lambdas.notify", None)
        module = importlib.import_module("lambdas.notify")
        if local:
            monkeypatch.setattr(type(module.wiring), "local_api", "http://127.0.0.1:1/api/v1")
        return module

    return load_function


@pytest.mark.parametrize("service", [Service.SLACK, Service.TEAMS, Service.WEBEX, Service.WEBHOOK])
def test_each_shape_arrives_at_a_real_receiver(queue: Queue, load: Callable[..., ModuleType], service: Service) -> None:
    with receiver() as people:
        delivery = queue.put(service, f"{people.url}/s3cret")
        assert queue.drain(load().handler) == 1
    [request] = people.requests
    checked(service, request.body)
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["X-Usched-Id"] == delivery.id
    assert "X-Usched-Signature" not in request.headers
    assert not queue.dead()


@pytest.mark.parametrize("kept", ["ssm", "secretsmanager"])
def test_url_and_key_come_from_where_secrets_are_kept(
    queue: Queue, load: Callable[..., ModuleType], kept: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with receiver(lambda _, times: 200 if times > 1 else 503) as people:
        values = {"url": f"{people.url}/s3cret", "key": "hunter2"}
        for name, value in values.items():
            if kept == "ssm":
                boto3.client("ssm").put_parameter(Name=f"/usched/{name}", Value=value, Type="SecureString")
            else:
                boto3.client("secretsmanager").create_secret(Name=f"usched/{name}", SecretString=value + "\n")
        prefix = "ssm:/usched" if kept == "ssm" else "secretsmanager:usched"
        queue.put(Service.WEBHOOK, f"{prefix}/url", f"{prefix}/key")
        assert queue.drain(load().handler) == 2
    request = people.requests[-1]
    expected = signature("hunter2", int(request.headers["X-Usched-Timestamp"]), request.body)
    assert request.headers["X-Usched-Signature"] == expected
    assert abs(int(request.headers["X-Usched-Timestamp"]) - time.time()) < 60
    assert f"{prefix}/url answered 503" in caplog.text
    assert "s3cret" not in caplog.text
    assert "hunter2" not in caplog.text


def test_who_answers_500_twice_gets_it_the_third_time(queue: Queue, load: Callable[..., ModuleType]) -> None:
    with receiver(lambda _, times: 500 if times < 3 else 204) as people:
        delivery = queue.put(Service.SLACK, people.url)
        assert queue.drain(load().handler) == 3
    assert {each.headers["X-Usched-Id"] for each in people.requests} == {delivery.id}
    assert not queue.dead()


def test_what_is_sent_to_who_never_answers_ends_among_the_dead_letters(
    queue: Queue, load: Callable[..., ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    with receiver(lambda *_: 0) as people:
        delivery = queue.put(Service.TEAMS, f"{people.url}/s3cret")
        assert queue.drain(load().handler) == RECEIVES
    assert [name for name, _ in queue.dead()] == [delivery.id]
    assert caplog.text.count("no answer (ReadTimeoutError)") == RECEIVES
    assert "s3cret" not in caplog.text


def answers(status: int, **headers: str) -> Callable[[Receiver], None]:
    def prepare(people: Receiver) -> None:
        people.answer = lambda *_: status
        people.headers = headers
        people.said = f"no such hook: /s3cret at {people.url}/s3cret".encode()

    return prepare


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (answers(404), "slack 127.0.0.1 answered 404: no such hook: ***"),
        (answers(302, Location="/elsewhere"), "answered 302"),
        (answers(400), "answered 400"),
    ],
)
def test_what_will_never_be_taken_is_given_up_at_once_with_the_reason(
    queue: Queue, load: Callable[..., ModuleType], prepare: Callable[[Receiver], None], reason: str
) -> None:
    with receiver() as people:
        prepare(people)
        delivery = queue.put(Service.SLACK, f"{people.url}/s3cret")
        assert queue.drain(load().handler) == 1
    assert len(people.requests) == 1, "a redirect is not followed"
    [(dead, why)] = queue.dead()
    assert dead == delivery.id
    assert reason in why
    assert "s3cret" not in why


def test_a_receiver_says_how_long_it_wants_to_be_left_alone(
    queue: Queue, load: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, asked = load(), []
    monkeypatch.setattr(module.wiring.outbox, "delay", lambda _, seconds: asked.append(seconds))
    with receiver(lambda *_: 429) as people:
        people.headers = {"Retry-After": "30"}
        queue.put(Service.SLACK, people.url)
        queue.drain(module.handler)
        people.headers = {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
        queue.put(Service.SLACK, people.url)
        queue.drain(module.handler)
    assert asked == [30, 0]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/s3cret", "http://hooks.example.com/s3cret", "ftp://x/s3cret"])
def test_on_aws_nothing_goes_out_unencrypted(queue: Queue, load: Callable[..., ModuleType], address: str) -> None:
    queue.put(Service.SLACK, address)
    assert queue.drain(load(local=False).handler) == 1
    [(_, why)] = queue.dead()
    assert "not an https:// URL" in why
    assert "s3cret" not in why


def test_what_cannot_be_reached_is_tried_again_and_its_path_not_told(
    queue: Queue, load: Callable[..., ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    with receiver() as gone:
        address = f"{gone.url}/s3cret"
    queue.put(Service.SLACK, address)
    assert queue.drain(load().handler) == RECEIVES
    assert "no answer (NewConnectionError)" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_topics_subscribers_are_told(queue: Queue, load: Callable[..., ModuleType]) -> None:
    sns = boto3.client("sns", region_name="eu-west-1")  # a topic may be in another region than the function
    topic = sns.create_topic(Name="people")["TopicArn"]
    theirs = boto3.client("sqs", region_name="eu-west-1")
    url = theirs.create_queue(QueueName="theirs")["QueueUrl"]
    arn = theirs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    delivery = queue.put(Service.SNS, topic)
    assert queue.drain(load().handler) == 1
    [message] = theirs.receive_message(QueueUrl=url)["Messages"]
    told = json.loads(message["Body"])
    assert told["Subject"] == "Run of load FAILED"
    assert "usched restart load 2026-11-21T06:00:00.000001" in told["Message"]
    assert told["MessageAttributes"]["id"]["Value"] == delivery.id


@pytest.mark.parametrize(
    ("service", "target", "key", "reason"),
    [
        (Service.SNS, "arn:aws:sns:us-east-1:123456789012:nobody", "", "NotFound"),
        (Service.SNS, "arn:aws:sns:us-east-1:1234567890:short-account", "", "sns arn:aws:sns"),
        (Service.SNS, "people", "", "sns people"),
        (Service.SLACK, "ssm:/usched/none", "", "ParameterNotFound"),
        (Service.WEBHOOK, "https://hooks.example.com/", "secretsmanager:usched/none", "ResourceNotFoundException"),
    ],
)
def test_a_wrong_topic_or_secret_is_given_up_at_once(
    queue: Queue, load: Callable[..., ModuleType], service: Service, target: str, key: str, reason: str
) -> None:
    queue.put(service, target, key)
    assert queue.drain(load().handler) == 1
    [(_, why)] = queue.dead()
    assert reason in why


def test_a_run_that_ended_is_announced_by_its_stream(
    queue: Queue, load: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    load()  # sets the environment
    monkeypatch.setenv("STATE_MACHINE_ARN", "arn:aws:states:us-east-1:123456789012:stateMachine:m")
    sys.modules.pop("lambdas.history_stream", None)
    handler = importlib.import_module("lambdas.history_stream").handler
    row = {
        "scheduleId": {"S": "load"},
        "startDateTime": {"S": "2026-11-21T06:00:00.000001"},
        "scheduleStatus": {"S": "RUNNING"},
        "executionName": {"S": "x"},
        "generation": {"N": "1"},
        "scheduleSnsTopic": {"S": "arn:aws:sns:us-east-1:123456789012:people"},
        "jobList": {"L": [{"M": {"jobName": {"S": "a"}}}]},
    }
    images: list[dict[str, Any]] = [
        {"NewImage": row},
        {"OldImage": row, "NewImage": {**row, "scheduleStatus": {"S": "FAILED"}}},
        {"OldImage": row},
    ]
    records = [
        {"eventID": str(i), "dynamodb": {"SequenceNumber": str(i), "ApproximateCreationDateTime": 1.0, **image}}
        for i, image in enumerate(images)
    ]

    class Context:
        aws_request_id = "id"

        def get_remaining_time_in_millis(self) -> int:
            return 60_000

    for _ in range(2):
        assert handler({"Records": records}, Context()) == {"batchItemFailures": []}
    got = [
        json.loads(each["Body"])
        for each in queue.client.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10)["Messages"]
    ]
    assert [each["kind"] for each in got] == ["run_failed"] * 2, "a topic alone hears of the end, not of the start"
    assert len({each["id"] for each in got}) == 1


class Refusing:
    """SQS that takes a batch only in part, so many times."""

    def __init__(self, times: int) -> None:
        self.times, self.taken = times, []

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        entries = request["Entries"]
        assert len(entries) <= 10
        self.times -= 1
        failed = entries[1:] if self.times >= 0 else []
        self.taken += [each["MessageBody"] for each in entries if each not in failed]
        return {"Failed": [{"Id": each["Id"], "Code": "InternalError"} for each in failed]}


def test_why_a_message_was_given_up_is_what_sqs_takes() -> None:
    sent: list[dict[str, Any]] = []

    class Client:
        def send_message(self, **request: Any) -> None:
            sent.append(request)

    for reason in ("500 \x1b[31mno\x00pe\x07\n", "x" * 5000, "\x01"):
        SqsOutbox(Client, queue="q", dead_letters="d").dead_letter("body", reason)
    values = [each["MessageAttributes"]["reason"]["StringValue"] for each in sent]
    assert values[0] == "500 no pe"
    assert len(values[1]) == 1000
    assert values[2] == "no reason"


def test_a_batch_that_is_taken_in_part_is_completed() -> None:
    client = Refusing(2)
    SqsOutbox(lambda: client, queue="q").put([str(i) for i in range(12)])
    assert sorted(client.taken, key=int) == [str(i) for i in range(12)]
    always = Refusing(9)
    with pytest.raises(StoreUnavailable, match="did not take"):
        SqsOutbox(lambda: always, queue="q").put(["a", "b", "c", "d", "e"])
    with pytest.raises(StoreUnavailable, match="NOTIFICATIONS_QUEUE_URL"):
        SqsOutbox(lambda: client, queue="").put(["a"])
