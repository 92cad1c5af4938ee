"""A JIL file becomes schedules, and what a schedule cannot say is reported with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.importers import CASES, imported, jobs, reports, schedules, tried

JIL = (CASES / "edw.jil").read_text()


def test_a_file_becomes_schedules_and_reports() -> None:
    found = imported("autosys", JIL)
    assert list(schedules(found)) == ["EDW_NIGHTLY", "EDW_REPORT", "EDW_STATS", "EDW_WAIT_FEED"]
    assert [(line, why.split(":")[0]) for line, why in reports(found)] == [
        (65, 'the attribute mail_profile of "EDW_REPORT" is not imported'),
        (73, 'the job "EDW_WAIT_FEED" has no work here, so it FAILS'),
        (74, 'the attribute watch_file of "EDW_WAIT_FEED" is not imported'),
        (75, 'the attribute watch_interval of "EDW_WAIT_FEED" is not imported'),
        (77, "delete_job is not imported"),
    ]
    notes = {each.line: each.why for each in found.notes}
    assert notes[8] == "owner: the job runs in a container of the job definition shell, not on a machine of AutoSys"
    assert "'EDW_ORDERS-V2'" in notes[36]


def test_a_box_starts_at_its_times_and_other_jobs_after_it() -> None:
    made = schedules(imported("autosys", JIL))
    assert made["EDW_NIGHTLY"]["trigger"] == {"cron": "15 22,4 * * 1,2,3,4,5", "timezone": "Europe/Zurich"}
    assert made["EDW_NIGHTLY"]["maxDuration"] == "180m"
    assert made["EDW_REPORT"]["trigger"] == {"after": ["EDW_NIGHTLY"]}
    assert made["EDW_STATS"]["trigger"] == {"cron": "5,35 * * * *", "timezone": "UTC"}


def test_a_box_in_a_box_becomes_dependencies_of_its_jobs() -> None:
    made = jobs(schedules(imported("autosys", JIL))["EDW_NIGHTLY"])
    assert made["EDW_CUSTOMERS"]["jobDependencies"] == ["EDW_EXTRACT"]
    assert made["EDW_PUBLISH"]["jobDependencies"] == ["EDW_CUSTOMERS", "EDW_ORDERS-V2"]
    assert made["EDW_EXTRACT"]["retryStrategy"] == {"attempts": 3}
    assert made["EDW_EXTRACT"]["timeout"] == {"attemptDurationSeconds": 5400}


def test_the_imported_box_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = ["edw-extract", "edw-transform", "edw-publish", "edw-alert", "edw-old-feed"]
    states, calls, run = tried(schedules(imported("autosys", JIL))["EDW_NIGHTLY"], programs, tmp_path, monkeypatch)
    assert run["status"] == "SUCCEEDED"
    assert (states.pop("EDW_ALERT"), states.pop("EDW_OLD_FEED")) == ("SKIPPED", "SKIPPED")
    assert set(states.values()) == {"SUCCEEDED"}
    assert calls[0] == "edw-extract --region emea --since yesterday"
    assert sorted(calls[1:3]) == ["edw-transform customers", "edw-transform orders"]
    assert calls[3:] == ["edw-publish "]


def test_a_condition_on_a_failure_runs_when_the_job_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states, calls, run = tried(schedules(imported("autosys", JIL))["EDW_NIGHTLY"], ["edw-alert"], tmp_path, monkeypatch)
    assert (run["status"], states["EDW_EXTRACT"], states["EDW_ALERT"]) == ("FAILED", "FAILED", "SUCCEEDED")
    assert calls == ["edw-alert "]


def test_a_job_that_cannot_be_imported_fails_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, run = tried(schedules(imported("autosys", JIL))["EDW_WAIT_FEED"], [], tmp_path, monkeypatch)
    assert run["status"] == "FAILED"
    assert run["jobs"][0]["printed"].startswith("Line 73 was not imported: a job of the type")


def job(*lines: str) -> str:
    return "\n".join(["insert_job: A job_type: CMD", "command: a", *lines, ""])


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (("date_conditions: 1", "start_times: 25:00", "days_of_week: all"), "no time of day"),
        (("date_conditions: 1", "start_times: 05:00", "days_of_week: xx"), "neither all nor a list"),
        (("date_conditions: 1", "start_times: 05:00", "days_of_week: all", "condition: s(B)"), "one of both"),
        (("condition: s(B)",), 'no job "B" in this file'),
        (("condition: s(B, 12.00)",), "looks back"),
        (("condition: s(B^PRD)",), "another AutoSys"),
        (("condition: n(B)",), "n() cannot be imported"),
        (("condition: s(B) & (s(C) | s(D))",), "has & and |"),
        (("condition: s(B) s(C)",), "cannot be read"),
        (("condition: what",), "cannot be read"),
        (("box_name: NOWHERE",), 'no box "NOWHERE"'),
    ],
)
def test_a_start_that_no_trigger_can_say_is_reported_and_is_by_hand(lines: tuple[str, ...], why: str) -> None:
    found = imported("autosys", job(*lines))
    assert found.schedules[0].document["trigger"] == {"manual": True}
    assert why in " ".join(text for _, text in reports(found))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("n_retrys: 10", "at most 10 times"),
        ("term_run_time: soon", "no number"),
        ("profile: /etc/profile", "profile changes"),
        ("envvars: X", "not NAME=VALUE"),
        ("status: FAILURE", "status"),
    ],
)
def test_a_job_whose_work_no_job_can_say_is_reported_and_fails(line: str, why: str) -> None:
    found = imported("autosys", job(line))
    assert "exit 1" in found.schedules[0].document["jobList"][0]["containerOverrides"]["command"][2]
    assert why in reports(found)[0][1]


def test_a_global_variable_without_a_value_is_reported() -> None:
    found = imported("autosys", "insert_job: A job_type: CMD\ncommand: a $$DAY\n")
    assert "gives the global variable $$DAY no value" in reports(found)[0][1]


def test_boxes_in_a_circle_and_lines_that_are_no_jil_are_reported() -> None:
    text = "insert_job: A job_type: BOX\nbox_name: B\ninsert_job: B job_type: BOX\nbox_name: A\nwhat is this\n"
    found = imported("autosys", text)
    assert {line for line, _ in reports(found)} >= {4, 5}


def test_an_unknown_zone_makes_no_schedule() -> None:
    text = job("date_conditions: 1", "start_times: 05:00", "days_of_week: all", "timezone: Chicago")
    found = imported("autosys", text)
    assert not found.schedules
    assert "Chicago" in reports(found)[0][1]


@pytest.mark.parametrize("cut", ["line", "value"])
def test_every_line_of_a_file_may_be_missing_or_cut(cut: str) -> None:
    lines = JIL.splitlines()
    for number, line in enumerate(lines):
        left = [] if cut == "line" else [line[: line.find(":") + 1]]
        imported("autosys", "\n".join([*lines[:number], *left, *lines[number + 1 :]]))
