"""Runs driven over memory: submit, look, record, restart, give up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from universal_scheduler.adapters.memory.objects import MemoryObjects
from universal_scheduler.adapters.memory.platform import MemoryPlatform
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.domain.errors import (
    InvalidSchedule,
    PlatformUnavailable,
    RunNotFound,
    RunStillActive,
    ScheduleNotFound,
    StaleExecution,
    Throttled,
)
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
from universal_scheduler.usecases.drive import Next, RunRef, abandon_run, poll_jobs, record_result, submit_jobs
from universal_scheduler.usecases.start import record_refusal, start_run
from universal_scheduler.usecases.submission import Pace

STARTED = "2026-11-21T06:00:00.123Z"
DIAMOND: dict[str, tuple[str, ...]] = {
    "job1": (),
    "job2": ("job1",),
    "job3": ("job1",),
    "job4": ("job1", "job2"),
    "job5": ("job2", "job3", "job4"),
}


def document(jobs: dict[str, tuple[str, ...]] = DIAMOND, **more: Any) -> dict[str, Any]:
    entries = [
        {"jobName": name, "jobDefinition": "shell", "jobQueue": "default", "jobDependencies": list(after)}
        for name, after in jobs.items()
    ]
    return {"scheduleId": "nightly", "jobList": entries, "wait_time": 5, **more}


@dataclass
class World:
    store: MemoryStore = field(default_factory=MemoryStore)
    platform: MemoryPlatform = field(default_factory=MemoryPlatform)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    now: float = 1_000_000.0
    executions: int = 0

    def start(self, message: dict[str, Any]) -> Run:
        self.executions += 1
        return start_run(self.store, message, self.execution(), STARTED)

    def execution(self) -> Execution:
        return Execution(f"arn:exec:{self.executions}", f"exec-{self.executions}")

    def submit(self, run: Run) -> Next:
        return submit_jobs(self.store, self.platform, self.objects, ref(run), lambda: self.now, lambda: 100.0).next

    def poll(self, run: Run) -> Next:
        return poll_jobs(self.store, self.platform, ref(run), self.now).next

    def record(self, run: Run) -> RunStatus:
        return record_result(self.store, ref(run), self.now)

    def end(self, run: Run, name: str, status: JobStatus = JobStatus.SUCCEEDED, **more: Any) -> None:
        [job] = [job for job in self.store.list_jobs(run.key.run_id) if job.name == name]
        self.platform.end(job.job_id, status, **more)

    def statuses(self, run: Run) -> dict[str, str]:
        return {job.name: str(job.status) for job in self.store.list_jobs(run.key.run_id)}


def ref(run: Run) -> RunRef:
    return RunRef(run.key, run.generation)


@pytest.fixture
def world() -> World:
    return World()


def test_a_run_goes_from_start_to_success(world: World) -> None:
    world.store.put_schedule(document())
    run = world.start({"scheduleId": "nightly"})
    assert world.submit(run) is Next.WAIT
    for name in DIAMOND:
        world.end(run, name)
    assert world.poll(run) is Next.RECORD
    assert world.record(run) is RunStatus.SUCCEEDED
    row = world.store.history[run.key]
    assert (row["scheduleStatus"], row["lastDateTime"]) == ("SUCCEEDED", "1970-01-12T13:46:40.000000")
    assert [job["jobStatus"] for job in row["jobList"]] == ["SUCCEEDED"] * 5


def test_a_failed_job_ends_its_dependents_and_nobody_else(world: World) -> None:
    run = world.start(document({"a": (), "b": ("a",), "c": ("b",), "other": ()}))
    world.submit(run)
    world.end(run, "a", JobStatus.FAILED, reason="Essential container in task exited", exit_code=3)
    assert world.poll(run) is Next.WAIT, "the other job still runs and is watched to its end"
    assert world.statuses(run)["c"] == "UPSTREAM_FAILED"
    world.end(run, "other")
    assert world.poll(run) is Next.RECORD
    assert world.record(run) is RunStatus.FAILED
    reason = world.store.history[run.key]["statusReason"]
    assert reason == "a FAILED with exit code 3: Essential container in task exited; 2 more did not run because of that"


def test_a_job_that_batch_never_started_says_whose_fault_it_was(world: World) -> None:
    run = world.start(document({"a": (), "b": ("a",)}))
    world.submit(run)
    world.end(run, "a", JobStatus.FAILED, exit_code=1)
    world.poll(run)
    [_, b] = world.store.list_jobs(run.key.run_id)
    assert (b.status, b.reason) == (JobStatus.UPSTREAM_FAILED, "did not run: upstream a (FAILED)")


def test_a_queue_that_does_not_exist_fails_the_run_and_is_named(world: World) -> None:
    world.platform.queues = frozenset({"high"})
    run = world.start(document({"a": (), "b": ("a",)}))
    assert world.submit(run) is Next.SUBMIT
    assert world.submit(run) is Next.RECORD
    assert world.record(run) is RunStatus.FAILED
    assert "there is no job queue 'default'" in world.store.history[run.key]["statusReason"]
    assert not world.platform.jobs


def test_restart_runs_only_what_is_left(world: World) -> None:
    run = world.start(document({"a": (), "b": ("a",), "c": ("b",)}))
    world.submit(run)
    world.end(run, "a")
    world.end(run, "b", JobStatus.FAILED, exit_code=1)
    world.poll(run)
    world.record(run)
    again = world.start({"scheduleId": "nightly", "startDateTime": run.key.start, "scheduleStatus": "RESTART"})
    assert (again.key, again.generation) == (run.key, 2)
    world.submit(again)
    assert [entry.job.name for entry in world.platform.jobs.values()] == ["a", "b", "c", "b", "c"]
    world.end(again, "b")
    world.end(again, "c")
    assert world.poll(again) is Next.RECORD
    assert world.record(again) is RunStatus.SUCCEEDED


def test_a_restart_is_for_the_same_time_and_day(world: World) -> None:
    for_a_day = {"scheduledTime": "2026-11-20T06:00:00Z", "businessDate": "2026-11-20", "trigger": "1", "chain": ["up"]}
    run = world.start({**document(), "cause": {"kind": "time", **for_a_day}})
    world.store.finish_run(run, RunStatus.FAILED, "why", "2026-11-21T06:10:00.000001", [])
    restart = {"scheduleId": "nightly", "startDateTime": run.key.start, "scheduleStatus": "RESTART"}
    assert world.start(restart).cause == {"kind": "restart", **for_a_day}


DATED = {
    "command": ["a", "{{run.businessDate-1bd}}"],
    "environment": [{"name": "X", "value": "{{run.businessDate+1bd}}"}],
}
US = {"cron": "0 6 * * *", "calendar": {"holidays": "US"}}
NEW_YORK = {"exchange": {"close": "XNYS"}}
BANK = {"rate": "rate(1 hour)", "calendar": "bank"}


@pytest.mark.parametrize(
    ("more", "cause", "days"),
    [
        ({}, {}, {"-1": "2026-11-25", "+1": "2026-11-27"}),
        ({"trigger": US}, {}, {"-1": "2026-11-25", "+1": "2026-11-27"}),
        ({"trigger": {"after": "x"}}, {"businessDate": "2026-11-23"}, {"-1": "2026-11-20", "+1": "2026-11-24"}),
        ({"trigger": BANK}, {}, {"-1": "2026-11-24", "+1": "2026-11-27"}),
        ({"trigger": {**BANK, "calendar": "nosuch"}}, {}, {}),
        ({"trigger": NEW_YORK}, {"businessDate": "2026-11-25"}, {"-1": "2026-11-24", "+1": "2026-11-27"}),
        (
            {"trigger": [NEW_YORK, BANK]},
            {"trigger": "1"},
            {"-1": "2026-11-24", "+1": "2026-11-27"},
        ),
        ({"trigger": NEW_YORK}, {"businessDate": "2090-01-03"}, {}),
    ],
)
def test_the_business_days_that_a_document_asks_for_are_noted_when_the_run_starts(
    world: World, more: dict[str, Any], cause: dict[str, Any], days: dict[str, str]
) -> None:
    world.store.put_calendar({"calendarName": "bank", "off": ["2026-11-25"]})
    row = document({"a": ()}, **more)
    row["jobList"][0]["containerOverrides"] = DATED
    world.store.put_schedule(row)
    given = {"kind": "time", "scheduledTime": "2026-11-26T06:00:00Z", **cause}
    run = world.start({"scheduleId": "nightly", "cause": given})
    assert run.cause["businessDays"] == days
    world.store.finish_run(run, RunStatus.FAILED, "why", "2026-11-26T06:10:00.000001", [])
    world.store.put_calendar({"calendarName": "bank"})
    again = {"scheduleId": "nightly", "startDateTime": run.key.start, "scheduleStatus": "RESTART"}
    assert world.start(again).cause["businessDays"] == days, "as they were"


def test_pass_written_into_the_history_row_skips_the_job_on_restart(world: World) -> None:
    run = world.start(document({"a": (), "b": ("a",)}))
    world.submit(run)
    world.end(run, "a", JobStatus.FAILED)
    world.poll(run)
    world.record(run)
    world.store.history[run.key]["jobList"][0]["jobStatus"] = "PASS"
    again = world.start({"scheduleId": "nightly", "startDateTime": run.key.start, "scheduleStatus": "RESTART"})
    assert world.statuses(again) == {"a": "SKIPPED", "b": "WAITING"}


def test_a_history_row_of_the_reference_design_can_be_restarted(world: World) -> None:
    key = RunKey("nightly", "2018-09-22T19:55:26.747498")
    row = document({"a": (), "b": ("a",)}, scheduleStatus="FAILED", startDateTime=key.start, wait_time="60")
    row["jobList"][0] |= {"jobStatus": "SUCCEEDED", "jobId": {"jobId": "802d951d"}}
    world.store.history[key] = row
    again = world.start({"scheduleId": "nightly", "startDateTime": key.start, "scheduleStatus": "RESTART"})
    assert again.generation == 1
    assert world.statuses(again) == {"a": "SUCCEEDED", "b": "WAITING"}


def test_a_run_that_is_still_watched_cannot_be_restarted(world: World) -> None:
    run = world.start(document())
    with pytest.raises(RunStillActive):
        world.start({"scheduleId": "nightly", "startDateTime": run.key.start, "scheduleStatus": "RESTART"})


def test_a_run_whose_execution_died_is_restarted_and_its_jobs_are_watched_again(world: World) -> None:
    run = world.start(document({"a": (), "b": ("a",)}))
    world.submit(run)
    message = {"scheduleId": "nightly", "startDateTime": run.key.start, "scheduleStatus": "RESTART"}
    again = start_run(world.store, message, Execution("arn:exec:new", "new"), STARTED, lambda _: False)
    assert again.generation == 2
    assert world.submit(again) is Next.WAIT
    assert len(world.platform.jobs) == 2, "both jobs still run: nothing is submitted again"
    with pytest.raises(StaleExecution):
        world.poll(run)


def test_a_restart_that_cannot_be_leaves_the_run_as_it_was(world: World) -> None:
    key = RunKey("nightly", "2018-09-22T19:55:26.747498")
    world.store.history[key] = document({"a": ()}, scheduleStatus="FAILED", startDateTime=key.start, unknownKey=1)
    with pytest.raises(InvalidSchedule):
        world.start({"scheduleId": "nightly", "startDateTime": key.start, "scheduleStatus": "RESTART"})
    assert world.store.history[key]["scheduleStatus"] == "FAILED"


def test_pass_in_the_restart_message_skips_the_job(world: World) -> None:
    run = world.start(document({"a": (), "b": ("a",)}))
    world.submit(run)
    world.end(run, "a", JobStatus.FAILED)
    world.poll(run)
    world.record(run)
    message = document({"a": (), "b": ("a",)}, startDateTime=run.key.start, scheduleStatus="RESTART")
    message["jobList"][0]["jobStatus"] = "PASS"
    assert world.statuses(world.start(message)) == {"a": "SKIPPED", "b": "WAITING"}


def test_a_message_that_names_nothing_is_told_what_it_could_name(world: World) -> None:
    with pytest.raises(InvalidSchedule, match="does not say what to run"):
        world.start({})


def test_starting_the_same_execution_again_makes_no_second_run(world: World) -> None:
    run = world.start(document())
    again = start_run(world.store, document(), world.execution(), STARTED)
    assert again.key == run.key
    assert len(world.store.history) == 1


def test_two_executions_of_one_instant_make_two_runs(world: World) -> None:
    keys = {world.start(document()).key for _ in range(200)}
    assert len(keys) == 200


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"scheduleId": "nowhere"}, ScheduleNotFound),
        ({"scheduleId": "nowhere", "startDateTime": "2018", "scheduleStatus": "RESTART"}, RunNotFound),
    ],
)
def test_what_is_not_there_is_refused(world: World, message: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        world.start(message)


def test_a_refused_start_is_kept_as_a_failed_run(world: World) -> None:
    record_refusal(world.store, {"scheduleId": "nowhere"}, world.execution(), STARTED, "no such schedule", world.now)
    [run] = world.store.list_runs("nowhere", 10)
    assert (run.status, run.reason) == (RunStatus.FAILED, "no such schedule")


def test_a_refused_restart_is_kept_and_leaves_the_run_that_it_meant_alone(world: World) -> None:
    run = world.start(document())
    message = {"scheduleId": "nightly", "startDateTime": run.key.start, "scheduleStatus": "RESTART"}
    later = Execution("arn:exec:later", "later")
    record_refusal(world.store, message, later, STARTED, "RunStillActive: it runs", world.now)
    refused = world.store.find_run("later")
    assert refused is not None
    assert (refused.status, refused.reason) == (RunStatus.FAILED, "RunStillActive: it runs")
    assert refused.cause["restartOf"] == run.key.start
    assert world.store.history[run.key]["scheduleStatus"] == "RUNNING"


def test_an_execution_that_was_overtaken_does_nothing(world: World) -> None:
    run = world.start(document())
    for step in (world.submit, world.poll, world.record):
        with pytest.raises(StaleExecution):
            step(Run(run.key, run.status, run.execution, generation=7))
    assert not world.platform.jobs


class LostAnswer(MemoryPlatform):
    """Accepts the second submission, but its answer gets lost."""

    lost = False

    def submit(self, job: Job, name: str, *args: Any, **kwargs: Any) -> str:
        job_id = super().submit(job, name, *args, **kwargs)
        if len(self.jobs) == 2 and not self.lost:
            self.lost = True
            raise PlatformUnavailable("500")
        return job_id


def test_a_submission_whose_answer_was_lost_is_found_and_not_repeated(world: World) -> None:
    world.platform = LostAnswer()
    run = world.start(document({"a": (), "b": (), "c": ()}))
    assert world.submit(run) is Next.WAIT
    world.now += 1
    assert world.submit(run) is Next.WAIT, "the intent is fresh: its job may not be listed yet"
    world.now += 61
    while world.submit(run) is Next.SUBMIT:
        pass
    names = [entry.job.name for entry in world.platform.jobs.values()]
    assert sorted(names) == ["a", "b", "c"]
    assert set(world.statuses(run).values()) == {"SUBMITTED"}


class Throttling(MemoryPlatform):
    """Takes every second submission only."""

    calls = 0

    def submit(self, *args: Any, **kwargs: Any) -> str:
        self.calls += 1
        if self.calls % 2:
            raise Throttled("too many")
        return super().submit(*args, **kwargs)


def test_throttles_end_a_turn_and_never_the_run(world: World) -> None:
    world.platform = Throttling()
    run = world.start(document({f"j{i}": () for i in range(30)}))
    turns = []
    while (then := world.submit(run)) is Next.PAUSE:
        turns.append(then)
        assert "SUBMITTING" not in world.statuses(run).values(), "nothing was accepted: nothing is in doubt"
    assert (then, len(turns)) == (Next.WAIT, 30)
    assert set(world.statuses(run).values()) == {"SUBMITTED"}


def test_dependents_of_a_submission_in_doubt_wait_without_a_busy_loop(world: World) -> None:
    world.platform = LostAnswer()
    run = world.start(document({"a": (), "b": (), "c": ("b",)}))
    world.submit(run)
    assert world.submit(run) is Next.WAIT


def test_a_job_whose_row_went_on_without_it_is_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.start(document({"a": ()}))
    monkeypatch.setattr(MemoryStore, "record_submissions", lambda *_: set())
    world.submit(run)
    assert [entry.seen.status for entry in world.platform.jobs.values()] == [JobStatus.FAILED]


def test_submission_stops_in_time_and_goes_on_in_the_next_turn(world: World) -> None:
    run = world.start(document())
    left = lambda: 60.0 if len(world.platform.jobs) < 3 else 5.0  # noqa: E731
    then = submit_jobs(world.store, world.platform, world.objects, ref(run), lambda: world.now, left).next
    assert (then, len(world.platform.jobs)) == (Next.SUBMIT, 3)
    assert Counter(world.statuses(run).values()) == {"SUBMITTED": 3, "WAITING": 2}, "what was not called is given back"
    assert world.submit(run) is Next.WAIT
    assert len(world.platform.jobs) == 5


def test_many_jobs_are_submitted_at_once_and_none_before_those_it_depends_on(world: World) -> None:
    waves: list[int] = []

    def each(do: Any, work: Any) -> Any:
        waves.append(len(work))
        return list(map(do, reversed(work)))

    run = world.start(document({"first": (), **{f"j{i}": ("first",) for i in range(60)}, "last": ("j0", "j59")}))
    submit_jobs(world.store, world.platform, world.objects, ref(run), lambda: world.now, lambda: 100.0, each)
    assert waves == [24, 25, 11], "one alone needs no help"
    assert len(world.platform.jobs) == 62
    assert set(world.statuses(run).values()) == {"SUBMITTED"}


def test_a_throttle_among_many_gives_all_back_that_was_not_accepted(world: World) -> None:
    run = world.start(document({f"j{i:02}": () for i in range(60)}))
    world.platform = platform = TakesOnly(30)
    assert world.submit(run) is Next.PAUSE
    assert Counter(world.statuses(run).values()) == {"SUBMITTED": 30, "WAITING": 30}
    assert platform.refused == 1, "after a throttle the platform is not called any more"
    platform.room = 100
    assert world.submit(run) is Next.WAIT
    assert Counter(entry.name for entry in platform.jobs.values()).most_common(1)[0][1] == 1
    assert set(world.statuses(run).values()) == {"SUBMITTED"}


def test_a_function_cut_off_in_a_wave_leaves_only_that_wave_in_doubt(world: World) -> None:
    run = world.start(document({f"j{i:02}": () for i in range(60)}))
    world.platform = CutOff(30)
    with pytest.raises(KeyboardInterrupt):
        world.submit(run)
    assert Counter(world.statuses(run).values()) == {"SUBMITTED": 25, "SUBMITTING": 25, "WAITING": 10}
    assert world.submit(run) is Next.WAIT
    world.now += 61
    while world.submit(run) is Next.SUBMIT:
        pass
    assert Counter(entry.name for entry in world.platform.jobs.values()).most_common(1)[0][1] == 1
    assert (len(world.platform.jobs), set(world.statuses(run).values())) == (60, {"SUBMITTED"})


class TakesOnly(MemoryPlatform):
    """Throttles when so many jobs are submitted."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.refused = room, 0

    def submit(self, *args: Any, **kwargs: Any) -> str:
        if len(self.jobs) >= self.room:
            self.refused += 1
            raise Throttled("too many")
        return super().submit(*args, **kwargs)


class CutOff(MemoryPlatform):
    """The function dies when this one has been accepted, once."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def submit(self, *args: Any, **kwargs: Any) -> str:
        job_id = super().submit(*args, **kwargs)
        if len(self.jobs) == self.at:
            self.at = 0
            raise KeyboardInterrupt
        return job_id


class Timed(MemoryPlatform):
    """Notes when each job was submitted."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.clock, self.times = clock, list[float]()

    def submit(self, *args: Any, **kwargs: Any) -> str:
        self.times.append(self.clock())
        return super().submit(*args, **kwargs)


def submission_times(world: World, count: int, rate: float) -> list[float]:
    run = world.start(document({f"j{i}": () for i in range(count)}))
    world.platform = platform = Timed(lambda: world.now)

    def sleep(seconds: float) -> None:
        world.now += seconds

    pace = Pace(rate, lambda: world.now, sleep)
    ports = world.store, world.platform, world.objects
    then = submit_jobs(*ports, ref(run), lambda: world.now, lambda: 100.0, pace=pace).next
    assert (then, len(platform.times)) == (Next.WAIT, count)
    return platform.times


def test_submissions_keep_the_pace(world: World) -> None:
    times = submission_times(world, 500, 50)
    assert 9.9 < times[-1] - times[0] < 10.1
    assert max(sum(start <= at < start + 0.999 for at in times) for start in times) <= 50


def test_without_a_pace_nothing_waits(world: World) -> None:
    assert len(set(submission_times(world, 500, 0))) == 1


def test_a_pace_does_not_make_up_for_time_that_went_by() -> None:
    now, pauses = [100.0], []  # type: ignore[var-annotated]
    pace = Pace(10, lambda: now[0], pauses.append)
    pace()
    now[0] = 105.0
    pace()
    pace()
    assert pauses == [pytest.approx(0.1)]


def test_jobs_are_asked_about_a_hundred_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.start(document({f"j{i}": () for i in range(250)}))
    world.submit(run)
    asked: list[int] = []
    describe = world.platform.describe
    monkeypatch.setattr(MemoryPlatform, "describe", lambda _self, ids: asked.append(len(ids)) or describe(ids))
    world.poll(run)
    assert asked == [100, 100, 50]


def test_a_job_that_batch_forgot_is_not_waited_for_for_ever(world: World) -> None:
    run = world.start(document({"a": ()}))
    world.submit(run)
    world.platform.jobs.clear()
    assert world.poll(run) is Next.WAIT, "just submitted: DescribeJobs may be behind"
    world.now += 3600
    assert world.poll(run) is Next.RECORD
    assert world.statuses(run) == {"a": "NOTFOUND"}


def test_a_job_that_batch_failed_is_not_judged_before_its_upstream_was_seen(world: World) -> None:
    run = world.start(document({"a": (), "b": ("a",)}))
    world.submit(run)
    world.end(run, "a", JobStatus.FAILED, exit_code=1)
    a, b = world.platform.jobs.values()
    ended, a.seen = a.seen, replace(a.seen, status=JobStatus.RUNNING)
    assert world.poll(run) is Next.WAIT, "DescribeJobs told of b before it told of a"
    a.seen = ended
    assert world.poll(run) is Next.RECORD
    assert world.statuses(run) == {"a": "FAILED", "b": "UPSTREAM_FAILED"}
    assert b.seen.status is JobStatus.FAILED


def test_a_job_that_its_schedule_holds_is_not_submitted(world: World) -> None:
    held = document({"a": (), "b": ("a",)})
    held["jobList"][0]["hold"] = True
    run = world.start(held)
    assert world.submit(run) is Next.WAIT
    assert world.statuses(run) == {"a": "HELD", "b": "WAITING"}


def test_a_job_whose_end_was_asked_for_is_ended_on_its_platform(world: World) -> None:
    run = world.start(document({"a": (), "b": ("a",)}))
    world.submit(run)
    [a, _] = world.store.list_jobs(run.key.run_id)
    world.store.change_job(run.key.run_id, a, replace(a, mark=Mark(Verb.CANCEL, "ann", world.now, "too slow")))
    assert world.poll(run) is Next.SUBMIT
    assert world.submit(run) is Next.WAIT
    assert world.platform.jobs[a.job_id].seen.reason == "cancelled by ann: too slow"
    assert world.poll(run) is Next.RECORD
    assert world.statuses(run) == {"a": "CANCELLED", "b": "UPSTREAM_FAILED"}


def test_a_job_that_was_forced_takes_those_behind_it_along(world: World) -> None:
    run = world.start(document({"a": (), "b": ("a",), "c": ("b",), "other": ()}))
    world.submit(run)
    world.end(run, "a", JobStatus.FAILED, exit_code=1)
    world.poll(run)
    a = world.store.list_jobs(run.key.run_id)[0]
    forced = replace(a, status=JobStatus.SUCCEEDED, mark=Mark(Verb.FORCE_OK, "ann", world.now))
    world.store.change_job(run.key.run_id, a, forced)
    assert world.poll(run) is Next.SUBMIT
    assert world.submit(run) is Next.SUBMIT, "b and c wait again"
    assert world.submit(run) is Next.WAIT
    assert world.statuses(run) == {"a": "SUCCEEDED", "b": "SUBMITTED", "c": "SUBMITTED", "other": "SUBMITTED"}
    assert [job.attempt for job in world.store.list_jobs(run.key.run_id)] == [1, 2, 2, 1]


def test_a_run_that_an_operator_acts_on_while_its_end_is_recorded_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.start(document({"a": ()}))
    world.submit(run)
    world.end(run, "a")
    world.poll(run)
    listed = world.store.list_jobs

    def acted_on(_: MemoryStore, run_id: str) -> list[JobRun]:
        world.store.history[run.key]["verbCount"] = 1
        return listed(run_id)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "list_jobs", acted_on)
        assert world.record(run) is RunStatus.RUNNING
    assert world.record(run) is RunStatus.SUCCEEDED


def test_a_run_goes_on_in_its_next_execution_though_an_operator_acts_on_it_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.start(document({"a": ()}))
    restart_run = world.store.restart_run

    def acted_on(store: MemoryStore, taken: Run, of: Run, *more: Any) -> bool:
        monkeypatch.undo()
        store.ask_for_end(replace(of, cancel=cancel.mark), cancel)
        return restart_run(taken, of, *more)

    cancel = AuditEntry(Mark(Verb.CANCEL, "ann", world.now))
    monkeypatch.setattr(MemoryStore, "restart_run", acted_on)
    message = {"scheduleId": "nightly", "startDateTime": run.key.start, "continueOf": 1}
    again = start_run(world.store, message, Execution("arn:exec:next", "next"), STARTED)
    assert (again.generation, again.cancel) == (2, cancel.mark)


def test_giving_up_also_ends_a_job_whose_submission_is_in_doubt(world: World) -> None:
    world.platform = LostAnswer()
    run = world.start(document({"a": (), "b": ()}))
    world.submit(run)
    abandon_run(world.store, world.platform, ref(run), "gone", world.now)
    assert all(entry.seen.status is JobStatus.FAILED for entry in world.platform.jobs.values())


def test_giving_up_ends_the_jobs_that_nobody_would_watch(world: World) -> None:
    run = world.start(document())
    world.submit(run)
    abandon_run(world.store, world.platform, ref(run), "DynamoDB is gone", world.now)
    assert all(entry.seen.status is JobStatus.FAILED for entry in world.platform.jobs.values())
    assert set(world.statuses(run).values()) == {"CANCELLED"}
    assert world.store.history[run.key]["statusReason"] == "DynamoDB is gone"


def test_a_run_that_is_given_up_while_a_function_submits_leaves_nothing_running(world: World) -> None:
    run = world.start(document({"a": (), "b": ()}))
    store = world.store
    end_jobs = store.end_jobs

    def late(run_id: str, ended: Any, now: float) -> set[str]:
        """The function that Step Functions left alone submits the first job just now."""
        store.end_jobs = end_jobs  # type: ignore[method-assign]
        world.submit(run)
        return end_jobs(run_id, ended, now)

    store.end_jobs = late  # type: ignore[method-assign]
    abandon_run(store, world.platform, ref(run), "it was stopped", world.now)
    assert set(world.statuses(run).values()) == {"CANCELLED"}
    assert [entry.seen.status for entry in world.platform.jobs.values()] == [JobStatus.FAILED, JobStatus.FAILED]


def test_a_restart_leaves_what_still_runs_as_it_is(world: World) -> None:
    run = world.start(document({"a": (), "b": ()}))
    world.submit(run)
    world.end(run, "b", JobStatus.FAILED)
    world.poll(run)
    put = world.store.put_jobs
    put_names: list[str] = []

    def watched(run_id: str, jobs: Any) -> None:
        written = list(jobs)
        put_names.extend(job.name for job in written)
        put(run_id, written)

    world.store.put_jobs = watched  # type: ignore[method-assign]
    message = {"scheduleId": "nightly", "startDateTime": run.key.start, "scheduleStatus": "RESTART"}
    world.executions += 1
    start_run(world.store, message, world.execution(), STARTED, lambda _: False)
    assert put_names == ["b"], "an event of the other may come meanwhile"


def test_no_operator_acts_on_a_run_whose_jobs_are_not_all_written(world: World) -> None:
    put = world.store.put_jobs

    def cut_off(run_id: str, jobs: Any) -> None:
        [run] = world.store.list_runs("nightly", 1)
        assert run.preparing
        put(run_id, jobs)

    world.store.put_jobs = cut_off  # type: ignore[method-assign]
    run = world.start(document({"a": ()}))
    found = world.store.get_run(run.key)
    assert found is not None
    assert not run.preparing
    assert not found.preparing
