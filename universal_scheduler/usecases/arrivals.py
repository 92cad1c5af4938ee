"""Events start runs: a new object in S3, or an event of an application."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from universal_scheduler.domain.documents.durations import duration_seconds
from universal_scheduler.domain.events.arrivals import Arrival, starting, topics_of
from universal_scheduler.domain.time.entries import stable_entry
from universal_scheduler.ports.listeners import Listeners
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.workflow import Workflow
from universal_scheduler.usecases.timetable import Timetable
from universal_scheduler.usecases.triggers import start_by_trigger


@dataclass(frozen=True, slots=True)
class Arrived:
    """What an event has done, by scheduleId."""

    started: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    """Those that start when the object has been stable for long enough."""


def handle_arrival(store: Store, workflow: Workflow, timetable: Timetable, arrival: Arrival) -> Arrived:
    """Start a run of every schedule that has a trigger for this event. The same event starts each only once.

    Raises:
        TimetableUnavailable, StoreUnavailable: the event is to be handled again.
    """
    started, waiting = [], []
    for row in store.listeners(arrival.topic):
        schedule_id = row["scheduleId"]
        for position, trigger in starting(row, arrival):
            stable = trigger["s3"].get("stableFor") if arrival.is_object else None
            if stable is not None:
                if store.newest_object(schedule_id, position, arrival.key, arrival.order):
                    at = timetable.now() + timedelta(seconds=duration_seconds(stable))
                    cause = {**arrival.cause(), "order": arrival.order}
                    timetable.entries.put(stable_entry(row, position, at, cause))
                    waiting.append(schedule_id)
                continue
            if start_by_event(store, workflow, schedule_id, arrival.cause()):
                started.append(schedule_id)
    return Arrived(tuple(started), tuple(waiting))


def start_by_event(store: Store, workflow: Workflow, schedule_id: str, cause: Mapping[str, Any]) -> str:
    """Start the run of a schedule for an event. Answers the name of its execution; empty if it is paused, or this event
    has started it before."""
    found = start_by_trigger(store.paused, workflow, str(cause["kind"]), schedule_id, str(cause["eventId"]), cause)
    return found[0].name if found is not None and found[1] else ""


def change_listeners(store: Listeners, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> None:
    """A row was inserted, changed or removed: keep to which events its schedule listens."""
    before, after = topics_of(old), topics_of(new)
    schedule_id = str((new or old or {})["scheduleId"])
    store.add_listener(schedule_id, after)
    store.remove_listener(schedule_id, [topic for topic in before if topic not in after])
