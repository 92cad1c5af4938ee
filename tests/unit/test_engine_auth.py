"""Who may come in at the door of an engine with --auth."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from universal_scheduler.local.auth import ANY, Door, Keys, Refusal, make_keys, read_keys

KEYS = Keys("usched", "correct-horse")
HOST = "127.0.0.1:4566"
SERVICES = ("dynamodb", "batch", "states", "sqs", "execute-api", "s3")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the engine sets for itself."""
    for name, value in KEYS.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MINISTACK_ACCOUNT_ID", "123456789012")


def signed(
    service: str = "dynamodb",
    method: str = "POST",
    url: str = "/",
    body: bytes = b"{}",
    keys: Keys = KEYS,
    **headers: str,
) -> AWSRequest:
    request = AWSRequest(method, f"http://{HOST}{url}", {"Host": HOST, **headers}, body)
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(Credentials(keys.key_id, keys.secret), service, "us-east-1").add_auth(request)
    return request


def entered(request: AWSRequest, body: bytes | None = None) -> tuple[Refusal | None, bytes]:
    """What the door says to a request, and what can be read of its body behind the door."""
    address = urlsplit(request.url)
    pairs = [(name.lower().encode(), str(value).encode()) for name, value in request.headers.items()]
    return asked(request.method, address.path, address.query, pairs, (request.data or b"") if body is None else body)


def asked(
    method: str, path: str, query: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> tuple[Refusal | None, bytes]:
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
    }
    pieces = [body[:3], body[3:]]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def main() -> tuple[Refusal | None, bytes]:
        refusal, read = await Door(KEYS, Path("/state/credentials")).enter(scope, receive)
        parts, more = [], True
        while more:
            message = await read()
            parts.append(message["body"])
            more = message["more_body"]
        return refusal, b"".join(parts)

    return asyncio.run(main())


def code(refusal: Refusal | None) -> str:
    assert refusal is not None
    if refusal.content_type == "application/json":
        return str(json.loads(refusal.body)["__type"])
    return ElementTree.fromstring(refusal.body).findtext(".//Code") or ""


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("url", ["/", "/api/v1/executions", "/a%20b/%C3%BC%2Bc?x=1&a=%2F&b", "//double//slash/"])
def test_a_request_that_is_signed_with_the_keys_comes_in_whole(service: str, url: str) -> None:
    assert entered(signed(service, url=url, body=b'{"a": 1}')) == (None, b'{"a": 1}')


@pytest.mark.parametrize("service", SERVICES)
def test_a_request_that_is_signed_with_another_secret_stays_out(service: str) -> None:
    for keys in (ANY, Keys(KEYS.key_id, "wrong"), Keys("123456789012", "test"), Keys("AKIAUNKNOWN", KEYS.secret)):
        refusal, _ = entered(signed(service, keys=keys))
        assert refusal is not None


def test_the_number_of_the_account_is_a_name_of_the_same_key_as_for_functions() -> None:
    assert entered(signed(keys=Keys("123456789012", KEYS.secret)))[0] is None


def test_a_request_that_was_changed_stays_out() -> None:
    changed = entered(signed(body=b'{"TableName": "a"}'), body=b'{"TableName": "b"}')[0]
    assert code(changed) == "InvalidSignatureException"
    request = signed()
    request.url += "?more=1"
    assert code(entered(request)[0]) == "InvalidSignatureException"
    request = signed()
    request.method = "PUT"
    assert code(entered(request)[0]) == "InvalidSignatureException"


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_signature_of_another_time_is_worth_nothing(minutes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    when = datetime.now(UTC) + timedelta(minutes=minutes)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: when.replace(tzinfo=None))
    assert code(entered(signed())[0]) == "InvalidSignatureException"


def test_a_presigned_address_opens_until_it_expires() -> None:
    def get(seconds: int, url: str = "/bucket/key") -> Refusal | None:
        request = AWSRequest("GET", f"http://{HOST}{url}", {"Host": HOST})
        S3SigV4QueryAuth(Credentials(KEYS.key_id, KEYS.secret), "s3", "us-east-1", seconds).add_auth(request)
        return entered(request)[0]

    assert get(60) is None
    assert get(60, "/bucket/a%20b?versionId=1") is None
    assert code(get(-60)) == "SignatureDoesNotMatch"


def test_name_and_password_are_as_good_as_a_signature() -> None:
    def get(value: str) -> Refusal | None:
        return asked("GET", "/metrics", "", [(b"authorization", value.encode())], b"")[0]

    assert get(KEYS.basic) is None
    for wrong in (
        ANY.basic,
        Keys(KEYS.key_id, "wrong").basic,
        "Basic",
        "Basic ",
        "Basic !",
        "Bearer correct-horse",
        "",
    ):
        assert get(wrong) is not None


@pytest.mark.parametrize(
    ("headers", "unsigned", "unknown", "wrong"),
    [
        (
            {"Content-Type": "application/x-amz-json-1.0"},
            "MissingAuthenticationTokenException",
            "UnrecognizedClientException",
            "InvalidSignatureException",
        ),
        (
            {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
            "MissingAuthenticationToken",
            "InvalidClientTokenId",
            "SignatureDoesNotMatch",
        ),
    ],
)
def test_a_refusal_is_in_the_protocol_of_the_request(
    headers: Mapping[str, str], unsigned: str, unknown: str, wrong: str
) -> None:
    plain = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    assert code(asked("POST", "/", "", plain, b"")[0]) == unsigned
    assert code(entered(signed("sts", keys=Keys("AKIAUNKNOWN", "x"), **headers))[0]) == unknown
    assert code(entered(signed("sts", keys=Keys("test", "x"), **headers))[0]) == wrong


def test_s3_is_refused_in_the_words_of_s3() -> None:
    assert code(entered(signed("s3", keys=Keys("AKIAUNKNOWN", "x")))[0]) == "InvalidAccessKeyId"
    assert code(entered(signed("s3", keys=Keys("test", "x")))[0]) == "SignatureDoesNotMatch"


def test_a_refusal_says_what_to_do() -> None:
    refusal, _ = asked("GET", "/api/v1/executions/x", "", [], b"")
    assert refusal is not None
    message = json.loads(refusal.body)["error"]["message"]
    assert "runs with --auth" in message
    assert "/state/credentials" in message
    assert "AWS_SHARED_CREDENTIALS_FILE" in message


def test_what_cloudformation_hands_out_needs_no_signature() -> None:
    assert asked("PUT", "/_ministack/cfn-response/0f8fad5b", "", [], b"{}") == (None, b"{}")
    assert asked("GET", "/_ministack/cfn-response/0f8fad5b", "", [], b"{}")[0] is not None
    assert asked("PUT", "/_ministack/config", "", [], b"{}")[0] is not None


TOKENS = st.sampled_from(
    (
        *("AWS4-HMAC-SHA256", "Credential=usched", "/20260101", "/us-east-1", "/s3/aws4_request", "SignedHeaders=host"),
        *(
            " ",
            ",",
            "=",
            "\x00",
            "1" * 400,
            "Signature=",
            "Signature=é",
            "20260101T000000Z",
            "STREAMING-AWS4",
            "Basic ",
        ),
    )
)
VALUES = st.lists(TOKENS, max_size=9).map("".join)


@given(authorization=VALUES, date=VALUES, payload=VALUES, query=VALUES)
def test_whatever_is_sent_gets_an_answer_and_stays_out(authorization: str, date: str, payload: str, query: str) -> None:
    names = (b"authorization", b"x-amz-date", b"x-amz-content-sha256")
    headers = [(name, value.encode()) for name, value in zip(names, (authorization, date, payload), strict=True)]
    assert asked("POST", "/", "", headers, b"{}")[0] is not None
    address = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={query}&X-Amz-Signature={date}&X-Amz-Expires={payload}"
    )
    address += "&X-Amz-SignedHeaders=host&X-Amz-Date=20260101T000000Z"
    assert asked("GET", "/b/k", address, [], b"")[0] is not None


def test_keys_are_made_once_and_for_their_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    made = make_keys(path)
    assert len(made.secret) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert make_keys(path) == made == read_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make_keys(tmp_path / "other") != made


def test_an_sdk_reads_the_file_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.session

    made = make_keys(tmp_path / "credentials")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    found = botocore.session.get_session().get_credentials()
    assert (found.access_key, found.secret_key) == (made.key_id, made.secret)


def test_a_file_without_keys_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[default]\nregion = us-east-1\n")
    with pytest.raises(ValueError, match="credentials has no aws_access_key_id"):
        read_keys(tmp_path / "credentials")
