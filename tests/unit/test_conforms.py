"""The quick look at a value: what it is sure of conforms to the schema, and it is sure of whole documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.oracles.conforms import ROW, TREE, check_changed_schedules, check_tree
from tests.oracles.documents import WHOLE
from universal_scheduler.cli.documents import check_file
from universal_scheduler.domain.documents.conforms import compiled

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "more",
    [
        *({"name": ""}, {"name": "abc"}, {"name": "c"}, {"name": 1}, {"name": None}),
        *({"size": 0}, {"size": 4}, {"size": True}, {"size": 1.5}, {"kind": "b"}, {"is": "b"}, {"other": 1}),
        *({"below": [{}]}, {"below": [1]}, {"below": [{"name": "a"}] * 3}, {"below": [{"name": "a", "is": 1}]}),
        *({"tags": {"a": "1"}}, {"tags": {"ab": 1}}, {"more": []}, {"more": {}}, {"more": {"a": 1, "b": 2}}),
    ],
)
def test_what_does_not_conform_is_not_taken(more: dict[str, Any]) -> None:
    assert not compiled(TREE)({"name": "a"} | more)


@pytest.mark.parametrize(
    "more",
    [
        *({}, {"size": 3}, {"size": None}, {"kind": "a"}, {"is": "a"}, {"below": [{"name": "b"}]}),
        *({"tags": {"a": 1.5}}, {"tags": "ab"}, {"more": [1]}, {"more": {"a": 1}}, {"more": 1}),
    ],
)
def test_it_is_sure_of_what_conforms(more: dict[str, Any]) -> None:
    assert compiled(TREE)({"name": "a"} | more)
    check_tree({"name": "a"} | more)


def test_no_row_is_taken_that_the_schema_refuses() -> None:
    check_changed_schedules(seed=1, count=20)


def test_it_is_sure_of_schedules() -> None:
    rows = [row for file in (ROOT / "schedules").glob("*.yaml") for row in check_file(str(file)).rows]
    assert len(rows) == 2
    assert all(compiled(ROW)(row) for row in [*rows, WHOLE])


@pytest.mark.parametrize("more", [{"oneOf": [{}]}, {"format": "date"}, {"properties": {"a": {"not": {}}}}])
def test_it_is_sure_of_nothing_by_a_keyword_that_it_does_not_know(more: dict[str, Any]) -> None:
    assert not compiled(more)({"a": 1})
