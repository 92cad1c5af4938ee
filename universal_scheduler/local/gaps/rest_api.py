"""Gap: ministack's API Gateway drops mapping templates and service integrations; our own serves stacks' REST APIs.

It is given each API's OpenAPI body, with CloudFormation's functions resolved, and the stages it is deployed to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from universal_scheduler.local.gaps import require_ministack
from universal_scheduler.local.gateway import RestApi

Json = dict[str, Any]
Make = Callable[[str, Json], RestApi]


class Stages:
    """The deployed stages, by name; ``make(stage, body)`` builds what serves one."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._bodies: dict[str, Json] = {}
        self._apis: dict[str, str] = {}
        self._served: dict[str, RestApi] = {}

    def get(self, stage: str) -> RestApi | None:
        return self._served.get(stage)

    def put_body(self, api: str, body: Json) -> None:
        self._bodies[api] = body
        for stage in [stage for stage, of in self._apis.items() if of == api]:
            self.put_stage(stage, api)

    def put_stage(self, stage: str, api: str) -> None:
        if api in self._bodies:
            self._served[stage] = self._make(stage, self._bodies[api])
            self._apis[stage] = api

    def remove_stage(self, stage: str, api: str) -> None:
        if self._apis.get(stage) == api:
            del self._apis[stage], self._served[stage]


def apply(stages: Stages) -> None:
    """Make ministack's provisioners tell ``stages``; must run before the first stack."""
    require_ministack("rest_api")
    from ministack.services.cloudformation import provisioners

    def keep_body(api: str, properties: Json) -> None:
        if isinstance(body := properties.get("Body"), dict):
            stages.put_body(api, body)

    def keep_stage(_: str, properties: Json) -> None:
        stages.put_stage(properties["StageName"], properties["RestApiId"])

    handlers = provisioners._RESOURCE_HANDLERS
    api, stage = handlers["AWS::ApiGateway::RestApi"], handlers["AWS::ApiGateway::Stage"]
    handlers["AWS::ApiGateway::RestApi"] = _keeping(api, keep_body)
    delete: Callable[[str, Json], None] = stage["delete"]

    def delete_stage(physical_id: str, properties: Json) -> None:
        stages.remove_stage(properties["StageName"], properties["RestApiId"])
        delete(physical_id, properties)

    handlers["AWS::ApiGateway::Stage"] = {**_keeping(stage, keep_stage), "delete": delete_stage}


def _keeping(handler: Json, keep: Callable[[str, Json], None]) -> Json:
    """The provisioner's handler, which also gives ``keep`` the physical id and the properties."""
    create: Callable[..., tuple[str, Json]] = handler["create"]
    update: Callable[..., tuple[str, Json]] = handler["update"]

    def created(logical_id: str, properties: Json, stack: str) -> tuple[str, Json]:
        made = create(logical_id, properties, stack)
        keep(made[0], properties)
        return made

    def updated(physical_id: str, old: Json, new: Json, *names: str, **more: str) -> tuple[str, Json]:
        made = update(physical_id, old, new, *names, **more)
        keep(made[0], new)
        return made

    return {**handler, "create": created, "update": updated}
