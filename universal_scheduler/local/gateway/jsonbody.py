"""Reads JSON as strictly as API Gateway does, and takes values out of it by JSONPath."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

STEP = re.compile(
    r"""\.(?P<name>[^.\[\]'"]+)|\[(?P<index>\d+)\]|\[(?P<quote>['"])(?P<key>.*?)(?P=quote)\]|(?P<all>\.\*|\[\*\])"""
)


class NotJson(ValueError):
    """The text is not JSON."""


class UnsupportedPath(ValueError):
    """The JSONPath uses something that this engine does not have (filters, slices, recursive descent)."""


def parse(text: str) -> Any:
    """Read JSON.

    Raises:
        NotJson: also for NaN and Infinity, which Python would take, and for nesting too deep to handle.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except ValueError as error:
        raise NotJson(str(error)) from None


def dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def select(path: str, document: Any) -> Any:
    """The value at a JSONPath (`$`, `.name`, `['name']`, `[0]`, `[*]`), else None; a list for a wildcard.

    Raises:
        UnsupportedPath: for anything else.
    """
    if not path.startswith("$"):
        raise UnsupportedPath(f"JSONPath '{path}' does not start with $")
    found, wildcard, position = [document], False, 1
    while position < len(path):
        step = STEP.match(path, position)
        if step is None:
            raise UnsupportedPath(f"JSONPath '{path}' is not supported from '{path[position:]}' on")
        if step["all"]:
            wildcard = True
            found = [item for value in found for item in _children(value)]
        elif step["index"] is not None:
            index = int(step["index"])
            found = [value[index] for value in found if isinstance(value, list) and index < len(value)]
        else:
            key = step["name"] if step["name"] is not None else step["key"]
            found = [value[key] for value in found if isinstance(value, dict) and key in value]
        position = step.end()
    if wildcard:
        return found
    return found[0] if found else None


def _children(value: Any) -> list[Any]:
    match value:
        case dict():
            return list(value.values())
        case list():
            return value
        case _:
            return []


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is out of range")
    return number
