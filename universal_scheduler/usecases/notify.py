"""Notifies people: it queues a message for each channel that a schedule names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from universal_scheduler.domain.messages.notifications import (
    Delivery,
    Kind,
    Notification,
    channels_for,
    run_change,
    to_body,
)
from universal_scheduler.domain.runs.model import Run
from universal_scheduler.ports.messages import Outbox
from universal_scheduler.ports.schedules import Schedules


def notify(outbox: Outbox, notification: Notification, document: Mapping[str, Any]) -> int:
    """Queue a message for each channel of the schedule (or run) that gets this kind. Answers how many.

    Raises:
        StoreUnavailable: try again. The messages keep their ids.
    """
    bodies = message_bodies(notification, document)
    if bodies:
        outbox.put(bodies)
    return len(bodies)


def message_bodies(notification: Notification, document: Mapping[str, Any]) -> list[str]:
    """The queue's messages for a notification, one for each channel that gets this kind."""
    return [to_body(Delivery(notification, channel)) for channel in channels_for(document, notification.kind)]


def notify_run(store: Schedules, outbox: Outbox, before: Run | None, now: Run, at: float) -> int:
    """Notify of the start or the end of a run after its row was written (`before` is None) or changed.

    `at` is in epoch seconds. A run that was refused has no document: its channels are those of the schedule's row.
    """
    notification = run_change(before, now, at)
    if notification is None:
        return 0
    document = now.document
    if notification.kind is Kind.RUN_FAILED and not document.get("jobList"):
        document = store.get_schedule(now.key.schedule_id) or {}
    return notify(outbox, notification, document)


def notify_job(
    outbox: Outbox, kind: Kind, run: Run | None, job_name: str, at: float, *, attempt: int = 1, detail: str = ""
) -> int:
    """Notify of one job of a run. `detail` says what no table has: why the job is held, or why its queue is blocked."""
    if run is None:
        return 0
    return notify(outbox, Notification(kind, run.key, at, attempt, job_name, detail), run.document)
