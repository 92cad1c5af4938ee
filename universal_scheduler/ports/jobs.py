"""Where the jobs of runs are kept: one conditional write for each legal change of state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from universal_scheduler.domain.runs.model import JobRun, Observation, RunKey


class Jobs(Protocol):
    """Job runs. Every write that changes a state is conditional and answers whether it took."""

    def put_jobs(self, run_id: str, jobs: Iterable[JobRun]) -> None:
        """Write these job runs over whatever is there: only for a run that nothing else works on.

        Raises:
            StoreUnavailable: throttled for too long; some may be written.
        """
        ...

    def list_jobs(self, run_id: str) -> list[JobRun]:
        """In the order of the schedule's jobList."""
        ...

    def get_jobs(self, run_id: str, names: Sequence[str]) -> list[JobRun]:
        """These job runs, in any order; those that there are not are left out."""
        ...

    def find_job(self, job_id: str) -> tuple[RunKey, str] | None:
        """The run and the job that the platform knows by this id; eventually consistent."""
        ...

    def remove_jobs(self, run_id: str, names: Sequence[str]) -> None:
        """Remove the rows of jobs that a restarted run does not have any more."""
        ...

    # Changes of many jobs of one run, each job at most once in a call. Every job's change has its own condition and is
    # written or not for itself; they answer the names of the jobs whose change was written.

    def claim_jobs(self, run_id: str, jobs: Sequence[JobRun], now: float) -> set[str]:
        """The intent to submit, `behind` which jobs: WAITING (or an older intent of this attempt) → SUBMITTING."""
        ...

    def release_jobs(self, run_id: str, jobs: Sequence[JobRun]) -> set[str]:
        """SUBMITTING with this very intent → WAITING: the platform certainly did not take the job."""
        ...

    def record_submissions(self, run_id: str, submitted: Sequence[tuple[JobRun, str]], now: float) -> set[str]:
        """SUBMITTING → SUBMITTED with the platform's id; also those whose id is recorded already."""
        ...

    def observe_jobs(self, run_id: str, seen: Sequence[tuple[JobRun, Observation]]) -> set[str]:
        """Record what the platform says, where it is further along than what is known, or counts children otherwise.

        A SUBMITTING job that is given without an id gets that of the observation, and `submitted_at` as it has it here.
        """
        ...

    def end_jobs(self, run_id: str, ended: Sequence[JobRun], now: float) -> set[str]:
        """End jobs that the platform does not have, or has been told to end: with status and reason as given here.

        Only those that still have the platform's id that they have here, and those without one only if nobody has begun
        to submit them since: one that was submitted meanwhile runs.

        One that is to be CANCELLED may be recorded already as FAILED for this reason, or as UPSTREAM_FAILED because an
        upstream job was cancelled with it: the event of its end was faster.

        `not_taken` says of a SKIPPED one that no rule can reach it any more.
        """
        ...

    def change_job(self, run_id: str, before: JobRun, after: JobRun) -> bool:
        """From one state to any other; False where status, attempt or mark are not what they were `before`."""
        ...

    def record_output(self, run_id: str, job: JobRun) -> bool:
        """Keep the job's `output`, or its `output_problem`, as they are now; False where another attempt has begun."""
        ...
