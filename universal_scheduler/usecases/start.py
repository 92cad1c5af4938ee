"""Start a run: from what an execution was given, to a run and its job runs in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from universal_scheduler.domain.documents.parameters import with_parameters
from universal_scheduler.domain.documents.parse import SINGLE_JOB_KEYS, as_row, parse
from universal_scheduler.domain.documents.values import blank
from universal_scheduler.domain.errors import (
    DocumentError,
    IllegalVerb,
    InvalidSchedule,
    RunNotFound,
    RunStillActive,
    ScheduleNotFound,
    StaleExecution,
)
from universal_scheduler.domain.model import (
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
from universal_scheduler.domain.names import iso, next_start, start_date_time
from universal_scheduler.domain.restart import Variant, fresh, read_variant, redefined, remaining, same_array
from universal_scheduler.ports import JobPlatform, Store

KEPT = {"SUCCEEDED": JobStatus.SUCCEEDED, "SKIPPED": JobStatus.SKIPPED, "SKIP": JobStatus.SKIPPED}
SKIP_WORD = "PASS"
TRIGGERS = frozenset({"row", "upstream"})
"""Kinds of causes that look themselves whether the schedule is paused, and start nothing then."""


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
    of_generation: int | None = None
    """The generation that a restart was meant for; None takes any."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The message itself, for the keys of a restart's variant."""

    @property
    def parameters(self) -> Any:
        """What a run is given over its schedule's defaults; a document that is sent along has its own."""
        return {} if self.document is not None else self.given.get("parameters", {})


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
        continue_of=_whole(inner, "continueOf") or 0,
        cause=cause if isinstance(cause, Mapping) else None,
        of_generation=_whole(inner, "ofGeneration"),
        given=inner,
    )
    inline = "jobList" in inner or body.keys() >= SINGLE_JOB_KEYS
    return replace(known, document=body) if inline else known


def _whole(inner: Mapping[str, Any], key: str) -> int | None:
    """The number that only the scheduler itself puts there; what is none is nothing."""
    try:
        return int(inner[key])
    except (KeyError, TypeError, ValueError):
        return None


def start_run(
    store: Store,
    event: Mapping[str, Any],
    execution: Execution,
    started: str,
    is_running: Callable[[Execution], bool] = lambda _: True,
    platform: JobPlatform | None = None,
) -> Run:
    """Make the run that this execution drives, or restart the one it names; the same again where it is tried again.

    `started` is the execution's own start (ISO 8601), from which the run's key is made. `is_running` tells whether an
    execution still goes on: a run whose execution has died (it was stopped, say) can be restarted. `platform` knows
    which children of an array succeeded, so that a restart leaves them out.

    Raises:
        PlatformUnavailable: it does not answer; try again later.
        ScheduleNotFound, RunNotFound, RunStillActive, InvalidSchedule, JobNotFound, IllegalVerb
        StaleExecution: another execution goes on with the run already.
    """
    message = read_message(event)
    if message.continue_of:
        return _continue(store, message, execution)
    if message.restart and message.restart_of:
        restarted = _restart(store, message, execution, started, is_running, platform)
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
        cause=_told_of_pause(store, schedule.schedule_id, message.cause or {"kind": "execution"}),
        document=with_parameters(schedule.document, message.parameters),
        restarting=True,
    )
    while not store.create_run(run):
        run = replace(run, key=replace(run.key, start=next_start(run.key.start)))
    store.put_jobs(run.key.run_id, jobs)
    store.restart_done(run)  # until here, where all may be written once more, no operator acts on the run
    return replace(run, restarting=False)


def _told_of_pause(store: Store, schedule_id: str, cause: Mapping[str, Any]) -> Mapping[str, Any]:
    """The cause, with who paused the schedule: no trigger starts it then, but people still can."""
    paused = None if cause.get("kind") in TRIGGERS else store.paused(schedule_id)
    return cause if paused is None else {**cause, "schedulePaused": str(paused)}


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
    variant = read_variant(message.given)
    while True:
        run = store.get_run(key)
        if run is None:
            if message.document is not None:
                return None
            raise RunNotFound(key.schedule_id, key.start)
        ours = run.execution == execution
        if ours and not run.restarting:
            return run  # this very restart, tried again after it was done
        if not ours and not run.status.ended and is_running(run.execution):
            raise RunStillActive(key.schedule_id, key.start)
        if not ours and message.of_generation not in (None, run.generation):
            raise IllegalVerb("restart", f"the run '{key.start}'", "it was restarted by somebody else meanwhile")
        newest = _newest(store, key.schedule_id) if variant.newest else None
        document = _restarted_document(run, variant, newest)
        cause = _told_of_pause(store, key.schedule_id, message.cause or {"kind": "restart"})
        mark = _mark(variant.verb, message.cause or {}, _epoch(started))
        known = store.list_jobs(key.run_id)
        jobs = _remaining(store, platform, run, known, message, variant, newest, mark)
        wait_seconds = run.wait_seconds if newest is None else newest.wait_seconds
        restarted = run if ours else _restarted(run, execution, cause, document, wait_seconds)
        if ours or store.restart_run(restarted, run, _entry(run, variant, mark)):
            break
    # Nothing is submitted, and no verb comes between, before this function has succeeded.
    untouched = set(map(id, known))  # those that still run go on: what is heard of them meanwhile must stay
    store.put_jobs(key.run_id, [job for job in jobs if id(job) not in untouched])
    if newest is not None:
        kept = {job.name for job in jobs}
        store.remove_jobs(key.run_id, [job.name for job in store.list_jobs(key.run_id) if job.name not in kept])
    store.restart_done(restarted)
    return replace(restarted, restarting=False)


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
    chain = {"chain": run.cause["chain"]} if "chain" in run.cause else {}
    return replace(
        run,
        status=RunStatus.RUNNING,
        execution=execution,
        generation=run.generation + 1,
        wait_seconds=wait_seconds,
        cause={**cause, **chain},
        reason="",
        ended_at="",
        document=document,
        cancel=None,
        verb_count=run.verb_count + 1,
        restarting=True,
    )


def _newest(store: Store, schedule_id: str) -> Schedule:
    row = store.get_schedule(schedule_id)
    if row is None:
        raise ScheduleNotFound(schedule_id)
    return parse(row)


def _mark(verb: Verb, cause: Mapping[str, Any], now: float) -> Mark:
    """Who asked for it: whom the cause names, else from where it came."""
    return Mark(verb, str(cause.get("by") or cause.get("kind") or "an execution"), now, str(cause.get("reason", "")))


def _entry(run: Run, variant: Variant, mark: Mark) -> AuditEntry:
    return AuditEntry(
        mark,
        job=", ".join(variant.only),
        before=str(run.status),
        after=str(RunStatus.RUNNING),
        given={key: value for key, value in variant.as_message().items() if key != "only"},
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
    given = (message.document or {}).get("jobList", [])
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
    if word in keep:
        return replace(made, status=keep[word], job_id=job.recorded_id, reason="done before the restart")
    return made


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
