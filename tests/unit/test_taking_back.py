"""Jobs that Batch has and that have not started are held, skipped and released as if they just waited."""

from __future__ import annotations

from dataclasses import replace

import pytest

from universal_scheduler.adapters.memory.objects import MemoryObjects
from universal_scheduler.adapters.memory.outbox import MemoryOutbox
from universal_scheduler.adapters.memory.platform import MemoryPlatform
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.errors import IllegalVerb
from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.runs.model import Child, Execution, JobRun, JobStatus, Mark, Observation, Run, Verb
from universal_scheduler.usecases.drive import Next, RunRef, Turn, poll_jobs, submit_jobs
from universal_scheduler.usecases.notifying_store import notifying
from universal_scheduler.usecases.start import start_run
from universal_scheduler.usecases.verbs import act_on_job
from universal_scheduler.usecases.views import run_view
from universal_scheduler.usecases.wake import handle_job_events

CHAIN = {"a": (), "b": ("a",), "c": ("b",), "d": ("c",)}
NOW = 1_000_000.0


class Chain:
    """A run of four jobs, one behind the other, all handed to Batch; the first one runs."""

    def __init__(self, size: int = 0) -> None:
        self.store, self.platform, self.workflow = MemoryStore(), MemoryPlatform(), MemoryWorkflow()
        self.outbox = MemoryOutbox()
        self.now = NOW
        jobs = [
            {"jobName": name, "jobDefinition": "d", "jobQueue": "q", "jobDependencies": list(upstream)}
            | ({"arrayProperties": {"size": size}} if size and name == "b" else {})
            for name, upstream in CHAIN.items()
        ]
        topic = "arn:aws:sns:us-east-1:123456789012:t"
        told = [{"on": ["job_failed", "job_held"], "sns": topic}]
        document = {"scheduleId": "s", "jobList": jobs, "notifications": told}
        self.run: Run = start_run(self.store, document, Execution("arn", "n"), "2026-11-21T06:00:00Z")
        self.turn()
        self.sees("a", JobStatus.RUNNING, started_at=NOW)

    def turn(self) -> Turn:
        """Until the run waits."""
        for _ in range(10):
            store = notifying(self.store, self.outbox, lambda: self.now)
            turn = submit_jobs(
                store, self.platform, MemoryObjects(), RunRef(self.run.key, 1), lambda: self.now, lambda: 100.0
            )
            if turn.next is not Next.SUBMIT:
                return turn
        raise AssertionError("it goes round and round")

    def act(self, verb: Verb, name: str) -> str:
        self.now += 1
        return act_on_job(self.store, self.workflow, self.run.key, name, Mark(verb, "ann", self.now)).after

    def __getitem__(self, name: str) -> JobRun:
        return next(job for job in self.store.list_jobs(self.run.key.run_id) if job.name == name)

    @property
    def states(self) -> str:
        return " ".join(f"{self[name].status}/{self[name].attempt}" for name in CHAIN)

    @property
    def submitted(self) -> list[str]:
        return [entry.job.name for entry in self.platform.jobs.values()]

    def sees(self, name: str, status: JobStatus, **more: float) -> None:
        job = self[name]
        self.platform.jobs[job.job_id].seen = Observation(job.job_id, status, **more)  # type: ignore[arg-type]
        poll_jobs(self.store, self.platform, RunRef(self.run.key, 1), self.now)

    def end(self, name: str) -> None:
        self.platform.end(self[name].job_id, JobStatus.SUCCEEDED)
        poll_jobs(self.store, self.platform, RunRef(self.run.key, 1), self.now)
        self.turn()

    def hears(self, job: JobRun) -> None:
        entry = self.platform.jobs[job.job_id]
        event = JobEvent(entry.seen, entry.name, "q", self.now, run=self.run.key, job_name=job.name)
        handle_job_events(
            notifying(self.store, self.outbox, lambda: self.now), self.workflow, self.platform, [event], self.now
        )


def test_a_job_that_waits_in_batch_is_held_and_what_hangs_on_it_waits() -> None:
    chain = Chain()
    assert chain.act(Verb.HOLD, "b") == "HELD"
    assert chain.turn().next is Next.WAIT
    assert chain.states == "RUNNING/1 HELD/2 WAITING/2 WAITING/2"
    assert [entry.seen.cancelled for entry in chain.platform.jobs.values()] == [False, True, True, True]
    [told] = chain.outbox.bodies
    assert "job_held" in told
    chain.end("a")
    assert chain.states == "SUCCEEDED/1 HELD/2 WAITING/2 WAITING/2"
    assert chain.act(Verb.RELEASE, "b") == "WAITING"
    chain.turn()
    assert chain.states == "SUCCEEDED/1 SUBMITTED/2 SUBMITTED/2 SUBMITTED/2"
    for name in "bcd":
        chain.end(name)
    assert chain.states == "SUCCEEDED/1 SUCCEEDED/2 SUCCEEDED/2 SUCCEEDED/2"
    assert chain.submitted == list("abcdbcd")


def test_a_held_job_that_is_released_while_its_upstream_runs_goes_to_batch_behind_it_again() -> None:
    chain = Chain()
    chain.act(Verb.HOLD, "b")
    chain.turn()
    chain.act(Verb.RELEASE, "b")
    chain.turn()
    again = chain.platform.jobs[chain["b"].job_id]
    assert (again.seen.status, again.depends_on) == (JobStatus.PENDING, (chain["a"].job_id,))


def test_a_job_that_waits_in_batch_is_skipped_and_those_behind_it_go_on() -> None:
    chain = Chain()
    assert chain.act(Verb.SKIP, "b") == "SKIPPED"
    chain.turn()
    assert chain.states == "RUNNING/1 SKIPPED/2 SUBMITTED/2 SUBMITTED/2"
    assert chain["b"].reason == "skipped by ann"
    chain.end("c")
    assert chain["c"].status is JobStatus.SUCCEEDED


@pytest.mark.parametrize("status", [JobStatus.STARTING, JobStatus.RUNNING, JobStatus.SUCCEEDED])
def test_a_verb_that_comes_too_late_leaves_the_job_alone_and_says_so(status: JobStatus) -> None:
    chain = Chain()
    chain.act(Verb.HOLD, "b")
    entry = chain.platform.jobs[chain["b"].job_id]
    entry.seen = Observation(entry.seen.job_id, status, started_at=NOW)
    chain.turn()
    assert (chain["b"].status, chain["b"].mark, chain["b"].withdraw_asked) == (status, None, False)
    late = chain.store.audit(chain.run.key.run_id)[-1]
    assert str(late.mark) == "by the scheduler: too late: it had started before it could be held, as ann asked"
    assert chain.states.endswith("SUBMITTED/1 SUBMITTED/1") or chain.states.endswith("PENDING/1 PENDING/1")


def test_what_has_started_is_not_held_or_skipped() -> None:
    chain = Chain()
    for verb in (Verb.HOLD, Verb.SKIP):
        with pytest.raises(IllegalVerb, match="it is RUNNING: it has started") as refused:
            chain.act(verb, "a")
        assert refused.value.advice == "End it first with: usched cancel"


def test_the_end_of_a_job_that_is_taken_back_may_be_heard_before_it_is_recorded() -> None:
    chain = Chain()
    chain.end("a")
    chain.act(Verb.HOLD, "b")
    b = chain["b"]
    chain.platform.cancel(b.job_id, "held by ann")  # and then the function died
    for name in "bcd":
        chain.hears(chain[name])
    assert not [body for body in chain.outbox.bodies if '"b"' in body and "job_failed" in body], "it has not failed"
    chain.turn()
    assert chain["b"].status is JobStatus.HELD
    chain.hears(b)
    assert chain["b"].status is JobStatus.HELD
    chain.act(Verb.RELEASE, "b")
    chain.turn()
    for name in "bcd":
        chain.end(name)
    assert {job.status for job in chain.store.list_jobs(chain.run.key.run_id)} == {JobStatus.SUCCEEDED}


def test_a_job_that_batch_takes_its_time_to_cancel_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    chain.act(Verb.HOLD, "b")
    monkeypatch.setattr(MemoryPlatform, "cancel", lambda *_: None)
    turn = chain.turn()
    assert (turn.next, turn.due) == (Next.WAIT, chain.now + chain.run.wait_seconds)
    view = run_view(chain.run, chain.store.list_jobs(chain.run.key.run_id), chain.now)
    assert view["jobs"][1]["reason"] == "held by ann"
    monkeypatch.undo()
    chain.turn()
    assert chain["b"].status is JobStatus.HELD


@pytest.mark.parametrize(("started_at", "status"), [(0.0, "HELD"), (NOW, "FAILED")])
def test_of_an_array_that_has_ended_its_children_tell_whether_it_had_begun(started_at: float, status: str) -> None:
    chain = Chain(size=2)
    chain.act(Verb.HOLD, "b")
    entry = chain.platform.jobs[chain["b"].job_id]
    entry.children = tuple(Child(place, JobStatus.FAILED, "held by ann", None, started_at) for place in range(2))
    entry.seen = Observation(entry.seen.job_id, JobStatus.FAILED, "held by ann", child_counts={"FAILED": 2})
    chain.turn()
    assert str(chain["b"].status) == status


def test_a_job_whose_submission_is_under_way_is_taken_back_when_it_is_known_to_be_there() -> None:
    chain = Chain()
    b = chain["b"]
    row = replace(b, status=JobStatus.SUBMITTING, job_id="", intent_at=NOW - 100)
    chain.store.put_jobs(chain.run.key.run_id, [row])
    assert chain.act(Verb.HOLD, "b") == "HELD"
    chain.turn()
    assert (chain["b"].status, chain["b"].attempt) == (JobStatus.HELD, 2)
    never = replace(row, attempt=7)
    chain.store.put_jobs(chain.run.key.run_id, [never])
    chain.act(Verb.HOLD, "b")
    chain.turn()
    assert (chain["b"].status, chain["b"].attempt) == (JobStatus.HELD, 7), "Batch has never had this attempt"


def test_an_array_whose_children_are_cancelled_one_by_one_is_taken_back_at_once() -> None:
    chain = Chain(size=2)
    chain.act(Verb.HOLD, "b")
    entry = chain.platform.jobs[chain["b"].job_id]
    entry.children = (Child(0, JobStatus.FAILED, "held by ann"), Child(1, JobStatus.RUNNABLE))
    counts = {"FAILED": 1, "RUNNABLE": 1}
    entry.seen = Observation(entry.seen.job_id, JobStatus.RUNNING, child_counts=counts, cancelled=True)
    chain.turn()
    assert (chain["b"].status, chain["b"].attempt) == (JobStatus.HELD, 2)
