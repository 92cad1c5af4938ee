"""Start a run: from what an execution was given, to a run and its job runs in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from universal_scheduler.domain.document import SINGLE_JOB_KEYS, as_row, blank, parse
from universal_scheduler.domain.errors import (
    DocumentError,
    InvalidSchedule,
    RunNotFound,
    RunStillActive,
    ScheduleNotFound,
    StaleExecution,
)
from universal_scheduler.domain.model import Execution, Job, JobRun, JobStatus, Run, RunKey, RunStatus
from universal_scheduler.domain.names import iso, next_start, start_date_time
from universal_scheduler.domain.planner import again
from universal_scheduler.ports import Store

KEPT = {"SUCCEEDED": JobStatus.SUCCEEDED, "SKIPPED": JobStatus.SKIPPED, "SKIP": JobStatus.SKIPPED}
SKIP_WORD = "PASS"


@dataclass(frozen=True, slots=True)
class Message:
    """What an execution was given: one of the four forms, and what caused it."""

    schedule_id: str = ""
    restart_of: str = ""
    """`startDateTime` of the run to restart; empty for a new run."""
    restart: bool = False
    continue_of: int = 0
    """The generation that this execution goes on for, where a run goes on as a new execution."""
    document: Mapping[str, Any] | None = None
    cause: Mapping[str, Any] | None = None


def read_message(event: Mapping[str, Any]) -> Message:
    """Tell the four forms apart: `{scheduleId}`, the same with RESTART, an inline document, a single job."""
    cause = event.get("cause")
    body = {key: value for key, value in event.items() if key != "cause"}
    inner = body["output"] if isinstance(body.get("output"), Mapping) else body
    restart = str(inner.get("scheduleStatus", "")).strip() == "RESTART"
    start = inner.get("startDateTime")
    known = Message(
        schedule_id=str(inner.get("scheduleId", "")).strip(),
        restart_of="" if blank(start) or not (restart or "continueOf" in inner) else str(start).strip(),
        restart=restart,
        continue_of=int(inner.get("continueOf", 0)),
        cause=cause if isinstance(cause, Mapping) else None,
    )
    inline = "jobList" in inner or body.keys() >= SINGLE_JOB_KEYS
    return replace(known, document=body) if inline else known


def start_run(
    store: Store,
    event: Mapping[str, Any],
    execution: Execution,
    started: str,
    is_running: Callable[[Execution], bool] = lambda _: True,
) -> Run:
    """Make the run that this execution drives, or restart the one it names; the same again where it is tried again.

    `started` is the execution's own start (ISO 8601), from which the run's key is made. `is_running` tells whether an
    execution still goes on: a run whose execution has died (it was stopped, say) can be restarted.

    Raises:
        ScheduleNotFound, RunNotFound, RunStillActive, InvalidSchedule
        StaleExecution: another execution goes on with the run already.
    """
    message = read_message(event)
    if message.continue_of:
        return _continue(store, message, execution)
    if message.restart and message.restart_of:
        restarted = _restart(store, message, execution, is_running)
        if restarted is not None:
            return restarted
    schedule = parse(_document(store, message))
    keep = KEPT if message.restart else {}
    jobs = [_fresh(index, job, keep) for index, job in enumerate(schedule.jobs)]
    run = Run(
        key=RunKey(schedule.schedule_id, start_date_time(started, execution.arn)),
        status=RunStatus.RUNNING,
        execution=execution,
        wait_seconds=schedule.wait_seconds,
        cause=message.cause or {"kind": "execution"},
        document=schedule.document,
    )
    while not store.create_run(run):
        run = replace(run, key=replace(run.key, start=next_start(run.key.start)))
    store.put_jobs(run.key.run_id, jobs)
    return run


def _document(store: Store, message: Message) -> Mapping[str, Any]:
    if message.document is not None:
        return message.document
    if not message.schedule_id:
        expected = "a scheduleId, a document with its jobList, or a job with jobName, jobDefinition and jobQueue"
        raise InvalidSchedule([DocumentError("$", "a message that does not say what to run", expected)])
    row = store.get_schedule(message.schedule_id)
    if row is None:
        raise ScheduleNotFound(message.schedule_id)
    return row


def _continue(store: Store, message: Message, execution: Execution) -> Run:
    """Take the run over from the execution before, jobs and all. It keeps the name that it was started under."""
    key = RunKey(message.schedule_id, message.restart_of)
    run = store.get_run(key)
    if run is None:
        raise RunNotFound(key.schedule_id, key.start)
    if run.execution.arn == execution.arn:
        return run  # this very take-over, tried again
    taken = replace(run, execution=replace(run.execution, arn=execution.arn), generation=message.continue_of + 1)
    if run.status.ended or not store.restart_run(taken, of_generation=message.continue_of):
        raise StaleExecution(key.run_id, message.continue_of + 1)
    return taken


def _restart(
    store: Store, message: Message, execution: Execution, is_running: Callable[[Execution], bool]
) -> Run | None:
    """None where there is no such run, but a document beside the message tells all that is needed to make one."""
    key = RunKey(message.schedule_id, message.restart_of)
    run = store.get_run(key)
    if run is None:
        if message.document is not None:
            return None
        raise RunNotFound(key.schedule_id, key.start)
    jobs = _remaining(store, run, message)
    if run.execution != execution:
        if not run.status.ended and is_running(run.execution):
            raise RunStillActive(key.schedule_id, key.start)
        run = replace(
            run,
            status=RunStatus.RUNNING,
            execution=execution,
            generation=run.generation + 1,
            cause=message.cause or {"kind": "restart"},
            reason="",
            ended_at="",
        )
        if not store.restart_run(run, of_generation=run.generation - 1):
            raise RunStillActive(key.schedule_id, key.start)
    # Also where this very restart is tried again: nothing is submitted before this function has succeeded.
    store.put_jobs(key.run_id, jobs)
    return run


def _remaining(store: Store, run: Run, message: Message) -> list[JobRun]:
    """The run's jobs as a restart takes them: done ones stay, PASS written by an operator skips, the rest waits.

    PASS is looked for in the history row's jobList, and in that of the message where it has one.
    """
    given = (message.document or {}).get("jobList", [])
    recorded = {entry["jobName"]: entry for entry in [*store.recorded_jobs(run.key), *given] if "jobName" in entry}
    known = store.list_jobs(run.key.run_id)
    if not known:  # a history row that the scheduler did not write: the document in it is all there is
        row = {"scheduleId": run.key.schedule_id, **run.document, "jobList": list(recorded.values())}
        return [_fresh(index, job, KEPT) for index, job in enumerate(parse(row).jobs)]
    return [_again(job, recorded.get(job.name, {})) for job in known]


def _again(job: JobRun, recorded: Mapping[str, Any]) -> JobRun:
    word = str(recorded.get("jobStatus", "")).strip().upper()
    if job.status.satisfies and not job.not_taken:
        return job
    if job.status.live or job.status is JobStatus.SUBMITTING:
        return job  # its execution died and it did not: it is watched again
    if word == SKIP_WORD:
        return replace(job, status=JobStatus.SKIPPED, not_taken=False, reason="PASS in the history row")
    return replace(again(job), attempt=job.attempt + 1)


def _fresh(index: int, job: Job, keep: Mapping[str, JobStatus]) -> JobRun:
    word = job.recorded_status.upper()
    fresh = JobRun(job, index, JobStatus.HELD if job.hold else JobStatus.WAITING)
    if word == SKIP_WORD:
        return replace(fresh, status=JobStatus.SKIPPED, reason="PASS in the document")
    if word in keep:
        return replace(fresh, status=keep[word], job_id=job.recorded_id, reason="done before the restart")
    return fresh


def record_refusal(
    store: Store, event: Mapping[str, Any], execution: Execution, started: str, error: str, now: float
) -> None:
    """Keep a run that could not be started as a FAILED one, so that it is seen where people look for runs.

    A message that names no schedule leaves nothing: the execution itself has the error.
    """
    message = read_message(event)
    document = as_row(message.document) if message.document is not None else {}
    schedule_id = document.get("scheduleId") or message.schedule_id
    if not isinstance(schedule_id, str) or not schedule_id:
        return
    cause = dict(message.cause or {"kind": "execution"})
    run = Run(
        key=RunKey(schedule_id, start_date_time(started, execution.arn)),
        status=RunStatus.RUNNING,
        execution=execution,
        cause=cause | ({"restartOf": message.restart_of} if message.restart_of else {}),
    )
    if store.create_run(run):
        store.finish_run(run, RunStatus.FAILED, error, iso(now), [])
