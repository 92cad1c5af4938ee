"""A JSON file of Control-M becomes schedules, and what a schedule cannot say is reported with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.importers import CASES, imported, jobs, reports, schedules, spoilt, tried, usched

TEXT = (CASES / "payments.json").read_text()
PROGRAMS = ["pay-receive", "pay-limits", "pay-sanctions", "pay-book", "pay-report", "pay-load", "pay-archive"]


def test_a_file_becomes_schedules_and_reports() -> None:
    found = imported("control-m", TEXT)
    assert list(schedules(found)) == ["PAY_DAILY", "PAY_FILES"]
    assert [(line, why.split(":")[0]) for line, why in reports(found)] == [
        (31, '"IfNotOk" of "Book" is not imported'),
        (40, '"PAY_FILES" starts only by hand'),
        (43, 'the job "WaitForFile" has no work here, so it FAILS'),
        (45, '"Path" of "WaitForFile" is not imported'),
        (48, 'the job "Load" has no work here, so it FAILS'),
        (53, 'the job "Archive" has no work here, so it FAILS'),
        (56, '"Rerun" of "Archive" is not imported'),
    ]
    assert next(each.why for each in found.notes if each.line == 12).startswith("FromTime is a time of the days")


def test_a_folder_has_times_and_its_events_and_flows_are_dependencies() -> None:
    document = schedules(imported("control-m", TEXT, zone="Europe/Zurich"))["PAY_DAILY"]
    assert document["trigger"] == {"cron": "30 5 * * 1,2,3,4,5", "timezone": "Europe/Zurich"}
    assert document["category"] == "payments"
    upstream = {name: job.get("jobDependencies") for name, job in jobs(document).items()}
    assert upstream == {
        "Receive": None,
        "Checks-Limits": ["Receive"],
        "Checks-Sanctions": ["Receive"],
        "Book": ["Checks-Limits", "Checks-Sanctions"],
        "Report": ["Book"],
        "End": ["Report"],
    }


def test_the_imported_folder_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = schedules(imported("control-m", TEXT))["PAY_DAILY"]
    states, calls, run = tried(document, PROGRAMS, tmp_path, monkeypatch)
    assert (run["status"], set(states.values())) == ("SUCCEEDED", {"SUCCEEDED"})
    assert calls[0] == "pay-receive --from in-CH"
    assert sorted(calls[1:3]) == ["pay-limits --market CH", "pay-sanctions "]
    assert calls[3:] == ["pay-book ", "pay-report "]


def test_nothing_behind_a_job_that_was_not_imported_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = schedules(imported("control-m", TEXT))["PAY_FILES"]
    states, calls, run = tried(document, PROGRAMS, tmp_path, monkeypatch)
    assert (run["status"], calls) == ("FAILED", [])
    assert states == {"WaitForFile": "FAILED", "Load": "UPSTREAM_FAILED", "Archive": "FAILED"}


def folder(job: dict[str, Any], **more: Any) -> str:
    return json.dumps({"F": {"Type": "Folder", "A": {"Type": "Job:Command", "Command": "a"} | job, **more}})


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ({"Command": ""}, "it has no Command"),
        ({"Command": "a %%A", "Variables": [{"A": "%%A"}]}, "in a circle"),
        ({"Command": "a %%A.txt", "Variables": [{"A": "1"}]}, '"%%A.txt"'),
        ({"Command": "a %%A%%B", "Variables": [{"A": "1"}, {"B": "2"}]}, '"%%A'),
        ({"Command": "a %%."}, '"%%."'),
        ({"Lock": {"Type": "Resource:Lock", "LockType": "Exclusive"}}, "needs the resource"),
        ({"If": {"Type": "If", "CompletionStatus": "5", "Act": {"Type": "Action:SetToNotOK"}}}, "Action:SetToNotOK"),
        ({"RerunLimit": {"Units": "Minutes", "Every": "5"}}, "is cyclic"),
        ({"eventsToWaitFor": {"Type": "WaitForEvents", "Events": [{"Event": "X"}]}}, "no job of its folder adds"),
        ({"eventsToWaitFor": {"Type": "WaitForEvents", "Events": ["(", {"Event": "X"}, ")"]}}, "brackets"),
        ({"eventsToWaitFor": {"Type": "WaitForEvents", "Events": 7}}, "cannot be read"),
        ({"Type": "Job:EmbeddedScript", "Script": "#!/usr/bin/perl\n1"}, "not for a shell"),
        ({"Type": "Job:Script", "FileName": "a", "Arguments": [7]}, "no list of texts"),
    ],
)
def test_a_job_that_no_job_can_be_is_reported_and_fails(job: dict[str, Any], why: str) -> None:
    found = imported("control-m", folder(job, When={"WeekDays": ["ALL"], "FromTime": "0100"}))
    assert "exit 1" in found.schedules[0].document["jobList"][0]["containerOverrides"]["command"][2]
    assert why in " ".join(text for _, text in reports(found))


def test_a_job_with_times_of_its_own_is_reported_and_fails() -> None:
    found = imported(
        "control-m", folder({"When": {"FromTime": "0200"}}, When={"WeekDays": ["ALL"], "FromTime": "0100"})
    )
    assert "has times of its own" in reports(found)[0][1]


@pytest.mark.parametrize(
    ("when", "cron"),
    [
        ({"WeekDays": ["ALL"], "FromTime": "0100"}, "0 1 * * *"),
        ({"WeekDays": ["NONE"], "MonthDays": ["1", "15"], "FromTime": "1805"}, "5 18 1,15 * *"),
        ({"MonthDays": ["ALL"], "Months": ["JAN", "DEC"], "FromTime": "18:05"}, "5 18 * 1,12 *"),
        ({"WeekDays": ["SUN"], "MonthDays": ["1"], "DaysRelation": "OR", "FromTime": "0000"}, "0 0 1 * 0"),
    ],
)
def test_times_become_a_cron_expression(when: dict[str, Any], cron: str) -> None:
    document = imported("control-m", folder({}, When=when)).schedules[0].document
    assert document["trigger"]["cron"] == cron


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ({"WeekDays": ["ALL"]}, "no FromTime"),
        ({"FromTime": "0100"}, "neither WeekDays nor MonthDays"),
        ({"WeekDays": ["D1"], "FromTime": "0100"}, "WeekDays is"),
        ({"MonthDays": ["-1"], "FromTime": "0100"}, "MonthDays is"),
        ({"WeekDays": ["SUN"], "MonthDays": ["1"], "DaysRelation": "AND", "FromTime": "0100"}, "both"),
        ({"WeekDays": ["ALL"], "FromTime": "0100", "ToTime": "0200"}, '"ToTime"'),
        (7, "no object"),
    ],
)
def test_times_that_no_trigger_can_say_are_reported_and_start_nothing(when: Any, why: str) -> None:
    found = imported("control-m", folder({}, When=when))
    assert found.schedules[0].document["trigger"] == {"manual": True}
    assert why in " ".join(text for _, text in reports(found))


def test_events_joined_by_or_are_one_success() -> None:
    waits = {"Type": "WaitForEvents", "Events": [{"Event": "B"}, "OR", {"Event": "C"}]}
    others = {
        name: {"Type": "Job:Dummy", "eventsToAdd": {"Type": "AddEvents", "Events": [{"Event": name}]}} for name in "BC"
    }
    job = jobs(imported("control-m", folder({"eventsToWaitFor": waits}, **others)).schedules[0].document)["A"]
    assert (job["jobDependencies"], job["runWhen"]) == (["B", "C"], "one_success")


def test_a_spoilt_file_is_read_or_refused_but_never_a_fault() -> None:
    for document in spoilt(json.loads(TEXT)):
        imported("control-m", json.dumps(document))


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    for text in ('{"A": ', "[]"):
        file.write_text(text)
        refused = usched("import", "control-m", str(file))
        assert (refused.exit_code, "cannot be read as control-m" in refused.output) == (2, True)
