"""The ports over memory: for tests, and for running schedules without any AWS API."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from operator import attrgetter
from threading import RLock
from typing import Any

from universal_scheduler.adapters.items import (
    UNWATCHED,
    followers_of,
    run_from_values,
    run_to_values,
    schedule_to_item,
)
from universal_scheduler.domain.errors import ObjectUnreadable, SubmissionRefused
from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.attempts import attempts_after, is_next_attempt
from universal_scheduler.domain.runs.model import (
    Attempt,
    AuditEntry,
    Changes,
    Child,
    Execution,
    Job,
    JobRun,
    JobStatus,
    Mark,
    Observation,
    Run,
    RunKey,
    RunStatus,
)


@dataclass(slots=True)
class Parked:
    """How a run waits."""

    changes: Changes = field(default_factory=Changes)
    token: str = ""
    until: int = 0
    """The count of ends at which the token is answered."""
    seen: int = 0
    """The count of urgent changes that were seen when it was parked."""
    generation: int = 0
    turn: int = 0


class MemoryStore:
    """`ports.Store` in dictionaries; `history` holds rows as the table has them."""

    def __init__(self) -> None:
        self.schedules: dict[str, dict[str, Any]] = {}
        self.history: dict[RunKey, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, JobRun]] = {}
        self.waits: dict[str, Parked] = {}
        self.pauses: dict[str, Mark] = {}
        self.trails: dict[str, list[AuditEntry]] = {}
        self.on_write: Callable[[Iterable[JobRun]], None] | None = None
        """Is told of the jobs that were written, at each write."""
        self._lock = RLock()

    def get_schedule(self, schedule_id: str) -> dict[str, Any] | None:
        return deepcopy(self.schedules.get(schedule_id))

    def put_schedule(self, row: Mapping[str, Any]) -> bool:
        schedule_to_item(row)  # it has to fit
        new = row["scheduleId"] not in self.schedules
        self.schedules[row["scheduleId"]] = deepcopy(dict(row))
        return new

    def record_schedule_errors(self, schedule_id: str, errors: Sequence[Mapping[str, str]]) -> None:
        row = self.schedules.get(schedule_id)
        if row is None:
            return
        row.pop("scheduleErrors", None)
        if errors:
            row["scheduleErrors"] = [dict(error) for error in errors]

    def list_schedules(self) -> list[dict[str, Any]]:
        return [deepcopy(self.schedules[key]) for key in sorted(self.schedules)]

    def followers(self) -> dict[str, list[str]]:
        return followers_of(row for row in self.list_schedules() if "scheduleErrors" not in row)

    def create_run(self, run: Run) -> bool:
        known = self.history.get(run.key)
        if known is not None and known.get("executionArn") != run.execution.arn:
            return False
        self.history[run.key] = deepcopy(run_to_values(run))
        return True

    def restart_run(self, run: Run, of: Run, entry: AuditEntry | None = None) -> bool:
        with self._lock:
            row = self.history.get(run.key)
            if row is None:
                return False
            if (row.get("generation", 0), row.get("verbCount") or 0) != (of.generation, of.verb_count):
                return bool(row.get("executionArn") == run.execution.arn)  # done before, and its answer was lost
            for key in run_to_values(of).keys() - run_to_values(run).keys() | {"lastDateTime", "statusReason"}:
                row.pop(key, None)
            row.update(deepcopy(run_to_values(run)))
            self._note(run.key.run_id, entry)
            return True

    def restart_done(self, run: Run) -> None:
        row = self.history[run.key]
        if row["executionArn"] == run.execution.arn:
            row["restarting"] = None

    def finish_run(
        self, run: Run, status: RunStatus, reason: str, ended_at: str, job_list: Sequence[Mapping[str, Any]]
    ) -> bool:
        row = self.history.get(run.key)
        if row is None or row["generation"] != run.generation or row["scheduleStatus"] != RunStatus.RUNNING:
            return False
        if (row.get("verbCount") or 0) != run.verb_count:
            return False
        row.update(scheduleStatus=str(status), statusReason=reason, lastDateTime=ended_at)
        row["jobList"] = [dict(job) for job in job_list]
        return True

    def get_run(self, key: RunKey) -> Run | None:
        row = self.history.get(key)
        return None if row is None else run_from_values(deepcopy(row))

    def find_run(self, execution_name: str) -> Run | None:
        for key, row in self.history.items():
            if row.get("executionName") == execution_name:
                return self.get_run(key)
        return None

    def list_runs(self, schedule_id: str | None, limit: int) -> list[Run]:
        keys = [key for key in self.history if schedule_id in (None, key.schedule_id)]
        keys.sort(key=lambda key: key.start, reverse=True)
        return [run_from_values(deepcopy(self.history[key])) for key in keys[:limit]]

    def recorded_jobs(self, key: RunKey) -> list[dict[str, Any]]:
        return deepcopy(self.history.get(key, {}).get("jobList", []))

    def put_jobs(self, run_id: str, jobs: Iterable[JobRun]) -> None:
        self._write(run_id, jobs)

    def list_jobs(self, run_id: str) -> list[JobRun]:
        return sorted(self.jobs.get(run_id, {}).values(), key=lambda job: job.position)

    def remove_jobs(self, run_id: str, names: Sequence[str]) -> None:
        for name in names:
            self.jobs[run_id].pop(name, None)

    def change_by_verb(self, run: Run, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        with self._lock:
            if not self._as_read(run) or not self.change_job(run.key.run_id, before, after):
                return False
            self._acted(replace(run, verb_count=run.verb_count + 1), entry)
            return True

    def refuse_late(self, run_id: str, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        with self._lock:
            if not self.change_job(run_id, before, after):
                return False
            self._note(run_id, entry)
            return True

    def ask_for_end(self, run: Run, entry: AuditEntry) -> bool:
        with self._lock:
            if not self._as_read(replace(run, cancel=None)):
                return False
            self._acted(replace(run, verb_count=run.verb_count + 1), entry)
            return True

    def pause(self, schedule_id: str, entry: AuditEntry) -> bool:
        with self._lock:
            if schedule_id in self.pauses:
                return False
            self.pauses[schedule_id] = entry.mark
            self._note(schedule_id, entry)
            return True

    def resume(self, schedule_id: str, entry: AuditEntry) -> bool:
        with self._lock:
            if self.pauses.pop(schedule_id, None) is None:
                return False
            self._note(schedule_id, entry)
            return True

    def paused(self, schedule_id: str) -> Mark | None:
        return self.pauses.get(schedule_id)

    def audit(self, owner: str) -> list[AuditEntry]:
        return sorted(self.trails.get(owner, ()), key=lambda entry: entry.mark.at)

    def _as_read(self, run: Run) -> bool:
        known = self.get_run(run.key)
        return known is not None and ACTED_ON(known) == ACTED_ON(run)

    def _acted(self, run: Run, entry: AuditEntry) -> None:
        values = run_to_values(run)
        self.history[run.key].update({key: values[key] for key in ("verbCount", "cancelAsked")})
        self._note(run.key.run_id, entry)

    def _note(self, owner: str, entry: AuditEntry | None) -> None:
        if entry is not None:
            self.trails.setdefault(owner, []).append(entry)

    def claim_jobs(self, run_id: str, jobs: Sequence[JobRun], now: float) -> set[str]:
        return self._write(
            run_id,
            (
                replace(known, status=JobStatus.SUBMITTING, intent_at=now, behind=job.behind, follows=job.follows)
                for job in jobs
                for known in self._attempt(run_id, job)
                if known.status is job.status and known.intent_at == job.intent_at
            ),
        )

    def release_jobs(self, run_id: str, jobs: Sequence[JobRun]) -> set[str]:
        return self._write(
            run_id,
            (
                replace(known, status=JobStatus.WAITING, intent_at=0.0)
                for job in jobs
                for known in self._attempt(run_id, job)
                if known.status is JobStatus.SUBMITTING and known.intent_at == job.intent_at
            ),
        )

    def record_submissions(self, run_id: str, submitted: Sequence[tuple[JobRun, str]], now: float) -> set[str]:
        pairs = [(known, job_id) for job, job_id in submitted for known in self._attempt(run_id, job)]
        # Or it is done, by this very call, or by an event that was faster.
        return {known.name for known, job_id in pairs if known.job_id == job_id} | self._write(
            run_id,
            (
                replace(known, status=JobStatus.SUBMITTED, job_id=job_id, submitted_at=now)
                for known, job_id in pairs
                if known.status is JobStatus.SUBMITTING
            ),
        )

    def end_jobs(self, run_id: str, ended: Sequence[JobRun], now: float) -> set[str]:
        return self._write(
            run_id,
            (
                replace(known, status=job.status, not_taken=job.not_taken, reason=job.reason, stopped_at=now)
                for job in ended
                for known in self._attempt(run_id, job)
                if known.job_id == job.job_id and (known.status.rank < job.status.rank or _ended_so(known, job))
            ),
        )

    def change_job(self, run_id: str, before: JobRun, after: JobRun) -> bool:
        unchanged = [
            after
            for known in self._attempt(run_id, before)
            if (known.status, known.mark) == (before.status, before.mark)
        ]
        return bool(self._write(run_id, unchanged))

    def observe_jobs(self, run_id: str, seen: Sequence[tuple[JobRun, Observation]]) -> set[str]:
        return self._write(
            run_id,
            (
                replace(
                    known,
                    status=observation.status,
                    reason=observation.reason or known.reason,
                    exit_code=known.exit_code if observation.exit_code is None else observation.exit_code,
                    log_stream=observation.log_stream or known.log_stream,
                    started_at=observation.started_at or known.started_at,
                    stopped_at=observation.stopped_at or known.stopped_at,
                    child_counts=observation.child_counts or known.child_counts,
                    attempts=attempts_after(known, observation),
                )
                for job, observation in seen
                for known in self._attempt(run_id, job)
                if known.job_id == observation.job_id and _is_news(known, observation)
            ),
        )

    def _write(self, run_id: str, changed: Iterable[JobRun]) -> set[str]:
        """Write these over what is there; answers their names."""
        written = {job.name: job for job in changed}
        self.jobs.setdefault(run_id, {}).update(written)
        if self.on_write is not None and written:
            self.on_write(written.values())
        return set(written)

    def record_output(self, run_id: str, job: JobRun) -> bool:
        recorded = [
            replace(known, output=job.output, output_problem=job.output_problem)
            for known in self._attempt(run_id, job)
            if known.status is JobStatus.SUCCEEDED
        ]
        return bool(self._write(run_id, recorded))

    def get_jobs(self, run_id: str, names: Sequence[str]) -> list[JobRun]:
        jobs = self.jobs.get(run_id, {})
        return [jobs[name] for name in dict.fromkeys(names) if name in jobs]

    def find_job(self, job_id: str) -> tuple[RunKey, str] | None:
        for run_id, jobs in self.jobs.items():
            for job in jobs.values():
                if job.job_id == job_id:
                    return RunKey.of(run_id), job.name
        return None

    def changes(self, run_id: str) -> Changes:
        return self.waits[run_id].changes if run_id in self.waits else Changes()

    def count_change(self, run_id: str, ended: int, urgent: bool) -> str:
        wait = self.waits.setdefault(run_id, Parked())
        wait.changes = Changes(wait.changes.urgent + urgent, wait.changes.ended + ended)
        return wait.token if urgent or wait.changes.ended >= wait.until else ""

    def park(self, run_id: str, generation: int, token: str, seen: Changes, ends_needed: int, turn: int = 0) -> bool:
        wait = self.waits.setdefault(run_id, Parked())
        until = seen.ended + ends_needed
        if (wait.generation, wait.turn) > (generation, turn):
            return False
        if wait.changes.urgent != seen.urgent or wait.changes.ended >= until:
            return False
        wait.generation, wait.turn = generation, turn
        wait.token, wait.until, wait.seen = token, until, seen.urgent
        return True

    def clear_token(self, run_id: str, token: str = "") -> None:
        wait = self.waits.get(run_id)
        if wait is not None and token in ("", wait.token):
            wait.token = ""

    def _attempt(self, run_id: str, job: JobRun) -> list[JobRun]:
        """The job as it is known, where it is still at this attempt."""
        known = self.jobs.get(run_id, {}).get(job.name)
        return [known] if known is not None and known.attempt == job.attempt else []


def _is_news(known: JobRun, seen: Observation) -> bool:
    counted = seen.child_counts and known.status is seen.status and known.child_counts != seen.child_counts
    further = known.status.rank < seen.status.rank or is_next_attempt(known, seen)
    return further or bool(counted and not seen.status.ended)


ACTED_ON = attrgetter("status", "generation", "cancel", "verb_count", "restarting")
"""What has to be as it was read, of a run that an operator acts on."""


@dataclass(slots=True)
class PlatformJob:
    """A job as the memory platform has it."""

    name: str
    job: Job
    depends_on: tuple[str, ...]
    environment: Mapping[str, str]
    seen: Observation
    children: tuple[Child, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    """What they are said to be; else one, where the job has started."""


@dataclass(slots=True)
class MemoryPlatform:
    """`ports.JobPlatform` in a dictionary; whoever holds it decides how jobs end, with `end`."""

    jobs: dict[str, PlatformJob] = field(default_factory=dict)
    queues: frozenset[str] | None = None
    """The queues there are; None takes any."""
    _dependents: dict[str, list[str]] = field(default_factory=dict)
    """The jobs that depend on a job, by its id."""

    def submit(
        self, job: Job, name: str, depends_on: Sequence[str], environment: Mapping[str, str], tags: Mapping[str, str]
    ) -> str:
        del tags
        if self.queues is not None and job.queue not in self.queues:
            raise SubmissionRefused(f"there is no job queue '{job.queue}'")
        job_id = f"job-{len(self.jobs) + 1}"
        for other in depends_on:
            self._dependents.setdefault(other, []).append(job_id)
        failed = any(self.jobs[other].seen.status is JobStatus.FAILED for other in depends_on)
        seen = Observation(job_id, JobStatus.PENDING if depends_on else JobStatus.SUBMITTED)
        if failed:
            seen = Observation(job_id, JobStatus.FAILED, "Dependent Job failed")
        self.jobs[job_id] = PlatformJob(name, job, tuple(depends_on), environment, seen)
        return job_id

    def find(self, queue: str, name: str) -> str | None:
        return next((i for i, entry in self.jobs.items() if entry.name == name and entry.job.queue == queue), None)

    def describe(self, job_ids: Sequence[str]) -> list[Observation]:
        return [self.jobs[job_id].seen for job_id in job_ids if job_id in self.jobs]

    def attempts(self, job_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        known = {job_id: self._attempts(job_id) for job_id in job_ids}
        return {job_id: attempts for job_id, attempts in known.items() if attempts is not None}

    def _attempts(self, job_id: str) -> tuple[Attempt, ...] | None:
        array_id, _, place = job_id.partition(":")
        entry = self.jobs.get(array_id)
        if entry is None:
            return None
        if place:
            child = next((child for child in entry.children if child.index == int(place)), None)
            stream = f"{job_id}/log"
            ran = child is not None and (child.status.ended or child.status is JobStatus.RUNNING)
            return (
                (Attempt(child.status, 1.0, 2.0, child.exit_code, child.reason, "", stream),) if child and ran else ()
            )
        seen = entry.seen
        made = Attempt(seen.status, seen.started_at, seen.stopped_at, seen.exit_code, seen.reason, "", seen.log_stream)
        return entry.attempts or ((made,) if seen.started_at else ())

    def terminate(self, job_id: str, reason: str) -> None:
        if job_id in self.jobs and self.jobs[job_id].seen.begun:
            if not self.jobs[job_id].seen.status.ended:
                self.end(job_id, JobStatus.FAILED, reason=reason, exit_code=137)
        else:
            self.cancel(job_id, reason)

    def cancel(self, job_id: str, reason: str) -> None:
        """One that waits for others keeps its state until they have ended, as in Batch."""
        entry = self.jobs.get(job_id)
        if entry is None or entry.seen.status.ended or entry.seen.begun:
            return
        if all(self.jobs[other].seen.status.ended for other in entry.depends_on):
            self._fail_unstarted(job_id, reason)
        else:
            entry.seen = replace(entry.seen, cancelled=True, reason=reason)

    def children(self, array_id: str, status: JobStatus, limit: int | None = None) -> list[Child] | None:
        entry = self.jobs.get(array_id)
        if entry is None or not entry.job.array_size:
            return None
        return [child for child in entry.children if child.status is status][:limit]

    def end_array(self, job_id: str, failed: Mapping[int, str] | None = None) -> None:
        """The array's children ran; those of `failed` (by their place in it) failed for these reasons."""
        entry, reasons = self.jobs[job_id], failed or {}
        entry.children = tuple(
            Child(place, JobStatus.FAILED, reasons[place], 1) if place in reasons else Child(place, JobStatus.SUCCEEDED)
            for place in range(entry.job.array_size)
        )
        self.end(job_id, JobStatus.FAILED if failed else JobStatus.SUCCEEDED)
        counts = Counter(str(child.status) for child in entry.children)
        entry.seen = replace(entry.seen, child_counts=dict(counts))

    def end(self, job_id: str, status: JobStatus, *, reason: str = "", exit_code: int | None = None) -> None:
        """The job ran and ended like this; where it failed, jobs that depend on it fail unstarted, as in Batch."""
        entry = self.jobs[job_id]
        entry.seen = Observation(job_id, status, reason, exit_code, started_at=1.0, stopped_at=2.0, attempts=1)
        if status is JobStatus.FAILED:
            self._fail_dependents(job_id)
        for other in self._dependents.get(job_id, ()):
            waiter = self.jobs[other]
            if waiter.seen.cancelled and not waiter.seen.status.ended:
                self.cancel(other, waiter.seen.reason)

    def _fail_unstarted(self, job_id: str, reason: str) -> None:
        entry = self.jobs[job_id]
        entry.seen = Observation(job_id, JobStatus.FAILED, reason, cancelled=True)
        self._fail_dependents(job_id)

    def _fail_dependents(self, job_id: str) -> None:
        failed = deque([job_id])
        while failed:
            for other in self._dependents.get(failed.popleft(), ()):
                entry = self.jobs[other]
                if not entry.seen.status.ended:
                    reason = entry.seen.reason or "Dependent Job failed"
                    entry.seen = replace(entry.seen, status=JobStatus.FAILED, reason=reason)
                    failed.append(other)


@dataclass(slots=True)
class MemoryWorkflow:
    """`ports.Workflow` that remembers what it was asked to start and to wake."""

    started: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    woken: list[str] = field(default_factory=list)
    """The tokens that were answered."""

    stopped: dict[str, float] = field(default_factory=dict)
    """When executions stopped, by their ARNs."""

    def wake(self, token: str) -> None:
        self.woken.append(token)

    ended: set[str] = field(default_factory=set)
    """The names of executions that do not go on any more."""

    def is_running(self, execution: Execution) -> bool:
        name = execution.arn.rpartition(":")[2]
        return name in self.started and name not in self.ended

    def stopped_at(self, execution: Execution) -> float | None:
        return self.stopped.get(execution.arn)

    def start(self, name: str, message: Mapping[str, Any]) -> tuple[Execution, bool]:
        new = name not in self.started
        self.started.setdefault(name, message)
        return Execution(f"arn:aws:states:us-east-1:123456789012:execution:schedule_runner:{name}", name), new


def _ended_so(known: JobRun, job: JobRun) -> bool:
    """Whether the job FAILED because it was cancelled."""
    cancelled = job.status is JobStatus.CANCELLED and known.status is JobStatus.FAILED
    return cancelled and bool(job.reason) and known.reason.startswith(job.reason)


class MemoryWatch:
    """`ports.Watch` beside a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.marks: dict[tuple[str, str], float] = {}
        """When telling was begun; -1 where it is done."""
        self.durations: dict[str, dict[str, list[float]]] = {}

    def due_runs(self, now: float) -> Iterator[RunKey]:
        due = {key: row["watchAt"] for key, row in self._store.history.items() if row.get("watch")}
        yield from sorted((key for key, at in due.items() if at <= now), key=lambda key: due[key])

    def look_again(self, key: RunKey, at: float) -> None:
        self._store.history[key]["watchAt"] = at

    def leave(self, key: RunKey) -> None:
        row = self._store.history[key]
        if row["scheduleStatus"] != RunStatus.RUNNING:
            row.update(UNWATCHED)

    def told(self, run_id: str) -> set[str]:
        return {name for (owner, name), at in self.marks.items() if owner == run_id and at < 0}

    def begin_telling(self, run_id: str, name: str, now: float, stale: float) -> bool:
        begun = self.marks.get((run_id, name))
        if begun is not None and (begun < 0 or begun >= stale):
            return False
        self.marks[run_id, name] = now
        return True

    def end_telling(self, run_id: str, name: str) -> None:
        self.marks[run_id, name] = -1.0

    def unanswered_token(self, run_id: str) -> str:
        wait = self._store.waits.get(run_id, Parked())
        return wait.token if wait.changes.ended >= wait.until or wait.changes.urgent > wait.seen else ""

    def samples(self, schedule_id: str) -> dict[str, list[float]]:
        return deepcopy(self.durations.get(schedule_id, {}))

    def keep_samples(self, schedule_id: str, samples: Mapping[str, Sequence[float]]) -> None:
        self.durations[schedule_id] = {name: list(values) for name, values in samples.items()}


class MemoryJobLog:
    """`ports.JobLog` in a dictionary."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, JobEvent]] = {}

    def append(self, events: Sequence[JobEvent]) -> None:
        for event in events:
            self.events.setdefault(event.job_id, {})[event.position] = event

    def history(self, job_id: str) -> list[JobEvent]:
        known = self.events.get(job_id, {})
        return [known[position] for position in sorted(known)]

    def changed_jobs(self, queues: Sequence[str], since: float, status: JobStatus | None = None) -> Iterator[str]:
        for last in self._newest_first(since):
            if last.queue in queues and status in (None, last.seen.status):
                yield last.job_id

    def named_jobs(self, name: str, since: float) -> Iterator[str]:
        for last in self._newest_first(since):
            if name == (last.job_name or last.name):
                yield last.job_id

    def _newest_first(self, since: float) -> list[JobEvent]:
        """The last event of each job."""
        last = [self.history(job_id)[-1] for job_id in self.events]
        return sorted(
            (event for event in last if event.position >= iso(since)), key=lambda event: event.position, reverse=True
        )


@dataclass(slots=True)
class MemoryOutbox:
    """`ports.Outbox` that keeps what it is given."""

    bodies: list[str] = field(default_factory=list)
    paused: list[tuple[str, int]] = field(default_factory=list)
    dead: list[tuple[str, str]] = field(default_factory=list)

    def put(self, bodies: Sequence[str]) -> None:
        self.bodies += bodies

    def put_off(self, receipt: str, seconds: int) -> None:
        self.paused.append((receipt, seconds))

    def give_up(self, body: str, reason: str) -> None:
        self.dead.append((body, reason))


@dataclass(slots=True)
class MemoryObjects:
    """`ports.ObjectStore` in a dictionary, by address."""

    objects: dict[str, bytes] = field(default_factory=dict)

    def address(self, key: str) -> str:
        return f"s3://memory/{key}"

    def read(self, address: str, limit_bytes: int) -> bytes:
        content = self.objects.get(address)
        if content is None:
            raise ObjectUnreadable(f"{address} cannot be read: it is not there")
        if len(content) > limit_bytes:
            raise ObjectUnreadable(f"{address} has {len(content):,} bytes, and the limit is {limit_bytes:,}")
        return content
