"""`usched apply`: what it stores, and what it says of what it does not."""

from __future__ import annotations

import json
from pathlib import Path
from random import randbytes

import pytest

from tests.usched import Stage, row, told, usched, written


def test_apply_stores_every_document_of_files_and_directories(stage: Stage, tmp_path: Path) -> None:
    written(tmp_path / "two.yaml", row("x"), row("y", trigger={"manual": True}))
    written(tmp_path / "one.json", row("z", trigger={"after": ["x"]}))
    (tmp_path / "notes.txt").write_text("no schedule")
    result = usched("apply", str(tmp_path))
    assert result.exit_code == 0
    assert set(stage.store.schedules) == {"x", "y", "z"}
    assert "its insertion: it starts now" in result.stdout
    assert "usched run y" in result.stdout
    assert "a run of x that succeeds" in result.stdout


def test_apply_stores_what_waits_before_what_starts(stage: Stage, tmp_path: Path) -> None:
    written(tmp_path / "all.yaml", row("first"), row("second", trigger={"after": ["first"]}))
    usched("apply", str(tmp_path))
    assert list(stage.store.schedules) == ["second", "first"]


@pytest.mark.usefixtures("stage")
def test_apply_says_what_is_new_changed_and_unchanged(tmp_path: Path) -> None:
    file = written(tmp_path / "s.yaml", row())
    assert told("apply", file)["stored"][0] == {
        "file": file,
        "scheduleId": "load",
        "row": "new",
        "jobs": 2,
        "startedBy": "its insertion: it starts now",
    }
    assert told("apply", file)["stored"][0]["row"] == "unchanged"
    again = told("apply", written(tmp_path / "s.yaml", row(wait_time=9)))["stored"][0]
    assert (again["row"], again["startedBy"]) == ("changed", "usched run load: a changed row starts no run")


def test_a_bad_file_stores_nothing_of_it_and_the_others_go_on(stage: Stage, tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.yaml", row("good-one"), row("bad-one", jobLst=[]))
    good = written(tmp_path / "good.yaml", row("good-two"))
    result = usched("apply", bad, good)
    assert result.exit_code == 1
    assert set(stage.store.schedules) == {"good-two"}
    assert f"Not stored: {bad}" in result.stdout
    assert "bad.yaml:3:1: bad-one: found unknown key 'jobLst' (did you mean 'jobList'?)" in result.stdout


def test_apply_errors_as_json_name_file_document_path_found_expected(stage: Stage, tmp_path: Path) -> None:
    file = written(tmp_path / "bad.yaml", row(wait_time=0))
    [error] = told("apply", file)["errors"]
    assert error["file"] == file
    assert (error["document"], error["path"], error["found"]) == ("load", "$.wait_time", "0")
    assert "1" in error["expected"]
    assert not stage.store.schedules


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.yaml", "a: [", "a.yaml:2:1: $.a[0]: this is not YAML"),
        ("a.json", "{", "a.json:1:2: this is not JSON: found the end of the text"),
        ("a.yaml", "", "nothing in it"),
        ("a.yaml", "just words", 'found "just words", expected an object: a schedule'),
        ("a.yaml", "? {a: b}\n: c", "a.yaml:1:3: found a list or an object as a key"),
        ("a.yaml", "2026-01-01: x\n1: y", "a.yaml:2:1: found the key 1, which YAML reads as a number"),
        ("a.yaml", json.dumps(row()) + "\n---\n" + json.dumps(row()), "'load' again"),
        ("a.json", json.dumps(row(description="x" * 4000, jobList=row()["jobList"] * 500)), "'a' again"),
    ],
)
def test_what_is_no_schedule_is_told_without_a_traceback(
    stage: Stage, tmp_path: Path, name: str, content: str, found: str
) -> None:
    (tmp_path / name).write_text(content)
    result = usched("apply", str(tmp_path / name))
    assert result.exit_code == 1
    assert found in result.stdout
    assert not stage.store.schedules


@pytest.mark.usefixtures("stage")
def test_a_file_that_is_not_there_or_a_directory_without_any(tmp_path: Path) -> None:
    result = usched("apply", str(tmp_path / "none.yaml"), str(tmp_path))
    assert result.exit_code == 1
    assert "No such file" in result.stdout
    assert "a directory without any" in result.stdout


@pytest.mark.usefixtures("stage")
def test_a_schedule_over_the_item_limit_is_not_stored(tmp_path: Path) -> None:
    jobs = [
        {"jobName": f"j{i}", "jobDefinition": "shell", "jobQueue": "default", "parameters": {"x": randbytes(250).hex()}}
        for i in range(2000)
    ]
    result = usched("apply", written(tmp_path / "huge.json", row(jobList=jobs)))
    assert result.exit_code == 1
    assert "at most 409,600" in result.stdout


def test_apply_reads_standard_input_and_dates_as_text(stage: Stage) -> None:
    assert usched("apply", "-", text=f"{json.dumps(row())[:-1]}, scheduleName: 2026-01-01}}").exit_code == 0
    assert stage.store.schedules["load"]["scheduleName"] == "2026-01-01"
