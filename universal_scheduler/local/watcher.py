"""Tells somebody who watches a trial of its jobs: of those that have changed alone, a few times a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from universal_scheduler.domain.events.job_events import read_detail
from universal_scheduler.domain.runs.model import JobRun, JobStatus, Run
from universal_scheduler.domain.runs.observations import is_news, observed
from universal_scheduler.ports.platform import JobPlatform
from universal_scheduler.usecases.progress import with_progress

OnChange = Callable[[Run, Sequence[JobRun]], None]
TOGETHER_SECONDS = 0.1
"""What Batch tells within this time is told together: a short job goes through four states in a few milliseconds."""


class Watcher:
    """Hears what is written of a run's jobs, and what Batch tells between two looks of the run.

    The run itself looks only when its plan may have changed; nobody who watches it makes it look more often.
    """

    def __init__(self, run: Run, on_change: OnChange, platform: JobPlatform) -> None:
        self._run, self._on_change, self._platform = run, on_change, platform
        self._by_id: dict[str, JobRun] = {}
        self._news: dict[str, Callable[[], Mapping[str, Any]] | None] = {}
        """Of each job that Batch told of: what makes its detail. None for an array of which it told a child."""

    def wrote(self, jobs: Iterable[JobRun]) -> None:
        """The jobs were written like this."""
        changed = list(jobs)
        self._by_id.update({job.job_id: job for job in changed if job.job_id})
        self._on_change(self._run, changed)

    def observe(self, job_id: str, detail: Callable[[], Mapping[str, Any]]) -> None:
        """Batch tells of a job, whose detail is made when it is passed on."""
        if not self._news:
            asyncio.get_running_loop().call_later(TOGETHER_SECONDS, self._pass_on)
        job_id, colon, _ = job_id.partition(":")
        self._news[job_id] = None if colon else detail

    def ended(self, run: Run) -> None:
        self._on_change(run, ())

    def _pass_on(self) -> None:
        news, self._news = self._news, {}
        told = [
            (job, make) for job_id, make in news.items() if (job := self._by_id.get(job_id)) and not job.status.ended
        ]
        seen = [(job, read_detail(make())) for job, make in told if make is not None]
        # What has failed is left to the run, which knows why.
        changed = [observed(job, it) for job, it in seen if it.status is not JobStatus.FAILED and is_news(job, it)]
        changed += with_progress(self._platform, [job for job, make in told if make is None], time.time())
        self._by_id.update({job.job_id: job for job in changed})
        if changed:
            self._on_change(self._run, changed)
