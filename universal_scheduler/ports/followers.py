"""Which schedules start after which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Followers(Protocol):
    """For each schedule the names of its followers: the end of a run reads those of its own schedule alone.

    A name only says where to look. The follower's row decides at that moment, so a name too many starts nothing; a name
    that is missing would lose a start.
    """

    def followers(self, upstream: str) -> list[str]:
        """The schedules whose rows say now that they start after this one, and have no errors."""
        ...

    def add_follower(self, schedule_id: str, upstreams: Sequence[str]) -> None:
        """Keep the schedule's name for each of these. `put_schedule` does so itself.

        Raises:
            StoreUnavailable: throttled for too long; some may be written.
        """
        ...

    def remove_follower(self, schedule_id: str, upstreams: Sequence[str]) -> None:
        """Forget the schedule's name for each of these, but not for those that its row names at that moment."""
        ...

    def check_followers(self, rows: int) -> bool:
        """Add the names that are missing for the next so many schedules; after the last comes the first again.

        Returns: whether every schedule has been checked at least once. Until then `followers` reads all rows.
        """
        ...
