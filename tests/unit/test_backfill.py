"""One run for each date, so many at a time; the same call goes on where an interrupted one was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from tests.oracles.documents import JOB
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.runs.model import Execution, Run, RunStatus
from universal_scheduler.domain.time.policies import Firing
from universal_scheduler.domain.time.starts import Start
from universal_scheduler.usecases.backfill import Backfill, Date, State, backfill
from universal_scheduler.usecases.start import start_run

FIRST = datetime(2026, 1, 1, 6, tzinfo=UTC)
PAUSES = 10_000


def start(day: int) -> Start:
    at = FIRST + timedelta(days=day)
    return Start(at=at, local=at, trigger=0, scheduled=at, business_date=at.date())


@dataclass
class World:
    """A schedule whose runs end when they are told to: after so many pauses, by their place in the list of starts."""

    takes: dict[int, int] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    """The dates (`2026-01-03`) whose next run fails."""
    store: MemoryStore = field(default_factory=MemoryStore)
    workflow: MemoryWorkflow = field(default_factory=MemoryWorkflow)
    begun: dict[str, int] = field(default_factory=dict)
    pauses: int = 0
    most: int = 0
    """How many runs went on at the same time at most."""

    def __post_init__(self) -> None:
        self.store.put_schedule({"scheduleId": "daily", "jobList": [JOB]})

    def pause(self) -> None:
        self.pauses += 1
        assert self.pauses < PAUSES
        for place, (name, message) in enumerate(self.workflow.started.items()):
            if self.store.find_run(name) is None and name not in self.workflow.ended:
                started = (FIRST + timedelta(seconds=place)).isoformat().replace("+00:00", "Z")
                start_run(self.store, message, Execution(f"arn:{name}", name), started)
                self.begun[name] = self.pauses
        going_on = [run for run in self.runs() if run.status is RunStatus.RUNNING]
        self.most = max(self.most, len(going_on))
        for run in going_on:
            place = list(self.workflow.started).index(run.execution.name)
            if self.pauses - self.begun[run.execution.name] >= self.takes.get(place, 1):
                date = run.cause["scheduledTime"][:10]
                status = RunStatus.FAILED if date in self.failing else RunStatus.SUCCEEDED
                self.failing.discard(date)
                self.store.finish_run(run, status, "", "2026-02-01T00:00:00.000000", [])

    def runs(self) -> list[Run]:
        return self.store.list_runs("daily", 1000)

    def dates(self, *days: int) -> list[Date]:
        return [Date(start(day)) for day in days]

    def backfill(self, dates: list[Date], parallel: int = 1, *, again: bool = False) -> Iterator[Date]:
        asked = Backfill("daily", dates, parallel, again, {"by": "ann"})
        return backfill(self.store, self.workflow, asked, self.pause)


def run_all(world: World, *days: int, parallel: int = 1, again: bool = False) -> list[Date]:
    dates = world.dates(*days)
    for _ in world.backfill(dates, parallel, again=again):
        pass
    return dates


def states(dates: list[Date]) -> list[str]:
    return [date.state for date in dates]


def test_each_date_has_a_run_with_its_scheduled_time() -> None:
    world = World()
    dates = run_all(world, 0, 1, 2)
    assert states(dates) == ["SUCCEEDED"] * 3
    causes = [message["cause"] for message in world.workflow.started.values()]
    assert causes[0] == {
        "kind": "backfill",
        "scheduledTime": "2026-01-01T06:00:00Z",
        "businessDate": "2026-01-01",
        "trigger": 0,
        "by": "ann",
    }
    assert [cause["businessDate"] for cause in causes] == ["2026-01-01", "2026-01-02", "2026-01-03"]


def test_no_more_runs_go_on_than_were_asked_for_and_never_fewer_where_dates_wait() -> None:
    world = World(takes={0: 50})
    run_all(world, *range(12), parallel=3)
    assert world.most == 3
    # Two others start one after the other while the first goes on: in batches of three, eleven would take longer.
    assert world.pauses < 60


def test_a_new_run_starts_as_soon_as_one_has_ended() -> None:
    world = World(takes={0: 40})
    dates = world.dates(*range(6))
    order = [f"{date.start.at:%d} {date.state}" for date in world.backfill(dates, 2)]
    assert order[:4] == ["01 RUNNING", "02 RUNNING", "02 SUCCEEDED", "03 RUNNING"]
    assert order[-1] == "01 SUCCEEDED"


def test_an_interrupted_backfill_goes_on_and_runs_each_date_once() -> None:
    world = World()
    for _ in islice(world.backfill(world.dates(*range(30)), 4), 25):
        pass  # Ctrl-C: runs that have started go on
    before = len(world.workflow.started)
    assert 0 < before < 30
    dates = run_all(world, *range(30), parallel=4)
    assert set(states(dates)) == {"SUCCEEDED", "SKIPPED"}
    assert len(world.workflow.started) == 30
    assert sorted(run.cause["businessDate"] for run in world.runs()) == [f"2026-01-{day:02}" for day in range(1, 31)]


def test_a_run_that_has_just_started_is_found_though_the_store_does_not_know_it_yet() -> None:
    world = World()
    next(iter(world.backfill(world.dates(0))))
    [date] = run_all(world, 0)
    assert date.state is State.SUCCEEDED
    assert len(world.workflow.started) == 1


def test_a_date_that_did_not_succeed_is_run_once_more() -> None:
    world = World(failing={"2026-01-02"})
    assert states(run_all(world, 0, 1, 2)) == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert states(run_all(world, 0, 1, 2)) == ["SKIPPED", "SUCCEEDED", "SKIPPED"]
    assert states(run_all(world, 0, 1, 2)) == ["SKIPPED"] * 3
    assert len(world.workflow.started) == 4


def test_dates_that_succeeded_are_run_again_if_it_is_asked_for() -> None:
    world = World()
    run_all(world, 0, 1)
    assert states(run_all(world, 0, 1, again=True)) == ["SUCCEEDED"] * 2
    assert len(world.workflow.started) == 4


def test_a_run_of_the_trigger_itself_counts() -> None:
    world = World()
    name = Firing.of(start(0)).execution("daily")
    world.workflow.start(
        name, {"scheduleId": "daily", "cause": {"kind": "time", "scheduledTime": "2026-01-01T06:00:00Z"}}
    )
    world.pause()
    assert states(run_all(world, 0, 1)) == ["SUCCEEDED", "SUCCEEDED"]  # it went on, and was waited for
    assert len(world.workflow.started) == 2
    assert states(run_all(world, 0)) == ["SKIPPED"]


def test_an_execution_that_ends_without_a_run_fails_its_date_and_the_next_call_tries_again() -> None:
    world = World()

    def dead() -> None:
        world.workflow.ended.update(world.workflow.started)

    asked = Backfill("daily", world.dates(0))
    *_, date = backfill(world.store, world.workflow, asked, dead)
    assert (date.state, date.reason) == (State.FAILED, "its execution ended without a run")
    assert states(run_all(world, 0)) == ["SUCCEEDED"]
    assert len(world.workflow.started) == 2
