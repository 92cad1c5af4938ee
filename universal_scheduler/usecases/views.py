"""The JSON of runs and schedules that the API and the CLI show, made in one place."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.model import AuditEntry, JobRun, JobStatus, Mark, Run
from universal_scheduler.domain.runs.planner import Wait, Withdraw, plan, waiting_for, why_waiting
from universal_scheduler.domain.time.policies import LeftOut
from universal_scheduler.ports.store import Store

ANSWER_LIMIT_BYTES = 5 * 1024 * 1024
"""A Lambda function answers with at most 6 MB. The body in it is a JSON string, whose quotes are escaped once more.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
JOBS_SHOWN = 1000


def run_view(run: Run, jobs: Sequence[JobRun], now: float) -> dict[str, Any]:
    """A run with its jobs. A job that waits has the planner's reason. `now` is in epoch seconds."""
    planned = plan(jobs, now, run.max_concurrent_jobs, run.cancel) if not run.status.ended else None
    waiting = {
        action.name: action.reason
        for action in (planned.actions if planned else ())
        if isinstance(action, Wait | Withdraw)
    }
    waits = waiting_for(jobs, planned, now, run.cancel) if planned else ""
    return (
        run_summary(run)
        | ({"waitingFor": waits} if waits else {})
        | {
            "counts": dict(Counter(str(job.status) for job in jobs)),
            "jobs": [_job_view(job, waiting.get(job.name, "")) for job in jobs],
        }
    )


def part_of_run_view(
    run: Run, known: Mapping[str, JobRun], shown: Sequence[str], counts: Mapping[str, int], now: float
) -> dict[str, Any]:
    """A run with some of its jobs, for a display that has no room for all. The cost follows the number of shown jobs.

    `counts` says how many of all its jobs are in each state.
    """
    waiting = why_waiting(shown, known, now, run.max_concurrent_jobs, run.cancel) if not run.status.ended else {}
    jobs = [_job_view(known[name], waiting.get(name, "")) for name in shown]
    return run_summary(run) | {"counts": dict(counts), "jobs": jobs}


def run_summary(run: Run) -> dict[str, Any]:
    """A run without its jobs. Times are UTC in ISO 8601. A key without a value is absent."""
    return present(
        {
            "scheduleId": run.key.schedule_id,
            "startDateTime": run.key.start,
            "runId": run.key.run_id,
            "scheduleName": run.document.get("scheduleName"),
            "status": str(run.status),
            "reason": run.reason,
            "endDateTime": run.ended_at,
            "jobListOmitted": run.job_list_omitted or None,
            "cause": dict(run.cause),
            "parameters": dict(run.parameters),
            "generation": run.generation,
            "name": run.execution.name,
            "executionArn": run.execution.arn,
        }
    )


def schedule_view(row: Mapping[str, Any], runs: Sequence[Run] = (), paused: Mark | None = None) -> dict[str, Any]:
    """The row of a schedule, whether it is valid (if not, with its `errors`), who has paused it, and its newest
    runs."""
    schedule = {key: value for key, value in row.items() if key != "scheduleErrors"}
    errors = [error.as_dict() for error in find_errors(schedule)]
    shown: dict[str, Any] = {"scheduleId": row["scheduleId"], "valid": not errors, "schedule": schedule}
    return shown | present({"errors": errors, "paused": mark_view(paused), "runs": [run_summary(run) for run in runs]})


def audit_view(entry: AuditEntry) -> dict[str, Any]:
    """One line of the audit trail."""
    shown = {"job": entry.job, "before": entry.before, "after": entry.after, "given": dict(entry.given)}
    return mark_view(entry.mark) | present(shown)


def left_out_view(left_out: LeftOut) -> dict[str, Any]:
    """Starts that began no run, as a line of the audit trail."""
    given = {"at": left_out.at} | ({"until": left_out.until} if left_out.until != left_out.at else {})
    decided = {"by": "the scheduler", "at": iso(left_out.decided_at), "reason": left_out.reason}
    return {"verb": "left out", **decided, "given": given}


def mark_view(mark: Mark | None) -> dict[str, Any]:
    """Who did something, when (UTC), and why."""
    if mark is None:
        return {}
    return present({"verb": str(mark.verb), "by": mark.by, "at": iso(mark.at), "reason": mark.reason})


def find_execution(
    store: Store, name: str, now: float, look: Callable[[Sequence[JobRun]], Sequence[JobRun]] = list
) -> dict[str, Any] | None:
    """The run that the execution with this name drives, with its jobs; None if there is none.

    `look` may add to the jobs what their rows do not have.
    """
    run = store.find_run(name)
    return None if run is None else run_view(run, look(store.list_jobs(run.key.run_id)), now)


def within_answer(view: dict[str, Any], limit_bytes: int = ANSWER_LIMIT_BYTES) -> dict[str, Any]:
    """The view, if it fits into an answer. If not, without most of its jobs; `jobsOmitted` says how many are left out.

    Of a run, at most a thousand jobs that have not SUCCEEDED stay, and `counts` counts all. Of a schedule, no job
    stays.
    """
    text = json.dumps(view, ensure_ascii=False)
    if len(json.dumps(text, ensure_ascii=False).encode()) <= limit_bytes:
        return view
    if "schedule" in view:
        schedule = {key: value for key, value in view["schedule"].items() if key != "jobList"}
        return view | {"schedule": schedule, "jobsOmitted": len(view["schedule"].get("jobList", ()))}
    if "jobs" not in view:
        return view
    shown = [job for job in view["jobs"] if job["status"] != JobStatus.SUCCEEDED][:JOBS_SHOWN]
    return view | {"jobs": shown, "jobsOmitted": len(view["jobs"]) - len(shown)}


def _job_view(job: JobRun, waiting: str) -> dict[str, Any]:
    return present(
        {
            "jobName": job.name,
            "status": str(job.status),
            "reason": job.reason or waiting,
            "exitCode": job.exit_code,
            "jobId": job.job_id,
            "jobQueue": job.job.queue,
            "jobDefinition": job.job.definition,
            "jobDependencies": list(job.job.depends_on),
            "attempts": job.attempts,
            "operator": mark_view(job.mark),
            "logStreamName": job.log_stream,
            "children": dict(job.child_counts),
            "childrenOfAttempt": job.children,
            "output": dict(job.output or {}),
            "submittedAt": time_text(job.submitted_at),
            "startedAt": time_text(job.started_at),
            "stoppedAt": time_text(job.stopped_at),
        }
    )


def time_text(epoch: float) -> str:
    """Epoch seconds as UTC in ISO 8601; empty for 0."""
    return iso(epoch) if epoch else ""


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping without the keys that have no value."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}
