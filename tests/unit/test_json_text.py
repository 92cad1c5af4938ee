"""JSON is read strictly: one text, one value; everything else has its line, its column and its path."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from universal_scheduler.domain.documents.json_text import json_positions, read_json
from universal_scheduler.domain.documents.text import READ_DEPTH
from universal_scheduler.domain.errors import DocumentError, NotJson, UnreadableDocument

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside, max_size=5) | st.dictionaries(st.text(), inside, max_size=5),
    max_leaves=20,
)


def errors_of(content: str | bytes) -> tuple[DocumentError, ...]:
    with pytest.raises(UnreadableDocument) as refused:
        read_json(content)
    return refused.value.errors


def place(error: DocumentError) -> tuple[int, int, str]:
    return error.line, error.column, error.path


@given(VALUES, st.sampled_from([None, 2]), st.booleans())
def test_what_is_written_is_read_from_text_and_from_bytes(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert read_json(text) == value
    if ascii_only:
        assert read_json(text.encode()) == value


@given(st.text(alphabet='{}[]",:\\ \n0123456789eE+-.tfnaulrse\u00e9\ud83d', max_size=40))
def test_a_text_is_a_value_or_is_refused_with_its_place(text: str) -> None:
    """By Python's own reader with hooks for what it takes and we do not."""
    try:
        expected = json.loads(text, object_pairs_hook=only_once, parse_constant=no_constant, parse_float=finite)
    except ValueError:
        assert all(error.line >= 1 and error.column >= 1 for error in errors_of(text))
    else:
        assert read_json(text) == expected


def no_constant(word: str) -> None:
    raise ValueError(word)


def only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("twice")
    return dict(pairs)


def finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")) or (not number and text.lower().split("e")[0].strip("-0.")):
        raise ValueError(text)
    return number


def test_a_key_twice_is_refused_wherever_it_is_with_both_places() -> None:
    text = '{"a": 1,\n "b": [1, {"c": 1,\n   "d": 2, "c": 3}],\n "a": 4}\n'
    inner, outer = errors_of(text)
    assert place(inner) == (3, 12, "$.b[1].c")
    assert inner.found == "the key 'c' again (it is in line 2 already)"
    assert place(outer) == (4, 2, "$.a")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"x":NaN}', "NaN"),
        ('{"x":-Infinity}', "-Infinity"),
        ('{"x":1e400}', "1e400"),
        ('{"x":-1e-400}', "-1e-400"),
        ('{"x":%s}' % ("1" * 5000), "a number of 5,000 digits"),
        ('{"x":0.%s}' % ("1" * 5000), "a number of 5,002 characters"),
    ],
)
def test_a_number_that_no_table_holds_is_refused_and_the_text_is_json(text: str, found: str) -> None:
    [error] = errors_of(text)
    assert (place(error), error.found) == ((1, 6, "$.x"), found)
    with pytest.raises(UnreadableDocument) as refused:
        read_json(text)
    assert not isinstance(refused.value, NotJson)


@pytest.mark.parametrize("text", ["[" * 3000, '{"a":' * 3000, "[" * 100_000 + "]" * 100_000, '[{"":' * 50_000])
def test_nesting_without_end_is_refused(text: str) -> None:
    [error] = errors_of(text)
    assert error.found == "more than 32 levels"


def test_brackets_in_texts_are_no_levels() -> None:
    assert read_json(json.dumps(["[{" * 1000, '"[' * 1000])) == ["[{" * 1000, '"[' * 1000]
    assert read_json("[" * READ_DEPTH + "]" * READ_DEPTH)
    assert errors_of("[" * (READ_DEPTH + 1) + "]" * (READ_DEPTH + 1))


@pytest.mark.parametrize(
    ("content", "line", "column", "found"),
    [
        (b'{"a":\n "\xff"}', 2, 3, "the byte 0xff, which is no UTF-8"),
        ('{"a": 1}'.encode("utf-16"), 1, 1, "text in UTF-16"),
        ('{"a": "x\ny"}', 1, 9, "a line break or another control character in a text"),
        ('{"a": "\\q"}', 1, 8, "an escape that JSON does not have"),
        ('{"a" 1}', 1, 6, "1"),
        ('{"a":1,}', 1, 8, "}"),
        ("[1,\r\n]", 2, 1, "]"),
        ("{'a': 1}", 1, 2, "'a'"),
        ("  ", 1, 3, "the end of the text"),
        ('{"a":1} x', 1, 9, "x"),
        ('{"a":"b', 1, 6, "a text without its closing quote"),
        ('{"a":01}', 1, 6, "01"),
        ('{"a": 1}\x00', 1, 9, "\\u0000"),
    ],
)
def test_what_is_no_json_is_told_with_line_and_column(content: str | bytes, line: int, column: int, found: str) -> None:
    [error] = errors_of(content)
    assert (error.line, error.column, error.found) == (line, column, found)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert read_json('\ufeff{"a": 1}') == read_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_every_value_has_a_position_and_an_entry_that_of_its_key() -> None:
    positions = json_positions('{"a": 1,\n  "b c": [true, {"d": null}]}')
    assert positions == {
        "$": (1, 1),
        "$.a": (1, 2),
        "$['b c']": (2, 3),
        "$['b c'][0]": (2, 11),
        "$['b c'][1]": (2, 17),
        "$['b c'][1].d": (2, 18),
    }
