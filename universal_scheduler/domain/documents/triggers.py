"""The triggers that a document may have: what each means, and what of it can be wrong that no JSON Schema finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from universal_scheduler.domain.errors import DocumentError


def _nothing_wrong(_schedule_id: str, _value: Any) -> Iterator[DocumentError]:
    yield from ()


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger. Its functions get the scheduleId, and the value that the document has under the trigger's key."""

    starts: Callable[[str, Any], str]
    """What starts the schedule, in words for people: `usched apply` shows them."""
    errors: Callable[[str, Any], Iterator[DocumentError]] = _nothing_wrong
    """What is wrong with the value, although the schema takes it."""


def _by_hand(schedule_id: str) -> str:
    return f"usched run {schedule_id}"


def _starts_after(_schedule_id: str, upstreams: Sequence[str]) -> str:
    return f"a run of {' or '.join(upstreams)} that succeeds"


def _after_errors(schedule_id: str, upstreams: Sequence[str]) -> Iterator[DocumentError]:
    for position, upstream in enumerate(upstreams):
        if upstream == schedule_id:
            yield DocumentError(f"$.trigger.after[{position}]", "the schedule itself", "another schedule's scheduleId")


TRIGGERS: Mapping[str, Trigger] = {
    "manual": Trigger(lambda schedule_id, _: f"{_by_hand(schedule_id)}, or POST /executions"),
    "after": Trigger(_starts_after, _after_errors),
}
"""Every trigger by its key in the document. `dynamo/schema.json` says what value each takes."""


def trigger_errors(row: Mapping[str, Any]) -> Iterator[DocumentError]:
    """What is wrong with the trigger of a row that passes the schema."""
    for key, value in row.get("trigger", {}).items():
        yield from TRIGGERS[key].errors(row["scheduleId"], value)


def what_starts(row: Mapping[str, Any], *, new: bool) -> str:
    """What starts the schedule of a checked row, in words for people. `new` says whether it was inserted just now."""
    schedule_id = row["scheduleId"]
    for key, value in row.get("trigger", {}).items():
        return TRIGGERS[key].starts(schedule_id, value)
    return "its insertion: it starts now" if new else f"{_by_hand(schedule_id)}: a changed row starts no run"
