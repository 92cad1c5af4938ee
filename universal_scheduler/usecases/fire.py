"""A time trigger fires: the start of a run, once for each moment, unless something leaves it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from universal_scheduler.domain.time.entries import is_chain, next_link, trigger_list, version_of
from universal_scheduler.domain.time.policies import due, moment, read_policies
from universal_scheduler.domain.time.starts import Start, coming
from universal_scheduler.domain.time.triggers import TimeTrigger
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.workflow import Workflow
from universal_scheduler.usecases.admission import Outcome, admit
from universal_scheduler.usecases.arrivals import start_by_event
from universal_scheduler.usecases.timetable import Timetable, time_triggers

INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Firing:
    """What an entry of EventBridge Scheduler sends when its time has come."""

    schedule_id: str
    trigger: int
    version: str
    scheduled: datetime
    """UTC: the time for which it calls, however late it is."""
    cause: Mapping[str, Any] = field(default_factory=dict)
    """What the run keeps of an event after which it was waited; empty for a time trigger."""


@dataclass(frozen=True, slots=True)
class Fired:
    """What became of a firing, and why."""

    outcome: Outcome
    reason: str = ""
    execution: str = ""
    differs: bool = False
    """Whether EventBridge Scheduler has called at a time that is none by our own reckoning."""


def read_firing(message: Mapping[str, Any]) -> Firing:
    """The firing that a message tells of.

    Raises:
        ValueError: the message tells of none.
    """
    try:
        scheduled = datetime.fromisoformat(str(message["scheduledTime"]).replace("Z", "+00:00"))
        firing = Firing(
            str(message["scheduleId"]),
            int(message["trigger"]),
            str(message["version"]),
            scheduled.astimezone(UTC),
            dict(message.get("cause", {})),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the message is no firing: {error!r}") from error
    if scheduled.tzinfo is None:
        raise ValueError("the message is no firing: its scheduledTime has no zone")
    return firing


def fire(store: Store, workflow: Workflow, timetable: Timetable, firing: Firing) -> Fired:
    """Start the run of a firing. The same firing starts one run, however often it is delivered.

    Nothing starts where the row is gone, wrong or changed since the entry was made, where the calendar leaves the day
    out, while the schedule is paused, and where its policies leave the start out or let it wait.

    Raises:
        TimetableUnavailable: the entry for the following start could not be made, so nothing has started yet.
        RunNotReady: a run has to be cancelled first, and cannot be yet.
    """
    row = store.get_schedule(firing.schedule_id)
    if firing.cause:
        return _fire_object(store, workflow, row, firing)
    triggers = _triggers(row, timetable, firing)
    trigger = next((trigger for trigger in triggers if trigger.position == firing.trigger), None)
    if row is None or trigger is None:
        return Fired(Outcome.OLD, "the row has no such trigger any more")
    now, chain = timetable.clock(), is_chain(trigger)
    if chain:
        link = next_link(row, trigger, max(firing.scheduled, moment(now)))
        if link is not None:
            timetable.entries.put(link)
    fired = _decide(store, workflow, row, triggers, trigger, firing.scheduled, now)
    if chain:  # those that were due since then have no entry, because nobody was there to make it
        for later, _ in due([trigger], read_policies(row), firing.scheduled, moment(now)):
            if not later.left_out:
                admit(store, workflow, row, triggers, later, now)
    return fired


def begin_late(
    store: Store,
    workflow: Workflow,
    timetable: Timetable,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    written: float,
) -> None:
    """A row was inserted (`old` is None) or changed at `written`, in epoch seconds, and its entries are there only now:
    begin what its new triggers were due for in between."""
    if new is None:
        return
    known = {version_of(old, position) for position in range(len(trigger_list(old)))} if old is not None else set()
    late = [trigger for trigger in timetable.triggers_of(new) if version_of(new, trigger.position) not in known]
    for start, why in due(late, read_policies(new), moment(written), timetable.now()) if late else ():
        if not why:
            version = version_of(new, start.trigger)
            fire(store, workflow, timetable, Firing(new["scheduleId"], start.trigger, version, start.at))


def _decide(
    store: Store,
    workflow: Workflow,
    row: Mapping[str, Any],
    triggers: Sequence[TimeTrigger],
    trigger: TimeTrigger,
    scheduled: datetime,
    now: float,
) -> Fired:
    if _outside(trigger, scheduled):
        return Fired(Outcome.LEFT_OUT, "it is before the trigger's startDate or after its endDate")
    start = start_at(trigger, scheduled)
    if start is None and is_chain(trigger):
        return Fired(Outcome.OLD, "the calendar has changed: this is no start any more")
    admitted = admit(store, workflow, row, triggers, start or _as_called(trigger, scheduled), now)
    return Fired(admitted.outcome, admitted.reason, admitted.execution, differs=start is None)


def _fire_object(store: Store, workflow: Workflow, row: Mapping[str, Any] | None, firing: Firing) -> Fired:
    """The object has been there for as long as its trigger wants it to, unless a newer one has come."""
    if row is None or row.get("scheduleErrors") or version_of(row, firing.trigger) != firing.version:
        return Fired(Outcome.OLD, "the row has no such trigger any more")
    cause = {key: value for key, value in firing.cause.items() if key != "order"}
    key, order = str(firing.cause["key"]), str(firing.cause["order"])
    if not store.is_newest_object(firing.schedule_id, firing.trigger, key, order):
        return Fired(Outcome.LEFT_OUT, f"a newer object has come as {key}")
    execution = start_by_event(store, workflow, firing.schedule_id, cause)
    return Fired(Outcome.STARTED if execution else Outcome.AGAIN, execution=execution)


def start_at(trigger: TimeTrigger, at: datetime) -> Start | None:
    """The start of a trigger at this moment, by our own reckoning; None if there is none."""
    return next((start for start in coming([trigger], at - INSTANT, at) if start.at == at), None)


def _as_called(trigger: TimeTrigger, scheduled: datetime) -> Start:
    """The start at a time that is none by our own reckoning: EventBridge Scheduler says so."""
    local = scheduled.astimezone(trigger.zone)
    return Start(scheduled, local, trigger.position, scheduled, local.date())


def _triggers(row: Mapping[str, Any] | None, timetable: Timetable, firing: Firing) -> Sequence[TimeTrigger]:
    """All time triggers of the row; none if the one that has fired was changed since its entry was made."""
    if row is None or version_of(row, firing.trigger) != firing.version:
        return ()
    return time_triggers(row, timetable.calendars)


def _outside(trigger: TimeTrigger, at: datetime) -> bool:
    before = trigger.start is not None and at < trigger.start
    return before or (trigger.end is not None and at > trigger.end)
