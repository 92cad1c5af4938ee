"""Keeps what is found by an index complete, whatever was lost, and whatever earlier versions have written."""

from __future__ import annotations

from collections.abc import Callable

from universal_scheduler.ports.store import Store

ROWS = 500
"""Of each table in one step: the table's size says how long a pass takes, and no sweep reads all of it."""
FIRST_STEPS = 10
"""In one sweep, until all rows have been looked at once: so long the tables are read whole."""
ENOUGH_SECONDS = 10.0
"""With less time left no further step is begun."""


def complete_indexes(store: Store, time_left: Callable[[], float]) -> None:
    """Look at the next schedules, for ever again, and at the next runs, once: each is in its index after it.

    Raises:
        StoreUnavailable: the next sweep goes on where this one ended.
    """
    for step in (store.check_followers, store.index_runs):
        for _ in range(FIRST_STEPS):
            if time_left() < ENOUGH_SECONDS or step(ROWS):
                break
