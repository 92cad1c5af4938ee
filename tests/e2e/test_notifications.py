"""People are told: a run on the embedded engine ends, and real receivers hear of it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from tests.e2e.conftest import PATIENCE_SECONDS, Stage, eventually
from tests.webhooks import checked, receiver
from universal_scheduler.cli.app import main
from universal_scheduler.domain.messages.messages import signature

pytestmark = pytest.mark.e2e

SHAPES = ("slack", "teams", "webex", "webhook")


def failing(schedule_id: str, **more: Any) -> dict[str, Any]:
    command = ["sh", "-c", "echo reading; echo no such file: input.csv; exit 3"]
    job = {"jobName": "load", "jobQueue": "default", "jobDefinition": "shell"}
    jobs = [
        {**job, "containerOverrides": {"command": command}},
        {**job, "jobName": "audit", "jobDependencies": ["load"], "hold": True},
    ]
    return {"scheduleId": schedule_id, "wait_time": 1, "jobList": jobs, **more}


@pytest.fixture
def impatient(stage: Stage) -> Iterator[None]:
    """`usched-notify` waits a second for an answer, and not at all between two tries."""
    functions = stage.client("lambda")
    before = functions.get_function_configuration(FunctionName="usched-notify")["Environment"]
    quick = before["Variables"] | {"NOTIFY_TIMEOUT": "1", "NOTIFY_PAUSE": "0"}
    functions.update_function_configuration(FunctionName="usched-notify", Environment={"Variables": quick})
    yield
    functions.update_function_configuration(FunctionName="usched-notify", Environment=before)


def test_the_subscribers_of_a_schedules_topic_hear_that_its_run_failed(stage: Stage) -> None:
    sns, sqs = stage.client("sns"), stage.client("sqs")
    topic = sns.create_topic(Name="operators")["TopicArn"]
    queue = sqs.create_queue(QueueName="operators")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    stage.put(failing("told-by-topic", scheduleSnsTopic=topic))
    run = stage.ended("told-by-topic")

    def received() -> Any:
        return sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages")

    [message] = eventually(received, what="the message")
    told = json.loads(message["Body"])
    assert told["Subject"] == "Run of told-by-topic FAILED"
    lines = told["Message"].splitlines()
    assert lines.count("    no such file: input.csv") == 1
    assert any(line.startswith("load FAILED with exit code 3: ") for line in lines)
    assert f"Run the jobs that did not succeed: usched restart told-by-topic {run['startDateTime']}" in lines
    link = lines[-1].removeprefix("Look at it: ")
    with urllib.request.urlopen(link, timeout=PATIENCE_SECONDS) as answer:
        assert json.loads(answer.read())["status"] == "FAILED"


def test_every_webhook_gets_its_shape_and_who_does_not_take_it_gets_it_again(stage: Stage, impatient: None) -> None:
    del impatient
    sqs = stage.client("sqs")
    dead = sqs.get_queue_url(QueueName="usched-notification-dead-letters")["QueueUrl"]
    stage.client("secretsmanager").create_secret(Name="usched/e2e-key", SecretString="hunter2")
    fates = {"/busy": lambda times: 500 if times < 3 else 200, "/silent": lambda _: 0, "/gone": lambda _: 410}
    with receiver(lambda request, times: fates.get(request.path, lambda _: 200)(times)) as people:
        stage.client("ssm").put_parameter(Name="/usched/e2e-slack", Value=f"{people.url}/slack", Type="SecureString")
        shapes = [{"on": ["run_started", "run_failed"], shape: f"{people.url}/{shape}"} for shape in SHAPES[1:3]]
        shapes += [
            {"on": ["run_started", "run_failed"], "slack": "ssm:/usched/e2e-slack"},
            {
                "on": ["run_failed", "job_failed", "job_held"],
                "webhook": f"{people.url}/webhook",
                "secret": "secretsmanager:usched/e2e-key",
            },
        ]
        others = [{"on": ["run_failed"], "webhook": f"{people.url}{path}"} for path in fates]
        stage.put(failing("told-by-webhook", notifications=[*shapes, *others]))
        stage.ended("told-by-webhook")

        def all_told() -> bool:
            # By their ids: what a busy machine answers too late is sent again.
            told = [len({each.headers["X-Usched-Id"] for each in people.at(f"/{shape}")}) for shape in SHAPES]
            return told == [2, 2, 2, 3] and len(people.at("/busy")) >= 3

        eventually(all_told, what="every message")
        letters = []

        def given_up() -> bool:
            letters.extend(sqs.receive_message(QueueUrl=dead, MessageAttributeNames=["All"]).get("Messages", []))
            return len(mine(letters)) == 2

        eventually(given_up, what="the end among the dead letters")
    for shape in SHAPES:
        for request in people.at(f"/{shape}"):
            checked(shape, request.body)
        assert any(b"no such file: input.csv" in request.body for request in people.at(f"/{shape}"))
    titles = {json.loads(each.body)["text"] for each in people.at("/slack")}
    assert titles == {"Run of told-by-webhook started", "Run of told-by-webhook FAILED"}
    for signed in people.at("/webhook"):
        stamp = int(signed.headers["X-Usched-Timestamp"])
        assert signed.headers["X-Usched-Signature"] == signature("hunter2", stamp, signed.body)
    told = [json.loads(each.body) for each in people.at("/webhook")]
    assert {(each["kind"], each["jobName"]) for each in told} == {
        ("job_held", "audit"),
        ("job_failed", "load"),
        ("run_failed", ""),
    }
    assert len(people.at("/silent")) == 12
    assert len(people.at("/gone")) == 1
    reasons = dict(mine(letters))
    assert reasons == {"/silent": "", "/gone": "webhook 127.0.0.1 answered 410"}


def test_the_channels_of_a_schedule_can_be_tried(stage: Stage) -> None:
    nobody = "arn:aws:sns:us-east-1:123456789012:nobody"
    with receiver() as people:
        channels = [{"on": ["run_failed"], "teams": f"{people.url}/s3cret"}, {"on": ["run_failed"], "sns": nobody}]
        stage.put(failing("tried", trigger={"manual": True}, notifications=channels))
        result = CliRunner().invoke(main, ["--port", str(stage.engine.port), "notify", "test", "tried", "--json"])
    assert result.exit_code == 1
    told = {each["channel"]: each for each in json.loads(result.stdout)["channels"]}
    assert told["teams 127.0.0.1"] == {"channel": "teams 127.0.0.1", "on": ["run_failed"], "delivered": True}
    assert told[f"sns {nobody}"]["reason"].startswith(f"sns {nobody}: NotFound")
    [request] = people.at("/s3cret")
    assert b"Test message of tried" in request.body
    checked("teams", request.body)


def mine(letters: list[Any]) -> list[tuple[str, str]]:
    """Where dead letters of this test were to go, and the reason that they carry."""
    found = []
    for letter in letters:
        body = json.loads(letter["Body"])
        if body["scheduleId"] == "told-by-webhook":
            reason = letter.get("MessageAttributes", {}).get("reason", {}).get("StringValue", "")
            found.append(("/" + body["channel"]["target"].rpartition("/")[2], reason))
    return found
