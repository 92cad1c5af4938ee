"""Cuts listings into pages."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from universal_scheduler.local.batch.errors import ClientError
from universal_scheduler.local.batch.model import Json

MAX_RESULTS = 100
Item = TypeVar("Item")


def page(
    items: Iterable[Item], request: Json, key: Callable[[Item], str], limit: int = MAX_RESULTS
) -> tuple[Sequence[Item], dict[str, str]]:
    """The part of ``items``, in the order of their ``key``, that a request's maxResults and nextToken ask for, and the
    ``nextToken`` of the answer, if there is more.

    The token says after which key to go on, so that items that come and go meanwhile shift nothing.
    """
    wanted = request.get("maxResults", limit)
    if wanted < 1:
        raise ClientError(f"maxResults must be at least 1, not {wanted}.")
    ordered = sorted(items, key=key)
    token = request.get("nextToken")
    start = bisect_right(ordered, _decode(token), key=key) if token else 0
    end = start + min(wanted, limit)
    shown = ordered[start:end]
    return shown, {"nextToken": _encode(key(shown[-1]))} if end < len(ordered) else {}


def _encode(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _decode(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise ClientError("The nextToken is not valid.") from None


def place_of(token: str) -> int:
    """The key that a token says to go on after, where keys are numbers."""
    try:
        return int(_decode(token))
    except ValueError:
        raise ClientError("The nextToken is not valid.") from None
