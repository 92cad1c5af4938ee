"""What a request has besides its body: on AWS a signature, on the embedded engine as little as it needs."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import boto3
import pytest

from tests.contract.conftest import Cloud
from universal_scheduler.settings import Settings
from universal_scheduler.wiring import Wiring

ENGINE, ELSEWHERE = "http://127.0.0.1:4566", "https://dynamodb.example.com"


class Seen(Exception):
    pass


def headers(client: Any, operation: str, **request: Any) -> dict[str, str]:
    """The headers of the request that a client makes; it is not sent."""
    seen = []

    def look(request: Any, **_: Any) -> None:
        seen.append(
            {name: value if isinstance(value, str) else value.decode() for name, value in request.headers.items()}
        )
        raise Seen

    client.meta.events.register("before-send.*.*", look)
    with pytest.raises(Seen):
        getattr(client, operation)(**request)
    return dict(seen[0])


def wiring(settings: Settings, endpoint: str | None = None) -> Wiring:
    session = boto3.Session("key", "secret", region_name="us-east-1")
    return Wiring(settings, session, endpoint)


@pytest.mark.parametrize(
    ("settings", "endpoint", "signed"),
    [
        (Settings(), None, True),
        (Settings(endpoint=ELSEWHERE), ELSEWHERE, True),
        (Settings(endpoint=ENGINE), None, False),
        (Settings(), ENGINE, False),
    ],
)
def test_requests_are_signed_but_on_the_embedded_engine(settings: Settings, endpoint: str | None, signed: bool) -> None:
    made = wiring(settings, endpoint)
    submitted = {"jobName": "a", "jobQueue": "q", "jobDefinition": "d"}
    for found in (
        headers(made.dynamodb, "get_item", TableName="t", Key={"id": {"S": "a"}}),
        headers(made.batch, "describe_jobs", jobs=["a"]),
        headers(made.platform._submitter, "submit_job", **submitted),
    ):
        assert ("Authorization" in found) is signed
        assert found["User-Agent"].startswith("universal-scheduler Boto3/")
    assert "Authorization" in headers(made.stepfunctions, "describe_execution", executionArn="arn")


def test_an_unsigned_request_is_of_the_engines_account_and_region(engine: Cloud) -> None:
    made = wiring(Settings(), engine.endpoint)
    key = {"AttributeName": "id", "AttributeType": "S"}
    engine.client("dynamodb").create_table(
        TableName="signed",
        AttributeDefinitions=[key],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    made.dynamodb.put_item(TableName="signed", Item={"id": {"S": "a"}})
    found = engine.client("dynamodb").scan(TableName="signed")["Items"]
    assert found == [{"id": {"S": "a"}}]


def test_an_unsigned_request_is_answered_like_a_signed_one(engine: Cloud) -> None:
    named = {"content-type": "application/x-amz-json-1.0"}
    signature = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20261121/us-east-1/dynamodb/aws4_request, x=y"}
    for operation, body in (
        ("ListTables", b"{}"),
        ("GetItem", b'{"TableName": "no-such-table", "Key": {"id": {"S": "a"}}}'),
        ("NoSuchOperation", b"{}"),
        ("PutItem", b"no json"),
    ):
        answers = []
        for headers in (named, {**named, **signature}):
            target = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
            request = urllib.request.Request(engine.endpoint, body, {**headers, **target})
            try:
                with urllib.request.urlopen(request) as answer:
                    read = answer.status, dict(answer.headers), answer.read()
            except urllib.error.HTTPError as error:
                read = error.code, dict(error.headers), error.read()
            assert read[1].pop("x-amzn-requestid")
            read[1].pop("date", None)
            answers.append(read)
        assert answers[0] == answers[1], operation


def test_what_only_browsers_read_is_answered_to_browsers_alone(engine: Cloud) -> None:
    named = {"x-amz-target": "DynamoDB_20120810.ListTables", "content-type": "application/x-amz-json-1.0"}
    for origin, expected in (({}, False), ({"Origin": "http://localhost:3000"}, True)):
        request = urllib.request.Request(engine.endpoint, b"{}", {**named, **origin})
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
            assert ("access-control-allow-origin" in answer.headers) is expected
            assert answer.headers["x-amzn-requestid"]
            assert ("x-amz-id-2" in answer.headers) is expected, "only S3 answers it on AWS"
