"""New objects and events start the schedules that listen to them, each once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.test_timetable import NOW, World
from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.triggers import what_starts
from universal_scheduler.domain.events.arrivals import read_arrival, topics_of
from universal_scheduler.domain.runs.model import AuditEntry, Mark, Verb
from universal_scheduler.usecases.arrivals import Arrived, change_listeners, handle_arrival
from universal_scheduler.usecases.fire import Fired, Outcome


def created(key: str = "in/a.csv", event_id: str = "e1", sequencer: str = "01", **more: Any) -> dict[str, Any]:
    return {
        "id": event_id,
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-11-25T12:00:00Z",
        "detail": {
            "bucket": {"name": "inbox"},
            "object": {"key": key, "size": 5, "etag": "x", "sequencer": sequencer, **more},
        },
    }


def put(world: World, trigger: Any, schedule_id: str = "daily", **more: Any) -> None:
    old = world.store.schedules.get(schedule_id)
    row = world.put(trigger, schedule_id, **more)
    change_listeners(world.store, old, row)


def arrive(world: World, event: dict[str, Any]) -> Arrived:
    return handle_arrival(world.store, world.workflow, world.timetable, read_arrival(event))


@pytest.fixture
def world() -> World:
    return World()


def test_an_object_starts_each_schedule_whose_place_it_comes_to_once(world: World) -> None:
    put(world, {"s3": {"bucket": "inbox", "prefix": "in/", "suffix": ".csv"}}, "a")
    put(world, [{"manual": True}, {"s3": {"bucket": "inbox"}}], "b")
    put(world, {"s3": {"bucket": "inbox", "prefix": "out/"}}, "c")
    put(world, {"s3": {"bucket": "other"}}, "d")
    assert arrive(world, created()).started == ("a", "b")
    assert arrive(world, created()).started == ()
    assert len(world.workflow.started) == 2
    cause = next(iter(world.workflow.started.values()))["cause"]
    assert cause == {"kind": "s3", "bucket": "inbox", "key": "in/a.csv", "size": 5, "etag": "x", "eventId": "e1"}


def test_an_event_starts_schedules_whose_pattern_it_matches(world: World) -> None:
    put(world, {"event": {"source": ["my.shop"], "detail": {"total": [{"numeric": [">", 100]}]}}})
    event = {"id": "1", "source": "my.shop", "detail-type": "Order", "detail": {"total": 99}}
    assert arrive(world, event).started == ()
    assert arrive(world, {**event, "id": "2", "detail": {"total": 101}}).started == ("daily",)
    cause = next(iter(world.workflow.started.values()))["cause"]
    assert cause == {"kind": "event", "source": "my.shop", "detailType": "Order", "eventId": "2"}


@pytest.mark.parametrize("more", [{"scheduleErrors": [{"path": "$"}]}, {}])
def test_nothing_starts_by_a_wrong_or_paused_schedule(world: World, more: dict[str, Any]) -> None:
    put(world, {"s3": {"bucket": "inbox"}}, **more)
    if not more:
        world.store.pause("daily", AuditEntry(Mark(Verb.PAUSE, "me", 0.0)))
    assert arrive(world, created()).started == ()


def test_a_schedule_that_no_longer_listens_is_forgotten(world: World) -> None:
    put(world, {"s3": {"bucket": "inbox"}})
    put(world, {"manual": True})
    assert not world.store.listeners("s3#inbox")
    assert arrive(world, created()).started == ()


def test_the_sweep_adds_a_listener_that_was_lost(world: World) -> None:
    world.put({"s3": {"bucket": "inbox"}})
    assert arrive(world, created()).started == ()
    world.reconcile()
    assert arrive(world, created()).started == ("daily",)


def fire_all(world: World) -> list[Fired]:
    entries = list(world.entries.entries.values())
    world.entries.entries.clear()
    return [world.fire(entry, NOW + timedelta(minutes=2)) for entry in entries]


def test_an_object_starts_its_run_when_it_is_stable(world: World) -> None:
    put(world, {"s3": {"bucket": "inbox", "stableFor": "PT2M"}})
    assert arrive(world, created()).waiting == ("daily",)
    assert world.only.expression == "at(2026-11-25T12:02:00)"
    assert world.only.once
    assert world.reconcile() == 0, "it is no entry of a time trigger, and stays"
    [fired] = fire_all(world)
    assert fired.outcome is Outcome.STARTED
    [message] = world.workflow.started.values()
    assert message["cause"]["key"] == "in/a.csv"
    assert "order" not in message["cause"]


def test_only_the_newest_object_under_a_key_starts_a_run(world: World) -> None:
    put(world, {"s3": {"bucket": "inbox", "stableFor": 120}})
    for event_id, sequencer in (("e1", "0A"), ("e3", "0C"), ("e2", "0B1")):  # they come out of order
        arrive(world, created(event_id=event_id, sequencer=sequencer))
    arrive(world, created("in/other.csv", "e4"))
    outcomes = [fired.outcome for fired in fire_all(world)]
    assert sorted(outcomes) == [Outcome.LEFT_OUT, Outcome.STARTED, Outcome.STARTED]
    assert {message["cause"]["eventId"] for message in world.workflow.started.values()} == {"e3", "e4"}


def test_an_object_that_waits_starts_nothing_after_its_trigger_is_gone(world: World) -> None:
    put(world, {"s3": {"bucket": "inbox", "stableFor": 120}})
    arrive(world, created())
    put(world, {"s3": {"bucket": "inbox", "stableFor": 60}})
    assert [fired.outcome for fired in fire_all(world)] == [Outcome.OLD]


@pytest.mark.parametrize(
    "event",
    [{}, [], None, {"id": "1"}, {"id": "1", "source": "aws.s3", "detail-type": "Object Deleted"}, created("")],
)
def test_what_is_no_event_is_refused(event: Any) -> None:
    with pytest.raises(ValueError, match=r"no event|no schedule|no key"):
        read_arrival(event)


@pytest.mark.parametrize(
    "trigger", [None, "s3", [7], {"s3": "inbox"}, {"s3": {"bucket": 7}}, {"event": {"source": "x"}}, {"event": []}]
)
def test_a_row_that_was_never_checked_listens_to_nothing(trigger: Any) -> None:
    assert topics_of({"scheduleId": "a", "trigger": trigger}) == []


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"trigger": {"event": {"source": ["aws.glue"]}}}, "$.trigger.event.source[0]"),
        ({"trigger": [{"manual": True}, {"event": {"detail": {}}}]}, "$.trigger[1].event.source"),
        ({"trigger": {"s3": {"prefix": "in/"}}}, "$.trigger.s3"),
        ({"trigger": {"s3": {"bucket": "a/b"}}}, "$.trigger.s3.bucket"),
        ({"trigger": {"s3": {"bucket": "inbox", "stableFor": "soon"}}}, "$.trigger.s3.stableFor"),
        ({"trigger": {"rate": "rate(1 day)"}, "spread": "2d"}, "$.spread"),
    ],
)
def test_what_is_wrong_in_a_document_is_told(more: dict[str, Any], path: str) -> None:
    row = {"scheduleId": "a", "jobList": [{"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}], **more}
    assert path in [error.path for error in find_errors(row)]


def test_people_read_what_starts_the_schedule() -> None:
    trigger = [{"s3": {"bucket": "inbox", "suffix": ".csv", "stableFor": "2m"}}, {"event": {"source": ["a", "b"]}}]
    text = what_starts({"scheduleId": "x", "trigger": trigger}, new=True)
    assert text == "a new object s3://inbox/*.csv, when it has been there for 2m; an event of a or b"
