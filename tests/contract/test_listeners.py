"""Which schedules listen to which events, and what the reconciler reads: one suite over memory and DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.tables import create_tables
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.ports.store import Store


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        made = boto3.client("dynamodb", "us-east-1")
        create_tables(made)
        yield made


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryStore()
    client = request.getfixturevalue("client")
    return DynamoStore(client, schedules="BatchSchedules", history="BatchScheduleHistory", jobs="BatchScheduleJobs")


def put(store: Store, schedule_id: str, trigger: Any = None) -> None:
    row = {"scheduleId": schedule_id, "jobList": [], "timezone": "Asia/Tokyo", "spread": "5m"}
    store.put_schedule(row if trigger is None else {**row, "trigger": trigger})


def heard(store: Store, topic: str) -> list[str]:
    return [row["scheduleId"] for row in store.listeners(topic)]


def test_listeners_are_the_rows_of_those_that_were_added_and_are_there(store: Store) -> None:
    for name in ("b", "a"):
        put(store, name, {"s3": {"bucket": "inbox"}})
        store.add_listener(name, ["s3#inbox", "event#x"])
    store.add_listener("gone", ["s3#inbox"])
    assert heard(store, "s3#inbox") == heard(store, "event#x") == ["a", "b"]
    assert heard(store, "s3#other") == []
    store.remove_listener("a", ["s3#inbox", "s3#other"])
    assert heard(store, "s3#inbox") == ["b"]
    assert heard(store, "event#x") == ["a", "b"]


def test_a_listeners_row_has_what_its_triggers_need(store: Store) -> None:
    put(store, "a", {"rate": "rate(1 day)"})
    store.record_schedule_errors("a", [{"path": "$"}])
    row = store.time_rows(["a", "none"])["a"]
    wanted = {"trigger": {"rate": "rate(1 day)"}, "timezone": "Asia/Tokyo", "spread": "5m"}
    assert {key: row[key] for key in wanted} == wanted
    assert row["scheduleErrors"]


def test_the_newest_object_is_the_one_with_the_last_order(store: Store) -> None:
    assert store.is_newest_object("a", 0, "k", "1")
    assert store.newest_object("a", 0, "k", "2")
    assert store.newest_object("a", 0, "k", "2"), "delivered again"
    assert not store.newest_object("a", 0, "k", "1")
    assert not store.is_newest_object("a", 0, "k", "1")
    assert store.is_newest_object("a", 0, "k", "2")
    for other in (("b", 0, "k"), ("a", 1, "k"), ("a", 0, "k2")):
        assert store.newest_object(*other, "1")


def page(store: Store, rows: int) -> tuple[list[str], bool]:
    seen: list[str] = []
    at_end = store.next_time_rows(rows, lambda found: seen.extend(row["scheduleId"] for row in found))
    return seen, at_end


def test_rows_come_in_pages_again_and_again(store: Store) -> None:
    for number in range(5):
        put(store, f"s{number}", {"rate": "rate(1 day)"})
    put(store, "without")
    for _ in range(2):
        pages = [page(store, 2)]
        while not pages[-1][1]:
            pages.append(page(store, 2))
        assert sorted(name for seen, _ in pages for name in seen) == [f"s{number}" for number in range(5)]
        assert len(pages) in (3, 4), "DynamoDB knows only after another page that there is none"


def test_a_page_that_failed_comes_again(store: Store) -> None:
    put(store, "a", {"rate": "rate(1 day)"})

    def fail(_rows: Any) -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        store.next_time_rows(10, fail)
    assert page(store, 10)[0] == ["a"]


def test_the_page_of_entries_is_remembered(store: Store) -> None:
    assert store.entries_page() == ""
    store.entries_page_done("next")
    assert store.entries_page() == "next"
    store.entries_page_done("")
    assert store.entries_page() == ""
