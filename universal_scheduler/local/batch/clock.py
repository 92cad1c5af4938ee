"""The time and the timers of the service, replaceable in tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def now(self) -> int:
        """Epoch milliseconds."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Call ``action`` once, after so many seconds; with 0 as soon as what runs now is done."""


class LoopClock:
    """The machine's time, and the timers of the event loop that it is first used in."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        loop = asyncio.get_running_loop()
        return loop.call_later(seconds, action) if seconds else loop.call_soon(action)
