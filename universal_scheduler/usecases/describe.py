"""Describes any number of jobs: the platform is asked about a hundred at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from universal_scheduler.domain.runs.model import Observation
from universal_scheduler.ports.platform import JobPlatform

DESCRIBE_CHUNK = 100
"""https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html"""


class Mapper(Protocol):
    """`map`, or what does the same with several at once."""

    def __call__(self, function: Any, items: Any, /) -> Iterable[Any]: ...


def describe_all(platform: JobPlatform, job_ids: Sequence[str], mapper: Mapper = map) -> Iterator[Observation]:
    """What the platform knows of these jobs; one that it does not know is left out.

    Raises:
        PlatformUnavailable: the platform did not answer.
    """
    chunks = [job_ids[start : start + DESCRIBE_CHUNK] for start in range(0, len(job_ids), DESCRIBE_CHUNK)]
    return (seen for answer in mapper(platform.describe, chunks) for seen in answer)
