"""The quick look at a value against jsonschema: what it is sure of has to conform."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.oracles.documents import WHOLE, changed
from universal_scheduler.domain.documents.conforms import compiled
from universal_scheduler.domain.documents.parse import as_row
from universal_scheduler.domain.documents.schema import SCHEMA_PATH
from universal_scheduler.domain.documents.storable import storable_errors

ROW = json.loads(SCHEMA_PATH.read_text())
KEYS = ("name", "size", "kind", "is", "below", "tags", "more")
TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 2, "pattern": "^[a-b]"},
                "size": {"type": ["integer", "null"], "minimum": 1, "maximum": 3},
                "kind": {"enum": ["a", 1, None]},
                "is": {"const": "a"},
                "below": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2, "uniqueItems": True},
                "tags": {"additionalProperties": {"type": "number"}, "propertyNames": {"maxLength": 1}},
                "more": {"minItems": 1, "minProperties": 1, "maxProperties": 1},
            },
            "additionalProperties": False,
        }
    },
}
"""Has every keyword that is known, and itself within it."""
LEAVES = st.none() | st.booleans() | st.integers(0, 4) | st.floats(0, 4) | st.sampled_from(["", "a", "ab", "abc", "ca"])
NAMES = st.sampled_from([*KEYS, "other", "a"])


def trees() -> st.SearchStrategy[Any]:
    """Values that are nearly trees."""
    return st.recursive(
        LEAVES, lambda each: st.lists(each, max_size=3) | st.dictionaries(NAMES, each, max_size=4).map(_named)
    )


def _named(value: dict[str, Any]) -> dict[str, Any]:
    return {"name": "a", **value}


def check_tree(value: Any) -> None:
    if compiled(TREE)(value):
        Draft202012Validator(TREE).validate(value)


def check_changed_schedules(seed: int, count: int) -> None:
    chance, sure = random.Random(seed), 0
    for _ in range(count):
        document = changed(chance, WHOLE)
        if isinstance(document, dict) and not storable_errors(document):
            row = as_row(document)
            if compiled(ROW)(row):
                sure += 1
                Draft202012Validator(ROW).validate(row)
    assert sure, "some changes leave it a schedule"
