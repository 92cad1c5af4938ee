"""What an engine does when the disk gets full: what it refuses, how it says so, and when it goes on."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from universal_scheduler.local.service.room import Room, is_new_work, puts_items, refused

MB = 1 << 20
FOLDER = Path("/state")


class Disk:
    """A disk with so much room, and a clock."""

    def __init__(self, size: int, free: int) -> None:
        self.size, self.free = size, free
        self.now = 0.0
        self.shrunk = threading.Event()
        self.room = Room(FOLDER, self.shrunk.set, lambda: self.now, self._statvfs)

    def _statvfs(self, folder: Path) -> os.statvfs_result:
        assert folder == FOLDER
        return os.statvfs_result((1, 1, self.size, self.free, self.free, 0, 0, 0, 0, 255))


@pytest.mark.parametrize(
    ("size", "free", "short"),
    [(64 * MB, 17 * MB, False), (64 * MB, 15 * MB, True), (10_000 * MB, 65 * MB, False), (10_000 * MB, 63 * MB, True)],
)
def test_a_fourth_of_a_small_disk_and_64_mb_of_a_large_one_are_kept(size: int, free: int, short: bool) -> None:
    assert bool(Disk(size, free).room.short()) is short


def test_a_large_disk_is_looked_at_once_a_second() -> None:
    disk = Disk(100_000 * MB, 50_000 * MB)
    assert not disk.room.short()
    disk.free = 0
    disk.now = 0.9
    assert not disk.room.short()
    disk.now = 1.1
    assert disk.room.short()


def test_new_work_is_taken_again_when_there_is_room() -> None:
    disk = Disk(64 * MB, 15 * MB)
    assert disk.room.short().startswith("The disk of /state has 15.0 MB left. The engine keeps 16 MB for what runs")
    assert disk.shrunk.wait(60), "the files give back what they do not need"
    disk.free = 30 * MB
    disk.now = 0.02
    assert disk.room.short() == ""
    assert disk.room.problem() is None


def test_a_disk_that_cannot_be_looked_at_is_not_full() -> None:
    assert Room(Path("/no/such/folder")).short() == ""


def signed(service: str) -> dict[bytes, bytes]:
    return {b"authorization": f"AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/{service}/aws4_request, x".encode()}


def target(operation: str) -> dict[bytes, bytes]:
    return {b"x-amz-target": operation.encode()}


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "new"),
    [
        ("POST", "/", "", target("DynamoDB_20120810.PutItem"), True),
        ("POST", "/", "", target("DynamoDB_20120810.DeleteItem"), False),
        ("POST", "/", "", target("DynamoDB_20120810.UpdateItem"), False),
        ("POST", "/", "", target("DynamoDB_20120810.BatchWriteItem"), True),
        ("POST", "/", "", target("AWSStepFunctions.StartExecution"), True),
        ("POST", "/", "", target("AWSStepFunctions.StopExecution"), False),
        ("POST", "/", "", target("AmazonSQS.SendMessage"), True),
        ("POST", "/", "", target("AmazonSQS.ReceiveMessage"), False),
        ("POST", "/v1/submitjob", "", signed("batch"), True),
        ("POST", "/v1/terminatejob", "", signed("batch"), False),
        ("PUT", "/bucket/key", "", signed("s3"), True),
        ("POST", "/bucket/key", "uploads", signed("s3"), True),
        ("POST", "/bucket", "delete", signed("s3"), False),
        ("GET", "/bucket/key", "", signed("s3"), False),
        ("POST", "/", "", signed("sns"), True),
        ("POST", "/api/v1/executions", "", {}, True),
        ("GET", "/api/v1/executions/e", "", {}, False),
        ("POST", "/_usched/backup", "", {}, False),
    ],
)
def test_what_asks_for_more_is_new_work_unless_a_function_or_a_job_asks(
    method: str, path: str, query: str, headers: Mapping[bytes, bytes], new: bool
) -> None:
    assert is_new_work(method, path, query, headers) is new
    for agent in (b"Boto3/1.40 exec-env/AWS_Lambda_python3.13", b"aws-cli/2.31 exec-env/AWS_ECS_EC2 md/x"):
        assert not is_new_work(method, path, query, {**headers, b"user-agent": agent})


def test_items_can_be_deleted_in_batches() -> None:
    batch = target("DynamoDB_20120810.BatchWriteItem")
    assert puts_items(batch, b'{"RequestItems": {"t": [{"PutRequest": {}}]}}')
    assert not puts_items(batch, b'{"RequestItems": {"t": [{"DeleteRequest": {}}]}}')
    assert puts_items(target("DynamoDB_20120810.PutItem"), b"{}")


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/", target("DynamoDB_20120810.PutItem"), "InternalServerError"),
        ("/", target("AWSStepFunctions.StartExecution"), "ServiceUnavailable"),
        ("/v1/submitjob", {}, ""),
        ("/api/v1/executions", {}, "InsufficientStorage"),
        ("/bucket/key", signed("s3"), "<Code>ServiceUnavailable</Code>"),
        ("/", signed("sns"), "<ErrorResponse><Error><Code>ServiceUnavailable</Code>"),
    ],
)
def test_each_service_refuses_with_its_own_error_and_the_reason(
    path: str, headers: Mapping[bytes, bytes], code: str
) -> None:
    status, fields, content = refused(path, headers, "no room for <this>")
    assert status == 507
    text = content.decode()
    assert code in text
    if fields["content-type"] == "application/xml":
        assert "no room for &lt;this&gt;" in text
    else:
        told = json.loads(text)
        assert "no room for <this>" in (told.get("message"), told.get("error", {}).get("message"))
