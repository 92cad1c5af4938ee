"""Which schedules a row's trigger names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UPSTREAMS_LIMIT, NAME_LIMIT = 100, 128
"""As in `dynamo/schema.json`: a row that names more, or longer ones, has errors and starts after none."""


def upstreams_of(row: Mapping[str, Any] | None) -> list[str]:
    """The schedules in `trigger.after`, each once; none where it is no such list. The row itself is not checked."""
    trigger = (row or {}).get("trigger")
    after = trigger.get("after") if isinstance(trigger, Mapping) else None
    if not isinstance(after, list) or len(after) > UPSTREAMS_LIMIT:
        return []
    return list(dict.fromkeys(name for name in after if isinstance(name, str) and 0 < len(name) <= NAME_LIMIT))


def follows(row: Mapping[str, Any], upstream: str) -> bool:
    """Whether a row says that its schedule starts after this one, and has no errors that keep it from starting."""
    return upstream in upstreams_of(row) and "scheduleErrors" not in row
