"""Answers of the REST functions, in the shape that API Gateway's Lambda proxy integration wants."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote


def path_parameter(event: Mapping[str, Any], name: str) -> str:
    """As it was meant: the event may have it as it stands in the URL. No name has a "%" itself."""
    return unquote(event["pathParameters"][name])


def answer(status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html"""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(body, ensure_ascii=False),
    }


def refusal(status: int, code: str, message: str, **more: Any) -> dict[str, Any]:
    """A 4xx in the one shape of all errors of the API."""
    return answer(status, {"error": {"code": code, "message": message, **more}})
