"""State *Check Start* of `POST /executions`: reads and checks a request that says more than a scheduleId."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from lambdas.rest import error_answer
from universal_scheduler.adapters.telemetry import about, observed
from universal_scheduler.domain.documents.message import run_named
from universal_scheduler.domain.documents.request import read_request
from universal_scheduler.domain.errors import SchedulerError
from universal_scheduler.usecases.start import check_start
from universal_scheduler.wiring import from_env

wiring = from_env()


@observed(lambda _: None, wiring.settings.metrics_namespace)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Takes `{text, requestId, path}`: the body of the request, its id and its path.

    Answers `{name, self, scheduleId, run}`: what is to be started; or `{statusCode, body}`: the refusal.
    """
    del context
    try:
        request = read_request(event["text"])
        about(run_named(request.message)[0])
        message = check_start(wiring.store, request.message)
    except SchedulerError as error:
        status, body = error_answer(error)
        return {"statusCode": status, "body": body}
    name = request.name or f"api-{event['requestId']}"
    return {
        "name": name,
        "self": f"{event['path']}/{quote(name, safe='')}",
        "scheduleId": message.schedule_id,
        "run": {**request.message, "cause": {"kind": "api", "requestId": event["requestId"]}},
    }
