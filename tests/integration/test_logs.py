"""What jobs printed, read from CloudWatch Logs (moto)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from universal_scheduler.adapters.log_tails import DEFAULT_GROUP, CloudWatchLogTails, LogStream
from universal_scheduler.adapters.memory.platform import MemoryPlatform
from universal_scheduler.domain.messages.messages import LogTail
from universal_scheduler.domain.runs.model import Attempt, Job, JobRun, JobStatus

FAILED = JobRun(Job("load", "default", "shell"), status=JobStatus.FAILED, job_id="job-1", log_stream="s/1")


@pytest.fixture
def logs() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("logs", region_name="us-east-1")


def printed(logs: Any, stream: str, *lines: str, group: str = DEFAULT_GROUP) -> None:
    existing = [entry["logGroupName"] for entry in logs.describe_log_groups()["logGroups"]]
    if group not in existing:
        logs.create_log_group(logGroupName=group)
    streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
    if stream not in [entry["logStreamName"] for entry in streams]:
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    now = int(time.time() * 1000)
    events = [{"timestamp": now + number, "message": line} for number, line in enumerate(lines)]
    if events:
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def texts(stream: LogStream) -> list[str]:
    return [event["message"] for event in stream.news()]


def test_a_stream_is_read_on_from_where_it_was(logs: Any) -> None:
    stream = LogStream(logs, "", "s/1")
    assert texts(stream) == [], "it is not there yet"
    printed(logs, "s/1")
    assert texts(stream) == [], "it is there, and silent"
    printed(logs, "s/1", "one", "two")
    assert texts(stream) == ["one", "two"]
    printed(logs, "s/1", "three")
    assert texts(stream) == ["three"]
    assert texts(stream) == []


def test_the_tail_is_that_of_the_last_attempt_in_its_own_group(logs: Any) -> None:
    platform = MemoryPlatform()
    platform.submit(FAILED.job, "load", (), {}, {})
    first = Attempt(JobStatus.FAILED, 1.0, 2.0, 1, log_group="/mine", log_stream="s/1")
    platform.jobs["job-1"].attempts = (first, replace(first, log_stream="s/2"))
    printed(logs, "s/1", "first", group="/mine")
    printed(logs, "s/2", *(f"line {number}" for number in range(5)), group="/mine")
    tails = CloudWatchLogTails(platform, logs)
    assert tails.tail(FAILED, 2) == LogTail(("line 3", "line 4"), "/mine", "s/2")


def test_of_an_array_the_first_failed_child_speaks(logs: Any) -> None:
    platform = MemoryPlatform()
    array = replace(FAILED, job=replace(FAILED.job, array_size=3), child_counts={"FAILED": 1, "SUCCEEDED": 2})
    platform.submit(array.job, "load", (), {}, {})
    platform.end_array("job-1", {1: "exited"})
    printed(logs, "job-1:1/log", "why")
    assert CloudWatchLogTails(platform, logs).tail(array, 5).lines == ("why",)


def test_where_batch_has_forgotten_the_job_its_row_names_the_stream(logs: Any) -> None:
    printed(logs, "s/1", "why")
    tails = CloudWatchLogTails(MemoryPlatform(), logs)
    assert tails.tail(FAILED, 5) == LogTail(("why",), DEFAULT_GROUP, "s/1")
    assert tails.tail(replace(FAILED, log_stream=""), 5) == LogTail()
    assert tails.last_lines("", "absent", 5) == (), "a message without the log is better than none"
