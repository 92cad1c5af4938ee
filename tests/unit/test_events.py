"""What events lead to: a run whose execution died ends with its jobs, a queue that is held up is told, all is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.events import documented, execution_ended, state_change
from tests.unit.test_drive import World, document
from universal_scheduler.adapters.memory.job_log import MemoryJobLog
from universal_scheduler.adapters.memory.outbox import MemoryOutbox
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.errors import PlatformUnavailable
from universal_scheduler.domain.events.execution_events import ExecutionEnded
from universal_scheduler.domain.runs.model import JobStatus, Run, RunStatus
from universal_scheduler.usecases.drive import Next
from universal_scheduler.usecases.events import Event, handle_events, read
from universal_scheduler.usecases.start import start_run

LOST = "States.DataLimitExceeded"


def hear(world: World, *events: dict[str, Any], log: MemoryJobLog | None = None) -> list[Event]:
    ports = (world.store, MemoryWorkflow(), world.platform, log or MemoryJobLog(), MemoryOutbox())
    return handle_events(*ports, [read(event) for event in events], world.now)


def running(**more: Any) -> tuple[World, Run]:
    """A diamond whose first job runs and whose others wait."""
    world = World()
    run = world.start(document(jobs={"job1": (), "job2": ()}, **more))
    assert world.submit(run) is Next.WAIT
    return world, run


def died(run: Run, status: str, message: Any = None, name: str = "") -> dict[str, Any]:
    return execution_ended(run.execution.arn, status, message, name=name or run.execution.name)


def statuses(world: World, run: Run) -> set[JobStatus]:
    return {job.status for job in world.store.list_jobs(run.key.run_id)}


def test_the_documented_end_of_an_execution() -> None:
    arn = "arn:aws:states:us-east-1:012345678912:execution:state-machine-name:execution-name"
    assert read(documented("execution_status_change")) == ExecutionEnded(
        arn, "execution-name", "ABORTED", "the execution was aborted"
    )
    failed = read(execution_ended(arn, "FAILED", error=LOST, cause="too much"))
    assert isinstance(failed, ExecutionEnded)
    assert failed.reason == f"the execution failed: {LOST}: too much"


@pytest.mark.parametrize(
    "change",
    [
        {"detail": None},
        {"detail": {}},
        {"source": "mine"},
        {"detail": {"status": "RUNNING"}},
        {"detail": {"status": "ABORTED"}},
        {"detail": documented("execution_status_change")["detail"] | {"input": "no json"}},
    ],
)
def test_what_is_no_end_of_an_execution_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        read(documented("execution_status_change") | change)


@pytest.mark.parametrize(
    ("told", "more", "recorded", "reason"),
    [
        ("ABORTED", {}, RunStatus.CANCELLED, "the execution was aborted"),
        ("TIMED_OUT", {"onLost": "fail"}, RunStatus.FAILED, "the execution timed out"),
        ("FAILED", {"onLost": "fail"}, RunStatus.FAILED, "the execution failed"),
    ],
)
def test_a_run_whose_execution_died_ends_with_its_jobs(
    told: str, more: dict[str, Any], recorded: RunStatus, reason: str
) -> None:
    world, run = running(**more)
    assert hear(world, died(run, told)) == []
    ended = world.store.get_run(run.key)
    assert ended is not None
    assert (ended.status, ended.reason) == (recorded, reason)
    assert statuses(world, run) == {JobStatus.CANCELLED}
    assert {entry.seen.status for entry in world.platform.jobs.values()} == {JobStatus.FAILED}


@pytest.mark.parametrize("told", ["TIMED_OUT", "FAILED"])
def test_a_run_whose_execution_was_lost_is_left_to_the_watchdogs(told: str) -> None:
    world, run = running()
    before = world.store.get_run(run.key)
    assert hear(world, died(run, told)) == []
    assert world.store.get_run(run.key) == before
    assert statuses(world, run) == {JobStatus.SUBMITTED}


def test_the_same_told_again_changes_nothing() -> None:
    world, run = running()
    hear(world, died(run, "ABORTED"))
    before = world.store.get_run(run.key)
    hear(world, died(run, "TIMED_OUT"))
    assert world.store.get_run(run.key) == before


def test_a_run_that_another_execution_goes_on_with_stays() -> None:
    world, run = running()
    message = {"scheduleId": run.key.schedule_id, "startDateTime": run.key.start, "continueOf": run.generation}
    world.executions += 1
    later = start_run(world.store, message, world.execution(), "2026-11-21T07:00:00Z")
    hear(world, died(run, "FAILED"))
    assert statuses(world, run) == {JobStatus.SUBMITTED}
    hear(world, died(later, "ABORTED", message, name="next-of-it"))
    assert statuses(world, run) == {JobStatus.CANCELLED}, "a continuation is not named as the run is"


def test_an_execution_that_has_no_run_is_nobodys() -> None:
    world, run = running()
    hear(world, execution_ended("arn:aws:states:us-east-1:1:execution:m:unknown", "FAILED", {"scheduleId": "x"}))
    assert statuses(world, run) == {JobStatus.SUBMITTED}


def test_jobs_that_cannot_be_ended_now_are_ended_later(monkeypatch: pytest.MonkeyPatch) -> None:
    world, run = running()
    event = died(run, "ABORTED")
    with monkeypatch.context() as broken:

        def fail(*_: object) -> None:
            raise PlatformUnavailable("TerminateJob: 503")

        broken.setattr(type(world.platform), "terminate", fail)
        assert hear(world, event) == [read(event)]
        assert statuses(world, run) == {JobStatus.SUBMITTED}
    assert hear(world, event) == []
    assert statuses(world, run) == {JobStatus.CANCELLED}


def test_every_job_is_kept_also_one_that_no_run_submitted() -> None:
    log = MemoryJobLog()
    events = [state_change("by-hand", status) for status in ("RUNNABLE", "RUNNING", "FAILED")]
    hear(World(), *events, log=log)
    assert [event.state for event in log.history("by-hand")] == ["RUNNABLE", "RUNNING", "FAILED"]


def test_a_queue_that_is_held_up_is_told_to_those_who_asked(caplog: pytest.LogCaptureFixture) -> None:
    world, outbox, log = World(), MemoryOutbox(), MemoryJobLog()
    channels = [{"slack": "https://hooks.slack.com/x", "on": ["queue_blocked"]}]
    run = world.start(document(notifications=channels))
    tags = {
        "usched:scheduleId": run.key.schedule_id,
        "usched:start": run.key.start,
        "usched:jobName": "job1",
    }
    event = documented("batch_job_queue_blocked")
    event["detail"] |= {"tags": tags, "statusReason": "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too large"}
    handle_events(world.store, MemoryWorkflow(), world.platform, log, outbox, [read(event)], world.now)
    assert "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT" in caplog.text
    [body] = outbox.bodies
    told = json.loads(body)
    assert "queue_blocked" in json.dumps(told)
    [kept] = log.history(event["detail"]["jobId"])
    assert kept.blocked
