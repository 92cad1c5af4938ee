"""Runs a schedule for logical dates of the past: one run for each date, so many at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from universal_scheduler.domain.names import execution_name
from universal_scheduler.domain.runs.model import Execution, Run, RunStatus
from universal_scheduler.domain.time.local_days import utc_text
from universal_scheduler.domain.time.policies import Firing
from universal_scheduler.domain.time.starts import Start
from universal_scheduler.ports.runs import Runs
from universal_scheduler.ports.workflow import Workflow

LOOKS_BETWEEN_DOUBTS = 20
"""After so many looks that find no run, Step Functions is asked whether the execution goes on."""


class State(StrEnum):
    """What became of a date."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"
    """A run had succeeded for this date before."""


@dataclass(slots=True)
class Date:
    """One date of a backfill, and its run."""

    start: Start
    state: State = State.WAITING
    reason: str = ""
    execution: Execution | None = None
    run: Run | None = None
    number: int = 1
    """Which run of the backfill of this date it is: those before did not succeed, or a further one was asked for."""
    found: bool = False
    """Whether an earlier call has started it."""
    looks: int = 0


@dataclass(frozen=True, slots=True)
class Backfill:
    """Which dates of a schedule are to be run, and how."""

    schedule_id: str
    dates: Sequence[Date]
    """In the order in which they start."""
    parallel: int = 1
    """How many runs go on at a time."""
    again: bool = False
    """Whether dates for which a run has succeeded are run once more."""
    cause: Mapping[str, Any] = field(default_factory=dict)
    """Who has asked for it, and why."""


def backfill(store: Runs, workflow: Workflow, asked: Backfill, pause: Callable[[], object]) -> Iterator[Date]:
    """Run all dates, and yield each whenever its state has changed. `pause` waits between two looks at the runs.

    A new run starts as soon as another has ended. The name of a run comes from the schedule and the date, so that the
    same call resumes a backfill that was interrupted: it finds the runs that go on or have succeeded. For a date whose
    run did not succeed, it starts another one.
    """
    waiting = list(reversed(asked.dates))
    running: list[Date] = []
    while waiting or running:
        while waiting and len(running) < asked.parallel:
            date = waiting.pop()
            _begin(store, workflow, asked, date)
            if date.state is State.RUNNING:
                running.append(date)
            yield date
        for date in running:
            _look(store, workflow, asked, date)
        ended = [date for date in running if date.state is not State.RUNNING]
        running = [date for date in running if date.state is State.RUNNING]
        yield from ended
        if running and not ended:
            pause()


def _begin(store: Runs, workflow: Workflow, asked: Backfill, date: Date) -> None:
    """Start the run of a date, unless there is one that goes on or has succeeded."""
    fired = store.find_run(Firing.of(date.start).execution(asked.schedule_id))
    if fired is not None and _settled(asked, date, fired):
        return
    while True:
        name = _name(asked.schedule_id, date)
        run = store.find_run(name)
        if run is None:
            break
        if _settled(asked, date, run):
            return
        date.number += 1
    message = {"scheduleId": asked.schedule_id, "cause": _cause(asked, date.start)}
    date.execution, new = workflow.start(name, message)
    date.state, date.found = State.RUNNING, not new


def _settled(asked: Backfill, date: Date, run: Run) -> bool:
    """Whether this run is the run of the date: it goes on, or it has succeeded."""
    if run.status is RunStatus.RUNNING:
        date.state, date.run, date.execution, date.found = State.RUNNING, run, run.execution, True
    elif run.status is RunStatus.SUCCEEDED and not asked.again:
        date.state, date.run, date.execution = State.SKIPPED, run, run.execution
        date.reason = f"the run {run.key.start} has succeeded for this date"
    return date.state is not State.WAITING


def _look(store: Runs, workflow: Workflow, asked: Backfill, date: Date) -> None:
    assert date.execution is not None
    run = store.find_run(date.execution.name) if date.run is None else store.get_run(date.run.key)
    date.looks += 1
    if run is not None:
        date.run = run
        if run.status is not RunStatus.RUNNING:
            date.state, date.reason = State(run.status), run.reason
    elif date.looks % LOOKS_BETWEEN_DOUBTS == 0 and not workflow.is_running(date.execution):
        if date.found:  # its name is used up
            date.number += 1
            date.state = State.WAITING
            _begin(store, workflow, asked, date)
        else:
            date.state, date.reason = State.FAILED, "its execution ended without a run"


def _name(schedule_id: str, date: Date) -> str:
    further = [str(date.number)] if date.number > 1 else []
    return execution_name("backfill", schedule_id, utc_text(date.start.at), *further)


def _cause(asked: Backfill, start: Start) -> dict[str, Any]:
    return {**Firing.of(start).cause, "kind": "backfill", **asked.cause}
