"""The settings of a deployed stage: its tables, state machine, queues and definitions. They come from the
environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one stage."""

    schedules_table: str = "BatchSchedules"
    history_table: str = "BatchScheduleHistory"
    jobs_table: str = "BatchScheduleJobs"
    job_events_table: str = "BatchJobEvents"
    calendars_table: str = "BatchCalendars"
    job_event_days: int = 90
    """Days for which the log of all jobs keeps an event."""
    job_events_queue_url: str = ""
    state_machine_arn: str = ""
    outputs_bucket: str = ""
    """The S3 bucket for the outputs of jobs."""
    job_queues: Mapping[str, str] = field(default_factory=dict)
    """Short names of queues with their ARNs. Other names in a document are used as they are."""
    job_definitions: Mapping[str, str] = field(default_factory=dict)
    events: bool = False
    """Whether the job state changes of Batch reach the scheduler as events."""
    metrics_namespace: str = "UniversalScheduler"
    """The CloudWatch namespace of this stage's metrics."""
    max_queue_seconds: float = 3600.0
    """How many seconds a job may be RUNNABLE before people get a message, if neither the job nor its schedule says
    it."""
    notifications_queue_url: str = ""
    """The URL of the queue of messages to people; empty if nobody gets messages."""
    notifications_dead_letters_url: str = ""
    notify_pause: float = 5.0
    """Seconds before a message that a channel did not take is sent again. They double with each try."""
    notify_timeout: float = 5.0
    """How many seconds a webhook has to answer."""
    schedule_group: str = ""
    """The group of EventBridge Scheduler that has the entries of time triggers; empty where nothing carries them."""
    due_queue_arn: str = ""
    """The ARN of the queue that time triggers fire into."""
    due_dead_letters_arn: str = ""
    due_role_arn: str = ""
    """The ARN of the role by which EventBridge Scheduler sends to these queues."""
    endpoint: str = ""
    """The URL of all AWS services on the embedded engine; empty on AWS."""
    engine_auth: bool = False
    """Whether the embedded engine takes signed requests only."""
    submit_rate: float = 50.0
    """How many jobs a run submits in a second at most; 0 means no limit."""
    max_turns: int = 1000
    """After so many looks and submissions a run goes on as a new execution: each adds 13 events of the 25,000 (waiting
    for a token 6, a function 5, a choice 2), and more where it is tried again.

    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    """


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that `template.yaml` gives every function. A setting that is absent has its default."""
    default = Settings()
    return Settings(
        schedules_table=environ.get("SCHEDULES_TABLE", default.schedules_table),
        history_table=environ.get("HISTORY_TABLE", default.history_table),
        jobs_table=environ.get("JOBS_TABLE", default.jobs_table),
        job_events_table=environ.get("JOB_EVENTS_TABLE", default.job_events_table),
        calendars_table=environ.get("CALENDARS_TABLE", default.calendars_table),
        job_event_days=int(environ.get("JOB_EVENT_DAYS", default.job_event_days)),
        job_events_queue_url=environ.get("JOB_EVENTS_QUEUE_URL", default.job_events_queue_url),
        state_machine_arn=environ.get("STATE_MACHINE_ARN", default.state_machine_arn),
        outputs_bucket=environ.get("OUTPUTS_BUCKET", default.outputs_bucket),
        job_queues=json.loads(environ.get("JOB_QUEUES", "{}")),
        job_definitions=json.loads(environ.get("JOB_DEFINITIONS", "{}")),
        events=environ.get("EVENTS") == "ENABLED",
        metrics_namespace=environ.get("METRICS_NAMESPACE", default.metrics_namespace),
        max_queue_seconds=float(environ.get("MAX_QUEUE_SECONDS", default.max_queue_seconds)),
        notifications_queue_url=environ.get("NOTIFICATIONS_QUEUE_URL", default.notifications_queue_url),
        notifications_dead_letters_url=environ.get(
            "NOTIFICATIONS_DEAD_LETTERS_URL", default.notifications_dead_letters_url
        ),
        notify_pause=float(environ.get("NOTIFY_PAUSE", default.notify_pause)),
        notify_timeout=float(environ.get("NOTIFY_TIMEOUT", default.notify_timeout)),
        schedule_group=environ.get("SCHEDULE_GROUP", default.schedule_group),
        due_queue_arn=environ.get("DUE_QUEUE_ARN", default.due_queue_arn),
        due_dead_letters_arn=environ.get("DUE_DEAD_LETTERS_ARN", default.due_dead_letters_arn),
        due_role_arn=environ.get("DUE_ROLE_ARN", default.due_role_arn),
        endpoint=environ.get("AWS_ENDPOINT_URL", default.endpoint),
        engine_auth=environ.get("ENGINE_AUTH") == "ENABLED",
        submit_rate=float(environ.get("SUBMIT_RATE", default.submit_rate)),
        max_turns=int(environ.get("MAX_TURNS", default.max_turns)),
    )
