"""States *Record Result*, *Abandon Run* and *Record Refusal*: record how a run ended, or why it could not go on or
start."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from lambdas.payload import run_ref
from universal_scheduler.adapters.telemetry import observed, of_payload
from universal_scheduler.domain.runs.model import Execution
from universal_scheduler.usecases.drive import abandon_run, record_result
from universal_scheduler.usecases.start import record_refusal
from universal_scheduler.wiring import from_env

wiring = from_env()
logger = logging.getLogger(__name__)


@observed(of_payload, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Takes the payload, with `error` if a state has failed for good, or with what was `refused`. Answers the
    `status`."""
    del context
    error = _error_text(event["error"]) if "error" in event else ""
    if "refused" in event:
        execution = Execution(event["executionArn"], event["executionName"])
        record_refusal(wiring.store, event["refused"], execution, event["startTime"], error, time.time())
        return {"status": "FAILED"}
    if error:
        logger.error("Run is given up: %s", error)
        abandon_run(wiring.store, wiring.platform, run_ref(event), error, time.time())
        return event | {"status": "FAILED"}
    status = record_result(wiring.store, run_ref(event), time.time())
    logger.info("Run is %s", status)
    return event | {"status": str(status)}


def _error_text(error: Mapping[str, str]) -> str:
    """What Catch put beside the payload: a Lambda function's error has its message in a JSON text.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """
    name, cause = error.get("Error", "Unknown"), error.get("Cause", "")
    try:
        message = json.loads(cause)["errorMessage"]
    except (ValueError, KeyError, TypeError):
        message = cause
    return f"{name}: {message}"
