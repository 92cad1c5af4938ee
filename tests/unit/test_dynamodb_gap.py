"""What makes the embedded engine's DynamoDB quick changes none of its answers."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from universal_scheduler.local.gaps.dynamodb import copied

ITEM = {
    "runId": {"S": "nightly#2026"},
    "jobDependencies": {"L": [{"S": "a"}, {"M": {"job": {"S": "b"}, "exitCode": {"L": [{"N": "3"}]}}}]},
    "done": {"BOOL": True},
    "none": {"NULL": True},
    "packed": {"B": "aGVsbG8="},
    "names": {"SS": ["a", "b"]},
    "empty": {"M": {}},
}


def test_a_copy_shares_nothing_that_can_change() -> None:
    made = copied(ITEM)
    assert made == ITEM
    assert {id(each) for each in _containers(made)}.isdisjoint(id(each) for each in _containers(ITEM))


def test_other_containers_are_copied_too() -> None:
    value = {"items": defaultdict(dict, {"a": {"b": [1]}})}
    made = copied(value)
    made["items"]["a"]["b"].append(2)
    assert value["items"] == {"a": {"b": [1]}}
    assert made["items"].default_factory is dict


def _containers(value: Any) -> list[Any]:
    """The value and what is in it, without what nothing can change."""
    match value:
        case dict():
            return [value, *(inner for each in value.values() for inner in _containers(each))]
        case list():
            return [value, *(inner for each in value for inner in _containers(each))]
        case _:
            return []
