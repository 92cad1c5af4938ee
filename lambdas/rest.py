"""The answers of the REST functions, in the form of API Gateway's Lambda proxy integration."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from universal_scheduler.domain.errors import (
    InvalidMessage,
    InvalidParameters,
    InvalidRow,
    InvalidSchedule,
    ItemTooLarge,
    RunNotFound,
    ScheduleNotFound,
    SchedulerError,
    UnreadableDocument,
)

STATUSES: Mapping[type[SchedulerError], tuple[int, str]] = {
    UnreadableDocument: (400, "InvalidJson"),
    InvalidMessage: (400, "BadRequest"),
    InvalidParameters: (400, "BadRequest"),
    InvalidRow: (422, "InvalidSchedule"),
    InvalidSchedule: (400, "InvalidSchedule"),
    ItemTooLarge: (413, "ScheduleTooLarge"),
    ScheduleNotFound: (404, "ScheduleNotFound"),
    RunNotFound: (404, "RunNotFound"),
}
"""The first class to which an error belongs gives its status and code. An error of no such class is our own mistake."""


def path_parameter(event: Mapping[str, Any], name: str) -> str:
    """A path parameter, decoded: the event may have it as it is in the URL. No name has a "%" itself."""
    return unquote(event["pathParameters"][name])


def body_of(event: Mapping[str, Any]) -> str | bytes:
    """The body of the request: text, or bytes if API Gateway takes it for binary. It is empty if it is not valid
    Base64."""
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body)
    try:
        return base64.b64decode(body)
    except ValueError:
        return b""


def answer(status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html"""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(body, ensure_ascii=False),
    }


def refusal(status: int, code: str, message: str, **more: Any) -> dict[str, Any]:
    """An answer 4xx in the form of all errors of the API."""
    return answer(status, {"error": {"code": code, "message": message, **more}})


def error_answer(error: SchedulerError) -> tuple[int, dict[str, Any]]:
    """The status and the body for an error that the caller has caused. Any other error is raised again."""
    for kind, (status, code) in STATUSES.items():
        if isinstance(error, kind):
            errors = {"errors": [each.as_dict() for each in error.errors]} if isinstance(error, InvalidSchedule) else {}
            return status, {"error": {"code": code, "message": str(error), **errors}}
    raise error
