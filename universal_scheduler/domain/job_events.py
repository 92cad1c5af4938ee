"""What Batch tells of a job by an event: read from the event, as data. Pure.

https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from universal_scheduler.domain.model import JobStatus, Observation, RunKey
from universal_scheduler.domain.names import iso

STATE_CHANGE = "Batch Job State Change"
QUEUE_BLOCKED = "Batch Job Queue Blocked"
"""https://docs.aws.amazon.com/batch/latest/userguide/batch-job-queue-blocked-events.html"""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One change of one job's state. An array's child has its parent's id and its index."""

    seen: Observation
    name: str
    """The Batch job's name."""
    queue: str
    """The queue's ARN."""
    at: float
    """Epoch seconds: when Batch saw the change."""
    created_at: float = 0.0
    """Epoch seconds: when it was submitted."""
    blocked: bool = False
    """No change: the job cannot be placed and holds up its queue, for the reason in `seen`."""
    attempts: int = 0
    """How often Batch has tried the job so far."""
    parent_id: str = ""
    index: int | None = None
    run: RunKey | None = None
    """The run that submitted the job, where its tags say so."""
    job_name: str = ""
    """The job of that run."""

    @property
    def job_id(self) -> str:
        return self.seen.job_id

    @property
    def state(self) -> str:
        """What the event tells: a status of Batch, or BLOCKED."""
        return "BLOCKED" if self.blocked else str(self.seen.status)

    @property
    def position(self) -> str:
        """Names the event among those of its job, and sorts them.

        By time, and within a second (of which the time of an event has no parts) by attempt and state.
        """
        told = f"{self.seen.status}-{self.state}" if self.blocked else self.state
        return f"{iso(self.at)}#{self.attempts:02}#{self.seen.status.rank}#{told}"


def read_event(event: Mapping[str, Any]) -> JobEvent:
    """An EventBridge event of detail type *Batch Job State Change* or *Batch Job Queue Blocked*.

    Raises:
        ValueError: it is none, or lacks what every such event has.
    """
    try:
        if event["source"] != "aws.batch" or event["detail-type"] not in (STATE_CHANGE, QUEUE_BLOCKED):
            raise ValueError(f"not a {STATE_CHANGE}: {event['source']}, {event['detail-type']}")
        detail = event["detail"]
        array = detail.get("arrayProperties") or {}
        tags = detail.get("tags") or {}
        schedule_id, start = tags.get("usched:scheduleId"), tags.get("usched:start")
        return JobEvent(
            seen=read_detail(detail),
            name=detail["jobName"],
            queue=detail["jobQueue"],
            at=datetime.fromisoformat(event["time"]).timestamp(),
            created_at=detail.get("createdAt", 0) / 1000,
            blocked=event["detail-type"] == QUEUE_BLOCKED,
            attempts=len(detail.get("attempts") or ()),
            parent_id=detail["jobId"].rpartition(":")[0] if "index" in array else "",
            index=array.get("index"),
            run=RunKey(schedule_id, start) if schedule_id and start else None,
            job_name=tags.get("usched:jobName", ""),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event of Batch: {type(error).__name__} {error}") from error


def read_detail(detail: Mapping[str, Any]) -> Observation:
    """A JobDetail of DescribeJobs, or the detail of a job state change event. Batch's times are milliseconds."""
    attempts = detail.get("attempts") or []
    last = attempts[-1].get("container", {}) if attempts else {}
    container = {**last, **{key: value for key, value in (detail.get("container") or {}).items() if value is not None}}
    counts = (detail.get("arrayProperties") or {}).get("statusSummary")
    reasons = [detail.get("statusReason"), container.get("reason")]
    return Observation(
        job_id=detail["jobId"],
        status=JobStatus(detail["status"]),
        reason="; ".join(dict.fromkeys(reason for reason in reasons if reason)),
        exit_code=container.get("exitCode"),
        log_stream=container.get("logStreamName", ""),
        started_at=detail.get("startedAt", 0) / 1000,
        stopped_at=detail.get("stoppedAt", 0) / 1000,
        child_counts={state: count for state, count in (counts or {}).items() if count},
    )
