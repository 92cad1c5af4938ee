"""The data of the scheduler: schedules, runs, the jobs of runs, and their states. It has no behaviour of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Scalar = str | int | float | bool


class RunStatus(StrEnum):
    """The state of a run. RUNNING is the only state from which a run goes on."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        return self is not RunStatus.RUNNING


class JobStatus(StrEnum):
    """The state of a job in a run.

    The scheduler's own states come first (WAITING, HELD, SUBMITTING), then the states of AWS Batch, then the ends.
    https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
    """

    WAITING = "WAITING"
    HELD = "HELD"
    SUBMITTING = "SUBMITTING"
    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    RUNNABLE = "RUNNABLE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    UPSTREAM_FAILED = "UPSTREAM_FAILED"
    CANCELLED = "CANCELLED"
    NOTFOUND = "NOTFOUND"

    @property
    def rank(self) -> int:
        """How far the job has come, as a number. A report is late, and changes nothing, if its rank is not higher than
        the known one."""
        return _RANKS[self]

    @property
    def ended(self) -> bool:
        return self in ENDED

    @property
    def satisfies(self) -> bool:
        """Whether this end lets the jobs after this one run under the rule `all_success`."""
        return self in SATISFYING

    @property
    def live(self) -> bool:
        """Whether the job platform has the job, and the job has not ended."""
        return self in LIVE


LIVE = frozenset(
    {JobStatus.SUBMITTED, JobStatus.PENDING, JobStatus.RUNNABLE, JobStatus.STARTING, JobStatus.RUNNING},
)
SATISFYING = frozenset({JobStatus.SUCCEEDED, JobStatus.SKIPPED})
ENDED = SATISFYING | {JobStatus.FAILED, JobStatus.UPSTREAM_FAILED, JobStatus.CANCELLED, JobStatus.NOTFOUND}
_ORDER = ("WAITING", "HELD", "SUBMITTING", "SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
NOT_BEGUN = frozenset({"SUBMITTED", "PENDING", "RUNNABLE"})
"""The states of Batch in which a job, or a child of an array, has not started."""
_RANKS = {status: _ORDER.index(status) if status in _ORDER else len(_ORDER) for status in JobStatus}


class Verb(StrEnum):
    """What an operator does to a job, a run or a schedule. The module `verbs` says when each is legal."""

    HOLD = "hold"
    RELEASE = "release"
    SKIP = "skip"
    FORCE_OK = "force-ok"
    RERUN = "rerun"
    CANCEL = "cancel"
    RESTART = "restart"
    PAUSE = "pause"
    RESUME = "resume"
    BACKFILL = "backfill"


@dataclass(frozen=True, slots=True)
class Mark:
    """What an operator has done, or what the operator asks the execution of the run to do."""

    verb: Verb
    by: str
    at: float
    """Epoch seconds."""
    reason: str = ""

    def __str__(self) -> str:
        return f"by {self.by}: {self.reason}" if self.reason else f"by {self.by}"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit trail of a run or a schedule: a verb and what it changed."""

    mark: Mark
    job: str = ""
    """The name of the job; empty if the verb was done to the run or the schedule."""
    before: str = ""
    """The state before the verb."""
    after: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The other keys of the request, for example those of a restart's message."""


class RunWhen(StrEnum):
    """The rule that decides when a job runs, by how its upstream jobs have ended. `rules.judge` defines each rule."""

    ALL_SUCCESS = "all_success"
    ALL_DONE = "all_done"
    ALL_FAILED = "all_failed"
    ONE_SUCCESS = "one_success"
    ONE_FAILED = "one_failed"
    NONE_FAILED = "none_failed"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Dependency:
    """One entry of `jobDependencies`: the upstream job, and at most one condition on how it must have ended."""

    job: str
    status: JobStatus | None = None
    exit_codes: tuple[int, ...] = ()
    output: tuple[tuple[str, str], ...] = ()
    """Names in the upstream job's output, each with the value that it must have, as text."""

    @property
    def conditional(self) -> bool:
        """Whether the entry has a condition, so that it is one branch of several."""
        return self.status is not None or bool(self.exit_codes) or bool(self.output)


@dataclass(frozen=True, slots=True)
class Job:
    """One entry of a schedule's `jobList`."""

    name: str
    queue: str
    definition: str
    dependencies: tuple[Dependency, ...] = ()
    run_when: RunWhen = RunWhen.ALL_SUCCESS
    final: bool = False
    """The document's key `finally`: the job runs when all other jobs have ended, whatever their ends are."""
    optional: bool = False
    """Whether the run can succeed although this job has failed."""
    hold: bool = False
    """Whether the job starts as HELD and waits until an operator releases it."""
    not_before: float = 0.0
    """The job does not start before this time, in epoch seconds; 0 means at any time."""
    array_size: int = 0
    """The number of children of an array job. It is 0 for a job that is no array, and for an array whose values decide
    it."""
    for_each: tuple[str, ...] = ()
    """The values of the children of an array job, one for each child."""
    for_each_s3: str = ""
    """The `s3://` address of an object with the values. The scheduler reads it when it submits the job."""
    outputs_of: tuple[str, ...] = ()
    """The upstream jobs whose output this job needs: a reference or the `output` of a dependency names them."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    container_overrides: Mapping[str, Any] | None = None
    retry_strategy: Mapping[str, Any] | None = None
    timeout_seconds: int | None = None
    priority: int | None = None
    """Batch's schedulingPriorityOverride. It has an effect in queues with a scheduling policy."""
    share_identifier: str = ""
    max_queue_seconds: float | None = None
    """How long the job may wait in its queue before people get a message; None means as long as its schedule says."""
    fallback_queue: str = ""
    """The queue to which the scheduler moves the job when it has waited longer than that."""
    recorded_status: str = ""
    """The document's `jobStatus`. `PASS` skips the job. A restart keeps `SUCCEEDED` and `SKIP`."""
    recorded_id: str = ""
    """The document's `jobId`: the id of the Batch job in the run that the document was recorded from."""

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The names of the upstream jobs, in the order of the document."""
        return tuple(dependency.job for dependency in self.dependencies)

    @property
    def is_array(self) -> bool:
        return bool(self.array_size or self.for_each or self.for_each_s3)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule document that has passed every check."""

    schedule_id: str
    jobs: tuple[Job, ...]
    document: Mapping[str, Any]
    """The document as its owner wrote it, with camelCase keys, without the keys that the scheduler writes."""
    wait_seconds: int = 60
    triggers: tuple[Mapping[str, Any], ...] = ()
    """What starts the schedule: the objects in the document's `trigger`, each with one key of
    `documents.triggers.TRIGGERS`. It is empty if the insertion of the row starts the schedule."""
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    """The parameters that a run may get, with their defaults."""

    @property
    def starts_when_inserted(self) -> bool:
        """Whether the insertion of the schedule's row starts a run."""
        return not self.triggers


@dataclass(frozen=True, slots=True, order=True)
class RunKey:
    """The key of one run: the schedule, and the start of the run in UTC as ISO 8601 with microseconds and without a
    zone."""

    schedule_id: str
    start: str

    @property
    def run_id(self) -> str:
        """Both parts of the key in one text: `nightly#2026-11-21T06:00:00.000001`."""
        return f"{self.schedule_id}#{self.start}"

    @classmethod
    def of(cls, run_id: str) -> RunKey:
        """The key whose `run_id` this is."""
        schedule_id, _, start = run_id.partition("#")
        return cls(schedule_id, start)


@dataclass(frozen=True, slots=True)
class Execution:
    """The Step Functions execution that drives a run."""

    arn: str
    name: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a schedule, as its row in the history table has it."""

    key: RunKey
    status: RunStatus
    execution: Execution
    generation: int = 1
    """The number of executions that have driven this run. Only the newest of them may change it."""
    wait_seconds: int = 60
    """Seconds between two looks at the jobs."""
    cause: Mapping[str, Any] = field(default_factory=dict)
    """What started the run: its `kind`, and what else is known of the event."""
    reason: str = ""
    ended_at: str = ""
    """When the run ended: UTC, ISO 8601 with microseconds; empty while it is RUNNING."""
    document: Mapping[str, Any] = field(default_factory=dict)
    cancel: Mark | None = None
    """Who asked for the end of the run. The execution of the run then ends its jobs first, and after them the run."""
    verb_count: int = 0
    """The number of verbs that operators have done to the run and its jobs. An execution can only end the run if this
    number has not changed since its last look."""
    preparing: bool = False
    """Whether the start or the restart of the run is still writing its jobs. Until then no operator may act on it."""
    job_list_omitted: int = 0
    """The number of jobs that do not fit into the row's `jobList`, so that the row has none; 0 if the row has its
    `jobList`."""

    @property
    def seconds(self) -> float:
        """How long the run took, in seconds, from its first start to its last end. Restarts and the time between them
        count."""
        took = datetime.fromisoformat(self.ended_at or self.key.start) - datetime.fromisoformat(self.key.start)
        return max(0.0, took.total_seconds())

    @property
    def max_concurrent_jobs(self) -> int | None:
        """How many jobs of the run Batch may have at a time; None means any number."""
        limit = self.document.get("maxConcurrentJobs")
        return None if limit is None else int(limit)

    @property
    def parameters(self) -> Mapping[str, Scalar]:
        """The parameters of this run: the values that it was given, and the schedule's defaults for the others."""
        given: Mapping[str, Scalar] = self.document.get("parameters", {})
        return given


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a job, from the start of its container to its end. Times are epoch seconds; 0 means that there is
    none."""

    status: JobStatus
    started_at: float = 0.0
    stopped_at: float = 0.0
    exit_code: int | None = None
    reason: str = ""
    log_group: str = ""
    """The CloudWatch log group; empty means Batch's own."""
    log_stream: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """One Batch job that a job of a run was submitted as. A restart submits the job again, as another Batch job."""

    job_id: str
    first: int
    """The number of its first attempt among all attempts of the job."""
    attempts: int
    """The number of its attempts that have begun."""
    children: str = ""
    """The children of an array that it had, as `arrays.write_children` writes them; empty means all."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """One job in one run: its specification and everything that has happened to it."""

    job: Job
    position: int = 0
    """The place of the job in the schedule's `jobList`, from 0."""
    status: JobStatus = JobStatus.WAITING
    attempt: int = 1
    """The number of this submission of the job, from 1. A restart submits the job again under another name. People see
    `attempts` instead."""
    attempts: int = 0
    """The number of attempts that have begun, over all submissions. Each submission of an array counts as one
    attempt."""
    earlier: tuple[Submission, ...] = ()
    """The submissions before the present one, oldest first. Only the newest of them are kept."""
    not_taken: bool = False
    """Whether the job is SKIPPED because its rule could not be met any more, and not because an operator skipped it."""
    mark: Mark | None = None
    """The last thing that an operator has done to the job or has asked for."""
    withdraw_asked: bool = False
    """Whether the job is to be taken back from Batch first, and only then gets the state that `mark` asks for."""
    move_to: str = ""
    """The queue to which the job is to be moved, because it has waited too long in its own queue; empty if it is
    not."""
    follows: int = 0
    """Only for a finally job: the number of submissions of all other jobs when this job was submitted. If that number
    grows, this job runs again."""
    behind: Mapping[str, int] = field(default_factory=dict)
    """The upstream jobs in Batch's dependsOn of this job, each with the number of its submission at that time."""
    children: str = ""
    """The children of an array that this submission has, as `arrays.write_children` writes them; empty means all."""
    child_counts: Mapping[str, int] = field(default_factory=dict)
    """How many children of this submission are in each state of Batch."""
    output: Mapping[str, Scalar] | None = None
    """The output of the job; None until another job has needed it."""
    output_problem: str = ""
    """Why the output cannot be read; empty if it was read, or if no job has needed it."""
    job_id: str = ""
    reason: str = ""
    """Why the job has its state, in words for people."""
    exit_code: int | None = None
    log_stream: str = ""
    intent_at: float = 0.0
    """When the submission of the job began, in epoch seconds."""
    submitted_at: float = 0.0
    """Like all times of the record in epoch seconds; 0 means that it has not happened."""
    started_at: float = 0.0
    stopped_at: float = 0.0

    @property
    def name(self) -> str:
        return self.job.name

    @property
    def first_attempt(self) -> int:
        """The number of the first attempt of the present submission, among all attempts of the job."""
        return self.earlier[-1].first + self.earlier[-1].attempts if self.earlier else 1

    @property
    def on_hold(self) -> bool:
        """Whether the newest decision about the job is that it must not be submitted."""
        return self.job.hold if self.mark is None else self.mark.verb is Verb.HOLD

    @property
    def cancelling(self) -> bool:
        """Whether an operator has asked for the end of the job, and it has not ended yet."""
        return self.mark is not None and self.mark.verb is Verb.CANCEL and not self.status.ended

    @property
    def begun(self) -> bool:
        """Whether the job has started, as far as is known. An array has started when one of its children has."""
        return _begun(self.status, self.started_at, self.child_counts)

    @property
    def withdrawing(self) -> bool:
        """Whether the job is to be taken back from Batch if it has not started."""
        return self.withdraw_asked or bool(self.move_to)

    @property
    def output_unread(self) -> bool:
        """Whether the job has SUCCEEDED and its output was not read yet."""
        return self.status is JobStatus.SUCCEEDED and self.output is None and not self.output_problem

    @property
    def output_awaited(self) -> bool:
        """Whether the output of the job can still be expected: it was not read, or the job has not ended."""
        return self.output_unread or not self.status.ended


@dataclass(frozen=True, slots=True)
class Child:
    """One child of an array job. `index` is its place in the array, from 0."""

    index: int
    status: JobStatus
    reason: str = ""
    exit_code: int | None = None
    started_at: float = 0.0
    """Epoch seconds; 0 if it has not started."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the job platform says of one job. Times are epoch seconds; 0 means that it has not happened."""

    job_id: str
    status: JobStatus
    reason: str = ""
    exit_code: int | None = None
    log_stream: str = ""
    started_at: float = 0.0
    stopped_at: float = 0.0
    child_counts: Mapping[str, int] = field(default_factory=dict)
    """Only for an array: how many of its children are in each state."""
    attempts: int = 0
    """The number of attempts that have begun."""
    log_group: str = ""
    """The CloudWatch log group; empty means Batch's own."""
    cancelled: bool = False
    """Whether the platform was told to end the job. If the job has not started, it never will."""

    @property
    def begun(self) -> bool:
        """Whether the job has started. An array has started when one of its children has."""
        return _begun(self.status, self.started_at, self.child_counts)

    @property
    def in_queue(self) -> bool:
        """Whether the job waits in its queue. An array waits if none of its children has left the queue."""
        if self.child_counts:
            return not self.status.ended and set(self.child_counts) == {str(JobStatus.RUNNABLE)}
        return self.status is JobStatus.RUNNABLE


def _begun(status: JobStatus, started_at: float, child_counts: Mapping[str, int]) -> bool:
    """Of an array that has ended its children alone can tell, one by one: Batch gives the parent no start."""
    if status in (JobStatus.STARTING, JobStatus.RUNNING, JobStatus.SUCCEEDED) or started_at:
        return True
    return not status.ended and not NOT_BEGUN.issuperset(child_counts)


@dataclass(frozen=True, slots=True)
class Changes:
    """Two counters of what has happened to a run without its execution. They only grow."""

    urgent: int = 0
    """The number of changes that the next plan has to consider at once: failures, and what operators did."""
    ended: int = 0
    """The number of ends of jobs that events have reported. An event that comes twice may count twice."""


@dataclass(frozen=True, slots=True)
class ChangeLog:
    """The change counters of a run, and the names of the jobs that have changed since the log was last emptied."""

    counts: Changes = Changes()
    epoch: int = 0
    """Grows by one when the log is emptied."""
    names: tuple[str, ...] = ()
    """The jobs in the order of their changes. A job may be there several times."""

    def since(self, epoch: int, place: int) -> tuple[str, ...] | None:
        """The jobs that have changed after this place of the log; None if the log was emptied since, so that nobody
        knows them."""
        return tuple(dict.fromkeys(self.names[place:])) if epoch == self.epoch else None
