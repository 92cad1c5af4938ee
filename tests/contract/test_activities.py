"""What schedules are doing: one suite over memory, and the tables of template.yaml on moto and on the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.contract import test_store
from universal_scheduler.adapters.dynamodb import activities
from universal_scheduler.domain.time.policies import Activity, Firing, Holder, LeftOut
from universal_scheduler.ports.store import Store

store = test_store.store
FIRST = Firing("2026-01-10T06:00:00Z", "2026-01-10T05:00:00Z", "2026-01-10", 2)
LATER = replace(FIRST, at="2026-01-10T07:00:00Z")
BUSY = Activity(
    decided=1_768_024_800.25,
    limit=2,
    holders=(Holder("time-load-1", 12.5, FIRST), Holder("by-hand", 13.0, begun=True)),
    waiting=(LATER, FIRST),
    failures=("2026-01-09T06:00:00.000001",),
)
SKIPPED = LeftOut(FIRST.at, LATER.at, "a run goes on", 1_768_024_801.5)


def test_a_schedule_that_nobody_has_written_of_does_nothing(store: Store) -> None:
    assert store.activity("load") == Activity()
    assert store.activity("") == Activity()
    assert store.left_out("load", 10) == store.left_out("", 10) == []


def test_what_a_schedule_is_doing_comes_back_as_it_was_written(store: Store) -> None:
    assert store.write_activity("load", Activity(), BUSY)
    assert store.activity("load") == replace(BUSY, version=1)
    emptied = Activity(decided=5.0)
    assert store.write_activity("load", store.activity("load"), emptied)
    assert store.activity("load") == replace(emptied, version=2)
    assert store.activity("other") == Activity()


def test_of_two_writers_who_have_read_the_same_one_is_refused(store: Store) -> None:
    assert store.write_activity("load", Activity(), BUSY)
    assert not store.write_activity("load", Activity(), Activity(decided=7.0), [SKIPPED])
    known = store.activity("load")
    assert store.write_activity("load", known, replace(known, decided=8.0))
    assert not store.write_activity("load", known, replace(known, decided=9.0))
    assert store.activity("load").decided == 8.0
    assert store.left_out("load", 10) == [], "what was left out is written with the rest, or not at all"


def test_what_was_left_out_is_written_with_the_rest(store: Store) -> None:
    assert store.write_activity("load", Activity(), BUSY, [SKIPPED])
    assert store.left_out("load", 10) == [SKIPPED]
    assert store.why_left_out("load", SKIPPED.at) == "a run goes on"
    assert store.why_left_out("load", LATER.at) == store.why_left_out("other", SKIPPED.at) == ""


def test_what_was_left_out_once_stays_so(store: Store) -> None:
    store.leave_out("load", SKIPPED)
    store.leave_out("load", replace(SKIPPED, reason="another"))
    assert store.left_out("load", 10) == [SKIPPED]


def test_the_newest_that_were_left_out_come_first(store: Store) -> None:
    hours = [f"2026-01-10T{hour:02}:00:00Z" for hour in range(12)]
    for hour in hours:
        store.leave_out("load", replace(SKIPPED, at=hour))
    store.leave_out("other", SKIPPED)
    assert [each.at for each in store.left_out("load", 3)] == hours[:-4:-1]
    assert [each.at for each in store.left_out("load", 99, since=hours[10])] == [hours[11], hours[10]]


def test_a_schedule_that_was_removed_begins_anew(store: Store) -> None:
    store.write_activity("load", Activity(), BUSY)
    for _ in range(2):
        store.forget_activity("load")
    assert store.activity("load") == Activity()


def test_it_is_kept_for_ninety_days_that_a_start_was_left_out() -> None:
    item: dict[str, Any] = activities._left_out_item("load", SKIPPED)
    assert int(item["expiresAt"]["N"]) - int(SKIPPED.decided_at) == 90 * 24 * 3600
