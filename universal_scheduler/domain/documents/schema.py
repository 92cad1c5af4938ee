"""Checks a row by its JSON Schema. The errors say what was found and what is expected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from universal_scheduler.domain.documents.conforms import Check, compiled
from universal_scheduler.domain.documents.storable import MAX_ERRORS
from universal_scheduler.domain.documents.values import json_path, quoted, shown
from universal_scheduler.domain.errors import DocumentError, did_you_mean
from universal_scheduler.domain.messages.notifications import Service

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

MAX_JOBS = 10_000
KEYS_SHOWN = 5
COUNTED = {"minItems": "entry", "minLength": "character", "minProperties": "key"}
"""What the keyword counts. Each has to be at least one."""
LOOKED_FOR = 1000
"""How many errors are looked for. The first of them in the document are reported."""
SCHEMA_PATH = Path(__file__).parents[3] / "dynamo" / "schema.json"
KEPT_SECRET = (".secret", *(f".{service}" for service in Service if service is not Service.SNS))
"""The ends of paths whose values may be secret. No error shows such a value."""


def schema_errors(row: Mapping[str, Any]) -> list[DocumentError]:
    """The errors of a row by the schema, in the order of the document, at most 50. The values have to be storable."""
    jobs = row.get("jobList")
    if isinstance(jobs, list) and len(jobs) > MAX_JOBS:  # a million would be looked at one by one
        return [DocumentError("$.jobList", f"{len(jobs):,} entries", f"at most {MAX_JOBS:,}")]
    if _conforms()(row):
        return []
    errors = sorted(islice(_validator().iter_errors(row), LOOKED_FOR), key=lambda error: list(error.path))
    described: dict[DocumentError, None] = {}
    for error in errors:
        described[_describe(error)] = None
        if len(described) == MAX_ERRORS:
            break
    return list(described)


@cache
def _conforms() -> Check:
    return compiled(_schema())


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(SCHEMA_PATH.read_text())
    return schema


@cache
def _validator() -> Validator:
    from jsonschema import Draft202012Validator, validators  # 60 ms to import: only where a document is read

    # types-jsonschema does not type `extend`.
    validator: type[Validator] = validators.extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, {"uniqueItems": _unique_items}
    )
    return validator(_schema())


def _unique_items(_: Validator, wanted: bool, instance: Any, __: Any) -> Iterator[ValidationError]:
    """As jsonschema's own, which compares each entry with every other where they are objects."""
    from jsonschema.exceptions import ValidationError

    if not wanted or not isinstance(instance, list):
        return
    if len({json.dumps(entry, sort_keys=True) for entry in instance}) < len(instance):
        yield ValidationError("the same entry twice")


def _describe(error: ValidationError) -> DocumentError:
    path = json_path(error.absolute_path)
    schema: Any = error.schema
    wanted: Any = error.validator_value
    instance: Any = error.instance
    if path.startswith("$.notifications[") and path.endswith(KEPT_SECRET) and isinstance(instance, str):
        return DocumentError(path, "a value that is not shown", schema["description"])
    match error.validator:
        case "additionalProperties":
            known = list(schema.get("properties", {}))
            unknown = [key for key in instance if key not in known]
            hints = [f"{quoted(key)}{did_you_mean(key, known)}" for key in unknown[:KEYS_SHOWN]]
            more = f" and {len(unknown) - KEYS_SHOWN:,} more" if len(unknown) > KEYS_SHOWN else ""
            return DocumentError(path, f"unknown key {', '.join(hints)}{more}", f"only {', '.join(known)}")
        case "required":
            missing = [key for key in wanted if key not in instance]
            keys, are = " and ".join(missing), "key {} is" if len(missing) == 1 else "keys {} are"
            return DocumentError(path, f"no {' and no '.join(missing)}", keys, f"the {are.format(keys)} missing")
        case "type":
            names = wanted if isinstance(wanted, str) else " or ".join(wanted)
            return DocumentError(path, shown(instance), f"type {names}")
        case "maxLength":
            found = f"{len(instance)} characters ({shown(instance)})"
            return DocumentError(path, found, f"at most {wanted} characters")
        case "minItems" | "minLength" | "minProperties":
            return DocumentError(path, shown(instance), f"at least one {COUNTED[error.validator]}")
        case "maxItems" | "maxProperties":
            return DocumentError(path, f"{len(instance)} entries", f"at most {wanted}")
        case "minimum" | "maximum":
            least, most = schema.get("minimum"), schema.get("maximum")
            span = f"between {least} and {most}" if most is not None else f"at least {least}"
            return DocumentError(path, shown(instance), f"a number {span}")
        case "pattern":
            hint = schema.get("description", "")
            return DocumentError(path, shown(instance), f"{wanted} {hint}".rstrip())
        case "enum":
            return DocumentError(path, shown(instance), f"one of {', '.join(map(str, wanted))}")
        case "const":
            return DocumentError(path, shown(instance), json.dumps(wanted))
        case "uniqueItems":
            return DocumentError(path, "the same entry twice", "every entry once")
        case _:
            return DocumentError(path, shown(instance), f"{error.validator} {shown(wanted)}")
