"""Calls ministack's services in this process: what our Batch and our REST API need of them."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from universal_scheduler.local.gateway import AwsRequest, BackendUnavailable

Answer = tuple[int, dict[str, str], bytes]

_log = logging.getLogger("usched.engine")


class CloudWatchLogs:
    """The LogSink of our Batch."""

    async def open(self, group: str, stream: str) -> None:
        status, _, _ = await _logs("CreateLogStream", logGroupName=group, logStreamName=stream)
        if status >= 400:  # there is no such group yet, or the stream is there
            await _logs("CreateLogGroup", logGroupName=group)
            await _logs("CreateLogStream", logGroupName=group, logStreamName=stream)

    async def put(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        lines = [{"timestamp": timestamp, "message": message} for timestamp, message in events]
        status, _, answer = await _logs("PutLogEvents", logGroupName=group, logStreamName=stream, logEvents=lines)
        if status >= 400:
            raise RuntimeError(f"PutLogEvents: {answer.decode(errors='replace')}")


async def _logs(action: str, **request: Any) -> Answer:
    from ministack.services import cloudwatch_logs

    headers = {"x-amz-target": f"Logs_20140328.{action}", "content-type": "application/x-amz-json-1.1"}
    answer: Answer = await cloudwatch_logs.handle_request("POST", "/", headers, json.dumps(request).encode(), {})
    return answer


def publish_job_state(_job_id: str, _status: str, make_detail: Callable[[], dict[str, Any]]) -> None:
    """The listener of our Batch: https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html"""
    detail = make_detail()
    _publish("Batch Job State Change", detail, [detail["jobArn"]])


def publish_queue_blocked(detail: dict[str, Any]) -> None:
    """https://docs.aws.amazon.com/batch/latest/userguide/batch-job-queue-blocked-events.html"""
    _publish("Batch Job Queue Blocked", detail, [detail["jobArn"], detail["jobQueue"]])


def _publish(detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
    """Hand an event of Batch to the rules; PutEvents refuses its source, and would keep every event for good."""
    from ministack.core.responses import get_account_id, get_region
    from ministack.services import eventbridge

    event = {
        "EventId": str(uuid.uuid4()),
        "Source": "aws.batch",
        "DetailType": detail_type,
        "Detail": detail | {"tags": {**detail["tags"], "resourceArn": detail["jobArn"]}},  # a text would be read again
        "EventBusName": "default",
        "Time": int(time.time()),
        "Resources": resources,
        "Account": get_account_id(),
        "Region": get_region(),
    }
    view = eventbridge._pattern_event_view(event)
    eventbridge._dispatch_event(event, view)
    eventbridge._archive_event(event, view)


async def call_dynamodb(headers: Mapping[str, str], body: bytes) -> Answer:
    """A request to DynamoDB, of this engine's own account and region; answers as the service does on AWS."""
    from ministack.services import dynamodb

    try:
        answer: Answer = await dynamodb.handle_request("POST", "/", headers, body, {})
    except Exception:  # noqa: BLE001 - whatever it is, who called is answered
        _log.exception("%s failed", headers["x-amz-target"])
        answer = 500, {}, json.dumps({"__type": "InternalServerError"}).encode()
    status, fields, content = answer
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
    fields |= {"Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": str(uuid.uuid4())}
    return status, fields, content


async def call_aws(service: str, request: AwsRequest) -> tuple[int, Mapping[str, str], bytes]:
    """The services behind our REST API."""
    from ministack import app

    handler = app.SERVICE_HANDLERS.get(service)
    if handler is None:
        raise BackendUnavailable(f"the engine has no service '{service}'")
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = parse_qs(request.query, keep_blank_values=True)
    answer: Answer = await handler(request.method, request.path, headers, request.body, query)
    return answer


async def invoke_lambda(arn: str, event: dict[str, Any]) -> Any:
    """The functions behind our REST API."""
    from ministack.core.concurrency import run_reentrant
    from ministack.services import lambda_svc

    function, config, name = lambda_svc._get_func_record_for_ref(arn)
    if not function:
        raise BackendUnavailable(f"there is no function '{name}'")
    record = lambda_svc._execution_record_for_config(function, config)
    answer = await run_reentrant(lambda_svc._execute_function_with_config_scope, record, event)
    return answer.get("body")
