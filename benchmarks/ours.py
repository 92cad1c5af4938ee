"""This scheduler as a side of the comparison: as deployed on the embedded engine, and as `usched try`."""

from __future__ import annotations

import time
import uuid

from boto3.dynamodb.conditions import Key

from benchmarks.measures import JobTimes, Measured, lags
from benchmarks.runs import Row
from benchmarks.stage import Stage
from benchmarks.workloads import Workload
from universal_scheduler.local.trial import try_schedule


class Ours:
    """The scheduler as deployed from the template."""

    def __init__(self, stage: Stage) -> None:
        self.machine_arn = stage.engine.state_machine_arn
        self.schedules = stage.table("BatchSchedules")
        self.history = stage.table("BatchScheduleHistory")
        self.jobs = stage.table("BatchScheduleJobs")

    def put(self, document: Row) -> None:
        self.schedules.put_item(Item=document | {"trigger": {"manual": True}})

    def runs(self, schedule_id: str) -> list[Row]:
        answer = self.history.query(KeyConditionExpression=Key("scheduleId").eq(schedule_id), ConsistentRead=True)
        return list(answer["Items"])

    def ended_run(self, schedule_id: str) -> Row | None:
        return next((run for run in self.runs(schedule_id) if run["scheduleStatus"] != "RUNNING"), None)

    def job_rows(self, run: Row) -> list[Row]:
        of_run = Key("runId").eq(run["runId"]) & Key("jobName").gte("0")
        request = {"KeyConditionExpression": of_run, "ConsistentRead": True}
        rows: list[Row] = []
        while True:
            page = self.jobs.query(**request)
            rows += page["Items"]
            if "LastEvaluatedKey" not in page:
                return rows
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def job_ids(self, run: Row | None, since: float) -> dict[str, str]:  # noqa: ARG002 - every run has its rows
        rows = self.job_rows(run) if run else []
        return {row["jobName"]: row["jobId"] for row in rows if row.get("jobId")}


def try_out(workload: Workload) -> Measured:
    """The same schedule by `usched try`: planner and use cases in this process, over memory."""
    document = workload.document(f"try-{uuid.uuid4().hex[:8]}", "default", "shell")
    began = time.perf_counter()
    trial = try_schedule(document)
    wall = time.perf_counter() - began
    times = {job.job.name: JobTimes(job.started_at, job.stopped_at) for job in trial.jobs}
    return Measured(str(trial.run.status), wall, lags(times, workload.upstream))
