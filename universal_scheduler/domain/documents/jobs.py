"""A job's specification in its two written forms: an entry of `jobList`, and its part of a row of the jobs table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from universal_scheduler.domain.documents.durations import duration_seconds, epoch_seconds
from universal_scheduler.domain.runs.model import Dependency, Job, JobStatus, RunWhen
from universal_scheduler.domain.runs.references import as_text, outputs_of


def read_job(entry: Mapping[str, Any]) -> Job:
    """Read an entry of `jobList` that has passed the check."""
    recorded_id = entry.get("jobId", "")
    if isinstance(recorded_id, Mapping):
        recorded_id = recorded_id.get("jobId", "")
    timeout = entry.get("timeout", {}).get("attemptDurationSeconds")
    values = entry.get("forEach", ())
    final = entry.get("finally", False)
    return Job(
        name=entry["jobName"],
        queue=entry["jobQueue"],
        definition=entry["jobDefinition"],
        dependencies=tuple(dependency(each) for each in entry.get("jobDependencies", ())),
        run_when=RunWhen.ALL_DONE if final else RunWhen(entry.get("runWhen", RunWhen.ALL_SUCCESS)),
        final=final,
        optional=entry.get("optional", False),
        hold=entry.get("hold", False),
        not_before=epoch_seconds(entry["notBefore"]) if "notBefore" in entry else 0.0,
        array_size=entry.get("arrayProperties", {}).get("size", 0),
        for_each=() if isinstance(values, Mapping) else tuple(as_text(value) for value in values),
        for_each_s3=values["s3"] if isinstance(values, Mapping) else "",
        outputs_of=outputs_of(entry),
        parameters=dict(entry.get("parameters", {})),
        container_overrides=entry.get("containerOverrides"),
        retry_strategy=entry.get("retryStrategy"),
        timeout_seconds=None if timeout is None else int(timeout),
        priority=entry.get("priority"),
        share_identifier=entry.get("shareIdentifier", ""),
        max_queue_seconds=duration_seconds(entry["maxQueueTime"]) if "maxQueueTime" in entry else None,
        fallback_queue=entry.get("fallbackQueue", ""),
        recorded_status=str(entry.get("jobStatus", "")).strip(),
        recorded_id=recorded_id.strip(),
    )


def job_to_row(job: Job) -> dict[str, Any]:
    """The attributes of a row of the jobs table that come from the document; an attribute that is None is not written.

    Times are epoch seconds and durations are seconds. A row lacks what only a document has: what an earlier run had
    recorded in it.
    """
    return {
        "jobName": job.name,
        "jobQueue": job.queue,
        "jobDefinition": job.definition,
        "jobDependencies": [dependency_to_value(each) for each in job.dependencies],
        "runWhen": str(job.run_when),
        "finally": job.final or None,
        "optional": job.optional or None,
        "hold": job.hold or None,
        "notBeforeAt": job.not_before or None,
        "priority": job.priority,
        "shareIdentifier": job.share_identifier or None,
        "maxQueueSeconds": job.max_queue_seconds,
        "fallbackQueue": job.fallback_queue or None,
        "arrayProperties": {"size": job.array_size} if job.array_size else None,
        "forEach": {"s3": job.for_each_s3} if job.for_each_s3 else list(job.for_each) or None,
        "outputsOf": list(job.outputs_of) or None,
        "parameters": dict(job.parameters) or None,
        "containerOverrides": job.container_overrides,
        "retryStrategy": job.retry_strategy,
        "timeoutSeconds": job.timeout_seconds,
    }


def job_from_row(row: Mapping[str, Any]) -> Job:
    """Read what `job_to_row` has written."""
    values = row.get("forEach", ())
    return Job(
        name=row["jobName"],
        queue=row["jobQueue"],
        definition=row["jobDefinition"],
        dependencies=tuple(dependency(each) for each in row.get("jobDependencies", ())),
        run_when=RunWhen(row.get("runWhen", RunWhen.ALL_SUCCESS)),
        final=row.get("finally", False),
        optional=row.get("optional", False),
        hold=row.get("hold", False),
        not_before=float(row.get("notBeforeAt", 0)),
        priority=row.get("priority"),
        share_identifier=row.get("shareIdentifier", ""),
        max_queue_seconds=row.get("maxQueueSeconds"),
        fallback_queue=row.get("fallbackQueue", ""),
        array_size=int(row.get("arrayProperties", {}).get("size", 0)),
        for_each=() if isinstance(values, Mapping) else tuple(values),
        for_each_s3=values["s3"] if isinstance(values, Mapping) else "",
        outputs_of=tuple(row.get("outputsOf", ())),
        parameters=row.get("parameters", {}),
        container_overrides=row.get("containerOverrides"),
        retry_strategy=row.get("retryStrategy"),
        timeout_seconds=row.get("timeoutSeconds"),
    )


def dependency(entry: str | Mapping[str, Any]) -> Dependency:
    """One entry of `jobDependencies`: a name, or `{job, …}` with `status`, `exitCode` (one or several) or `output`."""
    if isinstance(entry, str):
        return Dependency(entry)
    status, codes = entry.get("status"), entry.get("exitCode", ())
    return Dependency(
        entry["job"],
        None if status is None else JobStatus(status),
        tuple(codes) if isinstance(codes, Sequence) else (codes,),
        tuple((name, as_text(value)) for name, value in entry.get("output", {}).items()),
    )


def dependency_to_value(each: Dependency) -> str | dict[str, Any]:
    """The dependency as an entry of `jobDependencies`: what `dependency` has read."""
    if each.status is not None:
        return {"job": each.job, "status": str(each.status)}
    if each.output:
        return {"job": each.job, "output": dict(each.output)}
    return {"job": each.job, "exitCode": list(each.exit_codes)} if each.exit_codes else each.job
