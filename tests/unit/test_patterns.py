"""Event patterns: what matches, and what is wrong with one. The cases are those of EventBridge's documentation."""

from __future__ import annotations

from typing import Any

import pytest

from universal_scheduler.domain.events.patterns import OPERATORS, matches, pattern_errors

EVENT: dict[str, Any] = {
    "id": "1",
    "source": "my.shop",
    "detail-type": "Order",
    "resources": ["arn:a", "arn:b"],
    "detail": {"state": "paid", "total": 120.5, "ok": True, "none": None, "lines": [1, 2], "at": {"ip": "10.0.0.7"}},
}


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ({"source": ["my.shop"]}, True),
        ({"source": ["other", "my.shop"]}, True),
        ({"source": ["my"]}, False),
        ({"source": ["my.shop"], "detail-type": ["Return"]}, False),
        ({"resources": ["arn:b"]}, True),
        ({"detail": {"state": ["paid"], "at": {"ip": ["10.0.0.7"]}}}, True),
        ({"detail": {"state": {"deep": ["x"]}}}, False),
        ({"detail": {"total": [120.5]}}, True),
        ({"detail": {"lines": [2]}}, True),
        ({"detail": {"ok": [True]}}, True),
        ({"detail": {"ok": [1]}}, False),
        ({"detail": {"lines": [True]}}, False),
        ({"detail": {"none": [None]}}, True),
        ({"detail": {"absent": [None]}}, False),
        ({"source": [{"prefix": "my."}]}, True),
        ({"source": [{"prefix": {"equals-ignore-case": "MY."}}]}, True),
        ({"source": [{"suffix": ".shop"}]}, True),
        ({"source": [{"suffix": "x"}]}, False),
        ({"source": [{"equals-ignore-case": "MY.SHOP"}]}, True),
        ({"source": [{"anything-but": "my.shop"}]}, False),
        ({"source": [{"anything-but": ["a", "b"]}]}, True),
        ({"source": [{"anything-but": {"prefix": "my"}}]}, False),
        ({"source": [{"anything-but": {"suffix": ["x", "shop"]}}]}, False),
        ({"source": [{"anything-but": {"wildcard": "*z"}}]}, True),
        ({"detail": {"total": [{"anything-but": 5}]}}, True),
        ({"detail": {"total": [{"numeric": [">", 100]}]}}, True),
        ({"detail": {"total": [{"numeric": [">", 100, "<=", 120.5]}]}}, True),
        ({"detail": {"total": [{"numeric": ["<", 100]}]}}, False),
        ({"detail": {"total": [{"numeric": ["=", 120.5]}]}}, True),
        ({"detail": {"ok": [{"numeric": ["=", 1]}]}}, False),
        ({"detail": {"state": [{"numeric": [">=", 1]}]}}, False),
        ({"detail": {"absent": [{"exists": False}]}}, True),
        ({"detail": {"state": [{"exists": False}]}}, False),
        ({"detail": {"none": [{"exists": True}]}}, True),
        ({"source": [{"wildcard": "m*.sh*p"}]}, True),
        ({"source": [{"wildcard": "m*.sh\\*p"}]}, False),
        ({"source": [{"wildcard": "my+shop"}]}, False),
        ({"detail": {"at": {"ip": [{"cidr": "10.0.0.0/24"}]}}}, True),
        ({"detail": {"at": {"ip": [{"cidr": "10.0.1.0/24"}]}}}, False),
        ({"detail": {"total": [{"cidr": "10.0.1.0/24"}]}}, False),
        ({"$or": [{"source": ["x"]}, {"detail": {"ok": [True]}}]}, True),
        ({"$or": [{"source": ["x"]}, {"source": ["y"]}]}, False),
        ({"detail": {"total": [{"prefix": "12"}]}}, False),
        ({"absent": {"below": ["x"]}}, False),
    ],
)
def test_a_pattern_matches(pattern: dict[str, Any], wanted: bool) -> None:
    assert matches(pattern, EVENT) is wanted


SOURCE = {"source": ["my.shop"]}


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ([], "$.event"),
        ({}, "$.event"),
        ({"detail": {"a": ["b"]}}, "$.event.source"),
        ({"source": "my.shop"}, "$.event.source"),
        ({"source": [{"prefix": "my"}]}, "$.event.source"),
        ({"source": ["aws.glue"]}, "$.event.source[0]"),
        ({**SOURCE, "details": {"a": ["b"]}}, "$.event.details"),
        ({**SOURCE, "detail": {}}, "$.event.detail"),
        ({**SOURCE, "detail": {"a": []}}, "$.event.detail.a"),
        ({**SOURCE, "detail": {"a": "b"}}, "$.event.detail.a"),
        ({**SOURCE, "detail": {"a": [["b"]]}}, "$.event.detail.a[0]"),
        ({**SOURCE, "detail": {"a": [{}]}}, "$.event.detail.a[0]"),
        ({**SOURCE, "detail": {"a": [{"starts": "b"}]}}, "$.event.detail.a[0]"),
        ({**SOURCE, "detail": {"a": [{"prefix": 7}]}}, "$.event.detail.a[0].prefix"),
        ({**SOURCE, "detail": {"a": [{"numeric": [">"]}]}}, "$.event.detail.a[0].numeric"),
        ({**SOURCE, "detail": {"a": [{"numeric": [">", "x"]}]}}, "$.event.detail.a[0].numeric"),
        ({**SOURCE, "detail": {"a": [{"cidr": "10.0.0.0/99"}]}}, "$.event.detail.a[0].cidr"),
        ({**SOURCE, "detail": {"a": [{"wildcard": "a**"}]}}, "$.event.detail.a[0].wildcard"),
        ({**SOURCE, "detail": {"a": [{"exists": "yes"}]}}, "$.event.detail.a[0].exists"),
        ({**SOURCE, "detail": {"a": [{"anything-but": []}]}}, "$.event.detail.a[0].anything-but"),
        ({**SOURCE, "detail": {"a": [{"anything-but": {"cidr": "x"}}]}}, "$.event.detail.a[0].anything-but"),
        ({**SOURCE, "$or": [{"source": ["x"]}]}, "$.event.$or"),
        ({**SOURCE, "$or": [{"detail": {"a": []}}, {"detail": {"a": ["b"]}}]}, "$.event.$or[0].detail.a"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(pattern: Any, path: str) -> None:
    assert path in [error.path for error in pattern_errors("$.event", pattern)]


def test_a_deep_pattern_ends() -> None:
    deep: dict[str, Any] = {"a": ["x"]}
    for _ in range(5000):
        deep = {"a": deep}
    [error] = pattern_errors("$.event", {**SOURCE, "detail": deep})
    assert "at most 20 levels" in error.expected


def test_a_right_pattern_has_no_errors() -> None:
    rules = [{"prefix": "a"}, {"exists": True}, {"anything-but": ["a", 1]}, {"numeric": [">", 1, "<", 2]}, None, 7, "x"]
    assert not list(pattern_errors("$.event", {**SOURCE, "detail": {"a": rules, "b": {"c": [True]}}}))
    assert len(OPERATORS) == 8
