"""Which starts of a schedule begin a run, now or later, and which are left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from universal_scheduler.adapters.memory.outbox import MemoryOutbox
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.errors import RunNotReady
from universal_scheduler.domain.runs.model import AuditEntry, Mark, Run, RunKey, RunStatus, Verb
from universal_scheduler.domain.time.starts import Start, coming
from universal_scheduler.domain.time.triggers import TimeTrigger, read_triggers
from universal_scheduler.usecases.admission import Admitted, Outcome, admit, begin_schedule, run_over, tend
from universal_scheduler.usecases.places import take_place
from universal_scheduler.usecases.resume import resume_schedule

TRIGGER = {"cron": "cron(0 * * * ? *)"}
DAY = datetime(2026, 1, 10, tzinfo=UTC)
TOPIC = "arn:aws:sns:us-east-1:123456789012:team"


class Desk:
    """A schedule with an hourly trigger, and a clock that stands at the last start that was handled."""

    def __init__(self, **policies: Any) -> None:
        self.store, self.workflow, self.outbox = MemoryStore(), MemoryWorkflow(), MemoryOutbox()
        job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}
        self.row = {"scheduleId": "load", "jobList": [job], "trigger": TRIGGER, **policies}
        self.store.put_schedule(self.row)
        self.now = DAY.timestamp()
        begin_schedule(self.store, None, self.row, self.now)

    @property
    def triggers(self) -> tuple[TimeTrigger, ...]:
        return read_triggers(self.row["trigger"], "", {})

    def fire(self, hour: int, late: float = 1.0) -> Admitted:
        """The start of this hour is delivered."""
        self.now = max(self.now, (DAY + timedelta(hours=hour)).timestamp() + late)
        return admit(self.store, self.workflow, self.row, self.triggers, self.start(hour), self.now)

    def start(self, hour: int) -> Start:
        moment = DAY + timedelta(hours=hour)
        return next(coming(self.triggers, moment - timedelta(seconds=1), moment))

    def began(self) -> list[int]:
        """The hours of the starts whose runs have begun, in the order in which they did."""
        messages = self.workflow.started.values()
        return [int(message["cause"]["scheduledTime"][11:13]) for message in messages]

    def run(self, hour: int) -> Run:
        """The run that an hour's execution has made."""
        name = next(name for name, message in self.workflow.started.items() if f"T{hour:02}" in str(message))
        key = RunKey("load", f"2026-01-10T{hour:02}:00:01.000000")
        run = Run(key, RunStatus.RUNNING, self.workflow.execution(name), document=self.row, cause={"kind": "time"})
        self.store.create_run(run)
        return run

    def end(self, hour: int, status: RunStatus = RunStatus.SUCCEEDED) -> None:
        """The hour's run ends, and the history's stream tells of it."""
        run = self.run(hour)
        assert self.store.finish_run(run, status, "", "2026-01-10T23:00:00.000000", [])
        self.workflow.ended.add(run.execution.name)
        run_over(self.store, self.workflow, self.outbox, replace(run, status=status), self.now)

    def pause(self) -> None:
        self.store.pause("load", AuditEntry(Mark(Verb.PAUSE, "ann", self.now, "holidays")))

    def resume(self, hour: int) -> int:
        self.now = (DAY + timedelta(hours=hour, minutes=30)).timestamp()
        mark = Mark(Verb.RESUME, "ann", self.now)
        return resume_schedule(self.store, self.workflow, lambda _: self.triggers, "load", mark)[1]

    def reasons(self) -> dict[str, str]:
        found = self.store.left_out("load", 100)
        return {left.at[11:13]: left.reason for left in reversed(found)}


@pytest.mark.parametrize("policies", [{}, {"overlap": "skip"}, {"catchUp": "all"}])
def test_a_start_that_is_delivered_three_times_begins_one_run(policies: dict[str, Any]) -> None:
    desk = Desk(**policies)
    outcomes = [desk.fire(1).outcome for _ in range(3)]
    assert outcomes == [Outcome.STARTED, Outcome.AGAIN, Outcome.AGAIN]
    assert desk.began() == [1]


@pytest.mark.parametrize("policies", [{}, {"overlap": "queueAll"}, {"catchUp": "all"}, {"maxConcurrentRuns": 9}])
def test_starts_that_are_delivered_in_another_order_are_not_lost(policies: dict[str, Any]) -> None:
    desk = Desk(**policies, trigger={"cron": "cron(0/5 * * * ? *)"})
    moments = [DAY + timedelta(minutes=minute) for minute in (10, 5, 20, 15, 5)]
    for moment in moments:
        start = next(coming(desk.triggers, moment - timedelta(seconds=1), moment))
        admit(desk.store, desk.workflow, desk.row, desk.triggers, start, (DAY + timedelta(minutes=21)).timestamp())
    for hour in range(4):
        held = desk.store.activity("load").holders
        if held and "queueAll" in policies.values():
            run = Run(RunKey("load", str(hour)), RunStatus.SUCCEEDED, desk.workflow.execution(held[0].execution))
            run_over(desk.store, desk.workflow, desk.outbox, replace(run, document=desk.row), desk.now)
    begun = sorted(message["cause"]["scheduledTime"] for message in desk.workflow.started.values())
    assert begun == [f"2026-01-10T00:{minute:02}:00Z" for minute in (5, 10, 15, 20)]


def test_overlap_allow_starts_beside_a_run() -> None:
    desk = Desk()
    assert [desk.fire(hour).outcome for hour in (1, 2)] == [Outcome.STARTED] * 2
    assert desk.store.activity("load").version == 0, "nothing is kept of a schedule without policies"


def test_overlap_skip_leaves_out_what_is_due_while_a_run_goes_on() -> None:
    desk = Desk(overlap="skip")
    desk.fire(1)
    admitted = desk.fire(2)
    assert admitted.outcome is Outcome.LEFT_OUT
    desk.end(1)
    assert desk.fire(2).outcome is Outcome.AGAIN, "it stays left out, however late it comes again"
    assert desk.fire(3).outcome is Outcome.STARTED
    assert desk.began() == [1, 3]
    assert desk.reasons() == {"02": "a run goes on (that of 2026-01-10T01:00:00Z), and overlap is skip"}


def test_overlap_queue_one_lets_one_start_wait() -> None:
    desk = Desk(overlap="queueOne")
    outcomes = [desk.fire(hour).outcome for hour in (1, 2, 3)]
    assert outcomes == [Outcome.STARTED, Outcome.WAITS, Outcome.LEFT_OUT]
    desk.end(1)
    assert desk.began() == [1, 2]
    desk.end(2)
    assert desk.began() == [1, 2]


def test_overlap_queue_all_lets_all_wait_and_begin_in_order() -> None:
    desk = Desk(overlap="queueAll")
    for hour in (1, 2, 3):
        desk.fire(hour)
    for hour in (1, 2):
        assert desk.began() == list(range(1, hour + 1))
        desk.end(hour)
    assert desk.began() == [1, 2, 3]


def test_overlap_cancel_running_cancels_the_run_and_starts_when_it_has_ended() -> None:
    desk = Desk(overlap="cancelRunning")
    desk.fire(1)
    running = desk.run(1)
    assert desk.fire(2).outcome is Outcome.WAITS
    seen = desk.store.get_run(running.key)
    assert seen is not None
    assert seen.cancel is not None
    assert seen.cancel.by == "the scheduler"
    assert desk.fire(3).outcome is Outcome.WAITS
    run_over(desk.store, desk.workflow, desk.outbox, replace(seen, status=RunStatus.CANCELLED), desk.now)
    assert desk.began() == [1, 3]
    assert "took its place" in desk.reasons()["02"]


def test_a_run_that_is_still_being_started_is_cancelled_when_the_start_comes_again() -> None:
    desk = Desk(overlap="cancelRunning")
    desk.fire(1)
    with pytest.raises(RunNotReady):
        desk.fire(2)
    running = desk.run(1)
    desk.fire(2)
    seen = desk.store.get_run(running.key)
    assert seen is not None
    assert seen.cancel is not None


def test_so_many_runs_go_on_as_the_schedule_says() -> None:
    desk = Desk(maxConcurrentRuns=2)
    for hour in (1, 2, 3):
        desk.fire(hour)
    assert desk.began() == [1, 2]
    desk.end(2)
    assert desk.began() == [1, 2, 3]


def test_a_run_that_a_person_has_started_takes_a_place_too() -> None:
    desk = Desk(overlap="skip")
    by_hand = Run(
        RunKey("load", "2026-01-10T00:30:00.000000"),
        RunStatus.RUNNING,
        desk.workflow.execution("by-hand"),
        document=desk.row,
    )
    for _ in range(2):
        take_place(desk.store, by_hand, desk.now)
    desk.workflow.started["by-hand"] = {"cause": {"scheduledTime": "2026-01-10T00:00:00Z"}}
    assert desk.fire(1).outcome is Outcome.LEFT_OUT
    run_over(desk.store, desk.workflow, desk.outbox, replace(by_hand, status=RunStatus.FAILED), desk.now)
    assert desk.fire(2).outcome is Outcome.STARTED


def test_a_place_of_a_run_that_is_gone_is_free_at_the_next_start() -> None:
    desk = Desk(overlap="skip")
    desk.fire(1)
    desk.workflow.ended.add(next(iter(desk.workflow.started)))  # and nobody has heard of it
    assert desk.fire(2).outcome is Outcome.STARTED


def test_the_sweep_begins_what_waits_for_a_run_that_is_gone() -> None:
    desk = Desk(overlap="queueAll")
    for hour in (1, 2):
        desk.fire(hour)
    assert not tend(desk.store, desk.workflow, desk.row, desk.triggers, desk.now)
    desk.workflow.ended.add(next(iter(desk.workflow.started)))
    tend(desk.store, desk.workflow, desk.row, desk.triggers, desk.now)
    assert desk.began() == [1, 2]


def test_a_start_that_never_came_is_decided_with_the_next_as_catch_up_says() -> None:
    for catch_up, expected in (("none", [4]), ("last", [4]), ("all", [1, 2, 3, 4])):
        desk = Desk(catchUp=catch_up, maxConcurrentRuns=9)
        desk.fire(4)
        assert desk.began() == expected
        assert set(desk.reasons()) == (set() if catch_up == "all" else {"01"}), "those that follow are in its entry"


def test_the_last_start_is_made_up_for_even_if_it_comes_late_itself() -> None:
    desk = Desk(catchUp="last")
    desk.now += 4.9 * 3600
    for hour in (2, 4, 3, 1):
        desk.fire(hour)
    assert desk.began() == [4]


def test_a_late_start_without_catch_up_is_left_out_with_its_reason() -> None:
    desk = Desk()
    admitted = desk.fire(1, late=1900.0)
    assert admitted.outcome is Outcome.LEFT_OUT
    assert desk.reasons() == {"01": admitted.reason}
    assert "catchUp is none" in admitted.reason


@pytest.mark.parametrize("policies", [{}, {"overlap": "skip"}])
def test_a_start_that_has_begun_is_not_left_out_when_it_comes_again_in_a_pause(policies: dict[str, Any]) -> None:
    desk = Desk(**policies)
    desk.fire(1)
    desk.pause()
    assert desk.fire(1).outcome is Outcome.AGAIN
    assert desk.fire(1, late=1900.0).outcome is Outcome.AGAIN
    assert not desk.reasons()


@pytest.mark.parametrize("overlap", [{}, {"maxConcurrentRuns": 9}])
@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [("none", []), ("last", [3]), ("all", [1, 2, 3]), ({"policy": "all", "window": "PT2H"}, [2, 3])],
)
def test_a_schedule_that_was_paused_over_three_starts(
    catch_up: Any, expected: list[int], overlap: dict[str, Any]
) -> None:
    desk = Desk(catchUp=catch_up, **overlap)
    desk.pause()
    for hour in (1, 2, 3):
        assert desk.fire(hour).outcome in (Outcome.PAUSED, Outcome.LEFT_OUT)
    assert not desk.began()
    assert desk.resume(3) == len(expected)
    for hour in (3, 2, 1):  # once more, late
        desk.fire(hour)
    assert sorted(desk.began()) == expected
    assert desk.fire(5).outcome is Outcome.STARTED
    if catch_up == "none":
        assert "paused by ann: holidays" in desk.reasons()["01"]
    assert bool(desk.reasons()) == (catch_up != "all")


def test_what_waits_waits_on_while_the_schedule_is_paused() -> None:
    desk = Desk(overlap="queueAll")
    for hour in (1, 2):
        desk.fire(hour)
    desk.pause()
    desk.end(1)
    assert desk.began() == [1]
    desk.resume(3)
    assert desk.began() == [1, 2]


def test_what_was_due_before_a_trigger_was_changed_is_not_made_up_for() -> None:
    desk = Desk(catchUp="all")
    changed = {**desk.row, "trigger": {"cron": "cron(30 * * * ? *)"}}
    at_four = (DAY + timedelta(hours=4)).timestamp()
    begin_schedule(desk.store, desk.row, changed, at_four)
    desk.row = changed
    tend(desk.store, desk.workflow, changed, desk.triggers, at_four + 1900)
    assert [message["cause"]["scheduledTime"] for message in desk.workflow.started.values()] == ["2026-01-10T04:30:00Z"]


def test_a_change_of_other_keys_decides_nothing() -> None:
    desk = Desk(catchUp="all")
    begin_schedule(desk.store, desk.row, {**desk.row, "description": "new"}, desk.now + 4 * 3600)
    assert desk.store.activity("load").decided == desk.now


def test_a_schedule_is_paused_after_so_many_failures_in_a_row() -> None:
    desk = Desk(pauseAfterFailures=2, scheduleSnsTopic=TOPIC)
    for hour, status in ((1, RunStatus.FAILED), (2, RunStatus.SUCCEEDED), (3, RunStatus.FAILED)):
        desk.fire(hour)
        desk.end(hour, status)
    assert desk.store.paused("load") is None
    desk.fire(4)
    for _ in range(2):  # the stream may tell of an end twice
        desk.end(4, RunStatus.FAILED) if desk.store.paused("load") is None else None
    paused = desk.store.paused("load")
    assert paused is not None
    assert (paused.by, paused.reason) == (
        "the scheduler",
        "2 runs have failed, one after the other; pauseAfterFailures is 2",
    )
    assert [entry.after for entry in desk.store.audit("load")] == ["paused"]
    assert any("schedule_paused" in body for body in desk.outbox.bodies)
    assert desk.fire(5).outcome is Outcome.PAUSED


def test_after_a_resume_counting_begins_anew() -> None:
    desk = Desk(pauseAfterFailures=1)
    desk.fire(1)
    desk.end(1, RunStatus.FAILED)
    desk.resume(1)
    assert desk.store.activity("load").failures == ()
