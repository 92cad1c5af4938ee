"""What users make beside the template, on a durable engine that is killed and started again."""

from __future__ import annotations

import os
import signal
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
