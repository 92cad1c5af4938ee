"""Where the jobs of runs are kept. There is one conditional write for each legal change of state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from universal_scheduler.domain.runs.model import JobRun, Observation, RunKey


class Jobs(Protocol):
    """The jobs of runs. Every write that changes a state has a condition, and answers whether the condition was
    true."""

    def put_jobs(self, run_id: str, jobs: Iterable[JobRun]) -> None:
        """Write these jobs over whatever is there. Only for a run that nothing else works on.

        Raises:
            StoreUnavailable: DynamoDB refused the writes for too long. Some of them may be done.
        """
        ...

    def list_jobs(self, run_id: str) -> list[JobRun]:
        """All jobs of the run, in the order of the schedule's `jobList`."""
        ...

    def get_jobs(self, run_id: str, names: Sequence[str]) -> list[JobRun]:
        """These jobs, in any order. A job that does not exist is left out."""
        ...

    def find_job(self, job_id: str) -> tuple[RunKey, str] | None:
        """The run and the name of the job that the platform knows by this id; None if there is none. Eventually
        consistent."""
        ...

    def remove_jobs(self, run_id: str, names: Sequence[str]) -> None:
        """Remove the jobs that a restarted run does not have any more."""
        ...

    # Changes of many jobs of one run, each job at most once in a call. Every job's change has its own condition and is
    # written or not for itself; they answer the names of the jobs whose change was written.

    def claim_jobs(self, run_id: str, jobs: Sequence[JobRun], now: float) -> set[str]:
        """Write the intent to submit these jobs: from WAITING, or from an older intent of the same submission, to
        SUBMITTING.

        Their `behind` says which upstream jobs Batch has to wait for. `now` is in epoch seconds.

        Returns: the names of the jobs that were claimed.
        """
        ...

    def release_jobs(self, run_id: str, jobs: Sequence[JobRun]) -> set[str]:
        """Take the intent back, from SUBMITTING to WAITING, because the platform has certainly not accepted the jobs.

        Returns: the names of the jobs that had this very intent and were released.
        """
        ...

    def record_submissions(self, run_id: str, submitted: Sequence[tuple[JobRun, str]], now: float) -> set[str]:
        """Record the platform's id of each job: from SUBMITTING to SUBMITTED. `now` is in epoch seconds.

        Returns: the names of the jobs that have this id now, also if it had been recorded before.
        """
        ...

    def observe_jobs(self, run_id: str, seen: Sequence[tuple[JobRun, Observation]]) -> set[str]:
        """Record what the platform says of each job, if that is further than what is known, or counts children
        differently.

        A job that is given without an id and is SUBMITTING gets the id of the observation, and its own `submitted_at`.

        Returns: the names of the jobs that were changed.
        """
        ...

    def end_jobs(self, run_id: str, ended: Sequence[JobRun], now: float) -> set[str]:
        """End jobs that the platform does not have, or was told to end, with the status and reason in `ended`.

        A job is only ended if it still has the platform's id that it has in `ended`; if it has none there, only if
        nobody has begun to submit it since. A job that was submitted meanwhile runs.

        A job that becomes CANCELLED may already be FAILED for this reason, or UPSTREAM_FAILED because an upstream job
        was cancelled with it: the event of its end came first.

        `not_taken` of a SKIPPED job says that its rule can never be met.

        Returns: the names of the jobs that were ended.
        """
        ...

    def change_job(self, run_id: str, before: JobRun, after: JobRun) -> bool:
        """Change a job in any way. False if its status, attempt or mark are no longer those of `before`."""
        ...

    def record_output(self, run_id: str, job: JobRun) -> bool:
        """Keep the `output` or the `output_problem` of the job. False if another attempt has begun."""
        ...
