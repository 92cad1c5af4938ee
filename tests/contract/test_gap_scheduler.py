"""EventBridge Scheduler fires at the right second in the right zone, once, and refuses what AWS refuses."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import ROLE, Cloud


class Desk:
    """A queue, and schedules that send to it."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.client, self._sqs = cloud, cloud.client("scheduler"), cloud.client("sqs")
        self._url = self._sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}")["QueueUrl"]
        found = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        self.arn = found["Attributes"]["QueueArn"]

    def request(self, expression: str, **more: Any) -> dict[str, Any]:
        said = json.dumps({"scheduledTime": "<aws.scheduler.scheduled-time>"})
        return {
            "Name": f"s-{uuid.uuid4().hex[:8]}",
            "ScheduleExpression": expression,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": self.arn, "RoleArn": ROLE, "Input": said},
            **more,
        }

    def create(self, expression: str, **more: Any) -> str:
        request = self.request(expression, **more)
        self.client.create_schedule(**request)
        return str(request["Name"])

    def names(self, **query: Any) -> list[str]:
        return [each["Name"] for each in self.client.list_schedules(**query)["Schedules"]]

    def received(self) -> datetime | None:
        """The scheduled time of the next firing, if one has come."""
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=1)
        for message in answer.get("Messages", ()):
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
            return datetime.fromisoformat(json.loads(message["Body"])["scheduledTime"].replace("Z", "+00:00"))
        return None


@pytest.fixture
def desk(cloud: Cloud) -> Desk:
    return Desk(cloud)


@pytest.fixture
def ours(engine: Cloud) -> Desk:
    return Desk(engine)


def soon(seconds: int = 2) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)


def test_an_at_fires_at_its_second_on_the_clocks_of_its_zone(desk: Desk) -> None:
    due = soon()
    local = due + timedelta(hours=9)
    desk.create(f"at({local:%Y-%m-%dT%H:%M:%S})", ScheduleExpressionTimezone="Asia/Tokyo")
    assert desk.cloud.eventually(desk.received) == due
    assert due <= datetime.now(UTC) < due + timedelta(seconds=20)


def test_an_at_is_deleted_when_it_has_fired_where_it_says_so(ours: Desk) -> None:
    due = soon()
    gone = ours.create(f"at({due:%Y-%m-%dT%H:%M:%S})", ActionAfterCompletion="DELETE")
    kept = ours.create(f"at({due:%Y-%m-%dT%H:%M:%S})")
    assert [ours.cloud.eventually(ours.received) for _ in range(2)] == [due, due]
    assert ours.cloud.eventually(lambda: gone not in ours.names())
    assert kept in ours.names()
    assert ours.received() is None


def test_a_rate_fires_at_its_start_date(ours: Desk) -> None:
    due = soon()
    ours.create("rate(1 minute)", StartDate=due)
    assert ours.cloud.eventually(ours.received) == due


def test_a_rate_without_a_start_date_fires_at_once(desk: Desk) -> None:
    before = soon(0)
    desk.create("rate(5 minutes)")
    fired = desk.cloud.eventually(desk.received)
    assert fired is not None
    assert fired >= before


def test_what_is_changed_or_disabled_fires_as_it_is_now(ours: Desk) -> None:
    due = soon(3)
    later = soon(3600)
    for change in ({"State": "DISABLED"}, {"ScheduleExpression": f"at({later:%Y-%m-%dT%H:%M:%S})"}):
        request = ours.request(f"at({due:%Y-%m-%dT%H:%M:%S})")
        ours.client.create_schedule(**request)
        ours.client.update_schedule(**{**request, **change})
    deleted = ours.create(f"at({due:%Y-%m-%dT%H:%M:%S})")
    ours.client.delete_schedule(Name=deleted)
    witness = soon(4)
    ours.create(f"at({witness:%Y-%m-%dT%H:%M:%S})")
    assert ours.cloud.eventually(ours.received) == witness


def test_an_update_leaves_nothing_of_what_was(ours: Desk) -> None:
    request = ours.request("at(2126-12-24T18:00:00)", ActionAfterCompletion="DELETE", Description="x")
    ours.client.create_schedule(**request)
    ours.client.update_schedule(**ours.request("rate(1 day)") | {"Name": request["Name"]})
    found = ours.client.get_schedule(Name=request["Name"])
    assert (found["ActionAfterCompletion"], found.get("Description", "")) == ("NONE", "")


EXPRESSIONS = [
    "cron(0 6 * * *)",
    "cron(0 6 * * ? * *)",
    "cron(0 6 * * * *)",
    "cron(0 6 31 2 ? *) ",
    "cron(61 6 * * ? *)",
    "0 6 * * 1-5",
    "rate(1 second)",
    "rate(0 minutes)",
    "at(2026-02-30T00:00:00)",
    "at(2020-01-01T00:00:00)",
    "every day",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_that_is_none_is_refused(desk: Desk, expression: str) -> None:
    with pytest.raises(ClientError, match="Invalid Schedule Expression") as refused:
        desk.create(expression)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


WRONG: dict[str, dict[str, Any]] = {
    "zone": {"ScheduleExpressionTimezone": "Europe/Nowhere"},
    "early": {"StartDate": datetime(2020, 1, 1, tzinfo=UTC)},
    "past": {"EndDate": datetime(2020, 1, 1, tzinfo=UTC)},
    "window": {"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
    "wide": {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1441}},
    "off": {"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}},
    "name": {"Name": "x" * 65},
    "state": {"State": "PAUSED"},
    "description": {"Description": "x" * 513},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_aws_refuses_is_refused(desk: Desk, wrong: str) -> None:
    request = desk.request("rate(1 day)")
    with pytest.raises(ClientError) as refused:
        desk.client.create_schedule(**request | WRONG[wrong])
    assert refused.value.response["Error"]["Code"] == "ValidationException"


@pytest.fixture
def group(engine: Cloud) -> Iterator[str]:
    name = f"g-{uuid.uuid4().hex[:8]}"
    client = engine.client("scheduler")
    client.create_schedule_group(Name=name)
    yield name
    client.delete_schedule_group(Name=name)


def test_a_list_has_pages(ours: Desk, group: str) -> None:
    made = sorted(ours.create("rate(1 day)", GroupName=group, StartDate=soon(3600)) for _ in range(7))
    first = ours.client.list_schedules(GroupName=group, MaxResults=5)
    second = ours.client.list_schedules(GroupName=group, MaxResults=5, NextToken=first["NextToken"])
    assert [each["Name"] for page in (first, second) for each in page["Schedules"]] == made
    assert "NextToken" not in second


def test_a_group_that_there_is_not_is_not_found(ours: Desk) -> None:
    for call in (lambda: ours.create("rate(1 day)", GroupName="none"), lambda: ours.names(GroupName="none")):
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_many_schedules_cost_nothing_until_they_are_due(ours: Desk, group: str) -> None:
    for _ in range(200):
        ours.create("cron(0 6 ? * MON-FRI *)", GroupName=group, ScheduleExpressionTimezone="Europe/Berlin")
    due = soon(1)
    ours.create(f"at({due:%Y-%m-%dT%H:%M:%S})")
    before = time.monotonic()
    assert ours.cloud.eventually(ours.received) == due
    assert time.monotonic() - before < 30
