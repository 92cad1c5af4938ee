"""`usched try` as a user runs it."""

from __future__ import annotations

import json
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
