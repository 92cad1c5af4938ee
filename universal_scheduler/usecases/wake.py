"""Wakes waiting runs: the execution of a run parks a task token, and whoever changes something answers the token.

The change counters of a run only grow, and are read before the jobs are. A change after that read and before the
parking makes the parking fail; a change after the parking answers the token. So no change is missed, in whatever order
things happen. If an event is lost, the time-out of the wait leads to the next look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence

from universal_scheduler.domain.errors import PlatformUnavailable, RunChanged
from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.names import batch_job_name, is_batch_job_name
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.arrays import array_seen, first_child
from universal_scheduler.domain.runs.attempts import is_next_attempt
from universal_scheduler.domain.runs.model import Changes, JobRun, JobStatus, Observation, RunKey
from universal_scheduler.domain.runs.planner import explain, upstream_first
from universal_scheduler.ports.jobs import Jobs
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.waits import Waits
from universal_scheduler.ports.workflow import Workflow
from universal_scheduler.usecases.describe import describe_all
from universal_scheduler.usecases.drive import RunRef

AWAITED_SECONDS = 120.0
"""How long an event of an unknown job that looks like one of ours is tried again: its id may not be stored yet."""


def wait_for_change(store: Store, ref: RunRef, token: str, seen: Changes, ends_needed: int, turn: int = 0) -> None:
    """Park the token of an execution that waits after its `turn`th turn. It is answered when the plan may have changed.

    Raises:
        RunChanged: the plan may have changed since `seen`, or a newer execution waits.
    """
    if not store.park(ref.key.run_id, ref.generation, token, seen, ends_needed, turn):
        raise RunChanged(ref.key.run_id)


def signal_change(
    store: Waits,
    workflow: Workflow,
    run_id: str,
    *,
    ended: int = 0,
    urgent: bool = False,
    names: Sequence[str] = (),
) -> None:
    """Count a change of a run and wake the run: `ended` jobs have ended, or something `urgent` has happened.

    `names` are the jobs whose rows have changed. Call it after the change is written. A second call for the same change
    only costs a needless look.
    """
    token = store.count_change(run_id, ended, urgent, names)
    if token:
        workflow.wake(token)
        store.clear_token(run_id, token)


def handle_job_events(
    store: Store, workflow: Workflow, platform: JobPlatform, events: Sequence[JobEvent], now: float
) -> list[JobEvent]:
    """Record what Batch reports of the jobs of runs, and wake the runs whose plan may change.

    Events may come late, twice and in any order; only the newest state of a job is kept. Some events change nothing:
    those of jobs that no run has submitted, those of array children (except the start of the first child, which is the
    start of the array), and those of earlier submissions. A job that Batch has accepted after its run had given it up
    is ended.

    Returns: the events that must be handled again soon, because what they depend on is not known yet.
    """
    later: list[JobEvent] = []
    by_run: dict[RunKey, dict[str, list[JobEvent]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        is_child = event.parent_id and not event.starts_array
        if is_child or not (event.run or is_batch_job_name(event.name)):
            continue
        job_id = event.of_submitted.job_id
        key, name = (event.run, event.job_name) if event.run else store.find_job(job_id) or (None, "")
        if key is not None:
            by_run[key][name].append(event)
        elif now - event.at < AWAITED_SECONDS:
            later.append(event)
    for key, events_by_job in by_run.items():
        later += _handle_events_of_run(store, workflow, platform, key, events_by_job, now)
    return later


def _handle_events_of_run(
    store: Store,
    workflow: Workflow,
    platform: JobPlatform,
    key: RunKey,
    events_by_job: Mapping[str, Sequence[JobEvent]],
    now: float,
) -> list[JobEvent]:
    jobs = {job.name: job for job in store.get_jobs(key.run_id, list(events_by_job))}
    newest = {
        name: _newest([event.of_submitted for event in ours])
        for name, job in jobs.items()
        if (ours := [event for event in events_by_job[name] if _is_of(event, job, key)])
    }
    newest |= _with_starts(platform, [job for name, job in jobs.items() if name in newest], newest, now)
    later = [
        event
        for name, job in jobs.items()
        for event in events_by_job[name]
        if _is_stray(event, job, key) and not _ended(platform, event)
    ]
    news: list[tuple[JobRun, Observation]] = []
    ended: list[str] = []
    urgent = False
    known = dict(jobs)
    # A failed job explains why those downstream never started: handle it first.
    for name in upstream_first({name: _known_upstream(jobs[name], newest) for name in newest}):
        job = jobs[name]
        seen = _explained(store, key, job, newest[name], known)
        if seen is None:  # after a while the run's next look tells: somebody may have ended it before its turn
            later += [it for it in events_by_job[name] if it.seen is newest[name] and now - it.at < AWAITED_SECONDS]
            continue
        if seen.status.rank > job.status.rank or is_next_attempt(job, seen):
            # One without an id: the event was faster than the answer to SubmitJob.
            news.append((job if job.job_id else replace(job, submitted_at=now), seen))
            known[name] = replace(job, status=seen.status)
        elif seen.status is not job.status:
            continue  # the job was ended otherwise, by somebody who told the run
        if seen.status.ended:
            ended.append(name)
            urgent = urgent or not seen.status.satisfies
    if news:
        store.observe_jobs(key.run_id, news)
    if ended:
        signal_change(store, workflow, key.run_id, ended=len(ended), urgent=urgent, names=ended)
    return later


def _newest(seen: Sequence[Observation]) -> Observation:
    """How far a job is by what was heard of it; with its start, where only what came before has it (of an array)."""
    newest = max(seen, key=lambda one: (one.status.rank, one.attempts))
    started = next((one for one in seen if one.started_at), None)
    if started is None or newest.started_at:
        return newest
    return replace(newest, started_at=started.started_at, attempts=max(started.attempts, newest.attempts))


def _with_starts(
    platform: JobPlatform, jobs: Sequence[JobRun], newest: Mapping[str, Observation], now: float
) -> dict[str, Observation]:
    """What was heard of arrays that have ended before their start was heard, with the start of their first child."""
    without = [
        job
        for job in jobs
        if job.job.is_array
        and newest[job.name].status.ended
        and not job.status.ended
        and not (job.started_at or newest[job.name].started_at)
    ]
    if not without:
        return {}
    try:
        asked = describe_all(platform, [first_child(newest[job.name].job_id) for job in without])
        seen = {one.job_id: one for one in asked}
    except PlatformUnavailable:
        return {}  # then the array shows no start
    return {
        job.name: array_seen(newest[job.name], seen.get(first_child(newest[job.name].job_id)), now) for job in without
    }


def _known_upstream(job: JobRun, names: Container[str]) -> list[str]:
    return [name for name in job.job.depends_on if name in names]


def _is_stray(event: JobEvent, job: JobRun, key: RunKey) -> bool:
    """Whether a job is at work that its run does not know of: it was given up before anybody had stored the id."""
    unknown = job.status.ended and not job.job_id
    return unknown and event.of_submitted.status.live and event.name == batch_job_name(key, job.name, job.attempt)


def _ended(platform: JobPlatform, event: JobEvent) -> bool:
    try:
        platform.terminate(event.of_submitted.job_id, "The run went on without this job.")
    except PlatformUnavailable:
        return False
    return True


def _is_of(event: JobEvent, job: JobRun, key: RunKey) -> bool:
    """Whether the event is about the attempt that the job run is at."""
    if job.status is JobStatus.SUBMITTING:
        return event.name == batch_job_name(key, job.name, job.attempt)
    return event.of_submitted.job_id == job.job_id


def _explained(
    store: Jobs, key: RunKey, job: JobRun, seen: Observation, known: Mapping[str, JobRun]
) -> Observation | None:
    """What was seen, with whose fault it was where the job was never started; None where that cannot be told yet."""
    if seen.status is not JobStatus.FAILED or seen.started_at or not job.job.dependencies:
        return seen
    after = replace(job, status=seen.status, started_at=seen.started_at)
    missing = [name for name in job.job.depends_on if name not in known]
    upstream = {other.name: other for other in store.get_jobs(key.run_id, missing)} if missing else {}
    explained = explain(after, {**known, **upstream})
    if explained is None:
        return None
    return seen if explained is after else replace(seen, status=explained.status, reason=explained.reason)
