"""Array jobs: how children are named, and what a restart leaves of an array."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from universal_scheduler.domain.runs.arrays import children_of, left_over, read_children, read_selection, write_children
from universal_scheduler.domain.runs.model import Job, JobRun, JobStatus


def array(size: int = 5, *, command: tuple[str, ...] = ("work",), **more: Any) -> JobRun:
    overrides = {"command": list(command)} if command else None
    job = Job("load", "q", "d", array_size=size, container_overrides=overrides)
    return JobRun(job, position=2, status=JobStatus.FAILED, job_id="id", **more)


@given(st.sets(st.integers(0, 9999), max_size=50))
def test_children_come_back_as_they_were_written(indices: set[int]) -> None:
    assert read_children(write_children(indices)) == tuple(sorted(indices))


def test_neighbours_are_written_as_ranges() -> None:
    assert write_children([9, 3, 7, 8]) == "3 7-9"
    assert read_children("3,7-9") == (3, 7, 8, 9)


@pytest.mark.parametrize("text", ["x", "3-1", "-1", "1-", "10000", "1-2-3"])
def test_what_names_no_children_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no index"):
        read_children(text)


def test_a_selection_is_a_job_or_some_of_its_children() -> None:
    assert read_selection("load") == ("load", ())
    assert read_selection(" load:3,7-9") == ("load", (3, 7, 8, 9))
    for wrong in ("", ":3", "load:", "load:x"):
        with pytest.raises(ValueError, match="no "):
            read_selection(wrong)


def test_only_the_children_that_did_not_succeed_run_again() -> None:
    left = left_over(array(), [0, 2, 4])
    assert (left.status, left.attempt, left.children, left.position) == (JobStatus.WAITING, 2, "1 3", 2)
    assert left.reason == "runs again for 2 of its children: 1 3"


def test_places_of_a_later_attempt_are_children_of_the_first() -> None:
    assert left_over(array(children="1 3", attempt=2), [0]).children == "3"


def test_all_run_again_where_nobody_knows_which_succeeded() -> None:
    assert left_over(array(), None).children == ""
    assert left_over(array(children="1 3"), None).children == "1 3"


def test_a_list_whose_length_is_not_known_runs_again_whole() -> None:
    job = JobRun(Job("load", "q", "d", for_each_s3="s3://b/k"), status=JobStatus.NOTFOUND)
    assert left_over(job, None).children == ""


def test_the_counted_children_tell_the_length_of_a_list() -> None:
    job = Job("load", "q", "d", for_each_s3="s3://b/k", container_overrides={"command": ["work"]})
    failed = JobRun(job, status=JobStatus.FAILED, child_counts={"SUCCEEDED": 2, "FAILED": 1})
    assert list(children_of(failed)) == [0, 1, 2]
    assert left_over(failed, [0, 1]).children == "2"


def test_a_skipped_child_does_not_run_again() -> None:
    assert left_over(array(), [0, 2, 4], skip=[3]).children == "1"


def test_a_job_whose_failed_children_are_all_skipped_is_skipped() -> None:
    skipped = left_over(array(), [0, 2, 4], skip=[1, 3])
    assert (skipped.status, skipped.not_taken) == (JobStatus.SKIPPED, False)


def test_a_child_that_is_not_there_cannot_be_skipped() -> None:
    with pytest.raises(ValueError, match="has no child 5"):
        left_over(array(), [0], skip=[5])


def test_an_array_without_a_command_runs_again_whole_and_says_so() -> None:
    left = left_over(array(command=()), [0, 2, 4])
    assert (left.children, left.reason[:22]) == ("", "runs again whole: with")
    with pytest.raises(ValueError, match="cannot be skipped alone"):
        left_over(array(command=()), [0, 2], skip=[1])


def test_more_children_than_can_be_named_run_again_whole() -> None:
    left = left_over(array(10_000), range(0, 10_000, 2))
    assert (left.children, left.reason[:25]) == ("", "runs again whole: too man")
