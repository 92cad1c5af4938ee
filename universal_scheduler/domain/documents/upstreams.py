"""The schedules that the triggers of a row name. The row was perhaps never checked: what is wrong in it is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from universal_scheduler.domain.documents.durations import duration_seconds
from universal_scheduler.domain.documents.values import printable
from universal_scheduler.domain.errors import DocumentError
from universal_scheduler.domain.runs.model import RunStatus

TRIGGERS_LIMIT, UPSTREAMS_LIMIT, NAME_LIMIT = 20, 100, 128
"""As in `dynamo/schema.json`. A row with more triggers has errors and starts after no schedule; so has a trigger with
more names, or with a longer name."""
SCHEDULES_WALKED = 1000
"""How many schedules are looked at for a cycle. A longer one is not refused; its runs end by the chain that led to
them."""
CYCLE_SHOWN = 10
EXPECTED = "schedules that do not start each other in a circle"
UpstreamsOf: TypeAlias = Callable[[Sequence[str]], Mapping[str, Sequence[str]]]
"""For each of these schedules that exist and are right, the schedules that it starts after."""


class Outcome(StrEnum):
    """How an upstream run must have ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ENDED = "ENDED"

    def is_met_by(self, status: RunStatus) -> bool:
        return status.ended if self is Outcome.ENDED else status == self.value


@dataclass(frozen=True, slots=True)
class After:
    """One trigger `after`."""

    path: str
    upstreams: tuple[str, ...]
    """Each once."""
    outcome: Outcome = Outcome.SUCCEEDED
    all: bool = False
    """Whether a run of each of them has to end, and not only of one."""
    within_seconds: float | None = None
    """The longest time between the first and the last of these ends; None means any time."""
    same_business_date: bool = False
    """Whether these runs must have the same business date."""


def triggers_of(row: Mapping[str, Any] | None) -> list[tuple[str, Mapping[str, Any]]]:
    """The triggers of a row, each with its JSON path."""
    match (row or {}).get("trigger"):
        case Mapping() as only:
            return [("$.trigger", only)] if only else []
        case list() as several if len(several) <= TRIGGERS_LIMIT:
            return [(f"$.trigger[{n}]", each) for n, each in enumerate(several) if isinstance(each, Mapping)]
        case _:
            return []


def afters_of(row: Mapping[str, Any] | None) -> list[After]:
    """The triggers `after` of a row."""
    return [_read(path, trigger) for path, trigger in triggers_of(row) if "after" in trigger]


def upstreams_of(row: Mapping[str, Any] | None) -> list[str]:
    """The schedules after which the schedule of this row starts, each once."""
    return list(dict.fromkeys(name for after in afters_of(row) for name in after.upstreams))


def follows(row: Mapping[str, Any], upstream: str) -> bool:
    """Whether the schedule of this row starts after the other one: a trigger names it, and the row has no errors."""
    return upstream in upstreams_of(row) and "scheduleErrors" not in row


def upstream_paths(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every name in a trigger `after` of a row that passes the schema, with its JSON path."""
    for path, trigger in triggers_of(row):
        named = trigger.get("after", ())
        if isinstance(named, str):
            yield f"{path}.after", named
        else:
            yield from ((f"{path}.after[{position}]", name) for position, name in enumerate(named))


def cycle_errors(row: Mapping[str, Any], upstreams_by_name: UpstreamsOf) -> Iterator[DocumentError]:
    """An error for each name in a trigger of a valid row that leads back to the schedule itself.

    A row names itself in no valid document. The schedules upstream of it are asked for, the nearest first.
    """
    own = row["scheduleId"]
    paths: dict[str, str] = {}
    for path, name in upstream_paths(row):
        paths.setdefault(name, path)
    downstream: dict[str, str] = dict.fromkeys(paths, own)
    ahead = list(paths)
    while ahead and len(downstream) <= SCHEDULES_WALKED:
        found = upstreams_by_name(ahead)
        walked, ahead = ahead, []
        for name in walked:
            upstreams = found.get(name, ())
            if own in upstreams:
                cycle = [own, name]
                while cycle[-1] != own:
                    cycle.append(downstream[cycle[-1]])
                yield DocumentError(paths[cycle[-2]], f"a cycle: {_shown(cycle)}", EXPECTED, _said(cycle))
            for upstream in upstreams:
                if upstream != own and upstream not in downstream:
                    downstream[upstream] = name
                    ahead.append(upstream)


def _said(cycle: Sequence[str]) -> str:
    return (
        f"these schedules would start each other for ever: {_shown(cycle)}. Take one of them out of the trigger of the "
        "next, then store this schedule again"
    )


def _shown(cycle: Sequence[str]) -> str:
    names = [printable(name) for name in cycle]
    if len(names) > CYCLE_SHOWN:
        names[CYCLE_SHOWN - 1 : -1] = [f"{len(names) - CYCLE_SHOWN} more"]
    return " → ".join(names)


def _read(path: str, trigger: Mapping[str, Any]) -> After:
    named = trigger["after"]
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, list) or len(names) > UPSTREAMS_LIMIT:
        names = []
    outcome = trigger.get("outcome")
    return After(
        path,
        tuple(dict.fromkeys(name for name in names if isinstance(name, str) and 0 < len(name) <= NAME_LIMIT)),
        Outcome(outcome) if outcome in list(Outcome) else Outcome.SUCCEEDED,
        trigger.get("when") == "all",
        _seconds(trigger.get("within")),
        trigger.get("sameBusinessDate") is True,
    )


def _seconds(value: Any) -> float | None:
    try:
        return duration_seconds(value) if isinstance(value, int | str) else None
    except ValueError:
        return None
