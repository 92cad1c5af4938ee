"""What no schema can say of the policies of a schedule: they need a time trigger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from universal_scheduler.domain.errors import DocumentError

TIME_TRIGGERS = ("cron", "rate", "at", "businessDay", "exchange")
"""The keys of a trigger of which one makes it a time trigger."""
OF_TIME_TRIGGERS = ("overlap", "maxConcurrentRuns", "catchUp", "spread")
"""Keys of a schedule that say something of its time triggers alone."""


def policy_errors(row: Mapping[str, Any]) -> Iterator[DocumentError]:
    """What is wrong with the policies of a row that passes the schema."""
    given = row.get("trigger", ())
    triggers = [given] if isinstance(given, Mapping) else given
    if any(key in trigger for trigger in triggers for key in TIME_TRIGGERS):
        return
    for key in OF_TIME_TRIGGERS:
        if key in row:
            found, expected = f"{key} without a time trigger", f"a trigger with {', '.join(TIME_TRIGGERS)}, or no {key}"
            yield DocumentError(f"$.{key}", found, expected)
