"""The check by the JSON Schema of a row, with errors that say what was found and what is expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.errors import DocumentError, did_you_mean

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

SCHEMA_PATH = Path(__file__).parents[3] / "dynamo" / "schema.json"
KEPT_SECRET = (".secret", ".slack", ".teams", ".webex", ".webhook")
"""Values that may be secret, so that no error repeats them."""


def schema_errors(row: Mapping[str, Any]) -> list[DocumentError]:
    """What the schema finds wrong with a row, in the order of the document."""
    return [_describe(error) for error in sorted(_validator().iter_errors(row), key=lambda error: list(error.path))]


@lru_cache(maxsize=1)
def _validator() -> Validator:
    from jsonschema import Draft202012Validator  # 60 ms to import: only where a document is read

    return Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))


def _describe(error: ValidationError) -> DocumentError:
    path = error.json_path
    schema: Any = error.schema
    wanted: Any = error.validator_value
    instance: Any = error.instance
    if path.startswith("$.notifications[") and path.endswith(KEPT_SECRET) and error.validator == "pattern":
        return DocumentError(path, "a value that is not shown", schema["description"])
    match error.validator:
        case "additionalProperties":
            known = list(schema.get("properties", {}))
            unknown = [key for key in instance if key not in known]
            hints = [f"'{key}'{did_you_mean(key, known)}" for key in unknown]
            return DocumentError(path, f"unknown key {', '.join(hints)}", f"only {', '.join(known)}")
        case "required":
            missing = [key for key in wanted if key not in instance]
            return DocumentError(path, f"no {' and no '.join(missing)}", " and ".join(missing))
        case "type":
            names = wanted if isinstance(wanted, str) else " or ".join(wanted)
            return DocumentError(path, shown(instance), f"type {names}")
        case "maxLength":
            found = f"{len(instance)} characters ({shown(instance)})"
            return DocumentError(path, found, f"at most {wanted} characters")
        case "minItems" | "minLength" | "minProperties":
            return DocumentError(path, shown(instance), f"at least {wanted}")
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
            return DocumentError(path, shown(instance), error.message)
