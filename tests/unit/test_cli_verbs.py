"""What operators do by `usched`, over memory: effects, audit lines, and refusals that change nothing."""

from __future__ import annotations

import json
import time

import pytest

from tests.usched import Stage, execution, row, told, usched
from universal_scheduler.domain.runs.model import AuditEntry, JobStatus, Mark, Observation, RunKey, RunStatus, Verb
from universal_scheduler.usecases.drive import RunRef, submit_jobs


@pytest.fixture
def ran(stage: Stage) -> RunKey:
    """A schedule with one run that failed in its first job."""
    stage.store.put_schedule(row())
    return stage.drive(told("run", "load")["name"], failing="a")


@pytest.fixture
def going(stage: Stage) -> RunKey:
    """A run whose first job is held and whose second waits for it."""
    document = row()
    document["jobList"][0]["hold"] = True
    stage.store.put_schedule(document)
    return stage.begin(told("run", "load")["name"])


def statuses(stage: Stage, key: RunKey) -> dict[str, str]:
    return {job.name: str(job.status) for job in stage.store.list_jobs(key.run_id)}


def submit(stage: Stage, key: RunKey) -> None:
    run = stage.store.get_run(key)
    assert run is not None
    submit_jobs(stage.store, stage.platform, stage.objects, RunRef(key, run.generation), lambda: 2.0, lambda: 99.0)


def test_each_verb_has_its_effect_and_its_line_in_the_trail(stage: Stage, going: RunKey) -> None:
    assert "HELD → WAITING" in usched("release", "load", "a", "--reason", "it is there").stdout
    usched("hold", "load", "a", "--reason", "source is late")
    usched("skip", "load", "a")
    usched("cancel", "load", "b", "--start", going.start)
    usched("force-ok", "load", "b")
    usched("rerun", "load", "b")
    assert statuses(stage, going) == {"a": "SKIPPED", "b": "WAITING"}
    trail = told("audit", "load")["audit"]
    assert [(entry["verb"], entry["job"], entry["before"], entry["after"]) for entry in trail] == [
        ("release", "a", "HELD", "WAITING"),
        ("hold", "a", "WAITING", "HELD"),
        ("skip", "a", "HELD", "SKIPPED"),
        ("cancel", "b", "WAITING", "CANCELLED"),
        ("force-ok", "b", "CANCELLED", "SUCCEEDED"),
        ("rerun", "b", "SUCCEEDED", "WAITING"),
    ]
    assert (trail[1]["by"], trail[1]["reason"]) == (stage.caller(), "source is late")
    assert told("audit", "load", going.start)["audit"] == trail
    assert "source is late" in usched("show", "load").stdout
    assert told("show", "load")["audit"][1]["verb"] == "hold"


@pytest.mark.usefixtures("going")
def test_a_verb_wakes_the_run_that_waits(stage: Stage) -> None:
    [run] = stage.store.list_runs("load", 1)
    seen = stage.store.changes(run.key.run_id)
    assert stage.store.park(run.key.run_id, 1, "token", seen, 1)
    usched("release", "load", "a")
    assert stage.workflow.woken == ["token"]


def test_an_illegal_verb_says_why_and_what_to_do_and_changes_nothing(stage: Stage, going: RunKey) -> None:
    usched("release", "load", "a")
    submit(stage, going)
    [a] = stage.store.get_jobs(going.run_id, ["a"])
    stage.store.observe_jobs(going.run_id, [(a, Observation(a.job_id, JobStatus.RUNNING))])
    before = stage.store.list_jobs(going.run_id)
    refused = usched("release", "load", "a", "--json")
    assert refused.exit_code == 2
    assert "Cannot release the job 'a': it is not held" in json.loads(refused.stdout)["error"]["message"]
    assert "usched cancel" in usched("skip", "load", "a").stderr
    assert "it has not ended" in usched("rerun", "load", "a").stderr
    assert "still RUNNING" in usched("restart", "load").stderr
    assert stage.store.list_jobs(going.run_id) == before
    assert len(stage.store.audit(going.run_id)) == 1, "the release"


def test_of_a_misspelt_job_nothing_is_done(stage: Stage, going: RunKey) -> None:
    result = usched("release", "load", "a", "bb")
    assert result.exit_code == 2
    assert "no job 'bb'. Did you mean 'b'?" in result.stderr
    assert statuses(stage, going)["a"] == "HELD"


@pytest.mark.usefixtures("going")
def test_several_jobs_are_told_each_for_itself() -> None:
    result = usched("hold", "load", "a", "b", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert [entry["job"] for entry in document["done"]] == ["b"]
    assert [entry["job"] for entry in document["refused"]] == ["a"]
    assert "it is HELD already by its schedule" in document["refused"][0]["message"]
    none = usched("hold", "load", "a", "b")
    assert none.exit_code == 2
    assert none.stderr.count("Cannot hold") == 2


def test_who_it_is_can_be_said(monkeypatch: pytest.MonkeyPatch, going: RunKey, stage: Stage) -> None:
    monkeypatch.setenv("USCHED_USER", "bob")
    usched("release", "load", "a")
    assert [entry.mark.by for entry in stage.store.audit(going.run_id)] == ["bob"]


def test_a_run_is_cancelled_by_its_own_execution(stage: Stage, going: RunKey) -> None:
    usched("release", "load", "a")
    submit(stage, going)
    assert "its jobs are being ended" in usched("cancel", "load", "--reason", "wrong day").stdout
    assert "asked for" in told("show", "load")["waitingFor"]
    assert "its end was asked for by" in usched("show", "load").stdout
    submit(stage, going)
    assert set(statuses(stage, going).values()) == {"CANCELLED"}
    assert all(job.seen.status is JobStatus.FAILED for job in stage.platform.jobs.values())
    refused = usched("cancel", "load")
    assert refused.exit_code == 2
    assert "the end of the run was asked for" in refused.stderr


def test_a_run_whose_execution_died_is_cancelled_all_the_same(stage: Stage, going: RunKey) -> None:
    [name] = stage.workflow.started
    usched("release", "load", "a")
    submit(stage, going)
    stage.workflow.ended.add(name)
    document = told("cancel", "load", "--reason", "it died")
    assert document["ended"]
    run = stage.store.get_run(going)
    assert run is not None
    assert run.status is RunStatus.CANCELLED
    assert run.reason.endswith("it died")
    assert set(statuses(stage, going).values()) == {"CANCELLED"}


def test_a_rerun_of_a_run_that_has_ended_is_a_restart_of_that_job_alone(stage: Stage, ran: RunKey) -> None:
    name = told("rerun", "load", "a", "--reason", "mended")["name"]
    message = stage.workflow.started[name]
    assert (message["only"], message["cause"]["reason"]) == (["a"], "mended")
    stage.begin(name)
    assert statuses(stage, ran) == {"a": "SUBMITTED", "b": "WAITING"}, "b could not run, and now it can"
    submit(stage, ran)
    assert statuses(stage, ran) == {"a": "SUBMITTED", "b": "SUBMITTED"}
    assert [entry.mark.verb for entry in stage.store.audit(ran.run_id)] == ["rerun"]


def test_a_job_whose_rule_keeps_it_from_running_is_not_rerun(stage: Stage, ran: RunKey) -> None:
    refused = usched("rerun", "load", "b")
    assert refused.exit_code == 2
    assert "its rule would not let it run, it did not run: upstream a (FAILED)" in refused.stderr
    assert len(stage.workflow.started) == 1
    assert statuses(stage, ran)["b"] == "UPSTREAM_FAILED"


@pytest.mark.parametrize(
    ("verb", "status", "word"), [("force-ok", "SUCCEEDED", "forced"), ("skip", "SKIPPED", "skipped")]
)
def test_a_run_that_has_ended_is_taken_up_again_when_its_failed_job_is_forced_or_skipped(
    stage: Stage, ran: RunKey, verb: str, status: str, word: str
) -> None:
    stage.drive(told(verb, "load", "a", "--reason", "loaded by hand")["name"])
    assert statuses(stage, ran) == {"a": status, "b": "SUCCEEDED"}
    assert f"{word} by" in usched("show", "load").stdout
    run = stage.store.get_run(ran)
    assert run is not None
    assert (run.status, run.generation, run.cause["reason"]) == (RunStatus.SUCCEEDED, 2, "loaded by hand")
    [entry] = stage.store.audit(ran.run_id)
    assert (str(entry.mark.verb), entry.job, entry.before, entry.after) == (verb, "a", "FAILED", "RUNNING")
    assert "a" not in [each.job.name for each in stage.platform.jobs.values()][2:], "it is not run again"


def test_what_cannot_be_forced_or_skipped_does_not_take_the_run_up_again(stage: Stage, ran: RunKey) -> None:
    stage.drive(told("force-ok", "load", "a")["name"])
    for verb, why in (("force-ok", "it has not failed, it has ended SUCCEEDED"), ("skip", "it has ended SUCCEEDED")):
        refused = usched(verb, "load", "b")
        assert (refused.exit_code, why in refused.stderr) == (2, True)
    assert len(stage.store.audit(ran.run_id)) == 1


def test_a_restart_from_a_job_runs_all_that_is_downstream_of_it(stage: Stage, ran: RunKey) -> None:
    stage.drive(told("restart", "load")["name"])
    name = told("restart", "load", ran.start, "--from", "a", "--skip", "b")["name"]
    stage.begin(name)
    assert statuses(stage, ran) == {"a": "SUBMITTED", "b": "SKIPPED"}
    assert {"from": ["a"], "skip": ["b"]} in [entry.given for entry in stage.store.audit(ran.run_id)]


def test_a_restart_with_the_newest_definition_and_other_parameters(stage: Stage, ran: RunKey) -> None:
    newest = row(parameters={"day": "monday"})
    newest["jobList"] = [*newest["jobList"][:1], {"jobName": "c", "jobDefinition": "shell", "jobQueue": "low"}]
    stage.store.put_schedule(newest)
    name = told("restart", "load", "--newest", "--param", "day=tuesday")["name"]
    stage.begin(name)
    assert statuses(stage, ran) == {"a": "SUBMITTED", "c": "SUBMITTED"}
    run = stage.store.get_run(ran)
    assert run is not None
    assert run.document["parameters"] == {"day": "tuesday"}
    assert usched("restart", "load", "--param", "day").exit_code == 2


def test_two_who_restart_a_run_at_once_start_one_execution(stage: Stage, ran: RunKey) -> None:
    first = told("restart", "load")["name"]
    second = usched("restart", "load")
    assert second.exit_code == 2
    assert f"somebody was faster, it is being restarted as {first}" in second.stderr
    assert len(stage.workflow.started) == 2
    stage.workflow.ended.add(first)
    third = told("restart", "load")["name"]
    assert third != first, "the first was refused, and left the run as it was"
    stage.begin(third)
    run = stage.store.get_run(ran)
    assert run is not None
    assert run.execution == execution(third)


def test_a_restart_waits_where_asked_to(stage: Stage, ran: RunKey) -> None:
    stage.workflow.on_start = lambda name: stage.drive(name) and None
    assert "load b SUCCEEDED" in usched("restart", "load", "--wait").stdout
    assert statuses(stage, ran) == {"a": "SUCCEEDED", "b": "SUCCEEDED"}


def test_a_paused_schedule_says_so_and_people_can_still_start_it(stage: Stage) -> None:
    stage.store.put_schedule(row())
    assert "no trigger starts it" in usched("pause", "load", "--reason", "migration").stdout
    assert usched("pause", "load").exit_code == 2
    assert "paused since" in usched("show", "load").stdout
    assert told("show", "load")["paused"]["reason"] == "migration"
    started = told("run", "load")
    assert started["paused"]["reason"] == "migration"
    assert "Triggers do not start it; this command does." in usched("run", "load").stdout
    stage.begin(started["name"])
    assert "though the schedule was paused by" in usched("show", "load").stdout
    assert "paused" in told("show", "load")
    assert usched("resume", "load").exit_code == 0
    assert "it is not paused" in usched("resume", "load").stderr
    assert [entry["verb"] for entry in told("audit", "load")["audit"]] == ["pause", "resume"]
    assert "migration" in usched("audit", "load").stdout


@pytest.mark.usefixtures("stage")
def test_of_what_is_not_there_nothing_is_done(stage: Stage) -> None:
    for command in (
        ("pause", "nope"),
        ("resume", "nope"),
        ("audit", "nope"),
        ("hold", "nope", "a"),
        ("cancel", "nope"),
    ):
        assert usched(*command).exit_code == 2
    stage.store.put_schedule(row())
    assert "No operator has done anything to load yet" in usched("audit", "load").stdout


def test_a_schedule_that_is_resumed_catches_up_and_the_audit_trail_has_what_was_left_out(stage: Stage) -> None:
    stage.store.put_schedule({**row(), "trigger": {"rate": "rate(1 hour)"}, "catchUp": "last"})
    since = time.time() - 3 * 3600
    stage.store.pause("load", AuditEntry(Mark(Verb.PAUSE, "ann", since)))
    assert "It has started 1 run that was due before" in usched("resume", "load").stdout
    [message] = stage.workflow.started.values()
    assert message["cause"]["kind"] == "time"
    [left_out] = [line for line in told("audit", "load")["audit"] if line["verb"] == "left out"]
    assert left_out["by"] == "the scheduler"
    assert left_out["given"]["at"] < left_out["given"]["until"] < message["cause"]["scheduledTime"]
    assert "catchUp is last" in left_out["reason"]
