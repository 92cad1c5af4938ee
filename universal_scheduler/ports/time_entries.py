"""The entries of EventBridge Scheduler, one or more for each time trigger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from universal_scheduler.domain.time.entries import Entry


class TimeEntries(Protocol):
    """The entries of this stage's group."""

    def put(self, entry: Entry) -> None:
        """Make the entry, or change the one with its name to be the same as this in everything.

        Raises:
            TimetableUnavailable: EventBridge Scheduler did not answer, or does not take it now. Try again later.
        """
        ...

    def remove(self, name: str) -> None:
        """Delete the entry with this name. It is no error if there is none.

        Raises:
            TimetableUnavailable: EventBridge Scheduler did not answer. Try again later.
        """
        ...

    def get(self, name: str) -> Entry | None:
        """The entry with this name as it is; None if there is none."""
        ...

    def names(self, page: str) -> tuple[Sequence[str], str]:
        """The names of the next entries, and the page that comes after them. The first page is the empty text, and so
        is the page after the last."""
        ...
