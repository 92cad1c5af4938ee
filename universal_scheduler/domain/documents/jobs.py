"""Reads an entry of `jobList` that has passed the check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from universal_scheduler.domain.documents.durations import duration_seconds, epoch_seconds
from universal_scheduler.domain.runs.model import Dependency, Job, JobStatus, RunWhen
from universal_scheduler.domain.runs.references import as_text, outputs_of


def read_job(entry: Mapping[str, Any]) -> Job:
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
