"""An answer of the engine leaves in one piece, and nothing of it is lost."""

from __future__ import annotations

import asyncio

from universal_scheduler.local.http import _Collected


class Transport:
    def __init__(self) -> None:
        self.done: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.done


def written(*parts: bytes, closing: bool = False) -> list[bytes | str]:
    async def write() -> list[bytes | str]:
        transport = Transport()
        collected = _Collected(transport, asyncio.get_running_loop())  # type: ignore[arg-type]
        for part in parts:
            collected.write(part)
        if closing:
            collected.close()
            assert collected.is_closing()
        await asyncio.sleep(0)
        return transport.done

    return asyncio.run(write())


def test_what_is_written_in_one_turn_goes_out_together() -> None:
    assert written(b"head", b"body") == [b"headbody"]


def test_what_was_written_goes_out_before_the_connection_ends() -> None:
    assert written(b"head", b"body", closing=True) == [b"headbody", "closed"]


def test_a_large_piece_waits_for_nothing() -> None:
    large = b"x" * 100_000
    assert written(b"head", large, b"end") == [b"head" + large, b"end"]
