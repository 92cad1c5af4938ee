"""What operators do to runs, jobs and schedules: one conditional write each, with its line of the audit trail.

A verb that ends what runs only marks it: the run's own execution acts on the mark, so that an operator's command that
is cut off never leaves half a verb.
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
"""How often a verb is tried again because the run went on meanwhile, but nobody acted on the same job."""


def act_on_job(store: Store, workflow: Workflow, key: RunKey, name: str, mark: Mark) -> AuditEntry:
    """Do the verb of `mark` to one job of a run that goes on; `restart` does it in one that has ended.

    Raises:
        RunNotFound, JobNotFound
        IllegalVerb: it cannot be done, or somebody else was faster; nothing was changed.
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
    """Ask for the end of a run: its execution ends its jobs, runs its finally jobs, and records it as CANCELLED.

    Raises:
        RunNotFound
        IllegalVerb: it has ended, its end was asked for already, or it is still being started.
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
    """Do what the execution of a run would do after `cancel_run`: for one whose execution has died.

    Its finally jobs end too: they run when it is restarted, because nothing drives the run any more.

    Takes a minute where a submission was under way when it died: only then is it known what became of it.

    Raises:
        PlatformUnavailable: Batch does not answer; the run stays as it is.
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
    """Start the execution that restarts a run that has ended, or whose execution has died.

    `cause` is where it came from, e.g. `{"kind": "cli", "requestId": "…"}`, another one each time. The execution is
    named for the run and its generation, so that of two who restart it at once one does.

    Raises:
        RunNotFound, JobNotFound, ScheduleNotFound, InvalidSchedule
        InvalidName: no execution can have the given name.
        RunStillActive: its jobs are being watched.
        IllegalVerb: a job that is named still runs, or the restart is under way already.
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
    """Let no trigger start the schedule until it is resumed.

    Raises:
        ScheduleNotFound
        IllegalVerb: it is paused already.
    """
    _check_schedule(store, schedule_id)
    entry = AuditEntry(mark, after="paused")
    if not store.pause(schedule_id, entry):
        who = store.paused(schedule_id)
        raise IllegalVerb(mark.verb, f"the schedule '{schedule_id}'", f"it is paused already{f' {who}' if who else ''}")
    return entry


def resume(store: Store, schedule_id: str, mark: Mark) -> AuditEntry:
    """Let the triggers start the schedule again. What they would have started meanwhile is not made up for.

    Raises:
        ScheduleNotFound
        IllegalVerb: it is not paused.
    """
    if store.paused(schedule_id) is None:
        _check_schedule(store, schedule_id)
    entry = AuditEntry(mark, before="paused")
    if not store.resume(schedule_id, entry):
        raise IllegalVerb(mark.verb, f"the schedule '{schedule_id}'", "it is not paused")
    return entry


def find_run(store: Store, key: RunKey) -> Run:
    """Raises RunNotFound where there is none."""
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
