"""EventBridge Scheduler of a durable engine keeps its schedules, and fires what was due while the engine was down."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import ROLE, Cloud, eventually
from universal_scheduler.local import engine as engines
from universal_scheduler.local.state import Safety


class Durable:
    """An engine that is killed and started again."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.start()

    def start(self) -> None:
        self._engine = engines.start(0, self._home, bare=True, safety=Safety.PROCESS)
        self.cloud = Cloud(self._engine.endpoint, patience=60)

    def kill(self) -> None:
        os.kill(self._engine.pid, signal.SIGKILL)
        eventually(lambda: engines.find(self._home) is None, seconds=60)

    def client(self, service: str) -> Any:
        return self.cloud.client(service)


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Durable]:
    yield Durable(tmp_path)
    engines.stop(tmp_path)


def test_what_was_answered_is_there_after_a_kill_and_what_was_missed_fires(durable: Durable) -> None:
    queue = durable.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:123456789012:q"
    client = durable.client("scheduler")
    client.create_schedule_group(Name="mine", Tags=[{"Key": "team", "Value": "data"}])
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    request = {
        "GroupName": "mine",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": arn, "RoleArn": ROLE, "Input": json.dumps({"at": "<aws.scheduler.scheduled-time>"})},
    }
    once = f"at({due:%Y-%m-%dT%H:%M:%S})"
    client.create_schedule(Name="once", ScheduleExpression=once, ActionAfterCompletion="DELETE", **request)
    client.create_schedule(Name="daily", ScheduleExpression="cron(0 6 * * ? *)", **request)
    daily = client.get_schedule(Name="daily", GroupName="mine")
    durable.kill()
    eventually(lambda: datetime.now(UTC) > due, seconds=60)
    durable.start()
    sqs, client = durable.client("sqs"), durable.client("scheduler")
    url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
    assert url.rpartition("/")[2] == queue.rpartition("/")[2]
    [message] = durable.cloud.eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    assert json.loads(message["Body"]) == {"at": f"{due:%Y-%m-%dT%H:%M:%SZ}"}
    kept = client.get_schedule(Name="daily", GroupName="mine")
    assert {**kept, "ResponseMetadata": None} == {**daily, "ResponseMetadata": None}
    names = durable.cloud.eventually(lambda: _only(client, "daily"))
    assert names == ["daily"]
    group = client.get_schedule_group(Name="mine")["Arn"]
    assert client.list_tags_for_resource(ResourceArn=group)["Tags"] == [{"Key": "team", "Value": "data"}]


def _only(client: Any, name: str) -> list[str] | None:
    """The names in the group, when what has fired is deleted."""
    names = [each["Name"] for each in client.list_schedules(GroupName="mine")["Schedules"]]
    return names if names == [name] else None


@pytest.fixture
def stack(engine: Cloud) -> Iterator[str]:
    yield "of-a-user"
    engine.client("cloudformation").delete_stack(StackName="of-a-user")


def test_a_stacks_update_of_a_schedule_is_kept(engine: Cloud, stack: str) -> None:
    stacks, scheduler = engine.client("cloudformation"), engine.client("scheduler")
    stacks.create_stack(StackName=stack, TemplateBody=_template("rate(2 days)"))
    engine.eventually(lambda: _expression(scheduler) == "rate(2 days)")
    stacks.update_stack(StackName=stack, TemplateBody=_template("rate(3 days)"))
    engine.eventually(lambda: _expression(scheduler) == "rate(3 days)")


def _template(expression: str) -> str:
    schedule = {"Name": "of-a-stack", "ScheduleExpression": expression}
    return json.dumps({"Resources": {"S": {"Type": "AWS::Scheduler::Schedule", "Properties": schedule}}})


def _expression(client: Any) -> str:
    found = client.list_schedules(NamePrefix="of-a-stack")["Schedules"]
    return str(client.get_schedule(Name="of-a-stack")["ScheduleExpression"]) if found else ""
