"""Which schedules start after which: one suite over memory and DynamoDB, and what only DynamoDB can get wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.tables import create_tables
from universal_scheduler.adapters.dynamodb.items import schedule_to_item, to_item
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.documents.upstreams import upstreams_of
from universal_scheduler.ports.store import Store
from universal_scheduler.usecases.triggers import schedule_written

Row = dict[str, Any]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        made = boto3.client("dynamodb", "us-east-1")
        create_tables(made)
        yield made


def over(client: Any) -> DynamoStore:
    return DynamoStore(client, schedules="BatchSchedules", history="BatchScheduleHistory", jobs="BatchScheduleJobs")


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Store:
    """A store that has checked the followers of all schedules; there are none yet."""
    made: Store = MemoryStore() if request.param == "memory" else over(request.getfixturevalue("client"))
    assert made.check_followers(100)
    return made


@pytest.fixture
def dynamo(client: Any) -> DynamoStore:
    made = over(client)
    assert made.check_followers(100)
    return made


def followers(store: Store, upstream: str) -> list[str]:
    return [row["scheduleId"] for row in store.followers(upstream)]


def row(schedule_id: str, *after: str, **more: Any) -> Row:
    jobs = [{"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}]
    trigger = {"after": list(after)} if after else {"manual": True}
    return {"scheduleId": schedule_id, "jobList": jobs, "trigger": trigger, **more}


def put_by_hand(client: Any, made: Row) -> None:
    client.put_item(TableName="BatchSchedules", Item=schedule_to_item(made))


def remove_by_hand(client: Any, schedule_id: str) -> None:
    client.delete_item(TableName="BatchSchedules", Key=to_item({"scheduleId": schedule_id}))


def names(client: Any) -> set[tuple[str, str]]:
    """The (upstream, follower) pairs that are kept."""
    items = client.scan(TableName="BatchScheduleJobs")["Items"]
    pairs = {(item["runId"]["S"], item["jobName"]["S"]) for item in items}
    return {(partition.removeprefix("#after#"), name) for partition, name in pairs if partition.startswith("#after#")}


def heal(store: Store) -> None:
    """What the sweeps do in time: one pass over all schedules."""
    while not store.check_followers(2):
        pass
    for _ in range(20):
        store.check_followers(2)


def test_a_schedule_follows_what_its_trigger_names_once_it_is_stored(store: Store) -> None:
    store.put_schedule(row("report", "load", "other"))
    store.put_schedule(row("by-hand"))
    store.put_schedule(row("invalid", "load", scheduleErrors=[{"path": "$"}]))
    assert followers(store, "load") == followers(store, "other") == ["report"]
    assert followers(store, "nothing") == []


@pytest.mark.parametrize(
    "trigger", ["load", {"after": 7}, {"after": [7, ""]}, {"after": ["load"] * 101}, [{"after": ["load"]}] * 21, None]
)
def test_a_trigger_that_names_no_schedules_names_none(store: Store, trigger: Any) -> None:
    store.put_schedule(row("odd", trigger=trigger))
    heal(store)
    assert followers(store, "load") == []


def test_several_triggers_and_a_single_name_are_followed_too(store: Store) -> None:
    several = [{"after": "load"}, {"manual": True}, {"after": ["other", "load"], "when": "all"}]
    store.put_schedule(row("report", trigger=several))
    store.put_schedule(row("reload", trigger={"after": "loads"}))
    heal(store)
    assert followers(store, "load") == followers(store, "other") == ["report"]
    assert followers(store, "loads") == ["reload"]
    assert store.followers("load") == [{"scheduleId": "report", "trigger": several}]


def test_rows_tell_what_they_start_after_unless_they_are_wrong_or_gone(store: Store) -> None:
    store.put_schedule(row("report", "load", "other"))
    store.put_schedule(row("by-hand"))
    store.put_schedule(row("invalid", "load", scheduleErrors=[{"path": "$"}]))
    found = store.upstreams(["report", "by-hand", "invalid", "gone", *(f"n{number}" for number in range(150))])
    assert found == {"report": ["load", "other"], "by-hand": []}


def test_a_row_decides_even_if_its_name_is_still_kept(store: Store) -> None:
    store.put_schedule(row("report", "load"))
    store.put_schedule(row("report", "other"))
    store.record_schedule_errors("report", [])
    assert followers(store, "load") == []
    assert followers(store, "other") == ["report"]
    store.record_schedule_errors("report", [{"path": "$"}])
    assert followers(store, "other") == []


def test_a_name_is_forgotten_unless_the_row_has_it(store: Store) -> None:
    store.put_schedule(row("report", "load"))
    store.remove_follower("report", ["load"])
    assert followers(store, "load") == ["report"]
    store.remove_follower("gone", ["load"])
    assert followers(store, "load") == ["report"]


def test_very_many_followers_are_all_found(store: Store) -> None:
    for number in range(230):
        store.put_schedule(row(f"s{number:03}", "load"))
    assert followers(store, "load") == [f"s{number:03}" for number in range(230)]


def test_what_can_be_no_key_has_no_followers(store: Store) -> None:
    for odd in ("", "x" * 2049, "\ud83d"):
        assert followers(store, odd) == []


def test_rows_of_an_earlier_version_are_found_before_and_after_they_were_checked(client: Any) -> None:
    for number in range(7):
        put_by_hand(client, row(f"s{number}", "load") if number % 2 else row(f"s{number}"))
    store = over(client)
    assert followers(store, "load") == ["s1", "s3", "s5"]
    steps = [store.check_followers(2) for _ in range(4)]
    assert steps == [False, False, False, True]
    assert names(client) == {("load", "s1"), ("load", "s3"), ("load", "s5")}
    assert followers(over(client), "load") == ["s1", "s3", "s5"]


def test_a_set_of_texts_is_a_list_of_schedules_too(client: Any, dynamo: DynamoStore) -> None:
    after: Any = {"M": {"after": {"SS": ["load", "other"]}}}
    client.put_item(TableName="BatchSchedules", Item={"scheduleId": {"S": "report"}, "trigger": after})
    heal(dynamo)
    assert followers(dynamo, "load") == followers(dynamo, "other") == ["report"]
    dynamo.remove_follower("report", ["load"])
    assert followers(dynamo, "load") == ["report"]


def test_a_lost_record_is_healed_by_the_next_pass_and_costs_no_write_if_nothing_is_missing(
    client: Any, dynamo: DynamoStore
) -> None:
    put_by_hand(client, row("report", "load"))
    assert followers(dynamo, "load") == [], "its record has not come"
    heal(dynamo)
    assert followers(dynamo, "load") == ["report"]
    calls = recorded(client)
    dynamo.check_followers(100)
    assert "BatchWriteItem" not in calls


def test_a_pass_that_fails_goes_on_where_it_was(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        put_by_hand(client, row(f"s{number}", "load"))
    store = over(client)
    assert not store.check_followers(4)
    with monkeypatch.context() as broken:
        broken.setattr(store, "_put_followers", lambda _: (_ for _ in ()).throw(OSError("no network")))
        with pytest.raises(OSError, match="no network"):
            store.check_followers(4)
    assert not store._ever_complete("#followers"), "the last rows are not checked"
    assert store.check_followers(4)
    assert len(followers(store, "load")) == 6


def recorded(client: Any) -> list[str]:
    calls: list[str] = []
    client.meta.events.register("after-call.dynamodb", lambda model, **_: calls.append(model.name))
    return calls


V: list[Row | None] = [
    None,
    row("report", "a"),
    row("report", trigger={"after": "b"}),
    row("report", trigger=[{"after": ["a"]}, {"after": ["b"], "outcome": "FAILED"}]),
    row("report"),
]


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("second", V)
@pytest.mark.parametrize("first", V)
def test_a_change_in_the_middle_of_handling_an_earlier_one_loses_no_name(
    client: Any, dynamo: DynamoStore, first: Row | None, second: Row | None, by_hand: bool
) -> None:
    """The row changes between any two calls with which the record of the change before is handled."""
    racer = over(boto3.client("dynamodb", "us-east-1"))

    def change(to: Row | None) -> None:
        if to is None:
            remove_by_hand(client, "report")
        elif by_hand:
            put_by_hand(client, to)
        else:
            racer.put_schedule(to)

    for start in V:
        moment = 0
        while True:
            change(start)
            if start:
                racer.add_follower("report", upstreams_of(start))
            change(first)
            moment += 1
            with between_calls(client, moment, lambda: change(second)) as raced:
                handle(dynamo, start, first)
                happened = raced()
            if not happened:
                change(second)
            elif second is not None and not by_hand:
                assert_found(dynamo, second)
            handle(dynamo, first, second)
            assert_found(dynamo, second)
            if not happened:
                break


def handle(store: Store, old: Row | None, new: Row | None) -> None:
    if (old or new) and old != new:
        schedule_written(store, MemoryWorkflow(), "event", old, new)


def assert_found(store: Store, now: Row | None) -> None:
    named = upstreams_of(now)
    for upstream in ("a", "b"):
        assert followers(store, upstream) == (["report"] if upstream in named else [])


class between_calls:  # noqa: N801 - reads as a statement
    """Do something once, after so many calls of a client."""

    def __init__(self, client: Any, number: int, do: Callable[[], None]) -> None:
        self._events, self._left, self._do = client.meta.events, number, do

    def __enter__(self) -> Callable[[], bool]:
        self._events.register("before-call.dynamodb", self._count, unique_id="race")
        return lambda: self._left <= 0

    def __exit__(self, *_: object) -> None:
        self._events.unregister("before-call.dynamodb", unique_id="race")

    def _count(self, **_: Any) -> None:
        self._left -= 1
        if self._left == 0:
            self._do()
