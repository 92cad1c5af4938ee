"""Job runs in dictionaries, one for each run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from universal_scheduler.adapters.memory.state import Memory
from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.attempts import attempts_after
from universal_scheduler.domain.runs.model import JobRun, JobStatus, Observation, RunKey
from universal_scheduler.domain.runs.observations import is_news


class MemoryJobs(Memory):
    """`ports.jobs` in dictionaries."""

    def put_jobs(self, run_id: str, jobs: Iterable[JobRun]) -> None:
        self._write(run_id, jobs)

    def list_jobs(self, run_id: str) -> list[JobRun]:
        return sorted(self.jobs.get(run_id, {}).values(), key=lambda job: job.position)

    def get_jobs(self, run_id: str, names: Sequence[str]) -> list[JobRun]:
        jobs = self.jobs.get(run_id, {})
        return [jobs[name] for name in dict.fromkeys(names) if name in jobs]

    def find_job(self, job_id: str) -> tuple[RunKey, str] | None:
        for run_id, jobs in self.jobs.items():
            for job in jobs.values():
                if job.job_id == job_id:
                    return RunKey.of(run_id), job.name
        return None

    def remove_jobs(self, run_id: str, names: Sequence[str]) -> None:
        for name in names:
            self.jobs[run_id].pop(name, None)

    def claim_jobs(self, run_id: str, jobs: Sequence[JobRun], now: float) -> set[str]:
        return self._write(
            run_id,
            (
                replace(known, status=JobStatus.SUBMITTING, intent_at=now, behind=job.behind, follows=job.follows)
                for job in jobs
                for known in self._attempt(run_id, job)
                if known.status is job.status and known.intent_at == job.intent_at
            ),
        )

    def release_jobs(self, run_id: str, jobs: Sequence[JobRun]) -> set[str]:
        return self._write(
            run_id,
            (
                replace(known, status=JobStatus.WAITING, intent_at=0.0)
                for job in jobs
                for known in self._attempt(run_id, job)
                if known.status is JobStatus.SUBMITTING and known.intent_at == job.intent_at
            ),
        )

    def record_submissions(self, run_id: str, submitted: Sequence[tuple[JobRun, str]], now: float) -> set[str]:
        pairs = [(known, job_id) for job, job_id in submitted for known in self._attempt(run_id, job)]
        # Or it is done, by this very call, or by an event that was faster.
        return {known.name for known, job_id in pairs if known.job_id == job_id} | self._write(
            run_id,
            (
                replace(known, status=JobStatus.SUBMITTED, job_id=job_id, submitted_at=now)
                for known, job_id in pairs
                if known.status is JobStatus.SUBMITTING
            ),
        )

    def observe_jobs(self, run_id: str, seen: Sequence[tuple[JobRun, Observation]]) -> set[str]:
        return self._write(
            run_id,
            (
                replace(
                    known,
                    job_id=observation.job_id,
                    submitted_at=known.submitted_at or job.submitted_at,
                    status=observation.status,
                    reason=observation.reason or known.reason,
                    exit_code=known.exit_code if observation.exit_code is None else observation.exit_code,
                    log_stream=observation.log_stream or known.log_stream,
                    started_at=observation.started_at or known.started_at,
                    stopped_at=observation.stopped_at or known.stopped_at,
                    child_counts=observation.child_counts or known.child_counts,
                    attempts=attempts_after(known, observation),
                )
                for job, observation in seen
                for known in self._attempt(run_id, job)
                if (known.job_id == observation.job_id and is_news(known, observation))
                or (known.status is JobStatus.SUBMITTING and not job.job_id)
            ),
        )

    def end_jobs(self, run_id: str, ended: Sequence[JobRun], now: float) -> set[str]:
        return self._write(
            run_id,
            (
                replace(known, status=job.status, not_taken=job.not_taken, reason=job.reason, stopped_at=now)
                for job in ended
                for known in self._attempt(run_id, job)
                if known.job_id == job.job_id
                and (known.job_id or known.intent_at == job.intent_at)
                and (known.status.rank < job.status.rank or _ended_so(known, job))
            ),
        )

    def change_job(self, run_id: str, before: JobRun, after: JobRun) -> bool:
        unchanged = [
            after
            for known in self._attempt(run_id, before)
            if (known.status, known.mark) == (before.status, before.mark)
        ]
        return bool(self._write(run_id, unchanged))

    def record_output(self, run_id: str, job: JobRun) -> bool:
        recorded = [
            replace(known, output=job.output, output_problem=job.output_problem)
            for known in self._attempt(run_id, job)
            if known.status is JobStatus.SUCCEEDED
        ]
        return bool(self._write(run_id, recorded))

    def _write(self, run_id: str, changed: Iterable[JobRun]) -> set[str]:
        """Write these over what is there; answers their names."""
        written = {job.name: job for job in changed}
        self.jobs.setdefault(run_id, {}).update(written)
        if self.on_write is not None and written:
            self.on_write(written.values())
        return set(written)

    def _attempt(self, run_id: str, job: JobRun) -> list[JobRun]:
        """The job as it is known, where it is still at this attempt."""
        known = self.jobs.get(run_id, {}).get(job.name)
        return [known] if known is not None and known.attempt == job.attempt else []


def _ended_so(known: JobRun, job: JobRun) -> bool:
    """Whether the job FAILED because it was cancelled, or never started because an upstream job was."""
    if job.status is not JobStatus.CANCELLED:
        return False
    failed = known.status is JobStatus.FAILED and bool(job.reason) and known.reason.startswith(job.reason)
    return failed or known.status is JobStatus.UPSTREAM_FAILED
