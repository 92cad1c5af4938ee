"""Drive a run: submit what is ready, look at what is running, record how it ended. One function a state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Any

from universal_scheduler.domain.errors import PlatformUnavailable, RunNotFound, StaleExecution, Throttled
from universal_scheduler.domain.names import batch_job_name, iso
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.arrays import array_seen, first_child
from universal_scheduler.domain.runs.model import Changes, JobRun, JobStatus, Observation, Run, RunKey, RunStatus
from universal_scheduler.domain.runs.observations import is_news, observed
from universal_scheduler.domain.runs.planner import (
    LOST_AFTER_SECONDS,
    Plan,
    ReadOutput,
    Submit,
    Withdraw,
    Work,
    explain,
    plan,
    upstream_first,
)
from universal_scheduler.ports.objects import ObjectStore
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.ports.store import Store
from universal_scheduler.usecases.boards import Boards
from universal_scheduler.usecases.describe import describe_all
from universal_scheduler.usecases.mapper import Mapper
from universal_scheduler.usecases.submission import (
    ENOUGH_SECONDS,
    TERMINATE_REASON_LIMIT,
    UNPACED,
    WAVE,
    Runtime,
    do_wave,
    read_outputs,
)

GIVE_UP_CHUNK = 100
NAMED_FAILURES = 20
PATIENCE = 15
"""How many times a schedule's wait_time the first wait lasts, where events wake the run."""
LONGEST_WAIT_SECONDS = 3600.0


class Next(StrEnum):
    """What the state machine does next."""

    SUBMIT = "SUBMIT"
    PAUSE = "PAUSE"
    """Batch takes no more submissions for the moment: go on with them in a few seconds."""
    WAIT = "WAIT"
    CONTINUE = "CONTINUE"
    """The execution's history fills: go on as a new execution."""
    RECORD = "RECORD"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of the wait loop came to."""

    next: Next
    seen: Changes
    """What had happened to the run when the turn looked at it."""
    ends_needed: int = 1
    """Where it is WAIT: so many more jobs have to end before there is anything new to decide."""
    due: float | None = None
    """Where it is WAIT: when there is something to do at the latest (epoch seconds)."""
    changed: bool = True
    """Whether anything happened: a look that finds no job ended leaves the next one more time."""


def next_or_continue(then: Next, turn: int, max_turns: int) -> Next:
    """What is next, unless so many turns have been made that the run has to go on as a new execution.

    Every execution makes two turns: one that only handed on to the next would never come to wait.
    """
    return Next.CONTINUE if turn >= max(2, max_turns) and then is not Next.RECORD else then


def seconds_to_wait(turn: Turn, wait_seconds: int, idle: int, events: bool, now: float) -> int:
    """How long to wait before the next look, where nothing wakes the run.

    `wait_seconds` is the schedule's; `idle` counts the looks without anything new. Where job-state events wake the run,
    a look is only the safety net: it takes its time, and more each time, up to an hour.
    """
    seconds = float(wait_seconds)
    if events:
        seconds = max(seconds, min(seconds * PATIENCE * 2 ** min(idle, 12), LONGEST_WAIT_SECONDS))
    if turn.due is not None:
        seconds = min(seconds, turn.due - now)
    return max(1, ceil(seconds))


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run as the state machine's payload names it: its key, and which execution is speaking."""

    key: RunKey
    generation: int


def submit_jobs(
    store: Store,
    platform: JobPlatform,
    objects: ObjectStore,
    ref: RunRef,
    clock: Callable[[], float],
    time_left: Callable[[], float],
    mapper: Mapper = map,
    pace: Callable[[], None] = UNPACED,
    boards: Boards | None = None,
    turn: int = 0,
) -> Turn:
    """Do what the plan says until it is done, time runs out (`time_left` in seconds), or the platform takes no more.

    Where enough has happened meanwhile, it looks again at once. `boards` is what this process knows of runs from its
    last turns; `turn` is the number of this one.

    A submission whose outcome is not known ends the turn too: it keeps its intent, and is looked up in a later one.
    `mapper` calls a function for many jobs, in any order or at once; `pace` holds each submission until its turn.

    Raises:
        StaleExecution: a newer execution drives the run.
    """
    runtime = Runtime(clock, time_left, mapper, pace)
    boards = boards if boards is not None else Boards()
    while True:
        looked = _look(store, platform, objects, ref, runtime, boards, turn)
        if not looked.settled or time_left() < ENOUGH_SECONDS:
            return looked.turn
        counts, seen = store.changes(ref.key.run_id), looked.turn.seen
        if counts.urgent == seen.urgent and counts.ended - seen.ended < looked.turn.ends_needed:
            return looked.turn
        boards.again(ref.key, turn)  # enough has happened meanwhile: waiting would only cost transitions


@dataclass(frozen=True, slots=True)
class _Looked:
    turn: Turn
    settled: bool = False
    """Whether everything is done that there was to do, and the run waits for its jobs."""


def _look(
    store: Store,
    platform: JobPlatform,
    objects: ObjectStore,
    ref: RunRef,
    runtime: Runtime,
    boards: Boards,
    number: int,
) -> _Looked:
    """One look at the run, and what its plan says done."""
    run = _current(store, ref)
    log = store.change_log(ref.key.run_id)  # before the jobs: what happens after this look is counted beyond it
    seen = log.counts
    board = boards.take(store, ref.key, ref.generation, number, log)
    clock = runtime.clock

    def work_to_do() -> Sequence[Work]:
        work = board.plan(clock(), run.max_concurrent_jobs, run.cancel).work
        return sorted(work, key=lambda action: isinstance(action, Withdraw))  # last: one that fails stops nothing else

    work = work_to_do()
    if unread := [board.jobs[action.name] for action in work if isinstance(action, ReadOutput)]:
        try:
            board.update(read_outputs(store, objects, run, unread, runtime).values())
        except Throttled:
            return _Looked(Turn(Next.PAUSE, seen))
        work = work_to_do()
    if any(isinstance(action, Submit) and board.jobs[action.name].job.final for action in work):
        try:
            if _still_ending(platform, list(board.jobs.values()), runtime.mapper):
                return _Looked(Turn(Next.PAUSE, seen))
        except PlatformUnavailable:
            return _Looked(Turn(Next.WAIT, seen, due=clock() + run.wait_seconds))
    doubtful: set[str] = set()
    for start in range(0, len(work), WAVE):
        if runtime.time_left() < ENOUGH_SECONDS:
            return _Looked(Turn(Next.SUBMIT, seen))
        wave = work[start : start + WAVE]
        try:
            changed = do_wave(store, platform, objects, run, wave, board.jobs, runtime)
        except Throttled:
            return _Looked(Turn(Next.PAUSE, seen))
        except PlatformUnavailable:
            return _Looked(Turn(Next.WAIT, seen, due=clock() + run.wait_seconds))
        board.update(changed.values())
        doubtful.update(action.name for action in wave if action.name not in changed)
    planned = board.plan(clock(), run.max_concurrent_jobs, run.cancel)
    boards.keep(board, ref.key, ref.generation, number + 1, log, doubtful)
    turn = _next(planned, seen)
    if turn.next is Next.SUBMIT and any(isinstance(action, Withdraw) and action.name in doubtful for action in work):
        # The platform has not yet said what became of them: an event will, or the next look.
        return _Looked(Turn(Next.WAIT, seen, due=clock() + run.wait_seconds))
    return _Looked(turn, settled=turn.next is Next.WAIT)


def _still_ending(platform: JobPlatform, jobs: Sequence[JobRun], mapper: Mapper) -> bool:
    """Whether a job that was cancelled still runs: it has time to end in good order, and finally jobs come after it."""
    ids = [job.job_id for job in jobs if job.status is JobStatus.CANCELLED and job.job_id and not job.job.final]
    return any(seen.begun and not seen.status.ended for seen in describe_all(platform, ids, mapper))


def poll_jobs(store: Store, platform: JobPlatform, ref: RunRef, now: float, mapper: Mapper = map) -> Turn:
    """Ask the platform about every live job of the run, a hundred at a time, and record what changed.

    Raises:
        StaleExecution: a newer execution drives the run.
        PlatformUnavailable: the platform did not answer; the next look sees all that this one would have.
    """
    run = _current(store, ref)
    run_id = ref.key.run_id
    seen_changes = store.changes(run_id)
    jobs = {job.name: job for job in store.list_jobs(run_id)}
    live = {job.job_id: job for job in jobs.values() if job.status.live}
    # Batch gives an array no start of its own: its first child is asked for beside it.
    firsts = [first_child(job.job_id) for job in live.values() if job.job.is_array and not job.started_at]
    seen = {one.job_id: one for one in describe_all(platform, [*live, *firsts], mapper)}
    for job_id, job in live.items():
        observation = seen.get(job_id) or _unknown(job, now)
        if observation is not None and job.job.is_array:
            observation = array_seen(observation, seen.get(first_child(job_id)), now)
        if observation is not None and is_news(job, observation):
            jobs[job.name] = observed(job, observation)
    changed: list[tuple[JobRun, Observation]] = []
    for name in upstream_first({job.name: job.job.depends_on for job in jobs.values()}):
        before = live.get(jobs[name].job_id)
        if before is None or jobs[name] is before:
            continue
        explained = explain(jobs[name], jobs)
        if explained is not None:
            changed.append((before, _as_observation(explained)))
        jobs[name] = explained or before
    store.observe_jobs(run_id, changed)
    return what_next(run, list(jobs.values()), now, seen_changes, changed=any(seen.status.ended for _, seen in changed))


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
    store.clear_token(ref.key.run_id)
    if not store.finish_run(run, status, _why(run, status, jobs), iso(now), job_list(jobs)):
        return _current(store, ref).status
    return status


def abandon_run(
    store: Store,
    platform: JobPlatform,
    ref: RunRef,
    error: str,
    now: float,
    status: RunStatus = RunStatus.FAILED,
    mapper: Mapper = map,
) -> None:
    """The execution cannot go on: end the jobs that nobody will watch any more, and record how the run ended and why.

    Raises:
        StaleExecution: a newer execution drives the run.
    """
    run = _current(store, ref)
    if run.status.ended:
        return
    reason = f"the run was given up: {error}"

    def end(job: JobRun) -> None:
        job_id: str | None = job.job_id
        if job.status is JobStatus.SUBMITTING:
            job_id = platform.find(job.job.queue, batch_job_name(ref.key, job.name, job.attempt))
        if job_id:
            platform.terminate(job_id, reason[:TERMINATE_REASON_LIMIT])

    # Again while there are some: a function that was submitting jobs when the execution ended goes on for a while.
    while left := [job for job in store.list_jobs(ref.key.run_id) if not job.status.ended]:
        for start in range(0, len(left), GIVE_UP_CHUNK):  # whoever has to try this again finds less to do
            chunk = left[start : start + GIVE_UP_CHUNK]
            list(mapper(end, chunk))
            given_up = [replace(job, status=JobStatus.CANCELLED, reason=reason) for job in chunk]
            store.end_jobs(ref.key.run_id, given_up, now)
    ended = job_list(store.list_jobs(ref.key.run_id))
    store.clear_token(ref.key.run_id)
    while not store.finish_run(run, status, error, iso(now), ended):
        run = _current(store, ref)  # an operator has acted on it meanwhile
        if run.status.ended:
            return


def what_next(run: Run, jobs: Sequence[JobRun], now: float, seen: Changes, *, changed: bool = True) -> Turn:
    return _next(plan(jobs, now, run.max_concurrent_jobs, run.cancel), seen, changed=changed)


def _next(planned: Plan, seen: Changes, *, changed: bool = True) -> Turn:
    if planned.work:
        return Turn(Next.SUBMIT, seen)
    if planned.outcome is not None:
        return Turn(Next.RECORD, seen)
    return Turn(Next.WAIT, seen, planned.ends_needed, planned.due, changed)


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


def _unknown(job: JobRun, now: float) -> Observation | None:
    if now - job.submitted_at < LOST_AFTER_SECONDS:
        return None
    reason = "Batch does not know the job any more (it forgets ended jobs after 7 days)"
    return Observation(job.job_id, JobStatus.NOTFOUND, reason=reason)


def _as_observation(job: JobRun) -> Observation:
    return Observation(
        job.job_id,
        job.status,
        job.reason,
        job.exit_code,
        job.log_stream,
        job.started_at,
        job.stopped_at,
        job.child_counts,
        attempts=max(0, job.attempts - job.first_attempt + 1),
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
