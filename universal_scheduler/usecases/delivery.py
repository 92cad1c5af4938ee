"""Delivers queued messages one by one. A message says what the run, its jobs and their logs say when it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from universal_scheduler.domain.errors import DeliveryFailed, DeliveryRefused, ScheduleNotFound
from universal_scheduler.domain.messages.messages import (
    JOBS_SHOWN,
    LINES_SHOWN,
    TEXT_LIMIT,
    JobReport,
    Message,
    failed_jobs,
    log_link,
    printable,
    run_link,
    utc,
)
from universal_scheduler.domain.messages.notifications import (
    Channel,
    Delivery,
    Kind,
    Notification,
    all_channels,
    backoff,
    from_body,
)
from universal_scheduler.domain.runs.model import JobRun, RunKey, RunStatus
from universal_scheduler.ports.jobs import Jobs
from universal_scheduler.ports.messages import LogTails, Notifier, Outbox
from universal_scheduler.ports.store import Store

STATUSES = {
    Kind.RUN_STARTED: RunStatus.RUNNING,
    Kind.RUN_SUCCEEDED: RunStatus.SUCCEEDED,
    Kind.RUN_FAILED: RunStatus.FAILED,
}


def try_channels(
    store: Store, logs: LogTails, notifier: Notifier, schedule_id: str, *, now: float, api: str = ""
) -> Iterator[tuple[Channel, Sequence[Kind], str]]:
    """Send a test message to every channel of a schedule.

    Returns: for each channel the kinds of messages that it gets, and why the test failed; an empty text if it did not.

    Raises:
        ScheduleNotFound: there is no such schedule.
    """
    row = store.get_schedule(schedule_id)
    if row is None:
        raise ScheduleNotFound(schedule_id)
    newest = store.list_runs(schedule_id, 1)
    key = newest[0].key if newest else RunKey(schedule_id, "")
    for channel, kinds in all_channels(row).items():
        detail = f"Somebody is testing this channel. It gets messages of the kinds {', '.join(kinds)}."
        notification = Notification(Kind.TEST, key, now, int(now), detail=detail)
        problem = ""
        try:
            deliver(store, logs, notifier, Delivery(notification, channel), now=now, api=api)
        except (DeliveryRefused, DeliveryFailed) as failure:
            problem = str(failure)
        yield channel, kinds, problem


def deliver(
    store: Store,
    logs: LogTails,
    notifier: Notifier,
    delivery: Delivery,
    *,
    now: float,
    api: str = "",
) -> None:
    """Send one message: read the present state of its run and its jobs, and hand the message to the channel.

    `now` is in epoch seconds. `api` is the base URL of the REST API if people reach it without a signature; links then
    lead there instead of to the AWS console.

    Raises:
        DeliveryRefused, DeliveryFailed: as `Notifier.send`.
    """
    notifier.send(delivery.channel, compose(store, logs, delivery, api), now)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one delivery."""

    again: bool = False
    """Whether the queue keeps the message for another try."""
    problem: str = ""
    """Why it was not delivered; empty if it was. It contains nothing secret."""


def deliver_received(
    outbox: Outbox,
    send: Callable[[Delivery], None],
    body: str,
    receipt: str,
    attempt: int,
    *,
    chance: float,
    first_pause: float,
) -> Outcome:
    """Deliver a message that the queue has handed out for the `attempt`-th time.

    After a failure, the message comes again after `first_pause` seconds, doubled with each attempt; `chance` in [0, 1)
    shortens the pause by up to a half. A message that can never be delivered goes to the dead letters at once.
    """
    try:
        send(from_body(body))
    except (DeliveryRefused, ValueError) as refusal:
        outbox.dead_letter(body, str(refusal))
        return Outcome(problem=f"given up: {refusal}")
    except DeliveryFailed as failure:
        pause = round(backoff(attempt, chance, first=first_pause, at_least=failure.retry_after))
        outbox.delay(receipt, pause)
        return Outcome(again=True, problem=f"try {attempt}, again in {pause} s: {failure}")
    return Outcome()


def compose(store: Store, logs: LogTails, delivery: Delivery, api: str = "") -> Message:
    """The message for a notification, from the present state of its run and jobs."""
    notification = delivery.notification
    run = store.get_run(notification.key) if notification.key.start else None
    row: Mapping[str, Any] = run.document if run else store.get_schedule(notification.key.schedule_id) or {}
    arn = run.execution.arn if run else ""
    jobs = _jobs(store, notification)
    status = STATUSES.get(notification.kind) or (run.status if run else "")
    # It may have been restarted since: what is told is how it was.
    ended = run is not None and run.status == status and run.status.ended
    return Message(
        id=delivery.id,
        kind=notification.kind,
        key=notification.key,
        at=utc(notification.at),
        name=str(row.get("scheduleName", "")),
        status=str(status),
        reason=printable(run.reason, TEXT_LIMIT) if run and ended else "",
        ended_at=run.ended_at if run and ended else "",
        execution_arn=arn,
        job_name=notification.job_name,
        detail=printable(notification.detail, TEXT_LIMIT),
        jobs=tuple(_report(logs, job, arn, api) for job in jobs[:JOBS_SHOWN]),
        more_jobs=max(0, len(jobs) - JOBS_SHOWN),
        link=run_link(arn, run.execution.name if run else "", api),
    )


def _jobs(store: Jobs, notification: Notification) -> list[JobRun]:
    if notification.job_name:
        return store.get_jobs(notification.key.run_id, [notification.job_name])
    return failed_jobs(store.list_jobs(notification.key.run_id)) if notification.kind is Kind.RUN_FAILED else []


def _report(logs: LogTails, job: JobRun, execution_arn: str, api: str) -> JobReport:
    tail = logs.tail(job, LINES_SHOWN)
    return JobReport(
        name=job.name,
        status=str(job.status),
        reason=printable(job.reason, TEXT_LIMIT),
        exit_code=job.exit_code,
        log_lines=tuple(printable(line) for line in tail.lines),
        log_link="" if api else log_link(execution_arn, tail.group, tail.stream),
    )
