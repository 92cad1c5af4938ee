"""`POST /schedules`: checks a schedule and stores its row. If the insertion of the row starts it, the stream does
so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lambdas.rest import answer, body_of, error_answer
from universal_scheduler.adapters.telemetry import about, observed
from universal_scheduler.domain.documents.json_text import read_json
from universal_scheduler.domain.documents.parse import as_row
from universal_scheduler.domain.documents.stage import Kind
from universal_scheduler.domain.errors import DocumentError, SchedulerError
from universal_scheduler.usecases.stage_check import check_names, check_over, check_upstream
from universal_scheduler.usecases.triggers import store_schedule
from universal_scheduler.wiring import from_env

wiring = from_env()


@observed(lambda _: None, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answers 201 if the schedule is new, 200 if it replaced one, 400 or 413 if nothing was stored."""
    del context
    try:
        document = read_json(body_of(event))
        schedule_id, new = store_schedule(wiring.store, document)
    except SchedulerError as error:
        return answer(*error_answer(error))
    about(schedule_id)
    warnings = [warning.as_dict() for warning in _doubts(as_row(document))]
    return answer(201 if new else 200, {"scheduleId": schedule_id, "created": new, "warnings": warnings})


def _doubts(row: dict[str, Any]) -> list[DocumentError]:
    """What this stage does not have of a row that is stored. Batch is not asked."""
    settings = wiring.settings
    _, doubts = check_names(row, {Kind.QUEUE: settings.job_queues, Kind.DEFINITION: settings.job_definitions})
    over = check_over(row, wiring.calendars, datetime.now(UTC))
    return doubts + check_upstream(wiring.store, row) + over
