"""`GET /executions/{name}`: a run and its jobs, by the name of its execution."""

from __future__ import annotations

import time
from typing import Any

from lambdas.rest import answer, path_parameter, refusal
from universal_scheduler.adapters.telemetry import about, observed
from universal_scheduler.usecases.views import find_execution, within_answer
from universal_scheduler.wiring import from_env

wiring = from_env()


@observed(lambda event: about(execution=path_parameter(event, "name")), wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    del context
    name = path_parameter(event, "name")
    view = find_execution(wiring.store, name, time.time()) or wiring.workflow.describe(name)
    if view is None:
        return refusal(
            404,
            "ExecutionNotFound",
            f"There is no execution named '{name}'. Check the spelling; 'usched runs' lists the newest runs.",
        )
    return answer(200, within_answer(view))
