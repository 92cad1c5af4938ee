"""State *Wait For Change*: keeps the task token of the execution until something happens to its run."""

from __future__ import annotations

from typing import Any

from lambdas.payload import run_ref
from universal_scheduler.adapters.telemetry import observed, of_payload
from universal_scheduler.domain.runs.model import Changes
from universal_scheduler.usecases.wake import wait_for_change
from universal_scheduler.wiring import from_env

wiring = from_env()


@observed(of_payload, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> None:
    """Takes `{run, token}`; `run` is the payload. Raises RunChanged if there is nothing to wait for."""
    del context
    run = event["run"]
    seen = Changes(**run["seen"])
    wait_for_change(wiring.store, run_ref(run), event["token"], seen, run["endsNeeded"], run["turn"])
