"""Finally jobs: the last to run, whatever happened to the others, and again after every restart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from universal_scheduler.adapters.memory.objects import MemoryObjects
from universal_scheduler.adapters.memory.platform import MemoryPlatform
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.errors import IllegalVerb, InvalidSchedule
from universal_scheduler.domain.runs.model import Execution, JobStatus, Mark, Run, RunStatus, RunWhen, Verb
from universal_scheduler.local.simulation import simulate
from universal_scheduler.usecases.drive import Next, RunRef, poll_jobs, record_result, submit_jobs
from universal_scheduler.usecases.start import start_run
from universal_scheduler.usecases.verbs import act_on_job, cancel_run, end_cancelled_run
from universal_scheduler.usecases.views import run_view

NOW = 1_000_000.0
OVERRIDES = {"command": ["work"]}


def job(name: str, *after: Any, **more: Any) -> dict[str, Any]:
    return {"jobName": name, "jobQueue": "q", "jobDefinition": "d", "jobDependencies": list(after), **more}


def document(*jobs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"scheduleId": "s", "jobList": list(jobs), **more}


CLEAN_UP = job("clean-up", **{"finally": True})
THREE = document(job("a"), job("b", "a"), CLEAN_UP)


class World:
    """A run over memory; whoever holds it says how jobs end."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.store, self.platform, self.workflow = MemoryStore(), MemoryPlatform(), MemoryWorkflow()
        self.objects, self.now, self.executions = MemoryObjects(), NOW, 0
        self.run = self.start(given)

    def start(self, message: dict[str, Any]) -> Run:
        self.executions += 1
        execution = Execution(f"arn:{self.executions}", f"e{self.executions}")
        self.run = start_run(self.store, message, execution, "2026-11-21T06:00:00Z", lambda _: False, self.platform)
        self.turn()
        return self.run

    def restart(self, **variant: Any) -> None:
        message = {"scheduleId": "s", "startDateTime": self.run.key.start, "scheduleStatus": "RESTART", **variant}
        self.start(message)

    @property
    def ref(self) -> RunRef:
        return RunRef(self.run.key, self.run.generation)

    def turn(self) -> Next:
        self.now += 1
        for _ in range(20):
            turn = submit_jobs(self.store, self.platform, self.objects, self.ref, lambda: self.now, lambda: 100.0)
            if turn.next is not Next.SUBMIT:
                return turn.next
        raise AssertionError("it goes round and round")

    def end(self, name: str, status: JobStatus = JobStatus.SUCCEEDED) -> Next:
        [row] = self.store.get_jobs(self.run.key.run_id, [name])
        self.platform.end(row.job_id, status, exit_code=int(status is JobStatus.FAILED))
        poll_jobs(self.store, self.platform, self.ref, self.now)
        return self.turn()

    def act(self, verb: Verb, name: str = "") -> None:
        self.now += 1
        mark = Mark(verb, "ann", self.now)
        if name:
            act_on_job(self.store, self.workflow, self.run.key, name, mark)
        else:
            cancel_run(self.store, self.workflow, self.run.key, mark)

    @property
    def states(self) -> str:
        return " ".join(str(each.status) for each in self.store.list_jobs(self.run.key.run_id))

    @property
    def submitted(self) -> list[str]:
        return [entry.job.name for entry in self.platform.jobs.values()]

    def result(self) -> RunStatus:
        return record_result(self.store, self.ref, self.now)


@pytest.mark.parametrize(
    ("jobs", "path", "found"),
    [
        ([job("a", "z"), job("z", **{"finally": True})], "$.jobList[0].jobDependencies[0]", "'z', which runs last"),
        ([job("z", runWhen="all_done", **{"finally": True})], "$.jobList[0].runWhen", "runWhen beside finally"),
        (
            [job("a"), job("z", {"job": "a", "status": "FAILED"}, **{"finally": True})],
            "$.jobList[1].jobDependencies[0]",
            "a condition in a job with finally",
        ),
        ([job("a", **{"finally": "yes"})], "$.jobList[0].finally", '"yes"'),
        ([job("a", containerOverrides={"command": ["{{jobs.z.output.x}}"]}), {**CLEAN_UP, "jobName": "z"}], "", ""),
    ],
)
def test_what_a_finally_job_cannot_be(jobs: list[dict[str, Any]], path: str, found: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        parse(document(*jobs))
    error = refused.value.errors[0]
    if path:
        assert error.path == path
        assert found in error.found


def test_a_finally_job_may_follow_others_and_refer_to_what_any_job_has_put_out() -> None:
    made = job("create", containerOverrides=OVERRIDES)
    ends = job("delete", containerOverrides={"command": ["delete", "{{jobs.create.output.id}}"]}, **{"finally": True})
    tells = job("tell", "delete", "create", **{"finally": True})
    schedule = parse(document(made, ends, tells))
    assert [each.final for each in schedule.jobs] == [False, True, True]
    assert schedule.jobs[1].run_when is RunWhen.ALL_DONE
    world = World(document(made, ends, tells))
    address = world.platform.jobs["job-1"].environment["USCHED_OUTPUT"]
    world.objects.objects[address] = b'{"id": "c-7"}'
    world.end("create")
    assert world.platform.jobs["job-2"].job.container_overrides == {"command": ["delete", "c-7"]}
    assert world.submitted == ["create", "delete"], "tell runs after it"
    world.end("delete", JobStatus.FAILED)
    assert world.submitted == ["create", "delete", "tell"], "whatever that ended as"


def test_it_runs_when_all_others_have_ended_and_says_what_it_waits_for() -> None:
    world = World(THREE)
    assert world.submitted == ["a", "b"]
    view = run_view(world.run, world.store.list_jobs(world.run.key.run_id), world.now)
    assert view["jobs"][2]["reason"].startswith("runs last, waits for a, SUBMITTED since ")
    assert view["waitingFor"].startswith("waits for a, SUBMITTED")
    world.end("a")
    assert world.submitted == ["a", "b"]
    assert world.end("b") is Next.WAIT
    assert world.submitted == ["a", "b", "clean-up"]
    assert world.end("clean-up") is Next.RECORD
    assert world.result() is RunStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("optional", "ends", "result"),
    [
        (False, JobStatus.SUCCEEDED, RunStatus.FAILED),
        (False, JobStatus.FAILED, RunStatus.FAILED),
        (True, JobStatus.SUCCEEDED, RunStatus.SUCCEEDED),
        (True, JobStatus.FAILED, RunStatus.FAILED),
    ],
)
def test_it_runs_after_a_failure_and_its_own_failure_fails_the_run(
    optional: bool, ends: JobStatus, result: RunStatus
) -> None:
    world = World(document(job("a", optional=optional), CLEAN_UP))
    world.end("a", JobStatus.FAILED)
    world.end("clean-up", ends)
    assert world.result() is result


def test_one_that_is_optional_does_not_fail_the_run() -> None:
    world = World(document(job("a"), {**CLEAN_UP, "optional": True}))
    world.end("a")
    world.end("clean-up", JobStatus.FAILED)
    assert world.result() is RunStatus.SUCCEEDED


def test_it_runs_in_a_cancelled_run_and_a_cancel_of_its_own_ends_it() -> None:
    world = World(THREE)
    world.act(Verb.CANCEL)
    world.turn()
    assert world.states == "CANCELLED CANCELLED SUBMITTED"
    with pytest.raises(IllegalVerb, match="the end of the run was asked for by ann"):
        world.act(Verb.RERUN, "a")
    assert world.result() is RunStatus.RUNNING
    with pytest.raises(IllegalVerb, match="the end of the run was asked for by ann") as refused:
        world.act(Verb.CANCEL)  # its answer may have been lost: the clean-up is not to end for that
    assert refused.value.advice == "Its finally jobs run now. End them with: usched cancel s clean-up"
    world.act(Verb.CANCEL, "clean-up")
    world.turn()
    assert world.states == "CANCELLED CANCELLED CANCELLED"
    assert world.result() is RunStatus.CANCELLED
    trail = [(str(line.mark.verb), line.job) for line in world.store.audit(world.run.key.run_id)]
    assert trail == [("cancel", ""), ("cancel", "clean-up")]


@pytest.mark.parametrize("ends", [JobStatus.SUCCEEDED, JobStatus.FAILED])
def test_a_cancelled_run_ends_cancelled_whatever_its_finally_job_did(ends: JobStatus) -> None:
    world = World(THREE)
    world.act(Verb.CANCEL)
    world.turn()
    assert world.end("clean-up", ends) is Next.RECORD
    assert world.result() is RunStatus.CANCELLED


def test_in_a_cancelled_run_it_can_be_held_and_skipped() -> None:
    world = World(THREE)
    world.act(Verb.CANCEL)
    world.act(Verb.HOLD, "clean-up")
    world.turn()
    assert world.states == "CANCELLED CANCELLED HELD"
    world.act(Verb.SKIP, "clean-up")
    world.turn()
    assert world.result() is RunStatus.CANCELLED


def test_it_waits_until_a_cancelled_job_has_really_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(document(job("a"), CLEAN_UP))
    entry = world.platform.jobs["job-1"]
    entry.seen = replace(entry.seen, status=JobStatus.RUNNING, started_at=NOW)
    monkeypatch.setattr(MemoryPlatform, "terminate", lambda *_: None)  # it has half a minute to end in good order
    world.act(Verb.CANCEL)
    assert world.turn() is Next.PAUSE
    assert world.states == "CANCELLED WAITING"
    monkeypatch.undo()
    world.platform.terminate("job-1", "its time is over")
    world.turn()
    assert world.states == "CANCELLED SUBMITTED"


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ({}, "SUCCEEDED SUBMITTED WAITING WAITING"),
        ({"from": ["a"]}, "SUBMITTED SUBMITTED WAITING WAITING"),
        ({"only": ["a"]}, "SUBMITTED FAILED WAITING WAITING"),
        ({"only": ["clean-up"]}, "SUCCEEDED FAILED SUBMITTED SUCCEEDED"),
        ({"only": [], "forceOk": ["b"]}, "SUCCEEDED SUCCEEDED SUBMITTED WAITING"),
        ({"skip": ["clean-up"]}, "SUCCEEDED SUBMITTED SKIPPED WAITING"),
    ],
)
def test_it_runs_again_after_every_restart(variant: dict[str, Any], expected: str) -> None:
    after = job("then", "clean-up", **{"finally": True})
    world = World(document(job("a"), job("b", "a"), CLEAN_UP, after))
    world.end("a")
    world.end("b", JobStatus.FAILED)
    world.end("clean-up")
    world.end("then")
    assert world.result() is RunStatus.FAILED
    world.restart(**variant)
    assert world.states == expected


def test_what_was_skipped_stays_skipped() -> None:
    world = World(THREE)
    world.act(Verb.SKIP, "clean-up")
    world.end("a")
    world.end("b", JobStatus.FAILED)
    world.result()
    world.restart()
    assert world.states == "SUCCEEDED SUBMITTED SKIPPED"


@pytest.mark.parametrize("when", ["it has ended", "it runs"])
def test_it_runs_again_when_another_job_is_rerun_after_it(when: str) -> None:
    other = job("other", "clean-up", **{"finally": True})
    world = World(document(job("a"), CLEAN_UP, other))
    world.end("a", JobStatus.FAILED)
    if when == "it has ended":
        world.end("clean-up")
    world.act(Verb.RERUN, "a")
    world.turn()
    world.end("a")
    if when == "it runs":
        world.end("clean-up")
    else:
        world.end("other")
    assert world.submitted.count("clean-up") == 2
    world.end("clean-up")
    world.end("other")
    assert world.states == "SUCCEEDED SUCCEEDED SUCCEEDED"
    assert world.submitted[-2:] == ["clean-up", "other"]
    assert world.result() is RunStatus.SUCCEEDED


def test_it_is_simulated() -> None:
    simulated = simulate(THREE, exit_codes={"a": 1}, durations={"a": 10, "clean-up": 5}, now=NOW)
    times = [(each.started_at - NOW, each.stopped_at - NOW) for each in simulated.jobs if each.started_at]
    assert (times, simulated.run.status) == ([(0, 10), (10, 15)], RunStatus.FAILED)


def test_a_cancel_of_a_run_that_nothing_drives_any_more_ends_it_too() -> None:
    world = World(THREE)
    world.act(Verb.CANCEL)
    ports = world.store, world.workflow, world.platform, world.objects
    assert end_cancelled_run(*ports, world.run.key, lambda: world.now, lambda _: None) is RunStatus.CANCELLED
    assert world.states == "CANCELLED CANCELLED CANCELLED"
    world.restart()
    assert world.states == "SUBMITTED SUBMITTED WAITING"
