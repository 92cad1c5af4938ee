"""`simulate`, `try` and `apply` give one verdict on a document: no traceback, and each error in its place."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.usched import Stage, row, told, usched, written

GOOD = "scheduleId: good\ntrigger: {manual: true}\njobList: [{jobName: a, jobQueue: q, jobDefinition: d}]\n"


def json_with(more: str, **instead: str) -> str:
    """A schedule in JSON with more keys, or with other values, as they are written."""
    keys = {"scheduleId": '"s"', "jobList": '[{"jobName":"a","jobQueue":"q","jobDefinition":"d"}]'} | instead
    return "{" + ",".join([f'"{key}":{value}' for key, value in keys.items()] + [more] * bool(more)) + "}"


BAD: dict[str, tuple[str, str | bytes, int, str]] = {
    "half a character": ("s.json", json_with('\n"description":"\\ud83d"'), 2, "$.description"),
    "half a character in a name": (
        "s.json",
        json_with("", jobList='[\n{"jobName":"\\udc00","jobQueue":"q","jobDefinition":"d"}]'),
        2,
        "$.jobList[0].jobName",
    ),
    "half a character in a key": ("s.json", json_with('\n"parameters":{"\\ud83d":1}'), 2, "$.parameters"),
    "half a character in the id": ("s.json", json_with("", scheduleId='"\\ud83d"'), 1, "$.scheduleId"),
    "NaN": ("s.json", json_with('\n"parameters":{"x":NaN}'), 2, "$.parameters.x"),
    "NaN in a file without a suffix": ("s", json_with('\n"parameters":{"x":NaN}'), 2, "$.parameters.x"),
    "infinity": ("s.json", json_with('\n"parameters":{"x":1e400}'), 2, "$.parameters.x"),
    "43 digits": ("s.yaml", f"{GOOD}parameters:\n  x: {'1234567890' * 4}123\n", 5, "$.parameters.x"),
    "5,000 digits": ("s.yaml", f"{GOOD}parameters:\n  x: {'1' * 5000}\n", 5, "$.parameters.x"),
    "1e-200": ("s.yaml", f"{GOOD}parameters: {{x: 1.0e-200}}\n", 4, "$.parameters.x"),
    "NUL": ("s.yaml", f'{GOOD}parameters: {{x: "a\\0b"}}\n', 4, "$.parameters.x"),
    "a line break in a name": ("s.yaml", f'{GOOD}category: "a\\nb"\n', 4, "$.category"),
    "a key twice in YAML": ("s.yaml", f"{GOOD}jobList: []\n", 4, "$.jobList"),
    "a key twice in JSON": ("s.json", json_with('\n"scheduleId":"t"'), 2, "$.scheduleId"),
    "nesting in JSON": ("s.json", json_with(f'"description":\n{"[" * 3000}{"]" * 3000}'), 2, "$.description[0]"),
    "nesting in YAML": ("s.yaml", f"{GOOD}description: {'[' * 3000}", 4, "$.description[0]"),
    "33 levels": ("s.yaml", f"{GOOD}description:\n  {'[' * 32}{']' * 32}", 5, "$.description[0]"),
    "a tag": ("s.yaml", f"{GOOD}description: !!binary aGk=\n", 4, "$.description"),
    "a key that is a number": ("s.yaml", f"{GOOD}parameters:\n  1: x\n", 5, "$.parameters"),
    "nothing": ("s.yaml", "", 0, "$"),
    "a number": ("s.yaml", "5", 1, "$"),
    "a list of numbers": ("s.json", "[1]", 1, "$"),
    "no UTF-8": ("s.yaml", b"a: \xff", 1, "$"),
    "a date after all years": (
        "s.yaml",
        "jobName: a\njobQueue: q\njobDefinition: d\nnotBefore: 9999-12-31T23:59:59-23:00\n",
        4,
        "$.jobList[0].notBefore",
    ),
}


def file_of(directory: Path, name: str, content: str | bytes) -> str:
    (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(directory / name)


def no_traceback(result: Result) -> None:
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code in (1, 2)


@pytest.mark.parametrize("kind", BAD)
def test_every_command_refuses_it_in_its_place_and_prints_one_json_document(
    stage: Stage, tmp_path: Path, kind: str
) -> None:
    name, content, line, path = BAD[kind]
    file = file_of(tmp_path, name, content)
    good = file_of(tmp_path, "good.yaml", GOOD)
    verdicts = []
    for command in (["simulate", file], ["try", file], ["apply", file, good]):
        plain, as_json = usched(*command), usched(*command, "--json")
        no_traceback(plain)
        no_traceback(as_json)
        assert file in plain.output
        answer = json.loads(as_json.stdout)
        errors = answer["errors"] if "errors" in answer else answer["error"]["errors"]
        assert (errors[0].get("line", 0), errors[0]["file"]) == (line, file)
        assert errors[0]["path"].startswith(path)
        assert errors[0]["found"]
        assert errors[0]["expected"]
        verdicts.append([(error["path"], error["found"]) for error in errors])
    assert verdicts[0] == verdicts[1] == verdicts[2]
    assert list(stage.store.schedules) == ["good"], "what is good beside it is stored"


@pytest.mark.parametrize("value", [{"size": 3.0}, {"size": 3}])
def test_a_whole_number_is_an_integer_for_every_command(stage: Stage, tmp_path: Path, value: dict[str, Any]) -> None:
    job = {"jobName": "a", "jobQueue": "default", "jobDefinition": "shell", "arrayProperties": value}
    job |= {"retryStrategy": {"attempts": 2.0}, "containerOverrides": {"command": ["true"]}}
    file = written(tmp_path / "s.json", row(jobList=[job], wait_time=1.0))
    assert usched("simulate", file).exit_code == 0
    assert usched("try", file).exit_code == 0
    assert usched("apply", file).exit_code == 0
    kept = stage.store.schedules["load"]
    assert repr(kept["jobList"][0]["arrayProperties"]) == "{'size': 3}"


def test_yaml_values_stay_as_they_were_written(stage: Stage, tmp_path: Path) -> None:
    text = GOOD + (
        "notifications: [{on: [run_failed], webhook: https://example.com/}]\n"
        "parameters: {since: 2026-01-06T04:00:00Z, day: 2026-01-06, cutoff: 16:30, und: 1_000, no: no, v: '1.10'}\n"
        "mustEndBy: 12:00\n"
    )
    assert usched("apply", file_of(tmp_path, "s.yaml", text)).exit_code == 0
    kept = stage.store.schedules["good"]
    assert kept["notifications"][0]["on"] == ["run_failed"]
    assert kept["mustEndBy"] == "12:00"
    assert kept["parameters"] == {
        "since": "2026-01-06T04:00:00Z",
        "day": "2026-01-06",
        "cutoff": "16:30",
        "und": "1_000",
        "no": "no",
        "v": "1.10",
    }


def test_json_is_read_as_json_whatever_the_file_is_called(stage: Stage, tmp_path: Path) -> None:
    text = json.dumps(row("emoji", description="\U0001f600", trigger={"manual": True}))
    assert "\\ud83d\\ude00" in text
    assert usched("apply", file_of(tmp_path, "s.yaml", text), "-", text=text.replace("emoji", "input")).exit_code == 0
    assert {each["description"] for each in stage.store.schedules.values()} == {"\U0001f600"}


def test_an_error_says_file_line_column_schedule_job_and_what_is_missing(stage: Stage, tmp_path: Path) -> None:
    del stage
    text = "scheduleId: nightly\njobList:\n  - {jobName: a, jobQueue: q, jobDefinition: d}\n"
    text += "  - jobName: b\n    jobQueue: q\n"
    file = file_of(tmp_path, "s.yaml", text)
    line = f"{file}:4:5: nightly, job 'b', $.jobList[1]: the key jobDefinition is missing"
    for command in ("simulate", "try", "apply"):
        assert line in usched(command, file).output
    [error] = told("apply", file)["errors"]
    assert error == {
        "file": file,
        "document": "nightly",
        "path": "$.jobList[1]",
        "found": "no jobDefinition",
        "expected": "jobDefinition",
        "message": "the key jobDefinition is missing",
        "job": "b",
        "line": 4,
        "column": 5,
    }


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"name": "x", "output":\n {"scheduleId": "s",\n "jobList": [{"jobName": "a"}]}}', (3, 14)),
        ('[{"scheduleId": "s", "jobList":\n [{"jobName": "a"}]}]', (2, 3)),
        ("---\nscheduleId: s\njobList:\n- jobName: a\n", (4, 3)),
        ("jobName: a\njobDefinition: d\njobQueue: ''\n", (3, 1)),
    ],
)
def test_the_place_is_that_of_the_text_in_every_form_of_document(
    stage: Stage, tmp_path: Path, text: str, place: tuple[int, int]
) -> None:
    del stage
    error = told("apply", file_of(tmp_path, "s.yaml", text))["errors"][0]
    assert (error["line"], error["column"]) == place


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take only UTF-8 names")
def test_a_file_whose_name_is_no_utf8_is_told(stage: Stage, tmp_path: Path) -> None:
    del stage
    file = str(tmp_path / "\udcff.yaml")
    for command in ("simulate", "try", "apply"):
        no_traceback(usched(command, file))
        assert json.loads(usched(command, file, "--json").stdout)


@pytest.mark.parametrize("name", ["none.yaml", "x" * 5000, "a\0b"])
def test_what_cannot_be_read_is_told(stage: Stage, tmp_path: Path, name: str) -> None:
    good = file_of(tmp_path, "good.yaml", GOOD)
    result = usched("apply", name, good, "--json")
    no_traceback(result)
    [error] = json.loads(result.stdout)["errors"]
    assert error["message"].startswith("it cannot be read: ")
    assert list(stage.store.schedules) == ["good"]
