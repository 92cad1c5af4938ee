"""Keeps room on the disk for what runs: when it gets short, new work is refused at the engine's door, or waits.

Whoever asks for new work hears why, and what to do. Functions and jobs go on: what they do was accepted before. What
waits in a queue, a stream or an entry of EventBridge Scheduler stays there, and no further job starts. All that goes
on by itself when there is room again.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4
from xml.sax.saxutils import escape

Answer = tuple[int, dict[str, str], bytes]

_MOST_KEPT, _SHARE = 64 << 20, 4
"""So many bytes are kept for what runs, and on a small disk a fourth of it."""
_LOOK_SECONDS = 1.0
_NEAR, _NEAR_LOOK_SECONDS = 1 << 30, 0.01
"""With less room than this there may be too little in a second: writes are as fast as the disk."""
_SHRINK_SECONDS = 10.0
_REFUSED = frozenset(
    {
        *("DynamoDB_20120810.PutItem", "AWSStepFunctions.StartExecution", "AWSStepFunctions.StartSyncExecution"),
        *("AmazonSQS.SendMessage", "AmazonSQS.SendMessageBatch", "AWSEvents.PutEvents", "Logs_20140328.PutLogEvents"),
    }
)
_WRITES = "DynamoDB_20120810.BatchWriteItem"
"""It is refused when it puts items. Many items are deleted by it, too."""
_OURS = re.compile(rb"exec-env/AWS_(Lambda|ECS)_")
"""What functions and jobs say of where they run, by the AWS SDKs:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""
_SCOPE = re.compile(rb"Credential=[^,/]+/\d+/[^/]+/([^/]+)/aws4_request")
_CODES = {
    "DynamoDB_20120810": "InternalServerError",
    "AWSStepFunctions": "ServiceUnavailable",
    "AmazonSQS": "ServiceUnavailable",
    "AWSEvents": "InternalException",
    "Logs_20140328": "ServiceUnavailableException",
}
"""The error of each service that says that it cannot just now."""

_log = logging.getLogger("usched.engine")


class Room:
    """The room on the disk of a folder. `shrink` is called again and again while it is, or gets, short."""

    def __init__(
        self,
        folder: Path,
        shrink: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self._folder, self._shrink, self._clock, self._statvfs = folder, shrink, clock, statvfs
        self._looked = self._shrunk = float("-inf")
        self._shrinking = threading.Lock()
        self._short, self._near = "", False
        self._look_seconds = _LOOK_SECONDS

    def short(self) -> str:
        """What is wrong and what to do; empty while there is room."""
        now = self._clock()
        if now - self._looked >= self._look_seconds:
            self._looked = now
            self._look()
        if self._near and now - self._shrunk >= _SHRINK_SECONDS:
            self._shrunk = now
            threading.Thread(target=self._make_room, daemon=True, name="usched-room").start()
        return self._short

    def problem(self) -> str | None:
        """For the engine's health."""
        return self.short() or None

    def _look(self) -> None:
        try:
            disk = self._statvfs(self._folder)
        except OSError:
            return
        free, kept = disk.f_bavail * disk.f_frsize, min(_MOST_KEPT, disk.f_blocks * disk.f_frsize // _SHARE)
        before, self._short, self._near = self._short, "", free < 2 * kept
        self._look_seconds = _NEAR_LOOK_SECONDS if free < kept + _NEAR else _LOOK_SECONDS
        if free < kept:
            self._short = (
                f"The disk of {self._folder} has {free / (1 << 20):.1f} MB left. The engine keeps {kept >> 20} MB for "
                "what runs, and takes no new work until there is more. Delete files from that disk, or items, "
                "objects, messages or log groups that nobody needs any more."
            )
        if bool(before) != bool(self._short):
            _log.warning(self._short or f"The disk of {self._folder} has room again. The engine takes new work.")

    def _make_room(self) -> None:
        if self._shrinking.acquire(blocking=False):
            try:
                self._shrink()
            except Exception:  # noqa: BLE001 - the disk may be too full for that
                _log.exception("the files of the engine could not be made smaller")
            finally:
                self._shrinking.release()


def is_new_work(method: str, path: str, query: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request asks for more than there is already. Functions and jobs do not."""
    if _OURS.search(headers.get(b"user-agent", b"")):
        return False
    if operation := headers.get(b"x-amz-target", b"").decode("latin-1"):
        return operation in _REFUSED or operation == _WRITES
    service = _service(headers)
    if service == b"s3":
        return method == "PUT" or (method == "POST" and "delete" not in query.split("&"))
    return method == "POST" and (path == "/v1/submitjob" or path.startswith("/api/") or service == b"sns")


def puts_items(headers: Mapping[bytes, bytes], body: bytes) -> bool:
    """Whether a request that may only delete puts something. Others always do."""
    return headers.get(b"x-amz-target") != _WRITES.encode() or b'"PutRequest"' in body


def _service(headers: Mapping[bytes, bytes]) -> bytes:
    """The service that a request is signed for."""
    scope = _SCOPE.search(headers.get(b"authorization", b""))
    return scope[1] if scope else b""


def refused(path: str, headers: Mapping[bytes, bytes], reason: str) -> Answer:
    """507, and the error of the service that was asked: its SDK does not repeat it, but tells at once."""
    target = headers.get(b"x-amz-target", b"").decode("latin-1")
    request = str(uuid4())
    if target:
        code = _CODES[target.partition(".")[0]]
        fields = {"content-type": "application/x-amz-json-1.0", "x-amzn-errortype": code, "x-amzn-requestid": request}
        return 507, fields, json.dumps({"__type": code, "message": reason}).encode()
    if path == "/v1/submitjob":
        fields = {"content-type": "application/json", "x-amzn-errortype": "ServerException"}
        return 507, fields, json.dumps({"message": reason}).encode()
    if path.startswith("/api/"):
        told = {"error": {"code": "InsufficientStorage", "message": reason, "requestId": request}}
        return 507, {"content-type": "application/json"}, json.dumps(told).encode()
    error = f"<Error><Code>ServiceUnavailable</Code><Message>{escape(reason)}</Message></Error>"
    if _service(headers) == b"sns":
        error = f"<ErrorResponse>{error}<RequestId>{request}</RequestId></ErrorResponse>"
    return 507, {"content-type": "application/xml"}, f'<?xml version="1.0" encoding="UTF-8"?>{error}'.encode()
