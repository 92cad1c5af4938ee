"""`GET /schedules/{scheduleId}`: a schedule, its errors, and its newest runs."""

from __future__ import annotations

from typing import Any

from lambdas.rest import answer, path_parameter, refusal
from universal_scheduler.adapters.telemetry import about, observed
from universal_scheduler.usecases.views import schedule_view, within_answer
from universal_scheduler.wiring import from_env

wiring = from_env()
RUNS_SHOWN = 20


@observed(lambda event: about(path_parameter(event, "scheduleId")), wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    del context
    schedule_id = path_parameter(event, "scheduleId")
    row = wiring.store.get_schedule(schedule_id)
    if row is None:
        return refusal(
            404,
            "ScheduleNotFound",
            f"There is no schedule '{schedule_id}'. Check the spelling, or store it with POST /v1/schedules.",
        )
    runs = wiring.store.list_runs(schedule_id, RUNS_SHOWN)
    return answer(200, within_answer(schedule_view(row, runs, wiring.store.paused(schedule_id))))
