"""Who gets which message: the kinds of messages, and the channels that a schedule names. It is pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from universal_scheduler.domain.names import digest
from universal_scheduler.domain.runs.model import Run, RunKey, RunStatus

DETAIL_LIMIT = 1000
BACKOFF_SECONDS = 5.0
BACKOFF_LIMIT_SECONDS = 900.0
SECRET_PREFIXES = ("ssm:", "secretsmanager:")


class Kind(StrEnum):
    """The kind of a message. A schedule lists the kinds for each of its channels."""

    RUN_STARTED = "run_started"
    RUN_SUCCEEDED = "run_succeeded"
    RUN_FAILED = "run_failed"
    RUN_LATE = "run_late"
    RUN_LOST = "run_lost"
    RUN_RESUMED = "run_resumed"
    JOB_FAILED = "job_failed"
    JOB_STUCK = "job_stuck"
    JOB_SLOW = "job_slow"
    JOB_SHORT = "job_short"
    JOB_HELD = "job_held"
    QUEUE_BLOCKED = "queue_blocked"
    SCHEDULE_PAUSED = "schedule_paused"
    TEST = "test"
    """Somebody tries the channels. No schedule lists this kind."""


@dataclass(frozen=True, slots=True)
class KindText:
    """What a message of one kind says, whatever the channel. `{schedule}`, `{job}` and `{start}` are filled in."""

    title: str
    """What happened, in one line."""
    colour: str = ""
    """The colour of the title where a channel has colours, by the name that an Adaptive Card has for it."""
    prompt: str = "See its jobs"
    """What the reader can do now."""
    command: str = "usched show {schedule} {start}"
    """The command line that does it."""


AGAIN = "usched restart {schedule} {start}"
KIND_TEXTS: Mapping[Kind, KindText] = {
    Kind.RUN_STARTED: KindText("Run of {schedule} started"),
    Kind.RUN_SUCCEEDED: KindText("Run of {schedule} SUCCEEDED", "good"),
    Kind.RUN_FAILED: KindText("Run of {schedule} FAILED", "attention", "Run the jobs that did not succeed", AGAIN),
    Kind.RUN_LATE: KindText("Run of {schedule} is late", "warning"),
    Kind.RUN_LOST: KindText("Run of {schedule} was lost", "attention", "Run the jobs that did not succeed", AGAIN),
    Kind.RUN_RESUMED: KindText("Run of {schedule} was resumed", "warning"),
    Kind.JOB_FAILED: KindText(
        "Job {job} of {schedule} FAILED",
        "attention",
        "When the run has ended, run the jobs that did not succeed",
        AGAIN,
    ),
    Kind.JOB_STUCK: KindText("Job {job} of {schedule} is stuck in its queue", "warning"),
    Kind.JOB_SLOW: KindText("Job {job} of {schedule} takes unusually long", "warning"),
    Kind.JOB_SHORT: KindText("Job {job} of {schedule} took unusually little time", "warning"),
    Kind.JOB_HELD: KindText(
        "Job {job} of {schedule} is held",
        prompt="Release it",
        command="usched release {schedule} {job} --start {start}",
    ),
    Kind.QUEUE_BLOCKED: KindText("Job {job} of {schedule} waits in a blocked queue"),
    Kind.SCHEDULE_PAUSED: KindText(
        "Schedule {schedule} was paused",
        "attention",
        "When the cause is mended, let its triggers start it again",
        "usched resume {schedule}",
    ),
    Kind.TEST: KindText("Test message of {schedule}"),
}
DEFAULT_KINDS = frozenset(
    {
        *(Kind.RUN_SUCCEEDED, Kind.RUN_FAILED, Kind.RUN_LATE, Kind.RUN_LOST, Kind.JOB_STUCK),
        Kind.SCHEDULE_PAUSED,
    }
)
"""The kinds for `scheduleSnsTopic`: how each run has ended, as in the reference design, and what needs somebody."""
ENDS = {RunStatus.SUCCEEDED: Kind.RUN_SUCCEEDED, RunStatus.FAILED: Kind.RUN_FAILED}


class Service(StrEnum):
    """The service behind a channel. The word is also the channel's key in the document."""

    SNS = "sns"
    SLACK = "slack"
    TEAMS = "teams"
    WEBEX = "webex"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Channel:
    """One place in which people read messages."""

    service: Service
    target: str = field(repr=False)
    """A topic's ARN, a URL, or the name of the secret that holds the URL."""
    key: str = field(default="", repr=False)
    """The name of the secret with which a webhook's messages are signed."""

    @property
    def label(self) -> str:
        """The channel as it may be shown. Of a URL only the host, because whoever knows the whole URL can send
        messages."""
        if self.service is Service.SNS or is_secret(self.target):
            return f"{self.service} {self.target}"
        return f"{self.service} {urlsplit(self.target).hostname or '(no host)'}"


@dataclass(frozen=True, slots=True)
class Notification:
    """One event that people get a message about. The text is made when the message is sent, from the state at that
    time."""

    kind: Kind
    key: RunKey
    at: float
    """When it happened or was seen, in epoch seconds."""
    occurrence: int = 1
    """The generation of the run, or the attempt of the job: after a restart the same thing may happen again."""
    job_name: str = ""
    detail: str = ""
    """What no table has: why a queue is blocked, or why somebody holds a job."""
    what: str = ""
    """Distinguishes notifications of one kind for one run: which deadline was missed."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notification for one channel. It is one message of the queue."""

    notification: Notification
    channel: Channel

    @property
    def id(self) -> str:
        """The same for every message about the same event to the same channel, so that a receiver can recognise a
        repetition."""
        notification, channel = self.notification, self.channel
        about = (
            notification.kind,
            notification.key.schedule_id,
            notification.key.start,
            str(notification.occurrence),
            notification.job_name or notification.what,
        )
        return digest(*about, channel.service, channel.target, length=32)


def is_secret(text: str) -> bool:
    """Whether a value is the name of a secret (`ssm:/…`, `secretsmanager:…`), not the value itself."""
    return text.startswith(SECRET_PREFIXES)


def channels_for(document: Mapping[str, Any], kind: Kind) -> list[Channel]:
    """The channels of a schedule (or of a run of it) that get messages of this kind, each once.

    Without `notifications`, its `scheduleSnsTopic` gets the `DEFAULT_KINDS`. The document was perhaps never checked: a
    value that is not a channel is left out.
    """
    entries = document.get("notifications")
    if entries is None:
        topic = document.get("scheduleSnsTopic")
        known = isinstance(topic, str) and topic.strip() and kind in DEFAULT_KINDS
        return [Channel(Service.SNS, topic.strip())] if known and isinstance(topic, str) else []
    return list(dict.fromkeys(_channels(entries, kind)))


def all_channels(document: Mapping[str, Any]) -> dict[Channel, list[Kind]]:
    """Every channel of a schedule, with the kinds of messages that it gets."""
    found: dict[Channel, list[Kind]] = {}
    for kind in Kind:
        for channel in channels_for(document, kind):
            found.setdefault(channel, []).append(kind)
    return found


def _channels(entries: Any, kind: Kind) -> Iterator[Channel]:
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, Mapping) or kind not in entry.get("on", ()):
            continue
        for service in Service:
            target = entry.get(service)
            if isinstance(target, str) and target:
                key = entry.get("secret", "") if service is Service.WEBHOOK else ""
                yield Channel(service, target, key if isinstance(key, str) else "")


def run_change(before: Run | None, now: Run, at: float) -> Notification | None:
    """The notification for a change of a run's row: its start, or its end as SUCCEEDED or FAILED; None for other
    changes.

    `before` is None for a new row. There is no message about a restart or a cancellation, because somebody did it on
    purpose.
    """
    if before is None:
        kind = Kind.RUN_STARTED if now.status is RunStatus.RUNNING else None
    else:
        kind = ENDS.get(now.status) if not before.status.ended else None
    return None if kind is None else Notification(kind, now.key, at, now.generation)


def backoff(attempt: int, chance: float, *, first: float = BACKOFF_SECONDS, at_least: float = 0.0) -> float:
    """Seconds to wait after the `attempt`-th failed try. They double with each try, up to a quarter of an hour.

    `chance` in [0, 1) takes off up to a half, so that messages that failed together are not tried together again.
    `at_least` is what the receiver has asked for (`Retry-After`).
    """
    seconds = min(first * 2.0 ** min(attempt - 1, 20), BACKOFF_LIMIT_SECONDS)
    return min(max(seconds * (1 - chance / 2), at_least), BACKOFF_LIMIT_SECONDS)


def to_body(delivery: Delivery) -> str:
    """Write a delivery as a message of the queue."""
    notification, channel = delivery.notification, delivery.channel
    values = {
        "id": delivery.id,
        "kind": notification.kind,
        "scheduleId": notification.key.schedule_id,
        "startDateTime": notification.key.start,
        "at": notification.at,
        "occurrence": notification.occurrence,
        "jobName": notification.job_name,
        "detail": notification.detail[:DETAIL_LIMIT],
        "what": notification.what,
        "channel": {"service": channel.service, "target": channel.target, "key": channel.key},
    }
    return json.dumps(values, ensure_ascii=False)


def from_body(body: str) -> Delivery:
    """Read a message of the queue.

    Raises:
        ValueError: it is not such a message.
    """
    try:
        values = json.loads(body)
        channel = values["channel"]
        return Delivery(
            Notification(
                Kind(values["kind"]),
                RunKey(values["scheduleId"], values["startDateTime"]),
                float(values["at"]),
                int(values["occurrence"]),
                values["jobName"],
                values["detail"],
                values.get("what", ""),
            ),
            Channel(Service(channel["service"]), channel["target"], channel["key"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a notification: {type(error).__name__} {error}") from error
