"""The embedded engine's DynamoDB in the test's own process, behind a client that asks no network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from botocore.awsrequest import AWSRequest, AWSResponse

from tests.tables import create_tables


@contextmanager
def engine_dynamodb() -> Iterator[Any]:
    """A client of it, with the template's tables, which are new."""
    service = _service()
    client = boto3.client(
        "dynamodb", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test", endpoint_url="http://none"
    )

    def answer(request: AWSRequest, **_: Any) -> AWSResponse:
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        status, named, content = asyncio.run(service.handle_request("POST", "/", headers, request.body, {}))
        return AWSResponse(request.url, status, named, _Content(content))

    client.meta.events.register("before-send.dynamodb", answer)
    create_tables(client)
    try:
        yield client
    finally:
        for name in client.list_tables()["TableNames"]:
            client.delete_table(TableName=name)


@cache
def _service() -> Any:
    from ministack.services import dynamodb

    from universal_scheduler.local.gaps import dynamodb as gap
    from universal_scheduler.local.gaps import dynamodb_storage
    from universal_scheduler.local.state import State

    gap.apply(dynamodb_storage.apply(State()))
    return dynamodb


class _Content:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterable[bytes]:
        return [self._content]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
