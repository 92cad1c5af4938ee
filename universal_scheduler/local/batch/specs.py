"""Reads SubmitJob requests: merges the job definition with what the request overrides.

https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from universal_scheduler.domain.batch.limits import overrides_length, substitute
from universal_scheduler.local.batch import describe
from universal_scheduler.local.batch.dependencies import parse_dependencies
from universal_scheduler.local.batch.errors import ClientError
from universal_scheduler.local.batch.model import Job, JobSpec, Json, RetryStrategy, State
from universal_scheduler.local.batch.refusals import check_submission
from universal_scheduler.local.batch.resources import Resources, environment_of, seconds_of
from universal_scheduler.local.batch.retry import retry_strategy_of

_UNSUPPORTED = ("nodeOverrides", "eksPropertiesOverride", "ecsPropertiesOverride")


def read_submission(request: Json, resources: Resources, find: Callable[[str], Job | None]) -> JobSpec:
    """What a request comes to; ClientError, which names what is wrong, if AWS would refuse it."""
    queue = resources.queue(request["jobQueue"])
    if queue.state is State.DISABLED:
        raise ClientError(f"Job Queue {queue.arn} is not in ENABLED state.")
    definition = resources.definition(request["jobDefinition"])
    if unsupported := [member for member in _UNSUPPORTED if member in request]:
        raise ClientError(f"This engine runs single-container jobs only, it does not know {', '.join(unsupported)}.")
    size = (request.get("arrayProperties") or {}).get("size")
    depends_on = tuple(request.get("dependsOn") or ())
    overrides = request.get("containerOverrides") or {}
    parameters = {**definition.parameters, **(request.get("parameters") or {})}
    written = overrides.get("command") or definition.container.get("command", ())
    check_submission(request, written, parameters)
    environment = {
        **environment_of(definition.container.get("environment", ())),
        **environment_of(overrides.get("environment") or ()),
    }
    command = substitute(written, parameters)
    container = _container(definition.container, overrides)
    container["command"] = list(command)
    container["environment"] = [{"name": key, "value": value} for key, value in environment.items()]
    timeout = seconds_of(request.get("timeout"))
    # A command with parameters goes to ECS as an override too: https://github.com/ASFHyP3/hyp3/issues/3041
    sent = {**overrides, "command": command} if command != tuple(definition.container.get("command", ())) else overrides
    kept = {"shareIdentifier": "shareIdentifier", "schedulingPriorityOverride": "schedulingPriority"}
    return JobSpec(
        name=request["jobName"],
        queue=queue,
        definition=definition,
        platforms=definition.platforms,
        command=command,
        environment=environment,
        container=container,
        overrides_length=overrides_length({"containerOverrides": sent}),
        millicpus=describe.millicpus(container),
        parameters=parameters,
        retry=retry_strategy_of(request.get("retryStrategy")) or definition.retry or RetryStrategy(),
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
