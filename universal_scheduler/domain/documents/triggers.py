"""The triggers that a document may have: what each means, and what of it can be wrong that no JSON Schema finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from universal_scheduler.domain.errors import DocumentError
from universal_scheduler.domain.runs.model import Schedule


def _nothing_wrong(_schedule_id: str, _value: Any) -> Iterator[DocumentError]:
    yield from ()


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger. Its functions get the value that the document has under the trigger's key."""

    starts: Callable[[Schedule, Any], str]
    """What starts the schedule, in words for people: `usched apply` shows them."""
    errors: Callable[[str, Any], Iterator[DocumentError]] = _nothing_wrong
    """What is wrong with the value, although the schema takes it. The first argument is the scheduleId."""


def _by_hand(schedule: Schedule) -> str:
    return f"usched run {schedule.schedule_id}"


def _starts_after(_schedule: Schedule, upstreams: Sequence[str]) -> str:
    return f"a run of {' or '.join(upstreams)} that succeeds"


def _after_errors(schedule_id: str, upstreams: Sequence[str]) -> Iterator[DocumentError]:
    for position, upstream in enumerate(upstreams):
        if upstream == schedule_id:
            yield DocumentError(f"$.trigger.after[{position}]", "the schedule itself", "another schedule's scheduleId")


TRIGGERS: Mapping[str, Trigger] = {
    "manual": Trigger(lambda schedule, _: f"{_by_hand(schedule)}, or POST /executions"),
    "after": Trigger(_starts_after, _after_errors),
}
"""Every trigger by its key in the document. `dynamo/schema.json` says what value each takes."""


def trigger_errors(row: Mapping[str, Any]) -> Iterator[DocumentError]:
    """What is wrong with the trigger of a row that passes the schema."""
    for key, value in row.get("trigger", {}).items():
        yield from TRIGGERS[key].errors(row["scheduleId"], value)


def what_starts(schedule: Schedule, *, new: bool) -> str:
    """What starts a stored schedule, in words for people. `new` says whether its row was inserted just now."""
    for key, value in schedule.trigger.items():
        return TRIGGERS[key].starts(schedule, value)
    return "its insertion: it starts now" if new else f"{_by_hand(schedule)}: a changed row starts no run"
