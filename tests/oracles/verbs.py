"""Whole runs in which operators act at any time; the oracle knows no time, no order and no platform."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from hypothesis import strategies as st

from universal_scheduler.adapters.memory.objects import MemoryObjects
from universal_scheduler.adapters.memory.platform import MemoryPlatform
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.adapters.memory.workflow import MemoryWorkflow
from universal_scheduler.domain.runs.model import (
    Dependency,
    Execution,
    Job,
    JobRun,
    JobStatus,
    Mark,
    Run,
    RunKey,
    RunStatus,
    RunWhen,
    Verb,
)
from universal_scheduler.domain.runs.rules import Edge, edge
from universal_scheduler.usecases.drive import Next, RunRef, poll_jobs, record_result, submit_jobs
from universal_scheduler.usecases.verbs import act_on_job

KEY = RunKey("s", "2026-11-21T06:00:00.000001")
FAILED = (JobStatus.FAILED, JobStatus.UPSTREAM_FAILED)
RULES = [RunWhen.ALL_SUCCESS, RunWhen.ALL_SUCCESS, RunWhen.NONE_FAILED, RunWhen.ONE_SUCCESS, RunWhen.ALL_DONE]
"""Those that a failure cannot set off: whether such a job runs would depend on when the operator acts."""
ACTS = ["", "", "", "hold", "skip first", "cancel first", "cancel running", "force-ok", "rerun"]
"""What is done to a job: held and later released, at once, or when it has come so far."""


@dataclass(frozen=True)
class Case:
    jobs: list[Job]
    exit_codes: dict[str, int]
    """What each job does if it runs: 0 succeeds, and so does every second attempt."""
    acts: dict[str, str]
    seed: int
    limit: int | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    acts = {f"j{index}": draw(st.sampled_from(ACTS)) for index in range(draw(st.integers(1, 20)))}
    jobs = []
    for index, name in enumerate(acts):
        upstream = draw(st.lists(st.integers(0, index - 1), unique=True, max_size=3)) if index else []
        dependencies = tuple(Dependency(f"j{i}") for i in upstream)
        rule = draw(st.sampled_from(RULES))
        jobs.append(Job(name, "q", "d", dependencies, run_when=rule, hold=acts[name] == "hold"))
    codes = {name: draw(st.sampled_from([0, 0, 1])) for name in acts}
    return Case(draw(st.permutations(jobs)), codes, acts, draw(st.integers()), draw(st.sampled_from([None, None, 2])))


def oracle(case: Case) -> dict[str, JobStatus]:
    """Every job's end, each from the ends of those before it: no time, no order, no platform."""
    ended: dict[str, JobRun] = {}
    for job in sorted(case.jobs, key=lambda job: int(job.name[1:])):
        edges = [edge(each, ended[each.job]) for each in job.dependencies]
        ended[job.name] = JobRun(job, status=_end(job, case.acts[job.name], case.exit_codes[job.name], edges))
    return {name: job.status for name, job in ended.items()}


def _end(job: Job, act: str, code: int, edges: list[Edge]) -> JobStatus:
    failed, met = Edge.FAILED in edges, Edge.MET in edges
    runs = {RunWhen.ALL_DONE: True, RunWhen.ONE_SUCCESS: met or not edges}.get(job.run_when, not failed)
    match act:
        case "skip first":
            return JobStatus.SKIPPED
        case "cancel first":
            return JobStatus.CANCELLED
        case "force-ok":
            return JobStatus.SUCCEEDED
        case _ if not runs:
            return JobStatus.UPSTREAM_FAILED
        case "cancel running":
            return JobStatus.CANCELLED
        case "rerun":
            return JobStatus.SUCCEEDED
        case _:
            return JobStatus.FAILED if code else JobStatus.SUCCEEDED


class Play:
    """A run, the operators that act on it, and a clock that goes on with every turn."""

    def __init__(self, case: Case) -> None:
        self.case, self.now = case, 0.0
        self.store, self.platform, self.workflow = MemoryStore(), MemoryPlatform(), MemoryWorkflow()
        self.chance = random.Random(case.seed)
        document = {"maxConcurrentJobs": case.limit} if case.limit else {}
        self.store.create_run(Run(KEY, RunStatus.RUNNING, Execution("arn", "name"), document=document))
        held = {True: JobStatus.HELD, False: JobStatus.WAITING}
        jobs = [JobRun(job, position, held[job.hold]) for position, job in enumerate(case.jobs)]
        self.store.put_jobs(KEY.run_id, jobs)
        for name, act in case.acts.items():
            if act.endswith("first"):
                self.act(Verb(act.partition(" ")[0]), name)

    def run(self) -> None:
        ref, then, turns, idle = RunRef(KEY, 1), Next.SUBMIT, 0, 0
        while True:
            turns += 1
            assert turns < 300, "the run does not end"
            self.now += 1.0
            acted = (then is Next.RECORD or self.chance.random() < 0.3) and self.somebody_acts()
            if then is Next.RECORD and not acted:
                return
            if then is Next.SUBMIT or acted:
                then = submit_jobs(
                    self.store, self.platform, MemoryObjects(), ref, lambda: self.now, lambda: 100.0
                ).next
            else:
                idle = 0 if self.jobs_end() or self.somebody_acts() else idle + 1
                assert idle < 3, "everything waits for everything"
                then = poll_jobs(self.store, self.platform, ref, self.now).next

    def jobs_end(self) -> bool:
        jobs = self.platform.jobs
        ready = [
            job_id
            for job_id, entry in jobs.items()
            if not entry.seen.status.ended
            and self.case.acts[entry.job.name] != "cancel running"
            and all(jobs[other].seen.status is JobStatus.SUCCEEDED for other in entry.depends_on)
        ]
        for job_id in self.chance.sample(ready, self.chance.randint(1, len(ready))) if ready else ():
            entry = jobs[job_id]
            ran = any(other.job.name == entry.job.name and other.seen.started_at for other in jobs.values())
            code = 0 if ran else self.case.exit_codes[entry.job.name]
            self.platform.end(job_id, JobStatus.FAILED if code else JobStatus.SUCCEEDED, exit_code=code)
        return bool(ready)

    def somebody_acts(self) -> bool:
        wanted = [(verb, job.name) for job in self.store.list_jobs(KEY.run_id) if (verb := self.wanted(job))]
        if wanted:
            self.act(*self.chance.choice(wanted))
        return bool(wanted)

    def wanted(self, job: JobRun) -> Verb | None:
        match self.case.acts[job.name]:
            case "hold" if job.status is JobStatus.HELD:
                return Verb.RELEASE
            case "cancel running" if job.status.live and not job.cancelling and self.begins(job):
                return Verb.CANCEL
            case "force-ok" if job.status in FAILED:
                return Verb.FORCE_OK
            case "rerun" if job.status is JobStatus.FAILED:
                return Verb.RERUN
            case _:
                return None

    def begins(self, job: JobRun) -> bool:
        """Whether it does not just wait with the platform for those before it."""
        upstream = self.store.get_jobs(KEY.run_id, job.job.depends_on)
        return job.job.run_when is not RunWhen.ALL_SUCCESS or all(other.status.satisfies for other in upstream)

    def act(self, verb: Verb, name: str) -> None:
        act_on_job(self.store, self.workflow, KEY, name, Mark(verb, "ann", self.now))


def check_run(case: Case) -> None:
    """Run the case over memory: it ends as the oracle says, whenever the operators act."""
    play = Play(case)
    play.run()
    expected = oracle(case)
    assert {job.name: job.status for job in play.store.list_jobs(KEY.run_id)} == expected
    submitted = Counter(entry.name for entry in play.platform.jobs.values())
    assert not [name for name, count in submitted.items() if count > 1], "a job was submitted twice in one attempt"
    assert all(entry.seen.status.ended for entry in play.platform.jobs.values()), "nothing is left running"
    fine = all(status in (JobStatus.SUCCEEDED, JobStatus.SKIPPED) for status in expected.values())
    assert record_result(play.store, RunRef(KEY, 1), play.now) is (RunStatus.SUCCEEDED if fine else RunStatus.FAILED)
