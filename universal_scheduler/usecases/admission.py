"""Admits the starts of schedules: each begins a run now, waits for the end of another run, or is left out.

Schedules without a policy start as they come, and nothing of them is kept. Of others one row says up to which time
every start was decided, which runs go on and which starts wait. Whoever handles a firing decides all starts that are
due, in order. So it does not matter how often, how late and in which order firings are delivered: a firing that comes
again finds itself decided, and one that never comes is decided with the next.

A start gets its place before its execution begins, and the name of the execution says which start it is. Whoever is cut
off between the two leaves a holder that has not begun, and the next to look begins it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from heapq import merge
from itertools import islice
from typing import Any

from universal_scheduler.domain.errors import IllegalVerb, RunNotReady
from universal_scheduler.domain.messages.notifications import Kind, Notification
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.model import AuditEntry, Mark, Run, RunStatus, Verb
from universal_scheduler.domain.time.policies import (
    AT_ONCE,
    Activity,
    CatchUp,
    Decided,
    Firing,
    Holder,
    LeftOut,
    Overlap,
    Policies,
    count_end,
    decide,
    due,
    late_reason,
    moment,
    read_policies,
    run_ended,
)
from universal_scheduler.domain.time.starts import Start, coming
from universal_scheduler.domain.time.triggers import TimeTrigger
from universal_scheduler.ports.messages import Outbox
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.workflow import Workflow
from universal_scheduler.usecases.notify import notify
from universal_scheduler.usecases.verbs import cancel_run

SCHEDULER = "the scheduler"
INSTANT = timedelta(microseconds=1)
SETTLED_SECONDS = 60.0
"""Step Functions may not know an execution yet that has just begun, so a younger holder is not doubted.
https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html says: eventually consistent"""
BEGIN_SECONDS = 24 * 3600.0
"""A holder that has not begun for so long is given up. Step Functions knows the name of an execution for 90 days."""

logger = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What became of a start."""

    STARTED = "started"
    AGAIN = "delivered again"
    WAITS = "waits for the end of another run"
    LEFT_OUT = "left out"
    OLD = "of an old entry"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Admitted:
    """What became of a start, and why."""

    outcome: Outcome
    reason: str = ""
    execution: str = ""
    """The name of the execution that it starts, now or later."""


def admit(
    store: Store,
    workflow: Workflow,
    row: Mapping[str, Any],
    triggers: Sequence[TimeTrigger],
    start: Start,
    now: float,
) -> Admitted:
    """Decide of a start that is due, and begin its run if it is its turn. The same start begins one run, however often
    this is called.

    `row` is the schedule's, without errors; `triggers` are all of its time triggers; `now` is in epoch seconds.

    Raises:
        RunNotReady: a run has to be cancelled for it, and cannot be yet. Try again soon.
    """
    schedule_id, policies, firing = row["scheduleId"], read_policies(row), Firing.of(start)
    paused = store.paused(schedule_id)
    if not policies.tracked:
        return _admit_alone(store, workflow, schedule_id, policies, start, paused, now)
    name = firing.execution(schedule_id)
    turns = _Turns(store, workflow, schedule_id, policies, triggers, now)
    made = turns.take(after=start.at - INSTANT, extra=start, paused=paused)
    if made.since >= start.at.timestamp():
        return Admitted(Outcome.AGAIN, execution=name)
    if paused is not None and policies.catch_up is not CatchUp.NONE:
        return Admitted(Outcome.PAUSED, f"the schedule was paused {paused}; it catches up when it is resumed")
    if firing in made.activity.waiting:
        return Admitted(Outcome.WAITS, execution=name)
    reason = next((left.reason for left in made.left_out if left.at <= firing.at <= left.until), None)
    if reason is not None:
        return Admitted(Outcome.LEFT_OUT, reason)
    return Admitted(Outcome.STARTED if firing in made.started else Outcome.AGAIN, execution=name)


def tend(
    store: Store, workflow: Workflow, row: Mapping[str, Any], triggers: Sequence[TimeTrigger], now: float
) -> list[Firing]:
    """Do for a schedule what was lost: decide what nobody has decided, free the places of runs that are gone, and begin
    what waits for them. Answers what has begun."""
    schedule_id, policies = row["scheduleId"], read_policies(row)
    if not policies.tracked:
        return []
    turns = _Turns(store, workflow, schedule_id, policies, triggers, now)
    try:
        return turns.take(after=moment(now), paused=store.paused(schedule_id)).started
    except RunNotReady as error:
        logger.info("A run is cancelled later: %s", error)
        return []


def schedule_changed(
    store: Store,
    triggers_of: Callable[[Mapping[str, Any] | None], Sequence[TimeTrigger]],
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    now: float,
) -> None:
    """Handle a change of a schedule's row as `begin_schedule` does; of one that was removed, nothing waits any more.

    `triggers_of` answers the time triggers of a row; none if the row is wrong.
    """
    was = old if triggers_of(old) else None
    if new is None:
        if was is not None and (read_policies(was).tracked or read_policies(was).pause_after_failures):
            store.forget_activity(was["scheduleId"])
    elif triggers_of(new):
        begin_schedule(store, was, new, now)


def begin_schedule(store: Store, old: Mapping[str, Any] | None, new: Mapping[str, Any], now: float) -> None:
    """The row of a schedule with time triggers was inserted or changed: what is due from now on is decided by the new
    row.

    `old` is None if there was none, or a wrong one. Call it before the entries of its time triggers are made.
    """
    policies = read_policies(new)
    before = Policies() if old is None else read_policies(old)
    defined = ("trigger", "timezone")
    same = before.tracked and all((old or {}).get(key) == new.get(key) for key in defined)
    if not policies.tracked or same:
        return
    while True:
        activity = store.activity(new["scheduleId"])
        begun = replace(activity, decided=max(activity.decided, now), limit=policies.limit)
        if begun == activity or store.write_activity(new["scheduleId"], activity, begun):
            return


def catch_up(
    store: Store,
    workflow: Workflow,
    row: Mapping[str, Any],
    triggers: Sequence[TimeTrigger],
    paused: Mark,
    now: float,
) -> Decided:
    """The schedule is about to be resumed: decide what was due in the pause, as its `catchUp` says.

    Call it before the pause ends. Who is cut off between the two does both again.
    """
    schedule_id, policies = row["scheduleId"], read_policies(row)
    if policies.catch_up is CatchUp.NONE:
        return Decided(Activity())
    turns = _Turns(store, workflow, schedule_id, policies, triggers, now)
    return turns.take(after=moment(paused.at), on_time=0.0)


def run_over(store: Store, workflow: Workflow, outbox: Outbox, run: Run, now: float) -> None:
    """A run has ended: its place is free, and what waits for it begins. After too many failures the schedule is paused.

    Raises:
        StoreUnavailable: try again.
    """
    policies, schedule_id = read_policies(run.document), run.key.schedule_id
    if policies.pause_after_failures and run.status in (RunStatus.FAILED, RunStatus.SUCCEEDED):
        _count(store, outbox, policies.pause_after_failures, run, now)
    refused = run.status is RunStatus.FAILED and run.cause.get("kind") == "time"  # such a run may have no document
    if policies.limit is None and not refused:
        return
    while True:
        before = store.activity(schedule_id)
        if store.paused(schedule_id) is not None:
            held = tuple(holder for holder in before.holders if holder.execution != run.execution.name)
            made = Decided(replace(before, holders=held))
        else:
            made = run_ended(before, schedule_id, run.execution.name, now)
        if made.activity == before or store.write_activity(schedule_id, before, made.activity):
            break
    for holder in made.activity.holders:
        if not holder.begun and holder.firing is not None:
            _start(workflow, schedule_id, holder.firing)


def _count(store: Store, outbox: Outbox, limit: int, run: Run, now: float) -> None:
    """Count failures in a row, and pause the schedule after too many. Then counting begins anew."""
    schedule_id, failed = run.key.schedule_id, run.status is RunStatus.FAILED
    while True:
        before = store.activity(schedule_id)
        after = count_end(before, run.key.start, failed=failed)
        if after == before or store.write_activity(schedule_id, before, after):
            break
    if len(after.failures) < limit:
        return
    several = "a run has failed" if limit == 1 else f"{limit} runs have failed, one after the other"
    reason = f"{several}; pauseAfterFailures is {limit}"
    store.pause(schedule_id, AuditEntry(Mark(Verb.PAUSE, SCHEDULER, now, reason), after="paused"))
    notify(outbox, Notification(Kind.SCHEDULE_PAUSED, run.key, now, run.generation, detail=reason), run.document)
    while True:
        before = store.activity(schedule_id)
        if store.write_activity(schedule_id, before, replace(before, failures=())):
            return


def _admit_alone(
    store: Store,
    workflow: Workflow,
    schedule_id: str,
    policies: Policies,
    start: Start,
    paused: Mark | None,
    now: float,
) -> Admitted:
    """A start that depends on nothing else: the name of its execution is all that is kept of it."""
    firing = Firing.of(start)
    name = firing.execution(schedule_id)
    while_paused = "" if paused is None else f"the schedule was paused {paused}"
    reason = start.left_out or while_paused or late_reason(policies, start, moment(now), newest=True)
    known = store.why_left_out(schedule_id, firing.at)
    if known:
        return Admitted(Outcome.LEFT_OUT, known)
    if not reason:
        new = _start(workflow, schedule_id, firing)
        return Admitted(Outcome.STARTED if new else Outcome.AGAIN, execution=name)
    if not start.left_out and (store.find_run(name) or workflow.is_running(workflow.execution(name))):
        return Admitted(Outcome.AGAIN, execution=name)
    store.leave_out(schedule_id, LeftOut(firing.at, firing.at, reason, now))
    return Admitted(Outcome.LEFT_OUT if paused is None else Outcome.PAUSED, reason)


@dataclass(frozen=True, slots=True)
class _Turns:
    """Decides of one schedule whose starts depend on what was decided before."""

    store: Store
    workflow: Workflow
    schedule_id: str
    policies: Policies
    triggers: Sequence[TimeTrigger]
    now: float

    def take(
        self,
        *,
        after: datetime,
        extra: Start | None = None,
        paused: Mark | None = None,
        on_time: float | None = None,
    ) -> Decided:
        """Decide all that is due, some at a time. `after` is where to begin if nothing was decided yet.

        `extra` is a start that is due whatever our own reckoning says.
        """
        whole: Decided | None = None
        while True:
            before = self.store.activity(self.schedule_id)
            whole = whole or Decided(before, before.decided)
            looked = self._looked(before)
            count = 0

            def counted(starts: Iterable[tuple[Start, str]]) -> Iterator[tuple[Start, str]]:
                nonlocal count
                for each in islice(starts, AT_ONCE):
                    count += 1
                    yield each

            if paused is not None and self.policies.catch_up is not CatchUp.NONE:
                made = Decided(looked)
            else:
                since = moment(looked.decided) if looked.decided else after
                starts = self._due(since, extra, paused, on_time)
                hold = paused is not None
                made = decide(looked, self.policies, self.schedule_id, counted(starts), self.now, hold=hold)
                if not made.activity.decided:
                    made.activity = replace(made.activity, decided=after.timestamp())
            if self._settle(before, made):
                whole.activity = made.activity
                whole.started += made.started
                whole.left_out += made.left_out
                if count < AT_ONCE:
                    break
        if self.policies.overlap is Overlap.CANCEL_RUNNING and made.activity.waiting and made.activity.full:
            self._cancel(made.activity)
        return whole

    def _due(
        self, since: datetime, extra: Start | None, paused: Mark | None, on_time: float | None
    ) -> Iterator[tuple[Start, str]]:
        now = moment(self.now) if extra is None else max(moment(self.now), extra.at)
        found = due(self.triggers, self.policies, since, now, on_time)
        if extra is not None and extra.at > since:
            later = any(not start.left_out for start in coming(self.triggers, extra.at, now))
            reason = late_reason(self.policies, extra, now, newest=not later, on_time=on_time)
            found = merge(found, [(extra, reason)], key=lambda each: each[0].at)
        for start, reason in found:
            while_paused = f"the schedule was paused {paused}" if paused is not None else ""
            yield start, start.left_out or while_paused or reason

    def _settle(self, before: Activity, made: Decided) -> bool:
        """Write what was decided, and begin what begins. False if somebody else has written meanwhile."""
        limited = made.activity.limit is not None
        if not limited:  # nothing would know that they have to begin: they begin before anybody takes them as decided
            self._begin(made.started)
        changed = made.activity != before or made.left_out
        if changed and not self.store.write_activity(self.schedule_id, before, made.activity, made.left_out):
            return False
        if limited:
            self._begin(made.started)
        return True

    def _begin(self, firings: Iterable[Firing]) -> None:
        for firing in firings:
            _start(self.workflow, self.schedule_id, firing)

    def _looked(self, activity: Activity) -> Activity:
        """Begin the executions of the holders that have not begun; if there is no place, drop those that are gone."""
        kept = []
        for holder in activity.holders:
            new = False
            if not holder.begun and holder.firing is not None and self.now - holder.since < BEGIN_SECONDS:
                new = _start(self.workflow, self.schedule_id, holder.firing)
            if new or not activity.full or self._goes_on(holder):
                kept.append(replace(holder, begun=True))
            else:
                logger.warning("A run is gone that had a place", extra={"execution": holder.execution})
        return replace(activity, holders=tuple(kept))

    def _goes_on(self, holder: Holder) -> bool:
        if self.now - holder.since < SETTLED_SECONDS:
            return True
        run = self.store.find_run(holder.execution)
        if run is None:
            return self.workflow.is_running(self.workflow.execution(holder.execution))
        return not run.status.ended and self.workflow.is_running(run.execution)

    def _cancel(self, activity: Activity) -> None:
        """Ask for the end of the runs that go on. A call for the same end changes nothing."""
        reason = f"the start of {activity.waiting[0].at} is due, and overlap is cancelRunning"
        for holder in activity.holders:
            run = self.store.find_run(holder.execution)
            if run is None or run.preparing:
                raise RunNotReady(self.schedule_id, holder.execution)
            if not run.status.ended and run.cancel is None:
                with suppress(IllegalVerb):  # it has just ended, or somebody else has asked for it
                    cancel_run(self.store, self.workflow, run.key, Mark(Verb.CANCEL, SCHEDULER, self.now, reason))


def _start(workflow: Workflow, schedule_id: str, firing: Firing) -> bool:
    """Start the execution of a firing; False if it was started before."""
    _, new = workflow.start(firing.execution(schedule_id), {"scheduleId": schedule_id, "cause": firing.cause})
    return new
