"""The schedules that the trigger of a row names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UPSTREAMS_LIMIT, NAME_LIMIT = 100, 128
"""As in `dynamo/schema.json`. A row with more names, or with a longer name, has errors and starts after no schedule."""


def upstreams_of(row: Mapping[str, Any] | None) -> list[str]:
    """The schedules in `trigger.after` of a row, each once; empty if there is no such list. The row was perhaps never
    checked."""
    trigger = (row or {}).get("trigger")
    after = trigger.get("after") if isinstance(trigger, Mapping) else None
    if not isinstance(after, list) or len(after) > UPSTREAMS_LIMIT:
        return []
    return list(dict.fromkeys(name for name in after if isinstance(name, str) and 0 < len(name) <= NAME_LIMIT))


def follows(row: Mapping[str, Any], upstream: str) -> bool:
    """Whether the schedule of this row starts after the other one: its trigger names it, and the row has no errors."""
    return upstream in upstreams_of(row) and "scheduleErrors" not in row
