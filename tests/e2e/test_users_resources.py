"""What users make beside the template, on a durable engine that is killed and started again."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import threading
import zipfile
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.e2e.conftest import eventually
from universal_scheduler.local import engine
from universal_scheduler.local.state import Safety

pytestmark = pytest.mark.e2e


class Machine:
    """A durable engine, and clients of its services."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.engine = self._started()

    def _started(self) -> engine.Engine:
        return engine.start(0, self._home, safety=Safety.PROCESS)

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self.engine.endpoint, region_name="us-east-1", **keys)

    def crash(self) -> None:
        """Kill the engine, and start it again, on another port."""
        os.kill(self.engine.pid, signal.SIGKILL)
        eventually(lambda: engine.find(self._home) is None)
        self.engine = self._started()


@pytest.fixture
def machine(tmp_path: Path) -> Any:
    started = Machine(tmp_path)
    yield started
    engine.stop(started.engine)


def test_queues_of_users_and_messages_of_all_queues(machine: Machine) -> None:
    sqs = machine.client("sqs")
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    mine = sqs.create_queue(QueueName="mine.fifo", Attributes=fifo, tags={"owner": "me"})["QueueUrl"]
    gone = sqs.create_queue(QueueName="gone")["QueueUrl"]
    sqs.delete_queue(QueueUrl=gone)
    dead = sqs.get_queue_url(QueueName="usched-due-dead-letters")["QueueUrl"]
    sqs.send_message(QueueUrl=mine, MessageBody="in mine", MessageGroupId="g")
    sqs.send_message(QueueUrl=dead, MessageBody="of the template")
    [taken] = sqs.receive_message(QueueUrl=mine)["Messages"]

    machine.crash()
    sqs = machine.client("sqs")
    urls = {url.rpartition("/")[2]: url for url in sqs.list_queues()["QueueUrls"]}
    assert {"mine.fifo", "usched-due-dead-letters"} <= urls.keys()
    assert "gone" not in urls
    assert sqs.list_queue_tags(QueueUrl=urls["mine.fifo"])["Tags"] == {"owner": "me"}
    [message] = sqs.receive_message(QueueUrl=urls["usched-due-dead-letters"])["Messages"]
    assert message["Body"] == "of the template"
    assert "Messages" not in sqs.receive_message(QueueUrl=urls["mine.fifo"]), "it is still taken"
    sqs.delete_message(QueueUrl=urls["mine.fifo"], ReceiptHandle=taken["ReceiptHandle"])

    machine.crash()
    sqs = machine.client("sqs")
    left = sqs.get_queue_attributes(QueueUrl=sqs.get_queue_url(QueueName="mine.fifo")["QueueUrl"])["Attributes"]
    assert left["ApproximateNumberOfMessagesNotVisible"] == left["ApproximateNumberOfMessages"] == "0"


def test_buckets_of_users_and_objects_of_all_buckets(machine: Machine) -> None:
    s3 = machine.client("s3")
    [outputs] = [it["Name"] for it in s3.list_buckets()["Buckets"] if "outputsbucket" in it["Name"]]
    s3.create_bucket(Bucket="mine")
    s3.put_bucket_versioning(Bucket="mine", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket="mine", Key="a", Body=b"first")["VersionId"]
    s3.put_object(Bucket="mine", Key="a", Body=b"second", Metadata={"of": "me"})
    s3.put_object(Bucket=outputs, Key="of-a-job", Body=b"x" * 10_000)
    upload = s3.create_multipart_upload(Bucket="mine", Key="large")["UploadId"]
    part = s3.upload_part(Bucket="mine", Key="large", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]

    machine.crash()
    s3 = machine.client("s3")
    names = [it["Name"] for it in s3.list_buckets()["Buckets"]]
    assert sorted(names) == sorted(["usched-artifacts", "mine", outputs])
    assert s3.get_object(Bucket="mine", Key="a", VersionId=first)["Body"].read() == b"first"
    second = s3.get_object(Bucket="mine", Key="a")
    assert (second["Body"].read(), second["Metadata"]) == (b"second", {"of": "me"})
    assert s3.get_object(Bucket=outputs, Key="of-a-job")["Body"].read() == b"x" * 10_000
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    s3.complete_multipart_upload(Bucket="mine", Key="large", UploadId=upload, MultipartUpload=parts)
    assert s3.get_object(Bucket="mine", Key="large")["Body"].read() == b"part"


def queue(machine: Machine, name: str) -> tuple[str, str]:
    """URL and ARN of a queue that is made if it is not there."""
    sqs = machine.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def received(machine: Machine, name: str) -> list[str]:
    answer = machine.client("sqs").receive_message(QueueUrl=queue(machine, name)[0], MaxNumberOfMessages=10)
    return [message["Body"] for message in answer.get("Messages", ())]


def test_topics_and_rules_of_users_and_what_they_deliver(machine: Machine) -> None:
    _, arn = queue(machine, "mine")
    topic = machine.client("sns").create_topic(Name="mine", Tags=[{"Key": "owner", "Value": "me"}])["TopicArn"]
    raw = {"RawMessageDelivery": "true"}
    subscription = machine.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw, ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    events = machine.client("events")
    pattern = json.dumps({"source": ["mine"]})
    events.put_rule(Name="mine", EventPattern=pattern)
    events.put_targets(Rule="mine", Targets=[{"Id": "queue", "Arn": arn, "InputPath": "$.detail"}])
    events.put_rule(Name="gone", EventPattern=pattern)
    events.delete_rule(Name="gone")
    before = {rule["Name"] for rule in events.list_rules()["Rules"]}

    machine.crash()
    events = machine.client("events")
    assert {rule["Name"] for rule in events.list_rules()["Rules"]} == before
    [found] = machine.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert found["SubscriptionArn"] == subscription
    machine.client("sns").publish(TopicArn=topic, Message="by the topic")
    events.put_events(Entries=[{"Source": "mine", "DetailType": "any", "Detail": json.dumps({"by": "the rule"})}])
    bodies: list[str] = []
    eventually(lambda: bodies.extend(received(machine, "mine")) or len(bodies) == 2)
    assert sorted(bodies) == ["by the topic", '{"by": "the rule"}']
    machine.client("sns").delete_topic(TopicArn=topic)

    machine.crash()
    assert topic not in [it["TopicArn"] for it in machine.client("sns").list_topics()["Topics"]]


def function(machine: Machine, source: str) -> str:
    """The ARN of a new function "mine" with this source, whose role is "mine", too."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("main.py", source)
    role = machine.client("iam").create_role(RoleName="mine", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    made = machine.client("lambda").create_function(
        FunctionName="mine", Role=role, Handler="main.handler", Runtime="python3.13", Code={"ZipFile": code.getvalue()}
    )
    return str(made["FunctionArn"])


def test_functions_of_users_and_their_mappings(machine: Machine, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    source = (
        "def handler(event, context):\n"
        f"    with open({str(notes)!r}, 'a') as notes:\n"
        "        notes.write(''.join(record['body'] for record in event['Records']))\n"
    )
    url, arn = queue(machine, "mine")
    function(machine, source)
    functions = machine.client("lambda")
    mapping = functions.create_event_source_mapping(EventSourceArn=arn, FunctionName="mine")["UUID"]
    of_template = {it["FunctionName"] for it in functions.list_functions()["Functions"]} - {"mine"}

    machine.crash()
    functions = machine.client("lambda")
    assert {it["FunctionName"] for it in functions.list_functions()["Functions"]} == {"mine", *of_template}
    assert functions.get_event_source_mapping(UUID=mapping)["EventSourceArn"] == arn
    assert machine.client("iam").get_role(RoleName="mine")["Role"]["RoleName"] == "mine"
    url, _ = queue(machine, "mine")
    machine.client("sqs").send_message(QueueUrl=url, MessageBody="handled")
    eventually(lambda: notes.exists() and notes.read_text() == "handled")


def test_settings_secrets_keys_and_alarms_of_users(machine: Machine) -> None:
    machine.client("ssm").put_parameter(Name="/mine", Value="1", Type="String")
    machine.client("ssm").put_parameter(Name="/mine", Value="2", Type="String", Overwrite=True)
    secret = machine.client("secretsmanager").create_secret(Name="mine", SecretString="s3cret")["ARN"]
    key = machine.client("kms").create_key()["KeyMetadata"]["KeyId"]
    machine.client("kms").create_alias(AliasName="alias/mine", TargetKeyId=key)
    sealed = machine.client("kms").encrypt(KeyId="alias/mine", Plaintext=b"plain")["CiphertextBlob"]
    alarm = {"Namespace": "mine", "MetricName": "m", "Period": 60, "Statistic": "Sum", "EvaluationPeriods": 1}
    machine.client("cloudwatch").put_metric_alarm(
        AlarmName="mine", Threshold=1.0, ComparisonOperator="GreaterThanThreshold", **alarm
    )

    machine.crash()
    ssm = machine.client("ssm")
    assert ssm.get_parameter(Name="/mine")["Parameter"]["Value"] == "2"
    assert [it["Value"] for it in ssm.get_parameter_history(Name="/mine")["Parameters"]] == ["1", "2"]
    assert machine.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"] == "s3cret"
    assert machine.client("kms").decrypt(CiphertextBlob=sealed)["Plaintext"] == b"plain"
    assert machine.client("cloudwatch").describe_alarms(AlarmNames=["mine"])["MetricAlarms"]


def test_stacks_of_users_and_what_they_made(machine: Machine) -> None:
    template = {
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "of-stack"}},
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "of-stack"}},
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "Properties": {"BucketName": "of-stack", "VersioningConfiguration": {"Status": "Enabled"}},
            },
            "Policy": {
                "Type": "AWS::SQS::QueuePolicy",
                "Properties": {"Queues": [{"Ref": "Queue"}], "PolicyDocument": {"Statement": []}},
            },
        },
        "Outputs": {"Url": {"Value": {"Ref": "Queue"}}},
    }
    formation = machine.client("cloudformation")
    formation.create_stack(StackName="mine", TemplateBody=json.dumps(template))
    formation.get_waiter("stack_create_complete").wait(StackName="mine", WaiterConfig={"Delay": 1})

    machine.crash()
    formation = machine.client("cloudformation")
    names = [stack["StackName"] for stack in formation.describe_stacks()["Stacks"]]
    assert sorted(names) == ["mine", "universal-scheduler"]
    sqs = machine.client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=queue(machine, "of-stack")[0], AttributeNames=["Policy"])
    assert json.loads(attributes["Attributes"]["Policy"]) == {"Statement": []}
    assert machine.client("s3").get_bucket_versioning(Bucket="of-stack")["Status"] == "Enabled"
    assert any(it["TopicArn"].endswith(":of-stack") for it in machine.client("sns").list_topics()["Topics"])
    formation.delete_stack(StackName="mine")
    formation.get_waiter("stack_delete_complete").wait(StackName="mine", WaiterConfig={"Delay": 1})
    assert "of-stack" not in str(machine.client("sqs").list_queues().get("QueueUrls"))


def test_what_waits_for_a_function_is_handled_after_a_crash(machine: Machine, tmp_path: Path) -> None:
    notes, goes_on = tmp_path / "notes", tmp_path / "goes-on"
    source = (
        "import os, time\n"
        "def handler(event, context):\n"
        f"    with open({str(notes)!r}, 'a') as notes:\n"
        "        notes.write(f'{event}\\n')\n"
        f"    while not os.path.exists({str(goes_on)!r}):\n"
        "        time.sleep(0.02)\n"
        f"    with open({str(notes)!r}, 'a') as notes:\n"
        "        notes.write('done\\n')\n"
    )
    arn = function(machine, source)
    events = machine.client("events")
    events.put_rule(Name="mine", EventPattern=json.dumps({"source": ["mine"]}))
    events.put_targets(Rule="mine", Targets=[{"Id": "function", "Arn": arn, "InputPath": "$.detail"}])
    events.put_events(Entries=[{"Source": "mine", "DetailType": "any", "Detail": json.dumps({"by": "rule"})}])
    topic = machine.client("sns").create_topic(Name="mine")["TopicArn"]
    machine.client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)
    machine.client("sns").publish(TopicArn=topic, Message="by topic")
    machine.client("lambda").invoke(FunctionName="mine", InvocationType="Event", Payload=b'{"by": "call"}')

    machine.crash()
    goes_on.touch()
    eventually(lambda: notes.exists() and notes.read_text().split().count("done") == 3)
    for text in ("{'by': 'rule'}", "by topic", "{'by': 'call'}"):
        assert text in notes.read_text()
    before = notes.read_text()

    machine.crash()
    machine.client("lambda").invoke(FunctionName="mine", InvocationType="Event", Payload=b'"last"')
    eventually(lambda: "last" in notes.read_text())
    assert notes.read_text().removeprefix(before).startswith("last"), "what was handled is not handled again"


def test_who_calls_while_the_engine_starts_is_asked_to_try_again(tmp_path: Path) -> None:
    """Jobs outlive an engine. They must not hear of a table that is not there yet."""
    with socket.create_server((engine.HOST, 0)) as free:
        port = free.getsockname()[1]
    heard: set[object] = set()
    ready = threading.Event()

    def call() -> None:
        target = {"X-Amz-Target": "DynamoDB_20120810.DescribeTable", "Content-Type": "application/x-amz-json-1.0"}
        while not ready.is_set():
            connection = http.client.HTTPConnection(engine.HOST, port)
            with suppress(OSError, http.client.HTTPException), closing(connection):
                connection.request("POST", "/", b'{"TableName": "BatchSchedules"}', target)
                answer = connection.getresponse()
                heard.add((answer.status, answer.getheader("Retry-After")))
                answer.read()

    caller = threading.Thread(target=call)
    caller.start()
    try:
        started = engine.start(port, tmp_path, safety=Safety.PROCESS)
        try:
            eventually(lambda: (200, None) in heard)
        finally:
            engine.stop(started)
    finally:
        ready.set()
        caller.join()
    assert heard == {(503, "1"), (200, None)}
