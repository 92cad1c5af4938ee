"""The coming starts of time triggers, and why some are left out. Who wants to know when a schedule starts asks here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from universal_scheduler.domain.time.triggers import TimeTrigger


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a schedule, or one that is left out."""

    at: datetime
    """UTC. Of a start that is left out, because clocks jump over it: what PEP 495 makes of `local`."""
    local: datetime
    """The same in the trigger's zone: what the clock on the wall shows."""
    trigger: int
    """The trigger's place in the document's list."""
    scheduled: datetime
    """UTC: what the expression says, before rolling to a business day. It is the run's `scheduledTime`."""
    business_date: date
    """The local day of the start, after rolling."""
    left_out: str = ""
    """Why nothing starts; empty where a run starts."""


def coming(triggers: Sequence[TimeTrigger], after: datetime, until: datetime | None = None) -> Iterator[Start]:
    """The starts strictly after `after`, up to and including `until`, in order; those that are left out too.

    No instant has two starts of runs. Where a calendar ends, one start that is left out says "unknown: ...", and its
    trigger has no more. Without `until` the starts have no end, unless the triggers have one.
    """
    raise NotImplementedError


def between(triggers: Sequence[TimeTrigger], first: datetime, before: datetime) -> Iterator[Start]:
    """The starts from `first` on and before `before`: a span of time that holds its first instant, not its last."""
    raise NotImplementedError
