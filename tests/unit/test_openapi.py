"""api_gateway/openapi.yaml: complete, in keeping with template.yaml, and harmless whatever is sent through it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from tests.rest_api import NAMES, OPENAPI, ROOT, Backends, call, error, openapi, rest_api
from universal_scheduler.local.gateway.definition import VERBS

RAW = yaml.safe_load(OPENAPI.read_text())
BODY = openapi()
OPERATIONS: list[tuple[str, str, dict[str, Any]]] = [
    (path, verb, operation) for path, item in BODY["paths"].items() for verb, operation in item.items() if verb in VERBS
]
IDS = [operation["operationId"] for _, _, operation in OPERATIONS]
NAMED_ELSEWHERE = {
    *("ApiStartRole", "ApiSubmitJobRole", "StartRequestMachine"),
    *("GetExecutionFunction", "PutScheduleFunction", "GetScheduleFunction", "GetNextStartsFunction"),
    *("HighQueue", "DefaultQueue", "LowQueue", "ShellJobDefinition"),
}
TEXT = st.text(max_size=40) | st.sampled_from(
    [
        "'",
        '"',
        "\\",
        "\\'",
        "$input.body",
        "${x}",
        "#set($a = 1)",
        "#end",
        "##",
        "#*",
        "{}",
        "\n",
        "\x00",
        "</script>",
        "é漢😀",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def intrinsics(value: Any) -> Iterator[str]:
    """The logical ids that the document refers to."""
    match value:
        case {"Fn::Sub": str(text)}:
            yield from (name.partition(".")[0] for name in re.findall(r"\$\{([^}]+)}", text))
        case {"Fn::GetAtt": [str(name), _]} | {"Ref": str(name)}:
            yield name
        case dict():
            for item in value.values():
                yield from intrinsics(item)
        case list():
            for item in value:
                yield from intrinsics(item)


def test_the_routes_are_those_that_are_documented() -> None:
    documented = set(re.findall(r"^## `(\w+) (/v1/\S+)`", (ROOT / "docs" / "api.md").read_text(), re.M))
    assert documented == {(verb.upper(), path) for path, verb, _ in OPERATIONS}


def test_only_known_resources_are_referred_to() -> None:
    assert set(intrinsics(RAW)) - {"AWS::Region", "AWS::Partition"} == NAMED_ELSEWHERE


def test_the_routes_that_an_unknown_one_is_told_exist() -> None:
    told = RAW["x-amazon-apigateway-gateway-responses"]["MISSING_AUTHENTICATION_TOKEN"]["responseTemplates"]
    for path, verb, _ in OPERATIONS:
        assert f"{verb.upper()} {path}" in told["application/json"]


@pytest.mark.parametrize(("path", "verb", "operation"), OPERATIONS, ids=IDS)
def test_every_operation_is_validated(path: str, verb: str, operation: dict[str, Any]) -> None:
    validator = operation.get("x-amazon-apigateway-request-validator", BODY["x-amazon-apigateway-request-validator"])
    checks = BODY["x-amazon-apigateway-request-validators"][validator]
    if verb == "post":
        assert checks["validateRequestBody"] == (path == "/v1/submitJob"), "the others have a reader of their own"
        assert operation["requestBody"]["required"]
        models = operation["requestBody"]["content"]
        templates = operation["x-amazon-apigateway-integration"].get("requestTemplates")
        if templates is not None:
            assert templates.keys() == models.keys() == {"application/json", "application/x-www-form-urlencoded"}
            assert len({json.dumps(template) for template in templates.values()}) == 1
        assert len({json.dumps(model) for model in models.values()}) == 1
    else:
        assert checks["validateRequestParameters"]
    declared = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["required"]}
    assert declared == set(re.findall(r"\{(\w+)}", path))


@pytest.mark.parametrize("operation", [operation for _, _, operation in OPERATIONS], ids=IDS)
def test_no_operation_is_open_to_everybody(operation: dict[str, Any]) -> None:
    [[scheme]] = operation["security"]
    assert BODY["components"]["securitySchemes"][scheme]["x-amazon-apigateway-authtype"] == "awsSigv4"


@pytest.mark.parametrize("operation", [operation for _, _, operation in OPERATIONS], ids=IDS)
def test_every_operation_has_an_integration_that_answers_declared_statuses(operation: dict[str, Any]) -> None:
    integration = operation["x-amazon-apigateway-integration"]
    assert integration["httpMethod"] == "POST", "AWS services and functions are always called by POST"
    if integration["type"] == "aws":
        assert "credentials" in integration
        assert "default" in integration["responses"]
        for response in integration["responses"].values():
            statuses = [response["statusCode"]]
            for template in response["responseTemplates"].values():
                statuses += re.findall(r"responseOverride\.status = (\d+)", template)
            assert set(statuses) <= operation["responses"].keys()


@pytest.mark.parametrize("name", BODY["components"]["schemas"])
def test_models_are_draft_4_with_names_that_api_gateway_takes(name: str) -> None:
    Draft4Validator.check_schema(BODY["components"]["schemas"][name])
    assert re.fullmatch(r"[A-Za-z0-9]+", name)


@pytest.mark.parametrize("kind", BODY["x-amazon-apigateway-gateway-responses"])
def test_gateway_responses_have_the_shape_of_errors(kind: str) -> None:
    template = BODY["x-amazon-apigateway-gateway-responses"][kind]["responseTemplates"]["application/json"]
    answer = json.loads(template.replace("$context.error.messageString", '"text"'))
    assert {"code", "message"} <= answer["error"].keys() <= {"code", "message", "requestId"}
    assert '"$context.error.messageString' not in template, "it has quotes of its own"


@given(body=TEXT | VALUES.map(json.dumps) | VALUES.map(lambda value: json.dumps(value, ensure_ascii=False)))
def test_whatever_is_a_body_reaches_the_start_as_it_is(body: str) -> None:
    backends = Backends()
    call(rest_api(backends, BODY), "POST", "/api/v1/executions", body)
    assert backends.sent["stateMachineArn"] == NAMES["StartRequestMachine"]
    sent = json.loads(backends.sent["input"])
    assert sent.keys() == {"text", "short", "requestId", "path"}
    assert (sent["text"], sent["short"], sent["path"]) == (body, len(body) < 160, "/api/v1/executions")
    assert sent["requestId"]


@pytest.mark.parametrize("letter", ["x", "é", "漢"])
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_start_over_200_kib_is_not_handed_on(letter: str, content_type: str) -> None:
    def sent(size: int) -> Any:
        backends = Backends()
        frame = len('{"description": ""}')
        count, rest = divmod(size - frame, len(letter.encode()))
        body = json.dumps({"description": letter * count + "." * rest}, ensure_ascii=False)
        assert len(body.encode()) == size
        call(rest_api(backends, BODY), "POST", "/api/v1/executions", body, headers={"Content-Type": content_type})
        assert backends.sent["stateMachineArn"] == NAMES["StartRequestMachine"]
        return json.loads(backends.sent["input"])

    assert "text" in sent(200 * 1024)
    assert sent(200 * 1024 + 2) == {"tooLarge": True}


@given(queue=TEXT.filter(bool), definition=TEXT.filter(bool), parameters=st.none() | st.dictionaries(TEXT, TEXT))
def test_whatever_stands_in_a_job_reaches_batch_as_it_is(
    queue: str, definition: str, parameters: dict[str, str] | None
) -> None:
    backends = Backends()
    body: dict[str, Any] = {"jobName": "j", "jobQueue": queue, "jobDefinition": definition}
    if parameters is not None:
        body["parameters"] = parameters
    call(rest_api(backends, BODY), "POST", "/api/v1/submitJob", body)
    assert backends.sent == body


@pytest.mark.parametrize(
    ("queue", "resource"), [("high", "HighQueue"), ("default", "DefaultQueue"), ("low", "LowQueue")]
)
def test_short_names_become_this_stages_own(queue: str, resource: str) -> None:
    backends = Backends()
    body = {"jobName": "j", "jobQueue": queue, "jobDefinition": "shell"}
    call(rest_api(backends, BODY), "POST", "/api/v1/submitJob", body)
    [(service, request)] = backends.requests
    assert (service, request.method, request.path) == ("batch", "POST", "/v1/submitjob")
    assert backends.sent == {**body, "jobQueue": NAMES[resource], "jobDefinition": NAMES["ShellJobDefinition"]}


def test_a_start_is_asked_of_step_functions() -> None:
    backends = Backends()
    call(rest_api(backends, BODY), "POST", "/api/v1/executions", {"scheduleId": "s"})
    [(service, request)] = backends.requests
    assert service == "states"
    assert request.headers["X-Amz-Target"] == "AWSStepFunctions.StartSyncExecution"
    assert request.headers["Content-Type"] == "application/x-amz-json-1.0"


@given(
    route=st.sampled_from(["executions", "submitJob"]),
    status=st.integers(400, 599),
    failure=st.fixed_dictionaries({}, optional={"__type": TEXT, "message": TEXT, "Message": TEXT, "status": TEXT}),
)
def test_whatever_a_service_says_when_it_fails_the_answer_is_a_clear_error(
    route: str, status: int, failure: dict[str, str]
) -> None:
    backends = Backends(aws=lambda _service, _request: (status, {}, json.dumps(failure).encode()))
    body = {"scheduleId": "s"} if route == "executions" else {"jobName": "j", "jobQueue": "q", "jobDefinition": "d"}
    answer = call(rest_api(backends, BODY), "POST", f"/api/v1/{route}", body)
    assert error(answer).keys() == {"code", "message"}
    assert answer.status >= 500 if status >= 500 else answer.status in (400, 413, 429, 502)


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT"])
@given(cause=TEXT, name=TEXT)
def test_a_start_machine_that_fails_is_a_502(status: str, cause: str, name: str) -> None:
    ended = {"status": status, "error": name, "cause": cause}
    backends = Backends(aws=lambda _service, _request: (200, {}, json.dumps(ended).encode()))
    answer = call(rest_api(backends, BODY), "POST", "/api/v1/executions", {"scheduleId": "s"})
    assert answer.status == 502
    assert f"{status} {name} {cause}" in error(answer)["message"]


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("com.amazon.coral.validate#ValidationException", 413, "TooLarge"),
        ("ThrottlingException", 429, "TooManyRequests"),
        ("AccessDeniedException", 502, "StartFailed"),
    ],
)
def test_what_step_functions_refuses_is_told_apart(kind: str, status: int, code: str) -> None:
    failure = json.dumps({"__type": kind, "message": "m"}).encode()
    backends = Backends(aws=lambda _service, _request: (400, {}, failure))
    answer = call(rest_api(backends, BODY), "POST", "/api/v1/executions", {"scheduleId": "s"})
    assert (answer.status, error(answer)["code"]) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "body", "function"),
    [
        ("GET", "/v1/executions/run-1", None, "usched-get-execution"),
        ("POST", "/v1/schedules", {"scheduleId": "s"}, "usched-put-schedule"),
        ("GET", "/v1/schedules/s", None, "usched-get-schedule"),
        ("GET", "/v1/schedules/s/next", None, "usched-get-next-starts"),
    ],
)
def test_schedules_and_executions_are_served_by_functions(method: str, path: str, body: Any, function: str) -> None:
    backends = Backends(function=lambda _arn, _event: {"statusCode": 200, "body": '{"from": "function"}'})
    answer = call(rest_api(backends, BODY), method, f"/api{path}", body)
    assert json.loads(answer.body) == {"from": "function"}
    [(arn, event)] = backends.events
    assert arn.endswith(f":function:{function}")
    assert event["path"] == path


def test_a_body_over_ten_megabytes_is_refused() -> None:
    backends = Backends()
    answer = call(rest_api(backends, BODY), "POST", "/api/v1/schedules", b" " * (10 * 1024 * 1024 + 1))
    assert (answer.status, error(answer)["code"]) == (413, "TooLarge")
    assert not backends.events


def test_a_service_that_does_not_answer_is_a_504() -> None:
    class Silent(Backends):
        async def call_aws(self, *_: Any) -> Any:
            await asyncio.Event().wait()

    answer = call(rest_api(Silent(), BODY, timeout=0.01), "POST", "/api/v1/executions", {"scheduleId": "s"})
    assert (answer.status, error(answer)["code"]) == (504, "Timeout")


def test_templates_keep_the_two_rules_of_safety() -> None:
    """What counts as true differs between engines; what is escaped for JavaScript has to be mended for JSON."""
    integrations = [operation["x-amazon-apigateway-integration"] for _, _, operation in OPERATIONS]
    templates = [
        template
        for integration in integrations
        for mapping in (integration, *integration.get("responses", {}).values())
        for kind in ("requestTemplates", "responseTemplates")
        for template in mapping.get(kind, {}).values()
    ]
    assert len(templates) == 11
    for text in templates:
        for condition in re.findall(r"#(?:else)?if\((.*)\)$", text, re.M):
            assert re.search(r"[!=]=|[<>]", condition), condition
        assert text.count("$util.escapeJavaScript(") == text.count(""".replaceAll("\\\\'", "'")""")
