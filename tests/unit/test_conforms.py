"""The quick look at a value: what it is sure of conforms to the schema, and it is sure of whole documents."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.unit.test_random_documents import WHOLE, changed
from universal_scheduler.cli.documents import check_file
from universal_scheduler.domain.documents.conforms import compiled
from universal_scheduler.domain.documents.parse import as_row
from universal_scheduler.domain.documents.schema import SCHEMA_PATH
from universal_scheduler.domain.documents.storable import storable_errors

ROOT = Path(__file__).parents[2]
ROW = json.loads(SCHEMA_PATH.read_text())
SURE = compiled(ROW)
VALIDATOR = Draft202012Validator(ROW)
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
LEAVES = st.none() | st.booleans() | st.integers(0, 4) | st.floats(0, 4) | st.sampled_from(["", "a", "ab", "abc", "ca"])
KEYS = st.sampled_from([*TREE["$defs"]["tree"]["properties"], "other", "a"])  # type: ignore[index]
VALUES = st.recursive(LEAVES, lambda each: st.lists(each, max_size=3) | st.dictionaries(KEYS, each, max_size=4))


@given(VALUES)
def test_what_it_is_sure_of_conforms(value: Any) -> None:
    named = value | {"name": "a"} if isinstance(value, dict) else value
    for each in (value, named):
        if compiled(TREE)(each):
            Draft202012Validator(TREE).validate(each)


@pytest.mark.parametrize("seed", range(20))
def test_no_row_is_taken_that_the_schema_refuses(seed: int) -> None:
    chance = random.Random(seed)
    sure = 0
    for _ in range(50):
        document = changed(chance, WHOLE)
        if not isinstance(document, dict) or storable_errors(document):
            continue
        row = as_row(document)
        if SURE(row):
            sure += 1
            VALIDATOR.validate(row)
    assert sure, "some changes leave it a schedule"


def test_it_is_sure_of_schedules() -> None:
    rows = [row for file in (ROOT / "schedules").glob("*.yaml") for row in check_file(str(file)).rows]
    assert len(rows) == 2
    assert all(SURE(row) for row in [*rows, WHOLE])


@pytest.mark.parametrize("more", [{"oneOf": [{}]}, {"format": "date"}, {"properties": {"a": {"not": {}}}}])
def test_it_is_sure_of_nothing_by_a_keyword_that_it_does_not_know(more: dict[str, Any]) -> None:
    assert not compiled(more)({"a": 1})
