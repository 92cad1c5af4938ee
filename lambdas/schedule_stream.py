"""Stream of BatchSchedules: a row was inserted, changed or removed."""

from __future__ import annotations

import time
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from universal_scheduler.adapters.dynamodb.items import from_item
from universal_scheduler.adapters.telemetry import about, failure_logged, observed
from universal_scheduler.usecases.admission import schedule_changed
from universal_scheduler.usecases.arrivals import change_listeners
from universal_scheduler.usecases.fire import begin_late
from universal_scheduler.usecases.timetable import Timetable, keep_in_step
from universal_scheduler.usecases.triggers import schedule_written
from universal_scheduler.wiring import from_env

wiring = from_env()
timetable = Timetable(wiring.time_entries, wiring.calendars, time.time)
processor = BatchProcessor(event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)


def on_record(record: Any) -> None:
    raw = record.raw_event
    old, new = (raw["dynamodb"].get(image) for image in ("OldImage", "NewImage"))
    about((new or old)["scheduleId"]["S"])
    with failure_logged("A record", wiring.settings.metrics_namespace, record=raw["dynamodb"].get("Keys")):
        before, after = _row(old), _row(new)
        schedule_written(wiring.store, wiring.workflow, raw["eventID"], before, after)
        change_listeners(wiring.store, before, after)
        written = float(raw["dynamodb"].get("ApproximateCreationDateTime", 0)) or time.time()
        schedule_changed(wiring.store, timetable.triggers_of, before, after, written)
        keep_in_step(timetable, before, after)
        begin_late(wiring.store, wiring.workflow, timetable, before, after, written)


def _row(image: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if image is None else from_item(image)


@observed(lambda _: None, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answers `batchItemFailures`: a record that failed does not stop the others."""
    return process_partial_response(event, on_record, processor, context)
