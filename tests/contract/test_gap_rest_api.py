"""A stack's REST API answers with its mapping templates and service integrations."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from typing import Any

from tests.contract.conftest import Cloud

LIST_TABLES = {
    "type": "aws",
    "httpMethod": "POST",
    "uri": "arn:aws:apigateway:us-east-1:dynamodb:action/ListTables",
    "credentials": "arn:aws:iam::123456789012:role/any",
    "requestTemplates": {"application/json": '#if($input.path("$.most") == 1){"Limit": 1}#end'},
    "responses": {
        "default": {
            "statusCode": "200",
            "responseTemplates": {"application/json": '{"found": $input.json("$.TableNames")}'},
        }
    },
}


def template(stage: str, integration: dict[str, Any]) -> str:
    operation = {"responses": {"200": {"description": "."}}, "x-amazon-apigateway-integration": integration}
    body = {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": {"/v1/tables": {"post": operation}}}
    resources = {
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": stage, "Body": body}},
        "Deployment": {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": {"Ref": "Api"}}},
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {
                "StageName": stage,
                "RestApiId": {"Ref": "Api"},
                "DeploymentId": {"Ref": "Deployment"},
            },
        },
    }
    return json.dumps({"Resources": resources, "Outputs": {"Api": {"Value": {"Ref": "Api"}}}})


def post(url: str, body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def deployed(cloud: Cloud, stage: str, integration: dict[str, Any], *, stack: str = "") -> str:
    formation = cloud.client("cloudformation")
    change = formation.update_stack if stack else formation.create_stack
    change(StackName=stack or stage, TemplateBody=template(stage, integration))

    def done() -> Any:
        found = formation.describe_stacks(StackName=stage)["Stacks"][0]
        assert "ROLLBACK" not in found["StackStatus"], formation.describe_stack_events(StackName=stage)
        return found if found["StackStatus"].endswith("_COMPLETE") else None

    return str(cloud.eventually(done)["Outputs"][0]["OutputValue"])


def test_a_service_integration_maps_request_and_answer(cloud: Cloud) -> None:
    table = f"t-{uuid.uuid4().hex[:8]}"
    cloud.client("dynamodb").create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    stage = f"s{uuid.uuid4().hex[:8]}"
    api = deployed(cloud, stage, LIST_TABLES)
    urls = [f"{cloud.endpoint}/{stage}/v1/tables", f"{cloud.endpoint}/restapis/{api}/{stage}/_user_request_/v1/tables"]
    answers = [post(url, {"most": 1}) for url in urls]
    assert any(status == 200 and len(json.loads(body)["found"]) == 1 for status, body in answers)


def test_a_changed_definition_is_what_answers(engine: Cloud) -> None:
    stage = f"s{uuid.uuid4().hex[:8]}"
    deployed(engine, stage, LIST_TABLES)
    changed = {"default": {"statusCode": "202", "responseTemplates": {"application/json": "{}"}}}
    deployed(engine, stage, {**LIST_TABLES, "responses": changed}, stack=stage)
    assert post(f"{engine.endpoint}/{stage}/v1/tables", {"most": 1}) == (202, b"{}")


def test_a_deleted_stage_answers_no_more(engine: Cloud) -> None:
    stage = f"s{uuid.uuid4().hex[:8]}"
    deployed(engine, stage, LIST_TABLES)
    engine.client("cloudformation").delete_stack(StackName=stage)
    engine.eventually(lambda: post(f"{engine.endpoint}/{stage}/v1/tables", {"most": 1})[0] >= 400)
