"""Values that JSON cannot say or a table cannot hold are found wherever they are, and nothing is raised."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from universal_scheduler.adapters.dynamodb.items import from_item, to_item
from universal_scheduler.domain.documents import storable
from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.parameters import effective_parameters
from universal_scheduler.domain.documents.parse import as_row, parse
from universal_scheduler.domain.documents.storable import MAX_DEPTH, MAX_ERRORS, plain, storable_errors
from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.errors import InvalidParameters, InvalidSchedule

JOB = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}
NEARLY_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**16), 10**16) | st.text("a é\n\t\0", max_size=4),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "description", "containerOverrides", "b\n", ""]), each, max_size=3)
    ),
)
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**37, max_value=10**130)
    | st.floats()
    | st.decimals()
    | st.text()
    | st.characters(categories=["Cs", "Cc", "Zl"])
    | st.binary(max_size=3)
    | st.dates(),
    lambda inside: (
        st.lists(inside, max_size=4)
        | st.dictionaries(st.text() | st.characters(categories=["Cs", "Cc"]) | st.integers(), inside, max_size=4)
    ),
    max_leaves=15,
)


def nested(levels: int, wrap: Any = lambda value: [value]) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = wrap(value)
    return value


@given(ODD)
@example(Decimal("18014398509482006.5"))
def test_whatever_it_is_it_is_held_by_a_table_or_told_with_what_can_be_printed(value: Any) -> None:
    errors = storable_errors({"parameters": {"value": value}})
    if errors:
        for error in errors:
            assert str(error).isprintable()
            assert len(error.found) < 250
            assert error.path.startswith("$.parameters.value")
    else:
        row = plain({"parameters": {"value": value}})
        assert from_item(to_item(row)) == row


@given(NEARLY_PLAIN)
def test_the_quick_look_finds_right_only_what_the_closer_one_does(value: Any) -> None:
    found = storable_errors(value)
    with patch.object(storable, "_surely_storable", return_value=False):
        assert found == storable_errors(value)


@pytest.mark.parametrize(
    "number",
    [
        *(float("nan"), float("inf"), 1e-200, 1e126),
        *(10**126, 10**5000, -(10**5000), 1234567890123456789012345678901234567890123),
        *(Decimal("1E-131"), Decimal("1E+999999"), Decimal("NaN"), Decimal("0." + "1" * 39)),
    ],
    ids=shown,
)
def test_a_number_that_dynamodb_refuses_is_told(number: Any) -> None:
    [error] = storable_errors({"x": number})
    assert (error.path, "DynamoDB" in error.expected) == ("$.x", True)


@pytest.mark.parametrize(
    "number", [0, -0.0, 1e100, 1e-130, 9.99e125, 10**125, 12345678901234567890123456789012345678, 0.1, -7, 1e22]
)
def test_a_number_that_dynamodb_holds_comes_back_as_it_was(number: float) -> None:
    assert not storable_errors(number)
    stored = from_item(to_item({"x": plain(number)}))["x"]
    assert stored == plain(number) == pytest.approx(number)
    assert type(stored) is type(plain(number))


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        ({"description": "\ud83d"}, "$.description", "half a character, \\ud83d"),
        ({"a": {"\ud83d": 1}}, "$.a", 'the key "\\ud83d" with half a character, \\ud83d'),
        ({"parameters": {"x": "a\0b"}}, "$.parameters.x", "a NUL character, \\u0000"),
        ({"category": "a\x1b[31m"}, "$.category", "the control character \\u001b at character 2"),
        ({"scheduleId": "load\n"}, "$.scheduleId", "a line break at character 5"),
        ({"": 1}, "$", "a key without a character"),
        ({1: 1}, "$", "the key 1, which is no text"),
        ({"k" * 70_000: 1}, "$", "a key of 70,000 bytes"),
        ({"x": date(2026, 1, 1)}, "$.x", "a Python date"),
        ({"x": b"1"}, "$.x", "a Python bytes"),
        (nested(MAX_DEPTH + 1), "$" + "[0]" * MAX_DEPTH, "more than 32 levels"),
    ],
)
def test_what_no_table_holds_has_its_path_and_what_it_is(value: Any, path: str, found: str) -> None:
    [error] = storable_errors(value)
    assert (error.path, error.found) == (path, found)


def test_texts_for_jobs_and_descriptions_may_have_several_lines() -> None:
    overrides = {"command": ["sh", "-c", "a\nb\t\x1b[0m"], "environment": [{"name": "A", "value": "1\n2"}]}
    document = {"description": "a\nb", "parameters": {"p": "x\ny"}, "jobList": [{"containerOverrides": overrides}]}
    assert not storable_errors(document)


def test_depth_is_bounded_and_nothing_goes_down_by_recursion() -> None:
    assert not storable_errors(nested(MAX_DEPTH))
    for wrap in (lambda value: [value], lambda value: {"k": value}):
        deep = nested(50_000, wrap)
        assert len(storable_errors(deep)) == 1
        assert len(shown(deep)) <= 60
        assert plain(deep)
        assert "more than 32 levels" in str(find_errors({"scheduleId": "s", "jobList": [JOB], "description": deep})[0])


def test_a_value_inside_of_itself_ends() -> None:
    endless: list[Any] = []
    endless += [endless, endless]
    assert len(storable_errors(endless)) == MAX_ERRORS


@pytest.mark.parametrize(
    "change",
    [
        {"arrayProperties": {"size": 3.0}},
        {"retryStrategy": {"attempts": 2.0}},
        {"priority": 7.0},
        {"timeout": {"attemptDurationSeconds": 60.0}},
        {"maxQueueTime": 90.0},
        {"retryStrategy": {"attempts": Decimal(2)}},
    ],
)
def test_a_whole_number_is_an_integer_however_it_is_written(change: dict[str, Any]) -> None:
    with_floats = parse({"scheduleId": "s", "jobList": [{**JOB, **change}], "wait_time": 5.0})
    with_integers = parse(from_item(to_item({"scheduleId": "s", "jobList": [{**JOB, **change}], "wait_time": 5})))
    assert with_floats == with_integers
    assert "0" not in str(with_floats.document["jobList"][0]).replace("60", "").replace("90", "")


@pytest.mark.parametrize("key", ["arrayProperties", "retryStrategy", "priority", "timeout", "maxQueueTime"])
def test_true_is_no_number(key: str) -> None:
    inner = {"arrayProperties": {"size": True}, "retryStrategy": {"attempts": True}}
    inner["timeout"] = {"attemptDurationSeconds": True}
    assert find_errors(as_row({"scheduleId": "s", "jobList": [{**JOB, key: inner.get(key, True)}]}))


@pytest.mark.parametrize("document", [None, 1, "text", [], [JOB], True])
def test_a_document_that_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(InvalidSchedule, match="expected an object"):
        parse(document)


@pytest.mark.parametrize(
    "given",
    [{"x": "\ud83d"}, {"x": float("nan")}, {"x": 10**99 + 1}, {"x": nested(3000)}, {1: 2}, {"\ud83d": 1}, [], None],
)
def test_a_run_is_given_no_parameter_that_no_table_holds(given: Any) -> None:
    with pytest.raises(InvalidParameters) as refused:
        effective_parameters({"x": 1}, given)
    assert str(refused.value).isprintable()
