"""Shows times in the reader's time zone (TZ), with its name. The JSON has them in UTC."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime


class Times:
    """How the times of one table are shown. They are ISO 8601, in UTC if they have no zone.

    The heading has the zone, or each time has it if they differ (summer and winter). A time has its date if that is not
    today.
    """

    def __init__(self, moments: Iterable[str], now: float) -> None:
        today = _local(now)
        zones = {_zone(local) for moment in moments if (local := _read(moment)) is not None}
        self._today = today.date()
        self.zone = "" if len(zones) > 1 else next(iter(zones), _zone(today))

    def heading(self, name: str) -> str:
        return f"{name} ({self.zone})" if self.zone else name

    def clock(self, moment: str) -> str:
        """`07:00:00`, with date and zone if they are needed. A text that is not a time stays as it is."""
        local = _read(moment)
        if local is None:
            return moment
        text = f"{local:%H:%M:%S}" if local.date() == self._today else f"{local:%Y-%m-%d %H:%M:%S}"
        return text if self.zone else f"{text} {_zone(local)}"


def clock(moment: str, now: float) -> str:
    """One time with its zone: `07:00:00 CET`."""
    times = Times([moment], now)
    return moment if _read(moment) is None else f"{times.clock(moment)} {times.zone}"


def clock_now() -> str:
    """The present time with its zone: `07:00:00 CET`."""
    local = datetime.now().astimezone()
    return f"{local:%H:%M:%S} {_zone(local)}"


def seconds(start: str, end: str, now: float) -> str:
    """How long something took, in words; how long it has taken so far if it has no end."""
    began = epoch(start)
    if began is None:
        return ""
    taken = max(0.0, (epoch(end) or now) - began)
    return f"{taken:.2f}" if taken < 10 else f"{taken:.0f}"


def epoch(moment: str) -> float | None:
    try:
        read = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _read(moment: str) -> datetime | None:
    try:
        since = epoch(moment)
        return None if since is None else _local(since)
    except (OverflowError, OSError, ValueError):  # years that this machine's clock does not know
        return None


def _local(since: float) -> datetime:
    return datetime.fromtimestamp(since, UTC).astimezone()


def _zone(local: datetime) -> str:
    """`CET`; where the zone has no letters, its distance from UTC: `UTC-03`."""
    name = local.tzname() or ""
    return name if name[:1].isalpha() else f"UTC{name}"
