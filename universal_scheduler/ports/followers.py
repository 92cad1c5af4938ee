"""Keeps which schedules start after which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Followers(Protocol):
    """For each schedule, the names of the schedules that start after it: its followers.

    The end of a run reads only the followers of its own schedule. A name only says where to look; the row of the
    follower decides whether it starts. So an extra name does no harm, but a missing name would lose a start.
    """

    def followers(self, upstream: str) -> list[dict[str, Any]]:
        """The rows that now say that their schedule starts after this one, and that have no errors: their `scheduleId`
        and their `trigger`, in the order of the ids."""
        ...

    def upstreams(self, names: Sequence[str]) -> dict[str, list[str]]:
        """For each of these schedules that there are, and whose rows have no errors, the schedules that it starts
        after."""
        ...

    def add_follower(self, schedule_id: str, upstreams: Sequence[str]) -> None:
        """Keep the schedule as a follower of each of these. `put_schedule` calls it.

        Raises:
            StoreUnavailable: DynamoDB refused the writes for too long. Some of them may be done.
        """
        ...

    def remove_follower(self, schedule_id: str, upstreams: Sequence[str]) -> None:
        """Remove the schedule from the followers of each of these, except those that its row names at that moment."""
        ...

    def check_followers(self, rows: int) -> bool:
        """Add the missing names for the next `rows` schedules. After the last schedule it begins again with the first.

        Returns: whether every schedule has been checked at least once. Until then `followers` reads all rows.
        """
        ...
