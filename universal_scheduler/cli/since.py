"""The option `--since`: how long ago, or since which time."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from universal_scheduler.cli.problems import Problem

AGO = r"(\d{1,9})([smhdw])"
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def moment(text: str, now: float) -> float:
    """Epoch seconds of `90s`, `30m`, `2h`, `1d` or `1w` ago, or of an ISO 8601 time (UTC if it has no zone).

    Raises:
        Problem: the text is neither.
    """
    if ago := re.fullmatch(AGO, text):
        return max(0.0, now - int(ago[1]) * SECONDS[ago[2]])
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        advice = "Say how long ago (30m, 2h, 1d, 1w) or since when (2026-11-21, 2026-11-21T06:00:00Z)."
        raise Problem(f"'{text}' is not a time.", advice) from None
    return min(max(0.0, (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()), LATEST)


def since_text(text: str) -> str:
    """The same as part of a sentence: `in the last 1d`, `since 2026-11-21`."""
    return f"in the last {text}" if re.fullmatch(AGO, text) else f"since {text}"
