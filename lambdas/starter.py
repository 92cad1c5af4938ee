"""Queue usched-due: a time trigger is due, so its schedule starts a run."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from universal_scheduler.adapters.telemetry import about, emit, failure_logged, observed
from universal_scheduler.usecases.fire import fire, read_firing
from universal_scheduler.usecases.timetable import Timetable
from universal_scheduler.wiring import from_env

wiring = from_env()
timetable = Timetable(wiring.time_entries, wiring.calendars, time.time)
logger = logging.getLogger(__name__)
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def on_record(record: SQSRecord) -> None:
    namespace = wiring.settings.metrics_namespace
    with failure_logged("A firing", namespace, message_id=record.message_id, firing=record.body):
        firing = read_firing(json.loads(record.body))
        about(firing.schedule_id)
        fired = fire(wiring.store, wiring.workflow, timetable, firing)
        said = {"scheduled": firing.scheduled.isoformat(), "reason": fired.reason, "execution": fired.execution}
        logger.info("Firing: %s", fired.outcome, extra=said)
        if fired.differs:
            logger.warning("EventBridge Scheduler has called at a time that is none by our own reckoning", extra=said)
            emit(namespace, {"UnexpectedFirings": ("Count", [1])})
        emit(namespace, {"Firings": ("Count", [1])}, {"Outcome": str(fired.outcome)})


@observed(lambda _: None, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answers `batchItemFailures`: a firing that failed comes again until the queue gives it up."""
    return process_partial_response(event, on_record, processor, context)
