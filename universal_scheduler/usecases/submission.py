"""Does what a plan says: ends jobs, settles submissions in doubt, and submits, many jobs at a time."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from threading import Lock

from universal_scheduler.domain.batch.pacing import next_slot
from universal_scheduler.domain.batch.request import check_request, submit_job_request
from universal_scheduler.domain.errors import PlatformUnavailable, StoreUnavailable, SubmissionRefused, Throttled
from universal_scheduler.domain.events.job_events import FIRST_ATTEMPT_TAG
from universal_scheduler.domain.names import batch_job_name
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.model import AuditEntry, JobRun, JobStatus, Mark, Observation, Run, RunKey
from universal_scheduler.domain.runs.planner import (
    DONE_BY,
    INTENT_SETTLE_SECONDS,
    Cancel,
    End,
    Recover,
    Reopen,
    Submit,
    Withdraw,
    Work,
    withdrawn,
)
from universal_scheduler.ports.objects import ObjectStore
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.ports.store import Store
from universal_scheduler.usecases.job_inputs import prepared, read_output
from universal_scheduler.usecases.mapper import Mapper

WAVE = 25
"""How many jobs are claimed, and their ids recorded, at a time: as many as a crash leaves to be looked up again."""
CLAIM_LIMIT_SECONDS = INTENT_SETTLE_SECONDS / 3
"""A job whose intent is older is not submitted any more: the call could outlast the settling time."""
ENOUGH_SECONDS = 10.0
"""With less time left no job is submitted: the call may take as long, and its id is still to be recorded."""
TERMINATE_REASON_LIMIT = 1024
"""https://docs.aws.amazon.com/batch/latest/APIReference/API_TerminateJob.html"""


class Pace:
    """Holds whoever calls it until the next call may go: at most `rate` a second, from however many threads."""

    def __init__(self, rate: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._last, self._lock = float("-inf"), Lock()

    def __call__(self) -> None:
        if not self._rate:
            return
        with self._lock:
            now = self._clock()
            self._last = next_slot(self._last, now, self._rate)
            pause = self._last - now
        if pause > 0:
            self._sleep(pause)


UNPACED = Pace(0, lambda: 0.0, lambda _: None)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What submitting needs besides the ports; `submit_jobs` says what each is for."""

    clock: Callable[[], float]
    time_left: Callable[[], float]
    mapper: Mapper
    pace: Callable[[], None]


def read_outputs(
    store: Store, objects: ObjectStore, run: Run, jobs: Sequence[JobRun], runtime: Runtime
) -> dict[str, JobRun]:
    """Read and keep what these jobs have put out; answers them as they are afterwards.

    Raises:
        Throttled: the outputs cannot be read for the moment.
    """
    try:
        found = list(runtime.mapper(lambda job: read_output(objects, run.key, job), jobs))
    except StoreUnavailable as error:
        raise Throttled(str(error)) from error
    return {job.name: job for job in found if store.record_output(run.key.run_id, job)}


def do_wave(
    store: Store,
    platform: JobPlatform,
    objects: ObjectStore,
    run: Run,
    wave: Sequence[Work],
    jobs: dict[str, JobRun],
    runtime: Runtime,
) -> dict[str, JobRun]:
    """Do up to `WAVE` actions of a plan; answers the jobs that have changed, as they are afterwards.

    A job is submitted exactly once: the intents of all first, then the calls, upstream first, then their ids. What was
    certainly not accepted (throttled, or not called any more) is given back; what is in doubt keeps its intent.

    Raises:
        Throttled, PlatformUnavailable: as the platform said, when all the rest is recorded.
    """
    key = run.key

    def terminate(action: Cancel) -> None:
        platform.terminate(jobs[action.name].job_id, action.reason[:TERMINATE_REASON_LIMIT])

    ends = [_ended(jobs[action.name], action) for action in wave if isinstance(action, End | Cancel)]
    if cancels := [action for action in wave if isinstance(action, Cancel)]:
        list(runtime.mapper(terminate, cancels))
    reopened = [jobs[action.name] for action in wave if isinstance(action, Reopen)]
    doubts = [jobs[action.name] for action in wave if isinstance(action, Recover)]
    submits = [action for action in wave if isinstance(action, Submit)]
    took = store.end_jobs(key.run_id, ends, runtime.clock()) if ends else set()
    changed = {job.name: job for job in ends if job.name in took}
    changed |= _next_attempts(store, key, reopened)
    changed |= _recover(store, platform, key, doubts, runtime)
    if submits:
        changed |= _Submission(store, platform, objects, run, runtime, known=ChainMap({}, changed, jobs)).make(submits)
    if withdrawals := [action for action in wave if isinstance(action, Withdraw)]:
        changed |= _Withdrawal(store, platform, key, jobs, runtime).make(withdrawals)
    return changed


def _next_attempts(store: Store, key: RunKey, jobs: Sequence[JobRun]) -> dict[str, JobRun]:
    """Let these jobs wait for their next attempts; answers those that do."""
    attempts = {job.name: (job, withdrawn(job)) for job in jobs}
    return {name: after for name, (job, after) in attempts.items() if store.change_job(key.run_id, job, after)}


def _ended(job: JobRun, action: End | Cancel) -> JobRun:
    if isinstance(action, Cancel):
        return replace(job, status=JobStatus.CANCELLED, reason=action.reason)
    return replace(job, status=action.status, not_taken=action.not_taken, reason=action.reason)


def _recover(
    store: Store, platform: JobPlatform, key: RunKey, doubts: Sequence[JobRun], runtime: Runtime
) -> dict[str, JobRun]:
    """Settle submissions in doubt: a job of its name was accepted; without one it never was, and may be again."""

    def find(job: JobRun) -> str | None:
        return platform.find(job.job.queue, batch_job_name(key, job.name, job.attempt))

    if not doubts:
        return {}
    found = list(zip(doubts, runtime.mapper(find, doubts), strict=True))
    accepted = [(job, job_id) for job, job_id in found if job_id is not None]
    never = [job for job, job_id in found if job_id is None]
    now = runtime.clock()
    if accepted:
        store.record_submissions(key.run_id, accepted, now)
    if never:
        store.release_jobs(key.run_id, never)
    return {job.name: _submitted(job, job_id, now) for job, job_id in accepted} | {
        job.name: replace(job, status=JobStatus.WAITING, intent_at=0.0) for job in never
    }


@dataclass(slots=True)
class _Withdrawal:
    """Takes jobs back that have not started. What has started goes on, and a verb that was asked of it is refused.

    CancelJob ends no job that has started, and does not say whether it had. So the job is looked at before, and after:
    it is taken back when the platform says that it will never start.
    https://docs.aws.amazon.com/batch/latest/APIReference/API_CancelJob.html
    """

    store: Store
    platform: JobPlatform
    key: RunKey
    jobs: Mapping[str, JobRun]
    runtime: Runtime

    def make(self, actions: Sequence[Withdraw]) -> dict[str, JobRun]:
        """The jobs that changed; one of which nothing can be said yet did not."""
        changed: dict[str, JobRun] = {}
        here = [job for action in actions if not (job := self.jobs[action.name]).job_id]
        there = [action for action in actions if self.jobs[action.name].job_id]
        for job in here:  # the platform never took it
            changed[job.name] = self._changed(job, withdrawn(job))
        undecided = self._settle(there, changed)
        if undecided:
            list(self.runtime.mapper(self._cancel, undecided))
            self._settle(undecided, changed)
        return changed

    def _cancel(self, action: Withdraw) -> None:
        self.platform.cancel(self.jobs[action.name].job_id, action.reason[:TERMINATE_REASON_LIMIT])

    def _settle(self, actions: Sequence[Withdraw], changed: dict[str, JobRun]) -> list[Withdraw]:
        """Look at the jobs, and do what follows; answers the actions on those that may still start."""
        if not actions:
            return []
        found = {seen.job_id: seen for seen in self.platform.describe([self.jobs[it.name].job_id for it in actions])}
        undecided = []
        for action in actions:
            job = self.jobs[action.name]
            seen = found.get(job.job_id)
            if seen is None and not job.status.ended:
                continue  # not listed yet, or forgotten: the next look tells
            if seen is None or self._has_begun(job, seen):
                changed[job.name] = self._too_late(job, seen)
            elif seen.status.ended or seen.cancelled:
                changed[job.name] = self._changed(job, withdrawn(job))
            else:
                undecided.append(action)
        return undecided

    def _has_begun(self, job: JobRun, seen: Observation) -> bool:
        if not job.job.is_array or not (seen.status.ended or seen.cancelled):
            return seen.begun
        # Its children were cancelled one by one: which of those that failed had started, each of them has to say.
        if any(seen.child_counts.get(state) for state in (JobStatus.STARTING, JobStatus.RUNNING, JobStatus.SUCCEEDED)):
            return True
        return any(child.started_at for child in self.platform.children(job.job_id, JobStatus.FAILED) or ())

    def _too_late(self, job: JobRun, seen: Observation | None) -> JobRun:
        if seen is not None:
            self.store.observe_jobs(self.key.run_id, [(job, seen)])
        job = self._as_it_is(job)
        after = replace(job, withdraw_asked=False, move_to="", mark=None if job.withdraw_asked else job.mark)
        if not job.withdraw_asked or job.mark is None:
            return self._changed(job, after)
        why = f"too late: it had started before it could be {DONE_BY[job.mark.verb]}, as {job.mark.by} asked"
        refused = Mark(job.mark.verb, "the scheduler", self.runtime.clock(), why)
        entry = AuditEntry(refused, job.name, str(job.status), str(job.status))
        return after if self.store.refuse_late(self.key.run_id, job, after, entry) else self._as_it_is(job)

    def _changed(self, job: JobRun, after: JobRun) -> JobRun:
        """The job as it is afterwards; where its row has gone on meanwhile, as that has it."""
        return after if self.store.change_job(self.key.run_id, job, after) else self._as_it_is(job)

    def _as_it_is(self, job: JobRun) -> JobRun:
        return next(iter(self.store.get_jobs(self.key.run_id, [job.name])), job)


@dataclass(slots=True)
class _Submission:
    """The submission of one wave's jobs."""

    store: Store
    platform: JobPlatform
    objects: ObjectStore
    run: Run
    runtime: Runtime
    known: MutableMapping[str, JobRun]
    """All jobs of the run, those submitted here as they are by then."""
    since: float = 0.0
    """When the intents were written."""
    stopped: PlatformUnavailable | None = None
    """Why the platform is not called any more."""

    def make(self, actions: Sequence[Submit]) -> dict[str, JobRun]:
        claimed = self._claim(actions)
        submitted: list[tuple[JobRun, str]] = []
        refused: list[JobRun] = []
        unsent: list[JobRun] = []
        for level in _levels([action for action in actions if action.name in claimed]):
            at_once = self.runtime.mapper if len(level) > 1 else map  # a thread for one call only delays it
            for action, answer in zip(level, at_once(self._call, level), strict=True):
                job = claimed[action.name]
                match answer:
                    case str():
                        submitted.append((job, answer))
                        self.known[job.name] = _submitted(job, answer, self.runtime.clock())
                    case SubmissionRefused():
                        refused.append(replace(job, status=JobStatus.FAILED, reason=str(answer)))
                    case Throttled() | None:
                        unsent.append(job)
                    case PlatformUnavailable():
                        pass  # it may have been accepted: whoever finds the intent looks it up
        changed = self._record(submitted)
        if refused:
            self.store.end_jobs(self.run.key.run_id, refused, self.runtime.clock())
        if unsent:
            self.store.release_jobs(self.run.key.run_id, unsent)
        if self.stopped is not None:
            raise self.stopped
        return changed | {job.name: job for job in refused}

    def _claim(self, actions: Sequence[Submit]) -> dict[str, JobRun]:
        """The jobs whose intent is ours; what somebody else is submitting is not."""
        ours = {action.name for action in actions}
        # An upstream job that was refused a moment ago lets its dependents go to the next plan.
        wanted = [
            replace(
                self.known[action.name],
                behind={name: self.known[name].attempt for name in action.after},
                follows=action.follows,
            )
            for action in actions
            if all(name in ours or self.known[name].status.live for name in action.after)
        ]
        self.since = self.runtime.clock()
        took = self.store.claim_jobs(self.run.key.run_id, wanted, self.since) if wanted else set()
        return {
            job.name: replace(job, status=JobStatus.SUBMITTING, intent_at=self.since)
            for job in wanted
            if job.name in took
        }

    def _call(self, action: Submit) -> str | SubmissionRefused | PlatformUnavailable | None:
        """The platform's id or its refusal; None where it was not called."""
        upstream = [self.known[name] for name in action.after]
        if self.stopped is not None or not all(other.status.live for other in upstream):
            return None
        job, key = self.known[action.name], self.run.key
        name, ids = batch_job_name(key, job.name, job.attempt), [other.job_id for other in upstream]
        tags = _tags(key, job)
        try:
            spec, environment = prepared(self.objects, self.run, job, self.known)
            check_request(submit_job_request(spec, name, ids, environment, tags))
            self.runtime.pace()
            late = self.runtime.clock() - self.since > CLAIM_LIMIT_SECONDS
            if late or self.runtime.time_left() < ENOUGH_SECONDS:
                return None
            return self.platform.submit(spec, name, ids, environment=environment, tags=tags)
        except StoreUnavailable as error:
            self.stopped = Throttled(str(error))
            return self.stopped
        except SubmissionRefused as refusal:
            return refusal
        except PlatformUnavailable as error:
            self.stopped = error
            return error

    def _record(self, submitted: Sequence[tuple[JobRun, str]]) -> dict[str, JobRun]:
        if not submitted:
            return {}
        now = self.runtime.clock()
        recorded = self.store.record_submissions(self.run.key.run_id, submitted, now)
        for job, job_id in submitted:
            if job.name not in recorded:
                # The row has moved on without us (the run was given up): nobody would watch this job.
                self.platform.terminate(job_id, "The run went on without this job.")
        return {job.name: _submitted(job, job_id, now) for job, job_id in submitted if job.name in recorded}


def _tags(key: RunKey, job: JobRun) -> dict[str, str]:
    tags = {"usched:scheduleId": key.schedule_id, "usched:start": key.start, "usched:jobName": job.name}
    return tags | ({FIRST_ATTEMPT_TAG: str(job.first_attempt)} if job.first_attempt > 1 else {})


def _levels(actions: Sequence[Submit]) -> list[list[Submit]]:
    """The actions, upstream first, in groups of which none waits for another of its group."""
    depths: dict[str, int] = {}
    levels: list[list[Submit]] = []
    for action in actions:
        depth = max((depths[name] + 1 for name in action.after if name in depths), default=0)
        depths[action.name] = depth
        if depth == len(levels):
            levels.append([])
        levels[depth].append(action)
    return levels


def _submitted(job: JobRun, job_id: str, now: float) -> JobRun:
    return replace(job, status=JobStatus.SUBMITTED, job_id=job_id, submitted_at=now)
