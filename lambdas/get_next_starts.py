"""`GET /schedules/{scheduleId}/next`: when a schedule starts next, and why it does not start at other times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lambdas.rest import answer, error_answer, path_parameter, refusal
from universal_scheduler.adapters.telemetry import about, observed
from universal_scheduler.domain.errors import SchedulerError
from universal_scheduler.usecases.upcoming import NoTime, read_query, starts_of_stored, upcoming_view
from universal_scheduler.wiring import from_env

wiring = from_env()


@observed(lambda event: about(path_parameter(event, "scheduleId")), wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    del context
    schedule_id = path_parameter(event, "scheduleId")
    try:
        span, count = read_query(event.get("queryStringParameters") or {}, datetime.now(UTC))
        _, starts = starts_of_stored(wiring.store, wiring.calendars, schedule_id, span, count)
        return answer(200, upcoming_view(starts))
    except NoTime as error:
        return refusal(400, "BadRequest", f"{error}. The parameters are n, from and to.")
    except SchedulerError as error:
        return answer(*error_answer(error))
