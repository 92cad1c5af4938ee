"""Gap: ministack's Batch is a stub and CloudFormation knows no AWS::Batch types; both go to our own Batch.

Our service takes the stub's place under its module's name, so that callers inside ministack reach it as well.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

from universal_scheduler.local.batch import BatchApi
from universal_scheduler.local.gaps import require_ministack

Json = dict[str, Any]
Call = Callable[[str, Json], Json]
PhysicalName = Callable[[str, str], str]

_MAPS = {"Parameters", "Tags", "Options", "Labels", "Limits", "Requests"}  # the names in these are the user's own
# CloudFormation turns a parameter's text into what the property's type says.
_INTEGERS = {"MaxvCpus", "MinvCpus", "DesiredvCpus", "Priority", "Order", "Attempts", "AttemptDurationSeconds"}


def apply(api: BatchApi) -> None:
    """Put our Batch in the place of ministack's; must run before the first stack."""
    require_ministack("batch")
    import ministack.app
    import ministack.services
    from ministack.services.cloudformation import provisioners

    service = _service(api)
    sys.modules[service.__name__] = service
    ministack.services.batch = service
    ministack.app._loaded_modules["batch"] = service
    for kind in (_ComputeEnvironment, _JobQueue, _JobDefinition):
        made = kind(api.call_from_thread, provisioners._physical_name)
        provisioners._RESOURCE_HANDLERS[f"AWS::Batch::{made.kind}"] = {
            "create": made.create,
            "update": made.update,
            "delete": made.delete,
        }


def _service(api: BatchApi) -> ModuleType:
    """A module with what ministack expects of its services'."""

    async def handle_request(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, list[str]]
    ) -> tuple[int, dict[str, str], bytes]:
        return await api.handle(method, f"{path}?{urlencode(query, doseq=True)}" if query else path, headers, body)

    service = ModuleType("ministack.services.batch", __doc__)
    vars(service).update(
        handle_request=handle_request, get_state=dict, load_persisted_state=lambda _: None, reset=lambda: None
    )
    return service


class _Kind:
    """Provisions one type of resource, whose physical id is its ARN: what Ref gives on AWS."""

    kind: str

    def __init__(self, call: Call, physical_name: PhysicalName) -> None:
        self._call, self._physical_name = call, physical_name

    def create(self, logical_id: str, properties: Json, stack: str) -> tuple[str, Json]:
        return self._create({f"{self.kind}Name": self._physical_name(stack, logical_id), **properties})

    def _create(self, properties: Json) -> tuple[str, Json]:
        raise NotImplementedError


class _ComputeEnvironment(_Kind):
    kind = "ComputeEnvironment"

    def _create(self, properties: Json) -> tuple[str, Json]:
        made = self._call("CreateComputeEnvironment", _request(properties, "ReplaceComputeEnvironment"))
        arn = made["computeEnvironmentArn"]
        return arn, {"ComputeEnvironmentArn": arn}

    def update(self, arn: str, _old: Json, new: Json, _stack: str) -> tuple[str, Json]:
        fixed = ("ReplaceComputeEnvironment", "ComputeEnvironmentName", "Type", "Tags")
        self._call("UpdateComputeEnvironment", {"computeEnvironment": arn, **_request(new, *fixed)})
        return arn, {"ComputeEnvironmentArn": arn}

    def delete(self, arn: str, _properties: Json) -> None:
        self._call("UpdateComputeEnvironment", {"computeEnvironment": arn, "state": "DISABLED"})
        self._call("DeleteComputeEnvironment", {"computeEnvironment": arn})


class _JobQueue(_Kind):
    kind = "JobQueue"

    def _create(self, properties: Json) -> tuple[str, Json]:
        arn = self._call("CreateJobQueue", _request(properties))["jobQueueArn"]
        return arn, {"JobQueueArn": arn}

    def update(self, arn: str, _old: Json, new: Json, _stack: str) -> tuple[str, Json]:
        self._call("UpdateJobQueue", {"jobQueue": arn, **_request(new, "JobQueueName", "Tags")})
        return arn, {"JobQueueArn": arn}

    def delete(self, arn: str, _properties: Json) -> None:
        self._call("UpdateJobQueue", {"jobQueue": arn, "state": "DISABLED"})
        self._call("DeleteJobQueue", {"jobQueue": arn})


class _JobDefinition(_Kind):
    kind = "JobDefinition"

    def _create(self, properties: Json) -> tuple[str, Json]:
        arn = self._call("RegisterJobDefinition", _request(properties))["jobDefinitionArn"]
        return arn, {"JobDefinitionArn": arn}

    def update(self, arn: str, _old: Json, new: Json, _stack: str) -> tuple[str, Json]:
        """A definition never changes: the next revision of the same name takes its place."""
        made = self._create({"JobDefinitionName": arn.rpartition("/")[2].rpartition(":")[0], **new})
        self.delete(arn, new)
        return made

    def delete(self, arn: str, _properties: Json) -> None:
        self._call("DeregisterJobDefinition", {"jobDefinition": arn})


def _request(properties: Json, *without: str) -> Json:
    """CloudFormation's properties as the API's request: the same names, beginning with a small letter."""
    request: Json = _small({name: value for name, value in properties.items() if name not in without})
    return request


def _small(value: Any, name: str = "") -> Any:
    match value:
        case dict() if name not in _MAPS:
            return {key[:1].lower() + key[1:]: _small(item, key) for key, item in value.items()}
        case list():
            return [_small(item) for item in value]
        case str() if name in _INTEGERS:
            return int(value)
        case _:
            return value
