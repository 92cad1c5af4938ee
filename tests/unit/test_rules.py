"""The rules, and a few whole runs over memory against a slow and obvious oracle."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.oracles.rules import Case, cases, check_run
from universal_scheduler.domain.runs.model import Dependency, Job, JobRun, JobStatus, RunWhen
from universal_scheduler.domain.runs.rules import Edge, Verdict, edge, judge

MET, FAILED, NOT_TAKEN, OPEN = Edge.MET, Edge.FAILED, Edge.NOT_TAKEN, Edge.OPEN
FULL = Dependency("a", output=(("kind", "full"),))


@pytest.mark.parametrize(
    ("rule", "edges", "verdict"),
    [
        (RunWhen.ALL_SUCCESS, [MET, OPEN], Verdict.NOT_YET),
        (RunWhen.ALL_SUCCESS, [FAILED, OPEN], Verdict.NEVER),
        (RunWhen.ALL_DONE, [FAILED, OPEN], Verdict.NOT_YET),
        (RunWhen.ALL_DONE, [FAILED, NOT_TAKEN], Verdict.READY),
        (RunWhen.ALL_FAILED, [MET, OPEN], Verdict.NEVER),
        (RunWhen.ONE_SUCCESS, [MET, OPEN], Verdict.READY),
        (RunWhen.ONE_FAILED, [FAILED, OPEN], Verdict.READY),
        (RunWhen.ONE_FAILED, [MET, MET], Verdict.NEVER),
        (RunWhen.NONE_FAILED, [MET, NOT_TAKEN], Verdict.READY),
        (RunWhen.ALWAYS, [OPEN], Verdict.READY),
    ],
)
def test_a_rule_answers_as_early_as_it_can(rule: RunWhen, edges: list[Edge], verdict: Verdict) -> None:
    assert judge(rule, edges).verdict is verdict


@pytest.mark.parametrize(
    ("dependency", "status", "exit_code", "state"),
    [
        (Dependency("a"), JobStatus.SUCCEEDED, 0, MET),
        (Dependency("a"), JobStatus.SKIPPED, None, MET),
        (Dependency("a"), JobStatus.NOTFOUND, None, FAILED),
        (Dependency("a", status=JobStatus.FAILED), JobStatus.FAILED, 1, MET),
        (Dependency("a", status=JobStatus.FAILED), JobStatus.SUCCEEDED, 0, NOT_TAKEN),
        (Dependency("a", exit_codes=(3, 4)), JobStatus.FAILED, 3, MET),
        (Dependency("a", exit_codes=(3, 4)), JobStatus.FAILED, 5, NOT_TAKEN),
        (Dependency("a", exit_codes=(3, 4)), JobStatus.RUNNING, None, OPEN),
        (FULL, JobStatus.FAILED, 1, NOT_TAKEN),
        (FULL, JobStatus.SKIPPED, None, NOT_TAKEN),
        (FULL, JobStatus.RUNNING, None, OPEN),
    ],
)
def test_a_dependency_is_a_success_or_a_branch(
    dependency: Dependency, status: JobStatus, exit_code: int | None, state: Edge
) -> None:
    assert edge(dependency, JobRun(Job("a", "q", "d"), status=status, exit_code=exit_code)) is state


def test_a_job_that_batch_ended_to_be_taken_back_has_not_failed() -> None:
    upstream = JobRun(Job("a", "q", "d"), status=JobStatus.FAILED, withdraw_asked=True)
    assert edge(Dependency("a", status=JobStatus.FAILED), upstream) is OPEN


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, OPEN),
        ({"output": {"kind": "full", "n": 5}}, MET),
        ({"output": {"kind": "full", "n": "5"}}, MET),
        ({"output": {"kind": "full", "n": 6}}, NOT_TAKEN),
        ({"output": {"kind": "full"}}, NOT_TAKEN),
        ({"output_problem": "it is no JSON"}, FAILED),
    ],
)
def test_a_branch_on_an_output_waits_until_it_has_been_read(more: dict[str, Any], state: Edge) -> None:
    upstream = JobRun(Job("a", "q", "d"), status=JobStatus.SUCCEEDED, **more)
    assert edge(Dependency("a", output=(("kind", "full"), ("n", "5"))), upstream) is state


@settings(max_examples=25, derandomize=True)
@given(cases())
def test_a_run_ends_as_the_oracle_says(case: Case) -> None:
    check_run(case)
