"""Reads SubmitJob requests: merges the job definition with what the request overrides.

https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from universal_scheduler.local.batch import describe
from universal_scheduler.local.batch.dependencies import parse_dependencies
from universal_scheduler.local.batch.errors import ClientError
from universal_scheduler.local.batch.model import Job, JobSpec, Json, RetryStrategy, State
from universal_scheduler.local.batch.naming import check_job_name
from universal_scheduler.local.batch.parameters import substitute
from universal_scheduler.local.batch.resources import Resources, check_environment, parse_timeout
from universal_scheduler.local.batch.retry import parse_retry_strategy

MIN_ARRAY = 2
MAX_ARRAY = 10_000
_UNSUPPORTED = ("nodeOverrides", "eksPropertiesOverride", "ecsPropertiesOverride")


def read_submission(request: Json, resources: Resources, find: Callable[[str], Job | None]) -> JobSpec:
    """What a request comes to; ClientError, which names what is wrong, if AWS would refuse it."""
    name = check_job_name(request["jobName"])
    queue = resources.queue(request["jobQueue"])
    if queue.state is State.DISABLED:
        raise ClientError(f"Job Queue {queue.arn} is not in ENABLED state.")
    definition = resources.definition(request["jobDefinition"])
    if unsupported := [member for member in _UNSUPPORTED if member in request]:
        raise ClientError(f"This engine runs single-container jobs only, it does not know {', '.join(unsupported)}.")
    size = (request.get("arrayProperties") or {}).get("size")
    if size is not None and not MIN_ARRAY <= size <= MAX_ARRAY:
        raise ClientError(f"Array size must be between {MIN_ARRAY} and {MAX_ARRAY}, not {size}.")
    depends_on = tuple(request.get("dependsOn") or ())
    overrides = request.get("containerOverrides") or {}
    parameters = {**definition.parameters, **(request.get("parameters") or {})}
    environment = {
        **check_environment(definition.container.get("environment", ())),
        **check_environment(overrides.get("environment") or ()),
    }
    command = substitute(overrides.get("command") or definition.container.get("command", ()), parameters)
    container = _container(definition.container, overrides)
    container["command"] = list(command)
    container["environment"] = [{"name": key, "value": value} for key, value in environment.items()]
    timeout = parse_timeout(request.get("timeout"))
    kept = {"shareIdentifier": "shareIdentifier", "schedulingPriorityOverride": "schedulingPriority"}
    return JobSpec(
        name=name,
        queue=queue,
        definition=definition,
        command=command,
        environment=environment,
        container=container,
        millicpus=describe.millicpus(container),
        parameters=parameters,
        retry=parse_retry_strategy(request.get("retryStrategy")) or definition.retry or RetryStrategy(),
        timeout_seconds=definition.timeout_seconds if timeout is None else timeout,
        dependencies=parse_dependencies(depends_on, size, find),
        depends_on=depends_on,
        array_size=size,
        propagate_tags=request.get("propagateTags", definition.propagate_tags),
        settings={kept[member]: request[member] for member in kept if member in request},
    )


def _container(properties: Json, overrides: Json) -> dict[str, Any]:
    """The definition's container properties with the overridden resources.

    ``vcpus`` and ``memory`` of the overrides do not touch what the definition says in resourceRequirements.
    """
    merged = dict(properties)
    requirements = {entry["type"]: entry["value"] for entry in properties.get("resourceRequirements", ())}
    for member, kind in (("vcpus", "VCPU"), ("memory", "MEMORY")):
        if member in overrides and kind not in requirements:
            merged[member] = overrides[member]
    requirements |= {entry["type"]: entry["value"] for entry in overrides.get("resourceRequirements") or ()}
    merged["resourceRequirements"] = [{"type": kind, "value": value} for kind, value in requirements.items()]
    return merged
