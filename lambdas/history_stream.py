"""Stream of BatchScheduleHistory: a run has started or ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from universal_scheduler.adapters.dynamodb.items import from_item, run_from_values
from universal_scheduler.adapters.telemetry import about, emit, failure_logged, observed
from universal_scheduler.domain.runs.model import Run
from universal_scheduler.usecases.admission import run_over
from universal_scheduler.usecases.notify import notify_run
from universal_scheduler.usecases.triggers import run_ended
from universal_scheduler.wiring import from_env

wiring = from_env()
processor = BatchProcessor(event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)


def on_record(record: Any) -> None:
    images = record.raw_event["dynamodb"]
    before, after = images.get("OldImage"), images.get("NewImage")
    if after is None:
        return  # a row that was removed
    with failure_logged("A record", wiring.settings.metrics_namespace, record=images.get("Keys")):
        on_change(before, after, float(images.get("ApproximateCreationDateTime", 0)) or time.time())


def on_change(before: Mapping[str, Any] | None, after: Mapping[str, Any], at: float) -> None:
    was, now = _run(before), run_from_values(from_item(after))
    about(now.key, now.execution.name)
    if was and now.status.ended and not was.status.ended:
        took = {"Runs": ("Count", [1.0]), "RunTime": ("Seconds", [now.seconds])}
        emit(wiring.settings.metrics_namespace, took, {"Outcome": str(now.status)})
        run_ended(wiring.store, wiring.workflow, now)
        run_over(wiring.store, wiring.workflow, wiring.outbox, now, at)
    notify_run(wiring.store, wiring.outbox, was, now, at)


def _run(image: Mapping[str, Any] | None) -> Run | None:
    return None if image is None else run_from_values(from_item(image))


@observed(lambda _: None, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answers `batchItemFailures`: a record that failed does not stop the others."""
    return process_partial_response(event, on_record, processor, context)
