"""API Gateway's own answers: gateway responses, as the API customises them or by default.

https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

REFERENCE = re.compile(r"\$(?P<brace>\{)?context\.(?P<name>\w+(?:\.\w+)*)(?(brace)\})")
JSON_TYPE = "application/json"


class Answer(NamedTuple):
    """The answer to the client."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class ResponseType(StrEnum):
    API_CONFIGURATION_ERROR = "API_CONFIGURATION_ERROR"
    BAD_REQUEST_BODY = "BAD_REQUEST_BODY"
    BAD_REQUEST_PARAMETERS = "BAD_REQUEST_PARAMETERS"
    DEFAULT_4XX = "DEFAULT_4XX"
    DEFAULT_5XX = "DEFAULT_5XX"
    INTEGRATION_FAILURE = "INTEGRATION_FAILURE"
    INTEGRATION_TIMEOUT = "INTEGRATION_TIMEOUT"
    MISSING_AUTHENTICATION_TOKEN = "MISSING_AUTHENTICATION_TOKEN"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"


class Default(NamedTuple):
    """The status, the x-amzn-ErrorType header and the message of a type, if the API does not customise it."""

    status: int
    error_type: str
    message: str


DEFAULTS: Mapping[ResponseType, Default] = {
    ResponseType.API_CONFIGURATION_ERROR: Default(500, "InternalServerErrorException", "Internal server error"),
    ResponseType.BAD_REQUEST_BODY: Default(400, "BadRequestException", "Invalid request body"),
    ResponseType.BAD_REQUEST_PARAMETERS: Default(400, "BadRequestException", "Missing required request parameters"),
    ResponseType.DEFAULT_4XX: Default(400, "BadRequestException", "Bad request"),
    ResponseType.DEFAULT_5XX: Default(502, "InternalServerErrorException", "Internal server error"),
    ResponseType.INTEGRATION_FAILURE: Default(504, "InternalServerErrorException", "Internal server error"),
    ResponseType.INTEGRATION_TIMEOUT: Default(504, "GatewayTimeoutException", "Endpoint request timed out"),
    ResponseType.MISSING_AUTHENTICATION_TOKEN: Default(
        403, "MissingAuthenticationTokenException", "Missing Authentication Token"
    ),
    ResponseType.REQUEST_TOO_LARGE: Default(413, "RequestTooLargeException", "Request Too Long"),
    ResponseType.UNSUPPORTED_MEDIA_TYPE: Default(415, "BadRequestException", "Unsupported Media Type"),
}


class Refused(Exception):
    """The request ends with a gateway response, not with the answer of the integration."""

    def __init__(self, kind: ResponseType, message: str | None = None, validation_error: str = "") -> None:
        self.kind = kind
        self.message = message or DEFAULTS[kind].message
        self.validation_error = validation_error
        super().__init__(f"{kind}: {self.message} {validation_error}".rstrip())


def answer(refused: Refused, customised: Mapping[str, Mapping[str, Any]], context: Mapping[str, Any]) -> Answer:
    """The gateway response to a refusal. What the API does not say about its type comes from its DEFAULT_4XX or
    DEFAULT_5XX."""
    default = DEFAULTS[refused.kind]
    fallback = customised.get(ResponseType.DEFAULT_4XX if default.status < 500 else ResponseType.DEFAULT_5XX, {})
    own = customised.get(refused.kind, {})
    status = int(own.get("statusCode", fallback.get("statusCode", default.status)))
    templates = own.get("responseTemplates") or fallback.get("responseTemplates") or {}
    template = templates.get(JSON_TYPE, '{"message":$context.error.messageString}')
    error = {
        "message": refused.message,
        "messageString": refused.message,
        "responseType": str(refused.kind),
        "validationErrorString": refused.validation_error,
    }
    text = REFERENCE.sub(lambda match: _substitute(match, {**context, "error": error}), template)
    headers = [("Content-Type", JSON_TYPE), ("x-amzn-ErrorType", default.error_type)]
    parameters = {**fallback.get("responseParameters", {}), **own.get("responseParameters", {})}
    for name, value in parameters.items():
        if name.startswith("gatewayresponse.header.") and value.startswith("'"):
            headers.append((name.removeprefix("gatewayresponse.header."), value.strip("'")))
    return Answer(status, tuple(headers), text.encode(errors="replace"))


def _substitute(match: re.Match[str], context: Mapping[str, Any]) -> str:
    """Gateway responses know no Velocity, only this; a value is escaped for JSON, `messageString` is quoted too.

    `error.message` is neither, so that a template which puts it between quotes of its own fails here, too.
    """
    value: Any = context
    for step in match["name"].split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if value is None:
        return ""
    if match["name"] == "error.message":
        return str(value)
    quoted = json.dumps(value if isinstance(value, str) else str(value), ensure_ascii=False)
    return quoted if match["name"] == "error.messageString" else quoted[1:-1]
