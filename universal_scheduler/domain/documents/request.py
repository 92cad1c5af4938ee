"""Reads the body of `POST /v1/executions`: the name of the execution, and the message for the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from universal_scheduler.domain.documents.json_text import read_json
from universal_scheduler.domain.documents.message import NOTHING_TO_RUN, OF_THE_SCHEDULER
from universal_scheduler.domain.documents.parse import is_wrapped
from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.errors import DocumentError, InvalidMessage, UnreadableDocument
from universal_scheduler.domain.names import EXECUTION_NAME_RULE, execution_name_problem

AROUND_INPUT = ("name", "stateMachineArn", "input")
"""The keys that StartExecution of Step Functions takes. The ARN in the body is not used: the stage has its own."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A request to start an execution."""

    message: Mapping[str, Any]
    """The message for the run. It is not checked yet."""
    name: str = ""
    """The name of the execution; empty if the request has none."""


def read_request(text: str) -> StartRequest:
    """Read the body of a request: a message, perhaps with a `name` beside it; or the message in `input`, as Step
    Functions has it.

    If the body is the output of a run of the reference design (`{"name", "output"}`), its name is not used.

    Raises:
        UnreadableDocument: the body is not JSON with one meaning.
        InvalidMessage: something around the message is wrong.
    """
    body = read_json(text)
    if not isinstance(body, dict):
        raise InvalidMessage([DocumentError("$", shown(body), f"an object with {NOTHING_TO_RUN}")])
    if is_wrapped(body):
        return StartRequest(body)
    errors = []
    if "name" in body and (problem := execution_name_problem(body["name"])):
        expected = f"the name of an execution: {EXECUTION_NAME_RULE}"
        errors.append(DocumentError("$.name", f"{shown(body['name'])}: {problem}", expected))
    message = {key: value for key, value in body.items() if key not in ("name", "stateMachineArn")}
    if "input" in body:
        beside = [key for key in body if key not in AROUND_INPUT]
        if beside:
            found = f"{', '.join(map(shown, beside[:5]))} beside input"
            errors.append(DocumentError("$", found, f"only {', '.join(AROUND_INPUT)}: the message is in input"))
        message = _message_in(body["input"], errors)
    errors += [
        DocumentError(f"$.{key}", shown(message[key]), "nothing: only the scheduler itself writes it")
        for key in OF_THE_SCHEDULER
        if key in message
    ]
    if errors:
        raise InvalidMessage(errors)
    return StartRequest(message, body.get("name", ""))


def _message_in(text: object, errors: list[DocumentError]) -> dict[str, Any]:
    """The message in `input`; what is wrong with it goes to `errors`."""
    wanted = 'a JSON object in a string, for example "{\\"scheduleId\\": \\"daily\\"}"'
    if not isinstance(text, str):
        errors.append(DocumentError("$.input", shown(text), wanted))
        return {}
    try:
        message = read_json(text)
    except UnreadableDocument as unreadable:
        inside = [replace(each, path=f"$.input{each.path[1:]}") for each in unreadable.errors]
        raise UnreadableDocument(inside) from None
    if isinstance(message, dict):
        return message
    errors.append(DocumentError("$.input", shown(message), wanted))
    return {}
