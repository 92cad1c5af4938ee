"""Takes jobs through their lifecycle. Everything here runs in one event loop and never waits.

    SUBMITTED ──► PENDING ──► RUNNABLE ──► STARTING ──► RUNNING ──► SUCCEEDED / FAILED
                 (unmet        ▲ (no room)                 │
                  dependencies) └──── another attempt ─────┘

https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import Signals
from typing import Any, TypeAlias
from uuid import uuid4

from universal_scheduler.domain.batch.limits import OVERRIDES_LIMIT
from universal_scheduler.local.batch import describe
from universal_scheduler.local.batch.bounds import bounds_of
from universal_scheduler.local.batch.clock import Clock
from universal_scheduler.local.batch.dependencies import Waiters
from universal_scheduler.local.batch.job_file import JobFile
from universal_scheduler.local.batch.jobs import JobStore
from universal_scheduler.local.batch.journal import FileJournal, Journal, NoJournal
from universal_scheduler.local.batch.logs import LogShipper, log_group
from universal_scheduler.local.batch.model import (
    ArrayProgress,
    Attempt,
    Job,
    JobSpec,
    JobStatus,
    Named,
    Reason,
    Stop,
)
from universal_scheduler.local.batch.naming import Naming
from universal_scheduler.local.batch.placement import Placement
from universal_scheduler.local.batch.resources import Resources
from universal_scheduler.local.batch.retry import should_retry
from universal_scheduler.local.batch.runner import Exit, Runner
from universal_scheduler.local.state import State

MAX_REASON = 255
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
"""What ECS says of a container that was killed for this, which Batch passes on:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html"""
STOP_GRACE_SECONDS = 30.0
"""Between SIGTERM and SIGKILL: https://docs.aws.amazon.com/batch/latest/userguide/job_timeouts.html"""
FORGET_SECONDS = 3600.0
FORGOTTEN_AT_ONCE = 500
_HINDERED_SECONDS = 1.0
"""Between two looks whether jobs may start again."""

Listener: TypeAlias = Callable[[str, JobStatus, Callable[[], dict[str, Any]]], None]
"""Is given a job's id and the status it has come to, and what makes its JobDetail (as it is by then)."""

logger = logging.getLogger(__name__)


class Lifecycle:
    """All jobs, and what happens to them. ``Batch`` documents the arguments."""

    def __init__(
        self,
        *,
        naming: Naming,
        jobs_dir: Path,
        state: State,
        base_env: Mapping[str, str],
        logs: LogShipper,
        runner: Runner,
        clock: Clock,
        listener: Listener | None,
        on_blocked: Callable[[dict[str, Any]], None] | None,
        hindrance: Callable[[], str],
        stop_grace_seconds: float,
        archives: bool,
    ) -> None:
        self._naming = naming
        self._jobs_dir = jobs_dir
        self._base_env = dict(base_env)
        self._logs = logs
        self._runner = runner
        self._clock = clock
        self._listener, self._on_blocked, self._hindrance = listener, on_blocked, hindrance
        self._looks_again = False
        self._grace = stop_grace_seconds
        self.resources = Resources(naming, self._resource_changed)
        self._file = JobFile(state)
        self.journal: Journal = FileJournal(self._file, clock, self.resources.row) if state.durable else NoJournal()
        self.jobs = JobStore(self._file, self.journal, archives=archives)
        self._waiters = Waiters()
        self._placement = Placement()
        self._submitted: deque[Job] = deque()
        self._ended: deque[Job] = deque()
        self._settling = False
        self._awake = False
        self._closed = False
        self._held = state.durable
        """Nothing starts until it is known what goes on from before."""
        self._live = self._load() if state.durable else []
        self._seq = self._file.last() if state.durable else 0

    def open(self) -> None:
        self._clock.call_later(FORGET_SECONDS, self._forget)

    def close(self) -> None:
        """Start nothing any more."""
        self._closed = True

    def close_file(self) -> None:
        """The last thing: what has happened until now is written."""
        self.journal.close()
        self._file.close()

    def advance(self) -> None:
        """Do at once what the event loop would do next."""
        if self._awake:
            self._turn()
        self._runner.advance()

    def submit(self, spec: JobSpec, tags: dict[str, str]) -> Job:
        self._seq += 1
        job = Job(id=str(uuid4()), seq=self._seq, spec=spec, created_at=self._clock.now(), tags=tags)
        self.jobs.add(job)
        self.journal.after(lambda: self._look_at(job), lambda _: self.jobs.withdraw(job))
        return job

    def _look_at(self, job: Job) -> None:
        self._submitted.append(job)
        self._wake()

    def detail(self, job: Job) -> dict[str, Any]:
        """The job as DescribeJobs shows it."""
        owner = job.parent or job
        return describe.job_detail(job, self._naming, owner.tags)

    def outputs(self) -> dict[str, Path]:
        """The files with what attempts have printed, by their tasks' ids."""
        return {path.stem: path for path in self._jobs_dir.glob("*.log")}

    def _output(self, task_id: str) -> Path:
        return self._jobs_dir / f"{task_id}.log"

    # What goes on from before

    def _load(self) -> list[Job]:
        """The jobs that have not ended, arrays with all their children, as they were at the last turn."""
        live = self._file.live()
        for job in live:
            if job.spec.array_size is not None and job.status is not JobStatus.SUBMITTED:
                children = self._file.all_children(job)
                counts = dict.fromkeys(JobStatus, 0) | Counter(child.status for child in children)
                unfinished = sum(not child.status.is_final for child in children)
                job.array = ArrayProgress(children, counts, self._clock.now(), unfinished)
            for it in (job, *(job.array.children if job.array else ())):
                self.jobs.enter(it)
        return live

    def resume(self) -> None:
        """Go on where the last engine was: queues are there, and what runs commands is open."""
        if not self._held:
            return
        self.resources.restore(self._file.resources())
        self._notify_again()
        self._held = False
        live, self._live = self._live, []
        for job in live:
            self._resume(job)
        self._runner.end_others()
        self._wake()

    def _notify_again(self) -> None:
        """What was written and perhaps not told."""
        numbers: dict[str, list[int]] = {}
        for number, job_id in self._file.untold():
            numbers.setdefault(job_id, []).append(number)
        for job_id, told in numbers.items():
            if job := self.jobs.get(job_id):
                self._notify(job)
            for number in told:
                self.journal.notified(number)

    def _resume(self, job: Job) -> None:
        if job.status is JobStatus.SUBMITTED:
            self._submitted.append(job)
            return
        if job.array is None:
            self._resume_one(job, failed=self._waits_for_whole(job))
            return
        failed = self._waits_for_whole(job)
        gated = failed or job.unmet > 0
        n_to_n = self._n_to_n(job)
        previous: Job | None = None
        for child in job.array.children:
            child.unmet = 1 if gated else 0
            child_failed = not child.status.is_final and self._wait_for(child, self._upstream(child, n_to_n, previous))
            self._resume_one(child, failed=child_failed)
            previous = child
        if failed:
            self._fail_waiting(job)

    def _resume_one(self, job: Job, *, failed: bool) -> None:
        match job.status:
            case JobStatus.PENDING if failed:
                self._fail_waiting(job)
            case JobStatus.PENDING if job.unmet == 0:
                self._release(job)
            case JobStatus.RUNNABLE:
                self._placement.add(job)
            case JobStatus.STARTING | JobStatus.RUNNING:
                self._resume_attempt(job)

    def _resume_attempt(self, job: Job) -> None:
        """An attempt of which the file says that it starts or runs."""
        assert job.task_id is not None
        self._placement.occupy(job)
        key, output = self._key(job), self._output(job.task_id)
        starts = job.status is JobStatus.STARTING
        if not starts:
            self._follow(job, key, output)
        known = self._runner.adopt(
            key,
            on_start=lambda started_at: self._started(job, key, output, started_at) if starts else None,
            on_exit=lambda how: self._exited(job, key, how),
        )
        if not known and starts and self._runner.kept:
            self._launch(job)  # which the last engine did not come to
        elif not known:
            self._exited(job, key, Exit(host_terminated=True))
        elif (stop := job.stop) is not None:
            job.stop = None
            self._stop(job, stop)

    # Scheduling

    def _resource_changed(self, arn: str) -> None:
        self.journal.resource(arn)
        self._wake()

    def _wake(self) -> None:
        """Something may have become able to go on: look once what runs now is done."""
        if not (self._awake or self._closed or self._held):
            self._awake = True
            self._clock.call_later(0, self._turn)

    def _turn(self) -> None:
        self._awake = False
        if self._closed:
            return
        while self._submitted:
            job = self._submitted.popleft()
            if job.status is JobStatus.SUBMITTED:  # not cancelled meanwhile
                self._evaluate(job)
        if reason := self._hindrance():
            self._hinder(reason)
        else:
            for job, environment in self._placement.place(self.resources.queues.values(), self.resources.environments):
                self._start(job, environment)
            for job in self._placement.blocking():
                self._notify_blocked(job)
        self.journal.write()

    def _hinder(self, reason: str) -> None:
        """Let no job start for the moment."""
        if self._placement.hold(reason) and not self._looks_again:
            self._looks_again = True
            self._clock.call_later(_HINDERED_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._looks_again = False
        self._wake()

    def _evaluate(self, job: Job) -> None:
        """Find out what a submitted job waits for."""
        failed = self._waits_for_whole(job)
        if job.spec.array_size is not None:
            self._transition(job, JobStatus.PENDING)
            self._spawn_children(job, job.spec.array_size, gated=failed or job.unmet > 0)
            if failed:
                self._fail_waiting(job)
        elif failed:
            self._fail_waiting(job)
        elif job.unmet:
            self._transition(job, JobStatus.PENDING)
        else:
            self._make_runnable(job)

    def _waits_for_whole(self, job: Job) -> bool:
        """Register a job with those that it depends on as a whole; True if one of them has failed already."""
        return self._wait_for(job, [self.jobs.get(job_id) for job_id in job.spec.dependencies.jobs])

    def _wait_for(self, job: Job, upstream: Sequence[Job | None]) -> bool:
        """Register a job with those it depends on; True if one of them has failed already."""
        failed = False
        for other in upstream:
            if other is None or other.status is JobStatus.SUCCEEDED:
                continue  # one that was known at submission and has been forgotten since had ended long ago
            if other.status is JobStatus.FAILED:
                failed = True
            else:
                self._waiters.add(other, job)
        return failed

    def _spawn_children(self, parent: Job, size: int, *, gated: bool) -> None:
        """``gated``: the whole array waits for something."""
        now = self._clock.now()
        children = [
            Job(
                id=f"{parent.id}:{index}",
                seq=parent.seq,
                spec=parent.spec,
                created_at=now,
                status=JobStatus.PENDING,
                parent=parent,
                index=index,
                unmet=1 if gated else 0,  # that one is met by _release
            )
            for index in range(size)
        ]
        counts = dict.fromkeys(JobStatus, 0) | {JobStatus.PENDING: size}
        parent.array = ArrayProgress(children, counts, now, unfinished=size)
        n_to_n = self._n_to_n(parent)
        previous: Job | None = None
        for child in children:
            self.jobs.add(child)
            failed = self._wait_for(child, self._upstream(child, n_to_n, previous))
            previous = child
            if failed:
                self._fail_waiting(child)
            elif child.unmet == 0:
                self._make_runnable(child)

    def _n_to_n(self, array: Job) -> list[Sequence[Job | None]]:
        """The children of each array that an array's children wait for one by one."""
        arrays = array.spec.dependencies.n_to_n
        # An array that was cancelled at once has no children: then its own end counts.
        return [self.jobs.children(it) or [self.jobs.get(it)] * (array.spec.array_size or 0) for it in arrays]

    def _upstream(self, child: Job, n_to_n: Sequence[Sequence[Job | None]], previous: Job | None) -> list[Job | None]:
        assert child.index is not None
        before = [previous] if previous is not None and child.spec.dependencies.sequential else []
        return [children[child.index] for children in n_to_n] + before

    def _make_runnable(self, job: Job) -> None:
        self._transition(job, JobStatus.RUNNABLE)
        self._placement.add(job)
        self._wake()

    def _start(self, job: Job, environment: Named) -> None:
        job.environment = environment
        if job.spec.overrides_length > OVERRIDES_LIMIT:  # which SubmitJob accepts, and ECS does not
            self._placement.release(job)
            self._end(job, JobStatus.FAILED, Reason.OVERRIDES_TOO_LONG, self._clock.now())
            self._wake()
            return
        job.task_id = uuid4().hex
        self._transition(job, JobStatus.STARTING)
        self.journal.after(lambda: self._launch(job))

    def _key(self, job: Job) -> str:
        """The name under which the current attempt is known to what runs it."""
        return f"{job.id}/{len(job.attempts) + 1}"

    def _launch(self, job: Job) -> None:
        assert job.environment is not None
        assert job.task_id is not None
        # Beside the working directory, not in it: a job finds it empty, and may clean it.
        key, output = self._key(job), self._output(job.task_id)
        self._runner.start(
            key,
            job.spec.command,
            self._environment(job, job.environment, len(job.attempts) + 1),
            self._jobs_dir / job.task_id,
            output,
            bounds=bounds_of(job.spec),
            on_start=lambda _: self._started(job, key, output, self._clock.now()),
            on_exit=lambda how: self._exited(job, key, how),
        )

    def _environment(self, job: Job, environment: Named, attempt: int) -> dict[str, str]:
        """https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html"""
        variables = {
            **self._base_env,
            **job.spec.environment,
            "AWS_BATCH_JOB_ID": job.id,
            "AWS_BATCH_JOB_ATTEMPT": str(attempt),
            "AWS_BATCH_JQ_NAME": job.spec.queue.name,
            "AWS_BATCH_CE_NAME": environment.name,
        }
        if job.index is not None:
            variables["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
            variables["AWS_BATCH_JOB_ARRAY_SIZE"] = str(job.spec.array_size)
        return variables

    # The running attempt

    def _started(self, job: Job, key: str, output: Path, started_at: int) -> None:
        job.started_at = started_at
        self._follow(job, key, output)
        self._transition(job, JobStatus.RUNNING)

    def _follow(self, job: Job, key: str, output: Path) -> None:
        """The current attempt runs: bring its output to its log, and end it in time."""
        assert job.started_at is not None
        self._logs.follow(
            key,
            output,
            job.log_stream,
            log_group(job.spec.container),
            offset=job.shipped,
            on_shipped=lambda shipped: self._shipped(job, shipped),
        )
        if (seconds := job.spec.timeout_seconds) is not None:
            stop = Stop(Reason.TIMED_OUT, by_user=False)
            left = max(0.0, seconds - (self._clock.now() - job.started_at) / 1000)
            job.timers.append(self._clock.call_later(left, lambda: self._stop(job, stop)))

    def _shipped(self, job: Job, shipped: int) -> None:
        job.shipped = shipped
        self.journal.changed(job)

    def _stop(self, job: Job, stop: Stop) -> None:
        """End the running attempt, gently at first."""
        if job.stop is not None:
            return
        job.stop = stop
        self.journal.changed(job)
        key = self._key(job)
        self._runner.kill(key, Signals.SIGTERM)
        job.timers.append(self._clock.call_later(self._grace, lambda: self._runner.kill(key, Signals.SIGKILL)))

    def _exited(self, job: Job, key: str, how: Exit) -> None:
        for timer in job.timers:
            timer.cancel()
        job.timers.clear()
        # The runner says when a job ended. That it had started may have been heard of later than that.
        stopped_at = max(how.at or self._clock.now(), job.started_at or 0)
        self._logs.finish(key, lambda: self._attempt_over(job, key, how, stopped_at))

    def _attempt_over(self, job: Job, key: str, how: Exit, stopped_at: int) -> None:
        assert job.environment is not None
        assert job.task_id is not None
        ran = job.started_at is not None
        if job.stop is not None:
            status_reason = job.stop.reason
        elif how.host_terminated:
            status_reason = self._naming.host_terminated()
        else:
            status_reason = Reason.EXITED if ran else Reason.NOT_STARTED
        reason = None if how.error is None else f"CannotStartContainerError: {how.error}"[:MAX_REASON]
        if how.out_of_memory:
            reason = OUT_OF_MEMORY
        attempt = Attempt(
            task_arn=self._naming.task_arn(job.environment.name, job.task_id),
            log_stream=job.log_stream if ran else None,
            exit_code=how.exit_code,
            reason=reason,
            status_reason=str(status_reason),
            started_at=job.started_at,
            stopped_at=stopped_at,
        )
        job.attempts += (attempt,)
        job.shipped = 0
        stop, job.stop = job.stop, None
        self._placement.release(job)
        self._wake()
        if stop is not None:
            # Neither a job that was terminated nor one that timed out is tried again.
            self._end(job, JobStatus.FAILED, attempt.status_reason, stopped_at)
        elif how.exit_code == 0:
            self._end(job, JobStatus.SUCCEEDED, attempt.status_reason, stopped_at)
        elif should_retry(job.spec.retry, job.attempts):
            job.started_at = None
            self._make_runnable(job)
        else:
            self._end(job, JobStatus.FAILED, attempt.status_reason, stopped_at)
        self.journal.after(lambda: self._runner.forget(key))

    # Ends

    def cancel(self, job: Job, reason: str) -> None:
        """End a job that does not start yet. One that waits for others stays PENDING until they have ended, as AWS
        has it: https://docs.aws.amazon.com/batch/latest/APIReference/API_CancelJob.html"""
        if job.status.is_final or job.cancel_reason is not None:
            return
        self.jobs.changed(job)
        if job.array is not None:
            job.cancel_reason = reason
            for child in job.array.children:
                self.cancel(child, reason)
        elif job.status in (JobStatus.SUBMITTED, JobStatus.RUNNABLE):
            job.cancel_reason = reason
            self._end(job, JobStatus.FAILED, reason, self._clock.now())
            self._wake()  # it may have been the one that held up its queue
        elif job.status is JobStatus.PENDING:
            job.cancel_reason = reason

    def terminate(self, job: Job, reason: str) -> None:
        if job.status.is_final:
            return
        job.terminated = True
        self.jobs.changed(job)
        if job.array is not None:
            job.cancel_reason = job.cancel_reason or reason
            for child in job.array.children:
                self.terminate(child, reason)
        elif job.status in (JobStatus.STARTING, JobStatus.RUNNING):
            self._stop(job, Stop(reason, by_user=True))
        else:
            self.cancel(job, reason)

    def _end(self, job: Job, status: JobStatus, reason: str, now: int) -> None:
        """A job has ended: so do those that cannot run without it, and those that waited for it may run."""
        job.stopped_at = now
        self._transition(job, status, reason)
        self._ended.append(job)
        if self._settling:
            return  # the loop below, further up the stack, goes on: a chain of 10,000 must not recurse
        self._settling = True
        try:
            while self._ended:
                self._settle(self._ended.popleft())
        finally:
            self._settling = False

    def _settle(self, job: Job) -> None:
        for waiter in self._waiters.pop(job):
            waiter.unmet -= 1
            if waiter.status.is_final:
                continue
            if job.status is JobStatus.FAILED:
                self._fail_waiting(waiter)
            elif waiter.unmet == 0:
                self._release(waiter)
        parent = job.parent
        if parent is not None and parent.array is not None:
            parent.array.unfinished -= 1
            if parent.array.unfinished == 0:
                self._end_array(parent, parent.array)

    def _release(self, job: Job) -> None:
        """The last dependency of a job has succeeded."""
        if job.array is not None:
            for child in job.array.children:
                child.unmet -= 1
                if child.unmet == 0 and not child.status.is_final:
                    self._release(child)
        elif job.cancel_reason is not None:
            self._fail_waiting(job)
        else:
            self._make_runnable(job)

    def _fail_waiting(self, job: Job) -> None:
        """A job that will never run, or an array none of whose children will: something it depends on has failed, or
        it was cancelled while it waited."""
        if job.array is not None:
            job.array.doomed = True
            for child in job.array.children:
                if not child.status.is_final:
                    self._fail_waiting(child)
        else:
            self._end(job, JobStatus.FAILED, job.cancel_reason or Reason.DEPENDENCY_FAILED, self._clock.now())

    def _end_array(self, parent: Job, array: ArrayProgress) -> None:
        now = self._clock.now()
        if array.counts[JobStatus.FAILED] == 0:
            self._end(parent, JobStatus.SUCCEEDED, "", now)
        else:
            reason = Reason.DEPENDENCY_FAILED if array.doomed else Reason.CHILD_FAILED
            self._end(parent, JobStatus.FAILED, parent.cancel_reason or reason, now)

    def _transition(self, job: Job, status: JobStatus, reason: str | None = None) -> None:
        job.status_reason = reason or None
        self.jobs.move(job, status, self._clock.now())
        self._notify(job)

    def _notify(self, job: Job) -> None:
        if self._listener is not None:
            listener, job_id, status = self._listener, job.id, job.status
            if self._file.durable:  # it is told later, of what is now
                detail = self.detail(job)
                self.journal.notify(job, lambda: listener(job_id, status, lambda: detail))
            else:
                try:
                    listener(job_id, status, lambda: self.detail(job))
                except Exception:
                    logger.exception("the listener failed on job %s, %s", job_id, status)

    def _notify_blocked(self, job: Job) -> None:
        if self._on_blocked is not None:
            try:
                self._on_blocked(self.detail(job))
            except Exception:
                logger.exception("the listener failed on job %s, which holds up its queue", job.id)

    def _forget(self) -> None:
        jobs = self.jobs.forget(self._clock.now(), FORGOTTEN_AT_ONCE)
        for job in jobs:
            for attempt in job.attempts:
                task_id = attempt.task_arn.rpartition("/")[2]
                shutil.rmtree(self._jobs_dir / task_id, ignore_errors=True)
                self._output(task_id).unlink(missing_ok=True)
        if not self._closed:
            self._clock.call_later(FORGET_SECONDS if len(jobs) < FORGOTTEN_AT_ONCE else 0.1, self._forget)
