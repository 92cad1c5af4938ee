"""Ends a run whose execution has ended in a way that the state machine itself could not record."""

from __future__ import annotations

import json

from universal_scheduler.domain.documents.message import run_named
from universal_scheduler.domain.errors import StaleExecution
from universal_scheduler.domain.events.execution_events import ABORTED, ExecutionEnded
from universal_scheduler.domain.messages.watchdogs import resumes
from universal_scheduler.domain.runs.model import Run, RunKey, RunStatus
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.ports.store import Store
from universal_scheduler.usecases.drive import RunRef, abandon_run
from universal_scheduler.usecases.mapper import Mapper


def execution_ended(
    store: Store, platform: JobPlatform, ended: ExecutionEnded, now: float, mapper: Mapper = map
) -> bool:
    """End the jobs of the run that this execution has driven, and record why it ended. False if there is no such run.

    A run that has ended already, or that another execution drives by now, stays as it is. So does one that is to go on
    after its execution was lost: the watchdogs see to that. An execution that somebody has stopped is not lost.

    Raises:
        PlatformUnavailable, Throttled: some of its jobs have not ended. Try again.
    """
    run = _driven(store, ended)
    if run is None or run.status.ended or run.execution.arn != ended.arn:
        return False
    if ended.status != ABORTED and not run.cancel and resumes(run.document):
        return True
    status = RunStatus.CANCELLED if ended.status == ABORTED else RunStatus.FAILED
    try:
        abandon_run(store, platform, RunRef(run.key, run.generation), ended.reason, now, status, mapper)
    except StaleExecution:
        return False
    return True


def _driven(store: Store, ended: ExecutionEnded) -> Run | None:
    """A restart or a continuation says in its input which run it goes on with; a run's first execution has its name."""
    try:
        schedule_id, restart_of = run_named(json.loads(ended.input))
    except (ValueError, RecursionError):  # no execution with such an input has come as far as a run
        return None
    if schedule_id and restart_of:
        return store.get_run(RunKey(schedule_id, restart_of))
    return store.find_run(ended.name)
