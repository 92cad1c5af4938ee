"""A deployed REST API: takes HTTP requests, answers as API Gateway would."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from universal_scheduler.local.gateway import definition, integrations, responses, validation
from universal_scheduler.local.gateway.definition import Method
from universal_scheduler.local.gateway.integrations import CallAws, Exchange, InvokeLambda
from universal_scheduler.local.gateway.responses import JSON_TYPE, Answer, Refused, ResponseType
from universal_scheduler.local.gateway.velocity import Parameters

MAX_BODY_BYTES = 10 * 1024 * 1024
"""https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"""
logger = logging.getLogger(__name__)


class RestApi:
    """One stage of a REST API.

    `body` is the OpenAPI document with all CloudFormation intrinsics resolved. The backends are given: `call_aws` sends
    a request to an AWS service, `invoke_lambda` invokes a function.

    Raises:
        InvalidDefinition: the document has something that this engine cannot execute.
    """

    def __init__(
        self,
        body: Mapping[str, Any],
        *,
        stage: str,
        account: str,
        region: str,
        call_aws: CallAws,
        invoke_lambda: InvokeLambda,
        stage_variables: Mapping[str, str] | None = None,
        timeout: float = integrations.TIMEOUT_SECONDS,
    ) -> None:
        self._definition = definition.read(body)
        for methods in self._definition.routes.values():
            for method in methods.values():
                integrations.check(method.integration)
        self._stage, self._account, self._region = stage, account, region
        self._call_aws, self._invoke_lambda = call_aws, invoke_lambda
        self._stage_variables = dict(stage_variables or {})
        self._timeout = timeout

    async def handle(
        self, method: str, path: str, headers: Iterable[tuple[str, str]], query: str, body: bytes, source_ip: str
    ) -> Answer:
        """Answer a request.

        `path` begins with the stage (`/api/v1/executions`) and is, like `query`, still percent-encoded.
        """
        verb = method.upper()
        multi_headers: dict[str, list[str]] = {}
        for name, value in headers:
            multi_headers.setdefault(name, []).append(value)
        context = self._context(verb, path, multi_headers, source_ip)
        try:
            answer = await self._answer(verb, path, multi_headers, query, body, context)
        except Refused as refused:
            logger.log(
                logging.ERROR if refused.kind.endswith("ERROR") else logging.INFO,
                "%s %s: %s",
                verb,
                path,
                refused,
                exc_info=refused.__cause__,
            )
            answer = responses.answer(refused, self._definition.gateway_responses, context)
        return Answer(answer.status, (*answer.headers, ("x-amzn-RequestId", context["requestId"])), answer.body)

    async def _answer(
        self,
        verb: str,
        path: str,
        multi_headers: Mapping[str, list[str]],
        query: str,
        body: bytes,
        context: dict[str, Any],
    ) -> Answer:
        if len(body) > MAX_BODY_BYTES:
            raise Refused(ResponseType.REQUEST_TOO_LARGE)
        prefix = f"/{self._stage}"
        found = self._definition.match(verb, path.removeprefix(prefix)) if path.startswith(f"{prefix}/") else None
        if found is None:
            raise Refused(ResponseType.MISSING_AUTHENTICATION_TOKEN)
        method, path_parameters = found
        context["resourcePath"] = method.resource
        multi_query = integrations.read_query(query)
        exchange = Exchange(
            verb=verb,
            path=path.removeprefix(prefix),
            method=method,
            parameters=Parameters(
                path=path_parameters,
                querystring={name: values[-1] for name, values in multi_query.items()},
                header={name: values[-1] for name, values in multi_headers.items()},
            ),
            multi_headers=multi_headers,
            multi_query=multi_query,
            content_type=_header(multi_headers, "content-type").partition(";")[0].strip().lower() or JSON_TYPE,
            body=body.decode(errors="replace"),
            context=context,
            stage_variables=self._stage_variables,
        )
        self._validate(method, exchange)
        return await integrations.run(exchange, self._call_aws, self._invoke_lambda, self._timeout)

    def _validate(self, method: Method, exchange: Exchange) -> None:
        """https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html"""
        if method.validates_parameters:
            places = {"path": exchange.parameters.path, "query": exchange.parameters.querystring}
            places["header"] = exchange.parameters.header
            missing = [name for place, name in method.required_parameters if not places.get(place, {}).get(name)]
            if missing:
                text = f"[{', '.join(missing)}]"
                raise Refused(ResponseType.BAD_REQUEST_PARAMETERS, f"Missing required request parameters: {text}", text)
        # A content type without a model is not validated, as on AWS; `$default` is the model of all others.
        model = method.models.get(exchange.content_type, method.models.get("$default"))
        if method.validates_body and model is not None and (method.body_required or exchange.body):
            errors = validation.find_errors(exchange.body, model, self._definition.schemas)
            if errors:
                raise Refused(ResponseType.BAD_REQUEST_BODY, validation_error=f"[{', '.join(errors)}]")

    def _context(self, verb: str, path: str, multi_headers: Mapping[str, list[str]], source_ip: str) -> dict[str, Any]:
        now = datetime.now(UTC)
        domain = _header(multi_headers, "host")
        return {
            "accountId": self._account,
            "apiId": "local",
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "extendedRequestId": uuid4().hex,
            "httpMethod": verb,
            "identity": {"sourceIp": source_ip, "userAgent": _header(multi_headers, "user-agent")},
            "path": path,
            "protocol": "HTTP/1.1",
            "requestId": str(uuid4()),
            "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": int(now.timestamp() * 1000),
            "resourcePath": "",
            "stage": self._stage,
            "requestOverride": {"header": {}, "path": {}, "querystring": {}},
            "responseOverride": {"header": {}},
        }


def _header(multi_headers: Mapping[str, list[str]], name: str) -> str:
    return next((values[-1] for key, values in multi_headers.items() if key.lower() == name), "")
