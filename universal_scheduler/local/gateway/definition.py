"""Reads the OpenAPI body of a REST API, with API Gateway's extensions, into methods and their integrations.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "x-amazon-apigateway-any-method")
VALIDATOR = "x-amazon-apigateway-request-validator"
INTEGRATION = "x-amazon-apigateway-integration"


class InvalidDefinition(ValueError):
    """The OpenAPI body is not one that this engine can execute; the text names the place."""


class IntegrationType(StrEnum):
    AWS = "aws"
    AWS_PROXY = "aws_proxy"
    MOCK = "mock"


class Passthrough(StrEnum):
    """What happens to a body whose content type has no request template.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/integration-passthrough-behaviors.html
    """

    WHEN_NO_MATCH = "when_no_match"
    WHEN_NO_TEMPLATES = "when_no_templates"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class IntegrationResponse:
    """How one kind of the backend's answers is mapped; `pattern` is None for the default."""

    pattern: re.Pattern[str] | None
    status: int
    parameters: Mapping[str, str]
    templates: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Integration:
    kind: IntegrationType
    uri: str
    http_method: str
    passthrough: Passthrough
    request_parameters: Mapping[str, str]
    request_templates: Mapping[str, str]
    responses: tuple[IntegrationResponse, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """One method of one resource. `models` maps content types (or `$default`) to JSON schemas (draft 4)."""

    resource: str
    integration: Integration
    models: Mapping[str, Mapping[str, Any]]
    body_required: bool
    validates_body: bool
    validates_parameters: bool
    required_parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """A whole API. `schemas` are the components that models refer to."""

    routes: Mapping[str, Mapping[str, Method]]
    schemas: Mapping[str, Any]
    gateway_responses: Mapping[str, Mapping[str, Any]]

    def match(self, verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
        """The method for a request's path (still percent-encoded) and its decoded path parameters; literals first."""
        segments = path.strip("/").split("/")
        for resource in sorted(self.routes, key=_specificity):
            found = _match_segments(resource.strip("/").split("/"), segments)
            methods = self.routes[resource]
            method = methods.get(verb.lower()) or methods.get("x-amazon-apigateway-any-method")
            if found is not None and method is not None:
                return method, found
        return None


def read(body: Mapping[str, Any]) -> Definition:
    """Read a body whose CloudFormation intrinsics are resolved.

    Raises:
        InvalidDefinition: a method has no integration, or one of a kind that is not supported.
    """
    routes: dict[str, dict[str, Method]] = {}
    for resource, item in body.get("paths", {}).items():
        routes[resource] = {verb: _method(body, resource, verb, item) for verb in VERBS if verb in item}
    return Definition(
        routes=routes,
        schemas=body.get("components", {}).get("schemas", {}),
        gateway_responses=body.get("x-amazon-apigateway-gateway-responses", {}),
    )


def _method(body: Mapping[str, Any], resource: str, verb: str, item: Mapping[str, Any]) -> Method:
    operation = item[verb]
    where = f"{verb.upper()} {resource}"
    validators = body.get("x-amazon-apigateway-request-validators", {})
    name = operation.get(VALIDATOR, body.get(VALIDATOR))
    if name is not None and name not in validators:
        raise InvalidDefinition(f"{where}: there is no request validator '{name}'")
    validator = validators.get(name, {})
    parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
    request_body = operation.get("requestBody", {})
    return Method(
        resource=resource,
        integration=_integration(where, operation.get(INTEGRATION)),
        models={kind: entry["schema"] for kind, entry in request_body.get("content", {}).items() if "schema" in entry},
        body_required=bool(request_body.get("required", False)),
        validates_body=bool(validator.get("validateRequestBody", False)),
        validates_parameters=bool(validator.get("validateRequestParameters", False)),
        required_parameters=tuple((entry["in"], entry["name"]) for entry in parameters if entry.get("required")),
    )


def _integration(where: str, entry: Mapping[str, Any] | None) -> Integration:
    if entry is None:
        raise InvalidDefinition(f"{where} has no {INTEGRATION}")
    kinds = list(IntegrationType)
    kind = str(entry.get("type", "")).lower()
    if kind not in kinds:
        raise InvalidDefinition(f"{where}: integration type '{kind}' is none of {', '.join(kinds)}")
    uri = entry.get("uri", "")
    templates = entry.get("requestTemplates", {})
    for text in (uri, *templates.values()):
        if not isinstance(text, str):
            raise InvalidDefinition(f"{where}: an intrinsic function is not resolved: {text}")
    return Integration(
        kind=IntegrationType(kind),
        uri=uri,
        http_method=str(entry.get("httpMethod", "POST")).upper(),
        passthrough=Passthrough(str(entry.get("passthroughBehavior", "when_no_match")).lower()),
        request_parameters=entry.get("requestParameters", {}),
        request_templates=templates,
        responses=tuple(_responses(entry.get("responses", {}))),
    )


def _responses(entries: Mapping[str, Mapping[str, Any]]) -> Iterator[IntegrationResponse]:
    for pattern, entry in entries.items():
        yield IntegrationResponse(
            pattern=None if pattern == "default" else re.compile(pattern, re.DOTALL),
            status=int(entry["statusCode"]),
            parameters=entry.get("responseParameters", {}),
            templates=entry.get("responseTemplates", {}),
        )


def _specificity(resource: str) -> tuple[int, str]:
    return resource.count("{") + 100 * resource.count("+}"), resource


def _match_segments(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for index, part in enumerate(pattern):
        if part.endswith("+}"):
            rest = "/".join(segments[index:])
            return {**found, part[1:-2]: unquote(rest)} if rest else None
        if index >= len(segments):
            return None
        if part.startswith("{"):
            if not segments[index]:
                return None
            found[part[1:-1]] = unquote(segments[index])
        elif part != segments[index]:
            return None
    return found if len(pattern) == len(segments) else None
