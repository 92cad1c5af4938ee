"""Waiting runs hear of what happens: events recorded, wakes that are needed and no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.test_drive import DIAMOND, World, document, ref
from universal_scheduler.adapters.memory.platform import MemoryPlatform
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.errors import RunChanged
from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.names import batch_job_name
from universal_scheduler.domain.runs.model import Changes, JobStatus, Observation, Run
from universal_scheduler.usecases.drive import Next, Turn, poll_jobs, seconds_to_wait, submit_jobs
from universal_scheduler.usecases.wake import handle_job_events, signal_change, wait_for_change


class Waiting(World):
    """A world whose platform tells of its jobs by events."""

    def __init__(self) -> None:
        super().__init__()
        self.workflow = MemoryWorkflow()

    def turn(self, run: Run) -> Turn:
        return submit_jobs(self.store, self.platform, self.objects, ref(run), lambda: self.now, lambda: 100.0)

    def park(self, run: Run, token: str = "token") -> Turn:
        turn = self.turn(run)
        wait_for_change(self.store, ref(run), token, turn.seen, turn.ends_needed)
        return turn

    def event(self, run: Run, name: str, **more: Any) -> JobEvent:
        [entry] = [entry for entry in self.platform.jobs.values() if entry.job.name == name]
        return JobEvent(entry.seen, entry.name, "q", self.now, run=run.key, job_name=name, **more)

    def hear(self, run: Run, *names: str) -> list[JobEvent]:
        return handle_job_events(
            self.store, self.workflow, self.platform, [self.event(run, name) for name in names], self.now
        )


@pytest.fixture
def world() -> Waiting:
    return Waiting()


def test_the_last_end_of_a_diamond_wakes_its_run_and_no_other_does(world: Waiting) -> None:
    run = world.start(document())
    world.park(run)
    for name in DIAMOND:
        assert world.workflow.woken == []
        world.end(run, name)
        world.hear(run, name)
    assert world.workflow.woken == ["token"]
    assert world.turn(run).next is Next.RECORD, "everything is recorded: nobody has to ask Batch"
    assert world.store.waits[run.key.run_id].token == ""


def test_a_fan_in_is_woken_by_the_last_of_its_hundred(world: Waiting) -> None:
    jobs = {f"j{n}": () for n in range(100)} | {"all": tuple(f"j{n}" for n in range(100))}
    run = world.start(document(jobs))
    assert world.park(run).ends_needed == 100
    for n in range(100):
        assert world.workflow.woken == []
        world.end(run, f"j{n}")
        world.hear(run, f"j{n}")
    assert world.workflow.woken == ["token"]


def test_a_failure_wakes_at_once(world: Waiting) -> None:
    run = world.start(document({"a": (), "b": (), "c": ()}))
    world.park(run)
    world.end(run, "b", JobStatus.FAILED, exit_code=4)
    world.hear(run, "b")
    assert world.workflow.woken == ["token"]
    assert world.statuses(run)["b"] == "FAILED"


def test_an_end_between_the_look_and_the_parking_refuses_the_parking(world: Waiting) -> None:
    run = world.start(document({"a": ()}))
    turn = world.turn(run)
    world.end(run, "a")
    world.hear(run, "a")
    with pytest.raises(RunChanged):
        wait_for_change(world.store, ref(run), "token", turn.seen, turn.ends_needed)


def test_an_end_that_the_poller_saw_first_only_costs_a_look(world: Waiting) -> None:
    run = world.start(document({"a": (), "b": ()}))
    world.turn(run)
    world.end(run, "a")
    turn = poll_jobs(world.store, world.platform, ref(run), world.now)
    wait_for_change(world.store, ref(run), "token", turn.seen, turn.ends_needed)
    world.hear(run, "a")
    assert world.workflow.woken == ["token"]
    assert world.turn(run).next is Next.WAIT


def test_an_event_that_is_delivered_again_after_a_crash_wakes_all_the_same(world: Waiting) -> None:
    run = world.start(document({"a": ()}))
    world.park(run)
    world.end(run, "a")
    [job] = world.store.list_jobs(run.key.run_id)
    world.store.observe_jobs(run.key.run_id, [(job, Observation(job.job_id, JobStatus.SUCCEEDED))])  # and then cut off
    world.hear(run, "a")
    assert world.workflow.woken == ["token"]


def test_an_event_that_is_faster_than_the_answer_to_submit_job_is_kept(
    world: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.start(document({"a": ()}))
    submit = world.platform.submit

    def fast(*args: Any, **more: Any) -> str:
        job_id = submit(*args, **more)
        world.platform.end(job_id, JobStatus.SUCCEEDED, exit_code=0)
        assert world.hear(run, "a") == []
        return job_id

    monkeypatch.setattr(MemoryPlatform, "submit", lambda _, *args, **more: fast(*args, **more))
    assert world.turn(run).next is Next.RECORD, "the same turn has looked once more"
    [job] = world.store.list_jobs(run.key.run_id)
    assert (job.status, job.job_id) == (JobStatus.SUCCEEDED, "job-1")


def test_late_and_foreign_events_change_nothing(world: Waiting) -> None:
    run = world.start(document({"a": (), "b": ("a",)}))
    world.park(run)
    running = world.event(run, "a")
    world.end(run, "a")
    world.hear(run, "a")
    foreign = replace(running, run=None, job_name="", name="by-hand", seen=replace(running.seen, job_id="other"))
    child = replace(running, parent_id="job-1", seen=Observation("job-1:0", JobStatus.FAILED))
    assert handle_job_events(world.store, world.workflow, world.platform, [running, foreign, child], world.now) == []
    assert world.statuses(run) == {"a": "SUCCEEDED", "b": "SUBMITTED"}
    assert world.workflow.woken == []


def test_an_event_without_tags_is_found_by_its_id_or_heard_again(world: Waiting) -> None:
    run = world.start(document({"a": ()}))
    world.park(run)
    world.end(run, "a")
    bare = replace(world.event(run, "a"), run=None, job_name="")
    unknown = replace(bare, seen=replace(bare.seen, job_id="not-stored-yet"))
    assert handle_job_events(world.store, world.workflow, world.platform, [unknown], world.now) == [unknown]
    assert handle_job_events(world.store, world.workflow, world.platform, [unknown], world.now + 999) == [], (
        "and not for ever"
    )
    assert handle_job_events(world.store, world.workflow, world.platform, [bare], world.now) == []
    assert world.workflow.woken == ["token"]


def test_a_job_that_batch_never_started_is_told_after_the_one_whose_fault_it_was(world: Waiting) -> None:
    run = world.start(document({"a": (), "b": ("a",), "c": ("b",)}))
    world.park(run)
    world.end(run, "a", JobStatus.FAILED, exit_code=1)
    [c] = world.hear(run, "c")
    assert c.job_name == "c", "heard again when more is known"
    assert world.hear(run, "c", "b", "a") == []
    assert world.statuses(run) == {"a": "FAILED", "b": "UPSTREAM_FAILED", "c": "UPSTREAM_FAILED"}


def test_a_job_that_was_accepted_after_its_run_was_given_up_is_ended(world: Waiting) -> None:
    run = world.start(document({"a": ()}))
    [job] = world.store.list_jobs(run.key.run_id)
    world.store.claim_jobs(run.key.run_id, [job], world.now)
    tags = {"usched:jobName": "a"}
    world.platform.submit(job.job, batch_job_name(run.key, "a", 1), [], {}, tags)  # and its caller is cut off
    [claimed] = world.store.list_jobs(run.key.run_id)
    world.store.end_jobs(run.key.run_id, [replace(claimed, status=JobStatus.CANCELLED)], world.now)
    assert world.hear(run, "a") == []
    assert [entry.seen.status for entry in world.platform.jobs.values()] == [JobStatus.FAILED]
    assert world.statuses(run) == {"a": "CANCELLED"}


def test_an_operator_wakes_a_run(world: Waiting) -> None:
    run = world.start(document({"a": ()}))
    world.park(run)
    signal_change(world.store, world.workflow, run.key.run_id, urgent=True)
    signal_change(world.store, world.workflow, run.key.run_id, urgent=True)
    assert world.workflow.woken == ["token"], "a token is answered once"


def waited(turn: Turn, *, idle: int = 0, events: bool = True) -> int:
    return seconds_to_wait(turn, 60, idle, events, now=1000.0)


def test_how_long_a_run_waits() -> None:
    turn = Turn(Next.WAIT, Changes())
    assert waited(turn, events=False) == waited(turn, events=False, idle=9) == 60
    patient = [waited(turn, idle=idle) for idle in range(20)]
    assert patient == sorted(patient)
    assert patient[-1] == 3600
    assert waited(replace(turn, due=1010.5)) == 11
    assert waited(replace(turn, due=900.0)) == 1


def array_events(run: Run, job_id: str, *told: tuple[str, float]) -> list[JobEvent]:
    """What Batch tells of an array and its two children: nothing of the array itself but that it is PENDING."""
    name = batch_job_name(run.key, "kids", 1)
    found = []
    for at, (word, started) in enumerate(told):
        who, _, status = word.partition(" ")
        child = who.partition(":")[2]
        seen = Observation(f"{job_id}{':' + child if child else ''}", JobStatus(status), started_at=started)
        parent = {"parent_id": job_id, "index": int(child)} if child else {}
        found.append(JobEvent(seen, name, "q", at, **parent))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("at_once", [True, False])
def test_an_array_runs_from_the_start_of_its_first_child(world: Waiting, at_once: bool) -> None:
    jobs = document({"kids": ()})
    jobs["jobList"][0]["arrayProperties"] = {"size": 2}
    run = world.start(jobs)
    world.park(run)
    [job] = world.store.list_jobs(run.key.run_id)
    told = array_events(
        run,
        job.job_id,
        ("kids PENDING", 0),
        ("kids:1 RUNNING", 8.0),
        ("kids:0 RUNNING", 9.0),
        ("kids:0 SUCCEEDED", 9.0),
        ("kids:1 SUCCEEDED", 8.0),
        ("kids SUCCEEDED", 0),
    )
    batches = [told] if at_once else [[event] for event in told]
    seen = []
    for batch in batches:
        assert handle_job_events(world.store, world.workflow, world.platform, batch, world.now) == []
        [job] = world.store.list_jobs(run.key.run_id)
        seen.append(str(job.status))
    assert seen[-1] == "SUCCEEDED"
    assert at_once or seen == ["PENDING", "PENDING", "RUNNING", "RUNNING", "RUNNING", "SUCCEEDED"]
    assert (job.started_at, job.attempts) == (9.0, 1)


def test_an_array_whose_end_is_heard_before_its_start_asks_for_it(
    world: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = document({"kids": ()})
    jobs["jobList"][0]["arrayProperties"] = {"size": 2}
    run = world.start(jobs)
    world.park(run)
    [job] = world.store.list_jobs(run.key.run_id)
    first = Observation(f"{job.job_id}:0", JobStatus.SUCCEEDED, started_at=9.0)
    asked: list[str] = []
    monkeypatch.setattr(MemoryPlatform, "describe", lambda _, ids: asked.extend(ids) or [first])
    [end] = array_events(run, job.job_id, ("kids SUCCEEDED", 0))
    assert handle_job_events(world.store, world.workflow, world.platform, [end], world.now) == []
    [job] = world.store.list_jobs(run.key.run_id)
    assert (str(job.status), job.started_at, asked) == ("SUCCEEDED", 9.0, [first.job_id])
    assert handle_job_events(world.store, world.workflow, world.platform, [end], world.now) == []
    assert len(asked) == 1, "it is known now"


def test_a_job_that_runs_for_another_time_is_recorded_once(world: Waiting) -> None:
    run = world.start(document({"a": ()}))
    world.park(run)
    [job] = world.store.list_jobs(run.key.run_id)
    name = batch_job_name(run.key, "a", 1)
    for attempts, started in ((1, 5.0), (2, 9.0), (1, 5.0)):
        seen = Observation(job.job_id, JobStatus.RUNNING, started_at=started, attempts=attempts)
        handle_job_events(world.store, world.workflow, world.platform, [JobEvent(seen, name, "q", 0.0)], world.now)
    [job] = world.store.list_jobs(run.key.run_id)
    assert (job.attempts, job.started_at) == (2, 9.0)
    assert world.workflow.woken == []
