"""Validates request bodies against models, with the wording of API Gateway's own validator.

API Gateway's `$context.error.validationErrorString` does not say where in the body the error is; this one adds it, and
the model's own description of what is wanted there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from universal_scheduler.local.gateway import jsonbody

MAX_ERRORS = 10


def find_errors(text: str, model: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[str]:
    """The errors of a body by a model (JSON schema draft 4), which may refer to `#/components/schemas/…`."""
    if not text.strip():
        return ["the body is empty"]
    try:
        document = jsonbody.parse(text)
    except jsonbody.NotJson as error:
        return [f"the body is not JSON: {error}"]
    validator = Validator({"allOf": [model], "components": {"schemas": schemas}})
    errors = sorted(validator.iter_errors(document), key=lambda error: [str(step) for step in error.absolute_path])
    return list(dict.fromkeys(_describe(error) for error in errors))[:MAX_ERRORS]


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    # In ECMA 262 a final $ is the end of the text; in Python it would let a newline follow.
    python = pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern
    if isinstance(instance, str) and re.search(python, instance) is None:
        yield ValidationError("")


Validator = extend(Draft4Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]


def _describe(error: ValidationError) -> str:
    found: Any = error.instance
    wanted: Any = error.validator_value
    schema: Any = error.schema
    where = "".join(f"/{step}" for step in error.absolute_path)
    match error.validator:
        case "required":
            missing = [name for name in wanted if name not in found]
            text = f"object has missing required properties ({jsonbody.dump(missing)})"
        case "additionalProperties":
            unknown = sorted(found.keys() - schema.get("properties", {}).keys())
            text = f"object instance has properties which are not allowed by the schema: {jsonbody.dump(unknown)}"
        case "type":
            allowed = jsonbody.dump([wanted] if isinstance(wanted, str) else wanted)
            text = f"instance type ({_type(found)}) does not match any allowed primitive type (allowed: {allowed})"
        case "maxLength":
            text = f"string {_shown(found)} is too long (length: {len(found)}, maximum allowed: {wanted})"
        case "minLength":
            text = f"string {_shown(found)} is too short (length: {len(found)}, required minimum: {wanted})"
        case "pattern":
            text = f"ECMA 262 regex {jsonbody.dump(wanted)} does not match input string {_shown(found)}"
        case "enum":
            text = f"instance value ({_shown(found)}) not found in enum (possible values: {jsonbody.dump(wanted)})"
        case _:
            text = f"{error.validator}: {error.message}"
    if where:
        text = f"{text} at {where}"
    return f"{text} ({schema['description']})" if "description" in schema else text


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _shown(value: Any) -> str:
    text = jsonbody.dump(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
