"""The entries by which EventBridge Scheduler carries the time triggers of schedules. It is pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from universal_scheduler.domain.documents.durations import duration_seconds
from universal_scheduler.domain.names import digest
from universal_scheduler.domain.time.local_days import utc_text
from universal_scheduler.domain.time.starts import coming
from universal_scheduler.domain.time.triggers import At, BusinessDay, Cron, ExchangeTime, OnDst, Rate, Roll, TimeTrigger

RATE_ANCHOR = datetime(1970, 1, 1, tzinfo=UTC)
"""A rate without a startDate counts from here: it keeps its phase when its row or its entry is made anew."""
NAME_LIMIT = 64
"""An entry's name has so many characters of `[0-9a-zA-Z-_.]`.
https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html"""
FINGERPRINT = 20
WINDOW_LIMIT = 1440
"""The longest flexible window in minutes."""
PRECISION = timedelta(minutes=1)
"""EventBridge Scheduler calls within the minute that the entry names.
https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html"""
NEXT_TRIES = 1000
"""So many starts in a row may be left out before the chain of a trigger waits for the reconciler."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of EventBridge Scheduler: when it calls, and for which trigger of which schedule."""

    name: str
    expression: str
    zone: str
    schedule_id: str
    trigger: int
    """The position of the trigger in the document's list."""
    version: str
    """A fingerprint of the trigger: a firing with another version is one of an old entry."""
    start: datetime | None = None
    end: datetime | None = None
    window_minutes: int = 0
    """Within so many minutes after its time an entry may call, so that not all call at once."""
    once: bool = False
    """Whether it calls once, and is deleted then: a finished one counts against the quota."""
    cause: Mapping[str, Any] = field(default_factory=dict)
    """What the run keeps of the event that made the entry; empty if a time trigger did."""
    period: timedelta | None = field(default=None, compare=False)
    """The period of a rate: two starts of the same phase are one."""

    def message(self, scheduled: str) -> dict[str, Any]:
        """What it sends at this time (ISO 8601)."""
        return {
            "scheduleId": self.schedule_id,
            "trigger": self.trigger,
            "version": self.version,
            "scheduledTime": scheduled,
            **({"cause": dict(self.cause)} if self.cause else {}),
        }


def entries_of(row: Mapping[str, Any], triggers: Sequence[TimeTrigger], now: datetime) -> list[Entry]:
    """The entries that the time triggers of a checked row need at this moment, in the order of the triggers.

    A trigger that EventBridge Scheduler can say in its own words has one entry for each expression. Any other has one
    entry for its next start alone; whoever handles that start makes the following one.
    """
    return [entry for trigger in triggers for entry in _entries(row, trigger, now)]


def next_link(row: Mapping[str, Any], trigger: TimeTrigger, after: datetime) -> Entry | None:
    """The entry for the first start of a trigger after this moment; None if there is none, or none is known yet."""
    for count, start in enumerate(coming([trigger], after)):
        if not start.left_out:
            return _link(row, trigger, start.at)
        if count == NEXT_TRIES:
            break
    return None


def stable_entry(row: Mapping[str, Any], position: int, at: datetime, cause: Mapping[str, Any]) -> Entry:
    """The entry that starts the run of an object at this moment, if no other object has come under its key by then."""
    return Entry(
        name=_name(row["scheduleId"], position, str(cause["eventId"])),
        expression=at_expression(at),
        zone="UTC",
        schedule_id=row["scheduleId"],
        trigger=position,
        version=version_of(row, position),
        once=True,
        cause=cause,
    )


def is_chain(trigger: TimeTrigger) -> bool:
    """Whether EventBridge Scheduler has no words for the trigger, so that each start has its own entry."""
    return (
        any(not isinstance(expression, Cron | Rate | At) for expression in trigger.expressions)
        or (trigger.calendar is not None and trigger.roll is not Roll.SKIP)
        or trigger.on_dst is not OnDst.AWS
    )


def version_of(row: Mapping[str, Any], position: int) -> str:
    """The fingerprint of the trigger at this position of a row; empty if it has none there."""
    written = trigger_list(row)
    if position not in range(len(written)):
        return ""
    text = json.dumps([written[position], row.get("timezone")], sort_keys=True, default=str)
    return digest("trigger", text)


def trigger_list(row: Mapping[str, Any]) -> list[Any]:
    """The triggers of a row as a list: `trigger` is one object or a list of objects."""
    written = row.get("trigger")
    if isinstance(written, Mapping):
        return [written]
    return list(written) if isinstance(written, list | tuple) else []


def same_entry(wanted: Entry, found: Entry, now: datetime) -> bool:
    """Whether an entry that was found calls at the same times from now on as the one that is wanted."""
    if wanted.period and wanted.start and found.start:
        phase = (wanted.start - found.start) % wanted.period
        return phase == timedelta() and found.start <= wanted.start and replace(found, start=wanted.start) == wanted
    started = found.start is not None and found.start <= now
    return (replace(found, start=None) if started and not wanted.period else found) == wanted


def _entries(row: Mapping[str, Any], trigger: TimeTrigger, now: datetime) -> Iterator[Entry]:
    if trigger.end is not None and trigger.end <= now:
        return
    if is_chain(trigger):
        link = next_link(row, trigger, now)
        if link is not None:
            yield link
        return
    for part, expression in enumerate(trigger.expressions):
        if isinstance(expression, BusinessDay | ExchangeTime):
            continue  # is_chain
        entry = Entry(
            name=_name(row["scheduleId"], trigger.position, str(part)),
            expression=expression.text,
            zone=trigger.zone.key,
            # A minute more at both ends: what it means to start or end at the very moment of a firing is ours to say.
            start=_later(trigger.start, now, -PRECISION),
            end=trigger.end + PRECISION if trigger.end is not None else None,
            **_common(row, trigger),
        )
        alone = trigger if len(trigger.expressions) == 1 else replace(trigger, expressions=(expression,))
        match expression:
            case Rate():
                first = next(coming([alone], now), None)
                if first is not None:
                    yield replace(
                        entry, start=first.scheduled, period=timedelta(seconds=expression.seconds), zone="UTC"
                    )
            case At():
                if next(coming([alone], now), None) is not None:
                    yield replace(entry, start=None, end=None, once=True)
            case _:
                yield entry


def _link(row: Mapping[str, Any], trigger: TimeTrigger, at: datetime) -> Entry:
    """Its name has the moment: EventBridge Scheduler deletes an entry some time after it has called, and must not
    delete the one that comes after it."""
    return Entry(
        name=_name(row["scheduleId"], trigger.position, _clock_text(at)),
        expression=at_expression(at),
        zone="UTC",
        once=True,
        **_common(row, trigger),
    )


def at_expression(at: datetime) -> str:
    """The expression of a single call at this moment, in UTC: `at(2026-11-21T06:00:00)`."""
    return f"at({_clock_text(at)})"


def _clock_text(at: datetime) -> str:
    return utc_text(at).removesuffix("Z")


def _common(row: Mapping[str, Any], trigger: TimeTrigger) -> dict[str, Any]:
    return {
        "schedule_id": row["scheduleId"],
        "trigger": trigger.position,
        "version": version_of(row, trigger.position),
        "window_minutes": window_minutes(row.get("spread")),
    }


def window_minutes(spread: Any) -> int:
    """The whole minutes of a document's `spread`: "90s" is two."""
    try:
        return min(ceil(duration_seconds(spread) / 60), WINDOW_LIMIT) if spread is not None else 0
    except (TypeError, ValueError):
        return 0


def _later(moment: datetime | None, now: datetime, shift: timedelta) -> datetime | None:
    """The moment, shifted, if that lies ahead: EventBridge Scheduler refuses a start of more than five minutes ago."""
    if moment is None or moment + shift <= now:
        return None
    return moment + shift


def _name(schedule_id: str, position: int, part: str) -> str:
    """Readable, and unique by its fingerprint."""
    fingerprint = digest(schedule_id, str(position), part, length=FINGERPRINT)
    readable = re.sub(r"[^0-9a-zA-Z_.-]+", "-", schedule_id)[: NAME_LIMIT - FINGERPRINT - 1]
    return f"{readable}-{fingerprint}"
