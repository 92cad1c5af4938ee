"""Queue usched-job-events: the events of Batch about jobs, and of Step Functions about executions."""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from universal_scheduler.adapters.telemetry import emit, observed
from universal_scheduler.usecases.events import Event, handle_events, measures, read
from universal_scheduler.usecases.notifying_store import notifying
from universal_scheduler.wiring import from_env

wiring = from_env()
logger = logging.getLogger(__name__)
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


pool = ThreadPoolExecutor(8)  # for the many jobs of an execution that died


class TryLater(Exception):
    """The event depends on something that is not known yet."""


def on_record(record: SQSRecord) -> tuple[Event, SQSRecord]:
    try:
        return read(json.loads(record.body)), record
    except ValueError as error:
        logger.error("Message is no event", extra={"reason": str(error), "message_id": record.message_id})
        raise


@observed(lambda _: None, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> PartialItemFailureResponse:
    """Answers `batchItemFailures`. A message that is no event comes again until the queue gives it up. An event that
    comes too early comes again after a pause, which doubles each time."""
    del context
    with processor(event["Records"], on_record):
        results: list[tuple[str, Any, Any]] = processor.process()
        pauses = {record.receipt_handle: 0 for outcome, _, record in results if outcome == "fail"}
        read_events: list[tuple[Event, SQSRecord]] = [result for outcome, result, _ in results if outcome == "success"]
        again = handle_events(
            notifying(wiring.store, wiring.outbox, time.time),
            wiring.workflow,
            wiring.platform,
            wiring.job_log,
            wiring.outbox,
            [found for found, _ in read_events],
            time.time(),
            pool.map,
        )
        for found, record in read_events:
            if any(found is each for each in again):
                processor.failure_handler(record, (TryLater, TryLater(), None))
                pauses[record.receipt_handle] = 2 ** int(record.attributes.approximate_receive_count)
        emit(wiring.settings.metrics_namespace, measures([found for found, _ in read_events], time.time()))
        if pauses:
            wiring.job_events.requeue(pauses)
    return processor.response()
