"""Checks on a stage whether the queues, job definitions and upstream schedules of a document exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from universal_scheduler.domain.documents.stage import (
    Kind,
    Short,
    foreign_names,
    missing,
    unknown,
    upstream_remarks,
)
from universal_scheduler.domain.documents.triggers import TIMES
from universal_scheduler.domain.documents.upstreams import triggers_of
from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.errors import DocumentError, InvalidSchedule, PlatformUnavailable
from universal_scheduler.domain.time.calendars import Calendar
from universal_scheduler.ports.schedules import Schedules

ANY_START = datetime(1970, 1, 1, tzinfo=UTC)
MAX_NAMES = 50
"""How many names of a document are checked: as many as there can be errors."""


class BatchNames(Protocol):
    """The names that Batch knows."""

    def missing(self, kind: Kind, names: Sequence[str]) -> set[str]:
        """The names or ARNs of these that Batch does not have.

        Raises:
            PlatformUnavailable: Batch did not answer.
        """
        ...


def check_names(
    row: Mapping[str, Any], short: Short, batch: BatchNames | None = None
) -> tuple[list[DocumentError], list[DocumentError]]:
    """Errors and warnings about the queues and job definitions of a valid row. Without `batch`, Batch is not asked."""
    uses = foreign_names(row, short)[:MAX_NAMES]
    if batch is None:
        return [], list(unknown(uses, short))
    try:
        absent = {
            (kind, name)
            for kind in Kind
            if (names := [use.name for use in uses if use.kind is kind])
            for name in batch.missing(kind, names)
        }
    except PlatformUnavailable:
        return [], list(unknown(uses, short))
    return missing([use for use in uses if (use.kind, use.name) in absent], short)


def check_upstream(store: Schedules, row: Mapping[str, Any], others: Sequence[str] = ()) -> list[DocumentError]:
    """A warning for each schedule in `trigger.after` that does not exist. `others` are schedules that are stored with
    this row."""
    return list(upstream_remarks(row, lambda name: name in others or store.get_schedule(name) is not None, others))


def check_over(
    row: Mapping[str, Any], calendars: Callable[[Iterable[str]], Mapping[str, Calendar]], now: datetime
) -> list[DocumentError]:
    """A warning for each time trigger of a valid row that starts nothing from now on: its time is over."""
    given = {path: trigger for path, trigger in triggers_of(row) if not TIMES.keys().isdisjoint(trigger)}
    if not given:
        return []
    from universal_scheduler.domain.time.starts import coming  # not where no time is read
    from universal_scheduler.domain.time.triggers import read_triggers

    named = [trigger["calendar"] for trigger in given.values() if isinstance(trigger.get("calendar"), str)]
    try:
        triggers = read_triggers(list(given.values()), row.get("timezone", ""), calendars(named), ANY_START)
    except InvalidSchedule:  # a calendar that is stored together with the row
        return []
    return [
        DocumentError(path, f"{shown(given[path])}, which is over: it starts nothing", "a time that is to come")
        for path, trigger in zip(given, triggers, strict=True)
        if next(coming([trigger], now), None) is None
    ]
