"""Reads the body of `POST /v1/executions`: which name the execution gets, and which message the run."""

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
"""What Step Functions itself takes; the stage has its own ARN."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What somebody asks to be started."""

    message: Mapping[str, Any]
    """What the run gets; it is not checked yet."""
    name: str = ""
    """The execution's; empty where none is given."""


def read_request(text: str) -> StartRequest:
    """Read a request's body: a message with a name beside it, or a message in `input` as Step Functions takes it.

    In what a run of the reference design put out, `{"name", "output"}`, the name is no execution's.

    Raises:
        UnreadableDocument: it is no JSON that means one thing.
        InvalidMessage: with what is wrong around the message.
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
