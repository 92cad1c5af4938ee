"""Shows what Batch knows in the shapes of its API: the answers of the Describe and List operations, and the detail of
a job's state-change events, which is a JobDetail too.

https://docs.aws.amazon.com/batch/latest/APIReference/API_JobDetail.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from universal_scheduler.local.batch.errors import ClientError
from universal_scheduler.local.batch.model import (
    Attempt,
    ComputeEnvironment,
    Job,
    JobDefinition,
    JobQueue,
    Json,
)
from universal_scheduler.local.batch.naming import Naming
from universal_scheduler.local.batch.retry import describe_retry_strategy

_CONTAINER_LISTS = ("volumes", "environment", "mountPoints", "ulimits", "resourceRequirements", "secrets")


def compute_environment(environment: ComputeEnvironment, tags: Mapping[str, str]) -> dict[str, Any]:
    """A ComputeEnvironmentDetail."""
    return {
        "computeEnvironmentName": environment.name,
        "computeEnvironmentArn": environment.arn,
        "type": environment.type,
        "state": environment.state.value,
        "status": "VALID",
        "statusReason": "ComputeEnvironment Healthy",
        "tags": dict(tags),
        "containerOrchestrationType": "ECS",
        "uuid": environment.uuid,
        **({"computeResources": dict(environment.resources)} if environment.resources else {}),
        **({} if environment.unmanaged_vcpus is None else {"unmanagedvCpus": environment.unmanaged_vcpus}),
        **environment.settings,
    }


def job_queue(
    queue: JobQueue, environments: Mapping[str, ComputeEnvironment], tags: Mapping[str, str]
) -> dict[str, Any]:
    """A JobQueueDetail."""
    first = environments.get(queue.environments[0])
    fargate = first is not None and first.resources.get("type", "").startswith("FARGATE")
    return {
        "jobQueueName": queue.name,
        "jobQueueArn": queue.arn,
        "state": queue.state.value,
        "status": "VALID",
        "statusReason": "JobQueue Healthy",
        "priority": queue.priority,
        "computeEnvironmentOrder": [
            {"order": order, "computeEnvironment": arn} for order, arn in enumerate(queue.environments, 1)
        ],
        "serviceEnvironmentOrder": [],
        "jobQueueType": "ECS_FARGATE" if fargate else "ECS",
        "tags": dict(tags),
        "jobStateTimeLimitActions": [],
        **queue.settings,
    }


def definition_status(definition: JobDefinition) -> str:
    return "ACTIVE" if definition.active else "INACTIVE"


def job_definition(definition: JobDefinition, tags: Mapping[str, str]) -> dict[str, Any]:
    """A JobDefinition."""
    return {
        "jobDefinitionName": definition.name,
        "jobDefinitionArn": definition.arn,
        "revision": definition.revision,
        "status": definition_status(definition),
        "type": "container",
        "parameters": dict(definition.parameters),
        "containerProperties": _with_lists({"command": [], **definition.container}),
        "tags": dict(tags),
        "propagateTags": definition.propagate_tags,
        "platformCapabilities": list(definition.platforms),
        "containerOrchestrationType": "ECS",
        **({"retryStrategy": describe_retry_strategy(definition.retry)} if definition.retry else {}),
        **({"timeout": {"attemptDurationSeconds": definition.timeout_seconds}} if definition.timeout_seconds else {}),
        **definition.settings,
    }


def job_detail(job: Job, naming: Naming, tags: Mapping[str, str]) -> dict[str, Any]:
    """A JobDetail. ``startedAt`` is left out of what has not started, as AWS does though its model requires it."""
    spec = job.spec
    depends_on: list[dict[str, Any]] = [dict(entry) for entry in spec.depends_on]
    if job.parent is not None:
        depends_on = [dict(entry) for entry in depends_on if entry.get("jobId")]
    detail: dict[str, Any] = {
        "jobArn": naming.arn("job", job.id),
        "jobName": spec.name,
        "jobId": job.id,
        "jobQueue": spec.queue.arn,
        "status": job.status.value,
        "attempts": [_attempt(attempt) for attempt in job.attempts],
        "createdAt": job.created_at,
        "retryStrategy": describe_retry_strategy(spec.retry),
        "dependsOn": depends_on,
        "jobDefinition": spec.definition.arn,
        "parameters": dict(spec.parameters),
        "container": _container(job, naming),
        "tags": dict(tags),
        "propagateTags": spec.propagate_tags,
        "platformCapabilities": list(spec.platforms),
        "isCancelled": job.cancel_reason is not None,
        "isTerminated": job.terminated,
        **_progress(job),
        **spec.settings,
    }
    if spec.timeout_seconds is not None:
        detail["timeout"] = {"attemptDurationSeconds": spec.timeout_seconds}
    if job.array is not None:
        summary = {status.value: count for status, count in job.array.counts.items()}
        detail["arrayProperties"] = {
            "statusSummary": summary,
            "statusSummaryLastUpdatedAt": job.array.updated_at,
            "size": spec.array_size,
        }
    elif spec.array_size is not None:
        detail["arrayProperties"] = _array_place(job)
    return detail


def job_summary(job: Job, naming: Naming) -> dict[str, Any]:
    """A JobSummary."""
    summary: dict[str, Any] = {
        "jobArn": naming.arn("job", job.id),
        "jobId": job.id,
        "jobName": job.spec.name,
        "createdAt": job.created_at,
        "status": job.status.value,
        "jobDefinition": job.spec.definition.arn,
        **_progress(job),
    }
    if job.attempts:
        summary["container"] = _outcome(job.attempts[-1])
    if job.spec.array_size is not None:
        summary["arrayProperties"] = _array_place(job)
    if job.cancel_reason is not None:
        summary["isCancelled"] = True
    if job.terminated:
        summary["isTerminated"] = True
    return summary


def _array_place(job: Job) -> dict[str, Any]:
    """What an array's parent says of its size, and a child of its place."""
    return {"size": job.spec.array_size} if job.parent is None else {"index": job.index}


def _progress(job: Job) -> dict[str, Any]:
    known = {"statusReason": job.status_reason, "startedAt": job.started_at, "stoppedAt": job.stopped_at}
    return {name: str(value) if name == "statusReason" else value for name, value in known.items() if value is not None}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    container: dict[str, Any] = {"taskArn": attempt.task_arn, **_outcome(attempt), "networkInterfaces": []}
    if attempt.log_stream is not None:
        container["logStreamName"] = attempt.log_stream
    return {
        "container": container,
        **({} if attempt.started_at is None else {"startedAt": attempt.started_at}),
        "stoppedAt": attempt.stopped_at,
        "statusReason": attempt.status_reason,
    }


def _outcome(attempt: Attempt) -> dict[str, Any]:
    known = {"exitCode": attempt.exit_code, "reason": attempt.reason}
    return {name: value for name, value in known.items() if value is not None}


def _container(job: Job, naming: Naming) -> dict[str, Any]:
    """A ContainerDetail, with the current attempt's task or else the last one's."""
    detail = _with_lists(job.spec.container)
    if job.environment is not None and job.task_id is not None:
        detail["taskArn"] = naming.task_arn(job.environment.name, job.task_id)
        if job.started_at is not None:
            detail["logStreamName"] = job.log_stream
    elif job.attempts:
        last = job.attempts[-1]
        detail.update(_outcome(last), taskArn=last.task_arn)
        if last.log_stream is not None:
            detail["logStreamName"] = last.log_stream
    detail["networkInterfaces"] = []
    return detail


def _with_lists(container: Json) -> dict[str, Any]:
    """Container properties with the lists that AWS always shows."""
    return {**{name: [] for name in _CONTAINER_LISTS}, **container}


def resource(container: Json, kind: str) -> str | None:
    """How much of a resource (VCPU or MEMORY) container properties ask for, in either of the two ways to say it."""
    for requirement in container.get("resourceRequirements", ()):
        if requirement["type"] == kind:
            return str(requirement["value"])
    older = container.get("vcpus" if kind == "VCPU" else "memory")
    return None if older is None else str(older)


def millicpus(container: Json) -> int:
    """Thousandths of a vCPU that container properties ask for; ClientError for what is no positive number."""
    asked = resource(container, "VCPU") or "1"
    try:
        millis = round(float(asked) * 1000)
    except (ValueError, OverflowError):
        millis = 0
    if millis <= 0:
        raise ClientError(f"{asked!r} is not a valid number of vCPUs.")
    return millis


def mebibytes(container: Json) -> int | None:
    """MiB of memory that container properties ask for, None where they do not say; ClientError for what is no positive
    number."""
    asked = resource(container, "MEMORY")
    if asked is None:
        return None
    if not asked.isascii() or not asked.isdecimal() or not int(asked):
        raise ClientError(f"{asked!r} is not a valid number of MiB of memory.")
    return int(asked)
