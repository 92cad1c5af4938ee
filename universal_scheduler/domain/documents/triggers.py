"""The triggers that a document may have: what each means, and what of it can be wrong that no JSON Schema finds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from universal_scheduler.domain.documents.upstreams import Outcome, triggers_of, upstream_paths
from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.errors import DocumentError

Given: TypeAlias = Mapping[str, Any]
"""One trigger, as the document has it."""


def _nothing_wrong(_path: str, _given: Given) -> Iterator[DocumentError]:
    yield from ()


@dataclass(frozen=True, slots=True)
class Trigger:
    """One kind of trigger. Its functions get the trigger as the document has it."""

    starts: Callable[[str, Given], str]
    """What starts the schedule with this scheduleId, in words for people: `usched apply` shows them."""
    options: tuple[str, ...] = ()
    """The keys that may stand beside the key of the kind."""
    errors: Callable[[str, Given], Iterator[DocumentError]] = _nothing_wrong
    """What is wrong with the trigger at this path, although the schema takes it."""


def _by_hand(schedule_id: str, _given: Given | None = None) -> str:
    return f"usched run {schedule_id}, or POST /executions"


ENDS = {Outcome.SUCCEEDED: "succeeds", Outcome.FAILED: "fails", Outcome.ENDED: "ends"}


def _starts_after(_schedule_id: str, given: Given) -> str:
    named = given["after"]
    names, ends = [named] if isinstance(named, str) else list(named), ENDS[Outcome(given.get("outcome", "SUCCEEDED"))]
    if given.get("when") != "all" or len(names) == 1:
        return f"a run of {' or '.join(names)} that {ends}"
    window = [f"within {_span(given['within'])}"] if "within" in given else []
    window += ["of the same business date"] if given.get("sameBusinessDate") else []
    return " ".join([f"a run each of {' and '.join(names)} that {ends}", *window])


def _span(value: int | str) -> str:
    return f"{value} seconds" if isinstance(value, int) else value


def _after_errors(path: str, given: Given) -> Iterator[DocumentError]:
    if given.get("when") == "all":
        return
    for key in ("within", "sameBusinessDate"):
        if key in given:
            yield DocumentError(f"{path}.{key}", f"{key} without when: all", "when: all beside it")


TRIGGERS: Mapping[str, Trigger] = {
    "manual": Trigger(_by_hand),
    "after": Trigger(_starts_after, ("when", "outcome", "within", "sameBusinessDate"), _after_errors),
}
"""Every kind of trigger by its key in the document. `dynamo/schema.json` says what value each key takes."""


def trigger_errors(row: Mapping[str, Any]) -> Iterator[DocumentError]:
    """What is wrong with the triggers of a row that passes the schema."""
    triggers, before = triggers_of(row), set[str]()
    for path, given in triggers:
        written = json.dumps(given, sort_keys=True)
        if written in before:
            yield DocumentError(path, f"{shown(given)} again", "every trigger once")
        before.add(written)
        yield from _trigger_errors(path, given)
        if "manual" in given and len(triggers) > 1:
            found = "manual beside other triggers"
            yield DocumentError(path, found, "manual alone: a person can start a schedule with other triggers, too")
    for path, upstream in upstream_paths(row):
        if upstream == row["scheduleId"]:
            yield DocumentError(path, "the schedule itself", "another schedule's scheduleId")


def _trigger_errors(path: str, given: Given) -> Iterator[DocumentError]:
    kinds = [key for key in given if key in TRIGGERS]
    if len(kinds) != 1:
        found = " and ".join(kinds) or f"{' and '.join(given)} without a kind of trigger"
        expected = f"one of {', '.join(TRIGGERS)}" + (": several triggers are a list" if kinds else "")
        yield DocumentError(path, found, expected)
        return
    [kind] = kinds
    trigger = TRIGGERS[kind]
    strange = [key for key in given if key != kind and key not in trigger.options]
    for key in strange:
        expected = f"beside {kind} only {', '.join(trigger.options)}" if trigger.options else f"{kind} alone"
        yield DocumentError(f"{path}.{key}", f"{key} beside {kind}", expected)
    if not strange:
        yield from trigger.errors(path, given)


def what_starts(row: Mapping[str, Any], *, new: bool) -> str:
    """What starts the schedule of a checked row, in words for people. `new` says whether it was inserted just now."""
    schedule_id = row["scheduleId"]
    texts = [
        TRIGGERS[next(key for key in given if key in TRIGGERS)].starts(schedule_id, given)
        for _, given in triggers_of(row)
    ]
    if texts:
        return "; ".join(texts)
    return "its insertion: it starts now" if new else f"usched run {schedule_id}: a changed row starts no run"
