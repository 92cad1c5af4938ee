"""Where schedules are kept: their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Schedules(Protocol):
    """Schedules, as their owners wrote them."""

    def get_schedule(self, schedule_id: str) -> dict[str, Any] | None:
        """The schedule's row as its owner wrote it, with `scheduleErrors` where it has some."""
        ...

    def put_schedule(self, row: Mapping[str, Any]) -> bool:
        """Store a row whole; True where there was none with its scheduleId before.

        Once it has returned, `followers` of the schedules that its trigger names have it.

        Raises:
            ItemTooLarge: the row is over DynamoDB's 400 KB, its jobs compressed; nothing was stored.
            StoreUnavailable: throttled for too long; the row is stored.
        """
        ...

    def record_schedule_errors(self, schedule_id: str, errors: Sequence[Mapping[str, str]]) -> None:
        """Write (or with none, remove) what is wrong with a row beside it; a row that is gone stays gone.

        Where a row has no room for all of them, the first are written, as many as it has room for.
        """
        ...

    def list_schedules(self) -> list[dict[str, Any]]: ...
