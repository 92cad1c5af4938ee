"""References to parameters, to the run, and to what jobs put out: resolved, and checked in documents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.parameters import effective_parameters
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.errors import InvalidSchedule
from universal_scheduler.domain.runs.model import Execution, Job, Run, RunKey, RunStatus, Scalar
from universal_scheduler.domain.runs.references import Unresolved, Values, as_text, resolve

RUN = Run(
    RunKey("nightly", "2026-11-21T06:00:00.000001"),
    RunStatus.RUNNING,
    Execution("arn", "one"),
    document={"parameters": {"day": "monday", "limit": 5, "full": True}, "timezone": "Pacific/Auckland"},
)
VALUES = Values(
    RUN,
    outputs={"list": {"count": 3, "name": "x"}},
    problems={"odd": "it is no JSON"},
)


def job(name: str, *after: Any, **more: Any) -> dict[str, Any]:
    return {"jobName": name, "jobDefinition": "shell", "jobQueue": "default", "jobDependencies": list(after), **more}


def row(*jobs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"scheduleId": "nightly", "jobList": list(jobs), **more}


def resolved(text: str) -> str:
    return resolve(Job("a", "q", "d", parameters={"x": text}), VALUES).parameters["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{run.parameters.day}}", "monday"),
        ("a{{ run.parameters.limit }}b{{run.parameters.full}}", "a5btrue"),
        ("{{run.scheduleId}} {{run.startDateTime}}", "nightly 2026-11-21T06:00:00.000001"),
        ("{{run.date}}", "2026-11-21"),
        ("{{jobs.list.output.count}}/{{jobs.list.output.name}}", "3/x"),
        ("{{ other }} {{.}} {{range}} ${{ x }} {run.date}", "{{ other }} {{.}} {{range}} ${{ x }} {run.date}"),
    ],
)
def test_only_references_are_replaced(text: str, value: str) -> None:
    assert resolved(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{jobs.list.output.size}}", "has no 'size', only count, name"),
        ("{{jobs.odd.output.x}}", "job 'odd' has no output: it is no JSON"),
        ("{{jobs.gone.output.x}}", "job 'gone' has no output: it did not succeed"),
        ("{{run.parameters.gone}}", "has no value"),
    ],
)
def test_what_has_no_value_says_why(text: str, why: str) -> None:
    with pytest.raises(Unresolved, match=why):
        resolved(text)


TIMED = replace(RUN, cause={"scheduledTime": "2026-03-01T07:30:00+01:00", "businessDate": "2026-02-27"})


@pytest.mark.parametrize(
    ("run", "text", "value"),
    [
        (TIMED, "{{run.scheduledTime}}", "2026-03-01T06:30:00Z"),
        (TIMED, "{{run.scheduledTime-1d}} {{run.scheduledTime + 90m}}", "2026-02-28T06:30:00Z 2026-03-01T08:00:00Z"),
        (TIMED, "{{ run.scheduledTime-7h }}", "2026-02-28T23:30:00Z"),
        (TIMED, "{{run.businessDate}} {{run.businessDate-1d}}", "2026-02-27 2026-02-26"),
        (TIMED, "{{run.businessDate+3d}}", "2026-03-02"),
        (RUN, "{{run.scheduledTime}} {{run.businessDate}}", "2026-11-21T06:00:00Z 2026-11-21"),
        (
            replace(RUN, key=RunKey("nightly", "2026-11-21T12:00:00.000001")),
            "{{run.scheduledTime}} {{run.businessDate-1d}} {{run.date}}",
            "2026-11-21T12:00:00Z 2026-11-21 2026-11-21",
        ),
        (replace(RUN, document={"timezone": "Nowhere/Land"}), "{{run.businessDate}}", "2026-11-21"),
        (
            replace(RUN, key=RunKey("nightly", "some day"), ended_at="2018-09-24T17:03:50.123456"),
            "{{run.businessDate}} {{run.scheduledTime}}",
            "2018-09-25 2018-09-24T17:03:50Z",
        ),
    ],
)  # fmt: skip
def test_a_run_is_for_a_time_and_a_day(run: Run, text: str, value: str) -> None:
    assert resolve(Job("a", "q", "d", parameters={"x": text}), Values(run)).parameters["x"] == value


def test_business_days_are_those_that_the_run_has_noted() -> None:
    noted = replace(TIMED, cause={**TIMED.cause, "businessDays": {"-1": "2026-02-26", "+2": "2026-03-03"}})
    assert Values(noted).of("run.businessDate-1bd") == Values(noted).of("run.businessDate - 01bd") == "2026-02-26"
    assert Values(noted).of("run.businessDate+2bd") == "2026-03-03"
    with pytest.raises(ValueError, match="nobody knows this business day"):
        Values(noted).of("run.businessDate-2bd")


def test_a_day_that_there_is_not_has_no_value() -> None:
    early = replace(RUN, cause={"businessDate": "0003-01-01"})
    with pytest.raises(ValueError, match="is in no year from 1 to 9999"):
        Values(early).of("run.businessDate-9999d")
    with pytest.raises(ValueError, match="isoformat"):
        Values(replace(RUN, key=RunKey("nightly", "some day"))).of("run.businessDate")


def test_commands_environment_and_the_lists_address_are_resolved() -> None:
    given = Job(
        "a",
        "q",
        "d",
        for_each_s3="s3://b/{{run.date}}",
        container_overrides={
            "command": ["echo", "{{run.date}}"],
            "environment": [{"name": "DAY", "value": "{{run.parameters.day}}"}],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}],
        },
    )
    done = resolve(given, VALUES)
    assert done.container_overrides == {
        "command": ["echo", "2026-11-21"],
        "environment": [{"name": "DAY", "value": "monday"}],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}],
    }
    assert done.for_each_s3 == "s3://b/2026-11-21"


@pytest.mark.parametrize(
    ("value", "text"), [("x", "x"), (5, "5"), (5.0, "5"), (0.5, "0.5"), (True, "true"), (False, "false")]
)
def test_values_as_text(value: Scalar, text: str) -> None:
    assert as_text(value) == text


def test_a_document_names_the_jobs_whose_outputs_it_needs() -> None:
    jobs = parse(
        row(
            job("list", containerOverrides={}),
            job("count", "list"),
            job("a", "count", parameters={"n": "{{jobs.list.output.n}}"}),
            job("b", {"job": "list", "output": {"kind": "full", "n": 5}}),
        )
    ).jobs
    assert [each.outputs_of for each in jobs] == [(), (), ("list",), ("list",)]
    assert jobs[3].dependencies[0].output == (("kind", "full"), ("n", "5"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{{run.parameters.dya}}", "found '{{run.parameters.dya}}' (did you mean 'day'?), expected a parameter"),
        ("{{run.dat}}", "found '{{run.dat}}' (did you mean 'run.date'?), expected run.parameters.NAME"),
        ("{{jobs.list}}", "expected run.parameters.NAME, run.scheduleId"),
        ("{{run.businessDate-1h}}", "expected run.businessDate with an offset like -1d, -1bd"),
        ("{{run.businessDate-367bd}}", "expected an offset of at most 366 business days"),
        ("{{run.scheduledTime-1bd}}", "expected run.scheduledTime with an offset like -1d, -1h, -1m"),
        ("{{run.scheduledTime-1w}}", "expected run.scheduledTime with an offset like -1d, -1h, -1m"),
        ("{{run.businessDat-1d}}", "(did you mean 'run.businessDate'?), expected run.parameters.NAME"),
        ("{{run.businessDate-1}}", "(did you mean 'run.businessDate'?), expected run.parameters.NAME"),
        ("{{jobs.lst.output.x}}", "(did you mean 'list'?), expected the jobName"),
        ("{{jobs.side.output.x}}", "expected a job that 'b' runs after, directly or not"),
        ("{{jobs.b.output.x}}", "expected a job that 'b' runs after, directly or not"),
    ],
)
def test_references_are_checked_before_anything_runs(text: str, error: str) -> None:
    told = {"containerOverrides": {}}
    jobs = [
        job("list", **told),
        job("side", **told),
        job("a", "list"),
        job("b", "a", containerOverrides={"command": ["x", text]}),
    ]
    [found] = find_errors(row(*jobs, parameters={"day": "monday"}))
    assert str(found).startswith("$.jobList[3].containerOverrides.command[1]: ")
    assert error in str(found)


def test_references_are_found_wherever_they_may_stand() -> None:
    wrong = "{{run.x}}"
    overrides = {"command": ["x"], "environment": [{"name": "A", "value": wrong}]}
    jobs = [job("a", parameters={"p": wrong}, containerOverrides=overrides, forEach={"s3": wrong})]
    assert [error.path for error in find_errors(row(*jobs))] == [
        "$.jobList[0].parameters.p",
        "$.jobList[0].containerOverrides.environment[0].value",
        "$.jobList[0].forEach.s3",
    ]


def test_only_a_job_that_is_told_where_can_put_something_out() -> None:
    branch = job("b", {"job": "a", "output": {"n": 5}}, parameters={"n": "{{jobs.a.output.n}}"})
    errors = find_errors(row(job("a"), branch))
    assert [error.path for error in errors] == ["$.jobList[1].jobDependencies[0].output", "$.jobList[1].parameters.n"]
    assert errors[0].found == "the job 'a' without containerOverrides"


def test_a_run_has_what_it_was_given_and_the_defaults_for_the_rest() -> None:
    schedule = parse(row(job("a"), parameters={"day": "monday", "limit": 5}))
    assert effective_parameters(schedule.parameters, {"day": "friday"}) == {"day": "friday", "limit": 5}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"dya": "x"}, r"parameters.dya: found unknown parameter 'dya' \(did you mean 'day'\?\), expected only day"),
        ({"day": ["x"]}, r"parameters.day: found \[\"x\"\], expected text, a number"),
    ],
)
def test_what_a_run_cannot_be_given_is_named(given: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidSchedule, match=error):
        effective_parameters({"day": "monday"}, given)
