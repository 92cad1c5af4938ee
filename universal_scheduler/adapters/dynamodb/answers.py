"""Reads DynamoDB's answers as the JSON that they are, without botocore's walk through each of their values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.parsers import JSONParser, ResponseParserFactory

if TYPE_CHECKING:
    from botocore.model import Shape
    from botocore.parsers import ResponseParser
    from botocore.session import Session

PLAIN = frozenset(
    f"{operation}Output"
    for operation in (
        *("BatchGetItem", "BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan"),
        *("TransactWriteItems", "UpdateItem"),
    )
)
"""Answers that hold items: JSON has all of their values but binary ones as botocore gives them.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html"""
BINARY = (b'"B"', b'"BS"')
"""What stands before every binary value; where it is something else, botocore reads the answer all the same."""


def read_plainly(session: Session) -> None:
    """Let the clients of this session read such answers so."""
    session.register_component("response_parser_factory", _Parsers())


class _Parsers(ResponseParserFactory):
    def create_parser(self, protocol_name: str) -> ResponseParser:
        return _ItemParser() if protocol_name == "json" else super().create_parser(protocol_name)


class _ItemParser(JSONParser):
    def parse(self, response: Any, shape: Shape) -> Any:
        body: bytes = response["body"]
        plain = response["status_code"] == 200 and getattr(shape, "name", "") in PLAIN  # some answers have no shape
        if not plain or any(mark in body for mark in BINARY):
            return super().parse(response, shape)
        headers = {name.lower(): value for name, value in response["headers"].items()}
        answer = json.loads(body)
        answer["ResponseMetadata"] = {
            "RequestId": headers.get("x-amzn-requestid", ""),
            "HTTPStatusCode": 200,
            "HTTPHeaders": headers,
        }
        return answer
