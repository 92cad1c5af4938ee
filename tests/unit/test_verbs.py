"""What operators may do, to jobs in every state and to runs; and what a restart makes of a run's jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from universal_scheduler.domain.errors import IllegalVerb, InvalidSchedule, JobNotFound
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
    Verb,
)
from universal_scheduler.domain.runs.restart import Variant, read_variant, redefined, remaining
from universal_scheduler.domain.runs.verbs import ON_JOBS, cancelled, on_job

RUN = Run(RunKey("nightly", "2026-11-21T06:00:00.000001"), RunStatus.RUNNING, Execution("arn", "name"))
NOW = 1_000_000.0
NOT_STARTED = ("SUBMITTING", "SUBMITTED", "PENDING", "RUNNABLE")
LIVE = (*NOT_STARTED, "STARTING", "RUNNING")
LEGAL: dict[Verb, dict[str, str]] = {
    Verb.HOLD: {"WAITING": "HELD"} | {status: status for status in NOT_STARTED},
    Verb.RELEASE: {"HELD": "WAITING"},
    Verb.SKIP: dict.fromkeys(("WAITING", "HELD", "FAILED", "CANCELLED", "NOTFOUND", "UPSTREAM_FAILED"), "SKIPPED")
    | {status: status for status in NOT_STARTED},
    Verb.FORCE_OK: dict.fromkeys(("FAILED", "CANCELLED", "NOTFOUND", "UPSTREAM_FAILED"), "SUCCEEDED"),
    Verb.RERUN: dict.fromkeys(
        ("SUCCEEDED", "FAILED", "SKIPPED", "UPSTREAM_FAILED", "CANCELLED", "NOTFOUND"), "WAITING"
    ),
    Verb.CANCEL: {"WAITING": "CANCELLED", "HELD": "CANCELLED"} | {status: status for status in LIVE},
}
AFTER_THE_END = (Verb.SKIP, Verb.FORCE_OK, Verb.RERUN)
EVERY = [(verb, status) for verb in ON_JOBS for status in JobStatus]


def job(status: JobStatus | str = JobStatus.WAITING, **more: Any) -> JobRun:
    return JobRun(Job("load", "q", "d"), status=JobStatus(status), **more)


def mark(verb: Verb) -> Mark:
    return Mark(verb, "ann", NOW, "source is late")


@pytest.mark.parametrize(("verb", "status"), EVERY, ids=lambda value: str(value))
def test_a_verb_leads_from_one_state_to_another_or_is_refused_with_its_reason(verb: Verb, status: JobStatus) -> None:
    before = job(status)
    leads_to = LEGAL[verb].get(status)
    if leads_to is None:
        with pytest.raises(IllegalVerb, match=rf"Cannot {verb} the job 'load': it .*{status}"):
            on_job(RUN, before, mark(verb))
        return
    after = on_job(RUN, before, mark(verb))
    assert (str(after.status), after.mark) == (leads_to, mark(verb))
    assert not after.not_taken
    assert after.withdraw_asked is (verb in (Verb.HOLD, Verb.SKIP) and status in NOT_STARTED)


@pytest.mark.parametrize("verb", ON_JOBS)
def test_nothing_is_done_to_a_job_that_is_being_taken_back(verb: Verb) -> None:
    held = on_job(RUN, job("PENDING", job_id="id"), mark(Verb.HOLD))
    with pytest.raises(IllegalVerb, match="it is just being held by ann: source is late"):
        on_job(RUN, held, mark(verb))


@pytest.mark.parametrize(("counts", "taken"), [({"PENDING": 3}, True), ({"RUNNABLE": 2, "STARTING": 1}, False)])
def test_an_array_of_which_a_child_has_started_is_not_taken_back(counts: dict[str, int], taken: bool) -> None:
    array = replace(job("PENDING", child_counts=counts), job=Job("load", "q", "d", array_size=3))
    if taken:
        assert on_job(RUN, array, mark(Verb.HOLD)).withdraw_asked
        return
    with pytest.raises(IllegalVerb, match="it is PENDING: it has started"):
        on_job(RUN, array, mark(Verb.HOLD))


@pytest.mark.parametrize(("verb", "status"), EVERY, ids=lambda value: str(value))
def test_of_a_run_that_has_ended_jobs_are_kept_or_run_again_and_nothing_else(verb: Verb, status: JobStatus) -> None:
    ended = replace(RUN, status=RunStatus.FAILED)
    if verb in AFTER_THE_END and status in LEGAL[verb] and status not in NOT_STARTED:
        assert on_job(ended, job(status), mark(verb)) == on_job(RUN, job(status), mark(verb))
    else:
        with pytest.raises(IllegalVerb):
            on_job(ended, job(status), mark(verb))


@pytest.mark.parametrize(("verb", "status"), EVERY, ids=lambda value: str(value))
@pytest.mark.parametrize("run", [replace(RUN, cancel=mark(Verb.CANCEL)), replace(RUN, preparing=True)])
def test_nothing_is_done_to_a_run_that_is_being_cancelled_or_restarted(verb: Verb, status: JobStatus, run: Run) -> None:
    with pytest.raises(IllegalVerb, match=r"the end of the run was asked for by ann|its jobs are being written"):
        on_job(run, job(status), mark(verb))


@pytest.mark.parametrize("verb", ON_JOBS)
def test_nothing_is_done_to_a_job_whose_end_was_asked_for(verb: Verb) -> None:
    with pytest.raises(IllegalVerb, match="its end was asked for already by ann: source is late"):
        on_job(RUN, job("RUNNING", mark=mark(Verb.CANCEL)), mark(verb))


@pytest.mark.parametrize("verb", [Verb.RESTART, Verb.PAUSE, Verb.RESUME, Verb.BACKFILL])
def test_verbs_of_runs_and_schedules_are_none_of_jobs(verb: Verb) -> None:
    with pytest.raises(IllegalVerb, match="nothing to do to a job"):
        on_job(RUN, job(), mark(verb))


def test_what_an_operator_ended_says_by_whom_why_and_what_it_was() -> None:
    failed = job("FAILED", exit_code=3, reason="Essential container in task exited", job_id="id", stopped_at=7.0)
    forced = on_job(RUN, failed, mark(Verb.FORCE_OK))
    assert forced.reason == "forced by ann: source is late (it was FAILED: Essential container in task exited)"
    assert (forced.exit_code, forced.job_id, forced.stopped_at) == (0, "id", 7.0)
    assert on_job(RUN, job(), mark(Verb.SKIP)).reason == "skipped by ann: source is late"


def test_a_rerun_is_a_new_attempt_and_forgets_the_one_before() -> None:
    failed = job("FAILED", exit_code=3, reason="why", job_id="id", intent_at=1.0, started_at=2.0, attempt=4)
    rerun = on_job(RUN, failed, mark(Verb.RERUN))
    assert replace(rerun, earlier=()) == job(attempt=5, mark=mark(Verb.RERUN))
    assert [each.job_id for each in rerun.earlier] == ["id"], "its log can still be read"


def test_a_run_is_asked_once_for_its_end() -> None:
    asked = cancelled(RUN, mark(Verb.CANCEL))
    assert asked == replace(RUN, cancel=mark(Verb.CANCEL))
    for run in (asked, replace(RUN, status=RunStatus.FAILED), replace(RUN, preparing=True)):
        with pytest.raises(IllegalVerb, match="Cannot cancel the run"):
            cancelled(run, mark(Verb.CANCEL))


def jobs(**statuses: str) -> list[JobRun]:
    """A chain in the order given."""
    names = list(statuses)
    return [
        JobRun(Job(name, "q", "d", tuple(map(Dependency, names[max(0, at - 1) : at]))), at, JobStatus(statuses[name]))
        for at, name in enumerate(names)
    ]


def after(given: list[JobRun], **variant: Any) -> dict[str, str]:
    return {each.name: str(each.status) for each in remaining(given, Variant(**variant), mark(Verb.RESTART))}


FAILED_AT_C = jobs(a="SUCCEEDED", b="SUCCEEDED", c="FAILED", d="UPSTREAM_FAILED")


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ({}, "SUCCEEDED SUCCEEDED WAITING WAITING"),
        ({"start_from": ("b",)}, "SUCCEEDED WAITING WAITING WAITING"),
        ({"start_from": ("d",)}, "SUCCEEDED SUCCEEDED FAILED WAITING"),
        ({"only": ("a",)}, "WAITING SUCCEEDED FAILED UPSTREAM_FAILED"),
        ({"only": (), "force_ok": ("c",)}, "SUCCEEDED SUCCEEDED SUCCEEDED UPSTREAM_FAILED"),
        ({"only": (), "skip": ("c",)}, "SUCCEEDED SUCCEEDED SKIPPED UPSTREAM_FAILED"),
        ({"force_ok": ("c",)}, "SUCCEEDED SUCCEEDED SUCCEEDED WAITING"),
        ({"skip": ("c",)}, "SUCCEEDED SUCCEEDED SKIPPED WAITING"),
        ({"skip": ("a",)}, "SUCCEEDED SUCCEEDED WAITING WAITING"),
        ({"start_from": ("a",), "skip": ("b",)}, "WAITING SKIPPED WAITING WAITING"),
    ],
)
def test_which_jobs_run_again(variant: dict[str, Any], expected: str) -> None:
    assert list(after(FAILED_AT_C, **variant).values()) == expected.split()


def test_jobs_that_run_again_are_new_attempts() -> None:
    assert [each.attempt for each in remaining(FAILED_AT_C, Variant(), mark(Verb.RESTART))] == [1, 1, 2, 2]


def test_a_forced_and_a_skipped_job_are_kept_and_one_that_no_rule_reached_is_not() -> None:
    forced = on_job(replace(RUN, status=RunStatus.FAILED), job("FAILED"), mark(Verb.FORCE_OK))
    skipped = on_job(RUN, job(), mark(Verb.SKIP))
    unreached = job("SKIPPED", not_taken=True)
    kept = [remaining([each], Variant(), mark(Verb.RESTART))[0].status for each in (forced, skipped, unreached)]
    assert kept == [JobStatus.SUCCEEDED, JobStatus.SKIPPED, JobStatus.WAITING]


def test_what_still_runs_is_watched_again_and_cannot_be_named() -> None:
    running = jobs(a="RUNNING", b="WAITING")
    assert after(running) == {"a": "RUNNING", "b": "WAITING"}
    for variant in (Variant(start_from=("a",)), Variant(only=("a",)), Variant(skip=("a",))):
        with pytest.raises(IllegalVerb, match="'a': it is RUNNING"):
            remaining(running, variant, mark(Verb.RESTART))


def test_a_job_on_hold_stays_on_hold() -> None:
    held = job("HELD", mark=mark(Verb.HOLD))
    assert after([held]) == {"load": "HELD"}


def test_a_misspelt_job_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(JobNotFound, match=r"no job 'laod'\. Did you mean 'load'"):
        remaining([job()], Variant(skip=("laod",)), mark(Verb.RESTART))
    with pytest.raises(JobNotFound, match=r"Its jobs are load\."):
        remaining([job()], Variant(skip=("zzz",)), mark(Verb.RESTART))


def test_the_newest_definition_keeps_what_is_done_adds_and_drops() -> None:
    newest = [Job("new", "q", "d"), Job("a", "other", "d"), Job("c", "q", "d", hold=True)]
    changed = redefined(FAILED_AT_C, newest)
    assert [(each.name, str(each.status), each.position) for each in changed] == [
        ("new", "WAITING", 0),
        ("a", "SUCCEEDED", 1),
        ("c", "FAILED", 2),
    ]
    assert changed[1].job.queue == "other"
    assert after(changed) == {"new": "WAITING", "a": "SUCCEEDED", "c": "HELD"}


def test_a_job_that_still_runs_cannot_be_dropped() -> None:
    with pytest.raises(IllegalVerb, match="'load' is RUNNING, and the schedule does not have it any more"):
        redefined([job("RUNNING")], [Job("other", "q", "d")])


def test_a_variant_is_what_the_message_says_and_back() -> None:
    message = {"from": ["a"], "skip": ["b"], "definition": "newest", "parameters": {"day": "1"}}
    assert read_variant(message | {"scheduleId": "s"}).as_message() == message
    assert read_variant({"only": ["a"]}).verb is Verb.RERUN
    assert read_variant({}) == Variant()
    for verb, more in ((Verb.SKIP, {"skip": ["b"]}), (Verb.FORCE_OK, {"forceOk": ["b"]})):
        variant = read_variant({"only": [], **more})
        assert (variant.verb, variant.named, variant.as_message()) == (verb, ("b",), {"only": [], **more})


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({"from": "a"}, "$.from"),
        ({"skip": [1]}, "$.skip"),
        ({"definition": "old"}, "$.definition"),
        ({"parameters": []}, "$.parameters"),
        ({"from": ["a"], "only": ["b"]}, "$.only"),
        ({"only": []}, "$.only"),
        ({"forceOk": "a"}, "$.forceOk"),
    ],
)
def test_a_variant_that_cannot_be_says_where(message: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        read_variant(message)
    assert [error.path for error in refused.value.errors] == [path]
