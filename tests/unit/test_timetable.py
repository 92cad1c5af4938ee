"""The entries of EventBridge Scheduler are made from the rows, kept in step with them, and mended."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.time_entries import MemoryTimeEntries
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.runs.model import AuditEntry, Mark, Verb
from universal_scheduler.domain.time.calendars import Calendar
from universal_scheduler.domain.time.entries import Entry, same_entry, version_of
from universal_scheduler.usecases.fire import Fired, Firing, Outcome, begin_late, fire, read_firing
from universal_scheduler.usecases.timetable import Timetable, keep_in_step, mend_row, reconcile

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
WEEKEND = {"weekend": ["SAT", "SUN"]}
CRON = {"cron": "cron(0 6 * * ? *)", "timezone": "Europe/Berlin"}
RATE = {"rate": "rate(7 minutes)"}
AT = {"at": "at(2026-12-24T18:00:00)", "timezone": "Asia/Tokyo"}
CHAIN = {"cron": "cron(0 6 1 * ? *)", "calendar": WEEKEND, "roll": "next"}


def no_calendars(_names: Iterable[str]) -> Mapping[str, Calendar]:
    return {}


class World:
    """A stage in memory, at a time that tests set."""

    def __init__(self) -> None:
        self.now = NOW
        self.store, self.workflow, self.entries = MemoryStore(), MemoryWorkflow(), MemoryTimeEntries()
        self.timetable = Timetable(self.entries, no_calendars, lambda: self.now.timestamp())

    def put(self, trigger: Any, schedule_id: str = "daily", **more: Any) -> dict[str, Any]:
        row = {"scheduleId": schedule_id, "trigger": trigger, **more}
        old = self.store.schedules.get(schedule_id)
        self.store.schedules[schedule_id] = row
        keep_in_step(self.timetable, old, row)
        return row

    def remove(self, schedule_id: str = "daily") -> None:
        keep_in_step(self.timetable, self.store.schedules.pop(schedule_id), None)

    @property
    def only(self) -> Entry:
        [entry] = self.entries.entries.values()
        return entry

    def fire(self, entry: Entry, scheduled: datetime, **change: Any) -> Fired:
        firing = read_firing(entry.message(f"{scheduled:%Y-%m-%dT%H:%M:%SZ}"))
        return fire(self.store, self.workflow, self.timetable, replace(firing, **change))

    def reconcile(self) -> int:
        return reconcile(self.timetable, self.store, lambda: 60.0)


@pytest.fixture
def world() -> World:
    return World()


def test_what_aws_can_say_is_said_in_its_words(world: World) -> None:
    world.put([CRON, RATE, AT])
    cron, rate, at = sorted(world.entries.entries.values(), key=lambda entry: entry.trigger)
    assert (cron.expression, cron.zone, cron.once, cron.start) == ("cron(0 6 * * ? *)", "Europe/Berlin", False, None)
    assert (rate.expression, rate.once) == ("rate(7 minutes)", False)
    assert (at.expression, at.zone, at.once) == ("at(2026-12-24T18:00:00)", "Asia/Tokyo", True)


def test_a_unix_expression_that_means_two_has_two_entries(world: World) -> None:
    world.put({"cron": "0 6 1 * 1"})
    assert len(world.entries.entries) == 2


def test_the_schedules_time_zone_is_the_default_of_its_triggers(world: World) -> None:
    world.put({"cron": "0 6 * * *"}, timezone="Asia/Tokyo")
    assert world.only.zone == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("trigger", "expression"),
    [
        (CHAIN, "at(2026-12-01T06:00:00)"),
        ({"businessDay": -1, "time": "18:00", "timezone": "Europe/Berlin"}, "at(2026-11-30T17:00:00)"),
        ({"cron": "30 2 * * *", "timezone": "Europe/Berlin", "onDst": "cron"}, "at(2026-11-26T01:30:00)"),
    ],
)
def test_what_aws_cannot_say_is_an_entry_for_the_next_start(world: World, trigger: Any, expression: str) -> None:
    world.put(trigger)
    assert (world.only.expression, world.only.zone, world.only.once) == (expression, "UTC", True)


def test_a_calendar_that_only_leaves_out_stays_with_awss_own_expression(world: World) -> None:
    world.put({**CRON, "calendar": WEEKEND})
    assert world.only.expression == "cron(0 6 * * ? *)"


def test_a_rate_keeps_its_phase_when_its_entry_or_its_row_is_made_anew(world: World) -> None:
    first = world.put(RATE) and world.only.start
    world.remove()
    world.now += timedelta(minutes=40, seconds=13)
    world.put(RATE)
    assert first is not None
    assert world.only.start is not None
    assert (world.only.start - first) % timedelta(minutes=7) == timedelta()
    assert world.now < world.only.start <= world.now + timedelta(minutes=7)


def test_a_rate_counts_from_its_start_date(world: World) -> None:
    world.put({"rate": "rate(2 hours)", "startDate": "2026-11-01T00:17:00Z"})
    assert world.only.start == datetime(2026, 11, 25, 12, 17, tzinfo=UTC)


def test_dates_leave_a_minute_at_both_ends_and_a_past_start_is_not_sent(world: World) -> None:
    world.put({**CRON, "startDate": "2027-01-01T00:00:00Z", "endDate": "2027-02-01T00:00:00Z"})
    assert world.only.start == datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert world.only.end == datetime(2027, 2, 1, 0, 1, tzinfo=UTC)
    world.now = datetime(2027, 1, 10, tzinfo=UTC)
    world.put({**CRON, "startDate": "2027-01-01T00:00:00Z"})
    assert world.only.start is None


@pytest.mark.parametrize(
    "trigger",
    [
        {"at": "at(2026-11-25T11:59:59)"},
        {**CRON, "endDate": "2026-11-25T11:00:00Z"},
        {"manual": True},
        {"after": ["other"]},
    ],
)
def test_what_never_starts_by_time_has_no_entry(world: World, trigger: Any) -> None:
    world.put(trigger)
    assert not world.entries.entries


@pytest.mark.parametrize("trigger", [{"cron": "cron(0 6 31 2 ? *) "}, {"cron": 7}, [None, 3], "cron", {"rate": {}}])
def test_a_wrong_row_has_no_entry_and_is_no_error(world: World, trigger: Any) -> None:
    world.put(CRON)
    world.put(trigger)
    assert not world.entries.entries


def test_a_row_with_errors_has_no_entry(world: World) -> None:
    world.put(CRON, scheduleErrors=[{"path": "$"}])
    assert not world.entries.entries


def test_names_are_what_aws_takes_and_differ(world: World) -> None:
    for schedule_id in ("a" * 128, "a" * 127 + "b", "x", "x.y"):
        world.put([RATE, CRON], schedule_id)
    assert len(world.entries.entries) == 8
    assert all(re.fullmatch(r"[0-9a-zA-Z_.-]{1,64}", name) for name in world.entries.entries)


def test_entries_follow_their_row(world: World) -> None:
    world.put([CRON, RATE])
    world.put([CRON])
    assert world.only.trigger == 0
    before = world.only
    world.put([{**CRON, "cron": "cron(0 7 * * ? *)"}])
    assert world.only.name == before.name
    assert world.only.version != before.version
    world.remove()
    assert not world.entries.entries


def test_a_change_beside_the_trigger_writes_no_entry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put([CRON, RATE, AT, CHAIN])
    monkeypatch.delattr(MemoryTimeEntries, "put")
    world.put([CRON, RATE, AT, CHAIN], jobList=[])


@pytest.mark.parametrize(("spread", "minutes"), [("10m", 10), ("90s", 2), ("2d", 1440), (None, 0)])
def test_spread_is_a_flexible_window(world: World, spread: str | None, minutes: int) -> None:
    world.put(CRON, **({"spread": spread} if spread else {}))
    assert world.only.window_minutes == minutes


# ---- Firings --------------------------------------------------------------------------------------------------------

SIX = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)  # 06:00 in Berlin, a Thursday


def test_a_firing_starts_a_run_for_its_time_and_three_deliveries_start_one(world: World) -> None:
    world.put(CRON)
    outcomes = [world.fire(world.only, SIX).outcome for _ in range(3)]
    assert outcomes == [Outcome.STARTED, Outcome.AGAIN, Outcome.AGAIN]
    [message] = world.workflow.started.values()
    assert message == {
        "scheduleId": "daily",
        "cause": {
            "kind": "time",
            "scheduledTime": "2026-11-26T05:00:00Z",
            "businessDate": "2026-11-26",
            "trigger": 0,
        },
    }


def test_two_triggers_at_one_moment_start_one_run(world: World) -> None:
    world.put([CRON, {**CRON, "cron": "cron(0 6 ? * THU *)"}])
    for entry in world.entries.entries.values():
        world.fire(entry, SIX)
    assert len(world.workflow.started) == 1


def test_a_firing_of_an_old_entry_starts_nothing(world: World) -> None:
    world.put(CRON)
    old = world.only
    world.put({**CRON, "cron": "cron(0 7 * * ? *)"})
    assert world.fire(old, SIX).outcome is Outcome.OLD
    world.remove()
    assert world.fire(old, SIX).outcome is Outcome.OLD
    assert not world.workflow.started


def test_the_calendar_leaves_a_day_out_and_says_why(world: World) -> None:
    world.put({**CRON, "calendar": WEEKEND})
    fired = world.fire(world.only, SIX + timedelta(days=2))
    assert fired.outcome is Outcome.LEFT_OUT
    assert "Saturday" in fired.reason
    assert not world.workflow.started


def test_nothing_starts_outside_of_the_dates(world: World) -> None:
    world.put({**CRON, "startDate": "2026-11-27T00:00:00Z", "endDate": "2026-11-28T05:00:00Z"})
    days = [SIX + timedelta(days=day) for day in range(4)]
    outcomes = [world.fire(world.only, day).outcome for day in days]
    assert outcomes == [Outcome.LEFT_OUT, Outcome.STARTED, Outcome.STARTED, Outcome.LEFT_OUT]


def test_a_time_of_awss_that_is_none_of_ours_starts_a_run_and_is_reported(world: World) -> None:
    world.put(CRON)
    fired = world.fire(world.only, SIX + timedelta(minutes=1))
    assert (fired.outcome, fired.differs) == (Outcome.STARTED, True)
    assert not world.fire(world.only, SIX).differs


def test_a_paused_schedule_starts_nothing_and_keeps_its_entry(world: World) -> None:
    world.put(CRON)
    world.store.pause("daily", AuditEntry(Mark(Verb.PAUSE, "me", 0.0)))
    assert world.fire(world.only, SIX).outcome is Outcome.PAUSED
    assert not world.workflow.started


@pytest.mark.parametrize(
    "message",
    [
        {},
        [],
        "x",
        {"scheduleId": "a", "trigger": "x", "version": "v", "scheduledTime": "2026-11-26T05:00:00Z"},
        {"scheduleId": "a", "trigger": 0, "version": "v", "scheduledTime": "soon"},
        {"scheduleId": "a", "trigger": 0, "version": "v", "scheduledTime": "2026-11-26T05:00:00"},
    ],
)
def test_what_is_no_firing_is_refused(message: Any) -> None:
    with pytest.raises(ValueError, match="no firing"):
        read_firing(message)


# ---- Chains ---------------------------------------------------------------------------------------------------------


def test_each_start_of_a_chain_makes_the_following_one_before_its_run_starts(world: World) -> None:
    world.put(CHAIN)
    seen = []
    for _ in range(4):
        due = min(world.entries.entries.values(), key=lambda entry: entry.expression)
        scheduled = datetime.strptime(due.expression, "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
        world.now = scheduled + timedelta(seconds=3)
        del world.entries.entries[due.name]
        assert world.fire(due, scheduled).outcome is Outcome.STARTED
        seen.append(f"{scheduled:%m-%d}")
    assert seen == ["12-01", "01-01", "02-01", "03-01"]
    assert len(world.workflow.started) == 4


def test_a_late_firing_of_a_chain_goes_on_with_what_is_still_to_come(world: World) -> None:
    world.put(CHAIN)
    due = world.only
    world.entries.entries.clear()
    world.now = datetime(2027, 3, 15, tzinfo=UTC)
    world.fire(due, datetime(2026, 12, 1, 6, tzinfo=UTC))
    assert world.only.expression == "at(2027-04-01T06:00:00)"


def test_a_late_firing_of_a_chain_stands_for_those_that_nobody_could_make_meanwhile(world: World) -> None:
    world.put({"cron": "0,40,50 6 * * *", "timezone": "Europe/Berlin", "onDst": "cron"})
    due = world.only
    world.now = SIX + timedelta(days=3, minutes=55)
    for _ in range(2):  # it may be delivered twice
        assert world.fire(due, SIX).outcome is Outcome.LEFT_OUT
    started = sorted(message["cause"]["scheduledTime"] for message in world.workflow.started.values())
    assert started == ["2026-11-29T05:40:00Z", "2026-11-29T05:50:00Z"]
    left_out = sorted(each.at for each in world.store.left_out("daily", 10))
    assert left_out == ["2026-11-26T05:00:00Z", "2026-11-26T05:40:00Z", "2026-11-29T05:00:00Z"]


def test_a_link_that_is_no_start_any_more_starts_nothing(world: World) -> None:
    world.put(CHAIN)
    assert world.fire(world.only, datetime(2026, 12, 2, 6, tzinfo=UTC)).outcome is Outcome.OLD
    assert not world.workflow.started


# ---- The reconciler -------------------------------------------------------------------------------------------------


def test_what_is_in_step_is_left_alone_at_any_later_time(world: World) -> None:
    world.put([CRON, RATE, AT, CHAIN, {**CRON, "startDate": "2026-11-26T00:00:00Z", "endDate": "2027-11-26"}])
    for hours in (0, 1, 30):
        world.now = NOW + timedelta(hours=hours)
        assert world.reconcile() == 0


def test_a_broken_chain_is_healed(world: World) -> None:
    world.put(CHAIN)
    world.entries.entries.clear()
    world.now = datetime(2026, 12, 10, tzinfo=UTC)
    assert world.reconcile() == 1
    assert world.only.expression == "at(2027-01-01T06:00:00)"


def test_what_is_missing_changed_or_nobodys_is_mended(world: World) -> None:
    for number in range(5):
        world.put([CRON, RATE], f"s{number}")
    right = dict(world.entries.entries)
    gone, changed, *_ = sorted(right)
    del world.entries.entries[gone]
    world.entries.put(replace(right[changed], zone="UTC", expression="rate(1 day)"))
    world.entries.put(replace(right[changed], name="left-over", schedule_id="no-such-schedule"))
    world.entries.put(replace(right[changed], name="left-over-of-a-row"))
    assert world.reconcile() == 4
    assert world.entries.entries == right
    assert world.reconcile() == 0


def test_pages_have_their_turn_one_after_the_other(world: World) -> None:
    for number in range(30):
        world.put(CRON, f"s{number:02}")
    right = dict(world.entries.entries)
    world.entries.entries.clear()
    sizes = []
    for _ in range(4):
        at_end = world.store.next_time_rows(
            10, lambda rows: sizes.append(sum(mend_row(world.timetable, r) for r in rows))
        )
        if at_end:
            break
    assert sizes == [10, 10, 10]
    assert world.entries.entries == right


def test_no_step_begins_when_time_is_short(world: World) -> None:
    world.put(CRON)
    world.entries.entries.clear()
    assert reconcile(world.timetable, world.store, lambda: 5.0) == 0
    assert not world.entries.entries


@pytest.mark.parametrize(("shift", "same"), [(0, True), (-14, True), (7, False), (-3, False)])
def test_rates_of_one_phase_are_one(world: World, shift: int, same: bool) -> None:
    world.put(RATE)
    found = replace(world.only, start=world.only.start + timedelta(minutes=shift), period=None)  # type: ignore[operator]
    assert same_entry(world.only, found, NOW) is same


def test_the_version_is_that_of_the_trigger_and_its_zone() -> None:
    row = {"scheduleId": "a", "trigger": [CRON, RATE]}
    assert version_of(row, 0) != version_of(row, 1)
    assert version_of(row, 0) == version_of({**row, "jobList": [1]}, 0)
    assert version_of(row, 0) != version_of({**row, "timezone": "Asia/Tokyo"}, 0)
    assert version_of(row, 2) == version_of({}, 0) == ""
    assert Firing("a", 0, "", NOW)


def test_what_was_due_before_the_entries_could_be_made_begins(world: World) -> None:
    """The stream of the rows was held up for a minute."""
    written = (NOW - timedelta(seconds=60)).timestamp()
    triggers = [{"at": "at(2026-11-25T11:59:30)"}, {"cron": "* * * * *"}, {"at": "at(2026-11-25T11:58:59)"}]
    row = world.put(triggers)
    for _ in range(2):
        begin_late(world.store, world.workflow, world.timetable, None, row, written)
    causes = [message["cause"] for message in world.workflow.started.values()]
    assert [cause["scheduledTime"] for cause in causes] == ["2026-11-25T11:59:30Z", "2026-11-25T12:00:00Z"]


def test_what_the_row_had_before_begins_by_its_entries_alone(world: World) -> None:
    written = (NOW - timedelta(seconds=60)).timestamp()
    old = world.put([{"cron": "* * * * *"}])
    new = world.put([{"cron": "* * * * *"}], description="other")
    begin_late(world.store, world.workflow, world.timetable, old, new, written)
    begin_late(world.store, world.workflow, world.timetable, new, None, written)
    assert world.workflow.started == {}


def test_a_row_that_has_changed_again_begins_nothing_of_the_change_before(world: World) -> None:
    written = (NOW - timedelta(seconds=60)).timestamp()
    row = world.put({"at": "at(2026-11-25T11:59:30)"})
    world.put({"at": "at(2026-11-26T11:59:30)"})
    begin_late(world.store, world.workflow, world.timetable, None, row, written)
    assert world.workflow.started == {}
