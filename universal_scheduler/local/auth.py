"""The keys of an engine with --auth, for machines with several users: who has them may use the engine.

A request shows that by AWS's signature, which every SDK makes, in its headers or in its address, or else by HTTP's
basic authentication. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

from __future__ import annotations

import base64
import configparser
import hmac
import json
import os
import pwd
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

CREDENTIALS = "credentials"
"""The file with the keys, in the state directory. SDKs read it: AWS_SHARED_CREDENTIALS_FILE."""

_KEY_ID = "usched"
_SIGNATURE = "AWS4-HMAC-SHA256"
_WITH_TOKEN = ("/_ministack/cfn-response/", "/_ministack/cfn-signal/")
"""Addresses that CloudFormation hands out and nobody can guess; AWS's are presigned."""

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key."""

    key_id: str
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.key_id, "AWS_SECRET_ACCESS_KEY": self.secret}

    @property
    def basic(self) -> str:
        """The header Authorization for callers that do not sign."""
        return f"Basic {base64.b64encode(f'{self.key_id}:{self.secret}'.encode()).decode()}"


ANY = Keys("test", "test")
"""For an engine without --auth, which does not look at them."""


def read_keys(path: Path) -> Keys:
    """The keys in a file of credentials.

    Raises:
        OSError: it cannot be read.
        ValueError: it has no keys.
    """
    parser = configparser.ConfigParser(interpolation=None)
    with path.open() as file:
        parser.read_file(file)
    try:
        section = parser["default"]
        return Keys(section["aws_access_key_id"], section["aws_secret_access_key"])
    except KeyError as missing:
        raise ValueError(f"{path} has no {missing.args[0]}.") from None


def make_keys(path: Path) -> Keys:
    """The keys in this file of credentials. If there is none, it is made, with new keys, for this user alone: so what
    has the keys when the engine stops may use the next engine, too."""
    if not path.exists():
        text = f"[default]\naws_access_key_id = {_KEY_ID}\naws_secret_access_key = {secrets.token_urlsafe(30)}\n"
        unfinished = path.with_name(f"{path.name}.part")
        unfinished.unlink(missing_ok=True)
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        unfinished.replace(path)
    path.chmod(0o600)
    return read_keys(path)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer 403, in the shape of the protocol that the sender speaks."""

    content_type: str
    body: bytes


class Door:
    """Lets requests into one engine, or says why not."""

    def __init__(self, keys: Keys, path: Path) -> None:
        self._basic = keys.basic.encode()
        owner = pwd.getpwuid(os.geteuid()).pw_name
        self._advice = (
            f"This engine runs with --auth: it wants every request signed with its keys. They are in {path}, which the "
            f"user '{owner}' can read: set AWS_SHARED_CREDENTIALS_FILE to it, or ask '{owner}' for the keys."
        )

    async def enter(self, scope: Scope, receive: Receive) -> tuple[Refusal | None, Receive]:
        """Why a request may not come in, or None; and from where its body is to be read from now on."""
        if scope["method"] == "PUT" and scope["path"].startswith(_WITH_TOKEN):
            return None, receive
        headers = _headers(scope)
        authorization = headers.get("authorization", "")
        if authorization.startswith("Basic "):
            if hmac.compare_digest(authorization.encode(), self._basic):
                return None, receive
            return self._refusal(headers, "", "UnknownKey", "Name and password are not those of this engine."), receive
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        presigned = not authorization and query.get("X-Amz-Algorithm") == [_SIGNATURE]
        if not presigned and not authorization.startswith(_SIGNATURE):
            return self._refusal(headers, "", "Missing", "The request has no signature of AWS's version 4."), receive
        body = b""
        payload = headers.get("x-amz-content-sha256", "")
        if not payload or payload.startswith("STREAMING-AWS4"):  # else the signature is over what this header says
            body, receive = await _read(receive)
        failure = _failure(scope, query, headers, body, presigned=presigned)
        if failure is None:
            return None, receive
        service, case, why = failure
        return self._refusal(headers, service, case, why), receive

    def _refusal(self, headers: Mapping[str, str], service: str, case: str, why: str) -> Refusal:
        """The codes: https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html and
        https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""
        message = f"{why} {self._advice}"
        if service == "s3":
            code = {"UnknownKey": "InvalidAccessKeyId", "Missing": "AccessDenied"}.get(case, "SignatureDoesNotMatch")
            return _xml("<Error><Code>{}</Code><Message>{}</Message></Error>", code, message)
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            names = {"UnknownKey": "InvalidClientTokenId", "Missing": "MissingAuthenticationToken"}
            error = "<Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error>"
            return _xml(f"<ErrorResponse>{error}</ErrorResponse>", names.get(case, "SignatureDoesNotMatch"), message)
        names = {"UnknownKey": "UnrecognizedClientException", "Missing": "MissingAuthenticationTokenException"}
        code = names.get(case, "InvalidSignatureException")
        # The services of AWS look for the first two, our own routes have the last one.
        answer = {"__type": code, "message": message, "error": {"code": code, "message": message}}
        return Refusal("application/json", json.dumps(answer).encode())


def _failure(
    scope: Scope, query: Mapping[str, list[str]], headers: Mapping[str, str], body: bytes, *, presigned: bool
) -> tuple[str, str, str] | None:
    """What is wrong with a signature: the service that it is for, the case, and the reason."""
    from ministack.core import iam_evaluator, responses, sigv4

    signature = sigv4.parse_query_signature(query) if presigned else sigv4.parse_header_signature(headers)
    if isinstance(signature, tuple):
        return "", signature[0], signature[1]
    service = signature.service
    if presigned:
        try:
            expired = sigv4.presigned_request_is_expired(signature.amz_date, query.get("X-Amz-Expires", [""])[0])
        except (ValueError, OverflowError):
            expired = True
        if expired:
            return service, "Expired", "The address has expired."
    elif skewed := sigv4.request_time_failure(signature):
        return service, *skewed
    key_id = signature.access_key_id
    # A number of twelve digits is the key of the account of that number, as for functions.
    account = key_id if len(key_id) == 12 and key_id.isdecimal() else responses._account_from_sts_session(key_id)
    found = iam_evaluator.resolve_credential(key_id, account)
    if isinstance(found, iam_evaluator.CredentialResolutionError):
        return service, "UnknownKey", f"This engine does not know the access key '{key_id}'."
    path = scope["raw_path"].decode("latin-1")
    secret = found.secret_access_key
    if signature.signature.isascii() and not sigv4.header_signature_failure(
        signature, secret, scope["method"], path, query, headers, body, presigned=presigned
    ):
        return None
    return service, "Signature", "The signature is not one of this engine's keys."


def _headers(scope: Scope) -> dict[str, str]:
    """By names in small letters; what is sent on several lines is signed as one."""
    headers: dict[str, str] = {}
    for raw_name, raw in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), _text(raw)
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """The body of a request, and what gives it once more."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(parts)
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, again


def _xml(shape: str, code: str, message: str) -> Refusal:
    return Refusal("text/xml", shape.format(code, escape(message)).encode())
