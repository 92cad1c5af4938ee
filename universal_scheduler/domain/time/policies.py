"""What a schedule's policies say of the starts that are due: whether each starts, waits or is left out. It is pure.

The policies are `overlap`, `maxConcurrentRuns`, `catchUp` and `pauseAfterFailures` of the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any, assert_never

from universal_scheduler.domain.documents.durations import duration_seconds
from universal_scheduler.domain.names import execution_name
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.time.local_days import utc_text
from universal_scheduler.domain.time.starts import Start, coming
from universal_scheduler.domain.time.triggers import TimeTrigger

ON_TIME_SECONDS = 1800.0
"""A start that is handled so soon after its time is not late. A million starts at one midnight take 17 minutes at the
1,000 invocations a second of EventBridge Scheduler: https://docs.aws.amazon.com/general/latest/gr/eventbridgescheduler.html"""
WAITING_LIMIT = 1000
"""How many starts of one schedule may wait. They are kept in one row."""
AT_ONCE = 50
"""How many starts are decided with one write, at most."""


class Overlap(StrEnum):
    """What happens to a start while as many runs of the schedule go on as may."""

    ALLOW = "allow"
    """It starts beside them. With `maxConcurrentRuns` it waits for its turn."""
    SKIP = "skip"
    QUEUE_ONE = "queueOne"
    """One start waits; others are left out. https://docs.temporal.io/schedule#overlap-policy calls it BufferOne."""
    QUEUE_ALL = "queueAll"
    CANCEL_RUNNING = "cancelRunning"
    """The runs are cancelled, and the newest start begins when they have ended."""


class CatchUp(StrEnum):
    """What happens to starts that nobody handled when they were due: in a pause or an outage."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of one schedule."""

    overlap: Overlap = Overlap.ALLOW
    max_concurrent_runs: int | None = None
    catch_up: CatchUp = CatchUp.NONE
    window_seconds: float | None = None
    """How late a start may be caught up; None means at any time."""
    pause_after_failures: int = 0
    """After so many failed runs in a row the schedule is paused; 0 means never."""
    spread_seconds: float = 0.0
    """How long after its time a start may be handled on purpose."""

    @property
    def limit(self) -> int | None:
        """How many runs of the schedule may go on at a time; None means any number."""
        return self.max_concurrent_runs or (None if self.overlap is Overlap.ALLOW else 1)

    @property
    def tracked(self) -> bool:
        """Whether a start depends on what was decided before. Others start as they come, without a look at anything."""
        return self.limit is not None or self.catch_up is not CatchUp.NONE


def read_policies(document: Mapping[str, Any]) -> Policies:
    """The policies of a schedule whose document has passed every check, or of a run of it."""
    catch_up, window = document.get("catchUp", CatchUp.NONE), None
    if isinstance(catch_up, Mapping):
        catch_up, window = catch_up.get("policy", CatchUp.NONE), catch_up.get("window")
    limit = document.get("maxConcurrentRuns")
    return Policies(
        overlap=Overlap(document.get("overlap", Overlap.ALLOW)),
        max_concurrent_runs=None if limit is None else int(limit),
        catch_up=CatchUp(catch_up.rstrip("\n")),  # which the schema's `$` lets by
        window_seconds=None if window is None else duration_seconds(window),
        pause_after_failures=int(document.get("pauseAfterFailures", 0)),
        spread_seconds=duration_seconds(document.get("spread", 0)),
    )


@dataclass(frozen=True, slots=True)
class Firing:
    """One start of a schedule that begins a run, sooner or later. Times are UTC: `2026-11-21T06:00:00Z`."""

    at: str
    """When it is due; of one schedule no two firings are due at the same time."""
    scheduled: str
    """What the trigger's expression says, before rolling to a business day: the run's `scheduledTime`."""
    business_date: str
    """`2026-11-21`"""
    trigger: int
    """The trigger's place in the document's list."""

    @classmethod
    def of(cls, start: Start) -> Firing:
        return cls(utc_text(start.at), utc_text(start.scheduled), start.business_date.isoformat(), start.trigger)

    def execution(self, schedule_id: str) -> str:
        """The name of the execution. The same firing has the same name however often it is delivered."""
        return execution_name("time", schedule_id, self.at)

    @property
    def cause(self) -> dict[str, Any]:
        """What its run keeps of it."""
        return {
            "kind": "time",
            "scheduledTime": self.scheduled,
            "businessDate": self.business_date,
            "trigger": self.trigger,
        }


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Starts that begin no run, and why: one, or all from `at` to `until`."""

    at: str
    until: str
    reason: str
    decided_at: float
    """Epoch seconds."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A run that takes one of the places of its schedule."""

    execution: str
    """The name of its execution."""
    since: float
    """When it got its place, in epoch seconds."""
    firing: Firing | None = None
    """None if something else than a time trigger has started it."""
    begun: bool = False
    """Whether its execution has certainly been started."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What a schedule is doing: the runs that go on, and the firings that wait for their end."""

    version: int = 0
    """It grows with each write, so that nobody writes over what he has not read."""
    decided: float = 0.0
    """Every start up to this time (epoch seconds) was decided; 0 means that none was."""
    limit: int | None = None
    """As the policies said it when the last start was decided."""
    holders: tuple[Holder, ...] = ()
    waiting: tuple[Firing, ...] = ()
    """In the order in which they start."""
    failures: tuple[str, ...] = ()
    """The `startDateTime` of the runs that have failed since the last that succeeded."""

    @property
    def full(self) -> bool:
        return self.limit is not None and len(self.holders) >= self.limit

    def has(self, execution: str) -> bool:
        return any(holder.execution == execution for holder in self.holders)


@dataclass(slots=True)
class Decided:
    """What was decided of some starts."""

    activity: Activity
    since: float = 0.0
    """Up to here (epoch seconds) every start was decided before."""
    started: list[Firing] = field(default_factory=list)
    """Those whose runs begin now."""
    left_out: list[LeftOut] = field(default_factory=list)


def moment(seconds: float) -> datetime:
    """Epoch seconds as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def late_reason(policies: Policies, start: Start, now: datetime, *, newest: bool, on_time: float | None = None) -> str:
    """Why a start that is handled now is too late for its schedule; empty if it is not.

    `newest` says that no later start is due. `on_time` is how many seconds after its time it is not late at all; None
    means what the policies say.
    """
    late = (now - start.at).total_seconds()
    if late <= (ON_TIME_SECONDS + policies.spread_seconds if on_time is None else on_time):
        return ""
    match policies.catch_up:
        case CatchUp.NONE:
            return "nobody handled it when it was due, and catchUp is none"
        case CatchUp.LAST if not newest:
            return "nobody handled it when it was due, a later one has come since, and catchUp is last"
        case CatchUp.LAST | CatchUp.ALL:
            too_late = policies.window_seconds is not None and late > policies.window_seconds
            return "it is due for longer than the window of catchUp" if too_late else ""
        case unknown:
            assert_never(unknown)


def due(
    triggers: Sequence[TimeTrigger],
    policies: Policies,
    after: datetime,
    now: datetime,
    on_time: float | None = None,
) -> Iterator[tuple[Start, str]]:
    """The starts after `after` up to `now`, in order, each with why it is left out; empty where it is not.

    Of starts that are too late whatever comes, only the first and the last are there: the end of a long outage costs
    little.
    """
    newest = _newest(triggers, after, now) if policies.catch_up is CatchUp.LAST else None
    newest_at = None if newest is None else newest.at
    keep = _earliest(policies, now, newest_at, on_time)
    if keep is not None and keep > after:
        first = next((start for start in coming(triggers, after, keep) if not start.left_out), None)
        last = None if first is None else _newest(triggers, after, keep)
        for start in dict.fromkeys((first, last)):
            if start is not None:
                yield start, late_reason(policies, start, now, newest=False, on_time=on_time)
        after = keep
    for start in coming(triggers, after, now):
        is_newest = newest_at is None or start.at >= newest_at
        yield start, start.left_out or late_reason(policies, start, now, newest=is_newest, on_time=on_time)


def _earliest(policies: Policies, now: datetime, newest: datetime | None, on_time: float | None) -> datetime | None:
    """Nothing that was due at this time or before it starts any more; None if anything may."""
    grace = now - timedelta(seconds=ON_TIME_SECONDS + policies.spread_seconds if on_time is None else on_time)
    tick = timedelta(seconds=1)
    match policies.catch_up:
        case CatchUp.NONE:
            return grace - tick
        case CatchUp.LAST:
            return min(grace, newest or now) - tick
        case CatchUp.ALL:
            seconds = policies.window_seconds
            return None if seconds is None else min(grace, now - timedelta(seconds=seconds)) - tick
        case unknown:
            assert_never(unknown)


def _newest(triggers: Sequence[TimeTrigger], after: datetime, until: datetime) -> Start | None:
    """The last start up to a time. It looks back twice as far each time, so that a long outage costs little."""
    span = timedelta(hours=1)
    while True:
        first = max(after, until - span)
        found = [start for start in coming(triggers, first, until) if not start.left_out]
        if found or first == after:
            return found[-1] if found else None
        span *= 2


def decide(
    activity: Activity,
    policies: Policies,
    schedule_id: str,
    starts: Iterable[tuple[Start, str]],
    now: float,
    *,
    hold: bool = False,
) -> Decided:
    """Decide of starts, each with why it is left out. Those up to `activity.decided` were decided before.

    With `hold`, what waits goes on waiting.
    """
    holders = activity.holders if policies.limit is not None else ()
    made = Decided(replace(activity, limit=policies.limit, holders=holders), activity.decided)
    if not hold:
        fill(made, schedule_id, now)
    for start, reason in starts:
        at = start.at.timestamp()
        if at <= made.activity.decided:
            continue
        firing = Firing.of(start)
        if reason:
            made.left_out.append(LeftOut(firing.at, firing.at, reason, now))
        elif not made.activity.full:
            _begin(made, schedule_id, firing, now)
        else:
            _while_full(made, policies.overlap, firing, now)
        made.activity = replace(made.activity, decided=at)
    made.left_out = list(together(made.left_out))
    return made


def fill(made: Decided, schedule_id: str, now: float) -> None:
    """Let those begin that wait, as far as there are places."""
    while made.activity.waiting and not made.activity.full:
        first, *others = made.activity.waiting
        made.activity = replace(made.activity, waiting=tuple(others))
        _begin(made, schedule_id, first, now)


def _begin(made: Decided, schedule_id: str, firing: Firing, now: float) -> None:
    made.started.append(firing)
    if made.activity.limit is not None:
        holder = Holder(firing.execution(schedule_id), now, firing)
        made.activity = replace(made.activity, holders=(*made.activity.holders, holder))


def _while_full(made: Decided, overlap: Overlap, firing: Firing, now: float) -> None:
    waiting = made.activity.waiting
    match overlap:
        case Overlap.SKIP:
            going_on = ", ".join(sorted(_named(holder) for holder in made.activity.holders[:3]))
            reason = f"a run goes on ({going_on}), and overlap is skip"
            made.left_out.append(LeftOut(firing.at, firing.at, reason, now))
        case Overlap.QUEUE_ONE if waiting:
            reason = f"the start of {waiting[0].at} waits already, and overlap is queueOne"
            made.left_out.append(LeftOut(firing.at, firing.at, reason, now))
        case Overlap.CANCEL_RUNNING:
            reason = f"the start of {firing.at} took its place, and overlap is cancelRunning"
            made.left_out += [LeftOut(other.at, other.at, reason, now) for other in waiting]
            made.activity = replace(made.activity, waiting=(firing,))
        case Overlap.ALLOW | Overlap.QUEUE_ALL | Overlap.QUEUE_ONE:
            if len(waiting) < WAITING_LIMIT:
                made.activity = replace(made.activity, waiting=(*waiting, firing))
            else:
                reason = f"{WAITING_LIMIT:,} starts wait already, and no more can"
                made.left_out.append(LeftOut(firing.at, firing.at, reason, now))
        case unknown:
            assert_never(unknown)


def _named(holder: Holder) -> str:
    return holder.execution if holder.firing is None else f"that of {holder.firing.scheduled}"


def together(left_out: Iterable[LeftOut]) -> Iterator[LeftOut]:
    """Starts that follow each other and are left out for the same reason, as one."""
    for _, group in groupby(left_out, key=lambda each: each.reason):
        same = list(group)
        yield replace(same[0], until=same[-1].until)


def run_ended(activity: Activity, schedule_id: str, execution: str, now: float) -> Decided:
    """The run of this execution has ended: its place is free, and a firing that waits may begin."""
    left = tuple(holder for holder in activity.holders if holder.execution != execution)
    made = Decided(replace(activity, holders=left))
    fill(made, schedule_id, now)
    return made


def count_end(activity: Activity, start: str, *, failed: bool) -> Activity:
    """Count a run that has FAILED, by its `startDateTime`; or one that SUCCEEDED, after which counting begins anew."""
    if not failed:
        return replace(activity, failures=())
    return activity if start in activity.failures else replace(activity, failures=(*activity.failures, start))
