"""The runs that a schedule has seen of all the schedules that it waits for, and when they start a run of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from universal_scheduler.domain.documents.upstreams import After
from universal_scheduler.domain.names import digest
from universal_scheduler.domain.runs.model import RunKey

USED_KEPT = 10
"""How many used runs of each schedule are remembered. A record of a run comes at most a day after its end; but a run
that was restarted ends again."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An upstream run that has ended as it should. Both are ISO 8601 in UTC."""

    start: str
    ended_at: str


@dataclass(frozen=True, slots=True)
class UpstreamRuns:
    """The runs of its upstream schedules that one trigger of a schedule has seen. The keys are scheduleIds."""

    version: int = 0
    """Counts the writes: a write is refused if another one came in between."""
    came: Mapping[str, Ended] = field(default_factory=dict)
    """The newest run of each, since the last start."""
    used: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The starts of earlier runs, the last ones: they have started a run, or a newer one has taken their place."""
    started_by: Mapping[str, str] = field(default_factory=dict)
    """The starts of the runs that have started the last run together."""


def collection(after: After, business_date: str = "") -> str:
    """The name of what a trigger has seen; the same for the same schedules, outcome and window. With
    `sameBusinessDate` each date has its own, which begins with the name without a date."""
    window = "" if after.within_seconds is None else str(after.within_seconds)
    kind = digest(*sorted(after.upstreams), after.outcome, window, str(after.same_business_date))
    return f"{kind}#{business_date}" if after.same_business_date and business_date else kind


def arrived(seen: UpstreamRuns, after: After, key: RunKey, ended_at: str) -> tuple[UpstreamRuns, Mapping[str, str]]:
    """What the trigger has seen when this run has ended, too; and the runs, by scheduleId, that together start a run of
    the schedule now. They are empty if it has to wait for more.

    If the run is told of again, nothing changes. If it was one of those that have started the last run, they are
    answered once more: perhaps that start was lost.
    """
    name = key.schedule_id
    if seen.started_by.get(name) == key.start:
        return seen, seen.started_by
    run, before = Ended(key.start, ended_at), seen.came.get(name)
    if key.start in seen.used.get(name, ()) or before == run:
        return seen, {}
    replaced = dict(seen.used)
    if before is not None:
        run, older = (run, before) if (run.ended_at, run.start) > (before.ended_at, before.start) else (before, run)
        _use(replaced, name, older.start)
    came = {**seen.came, name: run}
    if after.within_seconds is not None:
        newest = max(_moment(each) for each in came.values())
        late = {upstream: each for upstream, each in came.items() if newest - _moment(each) > after.within_seconds}
        for upstream, each in late.items():
            del came[upstream]
            _use(replaced, upstream, each.start)
    if not came.keys() >= set(after.upstreams):
        return replace(seen, came=came, used=replaced), {}
    starting = {upstream: came[upstream].start for upstream in after.upstreams}
    for upstream, start in starting.items():
        _use(replaced, upstream, start)
    return replace(seen, came={}, used=replaced, started_by=starting), starting


def _use(used: dict[str, tuple[str, ...]], name: str, start: str) -> None:
    used[name] = (*used.get(name, ()), start)[-USED_KEPT:]


def _moment(run: Ended) -> float:
    return datetime.fromisoformat(run.ended_at).timestamp()
