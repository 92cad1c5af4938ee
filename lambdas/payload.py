"""The payload between the states: the key of the run, the execution, and what comes next. It has less than 2 KB for any
run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from universal_scheduler.domain.names import execution_name
from universal_scheduler.domain.runs.model import Run, RunKey
from universal_scheduler.usecases.drive import Next, RunRef, Turn, next_or_continue, seconds_to_wait


def first_payload(run: Run) -> dict[str, Any]:
    return {
        "turn": 0,
        "scheduleId": run.key.schedule_id,
        "startDateTime": run.key.start,
        "generation": run.generation,
        "waitTime": run.wait_seconds,
        "waitSeconds": run.wait_seconds,
        "idle": 0,
        "seen": {"urgent": 0, "ended": 0},
        "endsNeeded": 1,
        "next": str(Next.SUBMIT),
        "status": str(run.status),
        "execution": run.execution.name,
    }


def next_payload(event: Mapping[str, Any], turn: Turn, max_turns: int, events: bool, now: float) -> dict[str, Any]:
    """The payload after one more turn. If the history is nearly full, it names the execution that goes on with the run.

    `events` says whether job state events wake the run.
    """
    count, idle = int(event["turn"]) + 1, 0 if turn.changed else int(event["idle"]) + 1
    then = next_or_continue(turn.next, count, max_turns)
    after = {
        **event,
        "turn": count,
        "waitSeconds": seconds_to_wait(turn, int(event["waitTime"]), idle, events, now),
        "idle": idle,
        "seen": asdict(turn.seen),
        "endsNeeded": turn.ends_needed,
        "next": str(then),
    }
    if then is Next.CONTINUE:
        ref = run_ref(event)
        after["continuation"] = execution_name("next", ref.key.schedule_id, ref.key.run_id, str(ref.generation + 1))
    return after


def run_ref(event: Mapping[str, Any]) -> RunRef:
    return RunRef(RunKey(event["scheduleId"], event["startDateTime"]), int(event["generation"]))
