"""YAML is read by the core schema of YAML 1.2, as it was written; what means two things is refused with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from universal_scheduler.cli.yaml_text import read_yaml, yaml_positions
from universal_scheduler.domain.documents.text import READ_DEPTH
from universal_scheduler.domain.errors import DocumentError, UnreadableDocument


@pytest.fixture(params=["C", "Python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "Python":
        monkeypatch.delattr(yaml, "CSafeLoader")
    return str(request.param)


def errors_of(content: str | bytes) -> tuple[DocumentError, ...]:
    with pytest.raises(UnreadableDocument) as refused:
        read_yaml(content)
    return refused.value.errors


def only(text: str) -> Any:
    [value] = read_yaml(text)
    return value


# The table of https://yaml.org/spec/1.2.2/#1032-tag-resolution, and what YAML 1.1 would make of the rest.
@pytest.mark.parametrize(
    ("written", "value"),
    [
        *((word, None) for word in ("null", "Null", "NULL", "~")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, word) for word in ("on", "off", "yes", "no", "y", "N", "On", "nUll", "tRUE")),
        *(("0", 0), ("-19", -19), ("+7", 7), ("010", 10), ("0123", 123), ("009", 9), ("0o17", 15), ("0x1F", 31)),
        *((word, word) for word in ("1_000", "0b11", "-0o7", "0x", "1:30", "12:00", "16:30", "190:20:30")),
        *(("1.10", 1.1), ("12e03", 12000.0), ("-2E+05", -200000.0), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0)),
        *((word, word) for word in ("1.2.3", ".", "-x", "+", "1e", "e3", "-.", "..5")),
        *((word, word) for word in ("2026-01-06", "2026-01-06T04:00:00Z", "2026-01-06 04:00:00", "=", "<<")),
    ],
)
@pytest.mark.usefixtures("parser")
def test_plain_words_mean_what_the_core_schema_says(written: str, value: object) -> None:
    read = only(f"- {written}\n- '{written}'\n- \"{written}\"\n- !!str {written}\n- ! {written}\n")
    assert read == [value, *[written] * 4]
    assert type(read[0]) is type(value)


def test_the_tags_of_the_core_schema_say_the_kind() -> None:
    assert only('[!!int "12", !!float 1, !!bool true, !!null "", !!seq [1], !!map {a: 1}]') == [
        12,
        1,
        True,
        None,
        [1],
        {"a": 1},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "!!binary aGk=",
        "!!set {a, b}",
        "!!python/object/apply:os.system [ls]",
        "!!timestamp 2026-01-01",
        "!local x",
        "!!omap []",
    ],
)
@pytest.mark.usefixtures("parser")
def test_other_tags_are_refused(text: str) -> None:
    [error] = errors_of(f"a: {text}")
    assert (error.path, error.line, error.column) == ("$.a", 1, 4)
    assert error.found.startswith("the tag ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside, max_size=5) | st.dictionaries(st.text(), inside, max_size=5),
    max_leaves=20,
)


@given(JSON, st.booleans())
def test_what_yaml_writers_write_is_read(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, default_style='"', sort_keys=False)
    expected = [] if value is None else [value]
    assert json.dumps(read_yaml(text)) == json.dumps(expected)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@,?~ \t\n0123\u00e9\ud83d\u2028\x00", max_size=40))
def test_a_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        read_yaml(text)
    except UnreadableDocument:
        assert all(error.line >= 1 and error.column >= 1 for error in errors_of(text))


@pytest.mark.usefixtures("parser")
def test_a_key_twice_is_refused_wherever_it_is_with_both_places() -> None:
    text = "a: 1\nb:\n  - {c: 1,\n     d: 2, c: 3}\na: 4\n'b': 5\n"
    assert [(error.path, error.line, error.column) for error in errors_of(text)] == [
        ("$.b[0].c", 4, 12),
        ("$.a", 5, 1),
        ("$.b", 6, 1),
    ]
    assert errors_of(text)[0].found == "the key 'c' again (it is in line 3 already)"


@pytest.mark.parametrize("key", ["1", "true", "null", "~", "1.5", "0x1F"])
def test_a_key_that_is_no_text_is_refused(key: str) -> None:
    [error] = errors_of(f"a:\n  {key}: x")
    assert (error.path, error.line, error.column) == ("$.a", 2, 3)
    assert only(f"a:\n  '{key}': x") == {"a": {key: "x"}}


@pytest.mark.parametrize("text", ["? [a]\n: b", "{[a]: b}", "? {a: b}\n: c", "[[a]: b]"])
def test_a_list_as_a_key_is_refused(text: str) -> None:
    assert errors_of(text)[0].found == "a list or an object as a key"


@pytest.mark.parametrize("text", ["[" * 3000, "{a: " * 3000, "- " * 3000, "[" * 100_000 + "]" * 100_000])
@pytest.mark.usefixtures("parser")
def test_nesting_without_end_is_refused(text: str) -> None:
    [error] = errors_of(text)
    assert error.found == "more than 32 levels"


def test_aliases_and_merges_are_read() -> None:
    text = "a: &a {x: 1, y: 1}\nb: {<<: *a, y: 2}\nc: {<<: [{x: 3}, *a], z: *a}\n'<<': 1\n"
    x = {"x": 1, "y": 1}
    assert only(text) == {"a": x, "b": {"x": 1, "y": 2}, "c": {"x": 3, "y": 1, "z": x}, "<<": 1}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: &a [*a]", "the alias *a inside of what it stands for"),
        ("a: *b", "the alias *b"),
        ("a: &x 1\n---\na: *x", "the alias *x"),
        ("a: {<<: 1}", "a number behind <<"),
        ("a: {<<: {b: 1}, <<: {c: 1}}", "the key '<<' again (it is in line 1 already)"),
    ],
)
@pytest.mark.usefixtures("parser")
def test_an_alias_that_stands_for_nothing_is_refused(text: str, found: str) -> None:
    assert errors_of(text)[0].found == found


@pytest.mark.parametrize("what", ["[x, x, x, x, x, x, x, x, x]", "x" * 100_000])
def test_a_billion_laughs_are_refused(what: str) -> None:
    lines = [f"a0: &a0 {what}"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    [error] = errors_of("\n".join(lines))
    assert error.found == "more than 33,554,432 bytes with its aliases written out"


def test_depth_by_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 3000)]
    [error] = errors_of("\n".join(lines))
    assert (error.found, error.line) == ("more than 32 levels", READ_DEPTH)


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("a:\n  b: c: d", 2, 7, "mapping values are not allowed"),
        ("a:\n\t- b", 2, 1, "it is a tab"),
        ('a: "\\ud83d"', 1, 7, "invalid"),
        ("a: \ud83d", 1, 4, '"\\ud83d"'),
        ("a: b\nc: \x07", 2, 4, '"\\u0007"'),
        ("a: \u2028", 1, 4, '"\\u2028"'),
        ("a: .nan", 1, 4, ".nan"),
        ("a: -.INF", 1, 4, "-.INF"),
        ("a: 1e400", 1, 4, "1e400"),
        ("a: " + "1" * 5000, 1, 4, "a number of 5,000 digits"),
        (b"a: \xff", 1, 4, "0xff"),  # type: ignore[list-item]
        ("@a", 1, 1, "cannot start any token"),
    ],
)
def test_what_is_no_yaml_is_told_with_line_and_column(text: str, line: int, column: int, problem: str) -> None:
    [error] = errors_of(text)
    assert (error.line, error.column) == (line, column)
    assert problem in error.problem


def test_documents_that_say_nothing_are_none() -> None:
    assert read_yaml("") == read_yaml("# nothing\n---\n---\n") == read_yaml("\ufeff") == []
    assert read_yaml("--- a\n---\n--- b\n...\n") == ["a", "b"]


def test_every_value_has_a_position_and_an_entry_that_of_its_key() -> None:
    [first, second] = yaml_positions("a: 1\nb c:\n  - x\n  - {d: null}\n---\n- y\n")
    assert second == {"$": (6, 1), "$[0]": (6, 3)}
    assert first == {
        "$": (1, 1),
        "$.a": (1, 1),
        "$['b c']": (2, 1),
        "$['b c'][0]": (3, 5),
        "$['b c'][1]": (4, 5),
        "$['b c'][1].d": (4, 6),
    }
