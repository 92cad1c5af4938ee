"""DynamoDB's answers are read as botocore reads them: on moto, and from the embedded engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import JSONParser
from moto import mock_aws

from tests.contract.conftest import Cloud
from universal_scheduler.adapters.dynamodb import answers

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
ITEM = {
    "id": {"S": "a"},
    "B": {"S": "no bytes"},
    "number": {"N": "-1.5"},
    "text": {"S": 'a "B": \\ é \u2028 😀'},
    "nothing": {"NULL": True},
    "deep": {"M": {"list": {"L": [{"BOOL": False}, {"SS": ["x"]}, {"NS": ["1"]}, {"M": {}}, {"L": []}]}}},
}
BYTES = {"id": {"S": "bytes"}, "one": {"B": b"\0\xff"}, "some": {"L": [{"BS": [b"x"]}]}}


def session() -> boto3.Session:
    core = botocore.session.get_session()
    answers.read_plainly(core)
    return boto3.Session(botocore_session=core, **KEYS)


@pytest.fixture(params=["moto", "engine"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "moto":
        with mock_aws():
            yield session().client("dynamodb")
    else:
        engine: Cloud = request.getfixturevalue("engine")
        yield session().client("dynamodb", endpoint_url=engine.endpoint)


@pytest.fixture
def table(client: Any) -> str:
    name = f"t-{uuid.uuid4().hex[:8]}"
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def test_every_answer_is_what_botocore_makes_of_it(client: Any, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key, named = {"id": {"S": "a"}}, {"TableName": table}
    changed = {**named, "Key": key, "UpdateExpression": "SET #x = :x", "ExpressionAttributeNames": {"#x": "x"}}
    changed |= {"ExpressionAttributeValues": {":x": {"N": "2"}}}
    refused = {**named, "Key": key, "ConditionExpression": "attribute_not_exists(id)"}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("put_item", {**named, "Item": ITEM}),
        ("put_item", {**named, "Item": BYTES}),
        ("put_item", {**named, "Item": BYTES, "ReturnValues": "ALL_OLD"}),
        ("get_item", {**named, "Key": key, "ReturnConsumedCapacity": "TOTAL"}),
        ("get_item", {**named, "Key": {"id": {"S": "none"}}}),
        ("get_item", {**named, "Key": {"id": {"S": "bytes"}}}),
        ("update_item", {**changed, "ReturnValues": "ALL_NEW"}),
        ("update_item", changed),
        ("query", {**named, "KeyConditionExpression": "id = :x", "ExpressionAttributeValues": {":x": {"S": "a"}}}),
        ("scan", named),
        ("scan", {**named, "Select": "COUNT"}),
        ("batch_get_item", {"RequestItems": {table: {"Keys": [key, {"id": {"S": "none"}}]}}}),
        ("batch_write_item", {"RequestItems": {table: [{"PutRequest": {"Item": ITEM}}]}}),
        ("transact_write_items", {"TransactItems": [{"Put": {**named, "Item": ITEM}}]}),
        ("transact_write_items", {"TransactItems": [{"Delete": refused}, {"Put": {**named, "Item": BYTES}}]}),
        ("delete_item", refused),
        ("delete_item", {**named, "Key": key, "ReturnValues": "ALL_OLD"}),
        ("get_item", {"TableName": "no-such-table", "Key": key}),
        ("describe_table", named),
    ]
    read, both = answers._ItemParser.parse, list[tuple[Any, Any]]()

    def compare(self: Any, response: Any, shape: Any) -> Any:
        found = read(self, response, shape)
        both.append((deepcopy(found), JSONParser.parse(self, response, shape)))
        return found

    monkeypatch.setattr(answers._ItemParser, "parse", compare)
    for operation, request in calls:
        with suppress(ClientError):
            getattr(client, operation)(**request)
    assert len(both) >= len(calls)
    for found, expected in both:
        assert found == expected


def test_botocore_walks_through_none_of_them(client: Any, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    item = {name: value for name, value in ITEM.items() if name not in ("B", "text")}

    def walk(*_: Any) -> Any:
        raise AssertionError("botocore reads the answer")

    monkeypatch.setattr(JSONParser, "parse", walk)
    client.put_item(TableName=table, Item=item)
    assert client.get_item(TableName=table, Key={"id": {"S": "a"}})["Item"] == item
    with pytest.raises(AssertionError, match="botocore reads"):
        client.describe_table(TableName=table)
