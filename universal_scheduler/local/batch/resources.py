"""Keeps the compute environments, job queues, job definitions and tags. Every method is an operation of the API, with
the request and the answer in its shapes, and only changes dictionaries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from universal_scheduler.local.batch import describe
from universal_scheduler.local.batch.errors import ClientError
from universal_scheduler.local.batch.job_file import ResourceRow
from universal_scheduler.local.batch.model import ComputeEnvironment, JobDefinition, JobQueue, Json, State
from universal_scheduler.local.batch.naming import Naming, check_name
from universal_scheduler.local.batch.pages import page
from universal_scheduler.local.batch.records import Resource, resource_of, resource_text
from universal_scheduler.local.batch.refusals import check_definition, check_tags
from universal_scheduler.local.batch.retry import retry_strategy_of

MAX_PRIORITY = 1000
MAX_ENVIRONMENTS_OF_A_QUEUE = 3


class Resources:
    """``changed`` is called, with its ARN, when a resource was made, has changed or is gone.

    What is made before ``restore`` is the template's, which is made anew at each start of an engine; what is made later
    is a user's, and is kept.
    """

    def __init__(self, naming: Naming, changed: Callable[[str], None]) -> None:
        self._naming = naming
        self._changed = changed
        self._templates: set[str] | None = None
        """The ARNs of what the template has made; None as long as it is being deployed."""
        self.environments: dict[str, ComputeEnvironment] = {}
        self.queues: dict[str, JobQueue] = {}
        self._definitions: dict[str, list[JobDefinition]] = {}
        self._tags: dict[str, dict[str, str]] = {}

    # Compute environments

    def create_compute_environment(self, request: Json) -> dict[str, Any]:
        name = check_name("computeEnvironmentName", request["computeEnvironmentName"])
        arn = self._naming.arn("compute-environment", name)
        if arn in self.environments:
            raise ClientError(f"Object already exists: {arn}")
        if request["type"] == "MANAGED" and "computeResources" not in request:
            raise ClientError("computeResources must be provided for a MANAGED compute environment.")
        tags = check_tags(request.get("tags") or {})
        self.environments[arn] = ComputeEnvironment(
            name=name,
            arn=arn,
            uuid=str(uuid4()),
            type=request["type"],
            state=State(request.get("state", State.ENABLED)),
            resources=request.get("computeResources", {}),
            unmanaged_vcpus=request.get("unmanagedvCpus"),
            settings={key: request[key] for key in ("serviceRole", "context", "ecsSettings") if key in request},
        )
        self.set_tags(arn, tags)
        return {"computeEnvironmentName": name, "computeEnvironmentArn": arn}

    def update_compute_environment(self, request: Json) -> dict[str, Any]:
        old = self._environment(request["computeEnvironment"])
        kept = ("serviceRole", "context", "ecsSettings", "updatePolicy")
        self.environments[old.arn] = replace(
            old,
            state=State(request.get("state", old.state)),
            resources={**old.resources, **_without(request.get("computeResources", {}), "updateToLatestImageVersion")},
            unmanaged_vcpus=request.get("unmanagedvCpus", old.unmanaged_vcpus),
            settings={**old.settings, **{key: request[key] for key in kept if key in request}},
        )
        self._changed(old.arn)
        return {"computeEnvironmentName": old.name, "computeEnvironmentArn": old.arn}

    def delete_compute_environment(self, request: Json) -> dict[str, Any]:
        environment = self._environment(request["computeEnvironment"])
        if environment.state is State.ENABLED:
            raise ClientError(f"Cannot delete, compute environment {environment.name} must be DISABLED first.")
        users = [queue.name for queue in self.queues.values() if environment.arn in queue.environments]
        if users:
            raise ClientError(f"Cannot delete, found existing JobQueue relationship: {', '.join(users)}")
        del self.environments[environment.arn]
        self._tags.pop(environment.arn, None)
        self._changed(environment.arn)
        return {}

    def describe_compute_environments(self, request: Json) -> dict[str, Any]:
        found = self._select(self.environments, "compute-environment", request.get("computeEnvironments"))
        shown, token = page(found, request, lambda environment: environment.arn)
        return {
            "computeEnvironments": [describe.compute_environment(it, self.tags(it.arn)) for it in shown],
            **token,
        }

    def _environment(self, reference: str) -> ComputeEnvironment:
        arn = self._naming.arn("compute-environment", self._naming.plain("compute-environment", reference))
        if arn not in self.environments:
            raise ClientError(f"ComputeEnvironment {reference} does not exist.")
        return self.environments[arn]

    # Job queues

    def create_job_queue(self, request: Json) -> dict[str, Any]:
        name = check_name("jobQueueName", request["jobQueueName"])
        arn = self._naming.arn("job-queue", name)
        if arn in self.queues:
            raise ClientError(f"Object already exists: {arn}")
        tags = check_tags(request.get("tags") or {})
        self.queues[arn] = JobQueue(
            name=name,
            arn=arn,
            state=State(request.get("state", State.ENABLED)),
            priority=_checked_priority(request["priority"]),
            environments=self._environment_order(request.get("computeEnvironmentOrder", [])),
            settings={
                key: request[key] for key in ("schedulingPolicyArn", "jobStateTimeLimitActions") if key in request
            },
        )
        self.set_tags(arn, tags)
        return {"jobQueueName": name, "jobQueueArn": arn}

    def update_job_queue(self, request: Json) -> dict[str, Any]:
        old = self.queue(request["jobQueue"])
        kept = ("schedulingPolicyArn", "jobStateTimeLimitActions")
        order = request.get("computeEnvironmentOrder")
        self.queues[old.arn] = replace(
            old,
            state=State(request.get("state", old.state)),
            priority=_checked_priority(request.get("priority", old.priority)),
            environments=old.environments if order is None else self._environment_order(order),
            settings={**old.settings, **{key: request[key] for key in kept if key in request}},
        )
        self._changed(old.arn)
        return {"jobQueueName": old.name, "jobQueueArn": old.arn}

    def delete_job_queue(self, request: Json) -> JobQueue:
        """Removes the queue and returns it; its jobs are the caller's to end."""
        queue = self.queue(request["jobQueue"])
        if queue.state is State.ENABLED:
            raise ClientError(f"Cannot delete, job queue {queue.name} must be DISABLED first.")
        del self.queues[queue.arn]
        self._tags.pop(queue.arn, None)
        self._changed(queue.arn)
        return queue

    def describe_job_queues(self, request: Json) -> dict[str, Any]:
        found = self._select(self.queues, "job-queue", request.get("jobQueues"))
        shown, token = page(found, request, lambda queue: queue.arn)
        return {
            "jobQueues": [describe.job_queue(queue, self.environments, self.tags(queue.arn)) for queue in shown],
            **token,
        }

    def queue(self, reference: str) -> JobQueue:
        """The queue of that name or ARN."""
        arn = self._naming.arn("job-queue", self._naming.plain("job-queue", reference))
        if arn not in self.queues:
            raise ClientError(f"JobQueue {reference} not found.")
        return self.queues[arn]

    def _environment_order(self, order: Sequence[Json]) -> tuple[str, ...]:
        if not 1 <= len(order) <= MAX_ENVIRONMENTS_OF_A_QUEUE:
            raise ClientError(f"computeEnvironmentOrder must have 1 to {MAX_ENVIRONMENTS_OF_A_QUEUE} entries.")
        return tuple(
            self._environment(entry["computeEnvironment"]).arn for entry in sorted(order, key=lambda it: it["order"])
        )

    # Job definitions

    def register_job_definition(self, request: Json) -> dict[str, Any]:
        name = check_name("jobDefinitionName", request["jobDefinitionName"])
        container = request.get("containerProperties")
        if request["type"] != "container" or container is None:
            raise ClientError("Only job definitions of type container with containerProperties run on this engine.")
        if not container.get("image"):
            raise ClientError("Container properties: image must not be empty.")
        check_definition(request)
        for kind in ("VCPU", "MEMORY"):
            if describe.resource(container, kind) is None:
                raise ClientError(f"{'vCPU' if kind == 'VCPU' else 'Memory'} is not provided.")
        describe.millicpus(container)
        describe.mebibytes(container)
        revision = len(self._definitions.get(name, ())) + 1
        arn = self._naming.arn("job-definition", f"{name}:{revision}")
        tags = check_tags(request.get("tags") or {})
        kept = ("schedulingPriority", "consumableResourceProperties")
        definition = JobDefinition(
            name=name,
            arn=arn,
            revision=revision,
            active=True,
            container=container,
            parameters=request.get("parameters", {}),
            retry=retry_strategy_of(request.get("retryStrategy")),
            timeout_seconds=seconds_of(request.get("timeout")),
            propagate_tags=request.get("propagateTags", False),
            platforms=tuple(request.get("platformCapabilities", ("EC2",))),
            settings={key: request[key] for key in kept if key in request},
        )
        self._definitions.setdefault(name, []).append(definition)
        self.set_tags(arn, tags)
        return {"jobDefinitionName": name, "jobDefinitionArn": arn, "revision": revision}

    def deregister_job_definition(self, request: Json) -> dict[str, Any]:
        reference = request["jobDefinition"]
        name, _, revision = self._naming.plain("job-definition", reference).rpartition(":")
        revisions = self._definitions.get(name, [])
        if not revision.isdecimal() or not 1 <= int(revision) <= len(revisions):
            raise ClientError(f"JobDefinition {reference} not found: name it as name:revision or by its ARN.")
        revisions[int(revision) - 1] = replace(revisions[int(revision) - 1], active=False)
        self._changed(revisions[int(revision) - 1].arn)
        return {}

    def describe_job_definitions(self, request: Json) -> dict[str, Any]:
        found = [it for revisions in self._definitions.values() for it in reversed(revisions)]
        if wanted := request.get("jobDefinitions"):
            plain = {self._naming.plain("job-definition", reference) for reference in wanted}
            found = [it for it in found if f"{it.name}:{it.revision}" in plain or it.name in plain]
        if name := request.get("jobDefinitionName"):
            found = [it for it in found if it.name == name]
        if status := request.get("status"):
            found = [it for it in found if describe.definition_status(it) == status]
        shown, token = page(found, request, lambda it: f"{it.name}:{it.revision:09}")
        return {"jobDefinitions": [describe.job_definition(it, self.tags(it.arn)) for it in shown], **token}

    def definition(self, reference: str) -> JobDefinition:
        """The active revision that a name (the latest), name:revision or ARN means."""
        plain = self._naming.plain("job-definition", reference)
        name, colon, revision = plain.partition(":")
        found = [
            it for it in self._definitions.get(name, []) if it.active and (not colon or str(it.revision) == revision)
        ]
        if not found:
            what = "ARN" if reference.startswith("arn:") else "name"
            raise ClientError(f"JobDefinition {what} {reference} does not exist or is not in ACTIVE status.")
        return found[-1]

    # Tags

    def tags(self, arn: str) -> dict[str, str]:
        return self._tags.get(arn, {})

    def set_tags(self, arn: str, tags: Json) -> None:
        """Give tags to the queue, compute environment or job definition that has this ARN, instead of those it has."""
        self._tags[arn] = dict(tags)
        self._changed(arn)

    def exists(self, arn: str) -> bool:
        """Whether a queue, compute environment or job definition has this ARN."""
        return self._resource(arn) is not None

    def _resource(self, arn: str) -> Resource | None:
        if found := self.queues.get(arn) or self.environments.get(arn):
            return found
        name = self._naming.plain("job-definition", arn).partition(":")[0]
        return next((it for it in self._definitions.get(name, ()) if it.arn == arn), None)

    # Keeping

    def row(self, arn: str) -> ResourceRow | None:
        """What is to be kept of the resource with an ARN, None where there is no such resource."""
        resource = self._resource(arn)
        if resource is None:
            return None
        users = self._templates is not None and arn not in self._templates
        return ResourceRow(
            arn, type(resource).__name__, users, resource_text(resource), json.dumps(self._tags.get(arn, {}))
        )

    def restore(self, rows: Iterable[ResourceRow]) -> None:
        """Make the resources again that users had made. The template is deployed.

        What the template makes under the same name takes their place. Of a job definition that it has no longer there
        is one that is not active, so that the later revisions keep their numbers.
        """
        definitions = [it.arn for revisions in self._definitions.values() for it in revisions]
        self._templates = {*self.environments, *self.queues, *definitions}
        kept = [(row, resource_of(row.kind, row.definition)) for row in rows if not self.exists(row.arn)]
        for row, resource in sorted(kept, key=lambda it: getattr(it[1], "revision", 0)):
            match resource:
                case JobDefinition():
                    known = resource if row.users else replace(resource, active=False)
                    self._definitions.setdefault(known.name, []).append(known)
                case JobQueue() if row.users:
                    self.queues[row.arn] = resource
                case ComputeEnvironment() if row.users:
                    self.environments[row.arn] = resource
                case _:
                    continue
            self._tags[row.arn] = json.loads(row.tags)

    def _select(self, known: dict[str, Any], kind: str, wanted: Sequence[str] | None) -> list[Any]:
        if not wanted:
            return list(known.values())
        arns = (self._naming.arn(kind, self._naming.plain(kind, reference)) for reference in wanted)
        return [known[arn] for arn in dict.fromkeys(arns) if arn in known]


def seconds_of(timeout: Json | None) -> int | None:
    """The seconds in a request's ``timeout``."""
    seconds: int | None = (timeout or {}).get("attemptDurationSeconds")
    return seconds


def environment_of(variables: Sequence[Json]) -> dict[str, str]:
    """A request's environment variables by name."""
    return {variable["name"]: variable.get("value", "") for variable in variables if variable.get("name")}


def _checked_priority(priority: int) -> int:
    if not 0 <= priority <= MAX_PRIORITY:
        raise ClientError(f"priority must be between 0 and {MAX_PRIORITY}, not {priority}.")
    return priority


def _without(mapping: Json, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}
