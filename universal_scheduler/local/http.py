"""The engine's HTTP protocol: uvicorn's, but an answer goes out in one piece."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LARGE = 65536


class OnePiece(HttpToolsProtocol):
    """uvicorn writes an answer's head, then its body: every client would wake up twice for one answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._collected = _Collected(transport, asyncio.get_running_loop())
        super().connection_made(self._collected)  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        self._collected.flush()
        super().on_response_complete()


class _Collected:
    """A transport that writes together what is written in one turn of the loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        if len(data) > _LARGE:
            self.flush()

    def flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
