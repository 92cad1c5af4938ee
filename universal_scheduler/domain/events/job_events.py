"""Reads the events of Batch about jobs. It is pure.

https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.model import JobStatus, Observation, RunKey

STATE_CHANGE = "Batch Job State Change"
FIRST_ATTEMPT_TAG = "usched:firstAttempt"
"""The tag of a Batch job with the number of its first attempt, if it is not the first Batch job of its job in the
run."""
QUEUE_BLOCKED = "Batch Job Queue Blocked"
"""https://docs.aws.amazon.com/batch/latest/userguide/batch-job-queue-blocked-events.html"""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One change of the state of one Batch job. A child of an array has the id of its array and its index."""

    seen: Observation
    name: str
    """The Batch job's name."""
    queue: str
    """The queue's ARN."""
    at: float
    """When Batch saw the change, in epoch seconds."""
    created_at: float = 0.0
    """When the job was submitted, in epoch seconds."""
    blocked: bool = False
    """The event is no change of state: the job cannot be placed and blocks its queue. `seen` has the reason."""
    attempts: int = 0
    """How often Batch has tried the job so far."""
    parent_id: str = ""
    index: int | None = None
    run: RunKey | None = None
    """The run that has submitted the job, from the tags of the job; None if they do not say it."""
    job_name: str = ""
    """The name of the job in that run."""
    first_attempt: int = 1
    """The number of the Batch job's first attempt among all attempts of the job in its run."""

    @property
    def job_id(self) -> str:
        return self.seen.job_id

    @property
    def starts_array(self) -> bool:
        """Whether the event is the start of an array's first child. Batch reports no start of the array itself."""
        return bool(self.parent_id) and self.index == 0 and self.seen.status is JobStatus.RUNNING

    @property
    def of_submitted(self) -> Observation:
        """What the event says of the Batch job that was submitted. The start of an array's first child is the start of
        the array."""
        if not self.starts_array:
            return self.seen
        return Observation(self.parent_id, JobStatus.RUNNING, started_at=self.seen.started_at, attempts=1)

    @property
    def attempts_begun(self) -> int:
        """How many attempts of the job had begun, over all Batch jobs that its run has submitted it as."""
        return self.first_attempt - 1 + self.seen.attempts

    @property
    def state(self) -> str:
        """What the event reports: a status of Batch, or BLOCKED."""
        return "BLOCKED" if self.blocked else str(self.seen.status)

    @property
    def position(self) -> str:
        """The place of the event among the events of its job, as a text that sorts.

        It has the time, the attempt and the state, because the time of an event has whole seconds.
        """
        shown = f"{self.seen.status}-{self.state}" if self.blocked else self.state
        return f"{iso(self.at)}#{self.attempts:02}#{self.seen.status.rank}#{shown}"


def read_event(event: Mapping[str, Any]) -> JobEvent:
    """Read an EventBridge event of detail type *Batch Job State Change* or *Batch Job Queue Blocked*.

    Raises:
        ValueError: it is another event, or it lacks something that every such event has.
    """
    try:
        if event["source"] != "aws.batch" or event["detail-type"] not in (STATE_CHANGE, QUEUE_BLOCKED):
            raise ValueError(f"not a {STATE_CHANGE}: {event['source']}, {event['detail-type']}")
        detail = event["detail"]
        array = detail.get("arrayProperties") or {}
        tags = detail.get("tags") or {}
        schedule_id, start = tags.get("usched:scheduleId"), tags.get("usched:start")
        at = datetime.fromisoformat(event["time"]).timestamp()
        seen = read_detail(detail)
        if "size" in array and seen.status.ended and not seen.stopped_at:
            seen = replace(seen, stopped_at=at)
        return JobEvent(
            seen=seen,
            name=detail["jobName"],
            queue=detail["jobQueue"],
            at=at,
            created_at=detail.get("createdAt", 0) / 1000,
            blocked=event["detail-type"] == QUEUE_BLOCKED,
            attempts=len(detail.get("attempts") or ()),
            parent_id=detail["jobId"].rpartition(":")[0] if "index" in array else "",
            index=array.get("index"),
            run=RunKey(schedule_id, start) if schedule_id and start else None,
            job_name=tags.get("usched:jobName", ""),
            first_attempt=_number(tags.get(FIRST_ATTEMPT_TAG)) if "index" not in array else 1,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event of Batch: {type(error).__name__} {error}") from error


def read_detail(detail: Mapping[str, Any]) -> Observation:
    """Read a JobDetail of DescribeJobs, or the detail of a job state change event. Batch's times are milliseconds.

    Batch leaves an array PENDING until all its children have ended. Here it is RUNNING as soon as one of them has run.
    https://docs.aws.amazon.com/batch/latest/APIReference/API_ListJobs.html#Batch-ListJobs-request-jobStatus
    """
    attempts = detail.get("attempts") or []
    status = JobStatus(detail["status"])
    under_way = status in (JobStatus.STARTING, JobStatus.RUNNING)
    last = attempts[-1].get("container", {}) if attempts and not under_way else {}  # it is of the attempt before
    container = {**last, **{key: value for key, value in (detail.get("container") or {}).items() if value is not None}}
    array = detail.get("arrayProperties") or {}
    counts = {state: count for state, count in (array.get("statusSummary") or {}).items() if count}
    if counts and status is JobStatus.PENDING and array_began(counts):
        status = JobStatus.RUNNING
    return Observation(
        job_id=detail["jobId"],
        status=status,
        reason=read_reason(detail.get("statusReason"), container.get("reason")),
        exit_code=container.get("exitCode"),
        log_stream=container.get("logStreamName", ""),
        started_at=detail.get("startedAt", 0) / 1000,
        stopped_at=detail.get("stoppedAt", 0) / 1000,
        child_counts=counts,
        cancelled=bool(detail.get("isCancelled") or detail.get("isTerminated")),
        attempts=int(array_began(counts)) if counts else len(attempts) + under_way,
        log_group=log_group_of(detail),
    )


def array_began(counts: Mapping[str, int]) -> bool:
    """Whether a child of an array has run. `counts` says how many children are in each state."""
    return any(counts.get(state) for state in (JobStatus.RUNNING, JobStatus.SUCCEEDED, JobStatus.FAILED))


def read_reason(*reasons: str | None) -> str:
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


def log_group_of(detail: Mapping[str, Any]) -> str:
    """The log group that the container of a job names; empty if it is Batch's own.

    https://docs.aws.amazon.com/batch/latest/userguide/using_awslogs.html
    """
    configuration = (detail.get("container") or {}).get("logConfiguration") or {}
    return str((configuration.get("options") or {}).get("awslogs-group") or "")


def _number(text: Any) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() else 1
