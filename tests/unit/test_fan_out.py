"""Fan-out: what an array's children are given, and the program around their command, run by a real shell."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from universal_scheduler.domain.errors import SubmissionRefused
from universal_scheduler.domain.runs.fan_out import (
    OVERRIDES_LIMIT,
    fan_out,
    overrides_limit_error,
    read_list,
    with_environment,
)
from universal_scheduler.domain.runs.model import Job

PRINT = 'printf "%s|" "$USCHED_VALUE" "$USCHED_INDEX" "$AWS_BATCH_JOB_ARRAY_INDEX" "$AWS_BATCH_JOB_ARRAY_SIZE" "$@"'


def job(*command: str, **more: Any) -> Job:
    return Job(
        "load", "q", "d", container_overrides={"command": list(command or ("sh", "-c", PRINT, "x", "a b"))}, **more
    )


Sent = tuple[Job, dict[str, str]]


def printed(sending: Sent, place: int | None = None) -> list[str]:
    """What a child prints that Batch starts with this place in the array; a plain job has none."""
    sent, environment = sending
    overrides = sent.container_overrides or {}
    batchs = (
        {}
        if place is None
        else {"AWS_BATCH_JOB_ARRAY_INDEX": str(place), "AWS_BATCH_JOB_ARRAY_SIZE": str(sent.array_size)}
    )
    given = {"PATH": os.defpath, **environment, **batchs}
    done = subprocess.run(overrides["command"], env=given, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.split("|")[:-1]


VALUES = ["north", "", "a 'b' $(c) *", "42", "é"]


def test_each_child_has_its_own_value() -> None:
    sending = fan_out(job(for_each=tuple(VALUES)), "", VALUES, {})
    assert (sending[0].array_size, sending[0].for_each) == (5, ())
    for index, value in enumerate(VALUES):
        assert printed(sending, index) == [value, str(index), str(index), "5", "a b"]


def test_one_value_makes_a_plain_job() -> None:
    sending = fan_out(job(for_each=("north",)), "", ["north"], {})
    assert sending[0].array_size == 0
    assert printed(sending) == ["north", "0", "0", "", "a b"]


def test_children_that_run_again_have_their_own_index_value_and_size() -> None:
    sending = fan_out(job(for_each=tuple(VALUES)), "0 2-4", VALUES, {})
    assert sending[0].array_size == 4
    for place, index in enumerate([0, 2, 3, 4]):
        assert printed(sending, place) == [VALUES[index], str(index), str(index), "5", "a b"]


def test_one_child_that_runs_again_is_a_plain_job_with_its_index() -> None:
    sending = fan_out(job(array_size=5), "3", [], {})
    assert sending[0].array_size == 0
    assert printed(sending) == ["", "3", "3", "5", "a b"]


def test_an_array_without_values_keeps_its_command() -> None:
    given = job("work", array_size=5)
    assert fan_out(given, "", [], {"USCHED_JOB_NAME": "load"}) == (given, {"USCHED_JOB_NAME": "load"})


def test_a_job_that_overrides_nothing_is_left_alone() -> None:
    for given in (Job("load", "q", "d", array_size=5), Job("load", "q", "d")):
        assert fan_out(given, "", [], {}) == (given, {})


def test_what_the_document_says_of_a_variable_goes_before_what_the_run_says() -> None:
    merged = with_environment({"environment": [{"name": "A", "value": "mine"}]}, {"A": "ours", "B": "b"})
    assert merged == {"environment": [{"name": "A", "value": "mine"}, {"name": "B", "value": "b"}]}


def test_a_list_in_s3_that_does_not_fit_is_left_to_the_children() -> None:
    values = [f"s3://bucket/key/{index}" for index in range(1000)]
    sent, environment = fan_out(job(for_each_s3="s3://b/list"), "", values, {})
    assert (sent.array_size, environment) == (1000, {"USCHED_VALUES_S3": "s3://b/list"})
    _, environment = fan_out(job(for_each_s3="s3://b/list"), "7 9", values, {})
    assert environment.keys() == {"USCHED_CHILDREN", "USCHED_SIZE", "USCHED_VALUES"}, "those of two children fit"


def test_a_list_that_does_not_fit_is_refused_when_its_document_is_read() -> None:
    assert overrides_limit_error(job(for_each=("x" * 10,) * 400)) is None
    problem = overrides_limit_error(job(for_each=("x" * 10,) * 500))
    assert problem is not None
    assert "500 values" in problem[0]
    assert "s3://bucket/key" in problem[1]


def test_what_a_document_may_say_is_never_too_long_for_batch() -> None:
    values = ("x" * 10,) * 400
    run = {"USCHED_OUTPUT": "s3://" + "b" * 900}
    sent, environment = fan_out(job(for_each=values), "", values, run)
    overrides = with_environment(sent.container_overrides or {}, environment)
    assert len(json.dumps(overrides)) < OVERRIDES_LIMIT - 1000


def test_values_that_have_grown_too_long_are_refused() -> None:
    with pytest.raises(SubmissionRefused, match="characters, and Batch has room for 7,168"):
        fan_out(job(for_each=("x" * 8000, "y")), "", ["x" * 8000, "y"], {})


@pytest.mark.parametrize(("count", "children"), [(0, ""), (10_001, ""), (3, "1 3")])
def test_a_list_that_does_not_have_the_children_is_refused(count: int, children: str) -> None:
    with pytest.raises(SubmissionRefused, match=f"forEach has {count:,} values"):
        fan_out(job(for_each_s3="s3://b/k"), children, ["v"] * count, {})


@pytest.mark.parametrize(
    ("content", "values"),
    [(b'["a", 1, 2.50]', ("a", "1", "2.50")), (b"a\r\n b \n\nc\n", ("a", " b ", "c")), (b"[]", ())],
)
def test_a_list_is_json_or_one_value_a_line(content: bytes, values: tuple[str, ...]) -> None:
    assert read_list(content) == values


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[1, {}]", "texts and numbers only"),
        (b"[true]", "texts and numbers only"),
        (b'["a\\nb"]', "no line breaks"),
        (b"[1", "delimiter"),
        (b"[" * 100_000, "no lists and objects"),
        (b'["\\ud83d"]', "half of a character"),
        (b"\xff", "utf-8"),
    ],
)
def test_what_is_no_list_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_list(content)
