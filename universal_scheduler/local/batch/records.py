"""Writes jobs, and the definitions of resources, as texts of the file, and reads them again.

What a text does not say has the value that it has in a new job: so files of earlier releases stay readable.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from universal_scheduler.local.batch import describe
from universal_scheduler.local.batch.model import (
    ArrayProgress,
    Attempt,
    ComputeEnvironment,
    Dependencies,
    Job,
    JobDefinition,
    JobQueue,
    JobSpec,
    JobStatus,
    Json,
    Named,
    RetryStrategy,
    State,
    Stop,
)
from universal_scheduler.local.batch.retry import describe_retry_strategy, retry_strategy_of

Resource = ComputeEnvironment | JobQueue | JobDefinition

_dump = json.JSONEncoder(separators=(",", ":")).encode


def spec_text(spec: JobSpec) -> str:
    """A submission; the command and the variables are in its container."""
    needs = spec.dependencies
    return _dump(
        {
            "name": spec.name,
            "queue": [spec.queue.name, spec.queue.arn],
            "definition": [spec.definition.name, spec.definition.arn],
            "platforms": spec.platforms,
            "container": spec.container,
            "overridesLength": spec.overrides_length,
            "parameters": spec.parameters,
            "retry": describe_retry_strategy(spec.retry),
            "timeout": spec.timeout_seconds,
            "needs": [needs.jobs, needs.n_to_n, needs.sequential],
            "dependsOn": spec.depends_on,
            "size": spec.array_size,
            "propagateTags": spec.propagate_tags,
            "settings": spec.settings,
        }
    )


def spec_of(text: str) -> JobSpec:
    given = json.loads(text)
    container = given["container"]
    jobs, n_to_n, sequential = given["needs"]
    return JobSpec(
        name=given["name"],
        queue=Named(*given["queue"]),
        definition=Named(*given["definition"]),
        platforms=tuple(given["platforms"]),
        command=tuple(container["command"]),
        environment={variable["name"]: variable["value"] for variable in container["environment"]},
        container=container,
        overrides_length=given["overridesLength"],
        millicpus=describe.millicpus(container),
        parameters=given["parameters"],
        retry=retry_strategy_of(given["retry"]) or RetryStrategy(),
        timeout_seconds=given["timeout"],
        dependencies=Dependencies(tuple(jobs), tuple(n_to_n), sequential),
        depends_on=tuple(given["dependsOn"]),
        array_size=given["size"],
        propagate_tags=given["propagateTags"],
        settings=given["settings"],
    )


def progress_text(job: Job) -> str:
    """What has changed of a job since it was submitted, but for its status and the time of its end."""
    array, stop, environment = job.array, job.stop, job.environment
    known = {
        "reason": job.status_reason,
        "started": job.started_at,
        "attempts": [_attempt_values(attempt) for attempt in job.attempts],
        "cancelled": job.cancel_reason,
        "terminated": job.terminated,
        "stop": stop and [stop.reason, stop.by_user],
        "environment": environment and [environment.name, environment.arn],
        "task": job.task_id,
        "shipped": job.shipped,
        "tags": job.tags,
        "array": array and {"counts": array.counts, "updated": array.updated_at, "doomed": array.doomed},
    }
    return _dump({name: value for name, value in known.items() if value})


def job_of(job_id: str, seq: int, spec: JobSpec, created: int, status: str, stopped: int | None, progress: str) -> Job:
    """A job, without its parent and its children."""
    given = json.loads(progress)
    stop, environment, array = given.get("stop"), given.get("environment"), given.get("array")
    return Job(
        id=job_id,
        seq=seq,
        spec=spec,
        created_at=created,
        status=JobStatus(status),
        status_reason=given.get("reason"),
        started_at=given.get("started"),
        stopped_at=stopped,
        attempts=tuple(Attempt(*values) for values in given.get("attempts", ())),
        array=array and _array_of(array),
        cancel_reason=given.get("cancelled"),
        terminated=given.get("terminated", False),
        stop=stop and Stop(*stop),
        environment=environment and Named(*environment),
        task_id=given.get("task"),
        shipped=given.get("shipped", 0),
        tags=given.get("tags", {}),
    )


def _attempt_values(attempt: Attempt) -> Sequence[Any]:
    return (
        attempt.task_arn,
        attempt.log_stream,
        attempt.exit_code,
        attempt.reason,
        attempt.status_reason,
        attempt.started_at,
        attempt.stopped_at,
    )


def _array_of(given: Json) -> ArrayProgress:
    counts = {status: given["counts"].get(status, 0) for status in JobStatus}
    unfinished = sum(count for status, count in counts.items() if not status.is_final)
    return ArrayProgress([], counts, given["updated"], unfinished, given["doomed"])


def resource_text(resource: Resource) -> str:
    given = asdict(resource)
    if isinstance(resource, JobDefinition) and resource.retry is not None:
        given["retry"] = describe_retry_strategy(resource.retry)
    return _dump(given)


def resource_of(kind: str, text: str) -> Resource:
    """``kind`` is the name of the resource's class."""
    given = json.loads(text)
    if kind == JobDefinition.__name__:
        return JobDefinition(
            **given | {"retry": retry_strategy_of(given["retry"]), "platforms": tuple(given["platforms"])}
        )
    given["state"] = State(given["state"])
    if kind == JobQueue.__name__:
        return JobQueue(**given | {"environments": tuple(given["environments"])})
    return ComputeEnvironment(**given)
