"""One suite over every keeper of calendars: memory, and the table of template.yaml on moto's DynamoDB and the
engine's."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from tests.engine_dynamodb import engine_dynamodb
from tests.tables import create_tables
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.ports.calendars import Calendars

BANK = {"calendarName": "bank", "holidays": ["US", "GB-ENG"], "off": ["2026-12-24 Christmas Eve"], "weekend": []}


@pytest.fixture(params=["memory", "dynamodb", "engine"])
def calendars(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calendars]:
    if request.param == "memory":
        yield MemoryStore()
        return
    if request.param == "engine":
        with engine_dynamodb() as client:
            yield DynamoStore(client, schedules="s", history="h", jobs="j")
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("dynamodb", "us-east-1")
        create_tables(client)
        yield DynamoStore(client, schedules="s", history="h", jobs="j")


def test_a_calendar_comes_back_as_it_was_written(calendars: Calendars) -> None:
    assert calendars.put_calendar(BANK)
    assert calendars.get_calendars(["bank"]) == {"bank": BANK}
    assert not calendars.put_calendar({**BANK, "weekend": ["SUN"]})
    assert calendars.get_calendars(["bank"])["bank"]["weekend"] == ["SUN"]


def test_calendars_that_there_are_not_are_left_out(calendars: Calendars) -> None:
    calendars.put_calendar(BANK)
    assert list(calendars.get_calendars(["other", "bank", "bank", "", "\ud800", "x" * 3000])) == ["bank"]
    assert calendars.get_calendars([]) == {}


def test_all_calendars_come_in_the_order_of_their_names(calendars: Calendars) -> None:
    for name in ("b", "c", "a"):
        calendars.put_calendar({"calendarName": name})
    assert [row["calendarName"] for row in calendars.list_calendars()] == ["a", "b", "c"]


def test_what_a_caller_does_to_a_row_changes_no_stored_row(calendars: Calendars) -> None:
    calendars.put_calendar(BANK)
    calendars.get_calendars(["bank"])["bank"]["off"].append("2026-01-01")
    calendars.list_calendars()[0]["off"].clear()
    assert calendars.get_calendars(["bank"])["bank"] == BANK
