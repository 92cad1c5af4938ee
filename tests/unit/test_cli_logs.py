"""`usched logs` and `show --job` over memory: attempts, children, following, and what failed jobs printed last."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.events import state_change
from tests.usched import STARTED, Stage, row, told, usched
from universal_scheduler.cli import app
from universal_scheduler.domain.events.job_events import read_event
from universal_scheduler.domain.runs.model import Attempt, JobStatus, RunKey

FIRST = Attempt(JobStatus.FAILED, 1.0, 2.0, 3, "Essential container in task exited", "/mine", "s/1")
SECOND = replace(FIRST, started_at=5.0, stopped_at=6.0, log_stream="s/2")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "AWS_SECONDS", 0.0)


@pytest.fixture
def ran(stage: Stage) -> RunKey:
    """A run that failed in its first job, at its second attempt."""
    stage.store.put_schedule(row())
    key = stage.drive(told("run", "load")["name"], failing="a")
    stage.platform.jobs["job-1"].attempts = (FIRST, SECOND)
    stage.printed |= {"s/1": ["one", "first"], "s/2": ["one", "two", "three"]}
    return key


@pytest.fixture
def array(stage: Stage) -> RunKey:
    """A run of an array of which children 1 and 3 failed."""
    jobs = row()["jobList"]
    jobs[0] |= {"arrayProperties": {"size": 5}, "containerOverrides": {"command": ["sh", "-c", "true"]}}
    stage.store.put_schedule(row(jobList=jobs))
    stage.printed |= {f"job-1:{n}/log": [f"begin {n}", f"end {n}"] for n in range(4)}
    return stage.drive(told("run", "load")["name"], failing_children={1: "Host died", 3: "OutOfMemory"})


def test_logs_prints_every_page_of_the_last_attempt_and_names_the_others(ran: RunKey) -> None:
    result = usched("logs", "load", "a")
    assert result.stdout == "one\ntwo\nthree\n"
    assert f"usched logs load a --start {ran.start} --attempt N" in result.stderr
    document = told("logs", "load", "a", "--start", ran.start)
    assert (document["logGroupName"], document["logStreamName"], document["attempt"]) == ("/mine", "s/2", 2)
    assert [event["message"] for event in document["events"]] == ["one", "two", "three"]


@pytest.mark.usefixtures("ran")
def test_any_attempt_can_be_read() -> None:
    assert usched("logs", "load", "a", "--attempt", "1").stdout == "one\nfirst\n"
    absent = usched("logs", "load", "a", "--attempt", "3")
    assert absent.exit_code == 2
    assert "Attempts that are known: 1, 2." in absent.stderr


def restarted(stage: Stage, key: RunKey) -> RunKey:
    name = told("restart", "load", key.start)["name"]
    return stage.drive(name, failing="a")


def test_the_attempts_before_a_restart_stay_readable(stage: Stage, ran: RunKey) -> None:
    [job] = [job for job in stage.store.list_jobs(ran.run_id) if job.name == "a"]
    stage.store.put_jobs(ran.run_id, [replace(job, attempts=2)])
    assert restarted(stage, ran) == ran
    [again] = [entry for entry in stage.platform.jobs.values() if entry.job.name == "a"][1:]
    again.attempts = (replace(FIRST, log_stream="s/3"),)
    stage.printed["s/3"] = ["after the restart"]
    assert usched("logs", "load", "a").stdout == "after the restart\n"
    assert usched("logs", "load", "a", "--attempt", "2").stdout == "one\ntwo\nthree\n"
    assert told("show", "load")["jobs"][0]["attempts"] == 3
    shown = told("show", "load", "--job", "a")
    assert [(each["attempt"], each["logStreamName"]) for each in shown["attemptDetails"]] == [
        (1, "s/1"),
        (2, "s/2"),
        (3, "s/3"),
    ]


def test_what_batch_has_forgotten_the_log_of_all_jobs_still_knows(stage: Stage, ran: RunKey) -> None:
    [job] = [job for job in stage.store.list_jobs(ran.run_id) if job.name == "a"]
    del stage.platform.jobs[job.job_id]
    ended = {"container": {"exitCode": 7, "logStreamName": "s/1"}, "statusReason": "exited"}
    stage.job_log.append([read_event(state_change(job.job_id, "FAILED", attempts=[ended], statusReason="exited"))])
    assert usched("logs", "load", "a").stdout == "one\nfirst\n"
    [attempt] = told("show", "load", "--job", "a")["attemptDetails"]
    assert (attempt["exitCode"], attempt["status"]) == (7, "FAILED")


@pytest.mark.usefixtures("ran")
def test_a_silent_attempt_prints_nothing_and_says_so(stage: Stage) -> None:
    stage.printed["s/2"] = []
    result = usched("logs", "load", "a")
    assert (result.stdout, result.exit_code) == ("", 0)
    assert "Attempt 2 of a has printed nothing (FAILED: Essential container in task exited)" in result.stderr


@pytest.mark.usefixtures("ran")
def test_what_never_started_or_is_not_there() -> None:
    unstarted = usched("logs", "load", "b")
    assert unstarted.exit_code == 2
    assert "UPSTREAM_FAILED" in unstarted.stderr
    for name, why in (("c", "Its jobs are a, b."), ("a:1", "is no array job")):
        absent = usched("logs", "load", name)
        assert absent.exit_code == 2
        assert why in absent.stderr


def test_an_array_lists_its_children(array: RunKey) -> None:
    result = usched("logs", "load", "a")
    lines = " ".join(result.stdout.split())
    for words in (
        "5 of 5 done, 2 failed",
        "a:1 FAILED 1 1 end 1",
        "a:0 SUCCEEDED 1 end 0",
        "a:4 SUCCEEDED 1 (nothing)",
    ):
        assert words in lines
    assert f"Read one with: usched logs load a:0 --start {array.start}" in result.stdout
    document = told("logs", "load", "a")
    assert [(child["index"], child["status"]) for child in document["children"]][:2] == [
        (0, "SUCCEEDED"),
        (1, "FAILED"),
    ]
    assert document["children"][1]["lastLine"] == "end 1"
    assert "lastLine" not in document["children"][4]


@pytest.mark.usefixtures("array")
def test_a_child_has_a_log_of_its_own() -> None:
    assert usched("logs", "load", "a:3").stdout == "begin 3\nend 3\n"
    document = told("logs", "load", "a:3")
    assert (document["jobName"], document["index"], document["attempt"]) == ("a", 3, 1)
    for name in ("a:5", "a:x", "a:"):
        absent = usched("logs", "load", name)
        assert absent.exit_code == 2
        assert "has no child" in absent.stderr
    assert [each["exitCode"] for each in told("show", "load", "--job", "a:3")["attemptDetails"]] == [1]


def test_failed_children_that_ran_again_keep_their_numbers(stage: Stage, array: RunKey) -> None:
    stage.drive(told("restart", "load", array.start)["name"], failing_children={0: "again"})
    stage.printed["job-3:0/log"] = ["child 1 once more"]
    assert usched("logs", "load", "a:1").stdout == "child 1 once more\n"
    assert usched("logs", "load", "a:1", "--attempt", "1").stdout == "begin 1\nend 1\n"
    assert usched("logs", "load", "a:0").stdout == "begin 0\nend 0\n", "it did not run again"
    listed = told("logs", "load", "a")
    assert (listed["attempt"], [child["index"] for child in listed["children"]]) == (2, [1, 3])
    assert [child["index"] for child in told("logs", "load", "a", "--attempt", "1")["children"]] == [0, 1, 2, 3, 4]
    assert "Attempts that are known: 1, 2." in usched("logs", "load", "a", "--attempt", "9").stderr


@pytest.mark.usefixtures("array")
def test_of_an_array_one_child_is_followed() -> None:
    refused = usched("logs", "load", "a", "-f")
    assert refused.exit_code == 2
    assert "a:0" in refused.stderr
    assert usched("logs", "load", "a:2", "-f").stdout == "begin 2\nend 2\n"


def test_following_goes_on_to_the_next_attempt_and_ends_with_the_job(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.store.put_schedule(row())
    key = stage.begin(told("run", "load")["name"])
    first = replace(FIRST, status=JobStatus.RUNNING, stopped_at=0.0, exit_code=None)

    def happens(attempts: tuple[Attempt, ...], printed: dict[str, list[str]], status: JobStatus) -> None:
        stage.platform.jobs["job-1"].attempts = attempts
        stage.printed |= printed
        [job] = [job for job in stage.store.list_jobs(key.run_id) if job.name == "a"]
        stage.store.put_jobs(key.run_id, [replace(job, status=status, attempts=len(attempts))])

    story: list[tuple[Any, ...]] = [
        ((first,), {"s/1": ["one"]}, JobStatus.RUNNING),
        ((first,), {"s/1": ["one", "two"]}, JobStatus.RUNNING),
        ((FIRST,), {"s/1": ["one", "two", "last"]}, JobStatus.RUNNING),
        ((FIRST, replace(first, log_stream="s/2")), {"s/2": ["again"]}, JobStatus.RUNNING),
        ((FIRST, SECOND), {"s/2": ["again", "done"]}, JobStatus.FAILED),
        ((FIRST, SECOND), {"s/2": ["again", "done", "late"]}, JobStatus.FAILED),
    ]
    events = iter(story)
    monkeypatch.setattr("time.sleep", lambda _: happens(*next(events)))
    result = usched("logs", "load", "a", "-f")
    assert result.stdout.split() == ["one", "two", "last", "again", "done", "late"]
    assert "it has not started yet" in result.stderr
    assert "Attempt 2 of a:" in result.stderr
    assert list(events) == []


@pytest.mark.usefixtures("ran")
def test_following_what_never_ran_ends_with_why() -> None:
    result = usched("logs", "load", "b", "-f")
    assert result.exit_code == 2
    assert "UPSTREAM_FAILED" in result.stderr


def test_a_failed_run_says_why_in_the_jobs_own_words_and_how_to_go_on(stage: Stage) -> None:
    stage.store.put_schedule(row())

    def goes(name: str) -> None:
        stage.drive(name, failing="a")
        stage.platform.jobs["job-1"].attempts = (SECOND,)

    stage.printed["s/2"] = [f"line {number}" for number in range(9)]
    stage.workflow.on_start = goes
    result = usched("run", "load", "--wait")
    [run] = told("runs")["runs"]
    start = run["startDateTime"]
    assert result.exit_code == 1
    assert "a printed last:\n  line 4\n  line 5\n  line 6\n  line 7\n  line 8\n" in result.stdout
    assert f"usched logs load a --start {start}" in result.stdout
    assert result.stdout.endswith(f"usched restart load {start}\n")
    assert "a printed last:\n  line 4" in usched("show", "load").stdout
    shown = told("show", "load")
    assert shown["jobs"][0]["lastLines"] == [f"line {number}" for number in range(4, 9)]
    assert "lastLines" not in shown["jobs"][1]
    assert STARTED[:10] in start


@pytest.mark.usefixtures("array")
def test_of_a_failed_array_the_first_failed_child_says_why() -> None:
    assert "a:1 printed last:\n  begin 1\n  end 1" in usched("show", "load").stdout


def test_only_some_of_many_failed_jobs_are_asked_for_their_logs(stage: Stage) -> None:
    jobs = [{"jobName": f"j{n}", "jobDefinition": "shell", "jobQueue": "default"} for n in range(9)]
    stage.store.put_schedule(row(jobList=jobs))
    key = stage.begin(told("run", "load")["name"])
    for number, (job_id, entry) in enumerate(stage.platform.jobs.items()):
        stage.platform.end(job_id, JobStatus.FAILED)
        entry.attempts = (replace(FIRST, log_stream=f"s{number}"),)
        stage.printed[f"s{number}"] = ["why"]
    ended = [replace(job, status=JobStatus.FAILED) for job in stage.store.list_jobs(key.run_id)]
    stage.store.put_jobs(key.run_id, ended)
    assert sum("lastLines" in job for job in told("show", "load")["jobs"]) == 5


def test_an_array_shows_how_far_it_is(stage: Stage) -> None:
    jobs = row()["jobList"]
    jobs[0] |= {"arrayProperties": {"size": 7}}
    stage.store.put_schedule(row(jobList=jobs))
    stage.begin(told("run", "load")["name"])
    entry = stage.platform.jobs["job-1"]
    counts = {"SUCCEEDED": 2, "FAILED": 1, "RUNNING": 3, "RUNNABLE": 1}
    entry.seen = replace(entry.seen, status=JobStatus.RUNNING, child_counts=counts, started_at=9.0, attempts=1)
    shown = told("show", "load")["jobs"][0]
    assert (shown["status"], shown["startedAt"]) == ("RUNNING", "1970-01-01T00:00:09.000000")
    lines = usched("show", "load").stdout.splitlines()
    [line] = [line for line in lines if line.startswith("a ")]
    assert line.count("3 of 7 done, 1 failed, 3 running") == 1
    [job] = [job for job in stage.store.list_jobs(told("show", "load")["runId"]) if job.name == "a"]
    assert job.status is JobStatus.SUBMITTED, "who only looks writes nothing"
