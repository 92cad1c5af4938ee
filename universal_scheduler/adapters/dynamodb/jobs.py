"""The jobs of runs over DynamoDB: one row for each, in the partition of its run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from universal_scheduler.adapters.dynamodb.bulk_write import put_items, update_items
from universal_scheduler.adapters.dynamodb.items import job_from_values, job_to_values, to_item
from universal_scheduler.adapters.dynamodb.tables import WRITE_PATIENCE_SECONDS, Tables, difference
from universal_scheduler.domain.runs.attempts import attempts_after, is_next_attempt
from universal_scheduler.domain.runs.model import JobRun, JobStatus, Observation, RunKey

REASON_COMPARED = 200
"""Characters of the reason for which a job was ended. Batch certainly repeats them when it reports the end."""
JOB_INDEX = "jobId-index"
FIRST_JOB_NAME = "0"
"""No name of a job comes before it. The sort keys of all other rows in a run's partition begin with `#`."""


class DynamoJobs(Tables):
    """`ports.jobs.Jobs` over DynamoDB."""

    def put_jobs(self, run_id: str, jobs: Iterable[JobRun]) -> None:
        # All rows of a run are in one partition, which takes 1,000 writes a second: what is left over waits.
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
        items = [to_item(job_to_values(run_id, job)) for job in jobs]
        put_items(self._client, self._jobs, items, WRITE_PATIENCE_SECONDS, self._sleep)

    def list_jobs(self, run_id: str) -> list[JobRun]:
        rows = self._query(
            TableName=self._jobs,
            KeyConditionExpression="runId = :run AND jobName >= :first",
            ExpressionAttributeValues=to_item({":run": run_id, ":first": FIRST_JOB_NAME}),
            ConsistentRead=True,
        )
        return sorted((job_from_values(row) for row in rows), key=lambda job: job.position)

    def get_jobs(self, run_id: str, names: Sequence[str]) -> list[JobRun]:
        keys = [to_item({"runId": run_id, "jobName": name}) for name in dict.fromkeys(names)]
        return [job_from_values(row) for row in self._get_all(self._jobs, keys, ConsistentRead=True)]

    def find_job(self, job_id: str) -> tuple[RunKey, str] | None:
        rows = self._query(
            TableName=self._jobs,
            IndexName=JOB_INDEX,
            KeyConditionExpression="jobId = :job",
            ExpressionAttributeValues={":job": {"S": job_id}},
        )
        return next(((RunKey.of(row["runId"]), row["jobName"]) for row in rows), None)

    def remove_jobs(self, run_id: str, names: Sequence[str]) -> None:
        for name in names:
            self._client.delete_item(TableName=self._jobs, Key=to_item({"runId": run_id, "jobName": name}))

    def claim_jobs(self, run_id: str, jobs: Sequence[JobRun], now: float) -> set[str]:
        return self._change_jobs(
            run_id,
            [
                _forward(
                    job,
                    JobStatus.SUBMITTING,
                    {"intentAt": now, "behind": dict(job.behind), "follows": job.follows or None},
                    # Only what was seen may be claimed: a second claimer finds another intent than the one it saw.
                    condition="attempt = :attempt AND jobStatus = :seen"
                    " AND (attribute_not_exists(intentAt) OR intentAt = :old)",
                    values={":seen": str(job.status), ":old": job.intent_at},
                )
                for job in jobs
            ],
        )

    def release_jobs(self, run_id: str, jobs: Sequence[JobRun]) -> set[str]:
        return self._change_jobs(
            run_id,
            [
                _Change(
                    job.name,
                    "SET jobStatus = :waiting, statusRank = :rank REMOVE intentAt",
                    {
                        ":waiting": str(JobStatus.WAITING),
                        ":rank": JobStatus.WAITING.rank,
                        ":attempt": job.attempt,
                        ":submitting": str(JobStatus.SUBMITTING),
                        ":intent": job.intent_at,
                    },
                    "attempt = :attempt AND jobStatus = :submitting AND intentAt = :intent",
                )
                for job in jobs
            ],
        )

    def record_submissions(self, run_id: str, submitted: Sequence[tuple[JobRun, str]], now: float) -> set[str]:
        taken = self._change_jobs(
            run_id,
            [
                _forward(
                    job,
                    JobStatus.SUBMITTED,
                    {"jobId": job_id, "submittedAt": now},
                    condition="attempt = :attempt AND jobStatus = :submitting",
                    values={":submitting": str(JobStatus.SUBMITTING)},
                )
                for job, job_id in submitted
            ],
        )
        # Or it is done: the SDK repeats a call whose answer was lost, and an event may be faster than we are.
        others = {job.name: job_id for job, job_id in submitted if job.name not in taken}
        known = self.get_jobs(run_id, list(others)) if others else []
        return taken | {job.name for job in known if job.job_id == others[job.name]}

    def observe_jobs(self, run_id: str, seen: Sequence[tuple[JobRun, Observation]]) -> set[str]:
        return self._change_jobs(run_id, [_observed(job, observation) for job, observation in seen])

    def end_jobs(self, run_id: str, ended: Sequence[JobRun], now: float) -> set[str]:
        return self._change_jobs(
            run_id,
            [
                _forward(
                    job,
                    job.status,
                    {"statusReason": job.reason, "stoppedAt": now, "notTaken": job.not_taken or None},
                    condition=f"attempt = :attempt AND {_same_id(job)} AND (statusRank < :rank"
                    " OR (:new_jobStatus = :cancelled AND (jobStatus = :behind"
                    " OR (jobStatus = :failed AND begins_with(statusReason, :said)))))",
                    values={
                        ":rank": job.status.rank,
                        ":cancelled": str(JobStatus.CANCELLED),
                        ":failed": str(JobStatus.FAILED),
                        ":behind": str(JobStatus.UPSTREAM_FAILED),
                        ":said": job.reason[:REASON_COMPARED] or " ",
                    }
                    | ({":job": job.job_id} if job.job_id else {":intent": job.intent_at} if job.intent_at else {}),
                )
                for job in ended
            ],
        )

    def change_job(self, run_id: str, before: JobRun, after: JobRun) -> bool:
        return self._conditional("update_item", **self._job_change(run_id, before, after)["Update"])

    def _job_change(self, run_id: str, before: JobRun, after: JobRun) -> dict[str, Any]:
        """The update of what is different, on condition that the job is what it was."""
        old, new = job_to_values(run_id, before), job_to_values(run_id, after)
        expected = {key: old[key] for key in ("jobStatus", "attempt", "operator")}
        key = to_item({"runId": run_id, "jobName": before.name})
        return {"Update": {"TableName": self._jobs, "Key": key, **difference(old, new, expected)}}

    def record_output(self, run_id: str, job: JobRun) -> bool:
        name, value = "outputText", json.dumps(job.output)
        if job.output is None:
            name, value = "outputProblem", job.output_problem
        return self._update(
            self._jobs,
            {"runId": run_id, "jobName": job.name},
            f"SET {name} = :value",
            {":value": value, ":attempt": job.attempt, ":succeeded": str(JobStatus.SUCCEEDED)},
            "attempt = :attempt AND jobStatus = :succeeded",
        )

    def _change_jobs(self, run_id: str, changes: Sequence[_Change]) -> set[str]:
        """Write each change whose condition holds; answers the names of their jobs."""
        updates = {
            change.name: {
                "TableName": self._jobs,
                "Key": {"runId": {"S": run_id}, "jobName": {"S": change.name}},
                "UpdateExpression": change.expression,
                "ConditionExpression": change.condition,
                "ExpressionAttributeValues": to_item(change.values),
            }
            for change in changes
        }
        return update_items(self._client, updates, WRITE_PATIENCE_SECONDS, self._sleep)


@dataclass(frozen=True, slots=True)
class _Change:
    """An update of one job's row, on a condition."""

    name: str
    expression: str
    values: Mapping[str, Any]
    condition: str


def _forward(
    job: JobRun, status: JobStatus, changes: Mapping[str, Any], *, condition: str, values: Mapping[str, Any]
) -> _Change:
    """To another status; what is None in `changes` stays as it is."""
    written = {"jobStatus": str(status), "statusRank": status.rank, **changes}
    written = {key: value for key, value in written.items() if value is not None}
    return _Change(
        job.name,
        "SET " + ", ".join(f"{key} = :new_{key}" for key in written),
        {f":new_{key}": value for key, value in written.items()} | {":attempt": job.attempt} | dict(values),
        condition,
    )


def _observed(job: JobRun, seen: Observation) -> _Change:
    """To what the platform says; of a job that is given without an id also that the platform has it."""
    change = _forward(
        job,
        seen.status,
        {
            "statusReason": seen.reason or None,
            "exitCode": seen.exit_code,
            "logStreamName": seen.log_stream or None,
            "startedAt": seen.started_at or None,
            "stoppedAt": seen.stopped_at or None,
            "childCounts": dict(seen.child_counts) or None,
            "attempts": attempts_after(job, seen) or None,
        },
        condition=f"attempt = :attempt AND jobId = :job"
        f" AND (statusRank < :rank{_counted(seen)}{_tried_again(job, seen)})",
        values={":job": seen.job_id, ":rank": seen.status.rank},
    )
    if job.job_id:
        return change
    return _Change(
        job.name,
        f"{change.expression}, jobId = :job, submittedAt = if_not_exists(submittedAt, :submitted)",
        {**change.values, ":submitted": job.submitted_at, ":submitting": str(JobStatus.SUBMITTING)},
        f"(attempt = :attempt AND jobStatus = :submitting) OR ({change.condition})",
    )


def _same_id(job: JobRun) -> str:
    """Of a job without an id also that nobody has begun to submit it since."""
    if job.job_id:
        return "jobId = :job"
    intent = "intentAt = :intent" if job.intent_at else "attribute_not_exists(intentAt)"
    return f"attribute_not_exists(jobId) AND {intent}"


def _tried_again(job: JobRun, seen: Observation) -> str:
    """That a job runs already, and this is its next attempt."""
    return " OR (jobStatus = :new_jobStatus AND attempts < :new_attempts)" if is_next_attempt(job, seen) else ""


def _counted(seen: Observation) -> str:
    """That an array job has not moved on, and its children have."""
    if not seen.child_counts or seen.status.ended:
        return ""
    return " OR (jobStatus = :new_jobStatus AND childCounts <> :new_childCounts)"
