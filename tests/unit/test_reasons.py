"""What people are told of jobs that wait or did not run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from universal_scheduler.domain.runs.model import Dependency, Job, JobRun, JobStatus, RunWhen
from universal_scheduler.domain.runs.planner import Wait, never_runs, plan

NOW = 1_000_000.0
VERDICT = Dependency("quality", output=(("verdict", "good"),))


def job(name: str, *after: str | Dependency, status: JobStatus = JobStatus.WAITING, **more: Any) -> JobRun:
    dependencies = tuple(Dependency(each) if isinstance(each, str) else each for each in after)
    return JobRun(Job(name, "q", "d", dependencies), status=status, **more)


@pytest.mark.parametrize(
    ("dependency", "upstream", "reason"),
    [
        (VERDICT, {"output": {"verdict": "bad"}}, "quality put out verdict=bad; this branch wants good"),
        (VERDICT, {"output": {"rows": 3}}, "quality put out no verdict; this branch wants good"),
        (
            replace(VERDICT, output=(("verdict", "good"), ("rows", "3"), ("day", "1"))),
            {"output": {"verdict": "good", "rows": 4}},
            "quality put out verdict=good, rows=4, no day; this branch wants verdict=good, rows=3, day=1",
        ),
        (
            VERDICT,
            {"status": JobStatus.FAILED},
            "quality ended FAILED; this branch wants its output verdict=good",
        ),
        (
            Dependency("quality", exit_codes=(0, 2)),
            {"status": JobStatus.FAILED, "exit_code": 3},
            "quality ended with exit code 3; this branch wants 0 or 2",
        ),
        (
            Dependency("quality", exit_codes=(0,)),
            {"status": JobStatus.UPSTREAM_FAILED},
            "quality ended UPSTREAM_FAILED without an exit code; this branch wants 0",
        ),
        (Dependency("quality", status=JobStatus.FAILED), {}, "quality ended SUCCEEDED; this branch wants FAILED"),
        (Dependency("quality"), {"status": JobStatus.FAILED, "exit_code": 3}, "upstream quality (FAILED)"),
        (
            Dependency("quality"),
            {"status": JobStatus.SKIPPED, "not_taken": True},
            "upstream quality (SKIPPED, it did not run either)",
        ),
        (
            Dependency("quality"),
            {"status": JobStatus.CANCELLED, "reason": "cancelled by ann: too slow"},
            "upstream quality (CANCELLED by ann: too slow)",
        ),
        (
            Dependency("quality"),
            {"status": JobStatus.FAILED, "reason": "cancelled by ann: too slow"},
            "upstream quality (CANCELLED by ann: too slow)",
        ),
        (
            Dependency("quality"),
            {"status": JobStatus.FAILED, "reason": "Essential container in task exited"},
            "upstream quality (FAILED)",
        ),
    ],
)
def test_a_job_that_did_not_run_says_what_kept_it_from_it(
    dependency: Dependency, upstream: dict[str, Any], reason: str
) -> None:
    before = job("quality", status=upstream.pop("status", JobStatus.SUCCEEDED), **upstream)
    assert never_runs(job("publish", dependency), {"quality": before}) == f"did not run: {reason}"


def test_only_the_branches_that_were_not_taken_are_named_and_not_all_of_them() -> None:
    wants = [Dependency(f"j{n}", status=JobStatus.FAILED) for n in range(7)]
    before = {each.job: job(each.job, status=JobStatus.SUCCEEDED) for each in wants}
    met = {"j0": replace(before["j0"], status=JobStatus.FAILED)}
    text = never_runs(job("z", *wants), before | met)
    assert text.startswith("did not run: j1 ended SUCCEEDED; this branch wants FAILED. j2 ended")
    assert text.endswith("this branch wants FAILED; and 1 more")
    failed = [job(f"j{n}", status=JobStatus.FAILED) for n in range(7)]
    text = never_runs(job("z", *(each.name for each in failed)), {each.name: each for each in failed})
    assert text == "did not run: upstream j0 (FAILED), j1 (FAILED), j2 (FAILED), j3 (FAILED), j4 (FAILED), and 2 more"


def test_a_rule_that_is_not_the_usual_one_is_named() -> None:
    alarm = job("alarm", "a")
    alarm = replace(alarm, job=replace(alarm.job, run_when=RunWhen.ALL_FAILED))
    known = {"a": job("a", status=JobStatus.SUCCEEDED)}
    assert never_runs(alarm, known) == "did not run (all_failed): upstream a (SUCCEEDED)"


def test_a_job_that_waits_in_batch_says_after_which_jobs_batch_starts_it() -> None:
    a = job("extract", status=JobStatus.RUNNING, started_at=NOW - 60, submitted_at=NOW - 90)
    done = job("check", status=JobStatus.SUCCEEDED)
    behind = {"behind": {"extract": 1, "check": 1}, "submitted_at": NOW}
    b = job("load", "extract", "check", status=JobStatus.PENDING, **behind)
    waits = {each.name: each.reason for each in plan([a, done, b], NOW).actions if isinstance(each, Wait)}
    assert waits["load"] == "PENDING since 13:46 UTC: Batch starts it after extract (RUNNING since 13:45 UTC)"
    free = replace(b, status=JobStatus.RUNNABLE, behind={})
    [_, only] = plan([a, done, free], NOW).actions
    assert only.reason == "RUNNABLE since 13:46 UTC"
