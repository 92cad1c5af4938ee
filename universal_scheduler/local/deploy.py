"""Deploys template.yaml to an endpoint by CloudFormation, as `aws cloudformation package` and `deploy` do."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config

from universal_scheduler.local import package
from universal_scheduler.local.auth import ANY, Keys

TEMPLATE = package.ROOT / "template.yaml"
STACK = "universal-scheduler"

ARTIFACTS = "usched-artifacts"
_SECONDS = 120
_CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")

Json = dict[str, Any]


class DeployError(RuntimeError):
    """The stack was not deployed. The message names the resource that failed, and why."""


@dataclass(frozen=True)
class Target:
    """The engine to deploy to."""

    endpoint: str
    region: str = "us-east-1"
    keys: Keys = ANY

    def client(self, service: str) -> Any:
        session = boto3.Session(
            aws_access_key_id=self.keys.key_id, aws_secret_access_key=self.keys.secret, region_name=self.region
        )
        config = Config(user_agent_extra="usched-deploy")
        return session.client(service, endpoint_url=self.endpoint, config=config)  # type: ignore[call-overload]


def deploy(
    target: Target, parameters: Mapping[str, str], *, zip_path: Path, template: Path = TEMPLATE
) -> dict[str, str]:
    """Create or update the stack. Answers its outputs.

    Raises:
        DeployError: it was not deployed.
    """
    code = zip_path.read_bytes()
    key = f"{hashlib.sha256(code).hexdigest()}.zip"
    storage = target.client("s3")
    storage.create_bucket(Bucket=ARTIFACTS)
    storage.put_object(Bucket=ARTIFACTS, Key=key, Body=code)
    # With its definitions inside, the template is over the 51,200 bytes that CloudFormation takes in a request.
    document = json.dumps(packaged(template, code_uri=f"s3://{ARTIFACTS}/{key}")).encode()
    storage.put_object(Bucket=ARTIFACTS, Key="template.json", Body=document)
    formation = target.client("cloudformation")
    names = {stack["StackName"] for stack in formation.describe_stacks()["Stacks"]}
    change = formation.update_stack if STACK in names else formation.create_stack
    given = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
    try:
        change(
            StackName=STACK,
            TemplateURL=f"{target.endpoint}/{ARTIFACTS}/template.json",
            Parameters=given,
            Capabilities=list(_CAPABILITIES),
        )
    except formation.exceptions.ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise DeployError(f"{template.name}: {error.response['Error']['Message'][:2000]}") from error
    return _outputs(formation, template)


def packaged(template: Path, *, code_uri: str) -> Json:
    """The template with the content of every local file that it names: definitions, included files, and the zip."""
    document = _read(template)
    here = template.parent
    for resource in document["Resources"].values():
        properties: Json = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::Serverless::Function":
                properties["CodeUri"] = code_uri
            case "AWS::Serverless::StateMachine":
                properties["Definition"] = json.loads((here / properties.pop("DefinitionUri")).read_text())
    properties = document.get("Globals", {}).get("Function", {})
    properties.pop("CodeUri", None)
    included: Json = _include(document, here)
    return included


def _include(value: Any, here: Path) -> Any:
    match value:
        case {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": str(location)}}}:
            rest = {key: _include(item, here) for key, item in value.items() if key != "Fn::Transform"}
            return {**_include(_read(here / location), here), **rest}
        case dict():
            return {key: _include(item, here) for key, item in value.items()}
        case list():
            return [_include(item, here) for item in value]
        case _:
            return value


def _outputs(formation: Any, template: Path) -> dict[str, str]:
    deadline = time.monotonic() + _SECONDS
    while True:
        stack = formation.describe_stacks(StackName=STACK)["Stacks"][0]
        status = stack["StackStatus"]
        if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
        if not status.endswith("_IN_PROGRESS"):
            raise DeployError(f"{template.name}: {_reason(formation) or stack.get('StackStatusReason', status)}")
        if time.monotonic() > deadline:
            raise DeployError(f"{template.name}: still {status} after {_SECONDS} seconds")
        time.sleep(0.05)


def _reason(formation: Any) -> str:
    """The first failure of the last change: what came after it only followed from it."""
    events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    failed.sort(key=lambda event: event["Timestamp"])
    if not failed:
        return ""
    event = failed[0]
    return f"{event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', 'no reason')}"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML with CloudFormation's short functions: ``!Ref X`` is ``{Ref: X}``, ``!Sub X`` is ``{Fn::Sub: X}``."""


def _function(loader: Any, name: str, node: yaml.Node) -> Json:
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)


def _read(path: Path) -> Json:
    document: Json = yaml.load(path.read_text(), Loader=_Loader)
    return document
