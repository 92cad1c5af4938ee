"""The planner's decisions, one by one, and against a slow and obvious oracle."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from universal_scheduler.domain.runs.model import Dependency, Job, JobRun, JobStatus, Mark, RunStatus, RunWhen, Verb
from universal_scheduler.domain.runs.planner import (
    MAX_BATCH_DEPENDENCIES,
    Cancel,
    End,
    Recover,
    Reopen,
    Submit,
    Wait,
    Withdraw,
    again,
    explain,
    plan,
)

NOW = 1_000_000.0


def job(name: str, *after: str, status: JobStatus = JobStatus.WAITING, intent_at: float = 0.0) -> JobRun:
    return JobRun(Job(name, "default", "shell", tuple(map(Dependency, after))), status=status, intent_at=intent_at)


def test_a_job_without_upstream_is_submitted() -> None:
    assert plan([job("a")], NOW).work == (Submit("a", "has no upstream job"),)


def test_a_whole_chain_is_handed_to_batch_at_once() -> None:
    actions = plan([job("c", "b"), job("a"), job("b", "a")], NOW).actions
    assert [(a.name, a.after) for a in actions if isinstance(a, Submit)] == [("a", ()), ("b", ("a",)), ("c", ("b",))]


def test_a_dependency_on_a_finished_job_is_not_handed_down() -> None:
    [action] = plan([job("a", status=JobStatus.SUCCEEDED), job("b", "a")], NOW).work
    assert action == Submit("b", "all upstream jobs succeeded")


def test_more_upstream_jobs_than_batch_takes_are_waited_for_here() -> None:
    many = [job(f"u{i}", status=JobStatus.RUNNING) for i in range(MAX_BATCH_DEPENDENCIES + 1)]
    planned = plan([*many, job("last", *(each.name for each in many))], NOW)
    assert planned.work == ()
    [waiting] = [action for action in planned.actions if action.name == "last"]
    assert isinstance(waiting, Wait)
    assert waiting.reason.startswith("waits for u0, RUNNING; u1, RUNNING")


def test_downstream_of_a_failure_ends_and_says_because_of_whom() -> None:
    planned = plan([job("a", status=JobStatus.FAILED), job("b", "a"), job("c", "b"), job("d")], NOW)
    ended = [action for action in planned.actions if isinstance(action, End)]
    assert [(action.name, action.status) for action in ended] == [
        ("b", JobStatus.UPSTREAM_FAILED),
        ("c", JobStatus.UPSTREAM_FAILED),
    ]
    assert ended[0].reason == "did not run: upstream a (FAILED)"
    assert planned.outcome is None, "d still has to run"


def test_a_skipped_job_counts_as_done() -> None:
    assert [a.name for a in plan([job("a", status=JobStatus.SKIPPED), job("b", "a")], NOW).work] == ["b"]


def test_an_old_intent_is_recovered_and_a_fresh_one_left_alone() -> None:
    assert isinstance(plan([job("a", status=JobStatus.SUBMITTING, intent_at=NOW - 60)], NOW).actions[0], Recover)
    assert isinstance(plan([job("a", status=JobStatus.SUBMITTING, intent_at=NOW - 1)], NOW).actions[0], Wait)


def test_a_run_ends_when_every_job_has() -> None:
    done = [job("a", status=JobStatus.SUCCEEDED), job("b", status=JobStatus.SKIPPED)]
    assert plan(done, NOW).outcome is RunStatus.SUCCEEDED
    assert plan([*done, job("c", status=JobStatus.RUNNING)], NOW).outcome is None
    assert plan([*done, job("c", status=JobStatus.NOTFOUND)], NOW).outcome is RunStatus.FAILED


ANN = Mark(Verb.CANCEL, "ann", NOW, "source is late")


def test_a_held_job_waits_and_says_since_when_for_whom_and_why() -> None:
    held = replace(job("a", status=JobStatus.HELD), mark=replace(ANN, verb=Verb.HOLD, at=NOW - 3600))
    [held_wait, behind] = plan([held, job("b", "a")], NOW).actions
    assert held_wait == Wait("a", "held since 12:46 UTC by ann: source is late")
    assert behind == Wait("b", "waits for a, held since 12:46 UTC by ann: source is late")
    [by_schedule] = plan([job("a", status=JobStatus.HELD)], NOW).actions
    assert by_schedule.reason == "held, as its schedule says"


def test_a_reason_names_the_day_where_it_is_another_one() -> None:
    running = replace(job("a", status=JobStatus.RUNNING), started_at=NOW - 86400)
    assert plan([running], NOW).actions == (Wait("a", "RUNNING since 1970-01-11 13:46 UTC"),)


def test_a_live_job_that_is_to_be_cancelled_is_and_nothing_is_handed_down_behind_it() -> None:
    asked = replace(job("a", status=JobStatus.RUNNING), mark=ANN)
    planned = plan([asked, job("b", "a")], NOW)
    assert planned.work == (Cancel("a", "cancelled by ann: source is late"),)


def test_a_job_in_doubt_is_recovered_before_it_is_cancelled() -> None:
    asked = replace(job("a", status=JobStatus.SUBMITTING, intent_at=NOW - 60), mark=ANN)
    assert isinstance(plan([asked], NOW).actions[0], Recover)
    [end] = plan([replace(asked, status=JobStatus.WAITING, intent_at=0.0)], NOW).work
    assert end == End("a", "cancelled by ann: source is late", JobStatus.CANCELLED)


def test_cancelling_the_run_ends_every_job_of_it() -> None:
    statuses = [JobStatus.WAITING, JobStatus.HELD, JobStatus.RUNNING, JobStatus.SUCCEEDED, JobStatus.UPSTREAM_FAILED]
    jobs = [job(str(status), status=status) for status in statuses]
    planned = plan(jobs, NOW, cancel=ANN)
    assert {action.name: type(action) for action in planned.work} == {"WAITING": End, "HELD": End, "RUNNING": Cancel}
    assert planned.outcome is None
    ended = [replace(each, status=JobStatus.CANCELLED) for each in jobs]
    assert plan(ended, NOW, cancel=ANN).outcome is RunStatus.CANCELLED


@pytest.mark.parametrize("upstream", [JobStatus.SUCCEEDED, JobStatus.SKIPPED, JobStatus.WAITING, JobStatus.RUNNING])
def test_jobs_that_ended_unreached_wait_again_when_an_upstream_job_was_acted_on(upstream: JobStatus) -> None:
    unreached = replace(job("b", "a", status=JobStatus.UPSTREAM_FAILED), job_id="id", intent_at=1.0)
    further = job("c", "b", status=JobStatus.UPSTREAM_FAILED)
    planned = plan([job("a", status=upstream), unreached, further], NOW)
    assert [action.name for action in planned.actions if isinstance(action, Reopen)] == ["b", "c"]
    assert planned.outcome is None


def test_a_branch_that_was_not_taken_waits_again_when_its_upstream_runs_again() -> None:
    branch = JobRun(Job("b", "q", "d", (Dependency("a", JobStatus.FAILED),)), status=JobStatus.SKIPPED, not_taken=True)
    assert isinstance(plan([job("a"), branch], NOW).actions[-1], Reopen)
    assert plan([job("a", status=JobStatus.SUCCEEDED), branch], NOW).outcome is RunStatus.SUCCEEDED
    skipped = replace(branch, not_taken=False)
    assert Reopen not in {type(action) for action in plan([job("a"), skipped], NOW).actions}, "somebody skipped it"


def test_a_job_waits_again_as_a_new_attempt_only_if_there_was_one_and_on_hold_if_that_was_the_last_word() -> None:
    never_submitted = job("b", status=JobStatus.UPSTREAM_FAILED)
    assert (again(never_submitted).attempt, again(never_submitted).status) == (1, JobStatus.WAITING)
    assert again(replace(never_submitted, job_id="id")).attempt == 2
    held = replace(never_submitted, mark=replace(ANN, verb=Verb.HOLD))
    assert again(held) == replace(held, status=JobStatus.HELD)
    by_schedule = replace(never_submitted, job=replace(never_submitted.job, hold=True))
    assert again(by_schedule).status is JobStatus.HELD
    assert again(replace(by_schedule, mark=replace(ANN, verb=Verb.RELEASE))).status is JobStatus.WAITING
    assert again(replace(never_submitted, mark=ANN)).mark is None


@pytest.mark.parametrize(
    "upstream",
    [
        replace(job("a"), attempt=2),
        replace(job("a", status=JobStatus.RUNNING), attempt=2),
        replace(job("a", status=JobStatus.SUCCEEDED), mark=replace(ANN, verb=Verb.FORCE_OK, at=50.0)),
    ],
)
def test_what_batch_failed_because_of_an_upstream_job_that_was_acted_on_since_did_not_fail_itself(
    upstream: JobRun,
) -> None:
    failed = replace(job("b", "a", status=JobStatus.FAILED), submitted_at=10.0, behind={"a": 1})
    explained = explain(failed, {"a": upstream})
    assert explained is not None
    assert explained.status is JobStatus.UPSTREAM_FAILED
    assert explain(replace(failed, started_at=11.0), {"a": upstream}) == replace(failed, started_at=11.0)


@st.composite
def graphs(draw: st.DrawFn) -> list[JobRun]:
    size = draw(st.integers(1, 30))
    jobs = []
    for index in range(size):
        upstream = draw(st.lists(st.integers(0, index - 1), unique=True, max_size=25)) if index else []
        status = draw(st.sampled_from(list(JobStatus)))
        jobs.append(job(f"j{index}", *(f"j{i}" for i in upstream), status=status))
    return draw(st.permutations(jobs))


@given(graphs())
def test_no_action_is_planned_before_its_rule_holds(jobs: list[JobRun]) -> None:
    """The oracle: walk the plan in order, keeping what each action makes true."""
    by_name = {each.name: each for each in jobs}
    state = {each.name: each.status for each in jobs}
    submitted = {each.name for each in jobs if each.status.live}
    planned = plan(jobs, NOW)
    for action in planned.actions:
        upstream = by_name[action.name].job.depends_on
        match action:
            case Recover():
                assert by_name[action.name].status is JobStatus.SUBMITTING
            case Submit():
                open_ends = [name for name in upstream if not state[name].ended]
                assert set(open_ends) <= submitted
                assert set(action.after) == set(open_ends)
                assert len(open_ends) <= MAX_BATCH_DEPENDENCIES
                assert all(state[name].satisfies for name in upstream if state[name].ended)
                submitted.add(action.name)
            case End():
                assert any(state[name].ended and not state[name].satisfies for name in upstream)
                state[action.name] = action.status
            case Reopen():
                assert by_name[action.name].status is JobStatus.UPSTREAM_FAILED
                assert all(state[name].satisfies or not state[name].ended for name in upstream)
                state[action.name] = JobStatus.WAITING
            case Cancel() | Withdraw():
                raise AssertionError("nobody asked for it")
            case Wait():
                ready = all(state[name].satisfies for name in upstream)
                assert by_name[action.name].status is not JobStatus.WAITING or not ready
    reopened = {action.name for action in planned.actions if isinstance(action, Reopen)}
    named = [action.name for action in planned.actions]
    assert sorted(named) == sorted(each.name for each in jobs if not each.status.ended or each.name in reopened)
    assert (planned.outcome is not None) == all(each.status.ended and each.name not in reopened for each in jobs)
    assert reopened == {
        each.name
        for each in jobs
        if each.status is JobStatus.UPSTREAM_FAILED
        and all(state[name].satisfies or not state[name].ended for name in each.job.depends_on)
    }


@pytest.mark.parametrize(("size", "moves"), [(0, True), (5, False)])
def test_an_array_that_failed_is_not_taken_for_one_that_never_left_its_queue(size: int, moves: bool) -> None:
    failed = job("a", status=JobStatus.FAILED)
    failed = replace(failed, job=replace(failed.job, array_size=size), move_to="low", submitted_at=NOW)
    assert bool(plan([failed], NOW).work) is moves


def test_a_ready_job_that_lacks_only_room_is_woken_by_the_next_end() -> None:
    busy = [job(name, status=JobStatus.RUNNING) for name in "xyz"]
    waiting = job("u", "x", "y", "z")
    done = job("d", status=JobStatus.SUCCEEDED)
    ready = job("c", "d", "u")
    ready = replace(ready, job=replace(ready.job, run_when=RunWhen.ONE_SUCCESS))
    planned = plan([*busy, waiting, done, ready], NOW, limit=3)
    assert (planned.work, planned.ends_needed) == ((), 1)
