"""Looks a document's queues, job definitions and upstream schedules up on the stage that it is stored on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from universal_scheduler.domain.documents.stage import (
    Kind,
    Short,
    foreign_names,
    missing,
    unknown,
    upstream_remarks,
)
from universal_scheduler.domain.errors import DocumentError, PlatformUnavailable
from universal_scheduler.ports.schedules import Schedules

MAX_NAMES = 50
"""How many names of a document are looked at: as many as it can have errors told."""


class BatchNames(Protocol):
    """Which names Batch knows."""

    def missing(self, kind: Kind, names: Sequence[str]) -> set[str]:
        """Those of these names or ARNs that Batch does not have.

        Raises:
            PlatformUnavailable: it cannot be asked.
        """
        ...


def check_names(
    row: Mapping[str, Any], short: Short, batch: BatchNames | None = None
) -> tuple[list[DocumentError], list[DocumentError]]:
    """Errors and warnings about the queues and definitions of a valid row; without `batch` nobody is asked."""
    uses = foreign_names(row, short)[:MAX_NAMES]
    if batch is None:
        return [], list(unknown(uses, short))
    try:
        absent = {
            (kind, name)
            for kind in Kind
            if (names := [use.name for use in uses if use.kind is kind])
            for name in batch.missing(kind, names)
        }
    except PlatformUnavailable:
        return [], list(unknown(uses, short))
    return missing([use for use in uses if (use.kind, use.name) in absent], short)


def check_upstream(store: Schedules, row: Mapping[str, Any], others: Sequence[str] = ()) -> list[DocumentError]:
    """Warnings about schedules that a valid row waits for and that there are not; `others` are stored with it."""
    return list(upstream_remarks(row, lambda name: name in others or store.get_schedule(name) is not None, others))
