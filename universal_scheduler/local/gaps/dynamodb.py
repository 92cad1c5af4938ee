"""Gap: DynamoDB is slow: it copies every item with copy.deepcopy, and reads the same expressions again for every item.

Items are made of dictionaries, lists and values that nothing changes, so that copying them is simple; of expressions
there are few. Together these are a third of what many small writes cost.
"""

import copy
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from universal_scheduler.local.gaps import require_ministack

_UNCHANGING = frozenset({str, int, float, bool, bytes, type(None)})
_EXPRESSIONS = 2048


def copied(value: Any) -> Any:
    """As copy.deepcopy, for values that contain nothing twice."""
    kind = type(value)
    if kind is dict:
        return {key: each if type(each) in _UNCHANGING else copied(each) for key, each in value.items()}
    if kind is list:
        return [each if type(each) in _UNCHANGING else copied(each) for each in value]
    return value if kind in _UNCHANGING else copy.deepcopy(value)


def apply() -> None:
    require_ministack("DynamoDB is slow")
    from ministack.services import dynamodb

    if isinstance(dynamodb.copy, SimpleNamespace):
        return
    tokens = lru_cache(_EXPRESSIONS)(dynamodb._tokenize)
    dynamodb.copy = SimpleNamespace(deepcopy=copied)
    dynamodb._tokenize = lambda expression: list(tokens(expression))
    dynamodb._condition_syntax_error = lru_cache(_EXPRESSIONS)(dynamodb._condition_syntax_error)
