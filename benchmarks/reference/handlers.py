"""The Lambdas of the reference design's loop. Its flaws are what is measured: they are kept on purpose."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3

Document = dict[str, Any]


def get_schedule(event: Document, _context: object) -> Document:
    """The whole document becomes the payload."""
    item = _table("SCHEDULES_TABLE").get_item(Key={"scheduleId": event["scheduleId"]})["Item"]
    document: Document = json.loads(json.dumps(item, default=int))
    return document


def submit_jobs(document: Document, _context: object) -> Document:
    """Every job in the list's order, with dependsOn from the ids that the document has by then."""
    ids: dict[str, str] = {}
    for job in document["jobList"]:
        answer = _batch().submit_job(
            jobName=job["jobName"],
            jobQueue=job["jobQueue"],
            jobDefinition=job["jobDefinition"],
            dependsOn=[{"jobId": ids[name]} for name in job["jobDependencies"]],
            containerOverrides=job["containerOverrides"],
        )
        ids[job["jobName"]] = answer["jobId"]
        job["jobId"] = {"jobId": answer["jobId"]}
        job["jobStatus"] = "SUBMITTED"
    return document | {"startDateTime": _now(), "scheduleStatus": "RUNNING"}


def get_job_status(document: Document, _context: object) -> Document:
    """One DescribeJobs a job; FAILED as soon as one job has failed."""
    for job in document["jobList"]:
        job["jobStatus"] = _batch().describe_jobs(jobs=[job["jobId"]["jobId"]])["jobs"][0]["status"]
    statuses = {job["jobStatus"] for job in document["jobList"]}
    ended = "FAILED" if "FAILED" in statuses else "SUCCEEDED" if statuses == {"SUCCEEDED"} else "RUNNING"
    return document | {"scheduleStatus": ended}


def update_history(document: Document, _context: object) -> Document:
    _table("HISTORY_TABLE").put_item(Item=document)
    return document


def record_result(document: Document, _context: object) -> Document:
    return update_history(document | {"lastDateTime": _now()}, None)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


@cache
def _batch() -> Any:
    return boto3.client("batch")


@cache
def _table(variable: str) -> Any:
    return boto3.resource("dynamodb").Table(os.environ[variable])
