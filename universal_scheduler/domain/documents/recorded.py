"""What a document may say of the run that it was recorded from: `scheduleStatus` and `startDateTime`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from universal_scheduler.domain.documents.values import blank, shown
from universal_scheduler.domain.errors import DocumentError, did_you_mean
from universal_scheduler.domain.runs.model import RunStatus

RESTART = "RESTART"
"""The `scheduleStatus` with which a start message restarts a run."""
NO_RESTART_HERE = (
    "blank: a document starts new runs. To restart a run, send a start message (POST /v1/executions), or use: "
    "usched restart ID"
)


def recorded_errors(row: Mapping[str, Any]) -> Iterator[DocumentError]:
    """Errors if a document looks like a start message: it may only have a status and a start that a run has
    recorded."""
    status, start = row.get("scheduleStatus"), row.get("startDateTime")
    if status == RESTART:
        yield DocumentError("$.scheduleStatus", shown(status), NO_RESTART_HERE)
        return
    yield from status_errors(status, "blank")
    if blank(status) and not blank(start):
        yield DocumentError(
            "$.startDateTime", f"{shown(start)} without scheduleStatus", "both of a recorded run, or none"
        )


def status_errors(status: object, usual: str) -> Iterator[DocumentError]:
    """An error if the status is neither blank nor the status of a run. `usual` says what else is expected."""
    if blank(status) or (isinstance(status, str) and status in RunStatus.__members__):
        return
    hint = did_you_mean(status.strip().upper(), [RESTART, *RunStatus]) if isinstance(status, str) else ""
    yield DocumentError(
        "$.scheduleStatus", f"{shown(status)}{hint}", f"{usual}; or as a run records it: {', '.join(RunStatus)}"
    )
