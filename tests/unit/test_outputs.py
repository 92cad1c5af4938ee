"""What jobs put out: where, and what of it is taken."""

from __future__ import annotations

from typing import Any

import pytest

from universal_scheduler.domain.runs.model import Job, JobRun, RunKey
from universal_scheduler.domain.runs.outputs import output_key, with_output

JOB = JobRun(Job("load", "q", "d"), attempt=2)


def test_every_attempt_of_every_run_has_its_own_place() -> None:
    key = RunKey("nightly", "2026-11-21T06:00:00.000001")
    assert output_key(key, JOB) == "outputs/nightly-2026-11-21T06-00-00.000001/load/2.json"


@pytest.mark.parametrize(
    ("content", "output"),
    [
        (b"{}", {}),
        (
            b'{"n": 1, "ratio": 0.5, "full": true, "name": "\xc3\xa9"}',
            {"n": 1, "ratio": 0.5, "full": True, "name": "é"},
        ),
    ],
)
def test_a_flat_object_is_taken(content: bytes, output: dict[str, Any]) -> None:
    assert with_output(JOB, content).output == output


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "cannot be read: line 1, column 1, $: this is not JSON: found the end of the text"),
        (b"\xff", "cannot be read: line 1, column 1, $: found the byte 0xff"),
        (b'{"a": 1, "a": 2}', "the key 'a' again"),
        (b'{"a": ' + b"[" * 4000, "more than 32 levels"),
        (b'{"a": "\\ud83d"}', "cannot be kept: $.output.a: found half a character"),
        (b"[1]", "no JSON object"),
        (b'{"a": 1, "b": {}, "c": null}', "b, c is no text"),
        (b'{"a": NaN}', "found NaN"),
    ],
)
def test_anything_else_is_a_problem(content: bytes, problem: str) -> None:
    read = with_output(JOB, content)
    assert read.output is None
    assert problem in read.output_problem
