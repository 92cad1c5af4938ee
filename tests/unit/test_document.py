"""Every form of document that users have is read; everything wrong with one is named with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.documents.schema import SCHEMA_PATH
from universal_scheduler.domain.documents.storable import MAX_ERRORS
from universal_scheduler.domain.errors import InvalidSchedule


def job(name: str, *after: Any, **more: Any) -> dict[str, Any]:
    return {"jobName": name, "jobDefinition": "shell", "jobQueue": "default", "jobDependencies": list(after), **more}


def row(*jobs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"scheduleId": "nightly", "jobList": list(jobs) or [job("a")], **more}


def only_error(document: dict[str, Any]) -> str:
    [error] = find_errors(document)
    return str(error)


def test_a_plain_row_is_read() -> None:
    schedule = parse(row(job("a"), job("b", "a"), wait_time=5))
    assert [(each.name, each.depends_on) for each in schedule.jobs] == [("a", ()), ("b", ("a",))]
    assert schedule.wait_seconds == 5
    assert schedule.starts_when_inserted


@pytest.mark.parametrize(("written", "seconds"), [("60", 60), (" 7 ", 7), (90, 90)])
def test_wait_time_is_a_number_or_digits(written: object, seconds: int) -> None:
    assert parse(row(wait_time=written)).wait_seconds == seconds


@pytest.mark.parametrize("job_id", [" ", "abc", {"jobId": "abc"}])
def test_recorded_ids_are_accepted_in_every_shape(job_id: object) -> None:
    assert parse(row(job("a", jobId=job_id, jobStatus=" "))).jobs[0].recorded_id in ("", "abc")


def test_a_single_job_is_a_schedule_of_one() -> None:
    schedule = parse({"jobName": "my-job", "jobDefinition": "d", "jobQueue": "q", "wait_time": "30"})
    assert (schedule.schedule_id, len(schedule.jobs), schedule.wait_seconds) == ("my-job", 1, 30)


def test_the_output_of_a_run_is_a_document() -> None:
    wrapped = {"name": "Schedule Succeeded", "output": row(scheduleStatus="SUCCEEDED", lastDateTime="2018-09-24")}
    assert parse(wrapped).schedule_id == "nightly"


@pytest.mark.parametrize("trigger", [{"manual": True}, {"after": ["load"]}])
def test_a_row_with_a_trigger_waits_for_it(trigger: dict[str, Any]) -> None:
    assert not parse(row(trigger=trigger)).starts_when_inserted


def test_a_cycle_is_named() -> None:
    error = only_error(row(job("a", "c"), job("b", "a"), job("c", "b")))
    assert "$.jobList: found a cycle" in error
    assert error.count("→") == 3


def test_a_job_that_waits_for_itself_is_named() -> None:
    assert "$.jobList[0].jobDependencies[0]: found the job 'a' itself" in only_error(row(job("a", "a")))


def test_an_unknown_dependency_is_named_with_the_likely_one() -> None:
    assert "'clense' (did you mean 'cleanse'?)" in only_error(row(job("cleanse"), job("b", "clense")))


def test_a_name_used_twice_is_named() -> None:
    assert "$.jobList[1].jobName: found 'a' again" in only_error(row(job("a"), job("a")))


def test_a_misspelt_key_is_named_with_the_likely_one() -> None:
    error = only_error(row({"jobName": "a", "jobDefinition": "d", "jobQueue": "q", "jobDependancies": []}))
    assert "$.jobList[0]: found unknown key 'jobDependancies' (did you mean 'jobDependencies'?)" in error


def test_every_missing_key_is_named() -> None:
    assert (
        only_error(row({"jobName": "a"})) == "$.jobList[0]: the keys jobDefinition and jobQueue are missing (job 'a')"
    )


def test_a_wrong_type_is_named() -> None:
    assert only_error({"scheduleId": "x", "jobList": "a, b"}) == '$.jobList: found "a, b", expected type array'


@pytest.mark.parametrize("name", ["x" * 129])
def test_an_over_long_name_is_named(name: str) -> None:
    assert "found 129 characters" in only_error(row(job(name)))
    assert "$.scheduleId" in only_error(row() | {"scheduleId": name})


@pytest.mark.parametrize("name", ["has blank", "-dash", "a/b", ""])
def test_a_name_that_batch_refuses_is_refused(name: str) -> None:
    assert "$.jobList[0].jobName" in only_error(row(job(name)))


COMMAND = {"containerOverrides": {"command": ["load"]}}


def test_a_wrong_date_beside_a_list_is_named_alone() -> None:
    error = only_error(row(job("a", forEach=["x"], notBefore="tomorrow", **COMMAND)))
    assert error.startswith('$.jobList[0].notBefore: found "tomorrow"')


ODD = [
    None,
    True,
    0,
    -1,
    1e300,
    float("inf"),
    "",
    " ",
    "\n",
    "PT",
    "PT1H\n",
    "{{",
    "{{jobs.a.output.x}}",
    [],
    [None],
    {},
    {"s3": 1},
]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_whatever_a_document_says_its_errors_are_told_and_not_raised(value: object) -> None:
    schema = json.loads(SCHEMA_PATH.read_text())
    keys = schema["$defs"]["job"]["properties"]
    for key in keys:
        assert isinstance(find_errors(row(job("a") | COMMAND | {"forEach": ["x"], key: value})), list), key
        find_errors(row(job("a") | {key: value}, job("b", "a")))
    for key in schema["properties"]:
        find_errors(row(job("a")) | {key: value})


LONG = "x" * 100_000


@pytest.mark.parametrize(
    "change",
    [
        {LONG: 1},
        {"jobName": LONG},
        {"jobDependencies": [LONG]},
        {"jobDependencies": [{"job": LONG, "exitCode": 1}]},
        {"runWhen": LONG},
        {"notBefore": LONG},
        {"parameters": {LONG: 1}},
        {"parameters": {"x": "{{run." + LONG + "}}"}},
        {"containerOverrides": {"command": ["{{jobs." + LONG + ".output.x}}"]}},
        {"containerOverrides": {"environment": [{"name": "AWS_BATCH_" + LONG, "value": ""}]}},
        {"containerOverrides": {"resourceRequirements": [{"type": "VCPU", "value": LONG}]}},
        {"retryStrategy": {"attempts": 1, "evaluateOnExit": [{"action": "EXIT", "onReason": LONG}]}},
    ],
    ids=lambda change: next(iter(change))[:20],
)
def test_an_error_is_short_however_long_what_is_wrong_is(change: dict[str, Any]) -> None:
    errors = find_errors(row(job("a") | change))
    assert errors
    assert all(len(str(error)) < 1000 for error in errors)


def test_of_many_wrong_jobs_the_first_50_errors_are_told() -> None:
    jobs = [job(f"load-table-{n:05d}", f"load-tabel-{n:05d}") for n in range(60)]
    errors = find_errors(row(*jobs))
    assert len(errors) == MAX_ERRORS
    assert errors[0].found == "'load-tabel-00000' (did you mean 'load-table-00000'?)"
    assert len(find_errors(row(*[{"jobNam": "x"}] * 60))) == MAX_ERRORS
    assert str(find_errors(row(*[{}] * 10_001))[0]) == "$.jobList: found 10,001 entries, expected at most 10,000"


def test_a_long_cycle_is_told_by_some_of_its_jobs() -> None:
    error = only_error(row(*[job(f"j{n}", f"j{(n + 1) % 1000}") for n in range(1000)]))
    assert "991 more" in error
    assert len(error) < 300


def test_a_schedule_cannot_wait_for_itself() -> None:
    assert "$.trigger.after[0]" in only_error(row(trigger={"after": ["nightly"]}))


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(InvalidSchedule) as caught:
        parse({"scheduleId": 7, "jobList": [{"jobName": "a"}], "wait_time": 0})
    assert {error.path for error in caught.value.errors} == {"$.scheduleId", "$.jobList[0]", "$.wait_time"}


def test_a_dependency_may_say_how_the_upstream_job_must_have_ended() -> None:
    document = row(job("a"), job("b", {"job": "a", "status": "FAILED"}), job("c", {"job": "a", "exitCode": [3, 4]}))
    _, b, c = parse(document).jobs
    assert (b.dependencies[0].status, c.dependencies[0].exit_codes) == ("FAILED", (3, 4))
    assert b.depends_on == c.depends_on == ("a",)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"runWhen": "all_sucess"}, "$.jobList[1].runWhen"),
        ({"notBefore": "2026-11-21T06:00:00"}, "$.jobList[1].notBefore"),
        ({"jobDependencies": [{"job": "a", "state": "FAILED"}]}, "$.jobList[1].jobDependencies[0]"),
        ({"jobDependencies": ["a", {"job": "a", "exitCode": 1}]}, "$.jobList[1].jobDependencies[1]"),
        ({"priority": 10_000}, "$.jobList[1].priority"),
    ],
)
def test_a_wrong_control_of_a_job_is_named(change: dict[str, Any], path: str) -> None:
    assert only_error(row(job("a"), job("b") | change)).startswith(path)


def test_controls_of_a_job_are_read() -> None:
    controls = {"runWhen": "one_failed", "optional": True, "notBefore": "1970-01-01T01:00:00+00:00", "priority": 7}
    [_, b] = parse(row(job("a"), job("b", "a", **controls, shareIdentifier="ops"))).jobs
    assert (b.run_when, b.optional, b.not_before, b.priority) == ("one_failed", True, 3600.0, 7)
    assert b.share_identifier == "ops"
