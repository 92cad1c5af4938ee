"""The watchdogs: they look at every run that is due, send one message for each breach, and repair what nobody else
will."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from universal_scheduler.domain.errors import SweepFailed
from universal_scheduler.domain.messages.notifications import Kind, Notification
from universal_scheduler.domain.messages.watchdogs import (
    LOOK_SECONDS,
    LOST_AFTER_SECONDS,
    RESUMED_AT_MOST,
    WATCHDOGS,
    Breach,
    Seen,
    is_resumed,
    learned,
    lost,
    queue_limit,
    queue_seconds,
    queued_since,
    resumed,
    stuck,
    to_notify,
)
from universal_scheduler.domain.names import execution_name
from universal_scheduler.domain.runs.model import JobRun, Run, RunKey, RunStatus
from universal_scheduler.ports.job_log import JobLog
from universal_scheduler.ports.messages import Outbox
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.watch import Watch
from universal_scheduler.ports.workflow import Stopped, Workflow
from universal_scheduler.usecases.describe import describe_all
from universal_scheduler.usecases.drive import RunRef, abandon_run
from universal_scheduler.usecases.notify import notify
from universal_scheduler.usecases.wake import signal_change

NOTIFICATION_SECONDS = 300.0
"""If a notification was begun and not finished for so long, whoever began it is dead. A sweep takes less time."""
MOVES_LIMIT = 1000
"""How many jobs one look moves at most. Each move is a write."""
ENOUGH_SECONDS = 20.0
"""If less time is left, no further run is looked at."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watchdogs:
    """The ports and settings of the watchdogs."""

    store: Store
    watch: Watch
    platform: JobPlatform
    workflow: Workflow
    log: JobLog
    outbox: Outbox
    clock: Callable[[], float]
    max_queue_seconds: float
    """How long a job may wait in its queue, if neither the job nor its schedule says it."""


@dataclass(slots=True)
class Swept:
    """The result of a sweep."""

    looked: int = 0
    """How many runs were looked at."""
    kinds: Counter[str] = field(default_factory=Counter)
    """How many messages of each kind were queued."""
    queue_seconds: list[float] = field(default_factory=list)
    """How long each job waited in its queue, for all jobs of the runs that have ended."""

    @property
    def notified(self) -> int:
        """How many messages were queued."""
        return self.kinds.total()


def sweep(dogs: Watchdogs, time_left: Callable[[], float]) -> Swept:
    """Look at all runs that are due. `time_left` answers how many seconds are left.

    If the look at one run fails, the others are looked at all the same, and that run stays due.

    Raises:
        SweepFailed: the look at some runs failed. The log says why.
    """
    swept = Swept()
    failed: list[RunKey] = []
    for key in dogs.watch.due_runs(dogs.clock()):
        if time_left() < ENOUGH_SECONDS:
            break
        try:
            look(dogs, key, swept)
        except Exception:
            logger.exception("Run could not be looked at", extra={"correlation_id": key.run_id})
            failed.append(key)
        swept.looked += 1
    if failed:
        raise SweepFailed(len(failed), failed[0].run_id)
    return swept


def look(dogs: Watchdogs, key: RunKey, swept: Swept) -> None:
    """Look at one run. If the run has ended, this is the last look."""
    run = dogs.store.get_run(key)
    if run is None:
        return
    now, jobs = dogs.clock(), dogs.store.list_jobs(key.run_id)
    samples, notified = dogs.watch.samples(key.schedule_id), dogs.watch.notified(key.run_id)
    found = [watchdog(Seen(run, jobs, samples, now)) for watchdog in WATCHDOGS]
    due = [moment for each in found for moment in each.due]
    waiting, moves = _stuck(dogs, run, jobs, now, due)
    gone = _lost(dogs, run, now)
    goes_on = gone is not None and not gone.aborted and is_resumed(run, notified)
    about_execution = [resumed(run) if goes_on else lost(run)] if gone else []
    breaches = [*(breach for each in found for breach in each.breaches), *waiting, *about_execution]
    mine = to_notify(breaches, notified)
    taken = [breach for breach in mine if _notify(dogs, run, breach, now)]
    swept.kinds.update(str(breach.kind) for breach in taken)
    if len(taken) < len(mine):  # somebody else has begun with it: what follows from it comes when it is told
        dogs.watch.schedule_check(key, now)
        return
    if goes_on and not _resume(dogs, run, now):
        goes_on = False
        swept.kinds.update([str(Kind.RUN_LOST)] * _notify(dogs, run, lost(run), now))
    if gone and not goes_on:
        status = RunStatus.CANCELLED if run.cancel or gone.aborted else RunStatus.FAILED
        ref = RunRef(key, run.generation)
        abandon_run(dogs.store, dogs.platform, ref, "its execution has stopped without a result", now, status)
    _mend(dogs, run, moves[:MOVES_LIMIT])
    due += [now] * (len(moves) > MOVES_LIMIT)
    if not run.status.ended:
        dogs.watch.schedule_check(key, min([now + LOOK_SECONDS, *due]))
        return
    if run.status is RunStatus.SUCCEEDED:
        dogs.watch.keep_samples(key.schedule_id, learned(samples, jobs))
    dogs.watch.unwatch(key)
    swept.queue_seconds += queue_seconds(jobs)


def _notify(dogs: Watchdogs, run: Run, breach: Breach, now: float) -> bool:
    """Announce it, unless somebody else has begun to.

    First that we begin, then the messages, then that it is done: whoever dies between leaves it to a later sweep, whose
    messages have the same ids.
    """
    run_id = run.key.run_id
    if not dogs.watch.begin_notification(run_id, breach.name, now, now - NOTIFICATION_SECONDS):
        return False
    subject = {"correlation_id": run_id, "execution": run.execution.name}
    logger.warning("%s %s: %s", breach.kind, breach.job_name, breach.detail, extra=subject)
    about = (breach.kind, run.key, now, breach.occurrence, breach.job_name, breach.detail, breach.what)
    notify(dogs.outbox, Notification(*about), run.document)
    dogs.watch.finish_notification(run_id, breach.name)
    return True


def _mend(dogs: Watchdogs, run: Run, moves: Sequence[JobRun]) -> None:
    """Ask the run's execution to move jobs, and wake it where whoever should have has not."""
    run_id = run.key.run_id
    if moved := [job.name for job in moves if dogs.store.change_job(run_id, replace(job, move_to=""), job)]:
        signal_change(dogs.store, dogs.workflow, run_id, urgent=True, names=moved)
    if token := dogs.watch.unanswered_token(run_id):
        logger.warning("Run should have been woken, and is now", extra={"correlation_id": run_id})
        dogs.workflow.wake(token)
        dogs.store.clear_token(run_id, token)


def _lost(dogs: Watchdogs, run: Run, now: float) -> Stopped | None:
    """How the execution of a run has stopped without a result; None if it has not."""
    if run.status.ended:
        return None
    stopped = dogs.workflow.stopped(run.execution)
    if stopped is None or now - stopped.at < LOST_AFTER_SECONDS:
        return None
    return stopped if dogs.store.get_run(run.key) == run else None  # it has ended, or gone on, since it was read


def _resume(dogs: Watchdogs, run: Run, now: float) -> bool:
    """Start an execution that takes the run over, unless one is about to. False if each that was started is lost, too,
    before it took the run over."""
    key, generation = run.key, run.generation
    message = {"scheduleId": key.schedule_id, "startDateTime": key.start, "continueOf": generation}
    for attempt in range(RESUMED_AT_MOST):
        name = execution_name("resume", key.schedule_id, key.run_id, str(generation + 1), str(attempt))
        execution, new = dogs.workflow.start(name, message)
        stopped = None if new else dogs.workflow.stopped(execution)
        if stopped is None or now - stopped.at < LOST_AFTER_SECONDS:
            logger.info("Run goes on in execution %s", name, extra={"correlation_id": key.run_id, "execution": name})
            return True
    return False


def _stuck(
    dogs: Watchdogs, run: Run, jobs: Sequence[JobRun], now: float, due: list[float]
) -> tuple[list[Breach], list[JobRun]]:
    """Jobs that Batch itself says still wait in their queue, and those of them that are to be moved.

    Adds to `due` when others will have waited for too long.
    """
    known = {job.name: job for job in jobs}
    waiting: dict[str, tuple[JobRun, float]] = {}
    for job in () if run.status.ended else jobs:
        since = queued_since(job, known)
        if since is not None:
            limit = since + queue_limit(run, job, dogs.max_queue_seconds)
            if now >= limit:
                waiting[job.job_id] = (job, since)
            else:
                due.append(limit)
    found: list[Breach] = []
    moves: list[JobRun] = []
    for seen in describe_all(dogs.platform, list(waiting)):
        job, since = waiting[seen.job_id]
        if seen.in_queue:
            moved = replace(job, move_to=job.job.fallback_queue if job.job.fallback_queue != job.job.queue else "")
            found.append(stuck(job, since, seen.reason or _blocked(dogs.log, seen.job_id), moved.move_to))
            moves += [moved] if moved.move_to and not job.withdrawing and not job.cancelling else []
    return found, moves


def _blocked(log: JobLog, job_id: str) -> str:
    """Why the job holds up its queue, where Batch has told so by an event."""
    return next((event.seen.reason for event in reversed(log.history(job_id)) if event.blocked), "")
