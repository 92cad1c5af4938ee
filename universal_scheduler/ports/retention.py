"""How old runs are forgotten."""

from __future__ import annotations

from typing import Protocol


class Retention(Protocol):
    """Deletes runs for which the time to be kept is over."""

    def forget_runs(self, before: str, limit: int) -> int:
        """Delete up to `limit` runs that have ended and started before a day (UTC, YYYY-MM-DD), with their jobs and
        what operators did to them. The oldest days come first. A call that was interrupted is finished by the next.

        Returns: how many runs were deleted.
        """
        ...
