"""Carries one request through its integration: to an AWS service, to a Lambda function, or to none (mock)."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, assert_never
from urllib.parse import parse_qsl, quote, urlencode

import botocore.session

from universal_scheduler.local.gateway import jsonbody, velocity
from universal_scheduler.local.gateway.definition import (
    Integration,
    IntegrationResponse,
    IntegrationType,
    InvalidDefinition,
    Method,
    Passthrough,
)
from universal_scheduler.local.gateway.responses import JSON_TYPE, Answer, Refused, ResponseType
from universal_scheduler.local.gateway.velocity import Input, Parameters

TIMEOUT_SECONDS = 29.0
"""https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"""
URI = re.compile(r"arn:[^:]+:apigateway:[^:]*:(?:[^.:]+\.)?(?P<service>[^:]+):(?P<kind>action|path)/(?P<rest>.*)", re.S)
LAMBDA_PATH = re.compile(r"/?2015-03-31/functions/(?P<arn>.+)/invocations")
ENDPOINT_PREFIXES = {"states": "stepfunctions"}
"""The integration URI names a service by its endpoint prefix, botocore by its own name."""


class BackendUnavailable(Exception):
    """The backend of an integration could not be reached, or did not answer."""


@dataclass(frozen=True, slots=True)
class AwsRequest:
    """A request to an AWS service, in that service's protocol; unsigned."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class CallAws(Protocol):
    """Sends a request to the service with this endpoint prefix (`states`, `dynamodb`, `batch`).

    Raises:
        BackendUnavailable: it did not answer.
    """

    def __call__(self, service: str, request: AwsRequest, /) -> Awaitable[tuple[int, Mapping[str, str], bytes]]: ...


class InvokeLambda(Protocol):
    """Invokes a function. Answers its payload; `{"errorMessage": …}` if it failed.

    Raises:
        BackendUnavailable: it did not answer.
    """

    def __call__(self, arn: str, event: dict[str, Any], /) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with everything that belongs to it: the request itself, and the `$context` of the templates."""

    verb: str
    path: str
    method: Method
    parameters: Parameters
    multi_headers: Mapping[str, list[str]]
    multi_query: Mapping[str, list[str]]
    content_type: str
    body: str
    context: dict[str, Any]
    stage_variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """The target of an `aws` integration: an action of a JSON service, or a path of a REST service."""

    service: str
    path: str
    headers: Mapping[str, str]


async def run(exchange: Exchange, call_aws: CallAws, invoke_lambda: InvokeLambda, timeout: float) -> Answer:
    """Carry the request through its method's integration.

    Raises:
        Refused: the request, the backend or the API's definition does not allow an answer of the integration.
    """
    integration = exchange.method.integration
    try:
        async with asyncio.timeout(timeout):
            match integration.kind:
                case IntegrationType.AWS:
                    return await _aws(exchange, integration, call_aws)
                case IntegrationType.AWS_PROXY:
                    return _proxy_answer(await invoke_lambda(lambda_arn(integration.uri), _proxy_event(exchange)))
                case IntegrationType.MOCK:
                    return _mock(exchange, integration)
                case _:
                    assert_never(integration.kind)
    except TimeoutError:
        raise Refused(ResponseType.INTEGRATION_TIMEOUT) from None
    except BackendUnavailable as error:
        raise Refused(ResponseType.INTEGRATION_FAILURE) from error
    except (jsonbody.NotJson, jsonbody.UnsupportedPath) as error:
        raise Refused(ResponseType.API_CONFIGURATION_ERROR) from error


def check(integration: Integration) -> None:
    """Check an integration when the API is deployed, so that it does not fail at its first request.

    Raises:
        InvalidDefinition: this engine cannot call the URI.
    """
    match integration.kind:
        case IntegrationType.AWS:
            target(integration.uri)
        case IntegrationType.AWS_PROXY:
            lambda_arn(integration.uri)
        case IntegrationType.MOCK:
            pass
        case _:
            assert_never(integration.kind)


@cache
def target(uri: str) -> Target:
    """Read an `aws` integration's URI: https://docs.aws.amazon.com/apigateway/latest/api/API_Integration.html"""
    match = URI.fullmatch(uri)
    if match is None:
        raise InvalidDefinition(f"'{uri}' is no integration URI")
    service, rest = match["service"], match["rest"]
    if match["kind"] == "path":
        return Target(service, "/" + rest.lstrip("/"), {})
    name = ENDPOINT_PREFIXES.get(service, service)
    metadata = botocore.session.get_session().get_service_model(name).metadata
    if metadata["protocol"] != "json":
        raise InvalidDefinition(f"'{uri}': actions of {metadata['protocol']} services are not supported; use a path")
    content_type = f"application/x-amz-json-{metadata['jsonVersion']}"
    return Target(service, "/", {"X-Amz-Target": f"{metadata['targetPrefix']}.{rest}", "Content-Type": content_type})


def lambda_arn(uri: str) -> str:
    match = URI.fullmatch(uri)
    path = LAMBDA_PATH.fullmatch(match["rest"]) if match is not None and match["service"] == "lambda" else None
    if path is None:
        raise InvalidDefinition(f"'{uri}' does not invoke a Lambda function")
    return path["arn"]


async def _aws(exchange: Exchange, integration: Integration, call_aws: CallAws) -> Answer:
    backend = target(integration.uri)
    body = _integration_body(exchange, integration)
    placed = _request_parameters(exchange, integration)
    path = backend.path
    for name, value in placed["path"].items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    request = AwsRequest(
        method=integration.http_method,
        path=path,
        query=urlencode(placed["querystring"]),
        headers={"Content-Type": JSON_TYPE} | placed["header"] | dict(backend.headers),
        body=body.encode(errors="replace"),
    )
    status, headers, answer = await call_aws(backend.service, request)
    return _map_response(exchange, integration, str(status), headers, answer.decode(errors="replace"))


def _mock(exchange: Exchange, integration: Integration) -> Answer:
    body = _integration_body(exchange, integration)
    status = jsonbody.select("$.statusCode", jsonbody.parse(body))
    return _map_response(exchange, integration, str(status), {}, "")


def _integration_body(exchange: Exchange, integration: Integration) -> str:
    template = integration.request_templates.get(exchange.content_type)
    if template is not None:
        return _render(template, Input(exchange.body, exchange.parameters), exchange, of_request=True)
    match integration.passthrough:
        case Passthrough.WHEN_NO_MATCH:
            return exchange.body
        case Passthrough.WHEN_NO_TEMPLATES if not integration.request_templates:
            return exchange.body
        case Passthrough.NEVER | Passthrough.WHEN_NO_TEMPLATES:
            raise Refused(ResponseType.UNSUPPORTED_MEDIA_TYPE)
        case _:
            assert_never(integration.passthrough)


def _render(template: str, payload: Input, exchange: Exchange, *, of_request: bool) -> str:
    try:
        return velocity.render(template, payload, exchange.context, exchange.stage_variables)
    except velocity.PayloadNotJson as error:
        if of_request:
            raise Refused(ResponseType.BAD_REQUEST_BODY, validation_error=f"[the body is not JSON: {error}]") from error
        raise Refused(ResponseType.API_CONFIGURATION_ERROR) from error
    except velocity.TemplateFailure as error:
        raise Refused(ResponseType.API_CONFIGURATION_ERROR) from error


def _request_parameters(exchange: Exchange, integration: Integration) -> dict[str, dict[str, str]]:
    """`integration.request.{header,path,querystring}.x`, by mapping first, then by `$context.requestOverride`."""
    placed: dict[str, dict[str, str]] = {"header": {}, "path": {}, "querystring": {}}
    for name, source in integration.request_parameters.items():
        value = _mapped(source, exchange)
        if value is not None:
            place, key = name.removeprefix("integration.request.").split(".", 1)
            placed[place][key] = value
    for place, overrides in exchange.context["requestOverride"].items():
        placed[place].update({key: str(value) for key, value in overrides.items()})
    return placed


def _mapped(source: str, exchange: Exchange) -> str | None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/rest-api-parameter-mapping-sources.html"""
    if source.startswith("'"):
        return source.strip("'")
    kind, _, rest = source.partition(".")
    if kind == "stageVariables":
        return exchange.stage_variables.get(rest)
    found: Any = exchange.context
    if kind == "context":
        for step in rest.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
        return None if found is None else str(found)
    place, _, key = rest.removeprefix("request.").partition(".")
    match place:
        case "path":
            return exchange.parameters.path.get(key)
        case "querystring":
            return exchange.parameters.querystring.get(key)
        case "header":
            return next((v for name, v in exchange.parameters.header.items() if name.lower() == key.lower()), None)
        case "body":
            found = jsonbody.select(f"$.{key}" if key else "$", jsonbody.parse(exchange.body))
            return found if isinstance(found, str) or found is None else jsonbody.dump(found)
        case _:
            raise Refused(ResponseType.API_CONFIGURATION_ERROR)


def _map_response(
    exchange: Exchange, integration: Integration, outcome: str, headers: Mapping[str, str], body: str
) -> Answer:
    response = _select_response(integration.responses, outcome)
    received = {name.lower(): value for name, value in headers.items()}
    mapped: dict[str, str] = {}
    for name, source in response.parameters.items():
        header = name.removeprefix("method.response.header.")
        if source.startswith("integration.response.header."):
            value = received.get(source.removeprefix("integration.response.header.").lower())
        elif source.startswith("integration.response.body"):
            found = jsonbody.select("$" + source.removeprefix("integration.response.body"), jsonbody.parse(body))
            value = found if isinstance(found, str) or found is None else jsonbody.dump(found)
        else:
            value = _mapped(source, exchange)
        if value is not None:
            mapped[header] = value
    content_type = received.get("content-type", JSON_TYPE).partition(";")[0].strip()
    if response.templates:
        content_type = next((kind for kind in (content_type, JSON_TYPE) if kind in response.templates), "")
        content_type = content_type or next(iter(response.templates))
        payload = Input(body, exchange.parameters)
        body = _render(response.templates[content_type], payload, exchange, of_request=False)
    override = exchange.context["responseOverride"]
    mapped |= {key: str(value) for key, value in override["header"].items()}
    pairs = (("Content-Type", content_type), *mapped.items())
    return Answer(int(override.get("status", response.status)), pairs, body.encode(errors="replace"))


def _select_response(responses: tuple[IntegrationResponse, ...], outcome: str) -> IntegrationResponse:
    """The first whose pattern is the whole of the backend's status, or else the default."""
    for response in responses:
        if response.pattern is not None and response.pattern.fullmatch(outcome):
            return response
    for response in responses:
        if response.pattern is None:
            return response
    raise Refused(ResponseType.API_CONFIGURATION_ERROR)


def _proxy_event(exchange: Exchange) -> dict[str, Any]:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html"""
    context = {
        key: value for key, value in exchange.context.items() if key not in ("requestOverride", "responseOverride")
    }
    return {
        "resource": exchange.method.resource,
        "path": exchange.path,
        "httpMethod": exchange.verb,
        "headers": dict(exchange.parameters.header) or None,
        "multiValueHeaders": dict(exchange.multi_headers) or None,
        "queryStringParameters": dict(exchange.parameters.querystring) or None,
        "multiValueQueryStringParameters": dict(exchange.multi_query) or None,
        "pathParameters": dict(exchange.parameters.path) or None,
        "stageVariables": dict(exchange.stage_variables) or None,
        "requestContext": context,
        "body": exchange.body or None,
        "isBase64Encoded": False,
    }


def _proxy_answer(payload: Any) -> Answer:
    """A function's answer, or 502 where it is none: it failed, or does not have the form of a proxy's answer."""
    if not isinstance(payload, dict) or not str(payload.get("statusCode", "")).isdigit():
        raise Refused(ResponseType.DEFAULT_5XX)
    body = payload.get("body")
    if not isinstance(body, str | None):
        raise Refused(ResponseType.DEFAULT_5XX)
    encoded = (body or "").encode(errors="replace")
    content = base64.b64decode(encoded) if payload.get("isBase64Encoded") else encoded
    multi = {name: list(map(str, values)) for name, values in (payload.get("multiValueHeaders") or {}).items()}
    taken = {name.lower() for name in multi}
    for name, value in (payload.get("headers") or {}).items():
        if name.lower() not in taken:
            multi[name] = [str(value)]
    if "content-type" not in {name.lower() for name in multi}:
        multi["Content-Type"] = [JSON_TYPE]
    pairs = tuple((name, value) for name, values in multi.items() for value in values)
    return Answer(int(payload["statusCode"]), pairs, content)


def read_query(query: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found
