"""Gap: DynamoDB is slow. It copies every item with copy.deepcopy, and reads the same expressions and numbers again for
every item. It weighs every write in every index, though nobody asked for it, and keeps the whole text of every
transaction for ten minutes.

Items are made of dictionaries, lists and values that nothing changes, so that copying them is simple. There are few
different expressions. Together these are over a half of what many small writes cost.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

from universal_scheduler.local.gaps import edit, require_ministack

Json = dict[str, Any]
Tokens = list[Any]

_UNCHANGING = frozenset({str, int, float, bool, bytes, type(None)})
_EXPRESSIONS = 2048
_NUMBERS = 65536
_CLAUSES = ("SET", "REMOVE", "ADD", "DELETE")


def copied(value: Any) -> Any:
    """As copy.deepcopy, for values that contain nothing twice."""
    kind = type(value)
    if kind is dict:
        return {key: each if type(each) in _UNCHANGING else copied(each) for key, each in value.items()}
    if kind is list:
        return [each if type(each) in _UNCHANGING else copied(each) for each in value]
    return value if kind in _UNCHANGING else copy.deepcopy(value)


class Digest:
    """Stands for the text of a request: equal to every value that has the same JSON text."""

    __slots__ = ("_digest",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: object) -> None:
        self._digest = _digest(value)

    def __eq__(self, other: object) -> bool:
        return self._digest == (other._digest if isinstance(other, Digest) else _digest(other))


def apply() -> None:
    require_ministack("DynamoDB is slow")
    from ministack.services import dynamodb

    if isinstance(dynamodb.copy, SimpleNamespace):
        return
    tokens = lru_cache(_EXPRESSIONS)(dynamodb._tokenize)
    dynamodb.copy = SimpleNamespace(deepcopy=copied)
    dynamodb._tokenize = lambda expression: list(tokens(expression))
    dynamodb._condition_syntax_error = lru_cache(_EXPRESSIONS)(dynamodb._condition_syntax_error)
    _read_updates_once(dynamodb)
    _read_numbers_once(dynamodb)
    _copy_what_is_changed(dynamodb)
    _weigh_what_is_asked_for(dynamodb)
    _forget_transactions(dynamodb)


def _read_updates_once(dynamodb: Any) -> None:
    reading = between(
        dynamodb._apply_update_expression, "    tokens = _tokenize(expr)\n", "    updated_attrs = set() if"
    )
    dynamodb._usched_clauses = lru_cache(_EXPRESSIONS)(partial(_clauses, dynamodb))
    edit(dynamodb._apply_update_expression, (reading, "    clauses = _usched_clauses(expr)\n"))


def _clauses(dynamodb: Any, expression: str) -> dict[str, Tokens]:
    """The clauses of an update expression by their keywords.

    Raises:
        ValueError: DynamoDB refuses the expression.
    """
    tokens = dynamodb._tokenize(expression)
    names = [token for token in tokens if not _begins_clause(token)]
    problem = dynamodb._check_redundant_parens(tokens) or dynamodb._check_reserved_keyword_usage(names)
    if problem:
        raise ValueError(problem)
    found: dict[str, Tokens] = {}
    current: Tokens = []
    for token in tokens:
        if _begins_clause(token):
            current = found[token[1].upper()] = []
        elif token[0] != "EOF":
            current.append(token)
    return found


def _begins_clause(token: Any) -> bool:
    return token[0] == "IDENT" and token[1].upper() in _CLAUSES


def _copy_what_is_changed(dynamodb: Any) -> None:
    """An item that is stored is never changed: its successor is a copy."""
    edit(
        dynamodb._update_item,
        ("    old_item = copy.deepcopy(existing) if existing else None\n", "    old_item = existing or None\n"),
    )
    stored = 'tbl["items"].get(pk_val, {}).get(sk_val)'
    edit(dynamodb._transact_write_items, (f"old_item = copy.deepcopy({stored})", f"old_item = {stored}"))


def _read_numbers_once(dynamodb: Any) -> None:
    """Numbers come as text: what a text is as a number never changes."""
    for name in ("_number_error", "_ddb_canonicalize_number", "_number_size_bytes"):
        stock = getattr(dynamodb, name)
        setattr(dynamodb, name, _remembered(stock))


def _remembered(stock: Callable[[Any], Any]) -> Callable[[Any], Any]:
    cached = lru_cache(_NUMBERS)(stock)
    return lambda text: cached(text) if type(text) is str and len(text) < 64 else stock(text)


def _weigh_what_is_asked_for(dynamodb: Any) -> None:
    """ReturnConsumedCapacity is not often asked for: without it no write has to be weighed in every index."""
    asked = [False]
    units, vectors, accumulate = (
        dynamodb._index_write_units,
        dynamodb._vector_write_bytes,
        dynamodb._accumulate_write_capacity,
    )
    size = dynamodb._attribute_value_size

    def attribute_size(value: Any) -> int:
        if type(value) is dict and len(value) == 1:
            [(kind, content)] = value.items()
            if kind == "S" and type(content) is str and content.isascii():
                return len(content)
        return int(size(value))

    def item_size(item: Any) -> int:
        if not isinstance(item, dict):
            return 0
        names = sum(len(name) if name.isascii() else len(name.encode()) for name in item)
        return names + sum(map(attribute_size, item.values()))

    def notifying(operation: Callable[[Json], Any]) -> Callable[[Json], Any]:
        def call(data: Json) -> Any:
            asked[0] = data.get("ReturnConsumedCapacity", "NONE") != "NONE"
            return operation(data)

        return call

    dynamodb._item_size_bytes = item_size
    dynamodb._attribute_value_size = attribute_size
    dynamodb._index_write_units = lambda *given: units(*given) if asked[0] else 0.0
    dynamodb._vector_write_bytes = lambda *given: vectors(*given) if asked[0] else {}
    dynamodb._accumulate_write_capacity = lambda *given: accumulate(*given) if asked[0] else None
    for name in ("_put_item", "_update_item", "_delete_item", "_batch_write_item", "_transact_write_items"):
        setattr(dynamodb, name, notifying(getattr(dynamodb, name)))


def _forget_transactions(dynamodb: Any) -> None:
    """Of a transaction with a token only a digest is kept: it is compared, and never read again."""
    store = dynamodb._txn_token_store
    dynamodb._txn_token_store = lambda token, entry: store(token, entry | {"signature": Digest(entry["signature"])})


def _digest(value: object) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()


def between(function: Callable[..., Any], first: str, last: str) -> str:
    """The piece of a function's source from `first` up to `last`."""
    source = textwrap.dedent(inspect.getsource(function))
    return source[source.index(first) : source.index(last)]
