"""What goes from state to state: the run's key, which execution speaks, what is next. Under 2 KB for any run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from universal_scheduler.domain.model import RunKey, RunStatus
from universal_scheduler.usecases.drive import Next, RunRef


def payload(
    key: RunKey, generation: int, wait_seconds: int, then: Next, status: RunStatus = RunStatus.RUNNING
) -> dict[str, Any]:
    return {
        "scheduleId": key.schedule_id,
        "startDateTime": key.start,
        "generation": generation,
        "waitSeconds": wait_seconds,
        "next": str(then),
        "status": str(status),
    }


def run_ref(event: Mapping[str, Any]) -> RunRef:
    return RunRef(RunKey(event["scheduleId"], event["startDateTime"]), int(event["generation"]))
