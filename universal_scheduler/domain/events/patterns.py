"""Event patterns as EventBridge has them: what is wrong with one, and whether an event matches it. It is pure.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from universal_scheduler.domain.errors import DocumentError

ENVELOPE = ("id", "account", "source", "time", "region", "resources", "detail-type", "detail")
"""https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html"""
DEPTH_LIMIT = 20
WILDCARD_LIMIT = 10
OWN_SOURCE = "aws."
"""Begins the sources of AWS services, which no application may use."""


def pattern_errors(path: str, pattern: Any) -> Iterator[DocumentError]:
    """What is wrong with the `event` of a trigger at this path."""
    if not isinstance(pattern, Mapping) or not pattern:
        yield DocumentError(path, "no event pattern", 'an event pattern: {"source": ["my.shop"], "detail-type": [...]}')
        return
    for key in pattern:
        if key not in ENVELOPE and key != "$or":
            yield DocumentError(f"{path}.{key}", f"'{key}', which no event has", f"one of {', '.join(ENVELOPE)}")
    sources = pattern.get("source")
    if not isinstance(sources, Sequence) or isinstance(sources, str) or not all(isinstance(it, str) for it in sources):
        yield DocumentError(f"{path}.source", "no list of names", "the exact names of the sources, as a list")
    else:
        for position, source in enumerate(sources):
            if source.startswith(OWN_SOURCE):
                where = f"{path}.source[{position}]"
                yield DocumentError(
                    where, f"the AWS service '{source}'", "a source of your own; s3 is a trigger itself"
                )
    yield from _node_errors(path, pattern, 0)


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether an event matches a pattern without errors. Keys that the pattern does not name may have any value."""
    for key, wanted in pattern.items():
        if key == "$or":
            if not any(matches(each, event) for each in wanted):
                return False
        elif isinstance(wanted, Mapping):
            below = event.get(key)
            if not isinstance(below, Mapping) or not matches(wanted, below):
                return False
        elif not _value_matches(wanted, key in event, event.get(key)):
            return False
    return True


def _value_matches(wanted: Sequence[Any], present: bool, value: Any) -> bool:
    """An array matches if one of its elements does."""
    values = value if isinstance(value, list) else [value]
    for rule in wanted:
        if isinstance(rule, Mapping) and "exists" in rule:
            if rule["exists"] is present:
                return True
        elif present and any(_matches(rule, each) for each in values):
            return True
    return False


def _matches(rule: Any, value: Any) -> bool:
    if not isinstance(rule, Mapping):
        return _equal(rule, value)
    [(operator, operand)] = rule.items()
    return OPERATORS[operator][1](operand, value)


def _equal(one: Any, other: Any) -> bool:
    """JSON's equality: true is not 1, and 1.0 is 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _affix(operand: Any, value: Any, at_start: bool) -> bool:
    if isinstance(operand, Mapping):
        return isinstance(value, str) and _affix(operand["equals-ignore-case"].casefold(), value.casefold(), at_start)
    if not isinstance(value, str):
        return False
    return value.startswith(operand) if at_start else value.endswith(operand)


def _anything_but(operand: Any, value: Any) -> bool:
    if isinstance(operand, Mapping):
        [(operator, words)] = operand.items()
        return not any(OPERATORS[operator][1](word, value) for word in (words if isinstance(words, list) else [words]))
    return not any(_equal(word, value) for word in (operand if isinstance(operand, list) else [operand]))


def _numeric(operand: Sequence[Any], value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    tests: dict[str, Callable[[float], bool]] = {
        "=": lambda bound: value == bound,
        "<": lambda bound: value < bound,
        "<=": lambda bound: value <= bound,
        ">": lambda bound: value > bound,
        ">=": lambda bound: value >= bound,
    }
    return all(tests[sign](bound) for sign, bound in zip(operand[::2], operand[1::2], strict=True))


def _wildcard(operand: str, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    parts = re.split(r"(?<!\\)\*", operand)
    literal = [re.escape(part.replace("\\*", "*").replace("\\\\", "\\")) for part in parts]
    return re.fullmatch(".*".join(literal), value, re.DOTALL) is not None


def _cidr(operand: str, value: Any) -> bool:
    try:
        return ip_address(value) in ip_network(operand, strict=False)
    except (ValueError, TypeError):
        return False


def _is_text(operand: Any) -> bool:
    return isinstance(operand, str) and operand != ""


def _is_affix(operand: Any) -> bool:
    ignoring = isinstance(operand, Mapping) and list(operand) == ["equals-ignore-case"]
    return _is_text(operand["equals-ignore-case"]) if ignoring else _is_text(operand)


def _is_numeric(operand: Any) -> bool:
    if not isinstance(operand, list) or len(operand) not in (2, 4):
        return False
    signs, bounds = operand[::2], operand[1::2]
    return all(sign in ("=", "<", "<=", ">", ">=") for sign in signs) and all(
        isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds
    )


def _is_anything_but(operand: Any) -> bool:
    if isinstance(operand, Mapping):
        known = len(operand) == 1 and next(iter(operand)) in ("prefix", "suffix", "equals-ignore-case", "wildcard")
        words = next(iter(operand.values())) if known else []
        words = words if isinstance(words, list) else [words]
        return known and bool(words) and all(_is_text(word) for word in words)
    words = operand if isinstance(operand, list) else [operand]
    return bool(words) and all(isinstance(word, str | int | float) for word in words)


def _is_wildcard(operand: Any) -> bool:
    return _is_text(operand) and "**" not in operand and operand.count("*") <= WILDCARD_LIMIT


def _is_cidr(operand: Any) -> bool:
    try:
        return isinstance(operand, str) and "/" in operand and ip_network(operand, strict=False) is not None
    except ValueError:
        return False


OPERATORS: Mapping[str, tuple[Callable[[Any], bool], Callable[[Any, Any], bool]]] = {
    "prefix": (_is_affix, lambda operand, value: _affix(operand, value, True)),
    "suffix": (_is_affix, lambda operand, value: _affix(operand, value, False)),
    "equals-ignore-case": (
        _is_text,
        lambda operand, value: isinstance(value, str) and value.casefold() == operand.casefold(),
    ),
    "anything-but": (_is_anything_but, _anything_but),
    "numeric": (_is_numeric, _numeric),
    "wildcard": (_is_wildcard, _wildcard),
    "cidr": (_is_cidr, _cidr),
    "exists": (lambda operand: isinstance(operand, bool), lambda operand, _value: bool(operand)),
}
"""Each operator: whether an operand is one for it, and whether a value matches."""


def _node_errors(path: str, node: Mapping[str, Any], depth: int) -> Iterator[DocumentError]:
    if depth > DEPTH_LIMIT:
        yield DocumentError(path, "objects in objects in objects", f"at most {DEPTH_LIMIT} levels")
        return
    for key, wanted in node.items():
        where = f"{path}.{key}"
        if key == "$or":
            if not isinstance(wanted, list) or len(wanted) < 2 or not all(isinstance(it, Mapping) for it in wanted):
                yield DocumentError(where, "no list of patterns", "a list of two or more patterns")
                continue
            for position, each in enumerate(wanted):
                yield from _node_errors(f"{where}[{position}]", each, depth + 1)
        elif isinstance(wanted, Mapping):
            if not wanted:
                yield DocumentError(where, "an empty object", "a list of values, or an object with keys of the event")
            yield from _node_errors(where, wanted, depth + 1)
        elif not isinstance(wanted, list) or not wanted:
            yield DocumentError(where, "no list", 'a list of values: ["a", "b"]')
        else:
            yield from _rule_errors(where, wanted)


def _rule_errors(path: str, rules: Sequence[Any]) -> Iterator[DocumentError]:
    for position, rule in enumerate(rules):
        where = f"{path}[{position}]"
        if isinstance(rule, Mapping):
            operator = next(iter(rule), "")
            if len(rule) != 1 or operator not in OPERATORS:
                yield DocumentError(where, f"the operator '{operator}'", f"one of {', '.join(OPERATORS)}")
            elif not OPERATORS[operator][0](rule[operator]):
                yield DocumentError(f"{where}.{operator}", "a value that it does not take", f"a value for {operator}")
        elif isinstance(rule, list):
            yield DocumentError(where, "a list in a list", "a text, a number, true, false, null, or an operator")
