"""The REST data plane by API Gateway's rules: routes, validation, integrations, and its own answers."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.rest_api import Backends, call, rest_api
from universal_scheduler.local.gateway import AwsRequest, BackendUnavailable, InvalidDefinition, responses

STATES = "arn:aws:apigateway:us-east-1:states:action/DescribeExecution"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"
PROXY = {
    "type": "aws_proxy",
    "httpMethod": "POST",
    "uri": f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{FUNCTION}/invocations",
}
MODEL = {
    "type": "object",
    "required": ["a", "b"],
    "additionalProperties": False,
    "properties": {"a": {"type": "string", "maxLength": 3}, "b": {"enum": ["x", "y"]}},
}


def api_of(
    integration: dict[str, Any], *, path: str = "/thing", verb: str = "post", **operation: Any
) -> dict[str, Any]:
    """An API of one method."""
    method = {"x-amazon-apigateway-integration": integration, **operation}
    validators = {"all": {"validateRequestBody": True, "validateRequestParameters": True}}
    return {
        "paths": {path: {verb: method}},
        "components": {"schemas": {"Thing": MODEL}},
        "x-amazon-apigateway-request-validators": validators,
    }


def service(responses: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "aws", "uri": STATES, "responses": responses or {"default": {"statusCode": "200"}}, **more}


def validated(**models: Any) -> dict[str, Any]:
    content = {kind: {"schema": schema} for kind, schema in models.items()}
    return {"requestBody": {"required": True, "content": content}, "x-amazon-apigateway-request-validator": "all"}


def answering(status: int, body: Any, **headers: str) -> Backends:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Backends(aws=lambda _service, _request: (status, headers, content))


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/other"), ("PUT", "/api/thing"), ("POST", "/thing"), ("GET", "/")]
)
def test_an_unknown_route_is_a_missing_authentication_token(method: str, path: str) -> None:
    answer = call(rest_api(Backends(), api_of(PROXY)), method, path)
    assert answer.status == 403
    assert json.loads(answer.body) == {"message": "Missing Authentication Token"}
    assert ("x-amzn-ErrorType", "MissingAuthenticationTokenException") in answer.headers


def test_path_parameters_are_decoded() -> None:
    backends = Backends()
    api = rest_api(backends, api_of(PROXY, path="/things/{id}/parts/{part}", verb="get"))
    call(api, "GET", "/api/things/a%20b%2Fc/parts/%C3%A9")
    assert backends.events[0][1]["pathParameters"] == {"id": "a b/c", "part": "é"}


def test_literal_paths_go_before_parameters_and_greedy_ones_come_last() -> None:
    body = api_of(PROXY, path="/things/{id}", verb="get")
    for path in ("/things/special", "/things/{rest+}"):
        body["paths"][path] = body["paths"]["/things/{id}"]
    backends = Backends()
    api = rest_api(backends, body)
    for path in ("/api/things/special", "/api/things/1", "/api/things/1/2"):
        call(api, "GET", path)
    assert [event["resource"] for _, event in backends.events] == ["/things/special", "/things/{id}", "/things/{rest+}"]
    assert backends.events[2][1]["pathParameters"] == {"rest": "1/2"}


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ("", "the body is empty"),
        ("{", "the body is not JSON"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1e999}', "1e999"),
        ("[" * 100_000, "nested too deeply"),
        ({"a": "x"}, 'object has missing required properties (["b"])'),
        ({}, 'object has missing required properties (["a","b"])'),
        (
            {"a": 1, "b": "x"},
            'instance type (integer) does not match any allowed primitive type (allowed: ["string"]) at /a',
        ),
        ({"a": "long", "b": "x"}, 'string "long" is too long (length: 4, maximum allowed: 3) at /a'),
        ({"a": "x", "b": "z"}, 'not found in enum (possible values: ["x","y"]) at /b'),
        ({"a": "x", "b": "y", "c": 1}, 'properties which are not allowed by the schema: ["c"]'),
        ([], "instance type (array)"),
    ],
)
def test_a_body_that_does_not_fit_its_model_is_refused_with_the_reason(body: Any, part: str) -> None:
    definition = api_of(PROXY, **validated(**{"application/json": {"$ref": "#/components/schemas/Thing"}}))
    template = '{"why": "$context.error.validationErrorString", "what": $context.error.messageString}'
    definition["x-amazon-apigateway-gateway-responses"] = {
        "BAD_REQUEST_BODY": {"statusCode": 422, "responseTemplates": {"application/json": template}}
    }
    backends = Backends()
    answer = call(rest_api(backends, definition), "POST", "/api/thing", body)
    assert answer.status == 422
    assert part in json.loads(answer.body)["why"]
    assert json.loads(answer.body)["what"] == "Invalid request body"
    assert not backends.events


def test_a_content_type_without_a_model_is_not_validated() -> None:
    definition = api_of(PROXY, **validated(**{"application/json": MODEL}))
    answer = call(rest_api(Backends(), definition), "POST", "/api/thing", "<a/>", headers={"Content-Type": "text/xml"})
    assert answer.status == 200


def test_a_final_dollar_in_a_models_pattern_is_the_end_of_the_text() -> None:
    definition = api_of(PROXY, **validated(**{"application/json": {"properties": {"a": {"pattern": "^x$"}}}}))
    api = rest_api(Backends(), definition)
    assert call(api, "POST", "/api/thing", {"a": "x"}).status == 200
    assert call(api, "POST", "/api/thing", {"a": "x\n"}).status == 400


def test_a_missing_query_parameter_is_refused() -> None:
    parameters = [{"name": "q", "in": "query", "required": True}]
    definition = api_of(PROXY, parameters=parameters, **{"x-amazon-apigateway-request-validator": "all"})
    api = rest_api(Backends(), definition)
    assert call(api, "POST", "/api/thing", query="q=1").status == 200
    answer = call(api, "POST", "/api/thing", query="r=1")
    assert (answer.status, json.loads(answer.body)) == (400, {"message": "Missing required request parameters: [q]"})


def test_the_default_response_of_a_class_covers_its_types() -> None:
    definition = api_of(PROXY)
    template = '{"type": "$context.error.responseType", "id": "$context.requestId"}'
    definition["x-amazon-apigateway-gateway-responses"] = {
        "DEFAULT_4XX": {
            "responseTemplates": {"application/json": template},
            "responseParameters": {"gatewayresponse.header.X-Kind": "'ours'"},
        }
    }
    answer = call(rest_api(Backends(), definition), "GET", "/api/other")
    headers = dict(answer.headers)
    assert answer.status == 403
    assert json.loads(answer.body) == {"type": "MISSING_AUTHENTICATION_TOKEN", "id": headers["x-amzn-RequestId"]}
    assert headers["X-Kind"] == "ours"


def test_a_message_has_its_quotes_escaped_only_as_message_string() -> None:
    kind = responses.ResponseType.DEFAULT_4XX
    template = '{"safe": $context.error.messageString}|$context.error.message'
    customised = {kind: {"responseTemplates": {"application/json": template}}}
    text = 'the string "to sign" is\n\\'
    answer = responses.answer(responses.Refused(kind, text), customised, {})
    safe, _, plain = answer.body.decode().partition("|")
    assert json.loads(safe) == {"safe": text}
    assert plain == text


@pytest.mark.parametrize(
    ("passthrough", "templates", "content_type", "status"),
    [
        ("never", {"application/json": "t"}, "application/json", 200),
        ("never", {"application/json": "t"}, "text/plain", 415),
        ("never", {}, "text/plain", 415),
        ("when_no_templates", {"application/json": "t"}, "text/plain", 415),
        ("when_no_templates", {}, "text/plain", 200),
        ("WHEN_NO_MATCH", {"application/json": "t"}, "text/plain", 200),
        ("never", {"application/json": "t"}, "Application/JSON; charset=utf-8", 200),
    ],
)
def test_a_body_without_a_template_passes_as_the_api_says(
    passthrough: str, templates: dict[str, str], content_type: str, status: int
) -> None:
    integration = service(passthroughBehavior=passthrough, requestTemplates=templates)
    backends = Backends()
    headers = {"Content-Type": content_type}
    answer = call(rest_api(backends, api_of(integration)), "POST", "/api/thing", "given", headers=headers)
    assert answer.status == status
    if status == 200:
        expected = b"t" if "json" in content_type.lower() else b"given"
        assert backends.requests[0][1].body == expected


@pytest.mark.parametrize(("backend", "status"), [(200, 201), (204, 299), (400, 418), (404, 404), (500, 599)])
def test_the_response_is_chosen_by_the_backends_whole_status(backend: int, status: int) -> None:
    responses = {"200": 201, "2\\d\\d": 299, "404": 404, "4\\d{2}": 418, "40": 1, "default": 599}
    integration = service({pattern: {"statusCode": str(code)} for pattern, code in responses.items()})
    assert call(rest_api(answering(backend, {}), api_of(integration)), "POST", "/api/thing").status == status


def test_an_answer_that_no_response_is_for_is_an_error_of_the_api() -> None:
    integration = service({"200": {"statusCode": "200"}})
    answer = call(rest_api(answering(500, {}), api_of(integration)), "POST", "/api/thing")
    assert (answer.status, json.loads(answer.body)) == (500, {"message": "Internal server error"})


def test_templates_see_the_request_and_change_the_answer() -> None:
    request = '{"a": $input.json("$.a"), "who": "$context.identity.sourceIp", "x": "$input.params(\'x\')"}'
    response = """#set($context.responseOverride.status = 202)
#set($context.responseOverride.header.Location = "/$input.path('$.id')")
{"stage": "$context.stage", "variable": "$stageVariables.v", "id": $input.json('$.id')}"""
    integration = service(
        {"default": {"statusCode": "200", "responseTemplates": {"application/json": response}}},
        requestTemplates={"application/json": request},
    )
    backends = answering(200, {"id": "7"})
    api = rest_api(backends, api_of(integration), stage_variables={"v": "w"})
    answer = call(api, "POST", "/api/thing", {"a": [1, "é"]}, query="x=%C3%A9")
    assert backends.sent == {"a": [1, "é"], "who": "127.0.0.1", "x": "é"}
    assert answer.status == 202
    assert ("Location", "/7") in answer.headers
    assert json.loads(answer.body) == {"stage": "api", "variable": "w", "id": "7"}


def test_parameters_are_mapped_both_ways() -> None:
    mapping = {
        "integration.request.header.X-Static": "'text'",
        "integration.request.header.X-Id": "method.request.path.id",
        "integration.request.querystring.q": "method.request.querystring.query",
        "integration.request.header.X-Agent": "method.request.header.user-agent",
        "integration.request.path.key": "method.request.body.key",
        "integration.request.header.X-Stage": "context.stage",
    }
    back = {
        "method.response.header.X-Static": "'text'",
        "method.response.header.X-Id": "integration.response.header.x-request",
        "method.response.header.X-Name": "integration.response.body.name",
        "method.response.header.X-None": "integration.response.body.none",
    }
    integration = service(
        {"default": {"statusCode": "200", "responseParameters": back}},
        uri="arn:aws:apigateway:us-east-1:batch:path//v1/things/{key}",
        httpMethod="PUT",
        requestParameters=mapping,
    )
    backends = answering(200, {"name": "n"}, **{"X-Request": "r"})
    api = rest_api(backends, api_of(integration, path="/things/{id}"))
    answer = call(api, "POST", "/api/things/7", {"key": "a/b"}, query="query=x y", headers={"User-Agent": "curl"})
    [(name, sent)] = backends.requests
    assert (name, sent.method, sent.path, sent.query) == ("batch", "PUT", "/v1/things/a%2Fb", "q=x+y")
    assert sent.headers == {
        "Content-Type": "application/json",
        "X-Static": "text",
        "X-Id": "7",
        "X-Agent": "curl",
        "X-Stage": "api",
    }
    headers = dict(answer.headers)
    assert (headers["X-Static"], headers["X-Id"], headers["X-Name"]) == ("text", "r", "n")
    assert "X-None" not in headers


def test_a_mock_answers_without_a_backend() -> None:
    integration = {
        "type": "mock",
        "requestTemplates": {"application/json": '{"statusCode": 204}'},
        "responses": {"204": {"statusCode": "204"}, "default": {"statusCode": "500"}},
    }
    assert call(rest_api(Backends(), api_of(integration)), "POST", "/api/thing").status == 204


def test_a_function_gets_the_standard_event() -> None:
    backends = Backends()
    api = rest_api(backends, api_of(PROXY, path="/things/{id}"))
    call(api, "POST", "/api/things/7", {"é": 1}, query="a=1&a=2&b=", headers={"User-Agent": "curl"})
    [(arn, event)] = backends.events
    assert arn == FUNCTION
    assert event["resource"] == "/things/{id}"
    assert event["path"] == "/things/7"
    assert event["httpMethod"] == "POST"
    assert event["queryStringParameters"] == {"a": "2", "b": ""}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": [""]}
    assert event["headers"]["User-Agent"] == "curl"
    assert json.loads(event["body"]) == {"é": 1}
    assert event["stageVariables"] is None
    assert not event["isBase64Encoded"]
    context = event["requestContext"]
    assert (context["stage"], context["resourcePath"], context["identity"]["sourceIp"]) == (
        "api",
        "/things/{id}",
        "127.0.0.1",
    )
    json.dumps(event)


def test_a_functions_answer_is_passed_on() -> None:
    made = {
        "statusCode": 201,
        "headers": {"X-One": 1, "content-type": "text/plain"},
        "multiValueHeaders": {"Set-Cookie": ["a", "b"]},
        "body": base64.b64encode(b"\x00\xff").decode(),
        "isBase64Encoded": True,
    }
    answer = call(rest_api(Backends(function=lambda _arn, _event: made), api_of(PROXY)), "POST", "/api/thing")
    assert (answer.status, answer.body) == (201, b"\x00\xff")
    assert {("X-One", "1"), ("content-type", "text/plain"), ("Set-Cookie", "a"), ("Set-Cookie", "b")} <= set(
        answer.headers
    )


@pytest.mark.parametrize(
    "made", [None, "text", {"errorMessage": "boom"}, {"statusCode": 200, "body": {}}, {"statusCode": "x"}]
)
def test_a_function_that_fails_or_answers_otherwise_is_a_502(made: Any) -> None:
    answer = call(rest_api(Backends(function=lambda _arn, _event: made), api_of(PROXY)), "POST", "/api/thing")
    assert (answer.status, json.loads(answer.body)) == (502, {"message": "Internal server error"})


def test_a_backend_that_is_not_there_is_a_504() -> None:
    def gone(_service: str, _request: AwsRequest) -> Any:
        raise BackendUnavailable("connection refused")

    assert call(rest_api(Backends(aws=gone), api_of(service())), "POST", "/api/thing").status == 504


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"paths": {"/x": {"get": {}}}}, "GET /x has no x-amazon-apigateway-integration"),
        (api_of({"type": "http_proxy"}), "'http_proxy'"),
        (api_of({"type": "aws", "uri": {"Fn::Sub": "x"}}), "not resolved"),
        (api_of({"type": "aws", "uri": "http://x"}), "no integration URI"),
        (api_of({"type": "aws", "uri": "arn:aws:apigateway:us-east-1:sns:action/Publish"}), "query"),
        (api_of({"type": "aws_proxy", "uri": STATES}), "does not invoke a Lambda function"),
        (api_of(PROXY, **{"x-amazon-apigateway-request-validator": "no"}), "no request validator 'no'"),
    ],
)
def test_a_definition_that_cannot_be_executed_is_refused_when_it_is_deployed(body: dict[str, Any], part: str) -> None:
    with pytest.raises(InvalidDefinition, match=part):
        rest_api(Backends(), body)


def test_a_template_that_fails_is_an_error_of_the_api() -> None:
    integration = service(requestTemplates={"application/json": "$util.parseJson($input.path('$.a'))"})
    answer = call(rest_api(Backends(), api_of(integration)), "POST", "/api/thing", {"a": 7})
    assert answer.status == 500


def test_a_template_that_reads_json_refuses_a_body_that_is_none() -> None:
    integration = service(requestTemplates={"application/json": "$input.json('$')"})
    answer = call(rest_api(Backends(), api_of(integration)), "POST", "/api/thing", "{")
    assert (answer.status, json.loads(answer.body)) == (400, {"message": "Invalid request body"})
