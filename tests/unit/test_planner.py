"""The planner's decisions, one by one, and against a slow and obvious oracle."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from universal_scheduler.domain.model import Dependency, Job, JobRun, JobStatus, RunStatus
from universal_scheduler.domain.planner import MAX_BATCH_DEPENDENCIES, End, Recover, Submit, Wait, plan

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
    assert waiting.reason.startswith("waits for u0 (RUNNING), u1 (RUNNING)")


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
            case Wait():
                ready = all(state[name].satisfies for name in upstream)
                assert by_name[action.name].status is not JobStatus.WAITING or not ready
    named = [action.name for action in planned.actions]
    assert sorted(named) == sorted(each.name for each in jobs if not each.status.ended)
    assert (planned.outcome is not None) == all(each.status.ended for each in jobs)
