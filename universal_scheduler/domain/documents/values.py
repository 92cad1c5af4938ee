"""Single values of a document: what they mean, and how an error shows a value and its place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

SHOWN = 60
"""How many characters of a value an error shows."""
PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def blank(value: object) -> bool:
    """Whether a value means "nothing". Users write a single blank where there is no status, id or date."""
    return value is None or (isinstance(value, str) and not value.strip())


def shown(value: object) -> str:
    """A value as an error shows it: like JSON, short, and printable whatever it is."""
    text, ahead = "", [value]
    while ahead and len(text) <= SHOWN:
        item = ahead.pop()
        match item:
            case _Sign():
                text += item
            case Mapping():
                inner: list[Any] = []
                for key, entry in islice(item.items(), SHOWN):
                    inner += [_Sign(", "), key, _Sign(": "), entry]
                ahead += reversed([_Sign("{"), *inner[1:], _Sign("}")])
            case list() | tuple():
                inner = [part for entry in islice(item, SHOWN) for part in (_Sign(", "), entry)]
                ahead += reversed([_Sign("["), *inner[1:], _Sign("]")])
            case _:
                text += _scalar(item)
    return _cut(text)


def printable(text: str) -> str:
    """The text on one line. A character that cannot be printed or encoded becomes its escape."""
    return text if text.isprintable() else "".join(each if each.isprintable() else _escape(each) for each in text)


def quoted(name: str) -> str:
    """A name as an error shows it: in single quotes, short and printable."""
    return f"'{_cut(printable(name[: SHOWN + 1]))}'"


def json_path(parts: Iterable[object]) -> str:
    """The path of a value: `$.jobList[3].jobName`. A key that is not a plain word is in quotes: `$['a key']`.

    https://www.rfc-editor.org/rfc/rfc9535.html#name-child-segment
    """
    return "$" + "".join(step(part) for part in parts)


def step(part: object) -> str:
    """One step of a JSON path: an index or a key. A long key is cut."""
    match part:
        case str() if PLAIN_KEY.fullmatch(part) and len(part) <= SHOWN:
            return f".{part}"
        case str():
            escaped = part[: SHOWN + 1].replace("\\", "\\\\").replace("'", "\\'")
            return f"['{_cut(printable(escaped))}']"
        case _:
            return f"[{shown(part)}]"


class _Sign(str):
    """Punctuation between the values that are shown."""

    __slots__ = ()


def _scalar(value: object) -> str:
    match value:
        case str():
            return printable(json.dumps(value[: SHOWN + 1], ensure_ascii=False))
        case None | bool():
            return json.dumps(value)
        case int() if abs(value) >= 10**SHOWN:
            return f"a number of {math.floor(abs(value).bit_length() * math.log10(2)) + 1:,} digits"
        case int():
            return str(value)
        case float() if math.isnan(value) or math.isinf(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case float():
            return repr(value)
        case _:
            return f"a Python {type(value).__name__}"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
