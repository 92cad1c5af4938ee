"""The rows of schedules with triggers, a page at a time: what the reconciler of the timetable reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

Row = Mapping[str, Any]


class TimeRows(Protocol):
    """Reads rows without their jobs. It remembers how far it has read, so that no sweep reads the whole table."""

    def next_time_rows(self, rows: int, mend: Callable[[Sequence[Row]], None]) -> bool:
        """Hand the next `rows` rows, of which those with a trigger, to `mend`. If that raises, they come again.

        After the last row it begins again with the first. Returns: whether this was the last of the table.
        """
        ...

    def time_rows(self, schedule_ids: Sequence[str]) -> Mapping[str, Row]:
        """The rows of these schedules as they are now, by scheduleId. Those that there are not are left out."""
        ...

    def entries_page(self) -> str:
        """The page of entries that the reconciler comes to next; empty for the first."""
        ...

    def entries_page_done(self, following: str) -> None:
        """Remember the page that comes next."""
        ...
