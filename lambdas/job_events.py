"""Queue usched-job-events: what Batch says of jobs."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from universal_scheduler.domain.job_events import JobEvent, read_event
from universal_scheduler.usecases.job_log import keep_events
from universal_scheduler.wiring import from_env

wiring = from_env()
logger = Logger()
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def read(record: SQSRecord) -> JobEvent:
    try:
        return read_event(json.loads(record.body))
    except ValueError as error:
        logger.error("Message is no event of a job", reason=str(error), message_id=record.message_id)
        raise


def handler(event: dict[str, Any], context: object) -> PartialItemFailureResponse:
    """Answers `batchItemFailures`: a message that is no event fails alone, until the queue gives it up."""
    del context
    with processor(event["Records"], read):
        results: list[tuple[str, Any, SQSRecord]] = processor.process()
        keep_events(wiring.job_log, [found for outcome, found, _ in results if outcome == "success"])
        if failed := [record for outcome, _, record in results if outcome == "fail"]:
            wiring.job_events.bring_back({record.receipt_handle: 0 for record in failed})
    return processor.response()
