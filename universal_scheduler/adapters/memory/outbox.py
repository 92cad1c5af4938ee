"""The queue of notifications as a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class MemoryOutbox:
    """`ports.Outbox` that keeps what it is given."""

    bodies: list[str] = field(default_factory=list)
    paused: list[tuple[str, int]] = field(default_factory=list)
    dead: list[tuple[str, str]] = field(default_factory=list)

    def put(self, bodies: Sequence[str]) -> None:
        self.bodies += bodies

    def delay(self, receipt: str, seconds: int) -> None:
        self.paused.append((receipt, seconds))

    def dead_letter(self, body: str, reason: str) -> None:
        self.dead.append((body, reason))
