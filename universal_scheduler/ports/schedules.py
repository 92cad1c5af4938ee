"""Where schedules are kept: one row for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Schedules(Protocol):
    """The rows of schedules, as their owners wrote them."""

    def get_schedule(self, schedule_id: str) -> dict[str, Any] | None:
        """The row of a schedule, with `scheduleErrors` if it is wrong; None if there is none."""
        ...

    def put_schedule(self, row: Mapping[str, Any]) -> bool:
        """Store a whole row. True if there was none with this scheduleId before.

        When it returns, the schedule is a follower of every schedule that its trigger names.

        Raises:
            ItemTooLarge: the row is larger than DynamoDB's 400 KB, also with its jobs compressed. Nothing was stored.
            StoreUnavailable: DynamoDB refused the followers for too long. The row is stored.
        """
        ...

    def record_schedule_errors(self, schedule_id: str, errors: Sequence[Mapping[str, str]]) -> None:
        """Write the errors of a row into the row, or remove them if there are none. A row that was deleted stays
        deleted.

        If the row has no room for all errors, only the first of them are written.
        """
        ...

    def list_schedules(self) -> list[dict[str, Any]]:
        """All rows of schedules."""
        ...
