"""The values that a document may have: those that JSON can write and a DynamoDB table can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any
from unicodedata import category

from universal_scheduler.domain.documents.values import json_path, shown
from universal_scheduler.domain.errors import DocumentError

MAX_DEPTH = 32
"""Levels of objects and lists in each other; the document is the first level. Items of DynamoDB have this limit.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-attributes
It also protects the readers and writers of JSON and the schema check, which recurse."""
DEPTH_WANTED = f"at most {MAX_DEPTH} levels of objects and lists in each other"
MAX_DIGITS = 38
LARGEST = Decimal("9." + "9" * (MAX_DIGITS - 1) + "E+125")
SMALLEST = Decimal("1E-130")
"""The largest and the smallest positive number of a number attribute; negative numbers have the same limits.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html#HowItWorks.DataTypes.Number
"""
NUMBER_WANTED = (
    f"a number that DynamoDB can hold, with at most {MAX_DIGITS} digits and between 1E-130 and 9.99E+125; "
    "write any other in quotes, as text"
)
MAX_KEY_BYTES = 65_535
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html"""
MAX_ERRORS = 50
SEVERAL_LINES = frozenset(
    {"description", "containerOverrides", "parameters", "forEach", "output", "jobId", "scheduleErrors", "cause"}
)
"""Keys whose texts may have line breaks and other control characters, at any depth: they are for the jobs, and no
names."""
SHORT, LARGE = 1000, 10**15
"""A key of so many characters, and a number below, can be stored without a closer look."""
TEXT, ONE_LINE = "Unicode text", "one line of text, without control characters"


def storable_errors(document: object) -> list[DocumentError]:
    """The values of a document that JSON or a table cannot hold, in the order of the document, at most 50.

    It never raises, whatever the document is, and it looks no deeper than a document may be.
    """
    if _surely_storable(document):
        return []
    errors: list[DocumentError] = []
    ahead: list[tuple[object, _Place]] = [(document, _Place())]
    while ahead and len(errors) < MAX_ERRORS:
        value, place = ahead.pop()
        if isinstance(value, Mapping | list | tuple):
            if place.depth >= MAX_DEPTH:
                errors.append(DocumentError(place.path, f"more than {MAX_DEPTH} levels", DEPTH_WANTED))
                continue
            if isinstance(value, Mapping):
                errors += (DocumentError(place.path, *wrong) for key in value if (wrong := _wrong_key(key)))
                below = [(entry, key) for key, entry in value.items() if not _surely_right(entry)]
            else:
                below = [(entry, index) for index, entry in enumerate(value) if not _surely_right(entry)]
            ahead += [(entry, place.below(key)) for entry, key in reversed(below)]
        elif wrong := _wrong_value(value, place):
            errors.append(DocumentError(place.path, *wrong))
    return errors[:MAX_ERRORS]


def _surely_storable(document: object) -> bool:
    """A quick look; False where a closer one is needed."""
    if type(document) is not dict and type(document) is not list:
        return False
    ahead: list[tuple[Any, int, bool]] = [(document, 1, False)]
    while ahead:
        holder, depth, several_lines = ahead.pop()
        if depth > MAX_DEPTH:
            return False
        if type(holder) is dict:
            if not all(type(key) is str and 0 < len(key) <= SHORT and key.isprintable() for key in holder):
                return False
            entries = [(value, several_lines or key in SEVERAL_LINES) for key, value in holder.items()]
        else:
            entries = [(value, several_lines) for value in holder]
        for value, lines in entries:
            if type(value) is dict or type(value) is list:
                ahead.append((value, depth + 1, lines))
            elif not _surely_value(value, lines):
                return False
    return True


def _surely_value(value: object, several_lines: bool) -> bool:
    if type(value) is int:
        return -LARGE < value < LARGE
    if _surely_right(value):
        return True
    return several_lines and type(value) is str and value.replace("\n", "").isprintable()


def plain(document: Any) -> Any:
    """A copy of the document in which numbers are as in JSON: 3.0 and DynamoDB's Decimal become the integer 3.

    All other values stay as they are, also those that `storable_errors` refuses.
    """
    root = [document]
    ahead: list[tuple[Any, Any, int]] = [(root, 0, 0)]
    while ahead:
        holder, key, depth = ahead.pop()
        value = holder[key]
        if isinstance(value, float | Decimal):
            holder[key] = _number(value)
        elif isinstance(value, Mapping) and depth < MAX_DEPTH:
            holder[key] = copy = dict(value)
            ahead += [(copy, below, depth + 1) for below, entry in copy.items() if not _surely_right(entry)]
        elif isinstance(value, list | tuple) and depth < MAX_DEPTH:
            holder[key] = entries = list(value)
            ahead += [(entries, index, depth + 1) for index, entry in enumerate(entries) if not _surely_right(entry)]
    return root[0]


class _Place:
    """Where a value is; its path is only written where it is told."""

    __slots__ = ("above", "depth", "key", "several_lines")

    def __init__(self, above: _Place | None = None, key: object = None) -> None:
        self.above, self.key = above, key
        self.depth: int = above.depth + 1 if above else 0
        self.several_lines: bool = above is not None and (above.several_lines or key in SEVERAL_LINES)

    def below(self, key: object) -> _Place:
        return _Place(self, key)

    @property
    def path(self) -> str:
        return json_path(reversed(list(self._upwards())))

    def _upwards(self) -> Iterator[object]:
        place = self
        while place.above is not None:
            yield place.key
            place = place.above


def _surely_right(value: object) -> bool:
    """Whether a value needs no second look: most are short printable texts, and no surrogate is printable."""
    kind = type(value)
    return (kind is str and value.isprintable()) or value is None or kind is bool  # type: ignore[attr-defined]


def _wrong_key(key: object) -> tuple[str, str] | None:
    """What was found and what is expected, where a key cannot be one."""
    if not isinstance(key, str):
        return f"the key {shown(key)}, which is no text", "keys that are texts"
    if not key:
        return "a key without a character", "keys of at least one character"
    wrong = None if key.isprintable() else _wrong_text(key, several_lines=False)
    if wrong is not None:
        return f"the key {shown(key)} with {wrong[0]}", wrong[1]
    if len(key) * 4 > MAX_KEY_BYTES and len(key.encode()) > MAX_KEY_BYTES:
        return f"a key of {len(key.encode()):,} bytes", f"keys of at most {MAX_KEY_BYTES:,} bytes"
    return None


def _wrong_value(value: object, place: _Place) -> tuple[str, str] | None:
    match value:
        case None | bool():
            return None
        case str():
            return _wrong_text(value, place.several_lines)
        case int() | float() | Decimal():
            return None if _holdable(value) else (shown(value), NUMBER_WANTED)
        case _:
            return shown(value), "text, a number, true, false, null, a list or an object"


def _wrong_text(text: str, several_lines: bool) -> tuple[str, str] | None:
    surrogate = next((each for each in text if "\ud800" <= each <= "\udfff"), "")
    if surrogate:
        return f"half a character, \\u{ord(surrogate):04x}", f"{TEXT}: both halves, or the character itself"
    if "\0" in text:
        return "a NUL character, \\u0000", f"{TEXT} without NUL, which no command and no variable can have"
    control = None if several_lines else next((n for n, each in enumerate(text) if category(each) == "Cc"), None)
    if control is not None:  # the text itself may be a secret
        kind = "a line break" if text[control] in "\r\n" else f"the control character \\u{ord(text[control]):04x}"
        return f"{kind} at character {control + 1}", ONE_LINE
    return None


def _holdable(number: float | Decimal) -> bool:
    """Whether a number attribute can be this number exactly as it is written."""
    if isinstance(number, float) and not math.isfinite(number):
        return False
    if isinstance(number, int) and abs(number) > LARGEST:  # before it is written out: it may have a million digits
        return False
    exact = _exact(number)
    if not exact.is_finite():
        return False
    if not exact:
        return True
    digits = "".join(map(str, exact.as_tuple().digits)).rstrip("0")
    return SMALLEST <= abs(exact) <= LARGEST and len(digits) <= MAX_DIGITS


def _number(number: float | Decimal) -> int | float | Decimal:
    if isinstance(number, float) and not math.isfinite(number):
        return number
    exact = _exact(number)
    if not exact.is_finite() or abs(exact) > LARGEST:
        return number
    if exact != exact.to_integral_value():
        exact = _exact(float(number))  # of so many digits a float keeps some 17, which may be a whole number
        if exact != exact.to_integral_value():
            return float(number)
    return int(exact)


def _exact(number: float | Decimal) -> Decimal:
    """As it is written: 1e100 is a one with a hundred zeros, and not what the float is made of."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
