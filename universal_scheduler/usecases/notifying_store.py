"""A store that also notifies people of every job that it records as FAILED or HELD."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from universal_scheduler.domain.errors import StoreUnavailable
from universal_scheduler.domain.messages.notifications import Kind, Notification
from universal_scheduler.domain.runs.model import AuditEntry, JobRun, JobStatus, Observation, Run, RunKey
from universal_scheduler.ports.messages import Outbox
from universal_scheduler.ports.store import Store
from universal_scheduler.usecases.notify import message_bodies

KINDS = {JobStatus.FAILED: Kind.JOB_FAILED, JobStatus.HELD: Kind.JOB_HELD}

logger = logging.getLogger(__name__)


def notifying(store: Store, outbox: Outbox, clock: Callable[[], float]) -> Store:
    """The same store with notifications, for functions that drive runs or act on their jobs."""
    return cast(Store, _NotifyingStore(store, outbox, clock))


class _NotifyingStore:
    """Notifies after a write has succeeded. Where the queue of messages is down, the run goes on without a message."""

    def __init__(self, store: Store, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._store, self._outbox, self._clock = store, outbox, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_jobs(self, run_id: str, jobs: Iterable[JobRun]) -> None:
        made = list(jobs)
        self._store.put_jobs(run_id, made)
        self._notify(run_id, [(job, job.status) for job in made if job.status is JobStatus.HELD])

    def end_jobs(self, run_id: str, ended: Sequence[JobRun], now: float) -> set[str]:
        took = self._store.end_jobs(run_id, ended, now)
        self._notify(run_id, [(job, job.status) for job in ended if job.name in took])
        return took

    def observe_jobs(self, run_id: str, seen: Sequence[tuple[JobRun, Observation]]) -> set[str]:
        took = self._store.observe_jobs(run_id, seen)
        news = [(job, what) for job, what in seen if job.name in took and what.status is not job.status]
        # One that was ended to be held, skipped or moved to another queue has not failed.
        self._notify(run_id, [(job, what.status) for job, what in news if what.started_at or not job.withdrawing])
        return took

    def change_job(self, run_id: str, before: JobRun, after: JobRun) -> bool:
        took = self._store.change_job(run_id, before, after)
        if took and before.withdraw_asked and after.status is JobStatus.HELD:
            self._notify(run_id, [(after, after.status)], f"held {after.mark}")
        return took

    def change_by_verb(self, run: Run, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        took = self._store.change_by_verb(run, before, after, entry)
        if took and after.status is JobStatus.HELD and before.status is not JobStatus.HELD:
            self._notify(run.key.run_id, [(after, after.status)], f"held {entry.mark}")
        return took

    def _notify(self, run_id: str, jobs: Sequence[tuple[JobRun, JobStatus]], detail: str = "") -> None:
        news = [(job, KINDS[status]) for job, status in jobs if status in KINDS]
        run = self._store.get_run(RunKey.of(run_id)) if news else None
        if run is None:
            return
        now, bodies = self._clock(), list[str]()
        for job, kind in news:
            bodies += message_bodies(Notification(kind, run.key, now, job.attempt, job.name, detail), run.document)
        try:
            if bodies:
                self._outbox.put(bodies)
        except StoreUnavailable as error:
            logger.error("no message was queued for %d jobs of %s: %s", len(news), run_id, error)
