"""What goes from state to state: the run's key, which execution speaks, what is next. Under 2 KB for any run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from universal_scheduler.domain.model import RunKey, RunStatus
from universal_scheduler.domain.names import execution_name
from universal_scheduler.usecases.drive import Next, RunRef, next_or_continue


def first_payload(
    key: RunKey, generation: int, wait_seconds: int, then: Next, status: RunStatus = RunStatus.RUNNING
) -> dict[str, Any]:
    return {
        "turn": 0,
        "scheduleId": key.schedule_id,
        "startDateTime": key.start,
        "generation": generation,
        "waitSeconds": wait_seconds,
        "next": str(then),
        "status": str(status),
    }


def next_payload(event: Mapping[str, Any], then: Next, max_turns: int) -> dict[str, Any]:
    """After one more turn; where the history fills, with the name of the execution that goes on."""
    turn = int(event["turn"]) + 1
    then = next_or_continue(then, turn, max_turns)
    after = {**event, "turn": turn, "next": str(then)}
    if then is Next.CONTINUE:
        ref = run_ref(event)
        after["continuation"] = execution_name("next", ref.key.schedule_id, ref.key.run_id, str(ref.generation + 1))
    return after


def run_ref(event: Mapping[str, Any]) -> RunRef:
    return RunRef(RunKey(event["scheduleId"], event["startDateTime"]), int(event["generation"]))
