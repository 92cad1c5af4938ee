"""Whole runs with rules, branches, outputs and a limit; the oracle knows no time, no order and no platform."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from hypothesis import strategies as st

from universal_scheduler.adapters.memory.objects import MemoryObjects
from universal_scheduler.adapters.memory.platform import MemoryPlatform
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.domain.runs.model import (
    Dependency,
    Execution,
    Job,
    JobRun,
    JobStatus,
    Run,
    RunKey,
    RunStatus,
    RunWhen,
)
from universal_scheduler.domain.runs.rules import Edge, edge
from universal_scheduler.usecases.drive import Next, RunRef, poll_jobs, record_result, submit_jobs

MET, FAILED = Edge.MET, Edge.FAILED
RUNS = {
    RunWhen.ALL_SUCCESS: lambda edges: all(each is MET for each in edges),
    RunWhen.ALL_DONE: lambda _: True,
    RunWhen.ALL_FAILED: lambda edges: all(each is FAILED for each in edges),
    RunWhen.ONE_SUCCESS: lambda edges: not edges or any(each is MET for each in edges),
    RunWhen.ONE_FAILED: lambda edges: not edges or any(each is FAILED for each in edges),
    RunWhen.NONE_FAILED: lambda edges: not any(each is FAILED for each in edges),
    RunWhen.ALWAYS: lambda _: True,
}
NEEDS_SUCCESS = (RunWhen.ALL_SUCCESS, RunWhen.ONE_SUCCESS, RunWhen.NONE_FAILED)


@dataclass(frozen=True)
class Case:
    jobs: list[Job]
    exit_codes: dict[str, int]
    """What each job does if it runs: 0 succeeds."""
    kinds: dict[str, str]
    """The `kind` that each job puts out when it succeeds; empty where it puts out nothing."""
    seed: int
    limit: int | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    jobs = []
    for index in range(draw(st.integers(1, 25))):
        upstream = draw(st.lists(st.integers(0, index - 1), unique=True, max_size=4)) if index else []
        branches = {"status": JobStatus.FAILED}, {"exit_codes": (0, 3)}, {"output": (("kind", "full"),)}
        conditions = st.sampled_from([{}, {}, {}, *branches])
        dependencies = tuple(Dependency(f"j{i}", **draw(conditions)) for i in upstream)
        rule = draw(st.sampled_from([RunWhen.ALL_SUCCESS, *RunWhen]))
        refers_to = draw(st.sampled_from([dependencies[0].job, ""])) if dependencies else ""
        wanted = {each.job for each in dependencies if each.output} | {refers_to} - {""}
        jobs.append(
            Job(
                f"j{index}",
                "q",
                "d",
                dependencies,
                run_when=rule,
                optional=draw(st.booleans()),
                parameters={"kind": f"{{{{jobs.{refers_to}.output.kind}}}}"} if refers_to else {},
                outputs_of=tuple(wanted),
                container_overrides={},
            )
        )
    codes = {job.name: draw(st.sampled_from([0, 0, 0, 1, 3])) for job in jobs}
    kinds = {job.name: draw(st.sampled_from(["full", "part", ""])) for job in jobs}
    limit = draw(st.sampled_from([None, None, 1, 3]))
    return Case(draw(st.permutations(jobs)), codes, kinds, draw(st.integers()), limit)


def oracle(case: Case) -> dict[str, JobStatus]:
    """Every job's end, each from the ends of those before it: no time, no order, no platform."""
    ended: dict[str, JobRun] = {}
    for job in sorted(case.jobs, key=lambda job: int(job.name[1:])):
        edges = [edge(each, ended[each.job]) for each in job.dependencies]
        code = case.exit_codes[job.name]
        referred = [name.split(".")[1] for name in job.parameters.values()]
        if job.recorded_status == "PASS":
            ended[job.name] = JobRun(job, status=JobStatus.SKIPPED)
        elif RUNS[job.run_when](edges) and any(ended[name].output is None for name in referred):
            ended[job.name] = JobRun(job, status=JobStatus.FAILED)
        elif RUNS[job.run_when](edges):
            status = JobStatus.FAILED if code else JobStatus.SUCCEEDED
            kind = case.kinds[job.name]
            found = {"output": {"kind": kind}} if kind and not code else {"output_problem": "it is not there"}
            ended[job.name] = JobRun(job, status=status, exit_code=code, **found)
        elif job.run_when in NEEDS_SUCCESS and FAILED in edges:
            ended[job.name] = JobRun(job, status=JobStatus.UPSTREAM_FAILED)
        else:
            ended[job.name] = JobRun(job, status=JobStatus.SKIPPED, not_taken=True)
    return {name: job.status for name, job in ended.items()}


def check_run(case: Case) -> None:
    """Run the case over memory: it ends as the oracle says, in whatever order its jobs end."""
    store, platform, objects, chance = MemoryStore(), MemoryPlatform(), MemoryObjects(), random.Random(case.seed)
    key = RunKey("s", "2026-11-21T06:00:00.000001")
    document = {"maxConcurrentJobs": case.limit} if case.limit else {}
    store.create_run(Run(key, RunStatus.RUNNING, Execution("arn", "name"), document=document))
    store.put_jobs(key.run_id, [JobRun(job, position) for position, job in enumerate(case.jobs)])
    ref, then, turns = RunRef(key, 1), Next.SUBMIT, 0
    while then is not Next.RECORD:
        turns += 1
        assert turns < 500, "the run does not end"
        if then is Next.SUBMIT:
            then = submit_jobs(store, platform, objects, ref, lambda: 0.0, lambda: 100.0).next
            live = [job for job in store.list_jobs(key.run_id) if job.status.live]
            assert case.limit is None or len(live) <= case.limit
            continue
        ready = [
            job_id
            for job_id, entry in platform.jobs.items()
            if not entry.seen.status.ended
            and all(platform.jobs[other].seen.status is JobStatus.SUCCEEDED for other in entry.depends_on)
        ]
        assert ready, "everything waits for everything"
        for job_id in chance.sample(ready, chance.randint(1, len(ready))):
            entry = platform.jobs[job_id]
            code = case.exit_codes[entry.job.name]
            if kind := case.kinds[entry.job.name]:
                objects.objects[entry.environment["USCHED_OUTPUT"]] = json.dumps({"kind": kind}).encode()
            platform.end(job_id, JobStatus.FAILED if code else JobStatus.SUCCEEDED, exit_code=code)
        then = poll_jobs(store, platform, ref, 0.0).next
    expected = oracle(case)
    assert {job.name: job.status for job in store.list_jobs(key.run_id)} == expected
    submitted = [entry.job.name for entry in platform.jobs.values()]
    assert len(submitted) == len(set(submitted)), "a job was submitted twice"
    required = {job.name for job in case.jobs if not job.optional}
    fine = all(expected[name] in (JobStatus.SUCCEEDED, JobStatus.SKIPPED) for name in required)
    assert record_result(store, ref, 0.0) is (RunStatus.SUCCEEDED if fine else RunStatus.FAILED)
