"""Where jobs run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from universal_scheduler.domain.runs.model import Attempt, Child, Job, JobStatus, Observation


class JobPlatform(Protocol):
    """Where jobs run."""

    def submit(
        self, job: Job, name: str, depends_on: Sequence[str], environment: Mapping[str, str], tags: Mapping[str, str]
    ) -> str:
        """Submit under this name after these job ids; answers the platform's id.

        Raises:
            SubmissionRefused: it will never be accepted as it is.
            Throttled: the platform did not take it for the moment; nothing has happened.
            PlatformUnavailable: the service failed: it may or may not have been accepted.
        """
        ...

    def find(self, queue: str, name: str) -> str | None:
        """The id of the job of exactly this name, where the platform has it."""
        ...

    def describe(self, job_ids: Sequence[str]) -> list[Observation]:
        """What the platform knows of these jobs; one that it does not know is left out."""
        ...

    def attempts(self, job_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """Every attempt of each of these jobs (at most a hundred), oldest first; one it does not know is left out.

        Raises:
            PlatformUnavailable: the platform did not answer.
        """
        ...

    def terminate(self, job_id: str, reason: str) -> None:
        """End a job, in whatever state it is; one that has ended stays as it is."""
        ...

    def cancel(self, job_id: str, reason: str) -> None:
        """Keep a job from starting; one that has started goes on, and so do the children of an array that have.

        One that waits for others may keep its state until those have ended: `Observation.cancelled` says that it was
        told to end, and never starts.

        Raises:
            PlatformUnavailable: the platform did not answer.
        """
        ...

    def children(self, array_id: str, status: JobStatus, limit: int | None = None) -> list[Child] | None:
        """An array's children that are in this state, the first `limit` of them; None where it knows no such array.

        Raises:
            PlatformUnavailable: the platform did not answer.
        """
        ...
