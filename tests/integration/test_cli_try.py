"""`usched try` as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from universal_scheduler.cli import app

GOOD = """
scheduleId: tried
jobList:
  - {jobName: a, jobQueue: q, jobDefinition: d, containerOverrides: {command: [echo, hello]}}
  - jobName: b
    jobQueue: q
    jobDefinition: d
    jobDependencies: [a]
    containerOverrides: {command: [sh, -c, "echo bad; exit 3"]}
"""


LONG = "load_customers_from_the_warehouse_into_the_lake"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "schedule.yaml"
    path.write_text(GOOD)
    return path


def usched(*words: str) -> Result:
    return CliRunner().invoke(app.main, words)


def test_a_failed_run_shows_its_jobs_and_what_the_failed_one_printed(file: Path) -> None:
    result = usched("try", str(file))
    assert result.exit_code == 1
    assert "tried b FAILED exit code 3" in result.output
    assert "b printed last:\n  bad" in result.output


ARRAY = """
scheduleId: tried
jobList:
  - jobName: kids
    jobQueue: q
    jobDefinition: d
    arrayProperties: {size: 3}
    containerOverrides:
      command: [sh, -c, 'echo "I am $AWS_BATCH_JOB_ARRAY_INDEX"; [ "$AWS_BATCH_JOB_ARRAY_INDEX" != 1 ]']
"""


def test_of_a_failed_array_the_failed_children_tell_why(file: Path) -> None:
    file.write_text(ARRAY)
    result = usched("try", str(file))
    assert "kids:1 (exit code 1) printed last:\n  I am 1\n" in result.output
    assert "kids:0" not in result.output
    [run] = json.loads(usched("try", "--json", str(file)).output)["runs"]
    [job] = run["jobs"]
    assert job["printed"] == "I am 0\nI am 1\nI am 2"
    assert [(child["index"], child["exitCode"], child["printed"]) for child in job["printedByChild"]] == [
        (0, 0, "I am 0"),
        (1, 1, "I am 1"),
        (2, 0, "I am 2"),
    ]
    assert job["startedAt"] <= job["stoppedAt"]


def test_json_is_one_document(file: Path) -> None:
    result = usched("try", "--json", str(file))
    [run] = json.loads(result.output)["runs"]
    assert (result.exit_code, run["status"], run["jobs"][0]["printed"]) == (1, "FAILED", "hello")


def test_a_success_exits_with_0(file: Path) -> None:
    file.write_text(GOOD.replace("exit 3", "exit 0"))
    assert usched("try", str(file)).exit_code == 0


def test_a_bad_file_runs_nothing_and_is_told(file: Path) -> None:
    file.write_text(GOOD.replace("[a]", "[c]"))
    result = usched("try", str(file))
    assert result.exit_code == 2
    assert "$.jobList[1].jobDependencies[0]: found 'c'" in result.output


@pytest.mark.parametrize("screen", [80, 200, None])
def test_the_table_fits_the_screen_and_names_stay_whole(
    file: Path, monkeypatch: pytest.MonkeyPatch, screen: int | None
) -> None:
    file.write_text(GOOD.replace("jobName: b", f"jobName: {LONG}"))
    if screen:
        monkeypatch.setenv("COLUMNS", str(screen))
    lines = CliRunner().invoke(app.main, ["try", str(file)]).stdout.splitlines()
    table = lines[next(place for place, line in enumerate(lines) if line.startswith("tried FAILED, started")) :]
    assert all(len(line) <= (screen or 1_000) for line in table)
    assert any(line.startswith(LONG) for line in table)
    assert any("FAILED" in line and LONG in line for line in table) is (screen != 80)


def test_in_a_pipe_every_change_has_its_line_and_the_table_what_matters(file: Path) -> None:
    entry = {"jobQueue": "q", "jobDefinition": "d"}
    jobs = [
        {**entry, "jobName": f"j{number}", "containerOverrides": {"command": ["test", str(number), "-ne", "140"]}}
        for number in range(150)
    ]
    file.write_text(json.dumps({"scheduleId": "tried", "jobList": jobs}))
    result = usched("try", str(file))
    lines = result.output.splitlines()
    for number in range(150):
        ends = [line for line in lines if f" tried j{number} " in line and line.rpartition(" ")[2] != "SUBMITTED"]
        assert ends[-1].endswith("FAILED exit code 1" if number == 140 else "SUCCEEDED exit code 0")
    assert sum(line.rpartition("tried ")[2].startswith("FAILED j140 FAILED with exit code 1") for line in lines) == 1
    assert "100 of 150 jobs: 1 FAILED, 149 SUCCEEDED" in lines
    table = next(at for at, line in enumerate(lines) if line.startswith("job ")) + 2
    assert lines[table].startswith("j140"), "what failed comes first"


def test_on_a_terminal_the_jobs_are_drawn_as_far_as_there_is_room(file: Path) -> None:
    here, there = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "24"}
    command = [sys.executable, "-m", "universal_scheduler.cli", "try", str(file)]
    process = subprocess.Popen(command, stdin=there, stdout=there, stderr=there, env=environment)
    os.close(there)
    drawn = b""
    with suppress(OSError):  # Linux says so when nobody has the other side open any more
        while part := os.read(here, 65536):
            drawn += part
    os.close(here)
    assert process.wait() == 1
    last = drawn.decode().rpartition("tried ")[2]
    assert "FAILED" in last
    assert "b printed last:" in last
