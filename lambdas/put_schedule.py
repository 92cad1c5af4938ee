"""`POST /schedules`: check a schedule and store its row; the stream starts it where it runs on insertion."""

from __future__ import annotations

from typing import Any

from lambdas.rest import answer, body_of, told
from universal_scheduler.adapters.telemetry import about, observed
from universal_scheduler.domain.documents.json_text import read_json
from universal_scheduler.domain.errors import SchedulerError
from universal_scheduler.usecases.triggers import store_schedule
from universal_scheduler.wiring import from_env

wiring = from_env()


@observed(lambda _: None, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """201 where the schedule is new, 200 where it replaced one, 400 or 413 where nothing was stored."""
    del context
    try:
        schedule_id, new = store_schedule(wiring.store, read_json(body_of(event)))
    except SchedulerError as error:
        return answer(*told(error))
    about(schedule_id)
    return answer(201 if new else 200, {"scheduleId": schedule_id, "created": new})
