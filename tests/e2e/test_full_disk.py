"""A durable engine on a disk of 64 MB that gets full: what a user sees, and that everything goes on when there is room.

The disk is a tmpfs. Where nobody may mount one the test is left out; tests/unit/test_engine_room.py is for everywhere.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e.conftest import Stage, eventually
from universal_scheduler.local import engine as engines
from universal_scheduler.local.state import Safety

pytestmark = pytest.mark.e2e
MB = 1 << 20


class Disk:
    """A small disk, and a file that fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    @property
    def free(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def leave(self, free: int) -> None:
        """Fill the disk until only so much is left."""
        with self._filler.open("ab") as file:
            while (more := self.free - free) > 0:
                file.write(b"x" * min(more, MB))
                file.flush()

    def clear(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def stage(disk: Disk) -> Iterator[Stage]:
    started = engines.start(0, disk.folder / "engine", safety=Safety.PROCESS)
    try:
        yield Stage(started)
    finally:
        engines.stop(started)


def refused(call: Callable[[], Any]) -> str:
    """What the refusal of a call says."""
    with pytest.raises(ClientError) as error:
        call()
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507, error.value
    return str(error.value.response["Error"]["Message"])


def health(stage: Stage) -> Any:
    try:
        with urllib.request.urlopen(f"{stage.engine.endpoint}/health", timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_a_full_disk_refuses_new_work_keeps_what_there_is_and_all_goes_on_with_room(disk: Disk, stage: Stage) -> None:
    go = disk.folder / "go"

    def job(name: str, command: str, *after: str) -> dict[str, Any]:
        overrides = {"command": ["sh", "-c", command]}
        place = {"jobDefinition": "shell", "jobQueue": "default", "containerOverrides": overrides}
        return {"jobName": name, "jobDependencies": list(after), **place}

    jobs = [job("first", f"until [ -e {go} ]; do sleep 0.1; done; echo done"), job("second", "echo second", "first")]
    row = {"scheduleId": "long", "scheduleName": "long", "category": "c", "jobList": jobs}
    stage.put(row)
    run = eventually(lambda: next(iter(stage.runs("long")), None))
    of_jobs = stage.client("batch")

    def listed(status: str) -> list[Any]:
        return list(of_jobs.list_jobs(jobQueue="default", jobStatus=status)["jobSummaryList"])

    eventually(lambda: listed("RUNNING"))
    queue = stage.client("sqs").create_queue(QueueName="mine")["QueueUrl"]
    stage.client("s3").create_bucket(Bucket="mine")

    disk.leave(10 * MB)
    status, told = eventually(lambda: found if (found := health(stage))[0] != 200 else None)
    assert status == 503
    [problem] = told["problems"]
    assert "MB left. The engine keeps 16 MB for what runs, and takes no new work" in problem
    machine = stage.engine.state_machine_arn
    for call in (
        lambda: stage.put(row | {"scheduleId": "new"}),
        lambda: stage.client("stepfunctions").start_execution(stateMachineArn=machine, input="{}"),
        lambda: of_jobs.submit_job(jobName="j", jobQueue="default", jobDefinition="shell"),
        lambda: stage.client("sqs").send_message(QueueUrl=queue, MessageBody="m"),
        lambda: stage.client("s3").put_object(Bucket="mine", Key="k", Body=b"b"),
    ):
        assert "takes no new work until there is more" in refused(call)
    code, answer = stage.call("POST", "/executions", {"scheduleId": "long"})
    assert (code, answer["error"]["code"]) == (507, "InsufficientStorage")
    assert stage.call("GET", "/schedules/long")[0] == 200

    go.touch()  # what runs may write its results; what comes after it waits
    [waits] = eventually(lambda: listed("RUNNABLE"))
    eventually(lambda: "no new work" in of_jobs.describe_jobs(jobs=[waits["jobId"]])["jobs"][0].get("statusReason", ""))
    [ended] = listed("SUCCEEDED")
    place = of_jobs.describe_jobs(jobs=[ended["jobId"]])["jobs"][0]["container"]
    lines = {
        "logGroupName": place["logConfiguration"]["options"]["awslogs-group"],
        "logStreamNames": [place["logStreamName"]],
    }
    printed = eventually(lambda: stage.client("logs").filter_log_events(**lines)["events"])
    assert [event["message"] for event in printed] == ["done"]

    disk.leave(0)

    once = boto3.client(
        "dynamodb",
        endpoint_url=stage.engine.endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )

    def fill() -> None:
        for number in range(200):
            once.update_item(
                TableName="BatchSchedules",
                Key={"scheduleId": {"S": "long"}},
                UpdateExpression="SET note = :note",
                ExpressionAttributeValues={":note": {"S": "x" * 300_000 + str(number)}},
            )

    with pytest.raises(ClientError, match=r"InternalServerError.*cannot be written.*Look at the disk"):
        fill()

    disk.clear()
    eventually(lambda: health(stage)[0] == 200)
    eventually(lambda: stage.runs("long")[0]["scheduleStatus"] == "SUCCEEDED")
    assert stage.runs("long")[0]["executionName"] == run["executionName"]
    stage.put(row | {"scheduleId": "new"})
    eventually(lambda: [each["scheduleStatus"] for each in stage.runs("new")] == ["SUCCEEDED"])

    engines.stop(stage.engine)
    for file in sorted((disk.folder / "engine" / engines.STATE).glob("*.sqlite")):
        with closing(sqlite3.connect(file)) as kept:
            assert kept.execute("PRAGMA integrity_check").fetchall() == [("ok",)], file


def test_what_is_deleted_makes_room(disk: Disk, stage: Stage) -> None:
    client = stage.client("dynamodb")
    client.create_table(
        TableName="large",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )

    def fill() -> None:
        for number in range(1000):
            client.put_item(TableName="large", Item={"id": {"N": str(number)}, "text": {"S": "x" * 300_000}})

    with pytest.raises(ClientError, match="takes no new work"):
        fill()
    assert health(stage)[0] == 503
    client.delete_table(TableName="large")
    eventually(lambda: health(stage)[0] == 200)
    eventually(lambda: disk.free > 30 * MB)
