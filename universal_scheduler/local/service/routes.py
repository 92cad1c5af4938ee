"""What an engine answers of itself: GET /health and /metrics, POST /_usched/backup and /_usched/restore.

A page in somebody's browser may send requests to this machine, too. It can read neither health nor metrics, and what
its requests want done is refused: they have an Origin.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from universal_scheduler.local.service import backup
from universal_scheduler.local.service.backup import BackupError
from universal_scheduler.local.service.health import Health
from universal_scheduler.local.state import State, StateError

HEALTH, METRICS = "/health", "/metrics"
BACKUP, RESTORE = "/_usched/backup", "/_usched/restore"
_PATHS = frozenset({HEALTH, METRICS, BACKUP, RESTORE})
_CHUNK = 1 << 18
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger("usched.engine")


class Service:
    """The routes of one engine. `restart` begins the engine's end; after it the same process starts anew."""

    def __init__(
        self, home: Path, state: State, health: Health, metrics: Callable[[], str], restart: Callable[[], None]
    ) -> None:
        self._home, self._state, self._start_again = home, state, restart
        self._health, self._metrics = health, metrics
        self._busy = False

    def owns(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> bool:
        """S3 may have a bucket of the same name: its requests are signed."""
        if path not in _PATHS:
            return False
        signed = headers.get(b"authorization", b"").startswith(b"AWS4")
        return path != METRICS or (method in ("GET", "HEAD") and not signed)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["raw_path"].decode()
        wanted = ("GET", "HEAD") if path in (HEALTH, METRICS) else ("POST",)
        if method not in wanted:
            return await _error(send, 405, f"{path} takes {wanted[0]}.", ("allow", ", ".join(wanted)))
        if path == HEALTH:
            found = self._health.look()
            return await _answer(send, found.status, "application/json", json.dumps(found.to_json()).encode(), method)
        if path == METRICS:
            return await _answer(send, 200, _PROMETHEUS, self._metrics().encode(), method)
        if any(name == b"origin" for name, _ in scope["headers"]):
            return await _error(send, 403, "A page in a browser cannot do this. Use the command usched.")
        if self._busy:
            return await _error(send, 409, "Another backup or restore goes on. Try again when it has ended.")
        self._busy = True
        try:
            await (self._backup(send) if path == BACKUP else self._restore(receive, send))
        finally:
            self._busy = False
        return None

    async def _backup(self, send: Send) -> None:
        reads, writes = os.pipe()
        with open(reads, "rb", buffering=0) as source:
            writing = asyncio.create_task(asyncio.to_thread(self._write, writes))
            chunk = await asyncio.to_thread(source.read, _CHUNK)
            if not chunk:  # it has failed before there was anything
                try:
                    await writing
                except (BackupError, StateError, OSError, sqlite3.Error) as error:
                    return await _error(send, 409, str(error))
            head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/gzip")]}
            await send(head)
            while chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = await asyncio.to_thread(source.read, _CHUNK)
        await writing  # if it has failed, the answer has no end
        await send({"type": "http.response.body", "body": b""})
        return None

    def _write(self, descriptor: int) -> None:
        with open(descriptor, "wb", buffering=_CHUNK) as out:
            backup.write(self._home, self._state, out)

    async def _restore(self, receive: Receive, send: Send) -> None:
        reads, writes = os.pipe()
        reading = asyncio.create_task(asyncio.to_thread(self._receive, reads))
        with open(writes, "wb", buffering=0) as out:
            wanted = True
            while (message := await receive())["type"] == "http.request":
                data = message.get("body", b"")
                while data and wanted:  # the rest is of no use, but who sends it listens only when all is sent
                    try:
                        data = data[await asyncio.to_thread(out.write, data) :]
                    except BrokenPipeError:
                        wanted = False
                if not message.get("more_body"):
                    break
        try:
            manifest = await reading
        except BackupError as error:
            return await _error(send, 400, str(error))
        answer = {"at": manifest["at"], "release": manifest["release"]}
        await _answer(send, 200, "application/json", json.dumps(answer).encode())
        _log.warning("restoring the backup of %s: the engine starts again", manifest["at"])
        self._start_again()
        return None

    def _receive(self, descriptor: int) -> Mapping[str, Any]:
        with open(descriptor, "rb", buffering=_CHUNK) as source:
            return backup.receive(self._home, self._state, source)


async def _error(send: Send, status: int, message: str, *headers: tuple[str, str]) -> None:
    await _answer(send, status, "application/json", json.dumps({"error": {"message": message}}).encode(), "", *headers)


async def _answer(send: Send, status: int, kind: str, body: bytes, method: str = "", *headers: tuple[str, str]) -> None:
    pairs = [("content-type", kind), ("content-length", str(len(body))), ("cache-control", "no-store"), *headers]
    encoded = [(name.encode(), value.encode()) for name, value in pairs]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
