"""Describes any number of jobs; the platform gets a hundred in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from universal_scheduler.domain.runs.model import Observation
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.usecases.mapper import Mapper

DESCRIBE_CHUNK = 100
"""https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html"""


def describe_all(platform: JobPlatform, job_ids: Sequence[str], mapper: Mapper = map) -> Iterator[Observation]:
    """What the platform knows of these jobs. A job that it does not know is left out.

    Raises:
        PlatformUnavailable: the platform did not answer.
    """
    chunks = [job_ids[start : start + DESCRIBE_CHUNK] for start in range(0, len(job_ids), DESCRIBE_CHUNK)]
    return (seen for answer in mapper(platform.describe, chunks) for seen in answer)
