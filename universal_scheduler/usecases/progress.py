"""Asks the platform how far the arrays of a run are. It does so only when somebody looks, because no event reports
it."""

from __future__ import annotations

from collections.abc import Sequence

from universal_scheduler.domain.errors import PlatformUnavailable
from universal_scheduler.domain.runs.arrays import array_seen, first_child
from universal_scheduler.domain.runs.model import JobRun
from universal_scheduler.domain.runs.observations import is_news, observed
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.usecases.describe import DESCRIBE_CHUNK

ARRAYS_ASKED = DESCRIBE_CHUNK // 2
"""Arrays in one call, each together with its first child."""


def with_progress(platform: JobPlatform, jobs: Sequence[JobRun], now: float) -> list[JobRun]:
    """The jobs of a run, in which live arrays are as the platform says now. Nothing is written.

    There is one call, and none if no array is live. If the platform does not answer, the arrays stay as their rows are.
    """
    arrays = {job.job_id: job for job in jobs if job.job.is_array and job.status.live}
    asked = list(arrays)[:ARRAYS_ASKED]
    try:
        answer = platform.describe([*asked, *map(first_child, asked)]) if asked else []
    except PlatformUnavailable:
        answer = []
    seen = {observation.job_id: observation for observation in answer}
    newer = {}
    for job_id in asked:
        if job_id in seen:
            observation = array_seen(seen[job_id], seen.get(first_child(job_id)), now)
            # Its end is told by its row: what follows from it is decided there.
            if is_news(arrays[job_id], observation) and not observation.status.ended:
                newer[job_id] = observed(arrays[job_id], observation)
    return [newer.get(job.job_id, job) for job in jobs]
