"""The job platform: the service that runs jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from universal_scheduler.domain.runs.model import Attempt, Child, Job, JobStatus, Observation


class JobPlatform(Protocol):
    """The service that runs jobs."""

    def submit(
        self, job: Job, name: str, depends_on: Sequence[str], environment: Mapping[str, str], tags: Mapping[str, str]
    ) -> str:
        """Submit a job under this name, to start after the jobs with these ids have succeeded. Answers the platform's
        id.

        Raises:
            SubmissionRefused: the platform will never accept this job.
            Throttled: the platform did not take the job for the moment. Nothing has happened.
            PlatformUnavailable: the service failed. The job may or may not have been accepted.
        """
        ...

    def find(self, queue: str, name: str) -> str | None:
        """The id of the job with exactly this name in the queue; None if the platform has none."""
        ...

    def describe(self, job_ids: Sequence[str]) -> list[Observation]:
        """What the platform knows of these jobs. A job that it does not know is left out."""
        ...

    def attempts(self, job_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """Every attempt of each of these jobs (at most a hundred), oldest first. A job that it does not know is left
        out.

        Raises:
            PlatformUnavailable: the platform did not answer.
        """
        ...

    def terminate(self, job_id: str, reason: str) -> None:
        """End a job in any state. A job that has ended stays as it is."""
        ...

    def cancel(self, job_id: str, reason: str) -> None:
        """Keep a job from starting. A job that has started goes on, and so do the children of an array that have
        started.

        A job that waits for other jobs may keep its state until those have ended. `Observation.cancelled` then says
        that the job was told to end and will never start.

        Raises:
            PlatformUnavailable: the platform did not answer.
        """
        ...

    def children(self, array_id: str, status: JobStatus, limit: int | None = None) -> list[Child] | None:
        """The children of an array in this state, at most `limit`; None if the platform does not know the array.

        Raises:
            PlatformUnavailable: the platform did not answer.
        """
        ...
