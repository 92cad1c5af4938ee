"""Where named calendars are kept: one row for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol


class Calendars(Protocol):
    """The rows of calendars, as their owners wrote them."""

    def get_calendars(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The rows of the calendars with these names, by name. Those that there are not are left out."""
        ...

    def put_calendar(self, row: Mapping[str, Any]) -> bool:
        """Store a whole row. True if there was none with this name before."""
        ...

    def list_calendars(self) -> list[dict[str, Any]]:
        """All rows of calendars, in the order of their names."""
        ...
