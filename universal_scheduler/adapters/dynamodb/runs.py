"""Runs over DynamoDB: one row for each, in the history table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from universal_scheduler.adapters.dynamodb.audit import Audited
from universal_scheduler.adapters.dynamodb.bulk_write import put_items
from universal_scheduler.adapters.dynamodb.items import (
    RUN_KEYS,
    SORT_KEY_LIMIT_BYTES,
    WATCHED,
    item_size,
    may_be_key,
    run_from_values,
    run_to_values,
    start_day,
    to_attribute,
    to_item,
)
from universal_scheduler.adapters.dynamodb.passes import Passes
from universal_scheduler.adapters.dynamodb.tables import WRITE_PATIENCE_SECONDS, difference, run_key
from universal_scheduler.domain.runs.model import AuditEntry, Run, RunKey, RunStatus

JOB_LIST_LIMIT_BYTES = 350 * 1024
"""The size of a row with its `jobList`. The rest of the 400 KB is for what the end of the run adds."""
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
"""The attributes that lists and views of runs need. `jobList`, which may have 350 KB, is not among them."""
SHOWN: Any = {
    "ProjectionExpression": ", ".join(f"#{name}" for name in SHOWN_OF_A_RUN),
    "ExpressionAttributeNames": {f"#{name}": name for name in SHOWN_OF_A_RUN},
}
EXECUTION_INDEX = "executionName-index"
DAY_INDEX = "startDay-index"
DAYS_KEY = "#days"
"""The partition of the jobs table with a row for each day on which a run has started."""
RUNS_PASS = "#runs"
RESTARTED = frozenset({"scheduleStatus", "executionArn", "executionName", "generation", "cause", "runId", *WATCHED})
"""The attributes that a restart always writes, because rows of the reference design do not have them."""


class DynamoRuns(Passes, Audited):
    """`ports.runs.Runs` over DynamoDB."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._noted_days: set[str] = set()

    def create_run(self, run: Run) -> bool:
        self._note_days([start_day(run.key.start)])
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
        change = difference(old, run_to_values(run), expected)
        change["ConditionExpression"] += " AND attribute_exists(scheduleId)"
        if self._together(self._run_change(run, change), *self._audit_puts(run, entry)):
            return True
        known = self.get_run(run.key)  # or it is done already, and its answer was lost
        return known is not None and known.execution == run.execution

    def finish_preparing(self, run: Run) -> None:
        values = {":arn": run.execution.arn}
        self._update(self._history, run_key(run.key), "REMOVE preparing", values, "executionArn = :arn")

    def finish_run(
        self, run: Run, status: RunStatus, reason: str, ended_at: str, job_list: Sequence[Mapping[str, Any]]
    ) -> bool:
        # The function of an earlier version may have made the run after the sweeps had looked at all rows.
        day = start_day(run.key.start)
        self._note_days([day])
        others = item_size(to_item(run_to_values(run)))
        fits = others + item_size({"jobList": to_attribute(list(job_list))}) <= JOB_LIST_LIMIT_BYTES
        kept = {"jobs": list(job_list)} if fits else {"jobs": [], "omitted": len(job_list)}
        return self._update(
            self._history,
            run_key(run.key),
            "SET scheduleStatus = :status, statusReason = :reason, lastDateTime = :ended, jobList = :jobs"
            ", startDay = :day" + (" REMOVE jobListOmitted" if fits else ", jobListOmitted = :omitted"),
            {
                ":status": str(status),
                ":reason": reason[:4096],
                ":ended": ended_at,
                ":day": day,
                **{f":{name}": value for name, value in kept.items()},
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

    def list_runs(self, schedule_id: str | None, limit: int, since: str = "") -> list[Run]:
        if schedule_id is None:
            newest = self._newest_keys(limit, since) if self._ever_complete(RUNS_PASS) else None
            rows = self._scan_runs(since) if newest is None else self._get_all(self._history, newest, **SHOWN)
        else:
            rows = self._runs_of(schedule_id, limit, since) if may_be_key(schedule_id) else iter(())
        runs = [run_from_values(row) for row in rows]
        return sorted(runs, key=lambda run: (run.key.start, run.key.schedule_id), reverse=True)[:limit]

    def index_runs(self, rows: int) -> bool:
        if self._ever_complete(RUNS_PASS):
            return True
        found, last = self._next_slice(
            RUNS_PASS,
            TableName=self._history,
            Limit=rows,
            FilterExpression="attribute_not_exists(startDay)",
            ProjectionExpression="scheduleId, startDateTime",
        )
        self._note_days([start_day(row["startDateTime"]) for row in found])
        for row in found:
            day = {":day": start_day(row["startDateTime"])}
            self._update(self._history, row, "SET startDay = :day", day, "attribute_exists(scheduleId)")
        return self._slice_done(RUNS_PASS, last)

    def _runs_of(self, schedule_id: str, limit: int, since: str) -> Iterator[dict[str, Any]]:
        newest_first = self._query(
            **SHOWN,
            TableName=self._history,
            KeyConditionExpression="#scheduleId = :id" + (" AND #startDateTime >= :since" if since else ""),
            ExpressionAttributeValues=to_item({":id": schedule_id, ":since": since or None}),
            ScanIndexForward=False,
            PaginationConfig={"PageSize": limit},
        )
        return islice(newest_first, limit)

    def _newest_keys(self, limit: int, since: str) -> list[Any]:
        """The keys of the newest runs of all schedules, read from the index day by day, backwards."""
        newest_first = {"ScanIndexForward": False, "PaginationConfig": {"PageSize": limit}}
        days = self._query(
            **newest_first,
            TableName=self._jobs,
            KeyConditionExpression="runId = :days" + (" AND jobName >= :day" if since else ""),
            ExpressionAttributeValues=to_item({":days": DAYS_KEY, ":day": start_day(since) or None}),
        )
        rows = (
            row
            for day in days
            for row in self._query(
                **newest_first,
                TableName=self._history,
                IndexName=DAY_INDEX,
                KeyConditionExpression="startDay = :day" + (" AND startDateTime >= :since" if since else ""),
                ExpressionAttributeValues=to_item({":day": day["jobName"], ":since": since or None}),
            )
        )
        return [to_item(run_key(RunKey(row["scheduleId"], row["startDateTime"]))) for row in islice(rows, limit)]

    def _scan_runs(self, since: str) -> Iterator[dict[str, Any]]:
        rows = self._scan(**SHOWN, TableName=self._history)
        return (row for row in rows if row["startDateTime"] >= since)

    def _note_days(self, days: Sequence[str]) -> None:
        """Before a run of the day is written, once for each process: `list_runs` looks at no other days."""
        new = set(days) - self._noted_days
        items = [to_item({"runId": DAYS_KEY, "jobName": day}) for day in sorted(new)]
        put_items(self._client, self._jobs, items, WRITE_PATIENCE_SECONDS, self._sleep)
        self._noted_days |= new

    def recorded_jobs(self, key: RunKey) -> list[dict[str, Any]]:
        row = self._get(self._history, {"scheduleId": key.schedule_id, "startDateTime": key.start})
        jobs = (row or {}).get("jobList", [])
        return [job for job in jobs if isinstance(job, dict)]
