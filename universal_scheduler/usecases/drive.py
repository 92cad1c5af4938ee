"""Drive a run: submit what is ready, look at what is running, record how it ended. One function a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol, TypeVar, assert_never

from universal_scheduler.domain.errors import (
    PlatformUnavailable,
    RunNotFound,
    StaleExecution,
    SubmissionRefused,
    Throttled,
)
from universal_scheduler.domain.model import Job, JobRun, JobStatus, Observation, Run, RunKey, RunStatus
from universal_scheduler.domain.names import batch_job_name, iso
from universal_scheduler.domain.planner import (
    INTENT_SETTLE_SECONDS,
    LOST_AFTER_SECONDS,
    Cancel,
    End,
    ReadOutput,
    Recover,
    Reopen,
    Submit,
    Work,
    again,
    explain,
    plan,
    upstream_first,
)
from universal_scheduler.ports import JobPlatform, Store

DESCRIBE_CHUNK = 100
"""https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html"""
NAMED_FAILURES = 20
TERMINATE_REASON_LIMIT = 1024
"""https://docs.aws.amazon.com/batch/latest/APIReference/API_TerminateJob.html"""
WAVE = 40
"""How many jobs are submitted between two looks at the clock."""
CLAIM_LIMIT_SECONDS = INTENT_SETTLE_SECONDS / 3
"""An intent that took longer to write is left to be recovered: the call after it could outlast the settling time."""

A = TypeVar("A")
B = TypeVar("B")


class Each(Protocol):
    """`map`, or the like of it that works on several at once."""

    def __call__(self, do: Callable[[A], B], items: Sequence[A], /) -> Iterable[B]: ...


class Next(StrEnum):
    """What the state machine does next."""

    SUBMIT = "SUBMIT"
    PAUSE = "PAUSE"
    """Batch takes no more submissions for the moment: go on with them in a few seconds."""
    WAIT = "WAIT"
    CONTINUE = "CONTINUE"
    """The execution's history fills: go on as a new execution."""
    RECORD = "RECORD"


def next_or_continue(then: Next, turn: int, max_turns: int) -> Next:
    """What is next, unless so many turns have been made that the run has to go on as a new execution."""
    return Next.CONTINUE if turn >= max_turns and then is not Next.RECORD else then


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run as the state machine's payload names it: its key, and which execution is speaking."""

    key: RunKey
    generation: int


def submit_jobs(
    store: Store,
    platform: JobPlatform,
    ref: RunRef,
    clock: Callable[[], float],
    time_left: Callable[[], float],
    each: Each = map,
) -> Next:
    """Do what the plan says until it is done, time runs out (`time_left` in seconds), or the platform takes no more.

    A submission whose outcome is not known ends the turn too: it keeps its intent, and is looked up in a later one.
    `each` does something for each of many jobs that do not wait for one another, in any order or at once.

    Raises:
        StaleExecution: a newer execution drives the run.
    """
    run = _current(store, ref)
    jobs = {job.name: job for job in store.list_jobs(ref.key.run_id)}

    def do(action: Work) -> JobRun:
        return _do(store, platform, ref.key, action, jobs, clock)

    for wave in _waves(plan(list(jobs.values()), clock(), run.max_concurrent_jobs, run.cancel).work):
        if time_left() < 10:
            return Next.SUBMIT
        try:
            jobs |= {job.name: job for job in each(do, wave)}
        except Throttled:
            return Next.PAUSE
        except PlatformUnavailable:
            return Next.WAIT
    return what_next(run, list(jobs.values()), clock())


def _waves(work: Sequence[Work]) -> Iterator[list[Work]]:
    """The actions in their order, in groups of which none waits for another of its group."""
    wave: list[Work] = []
    for action in work:
        names = {other.name for other in wave}
        if len(wave) >= WAVE or (isinstance(action, Submit) and not names.isdisjoint(action.after)):
            yield wave
            wave = []
        wave.append(action)
    if wave:
        yield wave


def _do(
    store: Store,
    platform: JobPlatform,
    key: RunKey,
    action: Work,
    jobs: Mapping[str, JobRun],
    clock: Callable[[], float],
) -> JobRun:
    """One action; answers its job as it is afterwards."""
    job = jobs[action.name]
    match action:
        case End():
            if not store.end_job(key.run_id, job, action.status, action.reason, clock(), not_taken=action.not_taken):
                return job
            return replace(job, status=action.status, not_taken=action.not_taken, reason=action.reason)
        case Cancel():
            platform.terminate(job.job_id, action.reason[:TERMINATE_REASON_LIMIT])
            store.end_job(key.run_id, job, JobStatus.CANCELLED, action.reason, clock())
            return replace(job, status=JobStatus.CANCELLED, reason=action.reason)
        case Reopen():
            return again(job) if store.change_job(key.run_id, job, again(job)) else job
        case Recover():
            return _recover(store, platform, key, job, clock)
        case ReadOutput():
            return job
        case Submit():
            return _submit(store, platform, key, action, jobs, clock)
        case _:
            assert_never(action)


def poll_jobs(store: Store, platform: JobPlatform, ref: RunRef, now: float, each: Each = map) -> Next:
    """Ask the platform about every live job of the run, a hundred at a time, and record what changed.

    Raises:
        StaleExecution: a newer execution drives the run.
        PlatformUnavailable: the platform did not answer; the next look sees all that this one would have.
    """
    run = _current(store, ref)
    run_id = ref.key.run_id
    jobs = {job.name: job for job in store.list_jobs(run_id)}
    live = {job.job_id: job for job in jobs.values() if job.status.live}
    ids = list(live)
    for start in range(0, len(ids), DESCRIBE_CHUNK):
        chunk = ids[start : start + DESCRIBE_CHUNK]
        seen = {observation.job_id: observation for observation in platform.describe(chunk)}
        for job_id in chunk:
            job = live[job_id]
            observation = seen.get(job_id) or _unknown(job, now)
            if observation is not None and observation.status.rank > job.status.rank:
                jobs[job.name] = _observed(job, observation)
    changed: list[tuple[JobRun, Observation]] = []
    for name in upstream_first({job.name: job.job.depends_on for job in jobs.values()}):
        before = live.get(jobs[name].job_id)
        if before is None or jobs[name] is before:
            continue
        explained = explain(jobs[name], jobs)
        if explained is not None:
            changed.append((before, _as_observation(explained)))
        jobs[name] = explained or before
    list(each(lambda change: store.observe_job(run_id, *change), changed))
    return what_next(run, list(jobs.values()), now)


def record_result(store: Store, ref: RunRef, now: float) -> RunStatus:
    """Record how the run ended, in its row; the same again where it is tried again.

    Returns: RUNNING where it has not ended after all, because an operator acted on it meanwhile.

    Raises:
        StaleExecution: a newer execution drives the run.
    """
    run = _current(store, ref)
    if run.status.ended:
        return run.status
    jobs = store.list_jobs(ref.key.run_id)
    status = plan(jobs, now, run.max_concurrent_jobs, run.cancel).outcome
    if status is None:
        return RunStatus.RUNNING
    if not store.finish_run(run, status, _why(run, status, jobs), iso(now), job_list(jobs)):
        return _current(store, ref).status
    return status


def abandon_run(store: Store, platform: JobPlatform, ref: RunRef, error: str, now: float) -> None:
    """The execution cannot go on: end the jobs that nobody will watch any more, and record why the run FAILED."""
    run = _current(store, ref)
    if run.status.ended:
        return
    jobs = store.list_jobs(ref.key.run_id)
    for job in jobs:
        job_id = job.job_id if job.status.live else None
        if job.status is JobStatus.SUBMITTING:
            job_id = platform.find(job.job.queue, batch_job_name(ref.key, job.name, job.attempt))
        if job_id:
            platform.terminate(job_id, f"The run was given up: {error}"[:TERMINATE_REASON_LIMIT])
        if not job.status.ended:
            store.end_job(ref.key.run_id, job, JobStatus.CANCELLED, f"the run was given up: {error}", now)
    ended = job_list(store.list_jobs(ref.key.run_id))
    while not store.finish_run(run, RunStatus.FAILED, error, iso(now), ended):
        run = _current(store, ref)  # an operator has acted on it meanwhile
        if run.status.ended:
            return


def what_next(run: Run, jobs: Sequence[JobRun], now: float) -> Next:
    planned = plan(jobs, now, run.max_concurrent_jobs, run.cancel)
    if planned.work:
        return Next.SUBMIT
    return Next.RECORD if planned.outcome is not None else Next.WAIT


def job_list(jobs: Sequence[JobRun]) -> list[dict[str, Any]]:
    """The jobs as a history row shows them, in the shape that users of the reference design read and edit."""
    return [
        {
            "jobName": job.name,
            "jobDefinition": job.job.definition,
            "jobQueue": job.job.queue,
            "jobDependencies": list(job.job.depends_on),
            "jobStatus": str(job.status),
            "jobId": {"jobId": job.job_id} if job.job_id else " ",
        }
        for job in jobs
    ]


def _current(store: Store, ref: RunRef) -> Run:
    run = store.get_run(ref.key)
    if run is None:
        raise RunNotFound(ref.key.schedule_id, ref.key.start)
    if run.generation != ref.generation:
        raise StaleExecution(ref.key.run_id, ref.generation)
    return run


def _recover(store: Store, platform: JobPlatform, key: RunKey, job: JobRun, clock: Callable[[], float]) -> JobRun:
    """Settle a submission in doubt: a job of its name was accepted; without one it never was, and may be again."""
    found = platform.find(job.job.queue, batch_job_name(key, job.name, job.attempt))
    if found is None:
        store.release_job(key.run_id, job)
        return replace(job, status=JobStatus.WAITING, intent_at=0.0)
    store.record_submission(key.run_id, job, found, clock())
    return replace(job, status=JobStatus.SUBMITTED, job_id=found, submitted_at=clock())


def _submit(
    store: Store,
    platform: JobPlatform,
    key: RunKey,
    action: Submit,
    jobs: Mapping[str, JobRun],
    clock: Callable[[], float],
) -> JobRun:
    """Submit one job exactly once: the intent first, then the call, then its id."""
    job, upstream = jobs[action.name], [jobs[name] for name in action.after]
    if not all(other.status.live for other in upstream):
        return job  # an upstream job was refused just now: the next plan decides anew
    name = batch_job_name(key, job.name, job.attempt)
    now = clock()
    if not store.claim_job(key.run_id, job, now):
        return job  # somebody else is submitting it
    claimed = replace(job, status=JobStatus.SUBMITTING, intent_at=now)
    if clock() - now > CLAIM_LIMIT_SECONDS:
        raise PlatformUnavailable("the claim took so long that somebody else may take it for abandoned")
    try:
        job_id = platform.submit(
            job.job,
            name,
            [other.job_id for other in upstream],
            environment=_job_environment(key, job.job),
            tags={"usched:scheduleId": key.schedule_id, "usched:start": key.start, "usched:jobName": job.name},
        )
    except SubmissionRefused as refusal:
        store.end_job(key.run_id, claimed, JobStatus.FAILED, str(refusal), clock())
        return replace(claimed, status=JobStatus.FAILED, reason=str(refusal))
    except Throttled:
        store.release_job(key.run_id, claimed)
        raise
    if not store.record_submission(key.run_id, claimed, job_id, clock()):
        # The row has moved on without us (the run was given up): nobody would watch this job.
        platform.terminate(job_id, "The run went on without this job.")
        return job
    return replace(claimed, status=JobStatus.SUBMITTED, job_id=job_id, submitted_at=clock())


def _job_environment(key: RunKey, job: Job) -> dict[str, str]:
    """What a job may know of its run. Only where the document overrides the container: other kinds of job have none."""
    if job.container_overrides is None:
        return {}
    return {"USCHED_SCHEDULE_ID": key.schedule_id, "USCHED_START": key.start, "USCHED_JOB_NAME": job.name}


def _unknown(job: JobRun, now: float) -> Observation | None:
    if now - job.submitted_at < LOST_AFTER_SECONDS:
        return None
    reason = "Batch does not know the job any more (it forgets ended jobs after 7 days)"
    return Observation(job.job_id, JobStatus.NOTFOUND, reason=reason)


def _observed(job: JobRun, seen: Observation) -> JobRun:
    return replace(
        job,
        status=seen.status,
        reason=seen.reason,
        exit_code=seen.exit_code,
        log_stream=seen.log_stream,
        started_at=seen.started_at,
        stopped_at=seen.stopped_at,
    )


def _as_observation(job: JobRun) -> Observation:
    return Observation(
        job.job_id, job.status, job.reason, job.exit_code, job.log_stream, job.started_at, job.stopped_at
    )


def _why(run: Run, status: RunStatus, jobs: Sequence[JobRun]) -> str:
    match status:
        case RunStatus.FAILED:
            return _why_failed(jobs)
        case RunStatus.CANCELLED:
            return f"cancelled {run.cancel}"
        case _:
            return ""


def _why_failed(jobs: Sequence[JobRun]) -> str:
    """The jobs that failed of themselves, with reason and exit code; how many did not run because of them."""
    failed = [job for job in jobs if job.status.ended and not job.status.satisfies and not job.job.optional]
    causes = [job for job in failed if job.status is not JobStatus.UPSTREAM_FAILED] or failed
    named = [f"{job.name} {job.status}{_detail(job)}" for job in causes[:NAMED_FAILURES]]
    if len(causes) > NAMED_FAILURES:
        named.append(f"and {len(causes) - NAMED_FAILURES} more")
    rest = len(failed) - len(causes)
    return "; ".join(named) + (f"; {rest} more did not run because of that" if rest else "")


def _detail(job: JobRun) -> str:
    code = f" with exit code {job.exit_code}" if job.exit_code is not None else ""
    return f"{code}: {job.reason}" if job.reason else code
