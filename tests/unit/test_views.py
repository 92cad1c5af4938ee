"""What is shown of runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from universal_scheduler.domain.runs.model import Execution, Run, RunKey, RunStatus
from universal_scheduler.usecases.views import run_summary, within_answer


def view(*statuses: str) -> dict[str, Any]:
    return {"status": "RUNNING", "counts": {"any": len(statuses)}, "jobs": [job(i, s) for i, s in enumerate(statuses)]}


def job(number: int, status: str) -> dict[str, Any]:
    return {"jobName": f"j{number}", "status": status, "reason": "x" * 1000}


def test_a_view_that_fits_stays_as_it_is() -> None:
    whole = view(*["SUCCEEDED"] * 100)
    assert within_answer(whole) is whole
    described = {"name": "n", "status": "RUNNING"}
    assert within_answer(described, limit_bytes=1) == described, "an execution without a run has no jobs"


def test_of_a_view_that_does_not_fit_the_jobs_that_matter_stay() -> None:
    whole = view(*["SUCCEEDED"] * 6000, "FAILED", *["RUNNING"] * 2)
    shown = within_answer(whole)
    assert [each["jobName"] for each in shown["jobs"]] == ["j6000", "j6001", "j6002"]
    assert (shown["jobsOmitted"], shown["counts"], shown["status"]) == (6000, {"any": 6003}, "RUNNING")
    assert len(whole["jobs"]) == 6003, "the view itself is not changed"


def test_no_more_than_a_thousand_jobs_stay() -> None:
    shown = within_answer(view(*["RUNNING"] * 6000))
    assert (len(shown["jobs"]), shown["jobs"][0]["jobName"], shown["jobsOmitted"]) == (1000, "j0", 5000)


def test_a_schedule_of_too_many_jobs_is_shown_without_them() -> None:
    large = {"scheduleId": "s", "schedule": {"scheduleId": "s", "jobList": [{"jobName": "x" * 1000}] * 6000}}
    assert within_answer(large) == {"scheduleId": "s", "schedule": {"scheduleId": "s"}, "jobsOmitted": 6000}
    small = {"scheduleId": "s", "schedule": {"scheduleId": "s", "jobList": [{"jobName": "x"}]}}
    assert within_answer(small) is small


def test_a_run_says_how_many_jobs_its_row_has_no_room_for() -> None:
    run = Run(RunKey("nightly", "2026-11-21T06:00:00.000001"), RunStatus.SUCCEEDED, Execution("arn:one", "one"))
    assert "jobListOmitted" not in run_summary(run)
    assert run_summary(replace(run, job_list_omitted=7))["jobListOmitted"] == 7
