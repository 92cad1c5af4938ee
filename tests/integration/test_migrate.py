"""Everything moves from one stage to another: two sets of tables on moto, in two regions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.tables import create_tables
from universal_scheduler.adapters.dynamodb.recordings import DynamoRecordings
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.documents.calendars import calendars_of
from universal_scheduler.domain.errors import DocumentError
from universal_scheduler.domain.runs.model import (
    AuditEntry,
    Execution,
    Job,
    JobRun,
    JobStatus,
    Mark,
    Run,
    RunKey,
    RunStatus,
    Verb,
)
from universal_scheduler.usecases import verbs
from universal_scheduler.usecases.migrate import Fate, Migration, Stage, migrate, together

NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z"""
TABLES = {"schedules": "BatchSchedules", "history": "BatchScheduleHistory", "jobs": "BatchScheduleJobs"}
JOB = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}
MANUAL = {"manual": True}


class Interrupted(Exception):
    """The command was cut off here."""


@dataclass
class Place:
    """A stage over moto."""

    name: str
    client: Any
    workflow: MemoryWorkflow = field(default_factory=MemoryWorkflow)

    def __post_init__(self) -> None:
        create_tables(self.client)
        self.store = DynamoStore(self.client, **TABLES)
        self.recordings = DynamoRecordings(self.client, **TABLES)

    @property
    def stage(self) -> Stage:
        return Stage(self.name, self.store, self.recordings, self.workflow, self.calendars)

    def calendars(self, names: Any) -> Any:
        return calendars_of(self.store.get_calendars(names))

    def put(self, schedule_id: str, **more: Any) -> dict[str, Any]:
        row = {"scheduleId": schedule_id, "jobList": [JOB], "wait_time": 1, **more}
        self.store.put_schedule(row)
        return row

    def run(self, schedule_id: str, start: str, status: RunStatus = RunStatus.SUCCEEDED) -> RunKey:
        key = RunKey(schedule_id, start)
        run = Run(key, RunStatus.RUNNING, Execution(f"arn:{schedule_id}-{start}", f"{schedule_id}-{start}"))
        assert self.store.create_run(run)
        self.store.put_jobs(key.run_id, [JobRun(Job("a", "default", "shell"), status=JobStatus.SUCCEEDED, job_id="1")])
        if status.ended:
            assert self.store.finish_run(run, status, "", start, [])
        return key


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Place, Place]]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield (
            Place("the embedded engine", boto3.client("dynamodb", "us-east-1")),
            Place("the stack 's'", boto3.client("dynamodb", "eu-west-1")),
        )


def clock(now: float) -> Callable[[], float]:
    """No two looks show the same time."""
    ticks = count()
    return lambda: now + next(ticks) / 1000


def nothing_against(_: Mapping[str, Any]) -> Sequence[DocumentError]:
    return ()


def moved(
    places: tuple[Place, Place],
    *,
    dry: bool = False,
    check: Callable[[Mapping[str, Any]], Sequence[DocumentError]] = nothing_against,
) -> Migration:
    return migrate(places[0].stage, places[1].stage, "ann", clock(NOW), check, dry=dry)


def fates(done: Migration) -> dict[str, Fate]:
    return {entry.name: entry.fate for entry in done.entries}


def test_a_dry_run_says_what_would_move_and_changes_nothing(places: tuple[Place, Place]) -> None:
    old, new = places
    old.store.put_calendar({"calendarName": "bank", "holidays": "US"})
    old.put("nightly", trigger=MANUAL)
    old.run("nightly", "2027-01-14T06:00:00.000001")
    done = moved(places, dry=True)
    assert fates(done) == {"bank": Fate.MOVED, "nightly": Fate.MOVED}
    assert (done.runs, done.runs_there, done.runs_going_on, done.complete) == (1, 0, 0, True)
    assert new.store.list_schedules() == new.store.list_calendars() == new.store.list_runs(None, 10) == []
    assert old.store.paused("nightly") is None


def test_everything_is_there_afterwards_and_the_old_schedules_are_paused(places: tuple[Place, Place]) -> None:
    old, new = places
    calendar = {"calendarName": "bank", "holidays": "US"}
    old.store.put_calendar(calendar)
    row = old.put("nightly", trigger={"cron": "cron(0 6 * * ? *)", "calendar": "bank"})
    key = old.run("nightly", "2027-01-14T06:00:00.000001")
    old.store.record_verb("nightly", AuditEntry(Mark(Verb.BACKFILL, "ben", NOW - 60, "why")))
    assert moved(places).complete
    assert new.store.list_calendars() == [calendar]
    assert new.store.get_schedule("nightly") == row
    assert new.store.get_run(key) == old.store.get_run(key)
    assert [run.key for run in new.store.list_runs(None, 10)] == [key]
    assert new.store.list_jobs(key.run_id) == old.store.list_jobs(key.run_id)
    assert [entry.mark.verb for entry in new.store.audit("nightly")] == [Verb.BACKFILL, Verb.PAUSE, Verb.RESUME]
    assert new.store.paused("nightly") is None
    paused = old.store.paused("nightly")
    assert paused is not None
    assert (paused.by, paused.reason) == ("ann", "moved to the stack 's'")


def test_doing_it_again_changes_nothing(places: tuple[Place, Place]) -> None:
    old, new = places
    old.store.put_calendar({"calendarName": "bank", "holidays": "US"})
    old.put("nightly", trigger=MANUAL)
    old.run("nightly", "2027-01-14T06:00:00.000001")
    moved(places)
    trail = new.store.audit("nightly")
    again = moved(places)
    assert set(fates(again).values()) == {Fate.THERE}
    assert (again.runs, again.runs_there, again.complete) == (0, 1, True)
    assert new.store.audit("nightly") == trail
    assert new.store.paused("nightly") is None


def test_a_pause_moves_with_its_schedule(places: tuple[Place, Place]) -> None:
    old, new = places
    old.put("nightly", trigger=MANUAL)
    verbs.pause(old.store, "nightly", Mark(Verb.PAUSE, "ben", NOW - 60, "month's end"))
    assert moved(places).complete
    assert (
        new.store.paused("nightly") == old.store.paused("nightly") == Mark(Verb.PAUSE, "ben", NOW - 60, "month's end")
    )


def test_a_row_without_a_trigger_is_never_inserted_as_one_that_starts(places: tuple[Place, Place]) -> None:
    old, new = places
    row = old.put("once")
    written: list[Any] = []
    put = new.store.put_schedule

    def noted(given: Mapping[str, Any]) -> bool:
        written.append(given.get("trigger"))
        return put(given)

    new.store.put_schedule = noted  # type: ignore[method-assign]
    assert moved(places).complete
    assert written == [MANUAL, None]
    assert new.store.get_schedule("once") == row


def test_schedules_that_start_after_each_other_wait_for_the_end_of_all_their_runs(places: tuple[Place, Place]) -> None:
    old, new = places
    old.put("a", trigger=MANUAL)
    old.put("b", trigger={"after": ["a"]})
    old.put("c", trigger={"after": ["b"]})
    old.put("other", trigger=MANUAL)
    old.run("c", "2027-01-14T06:00:00.000001", RunStatus.RUNNING)
    done = moved(places)
    assert fates(done) == {"a": Fate.WAITS, "b": Fate.WAITS, "c": Fate.WAITS, "other": Fate.MOVED}
    whys = {entry.name: entry.why for entry in done.entries}
    assert (whys["a"], whys["c"]) == ("it moves together with 'c'", "a run of it goes on")
    assert not done.complete
    assert done.runs_going_on == 1
    assert [row["scheduleId"] for row in new.store.list_schedules()] == ["other"]
    assert old.store.paused("a") is None


def test_a_run_that_starts_at_the_last_moment_keeps_its_schedule_here(places: tuple[Place, Place]) -> None:
    old, new = places
    old.put("nightly", trigger=MANUAL)
    pause = old.store.pause

    def late(schedule_id: str, entry: AuditEntry) -> bool:
        old.run(schedule_id, "2027-01-15T08:00:00.000001", RunStatus.RUNNING)
        return pause(schedule_id, entry)

    old.store.pause = late  # type: ignore[method-assign]
    assert fates(moved(places)) == {"nightly": Fate.WAITS}
    assert old.store.paused("nightly") is None
    assert new.store.list_schedules() == []


def test_what_the_new_stage_has_otherwise_stays_as_it_is(places: tuple[Place, Place]) -> None:
    old, new = places
    for place, weekend in ((old, ["SUN"]), (new, ["FRI"])):
        place.store.put_calendar({"calendarName": "bank", "weekend": weekend})
    old.put("nightly", trigger=MANUAL)
    new.put("nightly", trigger=MANUAL, wait_time=7)
    done = moved(places)
    assert fates(done) == {"bank": Fate.DIFFERS, "nightly": Fate.DIFFERS}
    assert not done.complete
    assert (new.store.get_schedule("nightly") or {})["wait_time"] == 7
    assert old.store.paused("nightly") is None


def test_a_schedule_that_cannot_run_there_stays_here_with_the_reason(places: tuple[Place, Place]) -> None:
    old, new = places
    old.put("nightly", trigger=MANUAL)
    wrong = DocumentError("$.jobList[0].jobQueue", "the queue 'mine'", "another one", job="a")
    done = moved(places, check=lambda _: [wrong])
    assert [(entry.fate, entry.why) for entry in done.entries] == [(Fate.REFUSED, str(wrong))]
    assert new.store.list_schedules() == []


def test_what_was_due_since_the_pause_is_made_up_for_there(places: tuple[Place, Place]) -> None:
    """The first try was cut off between the two stages an hour ago."""
    old, new = places
    cron = {"cron": "cron(30 * * * ? *)"}
    old.put("hourly", trigger=cron, catchUp="all")
    old.put("lazy", trigger=cron)
    put = new.store.put_schedule

    def cut(_: Mapping[str, Any]) -> bool:
        raise Interrupted

    new.store.put_schedule = cut  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        migrate(old.stage, new.stage, "ann", clock(NOW - 3600), nothing_against, dry=False)
    assert old.store.paused("hourly")
    new.store.put_schedule = put  # type: ignore[method-assign]
    assert moved(places).complete
    causes = [message["cause"] for message in new.workflow.started.values()]
    assert [cause["scheduledTime"] for cause in causes] == ["2027-01-15T07:30:00Z"]
    assert old.workflow.started == {}


@pytest.mark.parametrize("at", range(6))
def test_whoever_is_cut_off_at_a_write_goes_on_the_next_time(places: tuple[Place, Place], at: int) -> None:
    old, new = places
    row = old.put("once")
    left = at

    def limited(write: Callable[..., bool]) -> Callable[..., bool]:
        def write_or_stop(*given: Any) -> bool:
            nonlocal left
            if left == 0:
                raise Interrupted
            left -= 1
            return write(*given)

        return write_or_stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(old.store, "pause", limited(old.store.pause))
        for name in ("pause", "put_schedule", "resume"):
            patch.setattr(new.store, name, limited(getattr(new.store, name)))
        if at < 5:
            with pytest.raises(Interrupted):
                moved(places)
    assert moved(places).complete
    assert new.store.get_schedule("once") == row
    assert new.store.paused("once") is None
    assert old.store.paused("once")


def test_groups_are_as_large_as_they_must_be_and_not_larger() -> None:
    rows = {
        name: {"scheduleId": name, "trigger": {"after": list(upstream)}} if upstream else {"scheduleId": name}
        for name, upstream in {"a": "", "b": "a", "c": "b", "d": "", "e": "d", "f": "", "g": "gone"}.items()
    }
    rows["g"]["trigger"] = {"after": ["gone"]}
    assert together(rows) == [["a", "b", "c"], ["d", "e"], ["f"], ["g"]]
