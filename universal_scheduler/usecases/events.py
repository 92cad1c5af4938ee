"""Handles the events of AWS, a batch at a time: keeps them, acts on them, and requeues those that are early."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from universal_scheduler.domain.errors import PlatformUnavailable, Throttled
from universal_scheduler.domain.events.execution_events import EXECUTION_STATUS, ExecutionEnded, read_execution_event
from universal_scheduler.domain.events.job_events import JobEvent, read_event
from universal_scheduler.domain.messages.notifications import Kind
from universal_scheduler.ports.job_log import JobLog
from universal_scheduler.ports.messages import Outbox
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.workflow import Workflow
from universal_scheduler.usecases.executions import execution_ended
from universal_scheduler.usecases.mapper import Mapper
from universal_scheduler.usecases.notify import notify_job
from universal_scheduler.usecases.wake import handle_job_events

Event = JobEvent | ExecutionEnded

logger = logging.getLogger(__name__)


def read(event: Any) -> Event:
    """An EventBridge event of Batch or Step Functions.

    Raises:
        ValueError: it is none that the scheduler knows.
    """
    is_execution = isinstance(event, Mapping) and event.get("detail-type") == EXECUTION_STATUS
    return read_execution_event(event) if is_execution else read_event(event)


def measures(events: Sequence[Event], now: float) -> dict[str, tuple[str, list[float]]]:
    """Metrics of events that were just acted on: how long after a job's end that was, and Batch's own retries."""
    ended = [event for event in events if isinstance(event, JobEvent) and event.seen.status.ended]
    lags = [max(0.0, now - event.seen.stopped_at) for event in ended if event.run and event.seen.stopped_at]
    retries = sum(max(0, event.attempts - 1) for event in ended)
    return {"EndToWake": ("Seconds", lags), "Retries": ("Count", [float(retries)] if retries else [])}


def handle_events(
    store: Store,
    workflow: Workflow,
    platform: JobPlatform,
    log: JobLog,
    outbox: Outbox,
    events: Sequence[Event],
    now: float,
    mapper: Mapper = map,
) -> list[Event]:
    """Do what these events call for: first wake the runs that wait for them. Returns the events to handle again later.

    `mapper` ends the many jobs of a dead execution, in any order or at once.

    Raises:
        StoreUnavailable: throttled for too long; all may be handled again.
    """
    job_events = [event for event in events if isinstance(event, JobEvent)]
    again: list[Event] = [
        *handle_job_events(store, workflow, platform, [event for event in job_events if not event.blocked], now)
    ]
    log.append(job_events)  # before what may take long
    for event in events:
        if isinstance(event, ExecutionEnded):
            try:
                execution_ended(store, platform, event, now, mapper)
            except (PlatformUnavailable, Throttled) as error:
                logger.warning("Not all jobs of execution %s are ended yet: %s", event.name, error)
                again.append(event)
            except Exception:  # the others' events are not to come again for this one
                logger.exception("The end of execution %s could not be handled", event.name)
                again.append(event)
        elif event.blocked:
            subject = {"correlation_id": event.run.run_id} if event.run else {}
            logger.warning(
                "Queue %s is held up by job %s: %s", event.queue, event.job_id, event.seen.reason, extra=subject
            )
            run = store.get_run(event.run) if event.run else None
            notify_job(outbox, Kind.QUEUE_BLOCKED, run, event.job_name, event.at, detail=event.seen.reason)
    return again
