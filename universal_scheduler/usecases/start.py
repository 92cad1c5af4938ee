"""Starts a run: from the input of an execution to a run and its jobs in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from universal_scheduler.domain.documents.message import Message, read_message, run_named
from universal_scheduler.domain.documents.parameters import with_parameters
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.documents.triggers import calendar_given
from universal_scheduler.domain.errors import (
    IllegalVerb,
    InvalidRow,
    InvalidSchedule,
    RunNotFound,
    RunStillActive,
    ScheduleNotFound,
    StaleExecution,
)
from universal_scheduler.domain.names import iso, next_start, start_date_time
from universal_scheduler.domain.runs.model import (
    AuditEntry,
    Execution,
    Job,
    JobRun,
    JobStatus,
    Mark,
    Run,
    RunKey,
    RunStatus,
    Schedule,
    Verb,
)
from universal_scheduler.domain.runs.references import business_day_offsets
from universal_scheduler.domain.runs.restart import Variant, fresh, redefined, remaining, same_array
from universal_scheduler.domain.runs.run_dates import business_date
from universal_scheduler.ports.calendars import Calendars
from universal_scheduler.ports.operators import Operators
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.ports.schedules import Schedules
from universal_scheduler.ports.store import Store
from universal_scheduler.usecases.places import take_place

KEPT = {"SUCCEEDED": JobStatus.SUCCEEDED, "SKIPPED": JobStatus.SKIPPED, "SKIP": JobStatus.SKIPPED}
SKIP_WORD = "PASS"
OF_THE_FIRST_START = ("chain", "scheduledTime", "businessDate", "businessDays", "trigger")
"""What a restarted run keeps of the cause of its first start: what led to it, and what it is for."""
TRIGGERS = frozenset({"row", "upstream", "time"})
"""Causes for which somebody has already checked that the schedule is not paused. It saves a read."""


def start_run(
    store: Store,
    event: object,
    execution: Execution,
    started: str,
    is_running: Callable[[Execution], bool] = lambda _: True,
    platform: JobPlatform | None = None,
) -> Run:
    """Make the run of this execution, or restart the run that the input names. A second call gives the same run.

    `started` is the start of the execution (ISO 8601); it makes the key of the run. `is_running` says whether an
    execution goes on: a run whose execution is dead can be restarted. `platform` knows which children of an array have
    succeeded, so that a restart leaves them out.

    Raises:
        PlatformUnavailable: the platform did not answer. Try again later.
        ScheduleNotFound, RunNotFound, RunStillActive, InvalidSchedule, JobNotFound, IllegalVerb: the input is refused.
        StaleExecution: another execution drives the run already.
    """
    message = read_message(event)
    if message.continue_of:
        return _continue(store, message, execution)
    if message.restart:
        restarted = _restart(store, message, execution, started, is_running, platform)
        if restarted is not None:
            return restarted
    schedule = message.document or parse(_row(store, message.schedule_id))
    keep = KEPT if message.restart else {}
    jobs = [_fresh(index, job, keep) for index, job in enumerate(schedule.jobs)]
    run = Run(
        key=RunKey(schedule.schedule_id, start_date_time(started, execution.arn)),
        status=RunStatus.RUNNING,
        execution=execution,
        wait_seconds=schedule.wait_seconds,
        cause=_with_pause(store, schedule.schedule_id, message.cause or {"kind": "execution"}),
        document=with_parameters(schedule.document, message.parameters),
        preparing=True,
    )
    run = _with_business_days(store, run)
    while not store.create_run(run):
        run = replace(run, key=replace(run.key, start=next_start(run.key.start)))
    take_place(store, run, _epoch(started))
    store.put_jobs(run.key.run_id, jobs)
    store.finish_preparing(run)  # until here, where all may be written once more, no operator acts on the run
    return replace(run, preparing=False)


def check_start(store: Store, given: object) -> Message:
    """Check the input of an execution as `start_run` would, as far as the rows in the store can tell. Answers the
    message.

    Raises:
        InvalidSchedule: the message, the document in it, or a parameter is wrong.
        InvalidRow: the row of the stored schedule is wrong.
        ScheduleNotFound, RunNotFound: there is no such row.
    """
    message = read_message(given)
    if message.restart:
        run = store.get_run(RunKey(message.schedule_id, message.restart_of))
        if run is not None:
            newest = _stored(store, message.schedule_id) if message.variant.newest else None
            _restarted_document(run, message.variant, newest)
        elif message.document is None:
            raise RunNotFound(message.schedule_id, message.restart_of)
    elif message.document is None:
        with_parameters(_stored(store, message.schedule_id).document, message.parameters)
    return message


def _stored(store: Schedules, schedule_id: str) -> Schedule:
    try:
        return parse(_row(store, schedule_id))
    except InvalidSchedule as invalid:
        raise InvalidRow(schedule_id, invalid.errors) from None


def _with_pause(store: Operators, schedule_id: str, cause: Mapping[str, Any]) -> Mapping[str, Any]:
    """The cause, with who paused the schedule: no trigger starts it then, but people still can."""
    paused = None if cause.get("kind") in TRIGGERS else store.paused(schedule_id)
    return cause if paused is None else {**cause, "schedulePaused": str(paused)}


def _with_business_days(store: Calendars, run: Run) -> Run:
    """The run with the business days that its document asks for in its cause, so that they stay what they are now.

    The document has its jobs and triggers where the run starts, or takes a newer definition. The calendar is that of
    the trigger that fired, else that of the first trigger that has one.
    """
    offsets = business_day_offsets(run.document.get("jobList", ()))
    if not offsets:
        return run
    from universal_scheduler.domain.documents.calendars import calendars_of, read_calendar  # not where no day is asked
    from universal_scheduler.domain.time.calendars import BeyondHorizon, Calendar

    given = calendar_given(run.document, str(run.cause.get("trigger", "")))
    if isinstance(given, str):
        calendar = calendars_of(store.get_calendars([given])).get(given)
    else:
        calendar = Calendar() if given is None else read_calendar(given)
    found: dict[str, str] = {}
    if calendar is not None:
        day = business_date(run)
        for offset in sorted(offsets):
            with suppress(BeyondHorizon, OverflowError):  # then the reference has no value
                found[f"{offset:+d}"] = calendar.add_business_days(day, offset).isoformat()
    return replace(run, cause={**run.cause, "businessDays": found})


def _row(store: Schedules, schedule_id: str) -> Mapping[str, Any]:
    row = store.get_schedule(schedule_id)
    if row is None:
        raise ScheduleNotFound(schedule_id)
    return row


def _continue(store: Store, message: Message, execution: Execution) -> Run:
    """Take the run over from the execution before, jobs and all. It keeps the name that it was started under."""
    key = RunKey(message.schedule_id, message.restart_of)
    while True:  # again where an operator acts on the run meanwhile
        run = store.get_run(key)
        if run is None:
            raise RunNotFound(key.schedule_id, key.start)
        if run.execution.arn == execution.arn:
            return run  # this very take-over, tried again
        if run.status.ended or run.generation != message.continue_of:
            raise StaleExecution(key.run_id, message.continue_of + 1)
        taken = replace(run, execution=replace(run.execution, arn=execution.arn), generation=run.generation + 1)
        if store.restart_run(taken, run):
            return taken


def _restart(
    store: Store,
    message: Message,
    execution: Execution,
    started: str,
    is_running: Callable[[Execution], bool],
    platform: JobPlatform | None,
) -> Run | None:
    """None where there is no such run, but a document beside the message tells all that is needed to make one."""
    key = RunKey(message.schedule_id, message.restart_of)
    variant = message.variant
    while True:
        run = store.get_run(key)
        if run is None:
            if message.document is not None:
                return None
            raise RunNotFound(key.schedule_id, key.start)
        ours = run.execution == execution
        if ours and not run.preparing:
            return run  # this very restart, tried again after it was done
        if not ours and not run.status.ended and is_running(run.execution):
            raise RunStillActive(key.schedule_id, key.start)
        if not ours and message.of_generation not in (None, run.generation):
            raise IllegalVerb("restart", f"the run '{key.start}'", "it was restarted by somebody else meanwhile")
        newest = parse(_row(store, key.schedule_id)) if variant.newest else None
        document = _restarted_document(run, variant, newest)
        cause = _with_pause(store, key.schedule_id, message.cause or {"kind": "restart"})
        mark = _mark(variant.verb, message.cause or {}, _epoch(started))
        known = store.list_jobs(key.run_id)
        jobs = _remaining(store, platform, run, known, message, variant, newest, mark)
        wait_seconds = run.wait_seconds if newest is None else newest.wait_seconds
        restarted = (
            run if ours else _with_business_days(store, _restarted(run, execution, cause, document, wait_seconds))
        )
        if ours or store.restart_run(restarted, run, _entry(run, variant, mark)):
            break
    take_place(store, restarted, _epoch(started))
    # Nothing is submitted, and no verb comes between, before this function has succeeded.
    untouched = set(map(id, known))  # those that still run go on: what is heard of them meanwhile must stay
    store.put_jobs(key.run_id, [job for job in jobs if id(job) not in untouched])
    if newest is not None:
        kept = {job.name for job in jobs}
        store.remove_jobs(key.run_id, [job.name for job in store.list_jobs(key.run_id) if job.name not in kept])
    store.finish_preparing(restarted)
    return replace(restarted, preparing=False)


def _restarted_document(run: Run, variant: Variant, newest: Schedule | None) -> Mapping[str, Any]:
    """The run's document, or the schedule's newest; the run's parameters keep their values where nothing else is said.

    Raises:
        InvalidSchedule: there is no such parameter.
    """
    definition = newest or run
    kept = {name: value for name, value in run.parameters.items() if name in definition.parameters}
    return with_parameters(definition.document, {**kept, **variant.parameters})


def _restarted(
    run: Run, execution: Execution, cause: Mapping[str, Any], document: Mapping[str, Any], wait_seconds: int
) -> Run:
    kept = {key: run.cause[key] for key in OF_THE_FIRST_START if key in run.cause}
    return replace(
        run,
        status=RunStatus.RUNNING,
        execution=execution,
        generation=run.generation + 1,
        wait_seconds=wait_seconds,
        cause={**cause, **kept},
        reason="",
        ended_at="",
        document=document,
        cancel=None,
        verb_count=run.verb_count + 1,
        preparing=True,
    )


def _mark(verb: Verb, cause: Mapping[str, Any], now: float) -> Mark:
    """Who asked for it: whom the cause names, else from where it came."""
    return Mark(verb, str(cause.get("by") or cause.get("kind") or "an execution"), now, str(cause.get("reason", "")))


def _entry(run: Run, variant: Variant, mark: Mark) -> AuditEntry:
    named = ("only", "skip", "forceOk") if variant.only == () else ("only",)
    return AuditEntry(
        mark,
        job=", ".join(variant.named),
        before=str(run.status),
        after=str(RunStatus.RUNNING),
        given={key: value for key, value in variant.as_message().items() if key not in named},
    )


def _epoch(started: str) -> float:
    return datetime.fromisoformat(started.replace("Z", "+00:00")).timestamp()


def _remaining(
    store: Store,
    platform: JobPlatform | None,
    run: Run,
    known: Sequence[JobRun],
    message: Message,
    variant: Variant,
    newest: Schedule | None,
    mark: Mark,
) -> Sequence[JobRun]:
    """The run's jobs as the restart takes them.

    PASS is looked for in the history row's jobList, and in that of the message where it has one.
    """
    given = message.document.document["jobList"] if message.document is not None else []
    recorded = {entry["jobName"]: entry for entry in [*store.recorded_jobs(run.key), *given] if "jobName" in entry}
    if not known:  # a history row that the scheduler did not write: the document in it is all there is
        row = {"scheduleId": run.key.schedule_id, **run.document, "jobList": list(recorded.values())}
        known = [_fresh(index, job, KEPT) for index, job in enumerate(parse(row).jobs)]
        if variant == Variant():
            return known
    before = {job.name: job.job for job in known}
    if newest is not None:
        known = redefined(known, newest.jobs)
    kept = [job for job in known if job.name in before and same_array(before[job.name], job.job)]
    succeeded = _succeeded_children(platform, kept) if variant.goes_on else {}
    passed = {name for name, entry in recorded.items() if _says_pass(entry)}
    return remaining(known, variant, mark, passed, succeeded)


def _succeeded_children(platform: JobPlatform | None, jobs: Sequence[JobRun]) -> dict[str, list[int]]:
    """Of each array that ended without success and that the platform still knows: which children succeeded."""
    found = {}
    for job in jobs:
        if platform is None or not (job.job.is_array and job.job_id) or job.status.satisfies or not job.status.ended:
            continue
        children = platform.children(job.job_id, JobStatus.SUCCEEDED)
        if children is not None:
            found[job.name] = [child.index for child in children]
    return found


def _says_pass(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("jobStatus", "")).strip().upper() == SKIP_WORD


def _fresh(index: int, job: Job, keep: Mapping[str, JobStatus]) -> JobRun:
    word = job.recorded_status.upper()
    made = fresh(job, index)
    if word == SKIP_WORD:
        return replace(made, status=JobStatus.SKIPPED, reason="PASS in the document")
    if word in keep and not job.final:
        return replace(made, status=keep[word], job_id=job.recorded_id, reason="done before the restart")
    return made


def record_refusal(store: Store, event: object, execution: Execution, started: str, error: str, now: float) -> None:
    """Record a run that could not start as FAILED, so that people find it where they look for runs.

    If the input names no schedule, nothing is recorded: only the execution has the error.
    """
    schedule_id, restart_of = run_named(event)
    if not schedule_id:
        return
    try:
        cause = dict(read_message(event).cause or {})
    except InvalidSchedule:
        cause = {}
    run = Run(
        key=RunKey(schedule_id, start_date_time(started, execution.arn)),
        status=RunStatus.RUNNING,
        execution=execution,
        cause={"kind": "execution"} | cause | ({"restartOf": restart_of} if restart_of else {}),
    )
    if store.create_run(run):
        store.finish_run(run, RunStatus.FAILED, error, iso(now), [])
