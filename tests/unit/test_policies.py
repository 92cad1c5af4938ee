"""What the policies of a schedule say of starts that are due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.time.local_days import utc_text
from universal_scheduler.domain.time.policies import (
    WAITING_LIMIT,
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
    moment,
    read_policies,
    run_ended,
    together,
)
from universal_scheduler.domain.time.starts import Start, coming
from universal_scheduler.domain.time.triggers import TimeTrigger, read_triggers

HOURLY = {"cron": "cron(0 * * * ? *)"}
DAY = datetime(2026, 1, 10, tzinfo=UTC)
ON_THE_DOT = 0.0


JOB = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}


@pytest.mark.parametrize(
    "policies",
    [
        {"overlap": "skip", "maxConcurrentRuns": 2},
        {"catchUp": "last"},
        {"catchUp": {"policy": "all", "window": "PT2H"}},
        {"catchUp": {"policy": "all", "window": 60}},
        {"pauseAfterFailures": 3},
    ],
)
def test_policies_of_a_schedule_with_a_time_trigger_are_right(policies: dict[str, Any]) -> None:
    assert not find_errors({"scheduleId": "load", "jobList": [JOB], "trigger": HOURLY, **policies})


@pytest.mark.parametrize(
    ("policies", "path"),
    [
        ({"overlap": "queue"}, "$.overlap"),
        ({"maxConcurrentRuns": 0}, "$.maxConcurrentRuns"),
        ({"catchUp": "every"}, "$.catchUp"),
        ({"catchUp": {"window": "PT2H"}}, "$.catchUp"),
        ({"catchUp": {"policy": "all", "window": "2 hours"}}, "$.catchUp.window"),
        ({"pauseAfterFailures": 101}, "$.pauseAfterFailures"),
    ],
)
def test_policies_that_mean_nothing_are_refused(policies: dict[str, Any], path: str) -> None:
    errors = find_errors({"scheduleId": "load", "jobList": [JOB], "trigger": HOURLY, **policies})
    assert [error.path for error in errors] == [path]


@pytest.mark.parametrize("trigger", [{}, {"trigger": {"manual": True}}, {"trigger": {"after": ["other"]}}])
def test_policies_of_time_triggers_alone_are_refused_without_one(trigger: dict[str, Any]) -> None:
    row = {"scheduleId": "load", "jobList": [JOB], "pauseAfterFailures": 3, "overlap": "skip", "catchUp": "all"}
    errors = find_errors(row | trigger)
    assert [error.path for error in errors] == ["$.overlap", "$.catchUp"]
    assert errors[0].found == "overlap without a time trigger"


def triggers(*written: dict[str, Any]) -> tuple[TimeTrigger, ...]:
    return read_triggers(list(written), "UTC", {})


def at(hour: int, minute: int = 0) -> datetime:
    return DAY.replace(hour=hour, minute=minute)


def starts(first: int, last: int) -> list[tuple[Start, str]]:
    """Hourly starts from one hour to another, none of which is left out."""
    return [(start, "") for start in coming(triggers(HOURLY), at(first - 1), at(last))]


def hours(firings: Sequence[Firing]) -> list[int]:
    return [int(firing.at[11:13]) for firing in firings]


def decided(policies: Policies, activity: Activity, first: int, last: int) -> Decided:
    return decide(activity, policies, "load", starts(first, last), at(last).timestamp())


@pytest.mark.parametrize(
    ("document", "policies"),
    [
        ({}, Policies()),
        ({"overlap": "skip"}, Policies(Overlap.SKIP)),
        ({"maxConcurrentRuns": 3}, Policies(max_concurrent_runs=3)),
        ({"catchUp": "all\n"}, Policies(catch_up=CatchUp.ALL)),
        ({"catchUp": "all"}, Policies(catch_up=CatchUp.ALL)),
        ({"catchUp": {"policy": "last", "window": "PT2H"}}, Policies(catch_up=CatchUp.LAST, window_seconds=7200.0)),
        ({"pauseAfterFailures": 2}, Policies(pause_after_failures=2)),
        ({"spread": "PT10M"}, Policies(spread_seconds=600.0)),
    ],
)
def test_policies_are_read_from_a_document(document: dict[str, Any], policies: Policies) -> None:
    assert read_policies(document) == policies


@pytest.mark.parametrize(
    ("policies", "limit"),
    [
        (Policies(), None),
        (Policies(max_concurrent_runs=3), 3),
        (Policies(Overlap.SKIP), 1),
        (Policies(Overlap.QUEUE_ALL, 2), 2),
    ],
)
def test_only_overlap_allow_lets_any_number_of_runs_go_on(policies: Policies, limit: int | None) -> None:
    assert policies.limit == limit


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("none", []),
        ("last", [3]),
        ("all", [1, 2, 3]),
        ({"policy": "all", "window": "PT2H"}, [2, 3]),
        ({"policy": "all", "window": "PT10M"}, []),
        ({"policy": "last", "window": "PT10M"}, []),
        ({"policy": "last", "window": "PT30M"}, [3]),
        ({"policy": "none", "window": "PT30M"}, []),
    ],
)
def test_what_was_due_in_a_pause_starts_as_catch_up_says(catch_up: Any, expected: list[int]) -> None:
    policies = read_policies({"catchUp": catch_up})
    found = list(due(triggers(HOURLY), policies, at(0, 30), at(3, 30), ON_THE_DOT))
    assert [start.at.hour for start, reason in found if not reason] == expected
    told = [start.at.hour for start, reason in found if reason]
    assert not told or (min(told), max(told)) == (1, 3 - len(expected)), "the first and the last that are left out"


def test_a_start_that_is_handled_a_little_late_is_on_time_without_catch_up() -> None:
    [(start, reason)] = due(triggers(HOURLY), Policies(), at(0, 30), at(1, 29))
    assert (start.at, reason) == (at(1), "")
    [(start, reason)] = due(triggers(HOURLY), Policies(), at(0, 30), at(1, 31))
    assert "catchUp is none" in reason


def test_a_spread_start_has_so_much_more_time() -> None:
    [(_, reason)] = due(triggers(HOURLY), Policies(spread_seconds=600), at(0, 30), at(1, 39))
    assert not reason


def test_starts_on_time_all_start_although_catch_up_is_last() -> None:
    every = triggers({"cron": "cron(0/5 * * * ? *)"})
    found = list(due(every, Policies(catch_up=CatchUp.LAST), at(1), at(1, 15)))
    assert [(start.at.minute, reason) for start, reason in found] == [(5, ""), (10, ""), (15, "")]


def test_the_end_of_a_long_outage_costs_little() -> None:
    every, year = triggers({"cron": "cron(* * * * ? *)"}), datetime(2025, 1, 1, tzinfo=UTC)
    for policies in (Policies(), Policies(catch_up=CatchUp.LAST), Policies(Overlap.ALLOW, None, CatchUp.ALL, 60.0)):
        found = list(due(every, policies, year, DAY, ON_THE_DOT))
        assert len(found) < 10
        assert found[0][0].at == year.replace(minute=1)


def test_days_that_the_calendar_leaves_out_say_why() -> None:
    off = triggers(HOURLY | {"calendar": {"off": ["2026-01-10"]}})
    [(start, reason)] = due(off, Policies(), at(0, 30), at(1, 1))
    assert reason
    assert reason == start.left_out


ONE_GOES_ON = Activity(limit=1, holders=(Holder("other", 0.0, begun=True),))


def test_a_start_takes_a_place_and_is_decided() -> None:
    made = decided(Policies(Overlap.SKIP), Activity(), 1, 1)
    assert hours(made.started) == [1]
    [holder] = made.activity.holders
    assert (holder.firing, holder.begun) == (made.started[0], False)
    assert made.activity.decided == at(1).timestamp()
    assert not decided(Policies(Overlap.SKIP), made.activity, 1, 1).started, "it is decided once"


def test_without_a_limit_nobody_takes_a_place() -> None:
    made = decided(Policies(catch_up=CatchUp.ALL), ONE_GOES_ON, 1, 3)
    assert hours(made.started) == [1, 2, 3]
    assert not made.activity.holders


@pytest.mark.parametrize(
    ("policies", "waiting", "left_out"),
    [
        (Policies(Overlap.SKIP), [], "a run goes on (other), and overlap is skip"),
        (Policies(Overlap.QUEUE_ONE), [1], "the start of 2026-01-10T01:00:00Z waits already, and overlap is queueOne"),
        (Policies(Overlap.QUEUE_ALL), [1, 2, 3], ""),
        (Policies(Overlap.ALLOW, 1), [1, 2, 3], ""),
        (Policies(Overlap.CANCEL_RUNNING), [3], "the start of 2026-01-10T02:00:00Z took its place"),
    ],
)
def test_while_a_run_goes_on(policies: Policies, waiting: list[int], left_out: str) -> None:
    made = decided(policies, ONE_GOES_ON, 1, 3)
    assert not made.started
    assert hours(made.activity.waiting) == waiting
    assert made.left_out[0].reason.startswith(left_out) if left_out else not made.left_out


def test_what_waits_begins_in_order_when_a_run_has_ended() -> None:
    made = decided(Policies(Overlap.QUEUE_ALL, 2), Activity(), 1, 5)
    assert hours(made.started) == [1, 2]
    for hour in (3, 4, 5):
        first = made.activity.holders[0]
        made = run_ended(made.activity, "load", first.execution, 0.0)
        assert hours(made.started) == [hour]
    assert len(made.activity.holders) == 2
    assert not made.activity.waiting


def test_the_end_of_a_run_that_has_no_place_begins_nothing() -> None:
    queued = decided(Policies(Overlap.QUEUE_ALL), Activity(), 1, 2).activity
    made = run_ended(queued, "load", "by-hand", 0.0)
    assert (made.activity, made.started) == (queued, [])


def test_what_waits_begins_with_the_next_start_if_more_may_go_on() -> None:
    queued = decided(Policies(Overlap.QUEUE_ALL), Activity(), 1, 3).activity
    assert hours(decided(Policies(Overlap.QUEUE_ALL, 5), queued, 4, 4).started) == [2, 3, 4]


def test_while_the_schedule_is_paused_nothing_begins_that_waits() -> None:
    queued = Activity(limit=1, waiting=(Firing.of(starts(1, 1)[0][0]),))
    made = decide(queued, Policies(Overlap.QUEUE_ALL), "load", [], 0.0, hold=True)
    assert (made.activity.waiting, made.started) == (queued.waiting, [])


def test_no_more_wait_than_a_row_can_hold() -> None:
    first = Firing.of(starts(1, 1)[0][0])
    full = Activity(limit=1, holders=ONE_GOES_ON.holders, waiting=(first,) * WAITING_LIMIT)
    made = decided(Policies(Overlap.QUEUE_ALL), full, 2, 2)
    assert len(made.activity.waiting) == WAITING_LIMIT
    assert made.left_out[0].reason == "1,000 starts wait already, and no more can"


def test_starts_left_out_for_one_reason_are_one_entry() -> None:
    skipped = [LeftOut("1", "1", "a", 0.0), LeftOut("2", "2", "a", 0.0), LeftOut("3", "3", "b", 0.0)]
    assert [(each.at, each.until, each.reason) for each in together(skipped)] == [("1", "2", "a"), ("3", "3", "b")]


def test_a_firing_names_its_execution_and_its_cause() -> None:
    [(start, _)] = starts(6, 6)
    firing = Firing.of(start)
    assert firing.execution("load") == firing.execution("load") != firing.execution("other")
    assert firing.cause == {
        "kind": "time",
        "scheduledTime": "2026-01-10T06:00:00Z",
        "businessDate": "2026-01-10",
        "trigger": 0,
    }


def test_failures_are_counted_once_each_until_a_run_succeeds() -> None:
    activity = Activity()
    for start in ("a", "b", "b"):
        activity = count_end(activity, start, failed=True)
    assert activity.failures == ("a", "b")
    assert count_end(activity, "c", failed=False).failures == ()


def test_times_are_written_in_utc() -> None:
    assert utc_text(moment(0.0)) == "1970-01-01T00:00:00Z"
