"""Keeps the indexes complete: it adds what was lost and what earlier versions did not write."""

from __future__ import annotations

from collections.abc import Callable

from universal_scheduler.ports.store import Store

ROWS = 500
"""Rows of each table in one step, so that no sweep reads a whole table."""
FIRST_STEPS = 10
"""Steps in one sweep, until all rows have been read once. Until then, readers read whole tables."""
ENOUGH_SECONDS = 10.0
"""If less time is left, no further step begins."""


def complete_indexes(store: Store, time_left: Callable[[], float]) -> None:
    """Check the next schedules (again and again) and the next runs (once), and add what is missing in their indexes.

    `time_left` answers how many seconds are left.

    Raises:
        StoreUnavailable: the next sweep goes on where this one stopped.
    """
    for step in (store.check_followers, store.index_runs):
        for _ in range(FIRST_STEPS):
            if time_left() < ENOUGH_SECONDS or step(ROWS):
                break
