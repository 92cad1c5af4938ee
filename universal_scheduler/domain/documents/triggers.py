"""The triggers that a document may have: what each means, and what of it can be wrong that no JSON Schema finds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from universal_scheduler.domain.documents.durations import duration_seconds
from universal_scheduler.domain.documents.upstreams import Outcome, triggers_of, upstream_paths
from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.errors import DocumentError

SPREAD_LIMIT_SECONDS = 24 * 3600
Row: TypeAlias = Mapping[str, Any]
Given: TypeAlias = Mapping[str, Any]
"""One trigger, as the document has it."""


def _nothing_wrong(_row: Row, _path: str, _given: Given) -> Iterable[DocumentError]:
    return ()


@dataclass(frozen=True, slots=True)
class Trigger:
    """One kind of trigger. Its functions get the row of the schedule, and the trigger as it stands there."""

    starts: Callable[[Row, Given], str]
    """What starts the schedule, in words for people: `usched apply` shows them."""
    options: tuple[str, ...] = ()
    """The keys that may stand beside the key of the kind."""
    errors: Callable[[Row, str, Given], Iterable[DocumentError]] = _nothing_wrong
    """What is wrong with the trigger at this path, although the schema takes it."""


def _by_hand(row: Row, _given: Given) -> str:
    return f"usched run {row['scheduleId']}, or POST /executions"


ENDS = {Outcome.SUCCEEDED: "succeeds", Outcome.FAILED: "fails", Outcome.ENDED: "ends"}


def _starts_after(_row: Row, given: Given) -> str:
    named = given["after"]
    names, ends = [named] if isinstance(named, str) else list(named), ENDS[Outcome(given.get("outcome", "SUCCEEDED"))]
    if given.get("when") != "all" or len(names) == 1:
        return f"a run of {' or '.join(names)} that {ends}"
    window = [f"within {_span(given['within'])}"] if "within" in given else []
    window += ["of the same business date"] if given.get("sameBusinessDate") else []
    return " ".join([f"a run each of {' and '.join(names)} that {ends}", *window])


def _span(value: int | str) -> str:
    return f"{value} seconds" if str(value).isdecimal() else str(value)


def _after_errors(_row: Row, path: str, given: Given) -> Iterable[DocumentError]:
    if given.get("when") == "all":
        return
    for key in ("within", "sameBusinessDate"):
        if key in given:
            yield DocumentError(f"{path}.{key}", f"{key} without when: all", "when: all beside it")


def _expression(kind: str) -> Callable[[Row, Given], str]:
    return lambda row, given: f"{given[kind].strip()}{_zone(row, given)}{_days(given)}"


def _rate(_row: Row, given: Given) -> str:
    return f"{given['rate'].strip()}{_days(given)}"


def _business_day(row: Row, given: Given) -> str:
    number = given["businessDay"]
    which = f"business day {number}" if number > 0 else f"business day {-number} from the end"
    which = {1: "the first business day", -1: "the last business day"}.get(number, which)
    return f"{which} of the month, {given['time']}{_zone(row, given)}{_days(given)}"


def _exchange(_row: Row, given: Given) -> str:
    times: Mapping[str, Any] = given["exchange"]
    edge = "open" if "open" in times else "close"
    offset = str(times.get("offset", 0))
    when = "" if offset in ("0", "-0") else f"{_span(offset.removeprefix('-'))} {_side(offset)} "
    return f"{when}the {'opening' if edge == 'open' else 'close'} of {times[edge]}"


def _side(offset: str) -> str:
    return "before" if offset.startswith("-") else "after"


def _zone(row: Row, given: Given) -> str:
    return f", {given.get('timezone', row.get('timezone', 'UTC'))}"


def _days(given: Given) -> str:
    calendar = given.get("calendar")
    if calendar is None:
        return ""
    named = calendar if isinstance(calendar, str) else "its calendar"
    rolls = {"next": ", else on the next", "previous": ", else on the one before"}.get(given.get("roll", ""), "")
    return f", on business days of {named}{rolls}"


def _time_errors(row: Row, path: str, given: Given) -> Iterable[DocumentError]:
    from universal_scheduler.domain.time.triggers import time_errors  # not where no time is read

    return time_errors(path, given, row.get("timezone", ""))


def _object(_row: Row, given: Given) -> str:
    place: Mapping[str, Any] = given["s3"]
    named = f"s3://{place['bucket']}/{place.get('prefix', '')}*{place.get('suffix', '')}"
    stable = f", when it has been there for {_span(place['stableFor'])}" if "stableFor" in place else ""
    return f"a new object {named}{stable}"


def _event(_row: Row, given: Given) -> str:
    return f"an event of {' or '.join(given['event']['source'])}"


def _event_errors(_row: Row, path: str, given: Given) -> Iterable[DocumentError]:
    from universal_scheduler.domain.events.patterns import pattern_errors  # not where no event is read

    return pattern_errors(f"{path}.event", given["event"])


BOUNDS, DAYS = ("startDate", "endDate"), ("calendar", "roll")
TIMES: Mapping[str, Trigger] = {
    "cron": Trigger(_expression("cron"), ("timezone", *BOUNDS, *DAYS, "onDst"), _time_errors),
    "rate": Trigger(_rate, ("timezone", *BOUNDS, "calendar"), _time_errors),
    "at": Trigger(_expression("at"), ("timezone", *DAYS, "onDst"), _time_errors),
    "businessDay": Trigger(_business_day, ("time", "timezone", *BOUNDS, "calendar", "onDst"), _time_errors),
    "exchange": Trigger(_exchange, BOUNDS, _time_errors),
}
"""The kinds that EventBridge Scheduler fires."""
TRIGGERS: Mapping[str, Trigger] = {
    "manual": Trigger(_by_hand),
    "after": Trigger(_starts_after, ("when", "outcome", "within", "sameBusinessDate"), _after_errors),
    **TIMES,
    "s3": Trigger(_object),
    "event": Trigger(_event, errors=_event_errors),
}
"""Every kind of trigger by its key in the document. `dynamo/schema.json` says what value each key takes."""


def trigger_errors(row: Mapping[str, Any]) -> Iterator[DocumentError]:
    """What is wrong with the triggers of a row that passes the schema."""
    yield from _spread_errors(row)
    triggers, before = triggers_of(row), set[str]()
    for path, given in triggers:
        written = json.dumps(given, sort_keys=True)
        if written in before:
            yield DocumentError(path, f"{shown(given)} again", "every trigger once")
        before.add(written)
        yield from _trigger_errors(row, path, given)
        if "manual" in given and len(triggers) > 1:
            found = "manual beside other triggers"
            yield DocumentError(path, found, "manual alone: a person can start a schedule with other triggers, too")
    for path, upstream in upstream_paths(row):
        if upstream == row["scheduleId"]:
            yield DocumentError(path, "the schedule itself", "another schedule's scheduleId")


def _spread_errors(row: Row) -> Iterator[DocumentError]:
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-flexible-time-windows.html"""
    spread = row.get("spread")
    if spread is not None and duration_seconds(spread) > SPREAD_LIMIT_SECONDS:
        yield DocumentError("$.spread", shown(spread), "at most a day: 1d")


def _trigger_errors(row: Row, path: str, given: Given) -> Iterator[DocumentError]:
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
        yield from trigger.errors(row, path, given)


def what_starts(row: Mapping[str, Any], *, new: bool) -> str:
    """What starts the schedule of a checked row, in words for people. `new` says whether it was inserted just now."""
    if texts := trigger_texts(row):
        return "; ".join(texts)
    return "its insertion: it starts now" if new else f"usched run {row['scheduleId']}: a changed row starts no run"


def trigger_texts(row: Row) -> list[str]:
    """What starts the schedule of a checked row, for each of its triggers in their order."""
    return [TRIGGERS[next(key for key in given if key in TRIGGERS)].starts(row, given) for _, given in triggers_of(row)]


def calendar_given(row: Mapping[str, Any], place: str = "") -> str | Mapping[str, Any] | None:
    """The calendar of the trigger at this place of a checked row, as it is written there: a name, or the calendar
    itself. If that trigger has none, or there is no such place, the first that a trigger has; None if none has one."""
    triggers = [trigger for _, trigger in triggers_of(row)]
    if place.isdecimal() and int(place) < len(triggers):
        triggers.insert(0, triggers[int(place)])
    for trigger in triggers:
        if "calendar" in trigger:
            given: str | Mapping[str, Any] = trigger["calendar"]
            return given
        if "exchange" in trigger:
            times = trigger["exchange"]
            return {"exchange": times.get("open", times.get("close"))}
    return None
