"""What events start which schedules: new objects in S3, and events of applications. It is pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from universal_scheduler.domain.events.patterns import matches
from universal_scheduler.domain.time.entries import trigger_list

TOPIC_LIMIT = 1024
S3, OBJECT_CREATED = "aws.s3", "Object Created"
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that can start schedules."""

    event_id: str
    topic: str
    """Where the schedules that may start are looked for: `s3#BUCKET` or `event#SOURCE`."""
    event: Mapping[str, Any]

    @property
    def bucket(self) -> str:
        return str(self.event["detail"]["bucket"]["name"])

    @property
    def key(self) -> str:
        return str(self.event["detail"]["object"]["key"])

    @property
    def order(self) -> str:
        """Grows with each object that is put under the same key.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
        """
        sequencer = str(self.event["detail"]["object"].get("sequencer", ""))
        return f"{sequencer:0<32}" if sequencer else str(self.event.get("time", ""))

    @property
    def is_object(self) -> bool:
        return self.topic.startswith("s3#")

    def cause(self) -> dict[str, Any]:
        """What a run keeps of the event."""
        if self.is_object:
            put = self.event["detail"]["object"]
            known = {"size": put.get("size"), "etag": put.get("etag"), "versionId": put.get("version-id")}
            found = {key: value for key, value in known.items() if value not in (None, "")}
            return {"kind": "s3", "bucket": self.bucket, "key": self.key, **found, "eventId": self.event_id}
        known = {"source": self.event["source"], "detailType": self.event.get("detail-type", "")}
        return {"kind": "event", **known, "eventId": self.event_id}


def read_arrival(event: Any) -> Arrival:
    """The event that a rule has matched.

    Raises:
        ValueError: it is no such event.
    """
    try:
        event_id, source = str(event["id"]), str(event["source"])
        if source != S3:
            return Arrival(event_id, f"event#{source}", event)
        if event["detail-type"] != OBJECT_CREATED:
            raise ValueError(f"no schedule starts by '{event['detail-type']}' of S3")
        arrival = Arrival(event_id, f"s3#{event['detail']['bucket']['name']}", event)
        if not arrival.key:
            raise ValueError("the object has no key")
        return arrival
    except (KeyError, TypeError) as error:
        raise ValueError(f"the message is no event: {error!r}") from error


def topics_of(row: Mapping[str, Any] | None) -> list[str]:
    """Where the triggers of a row look for events, each once. The row was perhaps never checked."""
    found: dict[str, None] = {}
    for trigger in trigger_list(row or {}):
        if not isinstance(trigger, Mapping):
            continue
        place, pattern = trigger.get("s3"), trigger.get("event")
        names = [f"s3#{place['bucket']}"] if isinstance(place, Mapping) and isinstance(place.get("bucket"), str) else []
        sources = pattern.get("source") if isinstance(pattern, Mapping) else None
        names += [f"event#{name}" for name in sources if isinstance(name, str)] if isinstance(sources, list) else []
        found |= dict.fromkeys(name for name in names if len(name) <= TOPIC_LIMIT)
    return list(found)


def starting(row: Mapping[str, Any], arrival: Arrival) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The triggers of a row without errors that this event fires, each with its position."""
    if row.get("scheduleErrors"):
        return
    for position, trigger in enumerate(trigger_list(row)):
        if "s3" in trigger:
            if arrival.is_object and _is_at(trigger["s3"], arrival):
                yield position, trigger
        elif "event" in trigger and not arrival.is_object and matches(trigger["event"], arrival.event):
            yield position, trigger


def _is_at(place: Mapping[str, Any], arrival: Arrival) -> bool:
    key = arrival.key
    return (
        place["bucket"] == arrival.bucket
        and key.startswith(place.get("prefix", ""))
        and key.endswith(place.get("suffix", ""))
    )
