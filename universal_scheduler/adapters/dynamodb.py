"""The store over DynamoDB: three tables, one conditional write for each legal change of state."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from universal_scheduler.adapters.bulk_write import Patience, put_items, update_items, write_if, write_together
from universal_scheduler.adapters.items import (
    AUDIT_PREFIX,
    PAUSED_KEY,
    RUN_KEYS,
    SORT_KEY_LIMIT_BYTES,
    WATCHED,
    audit_from_values,
    audit_to_values,
    followers_of,
    from_item,
    item_size,
    job_from_values,
    job_to_values,
    mark_from_value,
    mark_to_value,
    may_be_key,
    run_from_values,
    run_to_values,
    schedule_to_item,
    to_attribute,
    to_item,
)
from universal_scheduler.domain.runs.attempts import attempts_after, is_next_attempt
from universal_scheduler.domain.runs.model import (
    AuditEntry,
    Changes,
    JobRun,
    JobStatus,
    Mark,
    Observation,
    Run,
    RunKey,
    RunStatus,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

WRITE_PATIENCE_SECONDS = 30.0
"""How long a call waits in all for throttled writes; the functions have a minute."""
READ_CHUNK = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""
REASON_TOLD = 200
"""So much of the reason why a job was to be ended is surely in what Batch tells of its end."""
JOB_LIST_LIMIT_BYTES = 350 * 1024
"""With what else is in the row; the rest is for what comes at its end."""
SHOWN_OF_A_RUN = (
    "scheduleId",
    "startDateTime",
    "scheduleName",
    "category",
    "wait_time",
    "maxConcurrentJobs",
    "parameters",
    *sorted(RUN_KEYS),
)
"""What lists and views of runs need; above all not `jobList`, which may have 350 KB."""
EXECUTION_INDEX = "executionName-index"
JOB_INDEX = "jobId-index"
FIRST_JOB_NAME = "0"
"""No job's name comes before it; those of the other rows in a run's partition begin with `#`."""
RESTARTED = frozenset({"scheduleStatus", "executionArn", "executionName", "generation", "cause", "runId", *WATCHED})
"""What a restart writes into a run's row in any case: rows of the reference design have none of it."""


class DynamoStore:
    """`ports.Store` over a boto3 DynamoDB client."""

    def __init__(
        self,
        client: DynamoDBClient,
        *,
        schedules: str,
        history: str,
        jobs: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._sleep = client, sleep
        self._schedules, self._history, self._jobs = schedules, history, jobs

    # Schedules

    def get_schedule(self, schedule_id: str) -> dict[str, Any] | None:
        return self._get(self._schedules, {"scheduleId": schedule_id}) if may_be_key(schedule_id) else None

    def put_schedule(self, row: Mapping[str, Any]) -> bool:
        answer = self._client.put_item(TableName=self._schedules, Item=schedule_to_item(row), ReturnValues="ALL_OLD")
        return not answer.get("Attributes")

    def record_schedule_errors(self, schedule_id: str, errors: Sequence[Mapping[str, str]]) -> None:
        kept = list(errors)
        while True:
            change = ("SET scheduleErrors = :e", {":e": kept}) if kept else ("REMOVE scheduleErrors", {})
            try:
                self._update(self._schedules, {"scheduleId": schedule_id}, *change, "attribute_exists(scheduleId)")
            except ClientError as error:
                if not kept or not _over_the_item_limit(error):
                    raise
                kept = kept[: len(kept) // 2]
            else:
                return

    def list_schedules(self) -> list[dict[str, Any]]:
        return sorted(self._scan(TableName=self._schedules), key=lambda row: str(row["scheduleId"]))

    def followers(self) -> dict[str, list[str]]:
        rows = self._scan(
            TableName=self._schedules,
            FilterExpression="attribute_exists(#trigger.#after) AND attribute_not_exists(scheduleErrors)",
            ProjectionExpression="scheduleId, #trigger",
            ExpressionAttributeNames={"#trigger": "trigger", "#after": "after"},
        )
        return followers_of(rows)

    # Runs

    def create_run(self, run: Run) -> bool:
        return self._conditional(
            "put_item",
            TableName=self._history,
            Item=to_item(run_to_values(run)),
            ConditionExpression="attribute_not_exists(scheduleId) OR executionArn = :arn",
            ExpressionAttributeValues={":arn": {"S": run.execution.arn}},
        )

    def restart_run(self, run: Run, of: Run, entry: AuditEntry | None = None) -> bool:
        old = {key: value for key, value in run_to_values(of).items() if key not in RESTARTED}
        old |= {"lastDateTime": of.ended_at, "statusReason": of.reason}  # and neither of them any more
        expected = {"generation": of.generation or None, "verbCount": of.verb_count or None}
        change = _difference(old, run_to_values(run), expected)
        change["ConditionExpression"] += " AND attribute_exists(scheduleId)"
        if self._together(self._run_change(run, change), *self._audit_puts(run, entry)):
            return True
        known = self.get_run(run.key)  # or it is done already, and its answer was lost
        return known is not None and known.execution == run.execution

    def restart_done(self, run: Run) -> None:
        values = {":arn": run.execution.arn}
        self._update(self._history, _run_key(run.key), "REMOVE restarting", values, "executionArn = :arn")

    def finish_run(
        self, run: Run, status: RunStatus, reason: str, ended_at: str, job_list: Sequence[Mapping[str, Any]]
    ) -> bool:
        shown: Sequence[Mapping[str, Any]] = job_list
        others = item_size(to_item(run_to_values(run)))
        if others + item_size({"jobList": to_attribute(list(job_list))}) > JOB_LIST_LIMIT_BYTES:
            shown = []  # too many for one item: the jobs table has them all
        return self._update(
            self._history,
            _run_key(run.key),
            "SET scheduleStatus = :status, statusReason = :reason, lastDateTime = :ended, jobList = :jobs",
            {
                ":status": str(status),
                ":reason": reason[:4096],
                ":ended": ended_at,
                ":jobs": list(shown),
                ":generation": run.generation,
                ":running": str(RunStatus.RUNNING),
            }
            | ({":verbs": run.verb_count} if run.verb_count else {}),
            "generation = :generation AND scheduleStatus = :running AND "
            + ("verbCount = :verbs" if run.verb_count else "attribute_not_exists(verbCount)"),
        )

    def get_run(self, key: RunKey) -> Run | None:
        if not (may_be_key(key.schedule_id) and may_be_key(key.start, SORT_KEY_LIMIT_BYTES)):
            return None
        row = self._get(self._history, {"scheduleId": key.schedule_id, "startDateTime": key.start})
        return None if row is None else run_from_values(row)

    def find_run(self, execution_name: str) -> Run | None:
        if not may_be_key(execution_name):
            return None
        rows = self._query(
            TableName=self._history,
            IndexName=EXECUTION_INDEX,
            KeyConditionExpression="executionName = :name",
            ExpressionAttributeValues={":name": {"S": execution_name}},
        )
        keys = [RunKey(row["scheduleId"], row["startDateTime"]) for row in rows]
        return self.get_run(keys[0]) if keys else None

    def list_runs(self, schedule_id: str | None, limit: int) -> list[Run]:
        shown = {
            "TableName": self._history,
            "ProjectionExpression": ", ".join(f"#{name}" for name in SHOWN_OF_A_RUN),
            "ExpressionAttributeNames": {f"#{name}": name for name in SHOWN_OF_A_RUN},
        }
        if schedule_id is not None and not may_be_key(schedule_id):
            return []
        if schedule_id is None:
            rows = list(self._scan(**shown))
        else:
            newest_first = self._query(
                **shown,
                KeyConditionExpression="#scheduleId = :id",
                ExpressionAttributeValues={":id": {"S": schedule_id}},
                ScanIndexForward=False,
            )
            rows = list(islice(newest_first, limit))
        runs = [run_from_values(row) for row in rows]
        return sorted(runs, key=lambda run: run.key.start, reverse=True)[:limit]

    def recorded_jobs(self, key: RunKey) -> list[dict[str, Any]]:
        row = self._get(self._history, {"scheduleId": key.schedule_id, "startDateTime": key.start})
        jobs = (row or {}).get("jobList", [])
        return [job for job in jobs if isinstance(job, dict)]

    # Job runs

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
        found: list[JobRun] = []
        wanted = list(dict.fromkeys(names))
        for start in range(0, len(wanted), READ_CHUNK):
            keys = [to_item({"runId": run_id, "jobName": name}) for name in wanted[start : start + READ_CHUNK]]
            pending: Any = {self._jobs: {"Keys": keys, "ConsistentRead": True}}
            while pending:
                answer = self._client.batch_get_item(RequestItems=pending)
                found += [job_from_values(from_item(item)) for item in answer["Responses"].get(self._jobs, ())]
                pending = answer.get("UnprocessedKeys")
        return found

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

    def end_jobs(self, run_id: str, ended: Sequence[JobRun], now: float) -> set[str]:
        return self._change_jobs(
            run_id,
            [
                _forward(
                    job,
                    job.status,
                    {"statusReason": job.reason, "stoppedAt": now, "notTaken": job.not_taken or None},
                    condition=f"attempt = :attempt AND {_same_id(job)} AND (statusRank < :rank"
                    " OR (:new_jobStatus = :cancelled AND jobStatus = :failed AND begins_with(statusReason, :said)))",
                    values={
                        ":rank": job.status.rank,
                        ":cancelled": str(JobStatus.CANCELLED),
                        ":failed": str(JobStatus.FAILED),
                        ":said": job.reason[:REASON_TOLD] or " ",
                    }
                    | ({":job": job.job_id} if job.job_id else {}),
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
        return {"Update": {"TableName": self._jobs, "Key": key, **_difference(old, new, expected)}}

    def observe_jobs(self, run_id: str, seen: Sequence[tuple[JobRun, Observation]]) -> set[str]:
        return self._change_jobs(
            run_id,
            [
                _forward(
                    job,
                    observation.status,
                    {
                        "statusReason": observation.reason or None,
                        "exitCode": observation.exit_code,
                        "logStreamName": observation.log_stream or None,
                        "startedAt": observation.started_at or None,
                        "stoppedAt": observation.stopped_at or None,
                        "childCounts": dict(observation.child_counts) or None,
                        "attempts": attempts_after(job, observation) or None,
                    },
                    condition="attempt = :attempt AND jobId = :job"
                    f" AND (statusRank < :rank{_counted(observation)}{_tried_again(job, observation)})",
                    values={":job": observation.job_id, ":rank": observation.status.rank},
                )
                for job, observation in seen
            ],
        )

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

    # What has happened to a run while its execution waits: one row beside those of its jobs

    def changes(self, run_id: str) -> Changes:
        row = self._get(self._jobs, _wait_key(run_id)) or {}
        return Changes(row.get("changeSeq", 0), row.get("endCount", 0))

    def count_change(self, run_id: str, ended: int, urgent: bool) -> str:
        answer = self._client.update_item(
            TableName=self._jobs,
            Key=to_item(_wait_key(run_id)),
            UpdateExpression="ADD changeSeq :urgent, endCount :ended",
            ExpressionAttributeValues=to_item({":urgent": int(urgent), ":ended": ended}),
            ReturnValues="ALL_NEW",
        )
        row = from_item(answer["Attributes"])
        return str(row.get("waitToken", "")) if urgent or row["endCount"] >= row.get("waitUntil", 0) else ""

    def park(self, run_id: str, generation: int, token: str, seen: Changes, ends_needed: int, turn: int = 0) -> bool:
        return self._update(
            self._jobs,
            _wait_key(run_id),
            "SET waitToken = :token, waitUntil = :until, waitSeq = :seen, generation = :generation, parkedTurn = :turn",
            {
                ":token": token,
                ":until": seen.ended + ends_needed,
                ":generation": generation,
                ":turn": turn,
                ":seen": seen.urgent,
            },
            "(attribute_not_exists(generation) OR generation < :generation"
            " OR (generation = :generation AND (attribute_not_exists(parkedTurn) OR parkedTurn <= :turn)))"
            " AND (attribute_not_exists(changeSeq) OR changeSeq = :seen)"
            " AND (attribute_not_exists(endCount) OR endCount < :until)",
        )

    def clear_token(self, run_id: str, token: str = "") -> None:
        values = {":token": token} if token else {}
        condition = "waitToken = :token" if token else "attribute_exists(waitToken)"
        self._update(self._jobs, _wait_key(run_id), "REMOVE waitToken", values, condition)

    # What operators do

    def change_by_verb(self, run: Run, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        acted = replace(run, verb_count=run.verb_count + 1)
        return self._together(
            self._run_change(run, _acted_on(run, acted)),
            self._job_change(run.key.run_id, before, after),
            *self._audit_puts(acted, entry),
        )

    def refuse_late(self, run_id: str, before: JobRun, after: JobRun, entry: AuditEntry) -> bool:
        audited = audit_to_values(run_id, entry, before.attempt)
        return self._together(self._job_change(run_id, before, after), self._put_new(audited))

    def ask_for_end(self, run: Run, entry: AuditEntry) -> bool:
        acted = replace(run, verb_count=run.verb_count + 1)
        before = replace(run, cancel=None)
        return self._together(self._run_change(run, _acted_on(before, acted)), *self._audit_puts(acted, entry))

    def pause(self, schedule_id: str, entry: AuditEntry) -> bool:
        item = {**_paused_key(schedule_id), **(mark_to_value(entry.mark) or {})}
        return self._together(self._put_new(item), self._put_new(audit_to_values(schedule_id, entry, 0)))

    def resume(self, schedule_id: str, entry: AuditEntry) -> bool:
        taken = {
            "TableName": self._jobs,
            "Key": to_item(_paused_key(schedule_id)),
            "ConditionExpression": "attribute_exists(jobName)",
        }
        return self._together({"Delete": taken}, self._put_new(audit_to_values(schedule_id, entry, 0)))

    def paused(self, schedule_id: str) -> Mark | None:
        return mark_from_value(self._get(self._jobs, _paused_key(schedule_id)))

    def audit(self, owner: str) -> list[AuditEntry]:
        rows = self._query(
            TableName=self._jobs,
            KeyConditionExpression="runId = :owner AND begins_with(jobName, :audit)",
            ExpressionAttributeValues=to_item({":owner": owner, ":audit": AUDIT_PREFIX}),
            ConsistentRead=True,
        )
        return [audit_from_values(row) for row in rows]

    def _run_change(self, run: Run, expressions: Mapping[str, Any]) -> dict[str, Any]:
        return {"Update": {"TableName": self._history, "Key": to_item(_run_key(run.key)), **expressions}}

    def _audit_puts(self, run: Run, entry: AuditEntry | None) -> list[dict[str, Any]]:
        return [] if entry is None else [self._put_new(audit_to_values(run.key.run_id, entry, run.verb_count))]

    def _put_new(self, values: Mapping[str, Any]) -> dict[str, Any]:
        absent = "attribute_not_exists(jobName)"
        return {"Put": {"TableName": self._jobs, "Item": to_item(values), "ConditionExpression": absent}}

    def _together(self, *writes: Any) -> bool:
        return write_together(self._client, writes, WRITE_PATIENCE_SECONDS, self._sleep)

    # DynamoDB

    def _get(self, table: str, key: Mapping[str, str]) -> dict[str, Any] | None:
        answer = self._client.get_item(TableName=table, Key=to_item(key), ConsistentRead=True)
        return from_item(answer["Item"]) if "Item" in answer else None

    def _update(
        self, table: str, key: Mapping[str, str], expression: str, values: Mapping[str, Any], condition: str
    ) -> bool:
        given = {"ExpressionAttributeValues": to_item(values)} if values else {}
        return self._conditional(
            "update_item",
            TableName=table,
            Key=to_item(key),
            UpdateExpression=expression,
            ConditionExpression=condition,
            **given,
        )

    def _conditional(self, operation: str, **request: Any) -> bool:
        patience = Patience(WRITE_PATIENCE_SECONDS, self._sleep)
        return write_if(lambda: getattr(self._client, operation)(**request), patience)

    def _query(self, **request: Any) -> Iterator[dict[str, Any]]:
        for page in self._client.get_paginator("query").paginate(**request):
            yield from map(from_item, page["Items"])

    def _scan(self, **request: Any) -> Iterator[dict[str, Any]]:
        for page in self._client.get_paginator("scan").paginate(**request):
            yield from map(from_item, page["Items"])


def _acted_on(old: Run, new: Run) -> dict[str, Any]:
    """The expressions for a run that operators may act on as it was read, and only so."""
    before = run_to_values(old)
    as_read = ("scheduleStatus", "generation", "cancelAsked", "verbCount", "restarting")
    return _difference(before, run_to_values(new), {key: before[key] or None for key in as_read})


def _paused_key(schedule_id: str) -> dict[str, str]:
    return {"runId": schedule_id, "jobName": PAUSED_KEY}


def _difference(old: Mapping[str, Any], new: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """The expressions that make a row `new` where it is `old`, on condition that it has what is `expected`."""
    changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    put = [key for key in changed if new.get(key) is not None]
    gone = [key for key in changed if new.get(key) is None]
    update = ("SET " + ", ".join(f"#{key} = :new_{key}" for key in put)) if put else ""
    update += (" REMOVE " + ", ".join(f"#{key}" for key in gone)) if gone else ""
    conditions = [
        f"attribute_not_exists(#{key})" if value is None else f"#{key} = :old_{key}" for key, value in expected.items()
    ]
    values = {f":new_{key}": new[key] for key in put} | {f":old_{key}": value for key, value in expected.items()}
    return {
        "UpdateExpression": update,
        "ConditionExpression": " AND ".join(conditions),
        "ExpressionAttributeNames": {f"#{key}": key for key in {*changed, *expected}},
        "ExpressionAttributeValues": to_item(values),
    }


def _wait_key(run_id: str) -> dict[str, str]:
    return {"runId": run_id, "jobName": "#wake"}


def _run_key(key: RunKey) -> dict[str, str]:
    return {"scheduleId": key.schedule_id, "startDateTime": key.start}


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


def _same_id(job: JobRun) -> str:
    return "jobId = :job" if job.job_id else "attribute_not_exists(jobId)"


def _tried_again(job: JobRun, seen: Observation) -> str:
    """That a job runs already, and this is its next attempt."""
    return " OR (jobStatus = :new_jobStatus AND attempts < :new_attempts)" if is_next_attempt(job, seen) else ""


def _counted(seen: Observation) -> str:
    """That an array job has not moved on, and its children have."""
    if not seen.child_counts or seen.status.ended:
        return ""
    return " OR (jobStatus = :new_jobStatus AND childCounts <> :new_childCounts)"


def _over_the_item_limit(error: ClientError) -> bool:
    """DynamoDB has no code of its own for it: "Item size to update has exceeded the maximum allowed size"."""
    told = error.response.get("Error", {})
    return told.get("Code") == "ValidationException" and "size" in told.get("Message", "")
