"""`POST /schedules`: check a schedule and store its row; the stream starts it where it runs on insertion."""

from __future__ import annotations

import base64
import json
from typing import Any

from lambdas.rest import answer, refusal
from universal_scheduler.adapters.telemetry import about, observed
from universal_scheduler.domain.errors import InvalidSchedule, ItemTooLarge
from universal_scheduler.usecases.triggers import store_schedule
from universal_scheduler.wiring import from_env

wiring = from_env()


@observed(lambda _: None, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """201 where the schedule is new, 200 where it replaced one, 400 or 413 where nothing was stored."""
    del context
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode()
    try:
        document = json.loads(body)
    except ValueError as error:
        return refusal(400, "InvalidJson", f"The body is not JSON: {error}.")
    if not isinstance(document, dict):
        return refusal(400, "InvalidSchedule", "The body must be one JSON object: a schedule.")
    try:
        about(str(document.get("scheduleId", "")))
        schedule_id, new = store_schedule(wiring.store, document)
    except InvalidSchedule as invalid:
        errors = [error.as_dict() for error in invalid.errors]
        return refusal(400, "InvalidSchedule", str(invalid), errors=errors)
    except ItemTooLarge as too_large:
        return refusal(413, "ScheduleTooLarge", str(too_large))
    return answer(201 if new else 200, {"scheduleId": schedule_id, "created": new})
