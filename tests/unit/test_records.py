"""Records are changed as `dataclasses.replace` changes them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.model import Dependency, Job, JobRun, JobStatus, RunKey

JOB = Job("a", "q", "d", dependencies=(Dependency("b"),), priority=3, parameters={"x": "y"})


@dataclasses.dataclass(frozen=True)
class Checked:
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("below 0")


@pytest.mark.parametrize(
    ("record", "changes"),
    [
        (JOB, {}),
        (JOB, {"queue": "other", "dependencies": ()}),
        (JobRun(JOB, 7), {"status": JobStatus.FAILED, "exit_code": 3}),
        (RunKey("s", "2026-11-21T06:00:00.000001"), {"start": "x"}),
        (Checked(1), {"number": 2}),
    ],
)
def test_only_the_named_fields_change(record: Any, changes: dict[str, Any]) -> None:
    before = dataclasses.asdict(record)
    made = replace(record, **changes)
    assert made == dataclasses.replace(record, **changes)
    assert type(made) is type(record)
    assert dataclasses.asdict(record) == before


def test_a_field_that_there_is_not_is_an_error() -> None:
    with pytest.raises(TypeError, match="JobRun has no field 'stauts'"):
        replace(JobRun(JOB, 0), stauts=JobStatus.FAILED)


def test_a_record_that_checks_itself_does_so_after_a_change() -> None:
    with pytest.raises(ValueError, match="below 0"):
        replace(Checked(1), number=-1)
