"""What-if: whole runs in simulated time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from universal_scheduler.cli import app
from universal_scheduler.domain.errors import InvalidSchedule
from universal_scheduler.domain.runs.model import JobStatus
from universal_scheduler.local.simulation import Simulated, simulate

LOAD = str(Path(__file__).parents[2] / "schedules" / "daily-edw-load.yaml")
NOW = 1_000_000.0


def job(name: str, *after: Any, **more: Any) -> dict[str, Any]:
    return {"jobName": name, "jobQueue": "q", "jobDefinition": "d", "jobDependencies": list(after), **more}


def played(*jobs: dict[str, Any], document: dict[str, Any] | None = None, **options: Any) -> Simulated:
    return simulate({"scheduleId": "s", "jobList": list(jobs), **(document or {})}, now=NOW, **options)


def spans(simulated: Simulated) -> dict[str, tuple[float, float]]:
    return {each.name: (each.started_at - NOW, each.stopped_at - NOW) for each in simulated.jobs if each.started_at}


def test_jobs_last_as_told_and_start_when_those_before_them_end() -> None:
    simulated = played(job("a"), job("b", "a"), job("c"), durations={"a": 10, "c": 25})
    assert spans(simulated) == {"a": (0, 10), "b": (10, 70), "c": (0, 25)}


def test_a_held_job_is_released_at_once() -> None:
    assert spans(played(job("a", hold=True))) == {"a": (0, 60)}
    with pytest.raises(InvalidSchedule):
        played(job("a", hold="yes"))


def test_a_limit_makes_jobs_queue() -> None:
    simulated = played(*(job(name) for name in "abc"), document={"maxConcurrentJobs": 1}, durations={"b": 5})
    assert spans(simulated) == {"a": (0, 60), "b": (60, 65), "c": (65, 125)}


def test_a_job_starts_not_before_its_time() -> None:
    simulated = played(job("a"), job("b", "a", notBefore="1970-01-12T14:46:40+00:00"))
    assert spans(simulated)["b"] == (3600, 3660)


def test_the_same_question_has_the_same_answer() -> None:
    jobs = [job("a"), job("b", "a"), job("c", "a", runWhen="one_failed")]
    assert played(*jobs, exit_codes={"a": 3}) == played(*jobs, exit_codes={"a": 3})


def test_a_job_that_is_not_there_cannot_fail() -> None:
    with pytest.raises(InvalidSchedule, match="no job 'x'"):
        played(job("a"), exit_codes={"x": 1})


def test_the_command_says_what_would_not_run_and_why() -> None:
    result = CliRunner().invoke(app.main, ["simulate", LOAD, "--fail", "ConvertParquet=3"])
    assert result.exit_code == 1
    assert "daily-edw-load would end FAILED" in result.output
    assert "did not run: upstream ConvertParquet (FAILED)" in result.output
    result = CliRunner().invoke(app.main, ["simulate", LOAD, "--duration", "FTP=5", "--json"])
    [run] = json.loads(result.output)["runs"]
    assert (result.exit_code, run["counts"]) == (0, {"SUCCEEDED": 5})


@pytest.mark.parametrize("options", [["--duration", "FTP=soon"], ["--fail", "Nobody"]])
def test_the_command_refuses_options_that_mean_nothing(options: list[str]) -> None:
    assert CliRunner().invoke(app.main, ["simulate", LOAD, *options]).exit_code == 2


def command(*words: str) -> dict[str, Any]:
    return {"containerOverrides": {"command": list(words)}}


def test_a_branch_is_taken_by_the_output_that_was_told() -> None:
    branch = {"job": "list", "output": {"kind": "full"}}
    jobs = [job("list", **command("list")), {**job("full"), "jobDependencies": [branch]}]
    for outputs, status in (({}, "SKIPPED"), ({"list": {"kind": "full"}}, "SUCCEEDED")):
        assert played(*jobs, outputs=outputs).jobs[1].status == status


def test_values_that_nobody_knows_are_taken_for_granted() -> None:
    simulated = played(
        job("list", **command("list")),
        job("load", "list", **command("load", "{{jobs.list.output.n}}"), forEach={"s3": "s3://b/list"}),
        job("array", arrayProperties={"size": 10_000}),
    )
    assert [str(each.status) for each in simulated.jobs] == ["SUCCEEDED"] * 3
    assert simulated.jobs[0].output == {"n": "simulated"}


def test_the_command_takes_outputs_and_parameters(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    branch = {"job": "a", "output": {"kind": "full"}}
    jobs = [job("a", **command("{{run.parameters.day}}")), {**job("b"), "jobDependencies": [branch]}]
    file.write_text(json.dumps({"scheduleId": "s", "jobList": jobs, "parameters": {"day": "today"}}))

    def told(*options: str) -> Any:
        result = CliRunner().invoke(app.main, ["simulate", str(file), "--json", *options])
        return json.loads(result.stdout)

    [run] = told("--output", "a.kind=full", "--param", "day=friday")["runs"]
    assert (run["parameters"], run["jobs"][1]["status"]) == ({"day": "friday"}, "SUCCEEDED")
    assert told()["runs"][0]["jobs"][1]["status"] == "SKIPPED"
    for options, complaint in (
        (("--output", "a=full"), "does not name an output of a job"),
        (("--param", "day"), "that is not NAME=VALUE"),
        (("--param", "dya=x"), "has no parameter 'dya' (did you mean 'day'?)"),
    ):
        assert complaint in json.dumps(told(*options)["error"])


@pytest.mark.parametrize("exit_codes", [{"j0": 1}, {}])
def test_a_chain_that_is_longer_than_python_recurses(exit_codes: dict[str, int]) -> None:
    jobs = [job(f"j{index}", *([f"j{index - 1}"] if index else [])) for index in range(1_100)]
    simulated = played(*jobs, exit_codes=exit_codes)
    last = simulated.jobs[-1]
    if exit_codes:
        assert (last.status, last.reason) == (
            JobStatus.UPSTREAM_FAILED,
            "did not run: upstream j1098 (UPSTREAM_FAILED)",
        )
    else:
        assert (last.status, last.stopped_at - NOW) == (JobStatus.SUCCEEDED, 66_000)


def test_what_batch_would_refuse_fails_as_in_a_run() -> None:
    echo = {"containerOverrides": {"command": ["echo", "{{run.parameters.x}}"]}}
    [found] = played(job("a", **echo), document={"parameters": {"x": ""}}).jobs
    assert found.status == "FAILED"
    assert "'{{run.parameters.x}}', which is empty" in found.reason


def test_an_array_that_fails_has_no_exit_code() -> None:
    [array, single] = played(
        job("arr", arrayProperties={"size": 3}), job("single"), exit_codes={"arr": 2, "single": 2}
    ).jobs
    assert (array.status, array.exit_code) == ("FAILED", None)
    assert (single.status, single.exit_code) == ("FAILED", 2)


def test_a_branch_on_an_arrays_exit_code_is_refused() -> None:
    with pytest.raises(InvalidSchedule, match="an exit code of 'arr', which is an array"):
        played(job("arr", arrayProperties={"size": 3}), job("b", {"job": "arr", "exitCode": 2}), exit_codes={"arr": 2})


DAY = job("a") | {"containerOverrides": {"command": ["load", "{{run.parameters.day}}"]}}


def test_a_run_is_given_parameters_for_the_schedules_defaults() -> None:
    day = {"day": "today", "limit": 5}
    assert played(DAY, parameters={"day": "friday"}, document={"parameters": day}).run.parameters == {
        "day": "friday",
        "limit": 5,
    }
    with pytest.raises(InvalidSchedule, match="unknown parameter 'dya'"):
        played(DAY, parameters={"dya": "friday"}, document={"parameters": day})
    with pytest.raises(InvalidSchedule, match=r"\$\.parameters"):
        played(DAY, parameters={"day": "friday"}, document={"parameters": 7})
