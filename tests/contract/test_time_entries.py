"""The entries of time triggers: one suite over memory and EventBridge Scheduler on moto. Every request is held against
the whole of botocore's model: botocore itself checks no pattern, no word and no upper limit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from moto import mock_aws

from universal_scheduler.adapters.memory.time_entries import MemoryTimeEntries
from universal_scheduler.adapters.scheduler import EventBridgeTimeEntries
from universal_scheduler.domain.errors import TimetableUnavailable
from universal_scheduler.domain.time.entries import Entry
from universal_scheduler.local.gaps.scheduler import constraint_errors
from universal_scheduler.ports.time_entries import TimeEntries

QUEUE, DEAD, ROLE = (
    "arn:aws:sqs:us-east-1:123456789012:usched-due",
    "arn:aws:sqs:us-east-1:123456789012:usched-due-dead-letters",
    "arn:aws:iam::123456789012:role/due",
)
DAILY = Entry("daily-0f3a", "cron(0 6 ? * MON-FRI *)", "Europe/Berlin", "daily", 0, "v1")
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        made = boto3.client("scheduler", "us-east-1")
        made.create_schedule_group(Name="usched")
        made.meta.events.register("provide-client-params.scheduler.*", _check)
        yield made


def _check(params: dict[str, Any], model: Any, **_: Any) -> None:
    assert not list(constraint_errors(model.input_shape.name, params))


def over(client: Any) -> EventBridgeTimeEntries:
    return EventBridgeTimeEntries(lambda: client, group="usched", queue=QUEUE, dead_letters=DEAD, role=ROLE)


@pytest.fixture(params=["memory", "scheduler"])
def entries(request: pytest.FixtureRequest) -> TimeEntries:
    return MemoryTimeEntries() if request.param == "memory" else over(request.getfixturevalue("client"))


EVERY_KIND = [
    DAILY,
    replace(DAILY, start=SOON, end=SOON + timedelta(days=1)),
    replace(DAILY, window_minutes=15),
    replace(DAILY, expression="rate(5 minutes)", zone="UTC", start=SOON),
    replace(DAILY, expression="at(2126-12-24T18:00:00)", once=True),
    replace(DAILY, name="x" * 64, schedule_id='a "name" \\ of 128 characters, ✓' + "y" * 97, trigger=19),
]


@pytest.mark.parametrize("entry", EVERY_KIND)
def test_an_entry_is_kept_as_it_was_put(entries: TimeEntries, entry: Entry) -> None:
    entries.put(entry)
    assert entries.get(entry.name) == entry


# moto keeps what ActionAfterCompletion was; test_gap_scheduler has that case on the engine.
@pytest.mark.parametrize("before", [entry for entry in EVERY_KIND if entry.name == DAILY.name and not entry.once])
def test_a_change_leaves_nothing_of_what_was(entries: TimeEntries, before: Entry) -> None:
    entries.put(before)
    entries.put(DAILY)
    assert entries.get(DAILY.name) == DAILY


def test_an_entry_that_is_removed_is_gone_and_a_second_time_is_no_error(entries: TimeEntries) -> None:
    entries.put(DAILY)
    for _ in range(2):
        entries.remove(DAILY.name)
        assert entries.get(DAILY.name) is None


def test_all_names_come_once_in_pages(entries: TimeEntries) -> None:
    wanted = [f"daily-{number:03}" for number in range(250)]
    for name in wanted:
        entries.put(replace(DAILY, name=name))
    seen: list[str] = []
    page, pages = "", 0
    while True:
        names, page = entries.names(page)
        seen += names
        pages += 1
        if not page:
            break
    assert sorted(seen) == wanted
    assert pages == 3


def by_hand(client: Any, **change: Any) -> None:
    kept = client.get_schedule(Name=DAILY.name, GroupName="usched")
    writable = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target", "ScheduleExpressionTimezone")
    client.update_schedule(**{key: kept[key] for key in writable} | change)


@pytest.mark.parametrize(
    "change",
    [
        {"State": "DISABLED"},
        {"ScheduleExpression": "rate(1 day)"},
        {"ScheduleExpressionTimezone": "UTC"},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5}},
        {"Target": {"Arn": DEAD, "RoleArn": ROLE, "Input": json.dumps(DAILY.message("now"))}},
        {"Target": {"Arn": QUEUE, "RoleArn": ROLE, "Input": "no JSON"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_was_changed_by_hand_is_another_entry(client: Any, change: dict[str, Any]) -> None:
    entries = over(client)
    entries.put(DAILY)
    by_hand(client, **change)
    assert entries.get(DAILY.name) != DAILY


def test_every_request_has_the_whole_entry(client: Any) -> None:
    seen: list[dict[str, Any]] = []
    client.meta.events.register("provide-client-params.scheduler.*", lambda params, **_: seen.append(dict(params)))
    entries = over(client)
    entries.put(DAILY)
    entries.put(replace(DAILY, window_minutes=5))
    create, again, update = (params.keys() for params in seen)
    assert create == again == update
    target = seen[-1]["Target"]
    assert json.loads(target["Input"])["scheduledTime"] == "<aws.scheduler.scheduled-time>"
    assert target["DeadLetterConfig"] == {"Arn": DEAD}


REFUSALS: dict[str, Callable[[TimeEntries], object]] = {
    "create_schedule": lambda entries: entries.put(DAILY),
    "delete_schedule": lambda entries: entries.remove("x"),
    "get_schedule": lambda entries: entries.get("x"),
    "list_schedules": lambda entries: entries.names(""),
}


@pytest.mark.parametrize("operation", REFUSALS)
def test_what_does_not_answer_is_to_be_asked_again(client: Any, operation: str) -> None:
    with Stubber(client) as stub:
        stub.add_client_error(operation, "ThrottlingException", http_status_code=429)
        with pytest.raises(TimetableUnavailable, match="ThrottlingException"):
            REFUSALS[operation](over(client))


def test_a_page_that_is_no_longer_known_is_the_last(client: Any) -> None:
    with Stubber(client) as stub:
        stub.add_client_error("list_schedules", "ValidationException")
        assert over(client).names("old") == ([], "")


def test_the_check_of_requests_finds_what_botocore_does_not(client: Any) -> None:
    entries = over(client)
    for wrong in (replace(DAILY, name="x" * 65), replace(DAILY, name="a b"), replace(DAILY, window_minutes=1441)):
        with pytest.raises((AssertionError, ClientError)):
            entries.put(wrong)
