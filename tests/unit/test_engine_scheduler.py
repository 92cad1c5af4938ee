"""EventBridge Scheduler of a durable engine: what fires after an outage, and after the clock was set."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from universal_scheduler.local.gaps.scheduler import FiringClock, first_due
from universal_scheduler.local.gaps.scheduler_storage import SchedulerStorage
from universal_scheduler.local.state import Safety, State

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Desk:
    """A Scheduler with a clock that stands still, and what it has fired."""

    def __init__(self, folder: Path, now: datetime = NOON) -> None:
        self.folder, self.now = folder, now
        self.fired: list[tuple[str, datetime]] = []
        self.on_send: Callable[[str], None] = lambda _: None
        state = State(folder, Safety.PROCESS)
        self.storage = SchedulerStorage(state, lambda record: first_due(record, self.now.timestamp()))
        self._firing = FiringClock(self.storage, lambda: self.now.timestamp(), self._send)

    def _send(self, key: tuple[str, ...], _record: Any, at: datetime) -> None:
        self.on_send(key[2])
        self.fired.append((key[2], at))

    def put(self, name: str, expression: str, **more: Any) -> None:
        self.storage.schedules[("1", "us-east-1", f"usched/{name}")] = {
            "Name": name,
            "GroupName": "usched",
            "State": "ENABLED",
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": "UTC",
            "ActionAfterCompletion": "NONE",
            "LastModificationDate": self.now.timestamp(),
            **more,
        }

    def names(self) -> list[str]:
        return [key[2] for key in self.storage.schedules]

    def fire(self, later: timedelta = timedelta()) -> list[str]:
        """Let the time pass, and answer for which times on the clock it has fired then."""
        self.now += later
        self.fired.clear()
        while self._firing.fire():
            pass
        return [f"{at:%H:%M}" for _, at in self.fired]

    def killed(self, folder: Path, later: timedelta = timedelta()) -> Desk:
        """The Scheduler of the engine that starts after this one was killed."""
        shutil.copytree(self.folder, folder)
        return Desk(folder, self.now + later)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "first")


def test_what_was_written_fires_after_the_engine_was_killed(desk: Desk, tmp_path: Path) -> None:
    desk.put("a", "cron(30 12 * * ? *)")
    desk.storage.groups[("1", "us-east-1", "usched")] = {"Name": "usched"}
    desk.storage.tags[("1", "arn:aws:scheduler:us-east-1:1:schedule-group/usched")] = {"team": "data"}
    after = desk.killed(tmp_path / "second", timedelta(minutes=29))
    assert (list(after.storage.groups.values()), list(after.storage.tags.items())) == (
        [{"Name": "usched"}],
        [(("1", "arn:aws:scheduler:us-east-1:1:schedule-group/usched"), {"team": "data"})],
    )
    assert (after.fire(), after.fire(timedelta(minutes=1)), after.fire()) == ([], ["12:30"], [])


def test_what_has_fired_does_not_fire_again_after_the_engine_was_killed(desk: Desk, tmp_path: Path) -> None:
    desk.put("a", "cron(0/10 * * * ? *)")
    assert desk.fire(timedelta(minutes=10)) == ["12:10"]
    assert desk.killed(tmp_path / "second", timedelta(minutes=5)).fire() == []


def test_what_was_sent_and_not_written_down_fires_again(desk: Desk, tmp_path: Path) -> None:
    desk.put("a", "cron(0/10 * * * ? *)")
    desk.on_send = lambda _: shutil.copytree(desk.folder, tmp_path / "second") and None
    assert desk.fire(timedelta(minutes=10)) == ["12:10"]
    assert Desk(tmp_path / "second", desk.now).fire() == ["12:10"]


def test_of_a_long_outage_the_first_the_last_and_the_latest_half_hour_fire(desk: Desk, tmp_path: Path) -> None:
    desk.put("often", "cron(0/10 * * * ? *)")
    after = desk.killed(tmp_path / "second", timedelta(hours=5, minutes=5))
    assert after.fire() == ["12:10", "16:30", "16:40", "16:50", "17:00"]
    assert (after.fire(), after.fire(timedelta(minutes=5))) == ([], ["17:10"])


def test_an_at_that_was_missed_fires_once_however_late(desk: Desk, tmp_path: Path) -> None:
    desk.put("gone", "at(2026-11-25T12:30:00)", ActionAfterCompletion="DELETE")
    desk.put("kept", "at(2026-11-25T12:30:00)")
    after = desk.killed(tmp_path / "second", timedelta(days=8))
    assert (after.fire(), after.fire(timedelta(days=1))) == (["12:30", "12:30"], [])
    assert after.names() == ["usched/kept"]


def test_what_ended_in_the_outage_fires_for_its_last_time(desk: Desk, tmp_path: Path) -> None:
    desk.put("a", "rate(1 hour)", StartDate=NOON.timestamp(), EndDate=(NOON + timedelta(hours=2)).timestamp())
    assert desk.fire() == ["12:00"]
    after = desk.killed(tmp_path / "second", timedelta(days=3))
    assert (after.fire(), after.fire(timedelta(days=3))) == (["13:00", "14:00"], [])


def test_a_clock_that_is_set_back_fires_nothing_twice(desk: Desk, tmp_path: Path) -> None:
    desk.put("a", "cron(0/30 * * * ? *)")
    assert desk.fire(timedelta(minutes=30)) == ["12:30"]
    after = desk.killed(tmp_path / "second", timedelta(hours=-3))
    assert [time for _ in range(42) for time in after.fire(timedelta(minutes=5))] == ["13:00"]


def test_a_clock_that_is_set_forward_is_an_outage(desk: Desk) -> None:
    desk.put("a", "cron(0 * * * ? *)")
    assert desk.fire(timedelta(hours=4, minutes=10)) == ["13:00", "15:00", "16:00"]


def test_what_is_changed_while_it_fires_stays_as_it_was_changed(desk: Desk) -> None:
    desk.put("a", "cron(0 * * * ? *)")
    desk.on_send = lambda _: desk.put("a", "cron(15 * * * ? *)")
    assert desk.fire(timedelta(hours=1)) == ["13:00"]
    desk.on_send = lambda _: desk.storage.schedules.clear()
    assert desk.fire(timedelta(minutes=15)) == ["13:15"]
    assert (desk.names(), desk.fire(timedelta(hours=1))) == ([], [])


def test_one_that_cannot_fire_is_due_until_it_can_and_holds_up_no_other(desk: Desk) -> None:
    def send(name: str) -> None:
        if name == "usched/broken":
            raise OSError("no room")

    for name in ("broken", "sound"):
        desk.put(name, "cron(0 * * * ? *)")
    desk.on_send = send
    with pytest.raises(OSError, match="no room"):
        desk.fire(timedelta(hours=1))
    assert [name for name, _ in desk.fired] == ["usched/sound"]
    desk.on_send = lambda _: None
    desk.fire()
    assert [name for name, _ in desk.fired] == ["usched/broken"]


def test_a_page_has_the_schedules_of_its_group_alone(desk: Desk) -> None:
    for group in ("a", "a-b", "b"):
        for number in range(300):
            desk.storage.schedules[("1", "us-east-1", f"{group}/{number:03}")] = {"State": "DISABLED"}
    found = [key for key, _ in desk.storage.page("1", "us-east-1", "a", "a/099")]
    assert found == [f"a/{number:03}" for number in range(100, 300)]
    assert len(list(desk.storage.page("1", "us-east-1", "", ""))) == 900


FIRST_RELEASE = """
CREATE TABLE kept (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL, due REAL, value TEXT NOT NULL,
    UNIQUE (kind, key)
);
CREATE INDEX kept_by_due ON kept (due) WHERE due IS NOT NULL;
INSERT INTO kept (kind, key, due, value) VALUES
    ('group', '1/us-east-1/usched', NULL, '{"Name": "usched"}'),
    ('schedule', '1/us-east-1/usched/a', 1795608000.0, '{"Name": "a", "GroupName": "usched", "State": "ENABLED",
     "ScheduleExpression": "cron(0 * * * ? *)", "ScheduleExpressionTimezone": "UTC", "StartDate": null,
     "ActionAfterCompletion": "NONE", "LastModificationDate": 1795604400.0}');
PRAGMA user_version = 1;
"""


def test_the_state_of_the_first_release_goes_on(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with closing(sqlite3.connect(tmp_path / "state" / "scheduler.sqlite")) as written:
        written.executescript(FIRST_RELEASE)
    desk = Desk(tmp_path / "state")
    assert list(desk.storage.groups) == [("1", "us-east-1", "usched")]
    assert (desk.fire(), desk.fire(timedelta(hours=1))) == (["12:00"], ["13:00"])
