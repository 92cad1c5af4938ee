"""The data of Batch: compute environments, queues, job definitions, and jobs with their attempts.

What a caller gave is immutable; of a job only its progress changes. Times are epoch milliseconds, as in Batch's API.
vCPUs are counted in thousandths, since Fargate has quarters of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from universal_scheduler.domain.batch.limits import OVERRIDES_TOO_LONG
from universal_scheduler.local.batch.clock import Timer

Json: TypeAlias = Mapping[str, Any]
"""A JSON object in the shape and with the names of the Batch API."""


class JobStatus(StrEnum):
    """https://docs.aws.amazon.com/batch/latest/userguide/job_states.html"""

    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    RUNNABLE = "RUNNABLE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        return self is JobStatus.SUCCEEDED or self is JobStatus.FAILED


class State(StrEnum):
    """Whether a queue takes jobs, and whether a compute environment does."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"


class Reason(StrEnum):
    """What Batch says in ``statusReason``."""

    EXITED = "Essential container in task exited"
    NOT_STARTED = "Task failed to start"
    TIMED_OUT = "Job attempt duration exceeded timeout"
    DEPENDENCY_FAILED = "Dependent Job failed"
    CHILD_FAILED = "Array Child Job failed"
    OVERRIDES_TOO_LONG = OVERRIDES_TOO_LONG
    TOO_LARGE = (
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - "
        "All compute environments have a maxVcpu setting that is smaller than the job requirements."
    )


@dataclass(frozen=True, slots=True)
class Named:
    """What a job keeps of its queue, of its definition and of where it runs."""

    name: str
    arn: str


@dataclass(frozen=True, slots=True)
class ComputeEnvironment(Named):
    """``settings`` holds the members of the create request that nothing here depends on, as they were given."""

    uuid: str
    type: str
    state: State
    resources: Json
    unmanaged_vcpus: int | None
    settings: Json

    @property
    def capacity(self) -> int:
        """How many thousandths of a vCPU its jobs may hold together."""
        vcpus: int = self.resources.get("maxvCpus", self.unmanaged_vcpus or 0)
        return vcpus * 1000


@dataclass(frozen=True, slots=True)
class JobQueue(Named):
    """``environments`` are ARNs in the order in which they are tried."""

    state: State
    priority: int
    environments: tuple[str, ...]
    settings: Json


@dataclass(frozen=True, slots=True)
class JobDefinition(Named):
    """One revision. ``container`` is its containerProperties."""

    revision: int
    active: bool
    container: Json
    parameters: Mapping[str, str]
    retry: RetryStrategy | None
    timeout_seconds: int | None
    propagate_tags: bool
    platforms: tuple[str, ...]
    settings: Json


@dataclass(frozen=True, slots=True)
class ExitRule:
    """One entry of ``evaluateOnExit``; a pattern that is None is no condition."""

    retry: bool
    exit_code: str | None
    reason: str | None
    status_reason: str | None


@dataclass(frozen=True, slots=True)
class RetryStrategy:
    attempts: int = 1
    rules: tuple[ExitRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a job waits for: whole jobs, and, if it is an array, child by child other arrays or its own last child."""

    jobs: tuple[str, ...] = ()
    n_to_n: tuple[str, ...] = ()
    sequential: bool = False


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a SubmitJob request comes to; the children of an array share their parent's."""

    name: str
    queue: Named
    definition: Named
    platforms: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    container: Json
    overrides_length: int
    """Characters of what ECS is told to override."""
    millicpus: int
    parameters: Mapping[str, str]
    retry: RetryStrategy
    timeout_seconds: int | None
    dependencies: Dependencies
    depends_on: tuple[Json, ...]
    array_size: int | None
    propagate_tags: bool
    settings: Json


@dataclass(frozen=True, slots=True)
class Attempt:
    """A finished attempt. One that never started has no times and no log; one whose host has gone has no exit code."""

    task_arn: str
    log_stream: str | None
    exit_code: int | None
    reason: str | None
    status_reason: str
    started_at: int | None
    stopped_at: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a job is being ended before its time; ``by_user`` tells TerminateJob from a time-out."""

    reason: str
    by_user: bool


@dataclass(slots=True)
class ArrayProgress:
    """The children of an array job and how many there are in each status."""

    children: list[Job]
    counts: dict[JobStatus, int]
    updated_at: int
    unfinished: int
    doomed: bool = False
    """Whether what the whole array depends on has failed."""


@dataclass(slots=True)
class Job:
    """A job's progress. ``seq`` orders jobs by submission."""

    id: str
    seq: int
    spec: JobSpec
    created_at: int
    status: JobStatus = JobStatus.SUBMITTED
    status_reason: str | None = None
    started_at: int | None = None
    stopped_at: int | None = None
    attempts: tuple[Attempt, ...] = ()
    parent: Job | None = None
    index: int | None = None
    array: ArrayProgress | None = None
    unmet: int = 0
    """How many dependencies have not succeeded yet."""
    cancel_reason: str | None = None
    terminated: bool = False
    stop: Stop | None = None
    environment: Named | None = None
    """Where the current attempt runs."""
    task_id: str | None = None
    shipped: int = 0
    """The bytes of the current attempt's output that are in its log already."""
    tags: dict[str, str] = field(default_factory=dict)
    """Of no child of an array: it shows its array's."""
    timers: list[Timer] = field(default_factory=list)
    """Of the current attempt: its time-out, and the kill that follows an ignored SIGTERM."""

    @property
    def log_stream(self) -> str:
        return f"{self.spec.definition.name}/default/{self.task_id}"
