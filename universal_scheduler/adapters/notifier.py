"""The channels in which people read messages: SNS topics and webhooks. No secret leaves this module except to its
receiver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import urllib3
from botocore.exceptions import BotoCoreError, ClientError, InvalidRegionError, ParamValidationError

from universal_scheduler.domain.errors import DeliveryFailed, DeliveryRefused
from universal_scheduler.domain.messages.messages import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    Message,
    signature,
    sns_request,
    webhook_body,
)
from universal_scheduler.domain.messages.notifications import Channel, Service, is_secret

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
READ_OF_ANSWER, SHOWN_OF_ANSWER = 4096, 200
"""How many bytes of a receiver's refusal are read, and how many characters of them are reported."""
PASSING = frozenset(
    {"Throttled", "ThrottlingException", "Throttling", "InternalError", "InternalServiceError", "KMSThrottling"}
) | {"KMSThrottlingException", "RequestLimitExceeded", "InternalServerError", "DecryptionFailure"}
"""Error codes of SNS, Systems Manager and Secrets Manager for errors that may pass. Other client errors do not pass."""

Client = Callable[[str, str], Any]
"""Makes a boto3 client from the name of a service and a region. An empty region means the function's own."""


class ServiceNotifier:
    """`ports.messages.Notifier` over SNS and HTTP. URLs and keys may be in Systems Manager and Secrets Manager.

    A webhook needs https, except on this machine itself if `loopback` allows it. Redirects are not followed.
    """

    def __init__(self, client: Client, *, seconds: float, loopback: bool = False) -> None:
        self._client, self._loopback = client, loopback
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=seconds, read=seconds, total=seconds), retries=False
        )

    def send(self, channel: Channel, message: Message, now: float) -> None:
        if channel.service is Service.SNS:
            region = (channel.target.split(":") + [""] * 4)[3]
            request = {"TopicArn": channel.target, **sns_request(message)}
            _called(channel.label, lambda: self._client("sns", region).publish(**request))
            return
        url, key = self._value(channel.target), self._value(channel.key)
        host = urlsplit(url).hostname or ""
        if not url.startswith("https://") and not (self._loopback and url.startswith("http://") and host in LOOPBACK):
            raise DeliveryRefused(f"{channel.label}: the address is not an https:// URL")
        body = webhook_body(channel.service, message)
        headers = {"Content-Type": "application/json", "User-Agent": "universal-scheduler", ID_HEADER: message.id}
        if key:
            stamp = int(now)
            headers |= {TIMESTAMP_HEADER: str(stamp), SIGNATURE_HEADER: signature(key, stamp, body)}
        self._post(channel, url, body, headers, key)

    def _post(self, channel: Channel, url: str, body: bytes, headers: dict[str, str], key: str) -> None:
        try:
            answer = self._http.request("POST", url, body=body, headers=headers, redirect=False, preload_content=False)
            with answer:
                said = "" if 200 <= answer.status < 300 else answer.read(READ_OF_ANSWER).decode(errors="replace")
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:  # its own text has the URL
            raise DeliveryFailed(f"{channel.label}: no answer ({type(error).__name__})") from None
        if 200 <= answer.status < 300:
            return
        said = _without(said, url, urlsplit(url).path, key)[:SHOWN_OF_ANSWER]
        problem = f"{channel.label} answered {answer.status}: {said}".rstrip(": ")
        if answer.status in (408, 425, 429) or answer.status >= 500:
            raise DeliveryFailed(problem, _retry_after(answer.headers.get("Retry-After", "")))
        raise DeliveryRefused(problem)

    def _value(self, text: str) -> str:
        """The value itself, or that of the secret which it names."""
        if not is_secret(text):
            return text
        kind, _, name = text.partition(":")
        if kind == "ssm":
            found = _called(text, lambda: self._client("ssm", "").get_parameter(Name=name, WithDecryption=True))
            value = found["Parameter"]["Value"]
        else:
            found = _called(text, lambda: self._client("secretsmanager", "").get_secret_value(SecretId=name))
            value = found.get("SecretString", "")
        if not value.strip():
            raise DeliveryRefused(f"{text}: the secret is empty")
        return str(value).strip()


def _called(what: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        problem = f"{what}: {code}: {error.response.get('Error', {}).get('Message', '')}"
        raise (DeliveryFailed if code in PASSING or status >= 500 else DeliveryRefused)(problem) from error
    except (ParamValidationError, InvalidRegionError) as error:
        raise DeliveryRefused(f"{what}: {error}") from error
    except BotoCoreError as error:
        raise DeliveryFailed(f"{what}: {error}") from error


def _without(text: str, *secrets: str) -> str:
    for secret in secrets:
        if len(secret) > 1:
            text = text.replace(secret, "***")
    return text


def _retry_after(header: str) -> float:
    """Seconds; a date is left to our own pause. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after"""
    return float(header) if header.strip().isdigit() else 0.0
