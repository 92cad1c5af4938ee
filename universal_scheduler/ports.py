"""What the use cases need from the world: a store, a job platform, a workflow service. Adapters implement these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from universal_scheduler.domain.events.job_events import JobEvent
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

if TYPE_CHECKING:  # most functions tell nobody anything: they need not load it
    from universal_scheduler.domain.messages.messages import LogTail, Message
    from universal_scheduler.domain.messages.notifications import Channel


class Store(Protocol):
    """Schedules, runs and job runs. Every write that changes a state is conditional and answers whether it took."""

    def get_schedule(self, schedule_id: str) -> dict[str, Any] | None:
        """The schedule's row as its owner wrote it, with `scheduleErrors` where it has some."""
        ...

    def put_schedule(self, row: Mapping[str, Any]) -> bool:
        """Store a row whole; True where there was none with its scheduleId before.

        Raises:
            ItemTooLarge: the row is over DynamoDB's 400 KB, its jobs compressed.
        """
        ...

    def record_schedule_errors(self, schedule_id: str, errors: Sequence[Mapping[str, str]]) -> None:
        """Write (or with none, remove) what is wrong with a row beside it; a row that is gone stays gone.

        Where a row has no room for all of them, the first are written, as many as it has room for.
        """
        ...

    def list_schedules(self) -> list[dict[str, Any]]: ...

    def followers(self) -> dict[str, list[str]]:
        """For each schedule that a trigger names: the scheduleIds that start after it; rows with errors do not."""
        ...

    def create_run(self, run: Run) -> bool:
        """False where the key is another execution's run already; True also where this execution made it before."""
        ...

    def restart_run(self, run: Run, of: Run, entry: AuditEntry | None = None) -> bool:
        """Make the run `of` what `run` says, which another execution drives, and write the audit entry with it.

        False where its generation is another one by now, or an operator has acted on it.
        """
        ...

    def restart_done(self, run: Run) -> None:
        """The jobs of a restart are written: verbs may come again."""
        ...

    def finish_run(
        self, run: Run, status: RunStatus, reason: str, ended_at: str, job_list: Sequence[Mapping[str, Any]]
    ) -> bool:
        """Record how a RUNNING run of this generation ended.

        False where it was not RUNNING any more, or an operator has acted on it since it was read.
        """
        ...

    def get_run(self, key: RunKey) -> Run | None: ...

    def find_run(self, execution_name: str) -> Run | None:
        """The run that the execution of this name drives; eventually consistent."""
        ...

    def list_runs(self, schedule_id: str | None, limit: int) -> list[Run]:
        """The newest runs first, of one schedule or of all."""
        ...

    def recorded_jobs(self, key: RunKey) -> list[dict[str, Any]]:
        """`jobList` as the history row has it (where operators write PASS); empty where it has none."""
        ...

    def put_jobs(self, run_id: str, jobs: Iterable[JobRun]) -> None:
        """Write these job runs over whatever is there: only for a run that nothing else works on.

        Raises:
            StoreUnavailable: throttled for too long; some may be written.
        """
        ...

    def list_jobs(self, run_id: str) -> list[JobRun]:
        """In the order of the schedule's jobList."""
        ...

    def remove_jobs(self, run_id: str, names: Sequence[str]) -> None:
        """Remove the rows of jobs that a restarted run does not have any more."""
        ...

    def change_job(self, run_id: str, before: JobRun, after: JobRun) -> bool:
        """From one state to any other; False where status, attempt or mark are not what they were `before`."""
        ...

    def record_output(self, run_id: str, job: JobRun) -> bool:
        """Keep the job's `output`, or its `output_problem`, as they are now; False where another attempt has begun."""
        ...

    # Changes of many jobs of one run, each job at most once in a call. Every job's change has its own condition and is
    # written or not for itself; they answer the names of the jobs whose change was written.

    def claim_jobs(self, run_id: str, jobs: Sequence[JobRun], now: float) -> set[str]:
        """The intent to submit, `behind` which jobs: WAITING (or an older intent of this attempt) → SUBMITTING."""
        ...

    def release_jobs(self, run_id: str, jobs: Sequence[JobRun]) -> set[str]:
        """SUBMITTING with this very intent → WAITING: the platform certainly did not take the job."""
        ...

    def record_submissions(self, run_id: str, submitted: Sequence[tuple[JobRun, str]], now: float) -> set[str]:
        """SUBMITTING → SUBMITTED with the platform's id; also those whose id is recorded already."""
        ...

    def end_jobs(self, run_id: str, ended: Sequence[JobRun], now: float) -> set[str]:
        """End jobs that the platform does not have, or has been told to end: with status and reason as given here.

        Only those that still have the platform's id that they have here: one that was submitted meanwhile runs.

        One that is to be CANCELLED may be recorded as FAILED for this reason already: the event of its end was faster.

        `not_taken` says of a SKIPPED one that no rule can reach it any more.
        """
        ...

    def observe_jobs(self, run_id: str, seen: Sequence[tuple[JobRun, Observation]]) -> set[str]:
        """Record what the platform says, where it is further along than what is known, or counts children otherwise."""
        ...

    def get_jobs(self, run_id: str, names: Sequence[str]) -> list[JobRun]:
        """These job runs, in any order; those that there are not are left out."""
        ...

    def find_job(self, job_id: str) -> tuple[RunKey, str] | None:
        """The run and the job that the platform knows by this id; eventually consistent."""
        ...

    # What has happened to a run while its execution waits

    def changes(self, run_id: str) -> Changes: ...

    def count_change(self, run_id: str, ended: int, urgent: bool) -> str:
        """Count ends of jobs, and an urgent change; answers the parked token where its waiting is over, else ""."""
        ...

    def park(self, run_id: str, generation: int, token: str, seen: Changes, ends_needed: int, turn: int = 0) -> bool:
        """Keep the token until something urgent happens or so many jobs have ended, both counted from what was `seen`.

        False where that has happened already, or where a newer generation, or a later turn of this one, waits.
        """
        ...

    def clear_token(self, run_id: str, token: str = "") -> None:
        """Forget this token, which was answered (another one that was parked meanwhile stays), or any."""
        ...

    # What operators do: each with its line of the audit trail, both or neither

    def change_by_verb(self, run: Run, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        """`change_job`, in a run that is as it was read; False where one of them is not what it was."""
        ...

    def refuse_late(self, run_id: str, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        """`change_job`, with the line of the audit trail that says that a verb came too late for the job."""
        ...

    def ask_for_end(self, run: Run, entry: AuditEntry) -> bool:
        """Write `run.cancel` to a RUNNING run; False where the run is not what it was when it was read."""
        ...

    def pause(self, schedule_id: str, entry: AuditEntry) -> bool:
        """No trigger starts the schedule any more; False where it is paused already."""
        ...

    def resume(self, schedule_id: str, entry: AuditEntry) -> bool:
        """Take a pause back; False where it is not paused."""
        ...

    def paused(self, schedule_id: str) -> Mark | None:
        """Who paused the schedule, where somebody did."""
        ...

    def audit(self, owner: str) -> list[AuditEntry]:
        """The audit trail of a run (by its run id) or of a schedule (by its scheduleId), oldest first."""
        ...


class Watch(Protocol):
    """What the watchdogs remember: which runs to look at when, what was told, how long jobs use to take."""

    def due_runs(self, now: float) -> Iterator[RunKey]:
        """The runs that are to be looked at by now, the longest due first. Eventually consistent."""
        ...

    def look_again(self, key: RunKey, at: float) -> None:
        """Look at the run again then (epoch seconds)."""
        ...

    def leave(self, key: RunKey) -> None:
        """Never look at the run again, unless it is RUNNING (once more) by now."""
        ...

    def told(self, run_id: str) -> set[str]:
        """The names of all that was told of the run."""
        ...

    def begin_telling(self, run_id: str, name: str, now: float, stale: float) -> bool:
        """Whether it is ours to tell: nobody has told it, or begun to since `stale` (epoch seconds)."""
        ...

    def end_telling(self, run_id: str, name: str) -> None:
        """It is told: nobody begins with it again."""
        ...

    def unanswered_token(self, run_id: str) -> str:
        """The parked token, where it should have been answered: whoever counted the change has not come to it."""
        ...

    def samples(self, schedule_id: str) -> dict[str, list[float]]:
        """For each job of a schedule: how long its last successful runs took (seconds), oldest first."""
        ...

    def keep_samples(self, schedule_id: str, samples: Mapping[str, Sequence[float]]) -> None: ...


class JobLog(Protocol):
    """What Batch has told of every job in the scheduler's queues, whoever submitted it. Nothing in it is changed."""

    def append(self, events: Sequence[JobEvent]) -> None:
        """Keep these; one that is there already stays as it is.

        Raises:
            StoreUnavailable: throttled for too long; some may be written.
        """
        ...

    def history(self, job_id: str) -> list[JobEvent]:
        """All that is kept of a job, in order; empty for one that no event has told of."""
        ...

    def changed_jobs(self, queues: Sequence[str], since: float, status: JobStatus | None = None) -> Iterator[str]:
        """Ids of the jobs of these queues (ARNs) with an event since then (epoch seconds), the last changed first.

        With a status those whose last event has it. Eventually consistent.
        """
        ...

    def named_jobs(self, name: str, since: float) -> Iterator[str]:
        """Ids of the jobs of this name with an event since then, the last changed first. Eventually consistent.

        A run's job has its name in the schedule, another its name in Batch.
        """
        ...


class JobPlatform(Protocol):
    """Where jobs run."""

    def submit(
        self, job: Job, name: str, depends_on: Sequence[str], environment: Mapping[str, str], tags: Mapping[str, str]
    ) -> str:
        """Submit under this name after these job ids; answers the platform's id.

        Raises:
            SubmissionRefused: it will never be accepted as it is.
            Throttled: the platform did not take it for the moment; nothing has happened.
            PlatformUnavailable: the service failed: it may or may not have been accepted.
        """
        ...

    def find(self, queue: str, name: str) -> str | None:
        """The id of the job of exactly this name, where the platform has it."""
        ...

    def describe(self, job_ids: Sequence[str]) -> list[Observation]:
        """What the platform knows of these jobs; one that it does not know is left out."""
        ...

    def attempts(self, job_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """Every attempt of each of these jobs (at most a hundred), oldest first; one it does not know is left out.

        Raises:
            PlatformUnavailable: the platform did not answer.
        """
        ...

    def terminate(self, job_id: str, reason: str) -> None:
        """End a job, in whatever state it is; one that has ended stays as it is."""
        ...

    def cancel(self, job_id: str, reason: str) -> None:
        """Keep a job from starting; one that has started goes on, and so do the children of an array that have.

        One that waits for others may keep its state until those have ended: `Observation.cancelled` says that it was
        told to end, and never starts.

        Raises:
            PlatformUnavailable: the platform did not answer.
        """
        ...

    def children(self, array_id: str, status: JobStatus, limit: int | None = None) -> list[Child] | None:
        """An array's children that are in this state, the first `limit` of them; None where it knows no such array.

        Raises:
            PlatformUnavailable: the platform did not answer.
        """
        ...


class ObjectStore(Protocol):
    """Where jobs leave what others need: their outputs, lists of values."""

    def address(self, key: str) -> str:
        """The address of the stage's own object of this key, as jobs are told it: `s3://bucket/key`, or a path."""
        ...

    def read(self, address: str, limit_bytes: int) -> bytes:
        """The object at an address.

        Raises:
            ObjectUnreadable: it is not there, not ours to read, or larger than that.
            StoreUnavailable: the service did not answer; try again later.
        """
        ...


class Workflow(Protocol):
    """Starts executions of the state machine, and wakes them."""

    def wake(self, token: str) -> None:
        """Answer an execution's task token; one that nobody waits for any more is no error."""
        ...

    def start(self, name: str, message: Mapping[str, Any]) -> tuple[Execution, bool]:
        """The execution of this name, and whether this call started it."""
        ...

    def is_running(self, execution: Execution) -> bool:
        """Whether an execution still goes on; one that nobody knows does not."""
        ...

    def stopped_at(self, execution: Execution) -> float | None:
        """When an execution stopped (epoch seconds), 0 for one that nobody knows; None while it goes on."""
        ...


class Outbox(Protocol):
    """The queue of what is still to be told, a message for each channel."""

    def put(self, bodies: Sequence[str]) -> None:
        """Raises:
        StoreUnavailable: not all were taken; all may be put again.
        """
        ...

    def put_off(self, receipt: str, seconds: int) -> None:
        """Let a message that was received come again after so long."""
        ...

    def give_up(self, body: str, reason: str) -> None:
        """Put a message that cannot be delivered to the dead letters, with the reason."""
        ...


class Notifier(Protocol):
    """Hands messages to the services that people read them in."""

    def send(self, channel: Channel, message: Message, now: float) -> None:
        """Raises, without anything secret in the text:
        DeliveryRefused: it will never be taken like this.
        DeliveryFailed: it may be taken later.
        """
        ...


class LogTails(Protocol):
    """What jobs printed."""

    def tail(self, job: JobRun, lines: int) -> LogTail:
        """The last lines of a job's log, oldest first; none where there is no log, or none can be read.

        Of an array those of the first child that failed.
        """
        ...
