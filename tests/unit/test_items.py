"""Items of DynamoDB that others wrote: whatever is in them, they are read, and the check says what is wrong."""

from __future__ import annotations

import base64
import zlib
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from universal_scheduler.adapters.dynamodb.items import from_item, to_item
from universal_scheduler.domain.documents.check import find_errors

COMPRESSED = "jobListCompressed"


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'[{"a": 1, "a": 2}]', b"[NaN]", b"[1e400]", b"\xff", b"{", b"9" * 5000]
)
@pytest.mark.parametrize("event", [True, False], ids=["in an event", "in a table"])
def test_a_compressed_list_that_is_no_json_is_refused_by_its_key(text: bytes, event: bool) -> None:
    packed = zlib.compress(text)
    value = base64.b64encode(packed).decode() if event else packed
    row = from_item({"scheduleId": {"S": "s"}, COMPRESSED: {"B": value}})
    assert any(COMPRESSED in str(error) for error in find_errors(row))


class Word(StrEnum):
    WORD = "word"


NUMBERS = st.integers(-(10**38) + 1, 10**38 - 1) | st.floats(-1e15, 1e15).map(lambda value: round(value, 9))
VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


def exact(value: Any) -> Any:
    match value:
        case float():
            return Decimal(str(value))
        case dict():
            return {key: exact(entry) for key, entry in value.items()}
        case list():
            return [exact(entry) for entry in value]
        case _:
            return value


def numbers(attribute: Any) -> Any:
    """An attribute value with its numbers as such: 1e-7 and 0.0000001 are one."""
    [(kind, value)] = attribute.items()
    match kind:
        case "N":
            return Decimal(value)
        case "M":
            return {key: numbers(entry) for key, entry in value.items()}
        case "L":
            return [numbers(entry) for entry in value]
        case _:
            return attribute


@given(VALUES)
def test_values_become_the_attributes_that_boto3_makes_of_them(value: Any) -> None:
    item = to_item({"key": value})
    if value is None:
        assert item == {}
        return
    assert numbers(item["key"]) == numbers(TypeSerializer().serialize(exact(value)))
    assert exact(from_item(item)["key"]) == TypeDeserializer().deserialize(item["key"])


@given(VALUES.filter(lambda value: value is not None))
def test_what_is_written_is_read_again(value: Any) -> None:
    assert from_item(to_item({"key": value})) == {"key": value}


def test_values_that_are_no_plain_ones() -> None:
    values = {"word": Word.WORD, "pair": ("a", 1.5), "map": MappingProxyType({"a": None}), "large": 10**40}
    item = to_item(values | {"small": 1e-7, "truth": True, "words": {"b", "a"}})
    assert item["word"] == {"S": "word"}
    assert item["pair"] == {"L": [{"S": "a"}, {"N": "1.5"}]}
    assert item["map"] == {"M": {"a": {"NULL": True}}}
    read = from_item(item)
    assert read["large"] == 10**40
    assert read["small"] == 1e-7
    assert read["truth"] is True
    assert read["words"] == ["a", "b"]
    for value in (float("nan"), float("inf")):
        with pytest.raises(TypeError):
            to_item({"value": value})


def test_attributes_that_others_write() -> None:
    item = {
        "whole": {"N": "3.00"},
        "large": {"N": "1E+3"},
        "numbers": {"NS": ["3", "1.5"]},
        "bytes": {"L": [{"B": b"a"}, {"BS": [b"b", b"c"]}]},
        "nothing": {"M": {"inside": {"NULL": True}}},
    }
    read = from_item(item)
    assert read == {
        "whole": 3,
        "large": 1000,
        "numbers": [1.5, 3],
        "bytes": [{"B": "YQ=="}, [{"B": "Yg=="}, {"B": "Yw=="}]],
        "nothing": {"inside": None},
    }
    assert type(read["whole"]) is int
    assert type(read["large"]) is int
