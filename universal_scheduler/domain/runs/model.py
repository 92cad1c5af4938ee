"""What the scheduler talks about: schedules, runs, job runs and their states. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Scalar = str | int | float | bool


class RunStatus(StrEnum):
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        return self is not RunStatus.RUNNING


class JobStatus(StrEnum):
    """A job's state: the scheduler's own before submission, then AWS Batch's, then how it ended.

    Batch's states: https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
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
        """How far along: a report with a lower or equal rank than what is known is late, and changes nothing."""
        return _RANKS[self]

    @property
    def ended(self) -> bool:
        return self in ENDED

    @property
    def satisfies(self) -> bool:
        """Whether a dependent may run after a job that ended like this."""
        return self in SATISFYING

    @property
    def live(self) -> bool:
        """Whether the job platform has the job and it has not ended."""
        return self in LIVE


LIVE = frozenset(
    {JobStatus.SUBMITTED, JobStatus.PENDING, JobStatus.RUNNABLE, JobStatus.STARTING, JobStatus.RUNNING},
)
SATISFYING = frozenset({JobStatus.SUCCEEDED, JobStatus.SKIPPED})
ENDED = SATISFYING | {JobStatus.FAILED, JobStatus.UPSTREAM_FAILED, JobStatus.CANCELLED, JobStatus.NOTFOUND}
_ORDER = ("WAITING", "HELD", "SUBMITTING", "SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
NOT_BEGUN = frozenset({"SUBMITTED", "PENDING", "RUNNABLE"})
"""Batch's states of a job, or of an array's child, that has not started."""
_RANKS = {status: _ORDER.index(status) if status in _ORDER else len(_ORDER) for status in JobStatus}


class Verb(StrEnum):
    """What an operator does to a job, a run or a schedule; `verbs` says when each is legal."""

    HOLD = "hold"
    RELEASE = "release"
    SKIP = "skip"
    FORCE_OK = "force-ok"
    RERUN = "rerun"
    CANCEL = "cancel"
    RESTART = "restart"
    PAUSE = "pause"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Mark:
    """What an operator did, or asks the run's own execution to do."""

    verb: Verb
    by: str
    at: float
    """Epoch seconds."""
    reason: str = ""

    def __str__(self) -> str:
        return f"by {self.by}: {self.reason}" if self.reason else f"by {self.by}"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit trail of a run or a schedule: a verb, and what it changed."""

    mark: Mark
    job: str = ""
    """Empty where the verb was on the run or the schedule."""
    before: str = ""
    after: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)
    """What else was said: the keys of a restart's message."""


class RunWhen(StrEnum):
    """When a job runs, by how its upstream jobs ended; `rules.judge` says what each means exactly."""

    ALL_SUCCESS = "all_success"
    ALL_DONE = "all_done"
    ALL_FAILED = "all_failed"
    ONE_SUCCESS = "one_success"
    ONE_FAILED = "one_failed"
    NONE_FAILED = "none_failed"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Dependency:
    """One entry of `jobDependencies`: the upstream job, and how it must have ended (at most one of the three)."""

    job: str
    status: JobStatus | None = None
    exit_codes: tuple[int, ...] = ()
    output: tuple[tuple[str, str], ...] = ()
    """Names in the upstream job's output with the values, as text, that they must have."""

    @property
    def conditional(self) -> bool:
        return self.status is not None or bool(self.exit_codes) or bool(self.output)


@dataclass(frozen=True, slots=True)
class Job:
    """One node of a schedule's `jobList`."""

    name: str
    queue: str
    definition: str
    dependencies: tuple[Dependency, ...] = ()
    run_when: RunWhen = RunWhen.ALL_SUCCESS
    final: bool = False
    """`finally`: whether it runs when all others have ended, whatever they ended as."""
    optional: bool = False
    """Whether its failure leaves the run a success."""
    hold: bool = False
    """Whether it starts HELD, until an operator releases it."""
    not_before: float = 0.0
    """Epoch seconds."""
    array_size: int = 0
    """How many children an array job has; 0 for a job that is none, or whose values say it."""
    for_each: tuple[str, ...] = ()
    """The values of an array job's children."""
    for_each_s3: str = ""
    """The address of an object that has the values; it is read when the job is submitted."""
    outputs_of: tuple[str, ...] = ()
    """The upstream jobs whose outputs this one refers to, or asks for by a dependency's `output`."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    container_overrides: Mapping[str, Any] | None = None
    retry_strategy: Mapping[str, Any] | None = None
    timeout_seconds: int | None = None
    priority: int | None = None
    """Batch's schedulingPriorityOverride, for queues with a scheduling policy."""
    share_identifier: str = ""
    max_queue_seconds: float | None = None
    """For how long it may wait in its queue before people are told; None for as long as its schedule says."""
    fallback_queue: str = ""
    """The queue that it is moved to when it has waited for longer."""
    recorded_status: str = ""
    """`jobStatus` as the document has it: `PASS` skips the job; a restart keeps `SUCCEEDED` and `SKIP`."""
    recorded_id: str = ""

    @property
    def depends_on(self) -> tuple[str, ...]:
        return tuple(dependency.job for dependency in self.dependencies)

    @property
    def is_array(self) -> bool:
        return bool(self.array_size or self.for_each or self.for_each_s3)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule document that passed every check."""

    schedule_id: str
    jobs: tuple[Job, ...]
    document: Mapping[str, Any]
    """The document as its owner wrote it (camelCase), without what the scheduler itself adds."""
    wait_seconds: int = 60
    trigger: Mapping[str, Any] = field(default_factory=dict)
    """What starts it, as the document has it: one of `documents.triggers`; empty where its row's insertion does."""
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    """What its runs may be given, with the defaults."""

    @property
    def starts_when_inserted(self) -> bool:
        return not self.trigger


@dataclass(frozen=True, slots=True, order=True)
class RunKey:
    """Names one run: the schedule and when it started (UTC, ISO 8601 with microseconds, no zone, as users have it)."""

    schedule_id: str
    start: str

    @property
    def run_id(self) -> str:
        return f"{self.schedule_id}#{self.start}"

    @classmethod
    def of(cls, run_id: str) -> RunKey:
        schedule_id, _, start = run_id.partition("#")
        return cls(schedule_id, start)


@dataclass(frozen=True, slots=True)
class Execution:
    """The Step Functions execution that drives a run."""

    arn: str
    name: str


@dataclass(frozen=True, slots=True)
class Run:
    key: RunKey
    status: RunStatus
    execution: Execution
    generation: int = 1
    """Counts the executions that drove this run: only the newest may change it."""
    wait_seconds: int = 60
    cause: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    ended_at: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)
    cancel: Mark | None = None
    """Who asked for its end: the execution that drives it ends its jobs, and then the run."""
    verb_count: int = 0
    """Counts what operators did to the run and its jobs: it ends only as it was when nobody did anything meanwhile."""
    preparing: bool = False
    """Whether its start, or a restart, is still writing its jobs: no operator may act on it before that is done."""
    job_list_omitted: int = 0
    """How many jobs the row's `jobList` would have, where it has none because they do not fit into the row."""

    @property
    def seconds(self) -> float:
        """How long a run that has ended took, restarts and what was between them included."""
        took = datetime.fromisoformat(self.ended_at or self.key.start) - datetime.fromisoformat(self.key.start)
        return max(0.0, took.total_seconds())

    @property
    def max_concurrent_jobs(self) -> int | None:
        limit = self.document.get("maxConcurrentJobs")
        return None if limit is None else int(limit)

    @property
    def parameters(self) -> Mapping[str, Scalar]:
        """What this run was given, and the schedule's defaults for the rest."""
        given: Mapping[str, Scalar] = self.document.get("parameters", {})
        return given


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a job, from its container's start to its end. Times are epoch seconds, 0 where there is none."""

    status: JobStatus
    started_at: float = 0.0
    stopped_at: float = 0.0
    exit_code: int | None = None
    reason: str = ""
    log_group: str = ""
    """Empty for Batch's own."""
    log_stream: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """One of the Batch jobs that a job of a run was: a restart submits it again."""

    job_id: str
    first: int
    """The number of its first attempt among all attempts of the job."""
    attempts: int
    """How many attempts of it have begun."""
    children: str = ""
    """Which children of an array it had; empty for all."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """One job within one run."""

    job: Job
    position: int = 0
    """Its place in the schedule's jobList."""
    status: JobStatus = JobStatus.WAITING
    attempt: int = 1
    """Counts the submissions of this job: a restart submits it under another name. People are shown `attempts`."""
    attempts: int = 0
    """How many attempts of it have begun, over all submissions. Of an array each submission that began is one."""
    earlier: tuple[Submission, ...] = ()
    """The submissions before this one, the last of them."""
    not_taken: bool = False
    """Whether it is SKIPPED because no rule could reach it, and not because somebody skipped it."""
    mark: Mark | None = None
    """What an operator last did to it, or asked for."""
    withdraw_asked: bool = False
    """Whether what `mark` asks for is done when the job has been taken back from Batch."""
    move_to: str = ""
    """The queue that it is to be moved to, because it waits in its own for too long."""
    follows: int = 0
    """Of a finally job: how often the others had been submitted when it was; after more it runs once again."""
    behind: Mapping[str, int] = field(default_factory=dict)
    """The upstream jobs that Batch itself starts it after (dependsOn), with the attempts that they were at."""
    children: str = ""
    """Which children of an array this attempt has, as `arrays.write_children` writes them; empty for all."""
    child_counts: Mapping[str, int] = field(default_factory=dict)
    """How many children of this attempt are in which of Batch's states."""
    output: Mapping[str, Scalar] | None = None
    """What the job put out; None until somebody needed it."""
    output_problem: str = ""
    """Why its output cannot be had, where somebody needed it."""
    job_id: str = ""
    reason: str = ""
    exit_code: int | None = None
    log_stream: str = ""
    intent_at: float = 0.0
    """When submission was begun (epoch seconds)."""
    submitted_at: float = 0.0
    started_at: float = 0.0
    stopped_at: float = 0.0

    @property
    def name(self) -> str:
        return self.job.name

    @property
    def first_attempt(self) -> int:
        """The number of this submission's first attempt among all of the job."""
        return self.earlier[-1].first + self.earlier[-1].attempts if self.earlier else 1

    @property
    def on_hold(self) -> bool:
        """Whether the last word about it is that it is not to be submitted."""
        return self.job.hold if self.mark is None else self.mark.verb is Verb.HOLD

    @property
    def cancelling(self) -> bool:
        """Whether an operator asked for its end and it has not ended."""
        return self.mark is not None and self.mark.verb is Verb.CANCEL and not self.status.ended

    @property
    def begun(self) -> bool:
        """Whether it has started, as far as is known; an array, whether one of its children has."""
        return _begun(self.status, self.started_at, self.child_counts)

    @property
    def withdrawing(self) -> bool:
        """Whether it is to leave its place with Batch, where it has not started."""
        return self.withdraw_asked or bool(self.move_to)

    @property
    def output_unread(self) -> bool:
        """Whether nobody has needed its output yet, or it is still to be read."""
        return self.status is JobStatus.SUCCEEDED and self.output is None and not self.output_problem

    @property
    def output_awaited(self) -> bool:
        return self.output_unread or not self.status.ended


@dataclass(frozen=True, slots=True)
class Child:
    """One child of an array job, by its place in the array."""

    index: int
    status: JobStatus
    reason: str = ""
    exit_code: int | None = None
    started_at: float = 0.0
    """Epoch seconds; 0 where it has not started."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the job platform says about one job. Times are epoch seconds, 0 where it has not happened."""

    job_id: str
    status: JobStatus
    reason: str = ""
    exit_code: int | None = None
    log_stream: str = ""
    started_at: float = 0.0
    stopped_at: float = 0.0
    child_counts: Mapping[str, int] = field(default_factory=dict)
    """Of an array job: how many of its children are in which state."""
    attempts: int = 0
    """How many attempts of it have begun."""
    log_group: str = ""
    """Empty for Batch's own."""
    cancelled: bool = False
    """Whether the platform was told to end it: where it has not started, it never will."""

    @property
    def begun(self) -> bool:
        """Whether it has started; an array, whether one of its children has."""
        return _begun(self.status, self.started_at, self.child_counts)

    @property
    def in_queue(self) -> bool:
        """Whether the job waits for its place; of an array, whether none of its children has one."""
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
    """What has happened to a run beside the execution that drives it: two counters that only grow."""

    urgent: int = 0
    """Changes that the next plan has to see at once: failures, and what operators did."""
    ended: int = 0
    """Ends of jobs that were told by events, each at least once."""


@dataclass(frozen=True, slots=True)
class ChangeLog:
    """The change counters of a run, and the jobs that were counted since the log was last begun anew."""

    counts: Changes = Changes()
    epoch: int = 0
    """Grows when the log is begun anew."""
    names: tuple[str, ...] = ()
    """The jobs, in order; one may be there several times."""

    def since(self, epoch: int, place: int) -> tuple[str, ...] | None:
        """The jobs that were counted after this place of the log; None where it was begun anew since."""
        return tuple(dict.fromkeys(self.names[place:])) if epoch == self.epoch else None
