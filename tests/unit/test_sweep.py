"""The watchdogs over memory, with a clock of their own: each breach is told once, and what can be mended is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.test_drive import World, document, ref
from universal_scheduler.adapters.memory.job_log import MemoryJobLog
from universal_scheduler.adapters.memory.outbox import MemoryOutbox
from universal_scheduler.adapters.memory.watch import MemoryWatch
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.errors import StaleExecution, StoreUnavailable, SweepFailed
from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.runs.model import JobStatus, Mark, Observation, Run, RunStatus, Verb
from universal_scheduler.ports.workflow import Stopped
from universal_scheduler.usecases.drive import Next, submit_jobs
from universal_scheduler.usecases.notifying_store import notifying
from universal_scheduler.usecases.start import start_run
from universal_scheduler.usecases.sweep import NOTIFICATION_SECONDS, Watchdogs, sweep
from universal_scheduler.usecases.verbs import cancel_run
from universal_scheduler.usecases.wake import wait_for_change

TOPIC = "arn:aws:sns:us-east-1:123456789012:people"
ALL = ["job_failed", "run_late", "run_lost", "run_resumed", "job_stuck", "job_slow", "job_short"]
START = datetime(2026, 11, 21, 6, 0, tzinfo=UTC).timestamp()


class Watched(World):
    """A world that watchdogs look at every minute."""

    def __init__(self) -> None:
        super().__init__(now=START)
        self.workflow, self.outbox, self.log = MemoryWorkflow(), MemoryOutbox(), MemoryJobLog()
        self.watch = MemoryWatch(self.store)
        self.dogs = Watchdogs(
            self.store, self.watch, self.platform, self.workflow, self.log, self.outbox, lambda: self.now, 3600.0
        )

    def begin(self, jobs: dict[str, tuple[str, ...]], **more: Any) -> Run:
        run = self.start(document(jobs, notifications=[{"on": ALL, "sns": TOPIC}], **more))
        self.submit(run)
        return run

    def sees(self, run: Run, name: str, status: JobStatus, **more: Any) -> None:
        """Batch, and so the run, sees the job in this state."""
        [job] = [job for job in self.store.list_jobs(run.key.run_id) if job.name == name]
        entry = self.platform.jobs[job.job_id]
        entry.seen = Observation(job.job_id, status, **more)
        self.store.observe_jobs(run.key.run_id, [(job, entry.seen)])

    def pass_time(self, seconds: float) -> None:
        """A sweep every minute, until so much time has passed."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + 60, until)
            self.sweep()

    def sweep(self) -> dict[str, int]:
        swept = sweep(self.dogs, lambda: 100.0)
        return {"looked": swept.looked, "notified": swept.notified}

    def told(self) -> list[tuple[str, str]]:
        bodies = [json.loads(body) for body in self.outbox.bodies]
        return [(body["kind"], body["jobName"] or body["what"]) for body in bodies]

    def detail(self) -> str:
        return str(json.loads(self.outbox.bodies[-1])["detail"])


@pytest.fixture
def world() -> Watched:
    return Watched()


def test_nothing_is_told_of_a_run_that_is_on_time(world: Watched) -> None:
    run = world.begin({"a": ()}, mustStartBy="06:30", mustEndBy="07:30", maxDuration="PT2H")
    world.sees(run, "a", JobStatus.RUNNING, started_at=START + 1)
    world.pass_time(3600)
    world.sees(run, "a", JobStatus.SUCCEEDED, started_at=START + 1, stopped_at=world.now)
    assert world.poll(run) is Next.RECORD
    world.record(run)
    world.pass_time(7200)
    assert world.told() == []
    assert world.sweep() == {"looked": 0, "notified": 0}, "a run that has ended is not looked at any more"


def test_a_late_run_is_told_once_and_within_a_minute(world: Watched) -> None:
    run = world.begin({"a": ()}, mustEndBy="06:10", maxDuration=900)
    world.sees(run, "a", JobStatus.RUNNING, started_at=START + 1)
    world.pass_time(600)
    assert world.told() == []
    world.pass_time(61)
    assert world.told() == [("run_late", "mustEndBy")]
    assert "it had not ended by 2026-11-21 06:10 UTC (mustEndBy 06:10)" in world.detail()
    world.pass_time(7200)
    assert world.told() == [("run_late", "mustEndBy"), ("run_late", "maxDuration")]
    assert len({json.loads(body)["id"] for body in world.outbox.bodies}) == 2


def test_a_run_none_of_whose_jobs_has_started_is_late(world: Watched) -> None:
    run = world.begin({"a": ()}, mustStartBy="PT20M")
    world.sees(run, "a", JobStatus.RUNNABLE)
    world.pass_time(1300)
    assert world.told() == [("run_late", "mustStartBy")]


def test_a_run_that_ended_late_between_two_looks_is_told(world: Watched) -> None:
    run = world.begin({"a": ()}, maxDuration=90)
    world.sweep()
    world.now += 95
    world.end(run, "a")
    world.poll(run)
    world.record(run)
    world.pass_time(600)
    assert world.told() == [("run_late", "maxDuration")]


def test_a_job_that_waits_too_long_in_its_queue_is_told_once_with_the_reason(world: Watched) -> None:
    run = world.begin({"a": (), "b": ()}, maxQueueTime="PT10M")
    reason = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
    world.sees(run, "a", JobStatus.RUNNABLE, reason=reason)
    world.sees(run, "b", JobStatus.RUNNING, started_at=world.now)
    world.pass_time(599)
    assert world.told() == []
    world.pass_time(61)
    assert world.told() == [("job_stuck", "a")]
    assert world.detail() == f"waits in queue default since 2026-11-21T06:00 UTC: {reason}"
    world.pass_time(7200)
    assert world.told() == [("job_stuck", "a")]


def test_a_stage_has_a_limit_and_the_log_of_jobs_a_reason(world: Watched) -> None:
    run = world.begin({"a": ()})
    world.sees(run, "a", JobStatus.RUNNABLE)
    blocked = Observation("job-1", JobStatus.RUNNABLE, "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY")
    world.log.append([JobEvent(blocked, "a-1", "arn:queue", world.now + 9, blocked=True)])
    world.pass_time(3599)
    assert world.told() == []
    world.pass_time(62)
    assert world.told() == [("job_stuck", "a")]
    assert "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY" in world.detail()


def test_a_job_that_batch_has_started_meanwhile_is_not_stuck(world: Watched) -> None:
    run = world.begin({"a": ()}, maxQueueTime=60)
    world.sees(run, "a", JobStatus.RUNNABLE)
    [job] = world.store.list_jobs(run.key.run_id)
    world.platform.jobs[job.job_id].seen = Observation(job.job_id, JobStatus.RUNNING, started_at=world.now)
    world.pass_time(600)
    assert world.told() == []


def test_of_a_thousand_stuck_jobs_people_are_told_ten_times(world: Watched) -> None:
    names = [f"j{n}" for n in range(1000)]
    run = world.begin(dict.fromkeys(names, ()), maxQueueTime=60)
    for name in names[:3]:
        world.sees(run, name, JobStatus.RUNNABLE)
    world.pass_time(120)
    assert world.told() == [("job_stuck", name) for name in names[:3]]
    for name in names[3:]:
        world.sees(run, name, JobStatus.RUNNABLE)
    world.pass_time(1200)
    assert world.told() == [("job_stuck", name) for name in names[:10]]
    assert world.detail().endswith(
        "990 more jobs of this run have the same problem; no more messages of this kind follow for this run"
    )


def with_fallback(world: Watched, **more: Any) -> Run:
    row = document({"a": (), "b": ("a",)}, notifications=[{"on": ALL, "sns": TOPIC}], maxQueueTime=60, **more)
    row["jobList"][0]["fallbackQueue"] = "high"
    run = world.start(row)
    world.submit(run)
    world.sees(run, "a", JobStatus.RUNNABLE)
    return run


def queues(world: Watched) -> list[tuple[str, str, str]]:
    return [(each.job.name, each.job.queue, str(each.seen.status)) for each in world.platform.jobs.values()]


def test_a_stuck_job_moves_to_its_fallback_queue_once(world: Watched) -> None:
    run = with_fallback(world)
    turn = submit_jobs(world.store, world.platform, world.objects, ref(run), lambda: world.now, lambda: 100.0)
    wait_for_change(world.store, ref(run), "token", turn.seen, turn.ends_needed)
    world.pass_time(120)
    assert world.workflow.woken == ["token"]
    assert world.detail().endswith("the scheduler moves it to queue high")
    for _ in range(5):
        world.submit(run)
    assert queues(world) == [
        ("a", "default", "FAILED"),
        ("b", "default", "FAILED"),
        ("a", "high", "SUBMITTED"),
        ("b", "default", "PENDING"),  # which was handed to Batch behind it, and is so again
    ]
    world.sees(run, "a", JobStatus.RUNNABLE)
    world.pass_time(7200)
    for _ in range(5):
        world.submit(run)
    assert len(world.platform.jobs) == 4, "it has been moved already"
    assert world.told() == [("job_stuck", "a"), ("job_stuck", "a")], "and is stuck once more, as its second attempt"
    world.end(run, "a")
    world.end(run, "b")
    world.poll(run)
    assert world.record(run) is RunStatus.SUCCEEDED


def test_a_stuck_job_is_told_and_moved_before_its_run_has_looked_at_it(world: Watched) -> None:
    """Where no event tells of its queue, the run itself sees the job only at its first look: after 15 wait_times."""
    row = document({"a": ()}, notifications=[{"on": ALL, "sns": TOPIC}], maxQueueTime=60)
    row["jobList"][0]["fallbackQueue"] = "high"
    run = world.start(row)
    world.submit(run)
    [job] = world.store.list_jobs(run.key.run_id)
    world.platform.jobs[job.job_id].seen = Observation(job.job_id, JobStatus.RUNNABLE)
    assert job.status is JobStatus.SUBMITTED
    world.pass_time(120)
    assert world.told() == [("job_stuck", "a")]
    for _ in range(3):
        world.submit(run)
    assert queues(world) == [("a", "default", "FAILED"), ("a", "high", "SUBMITTED")]
    world.pass_time(60)
    assert world.told() == [("job_stuck", "a")]


def test_a_job_that_gets_its_place_before_it_is_moved_stays(world: Watched) -> None:
    run = with_fallback(world)
    world.pass_time(120)
    world.platform.jobs["job-1"].seen = Observation("job-1", JobStatus.RUNNING, started_at=world.now)
    for _ in range(3):
        world.submit(run)
    assert [queue for _, queue, _ in queues(world)] == ["default", "default"]
    world.end(run, "a")
    world.end(run, "b")
    assert world.poll(run) is Next.RECORD


def test_a_move_whose_end_is_heard_before_it_is_recorded_goes_on(world: Watched) -> None:
    run = with_fallback(world)
    world.pass_time(120)
    [a, _] = world.store.list_jobs(run.key.run_id)
    ended = Observation(a.job_id, JobStatus.FAILED, "waited too long")
    notifying(world.store, lambda: world.outbox, lambda: world.now).observe_jobs(run.key.run_id, [(a, ended)])
    world.platform.jobs[a.job_id].seen = ended
    assert ("job_failed", "a") not in world.told()
    for _ in range(3):
        world.submit(run)
    assert queues(world)[2] == ("a", "high", "SUBMITTED")


def test_a_job_that_somebody_cancels_is_not_moved(world: Watched) -> None:
    run = with_fallback(world)
    job = world.store.list_jobs(run.key.run_id)[0]
    world.store.change_job(run.key.run_id, job, replace(job, mark=Mark(Verb.CANCEL, "ann", world.now)))
    world.pass_time(120)
    world.submit(run)
    assert world.statuses(run)["a"] == "CANCELLED"


def lose(world: Watched, run: Run, *, aborted: bool = False) -> None:
    """The execution that drives the run stops without a result, and the watchdogs have time to see it."""
    driven = world.store.get_run(run.key)
    assert driven is not None
    world.workflow.ends[driven.execution.arn] = Stopped(world.now, aborted)
    before = world.told()
    world.pass_time(119)
    assert world.told() == before, "the next execution may be about to take it over"
    world.pass_time(600)


def take_over(world: Watched, name: str) -> Run:
    """The execution with this name begins."""
    return start_run(world.store, world.workflow.started[name], world.workflow.execution(name), "2026-11-21T07:00:00Z")


@pytest.mark.parametrize(
    ("more", "aborted", "status"),
    [({"onLost": "fail"}, False, RunStatus.FAILED), ({}, True, RunStatus.CANCELLED)],
)
def test_a_run_that_does_not_go_on_without_its_execution_is_ended_and_told_once(
    world: Watched, more: dict[str, Any], aborted: bool, status: RunStatus
) -> None:
    """The schedule says so, or somebody has stopped the execution."""
    run = world.begin({"a": (), "b": ("a",)}, **more)
    world.sees(run, "a", JobStatus.RUNNING, started_at=world.now)
    world.sweep()
    lose(world, run, aborted=aborted)
    assert world.told() == [("run_lost", "run")]
    after = world.store.get_run(run.key)
    assert after is not None
    assert (after.status, after.reason) == (status, "its execution has stopped without a result")
    assert {each.seen.status for each in world.platform.jobs.values()} == {JobStatus.FAILED}
    assert world.sweep() == {"looked": 0, "notified": 0}
    assert world.workflow.started == {}


def test_a_run_whose_execution_is_lost_goes_on_in_a_new_one_with_its_jobs_and_that_is_told_once(world: Watched) -> None:
    run = world.begin({"a": (), "b": ("a",)})
    world.sees(run, "a", JobStatus.RUNNING, started_at=world.now)
    lose(world, run)
    assert world.told() == [("run_resumed", "run")]
    [name] = world.workflow.started
    later = take_over(world, name)
    assert (later.generation, later.key, later.execution.name) == (2, run.key, run.execution.name)
    assert world.poll(later) is Next.WAIT
    world.end(later, "a")
    world.end(later, "b")
    assert world.poll(later) is Next.RECORD
    assert world.record(later) is RunStatus.SUCCEEDED
    assert len(world.platform.jobs) == 2, "no job was submitted again"
    world.pass_time(600)
    assert world.told() == [("run_resumed", "run")]


def test_a_new_execution_that_is_lost_before_it_has_begun_is_replaced(world: Watched) -> None:
    run = world.begin({"a": ()})
    lose(world, run)
    [first] = world.workflow.started
    world.workflow.ends[world.workflow.execution(first).arn] = Stopped(world.now)
    world.pass_time(600)
    _, second = world.workflow.started
    assert take_over(world, second).generation == 2
    with pytest.raises(StaleExecution):
        take_over(world, first)
    assert world.told() == [("run_resumed", "run")]


def test_a_run_whose_executions_are_lost_again_and_again_is_given_up(world: Watched) -> None:
    run = world.begin({"a": ()})
    for number in range(3):
        lose(world, run)
        take_over(world, list(world.workflow.started)[number])
    lose(world, run)
    assert world.told() == [*[("run_resumed", "run")] * 3, ("run_lost", "run")]
    after = world.store.get_run(run.key)
    assert after is not None
    assert (after.status, after.generation) == (RunStatus.FAILED, 4)


def test_a_run_whose_new_executions_never_begin_is_given_up(world: Watched) -> None:
    run = world.begin({"a": ()})
    lose(world, run)
    for _ in range(3):
        world.workflow.ends |= {world.workflow.execution(name).arn: Stopped() for name in world.workflow.started}
        world.pass_time(600)
    assert len(world.workflow.started) == 3
    assert world.told() == [("run_resumed", "run"), ("run_lost", "run")]


def test_a_run_that_is_being_cancelled_does_not_go_on(world: Watched) -> None:
    run = world.begin({"a": ()})
    cancel_run(world.store, world.workflow, run.key, Mark(Verb.CANCEL, "ann", world.now))
    lose(world, run)
    after = world.store.get_run(run.key)
    assert after is not None
    assert (after.status, world.workflow.started) == (RunStatus.CANCELLED, {})


def test_a_run_that_a_newer_execution_drives_is_not_lost(world: Watched) -> None:
    run = world.begin({"a": ()})
    world.workflow.ends[run.execution.arn] = Stopped(world.now - 9999)
    world.start({"scheduleId": "nightly", "startDateTime": run.key.start, "continueOf": 1})
    world.pass_time(600)
    assert world.told() == []


def test_a_token_that_nobody_answered_is_answered(world: Watched) -> None:
    run = world.begin({"a": (), "b": ()})
    turn = submit_jobs(world.store, world.platform, world.objects, ref(run), lambda: world.now, lambda: 100.0)
    wait_for_change(world.store, ref(run), "token", turn.seen, turn.ends_needed)
    world.pass_time(600)
    assert world.workflow.woken == [], "it rightly waits"
    world.store.count_change(run.key.run_id, 0, True)  # and whoever counted it has died
    world.pass_time(600)
    assert world.workflow.woken == ["token"]


def finished(world: Watched, seconds: float) -> None:
    run = world.begin({"a": (), "z": ()})
    world.sees(run, "a", JobStatus.SUCCEEDED, started_at=world.now, stopped_at=world.now + seconds)
    world.sees(run, "z", JobStatus.SUCCEEDED, started_at=world.now, stopped_at=world.now + 1)
    world.poll(run)
    assert world.record(run) is RunStatus.SUCCEEDED
    world.pass_time(600)


def test_a_job_that_takes_unusually_long_or_short_is_told(world: Watched) -> None:
    for seconds in (100, 104, 98, 101, 97, 102):
        finished(world, seconds)
    assert world.watch.samples("nightly")["a"] == [100, 104, 98, 101, 97, 102]
    run = world.begin({"a": (), "z": ()})
    world.sees(run, "a", JobStatus.RUNNING, started_at=world.now)
    world.pass_time(150)
    assert world.told() == []
    world.pass_time(61)
    assert world.told() == [("job_slow", "a")]
    assert "where 1 min 40 s is usual" in world.detail()
    world.pass_time(3600)
    assert world.told() == [("job_slow", "a")]
    finished(world, 20)
    assert world.told() == [("job_slow", "a"), ("job_short", "a")]


def test_two_sweeps_at_once_tell_once(world: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    world.begin({"a": ()}, maxDuration=60)
    put = world.outbox.put
    inner: list[dict[str, int]] = []

    def put_while_another_sweeps(bodies: list[str]) -> None:
        monkeypatch.setattr(MemoryOutbox, "put", lambda _, more: put(more))
        inner.append(world.sweep())
        put(bodies)

    monkeypatch.setattr(MemoryOutbox, "put", lambda _, bodies: put_while_another_sweeps(bodies))
    world.now += 61
    assert world.sweep()["notified"] == 1
    assert inner == [{"looked": 1, "notified": 0}]
    world.pass_time(600)
    assert world.told() == [("run_late", "maxDuration")]


def test_what_a_sweep_died_over_is_told_by_a_later_one_under_the_same_id(
    world: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.begin({"a": ()}, maxDuration=60)
    world.begin({"b": ()}, maxDuration=60)
    put, dead = world.outbox.put, [True]

    def die(_: MemoryOutbox, bodies: list[str]) -> None:
        put(bodies)  # they may have been queued
        if dead.pop() if dead else False:
            raise StoreUnavailable("no answer")

    monkeypatch.setattr(MemoryOutbox, "put", die)
    world.now += 61
    with pytest.raises(SweepFailed, match=f"The first is {run.key.run_id}"):
        world.sweep()
    assert len(world.told()) == 2, "the other run was looked at all the same"
    world.pass_time(NOTIFICATION_SECONDS + 60)
    ids = [json.loads(body)["id"] for body in world.outbox.bodies]
    assert len(ids) == 3
    assert len(set(ids)) == 2
    world.pass_time(3600)
    assert len(world.told()) == 3


def test_a_sweep_without_time_leaves_the_rest_to_the_next(world: Watched) -> None:
    world.begin({"a": ()}, maxDuration=60)
    world.now += 61
    assert sweep(world.dogs, lambda: 1.0).looked == 0
    assert world.sweep() == {"looked": 1, "notified": 1}
