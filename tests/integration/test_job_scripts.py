"""The scripts that a job finds in its image: what they write and read, as real processes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from universal_scheduler.domain.runs.fan_out import read_list
from universal_scheduler.local.job_environment import JOB_SCRIPTS, job_path


def run(script: str, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": job_path(os.environ["PATH"]), **environment}
    return subprocess.run(
        [JOB_SCRIPTS / script, *arguments],
        env=given,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_an_output_is_written_to_where_the_run_says(tmp_path: Path) -> None:
    place = tmp_path / "1.json"
    assert run("usched-output", "n=5", "name=a=b", USCHED_OUTPUT=str(place)).returncode == 0
    assert json.loads(place.read_text()) == {"n": "5", "name": "a=b"}


def test_a_list_is_put_beside_the_output(tmp_path: Path) -> None:
    place = tmp_path / "1.json"
    done = run("usched-output", "--list", "files", "n=2", stdin="a\nb c\n", USCHED_OUTPUT=str(place))
    assert done.returncode == 0
    output = json.loads(place.read_text())
    assert output == {"files": str(tmp_path / "1-files.txt"), "n": "2"}
    assert read_list(Path(output["files"]).read_bytes()) == ("a", "b c")


@pytest.mark.parametrize(
    ("arguments", "complaint"), [(["n"], "'n' is not NAME=VALUE"), (["n=" + "x" * 5000], "the limit is 4,096")]
)
def test_what_cannot_be_put_out_is_told(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    done = run("usched-output", *arguments, USCHED_OUTPUT=str(tmp_path / "1.json"))
    assert done.returncode == 1
    assert complaint in done.stderr
    assert not list(tmp_path.iterdir())


def test_outside_of_a_run_there_is_nowhere_to_put_it() -> None:
    assert "USCHED_OUTPUT is not set" in run("usched-output", "n=5").stderr


@pytest.mark.parametrize("content", ['["a b", 7, 2.50]', "a b\r\n\n7\n2.50\n"])
def test_a_child_reads_its_value_as_the_scheduler_does(tmp_path: Path, content: str) -> None:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "list").write_bytes(content.encode())
    given = {"USCHED_VALUES_S3": "s3://bucket/list", "USCHED_OBJECTS": str(tmp_path)}
    printed = [run("usched-value", USCHED_INDEX=str(index), **given).stdout for index in range(3)]
    assert printed == [f"{value}\n" for value in read_list(content.encode())]
