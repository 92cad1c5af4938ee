"""Queue usched-arrivals: events of S3 and of applications, which start the schedules that listen to them."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from universal_scheduler.adapters.telemetry import failure_logged, observed
from universal_scheduler.domain.events.arrivals import read_arrival
from universal_scheduler.usecases.arrivals import handle_arrival
from universal_scheduler.usecases.timetable import Timetable
from universal_scheduler.wiring import from_env

wiring = from_env()
timetable = Timetable(wiring.time_entries, wiring.calendars, time.time)
logger = logging.getLogger(__name__)
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def on_record(record: SQSRecord) -> None:
    with failure_logged("An event", wiring.settings.metrics_namespace, message_id=record.message_id):
        arrival = read_arrival(json.loads(record.body))
        arrived = handle_arrival(wiring.store, wiring.workflow, timetable, arrival)
        said = {"topic": arrival.topic, "event_id": arrival.event_id, "waiting": arrived.waiting}
        logger.info("Event starts %d schedules", len(arrived.started), extra=said | {"started": arrived.started})


@observed(lambda _: None, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answers `batchItemFailures`: an event that failed comes again until the queue gives it up."""
    return process_partial_response(event, on_record, processor, context)
