"""Schedules tried in this process, with real processes as their jobs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from universal_scheduler.domain.errors import InvalidSchedule
from universal_scheduler.domain.runs.model import JobRun, JobStatus, Run, RunStatus
from universal_scheduler.local import trial as trials
from universal_scheduler.local.trial import Trial, try_schedule
from universal_scheduler.usecases.drive import Turn, poll_jobs


def job(name: str, *after: Any, command: str = "true", **more: Any) -> dict[str, Any]:
    overrides = {"command": ["sh", "-c", command]}
    return {
        "jobName": name,
        "jobQueue": "arn:aws:batch:us-east-1:1:job-queue/elsewhere",
        "jobDefinition": "elsewhere",
        "jobDependencies": list(after),
        "containerOverrides": overrides,
        **more,
    }


def tried(*jobs: dict[str, Any], **more: Any) -> Trial:
    return try_schedule({"scheduleId": "tried", "jobList": list(jobs), **more})


def statuses(trial: Trial) -> dict[str, str]:
    return {each.name: str(each.status) for each in trial.jobs}


def test_jobs_run_in_their_order_and_share_a_directory() -> None:
    trial = tried(
        job("write", command="echo 41 > $USCHED_DATA/x"),
        job("read", "write", command="echo $(( $(cat $USCHED_DATA/x) + 1 )) for $USCHED_JOB_NAME"),
    )
    assert trial.run.status is RunStatus.SUCCEEDED
    assert trial.printed == {"read": "42 for read"}


def test_a_branch_is_taken_by_exit_code() -> None:
    trial = tried(
        job("check", command="exit 3", optional=True),
        job("small", {"job": "check", "exitCode": 0}),
        job("large", {"job": "check", "exitCode": [3, 4]}),
        job("report", "small", "large", runWhen="none_failed"),
    )
    assert statuses(trial) == {"check": "FAILED", "small": "SKIPPED", "large": "SUCCEEDED", "report": "SUCCEEDED"}
    assert trial.run.status is RunStatus.SUCCEEDED


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what a process holds")
def test_a_job_that_holds_more_memory_than_the_document_gives_it_fails_for_that() -> None:
    hold = f"exec {sys.executable} -c 'import time; held = bytearray(200 << 20); time.sleep(1000)'"
    greedy = job("greedy", command=hold)
    greedy["containerOverrides"]["resourceRequirements"] = [{"type": "MEMORY", "value": "64"}]
    trial = tried(greedy)
    [failed] = trial.jobs
    assert failed.exit_code == 137
    assert failed.reason.endswith("OutOfMemoryError: Container killed due to memory usage")


def test_a_clean_up_runs_after_a_failure_and_the_run_says_what_failed() -> None:
    trial = tried(
        job("load", command="echo no space >&2; exit 7"),
        job("publish", "load"),
        job("clean-up", "load", runWhen="one_failed"),
    )
    assert statuses(trial) == {"load": "FAILED", "publish": "UPSTREAM_FAILED", "clean-up": "SUCCEEDED"}
    assert trial.run.reason.startswith("load FAILED with exit code 7")
    assert trial.printed["load"] == "no space"


def test_a_command_that_does_not_exist_fails_its_job_only() -> None:
    missing = job("a") | {"containerOverrides": {"command": ["/no/such/program"]}}
    assert statuses(tried(missing, job("b"))) == {"a": "FAILED", "b": "SUCCEEDED"}


def test_no_more_jobs_run_at_a_time_than_the_schedule_says(tmp_path: Path) -> None:
    only_one = f"mkdir {tmp_path}/lock && rmdir {tmp_path}/lock"
    trial = tried(*(job(f"j{i}", command=only_one) for i in range(8)), maxConcurrentJobs=1)
    assert {each.status for each in trial.jobs} == {JobStatus.SUCCEEDED}


def test_files_are_kept_where_a_directory_is_given(tmp_path: Path) -> None:
    document = {"scheduleId": "tried", "jobList": [job("a", command="echo kept > $USCHED_DATA/x")]}
    try_schedule(document, directory=tmp_path / "here")
    assert (tmp_path / "here" / "data" / "x").read_text() == "kept\n"


def watched(*jobs: dict[str, Any]) -> list[tuple[RunStatus, dict[str, str]]]:
    """What somebody who watches is told: the run's status, and the jobs that have changed with theirs."""
    told: list[tuple[RunStatus, dict[str, str]]] = []

    def on_change(run: Run, changed: Sequence[JobRun]) -> None:
        told.append((run.status, {each.name: str(each.status) for each in changed}))

    try_schedule({"scheduleId": "tried", "jobList": list(jobs)}, on_change=on_change)
    return told


def test_whoever_watches_is_told_of_all_jobs_then_of_what_changes_then_of_the_end() -> None:
    told = watched(job("a", command="sleep 0.3"), job("b", "a", command="exit 1"), job("c", "b"))
    assert told[0] == (RunStatus.RUNNING, {"a": "WAITING", "b": "WAITING", "c": "WAITING"})
    assert told[-1] == (RunStatus.FAILED, {})
    of_a = [changed["a"] for _, changed in told if "a" in changed]
    assert "RUNNING" in of_a, "between two looks of the run"
    known: dict[str, str] = {}
    for _, changed in told:
        known |= changed
    assert known == {"a": "SUCCEEDED", "b": "FAILED", "c": "UPSTREAM_FAILED"}
    assert "FAILED" not in [changed.get("c") for _, changed in told], "it did not fail itself"


def test_whoever_watches_is_told_of_changes_alone() -> None:
    told = watched(*(job(f"j{number}") for number in range(100)))
    assert sum(len(changed) for _, changed in told) <= 100 * 7, "a job has seven states at most"


def test_whoever_watches_makes_the_run_look_no_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []

    def counted(*words: Any) -> Turn:
        looks.append(words)
        return poll_jobs(*words)

    monkeypatch.setattr(trials, "poll_jobs", counted)
    watched(*(job(f"j{number}") for number in range(50)))
    assert len(looks) == 1, "when all have ended"


def test_whoever_watches_an_array_is_told_how_far_it_is() -> None:
    counts: list[Mapping[str, int]] = []
    wait = "test $AWS_BATCH_JOB_ARRAY_INDEX = 0 || sleep 0.5"
    document = {"scheduleId": "tried", "jobList": [job("load", command=wait, arrayProperties={"size": 2})]}
    try_schedule(document, on_change=lambda _, changed: counts.extend(each.child_counts for each in changed))
    assert {"SUCCEEDED": 1, "RUNNING": 1} in counts


def test_jobs_run_while_others_are_submitted() -> None:
    first, *_, last = tried(*(job(f"j{number}") for number in range(400))).jobs
    assert 0 < first.stopped_at < last.submitted_at


def test_a_document_that_is_not_valid_runs_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidSchedule):
        tried(job("a", "b", command=f"touch {tmp_path}/ran"))
    assert not list(tmp_path.iterdir())


def test_what_a_job_puts_out_is_what_others_are_given_and_branch_on() -> None:
    trial = tried(
        job("list", command="usched-output n=3 kind=part day={{run.parameters.day}}"),
        job("load", "list", command="echo {{jobs.list.output.n}} of {{jobs.list.output.day}}"),
        job("full", {"job": "list", "output": {"kind": "full"}}),
        job("part", {"job": "list", "output": {"kind": "part"}}),
        parameters={"day": "monday"},
    )
    assert statuses(trial) == {"list": "SUCCEEDED", "load": "SUCCEEDED", "full": "SKIPPED", "part": "SUCCEEDED"}
    assert trial.printed["load"] == "3 of monday"
    assert trial.jobs[0].output == {"n": "3", "kind": "part", "day": "monday"}


def test_a_run_is_given_parameters_for_the_schedules_defaults() -> None:
    document = {
        "scheduleId": "tried",
        "parameters": {"day": "today", "limit": 5},
        "jobList": [job("load", command="echo {{run.parameters.day}} {{run.parameters.limit}}")],
    }
    assert try_schedule(document, parameters={"day": "friday"}).printed == {"load": "friday 5"}
    with pytest.raises(InvalidSchedule, match="unknown parameter 'dya'"):
        try_schedule(document, parameters={"dya": "friday"})


def test_a_reference_to_what_was_not_put_out_fails_the_job_that_refers() -> None:
    trial = tried(job("list"), job("load", "list", command="echo {{jobs.list.output.n}}"))
    assert statuses(trial) == {"list": "SUCCEEDED", "load": "FAILED"}
    assert "job 'list' has no output" in trial.jobs[1].reason


def test_an_array_has_a_child_for_each_value() -> None:
    trial = tried(job("load", command="echo $USCHED_INDEX $USCHED_VALUE", forEach=["north", "a b", 7]))
    assert trial.printed["load"].splitlines() == ["0 north", "1 a b", "2 7"]
    assert trial.jobs[0].child_counts == {"SUCCEEDED": 3}


def test_an_array_has_its_index() -> None:
    trial = tried(job("load", command="echo $AWS_BATCH_JOB_ARRAY_INDEX", arrayProperties={"size": 3}))
    assert trial.printed["load"].splitlines() == ["0", "1", "2"]


def test_an_array_has_a_child_for_each_line_that_a_job_before_it_wrote() -> None:
    trial = tried(
        job("list", command="printf 'x\\ny z\\n' | usched-output --list files"),
        job("load", "list", command="echo $USCHED_VALUE", forEach={"s3": "{{jobs.list.output.files}}"}),
    )
    assert trial.printed["load"].splitlines() == ["x", "y z"]


def test_s3_is_a_directory(tmp_path: Path) -> None:
    many = f"i=0; while [ $i -lt 60 ]; do echo {'x' * 150}-$i; i=$((i+1)); done"
    check = f'[ "$USCHED_VALUE" = "{"x" * 150}-$USCHED_INDEX" ]'
    write = f"mkdir -p $USCHED_OBJECTS/lists && ({many}) > $USCHED_OBJECTS/lists/today"
    document = {
        "scheduleId": "tried",
        "jobList": [
            job("list", command=write),
            job("load", "list", command=check, forEach={"s3": "s3://lists/today"}),
        ],
    }
    trial = try_schedule(document, directory=tmp_path)
    assert statuses(trial) == {"list": "SUCCEEDED", "load": "SUCCEEDED"}, "too long for the environment: each reads it"
    assert trial.jobs[1].child_counts == {"SUCCEEDED": 60}


def test_a_command_that_is_not_there_ends_with_127_as_in_a_shell() -> None:
    missing = job("missing", optional=True) | {"containerOverrides": {"command": ["/nope"]}}
    trial = tried(
        missing, job("on127", {"job": "missing", "exitCode": 127}), job("on1", {"job": "missing", "exitCode": 1})
    )
    assert statuses(trial) == {"missing": "FAILED", "on127": "SUCCEEDED", "on1": "SKIPPED"}


def test_what_batch_would_refuse_fails_with_the_reason() -> None:
    echo = job("echo") | {"containerOverrides": {"command": ["echo", "{{run.parameters.x}}"]}}
    trial = tried(echo, job("other"), parameters={"x": ""})
    assert statuses(trial) == {"echo": "FAILED", "other": "SUCCEEDED"}
    assert "'{{run.parameters.x}}', which is empty" in trial.jobs[0].reason
