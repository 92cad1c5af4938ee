"""The REST API as template.yaml would deploy it, with its intrinsics resolved, and backends for tests to look into."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from universal_scheduler.local.gateway import Answer, AwsRequest, RestApi

ROOT = Path(__file__).parents[1]
OPENAPI = ROOT / "api_gateway" / "openapi.yaml"
ACCOUNT, REGION, STAGE = "123456789012", "us-east-1", "api"
PREFIX = f"{REGION}:{ACCOUNT}"
BATCH = f"arn:aws:batch:{PREFIX}"
NAMES = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "StartRequestMachine": f"arn:aws:states:{PREFIX}:stateMachine:start_request",
    "HighQueue": f"{BATCH}:job-queue/high",
    "DefaultQueue": f"{BATCH}:job-queue/default",
    "LowQueue": f"{BATCH}:job-queue/low",
    "ShellJobDefinition": f"{BATCH}:job-definition/shell:1",
    "ApiStartRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/ApiStartRole",
    "ApiSubmitJobRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/ApiSubmitJobRole",
    "GetExecutionFunction.Arn": f"arn:aws:lambda:{PREFIX}:function:usched-get-execution",
    "PutScheduleFunction.Arn": f"arn:aws:lambda:{PREFIX}:function:usched-put-schedule",
    "GetScheduleFunction.Arn": f"arn:aws:lambda:{PREFIX}:function:usched-get-schedule",
    "GetNextStartsFunction.Arn": f"arn:aws:lambda:{PREFIX}:function:usched-get-next-starts",
}


def openapi() -> dict[str, Any]:
    """The document with every intrinsic resolved; an unknown name is a KeyError."""
    return deepcopy(_openapi())


@cache
def _openapi() -> dict[str, Any]:
    resolved: dict[str, Any] = _resolve(yaml.safe_load(OPENAPI.read_text()))
    return resolved


def _resolve(value: Any) -> Any:
    match value:
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)}", lambda match: NAMES[match[1]], text)
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return NAMES[f"{name}.{attribute}"]
        case {"Ref": str(name)}:
            return NAMES[name]
        case dict():
            return {key: _resolve(item) for key, item in value.items()}
        case list():
            return [_resolve(item) for item in value]
        case _:
            return value


@dataclass
class Backends:
    """Records what the API asks of AWS, and answers what the test says."""

    aws: Callable[[str, AwsRequest], tuple[int, Mapping[str, str], bytes]] = lambda _service, _request: (200, {}, b"{}")
    function: Callable[[str, dict[str, Any]], Any] = lambda _arn, _event: {"statusCode": 200, "body": "{}"}
    requests: list[tuple[str, AwsRequest]] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def call_aws(self, service: str, request: AwsRequest) -> tuple[int, Mapping[str, str], bytes]:
        self.requests.append((service, request))
        return await asyncio.to_thread(self.aws, service, request)

    async def invoke_lambda(self, arn: str, event: dict[str, Any]) -> Any:
        self.events.append((arn, event))
        return self.function(arn, event)

    @property
    def sent(self) -> Any:
        """The last request's body, which must be JSON."""
        return json.loads(self.requests[-1][1].body)


def rest_api(backends: Backends, body: Mapping[str, Any] | None = None, **options: Any) -> RestApi:
    return RestApi(
        openapi() if body is None else body,
        stage=STAGE,
        account=ACCOUNT,
        region=REGION,
        call_aws=backends.call_aws,
        invoke_lambda=backends.invoke_lambda,
        **options,
    )


def call(
    api: RestApi,
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    query: str = "",
) -> Answer:
    """Send a request; a body that is neither text nor bytes is sent as JSON."""
    match body:
        case None:
            content = b""
        case bytes():
            content = body
        case str():
            content = body.encode()
        case _:
            content = json.dumps(body).encode()
    sent = {"Host": "127.0.0.1:4566", "Content-Type": "application/json"} | dict(headers or {})
    return asyncio.run(api.handle(method, path, sent.items(), query, content, "127.0.0.1"))


def error(answer: Answer) -> dict[str, str]:
    found: dict[str, str] = json.loads(answer.body)["error"]
    return found
