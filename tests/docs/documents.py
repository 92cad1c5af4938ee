"""Checks the documents among the examples: schedules and parts of schedules by the one check that users meet."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema

from tests.docs.desk import ROOT, Desk, Wrong, aws_service, check_aws_input
from tests.docs.markdown import Example
from tests.rest_api import openapi
from universal_scheduler.cli.documents import check_file
from universal_scheduler.domain.messages.messages import JobReport, Message, webhook_body
from universal_scheduler.domain.messages.notifications import Kind, Service
from universal_scheduler.domain.runs.model import RunKey

SCHEMA = json.loads((ROOT / "dynamo" / "schema.json").read_text())
SCHEDULE_KEYS = frozenset(SCHEMA["properties"])
JOB_KEYS = frozenset(SCHEMA["$defs"]["job"]["properties"]) - SCHEDULE_KEYS
A_JOB = {"jobName": "example", "jobQueue": "default", "jobDefinition": "shell"}


def check_yaml(example: Example, desk: Desk) -> None:
    """What is no whole schedule is put into one: its keys say whether it is part of a schedule, or of a job."""
    text = example.text
    keys = set(re.findall(r"^\{?([A-Za-z_]+):", text, re.MULTILINE))
    if "calendarName" in keys:
        _check_schedule(desk, text)
    elif text.lstrip().startswith("-"):
        _check_schedule(desk, f"scheduleId: example\njobList:\n{_indented(text)}")
    elif keys & SCHEDULE_KEYS:
        missing = "" if "scheduleId" in keys else "scheduleId: example\n"
        missing += "" if "jobList" in keys else f"jobList: [{json.dumps(A_JOB)}]\n"
        _check_schedule(desk, f"{missing}{text}")
    elif keys & JOB_KEYS:
        missing = "".join(f"  {name}: {value}\n" for name, value in A_JOB.items() if name not in keys)
        _check_schedule(desk, f"scheduleId: example\njobList:\n-\n{missing}{_indented(text)}")
    else:
        raise Wrong(f"no key of a schedule or a job is in it, only {', '.join(sorted(keys)) or 'none at all'}")


def check_json(example: Example, desk: Desk) -> None:
    """As YAML; or, where a mark says so, a schema of the API, the input of an AWS operation, a message, a policy."""
    try:
        document = json.loads(example.text)
    except ValueError as error:
        raise Wrong(f"no JSON: {error}") from None
    marks = [mark for mark in example.marks if not mark.startswith("file=")]
    for mark in marks:
        service, dot, operation = mark.partition(".")
        if dot:
            check_aws_input(service, operation, document)
        elif mark in openapi()["components"]["schemas"]:
            _check_of_api(mark, document)
        elif mark == "webhook":
            _check_webhook(document)
        elif mark == "policy":
            _check_policy(document)
        else:
            raise Wrong(f"'{mark}' is no schema of openapi.yaml, no service.Operation of AWS, no webhook and no policy")
    if not marks:
        check_document(document, desk)


def check_document(document: Any, desk: Desk) -> None:
    """A schedule, a single job, or what can be put into one of them."""
    match document:
        case {"jobList": list()}:
            whole = {"scheduleId": "example"} | document
        case {"jobName": str(), "jobQueue": str(), "jobDefinition": str()}:
            whole = document
        case dict() if document.keys() & SCHEDULE_KEYS:
            whole = {"scheduleId": "example", "jobList": [A_JOB], **document}
        case dict() if document.keys() & JOB_KEYS:
            whole = {"scheduleId": "example", "jobList": [{**A_JOB, **document}]}
        case _:
            raise Wrong("no key of a schedule or a job is in it: say behind the fence what it is")
    _check_schedule(desk, json.dumps(whole), suffix=".json")


def _check_schedule(desk: Desk, text: str, suffix: str = ".yaml") -> None:
    file = desk.directory / f"example{suffix}"
    file.write_text(text)
    checked = check_file(str(file))
    if checked.errors:
        raise Wrong("; ".join(str(error) for _, error in checked.errors))


def _indented(text: str) -> str:
    return "".join(f"  {line}" for line in text.splitlines(keepends=True))


def _check_of_api(name: str, document: Any) -> None:
    schema = {**openapi()["components"]["schemas"][name], "additionalProperties": False}
    try:
        jsonschema.validate(document, schema)
    except jsonschema.ValidationError as error:
        raise Wrong(f"{error.json_path}: {error.message} (schema {name} of api_gateway/openapi.yaml)") from None


def _check_webhook(document: Any) -> None:
    sent = Message(id="", kind=Kind.RUN_FAILED, key=RunKey("", ""), at="", jobs=(JobReport("", ""),))
    expected = _shape(json.loads(webhook_body(Service.WEBHOOK, sent)))
    if _shape(document) != expected:
        raise Wrong(f"its keys are {_shape(document)}, those of a message are {expected}")


def _shape(value: Any) -> Any:
    match value:
        case dict():
            return {key: _shape(entry) for key, entry in value.items()}
        case [dict() as first, *_]:
            return [_shape(first)]
        case _:
            return ...


def _check_policy(document: Any) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html"""
    for statement in document.get("Statement", ()):
        if statement.get("Effect") not in ("Allow", "Deny") or "Resource" not in statement:
            raise Wrong(f"a statement without Effect or Resource: {json.dumps(statement)}")
        actions = statement.get("Action", [])
        for action in [actions] if isinstance(actions, str) else actions:
            service, _, operation = action.partition(":")
            if operation not in aws_service(service).operation_names:
                raise Wrong(f"{service} has no operation {operation}")
    if not document.get("Statement"):
        raise Wrong("a policy without a Statement")
