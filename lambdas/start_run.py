"""State *Start Run*: makes a run in the tables from the input of the execution."""

from __future__ import annotations

import logging
import time
from typing import Any

from lambdas.payload import first_payload
from universal_scheduler.adapters.telemetry import about, observed, of_payload
from universal_scheduler.domain.errors import InvalidSchedule
from universal_scheduler.domain.runs.model import Execution
from universal_scheduler.usecases.notifying_store import notifying
from universal_scheduler.usecases.start import start_run
from universal_scheduler.wiring import from_env

wiring = from_env()
logger = logging.getLogger(__name__)


@observed(of_payload, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Takes `{input, executionArn, executionName, startTime}`. Answers the payload that names the run."""
    del context
    execution = Execution(event["executionArn"], event["executionName"])
    store = notifying(wiring.store, wiring.outbox, time.time)
    is_running, platform = wiring.workflow.is_running, wiring.platform
    try:
        run = start_run(store, event["input"], execution, event["startTime"], is_running, platform)
    except InvalidSchedule as invalid:
        refused = InvalidSchedule(invalid.errors)  # the machine knows errors by the exact name of their class
        refused.args = invalid.args
        raise refused from None
    about(run.key)
    logger.info("Run is driven by this execution, as generation %d", run.generation)
    return first_payload(run)
