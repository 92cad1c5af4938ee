"""Queue usched-job-events: what Batch says of jobs."""

from __future__ import annotations

import json
import time
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from universal_scheduler.domain.job_events import JobEvent, read_event
from universal_scheduler.usecases.job_log import keep_events
from universal_scheduler.usecases.wake import jobs_changed
from universal_scheduler.wiring import from_env

wiring = from_env()
logger = Logger()
LATER_SECONDS = 2
"""When an event comes back that tells of something not known yet."""
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def read(record: SQSRecord) -> JobEvent:
    try:
        return read_event(json.loads(record.body))
    except ValueError as error:
        logger.error("Message is no event of a job", reason=str(error), message_id=record.message_id)
        raise


def handler(event: dict[str, Any], context: object) -> PartialItemFailureResponse:
    """Answers `batchItemFailures`: a message that is no event fails alone, until the queue gives it up.

    An event that cannot be told from what is known yet comes back in a moment.
    """
    del context
    with processor(event["Records"], read):
        results: list[tuple[str, Any, SQSRecord]] = processor.process()
        told = [(found, record) for outcome, found, record in results if outcome == "success"]
        events = [found for found, _ in told]
        keep_events(wiring.job_log, events)
        later = jobs_changed(wiring.store, wiring.workflow, events, time.time())
        again = [record for found, record in told if any(found is each for each in later)]
        failed = [record for outcome, _, record in results if outcome == "fail"]
        pauses = dict.fromkeys((each.receipt_handle for each in again), LATER_SECONDS)
        pauses |= dict.fromkeys((each.receipt_handle for each in failed), 0)
        if pauses:
            wiring.job_events.bring_back(pauses)
    return {"batchItemFailures": [{"itemIdentifier": each.message_id} for each in [*again, *failed]]}
