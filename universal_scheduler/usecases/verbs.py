"""What operators do to runs, jobs and schedules: one conditional write for each verb, with its line of the audit trail.

A verb that ends something only marks it. The execution of the run acts on the mark, so that a command that is cut off
never leaves half a verb.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.errors import (
    IllegalVerb,
    JobNotFound,
    RunNotFound,
    RunStillActive,
    ScheduleNotFound,
)
from universal_scheduler.domain.names import check_execution_name, execution_name
from universal_scheduler.domain.runs.model import (
    AuditEntry,
    Execution,
    JobRun,
    JobStatus,
    Mark,
    Run,
    RunKey,
    RunStatus,
    Verb,
)
from universal_scheduler.domain.runs.planner import never_runs, withdrawn
from universal_scheduler.domain.runs.restart import Variant, check_names, redefined
from universal_scheduler.domain.runs.verbs import cancelled, on_job
from universal_scheduler.ports.objects import ObjectStore
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.workflow import Workflow
from universal_scheduler.usecases.drive import Next, RunRef, poll_jobs, record_result, submit_jobs
from universal_scheduler.usecases.wake import signal_change

TRIES = 20
"""How often a verb is tried again because the run has changed meanwhile, although nobody acted on the same job."""


def act_on_job(store: Store, workflow: Workflow, key: RunKey, name: str, mark: Mark) -> AuditEntry:
    """Do the verb of `mark` to one job of a RUNNING run. For a run that has ended, `restart` does it.

    Raises:
        RunNotFound, JobNotFound: there is no such run or job.
        IllegalVerb: the verb is not legal, or somebody else was faster. Nothing was changed.
    """
    seen: JobRun | None = None
    for _ in range(TRIES):
        run = find_run(store, key)
        job = _find_job(store, run, name)
        if seen is not None and (job.mark, job.attempt) != (seen.mark, seen.attempt):
            whose = f"{job.mark.verb} {job.mark}" if job.mark is not None else "a restart"
            raise IllegalVerb(mark.verb, f"the job '{name}'", f"somebody was faster, it is {job.status} now: {whose}")
        after = on_job(run, job, mark)
        if run.status.ended:
            advice = "Try again: the run is taken up again then."
            raise IllegalVerb(mark.verb, f"the job '{name}'", "its run has just ended", advice)
        if mark.verb is Verb.RERUN:
            _check_rule(store, run, job)
        entry = AuditEntry(mark, name, str(job.status), _status_after(after))
        if store.change_by_verb(run, job, after, entry):
            signal_change(store, workflow, key.run_id, urgent=True, names=[name])
            return entry
        seen = job
    raise IllegalVerb(mark.verb, f"the job '{name}'", "its run changes all the time", "Try again.")


def cancel_run(store: Store, workflow: Workflow, key: RunKey, mark: Mark) -> AuditEntry:
    """Ask for the end of a run. Its execution ends its jobs, runs its finally jobs, and records the run as CANCELLED.

    Raises:
        RunNotFound: there is no such run.
        IllegalVerb: it has ended, somebody has asked for its end before, or it is still being started.
    """
    for _ in range(TRIES):
        run = find_run(store, key)
        try:
            asked = cancelled(run, mark)
        except IllegalVerb as refused:
            if run.cancel is not None and (left := open_finally_jobs(store, key)):
                names = " ".join([key.schedule_id, *left])
                refused.advice = f"Its finally jobs run now. End them with: usched cancel {names}"
            raise
        entry = AuditEntry(mark, before=str(run.status), after=str(RunStatus.CANCELLED))
        if store.ask_for_end(asked, entry):
            signal_change(store, workflow, key.run_id, urgent=True)
            return entry
    raise IllegalVerb(mark.verb, f"the run '{key.start}'", "it changes all the time", "Try again.")


def open_finally_jobs(store: Store, key: RunKey) -> list[str]:
    """The names of the run's finally jobs that have not ended."""
    return [job.name for job in store.list_jobs(key.run_id) if job.job.final and not job.status.ended]


def end_cancelled_run(
    store: Store,
    workflow: Workflow,
    platform: JobPlatform,
    objects: ObjectStore,
    key: RunKey,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> RunStatus:
    """End a run after `cancel_run` if its execution is dead, as the execution would have done.

    Its finally jobs end too, because nothing drives the run any more; a restart runs them. If a submission was under
    way when the execution died, this takes a minute: only then is it known whether Batch has the job.

    Raises:
        PlatformUnavailable: Batch does not answer. The run stays as it is.
    """
    run = find_run(store, key)
    ref = RunRef(key, run.generation)
    for name in open_finally_jobs(store, key):
        with suppress(IllegalVerb):  # it has ended meanwhile, or somebody has asked for it
            act_on_job(store, workflow, key, name, run.cancel or Mark(Verb.CANCEL, "the scheduler", clock()))
    while True:
        then = submit_jobs(store, platform, objects, ref, clock, lambda: float("inf")).next
        while then in (Next.WAIT, Next.PAUSE):
            sleep(1.0)
            then = poll_jobs(store, platform, ref, clock()).next
        if then is Next.RECORD:
            status = record_result(store, ref, clock())
            if status.ended:
                return status


def restart(
    store: Store,
    workflow: Workflow,
    key: RunKey,
    variant: Variant,
    mark: Mark,
    cause: Mapping[str, Any],
    given_name: str = "",
) -> Execution:
    """Start the execution that restarts a run that has ended, or whose execution is dead.

    `cause` says where the restart comes from, e.g. `{"kind": "cli", "requestId": "…"}`, with a new id each time. The
    name of the execution has the run and its generation, so that of two restarts at the same time only one starts.

    Raises:
        RunNotFound, JobNotFound, ScheduleNotFound, InvalidSchedule: the restart is refused.
        InvalidName: no execution can have the given name.
        RunStillActive: the run has not ended.
        IllegalVerb: a job that is named still runs, or the restart has begun already.
    """
    if given_name:
        check_execution_name(given_name)
    run = find_run(store, key)
    if not run.status.ended and workflow.is_running(run.execution):
        raise RunStillActive(key.schedule_id, key.start)
    jobs = store.list_jobs(key.run_id)
    if variant.newest:
        row = store.get_schedule(key.schedule_id)
        if row is None:
            raise ScheduleNotFound(key.schedule_id)
        jobs = redefined(jobs, parse(row).jobs)
    check_names(jobs, variant)
    known = {job.name: job for job in jobs}
    for name in variant.only or ():
        _check_reachable(known[name], never_runs(known[name], known))
    if variant.verb is Verb.SKIP:
        for name in variant.skip:
            on_job(run, known[name], replace(mark, verb=Verb.SKIP))
    message = {
        "scheduleId": key.schedule_id,
        "startDateTime": key.start,
        "scheduleStatus": "RESTART",
        "ofGeneration": run.generation,
        "cause": {**cause, "by": mark.by, "reason": mark.reason},
        **variant.as_message(),
    }
    for number in count():
        again = [str(number)] if number else []
        name = execution_name("restart", key.schedule_id, key.run_id, str(run.generation), *again)
        execution, new = workflow.start(given_name or name, message)
        if new:
            return execution
        subject = f"the run '{key.start}'"
        if given_name:
            why = f"an execution is named '{given_name}' already"
            raise IllegalVerb(variant.verb, subject, why, "Choose another name, or none.")
        if workflow.is_running(execution) or find_run(store, key).generation != run.generation:
            advice = f"Follow it with: usched show {key.schedule_id} {key.start}"
            why = f"somebody was faster, it is being restarted as {execution.name}"
            raise IllegalVerb(variant.verb, subject, why, advice)
    raise AssertionError("there is always another number")


def pause(store: Store, schedule_id: str, mark: Mark) -> AuditEntry:
    """Pause a schedule: no trigger starts it until it is resumed.

    Raises:
        ScheduleNotFound: there is no such schedule.
        IllegalVerb: it is paused already.
    """
    _check_schedule(store, schedule_id)
    entry = AuditEntry(mark, after="paused")
    if not store.pause(schedule_id, entry):
        who = store.paused(schedule_id)
        raise IllegalVerb(mark.verb, f"the schedule '{schedule_id}'", f"it is paused already{f' {who}' if who else ''}")
    return entry


def resume(store: Store, schedule_id: str, mark: Mark) -> AuditEntry:
    """Let the triggers start the schedule again. `resume_schedule` also makes up for starts that were due meanwhile.

    Raises:
        ScheduleNotFound: there is no such schedule.
        IllegalVerb: it is not paused.
    """
    if store.paused(schedule_id) is None:
        _check_schedule(store, schedule_id)
    entry = AuditEntry(mark, before="paused")
    if not store.resume(schedule_id, entry):
        raise IllegalVerb(mark.verb, f"the schedule '{schedule_id}'", "it is not paused")
    return entry


def find_run(store: Store, key: RunKey) -> Run:
    """The run with this key.

    Raises:
        RunNotFound: there is none.
    """
    run = store.get_run(key)
    if run is None:
        raise RunNotFound(key.schedule_id, key.start)
    return run


def _find_job(store: Store, run: Run, name: str) -> JobRun:
    for job in store.get_jobs(run.key.run_id, [name]):
        return job
    raise JobNotFound(name, [job.name for job in store.list_jobs(run.key.run_id)])


def _check_rule(store: Store, run: Run, job: JobRun) -> None:
    upstream = store.get_jobs(run.key.run_id, job.job.depends_on)
    _check_reachable(job, never_runs(job, {other.name: other for other in upstream}))


def _check_reachable(job: JobRun, never: str) -> None:
    if never:
        advice = "Rerun, skip or force-ok that one: this one follows by itself."
        raise IllegalVerb(Verb.RERUN, f"the job '{job.name}'", f"its rule would not let it run, it {never}", advice)


def _check_schedule(store: Store, schedule_id: str) -> None:
    if store.get_schedule(schedule_id) is None:
        raise ScheduleNotFound(schedule_id)


def _status_after(after: JobRun) -> str:
    """The state that a verb leads to; of a job that is only marked, the one that it is going to have."""
    if after.cancelling:
        return str(JobStatus.CANCELLED)
    return str(withdrawn(after).status if after.withdraw_asked else after.status)
