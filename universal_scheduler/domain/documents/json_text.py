"""Reads JSON strictly: a text with one meaning becomes a value; every other text is refused with line, column and path.

RFC 8259 leaves open what an object means that has a key twice, and it has no NaN and no Infinity
(https://www.rfc-editor.org/rfc/rfc8259). Python's reader takes the last of the keys, takes NaN and Infinity, and
recurses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NoReturn

from universal_scheduler.domain.documents.storable import DEPTH_WANTED, MAX_DEPTH, MAX_ERRORS, NUMBER_WANTED
from universal_scheduler.domain.documents.text import READ_DEPTH, Lines, decimal, integer, unicode_text
from universal_scheduler.domain.documents.values import quoted, shown, step
from universal_scheduler.domain.errors import DocumentError, NotJson, UnreadableDocument

QUOTED = r'"[^"\\]*(?:\\.[^"\\]*)*"'
NO_BRACKETS = re.compile(rf"{QUOTED}|[^\[\]{{}}\"]+", re.DOTALL)
TOKEN = re.compile(rf'[ \t\n\r]*({QUOTED}|"|[^\s\[\]{{}}:,"]+|[^ \t\n\r])', re.DOTALL)
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
CONSTANTS = frozenset({"NaN", "Infinity", "-Infinity"})
WORDS = frozenset({"true", "false", "null"})
PROBLEMS = {
    "Invalid control character at": "a line break or another control character in a text",
    "Invalid \\escape": "an escape that JSON does not have",
    "Invalid \\uXXXX escape": "an escape that JSON does not have",
}


def read_json(content: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        NotJson: the text is not JSON. The error has line, column and path.
        UnreadableDocument: it is not UTF-8, an object has a key twice, it has NaN, Infinity or a number that no table
            can
            hold, or it is nested too deeply. The error has line, column and path, too.
    """
    text = unicode_text(content)
    if not too_deep(text):
        try:
            return _STRICT.decode(text)
        except ValueError as error:
            problem = str(error)
    else:
        problem = "lists and objects in each other without end"
    scan = _Scan(text)
    kind = UnreadableDocument if scan.well_formed else NotJson
    raise kind(scan.errors or [DocumentError("$", problem, "JSON")])


def json_positions(text: str) -> dict[str, tuple[int, int]]:
    """The line and column of every value of a JSON text, by JSON path. The position of an object's entry is that of its
    key."""
    text = unicode_text(text)
    lines = Lines(text)
    return {path: lines.at(offset) for path, offset in _Scan(text).offsets.items()}


def too_deep(text: str) -> bool:
    """Whether the text is nested so deeply that Python's JSON reader could fail. No document is nested so deeply."""
    depth = 0
    for bracket in NO_BRACKETS.sub("", text):
        if bracket in "[{":
            depth += 1
            if depth > READ_DEPTH:
                return True
        else:
            depth -= 1
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key twice")
    return made


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)


_STRICT = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse, parse_int=integer, parse_float=decimal, strict=True
)


class _Next(Enum):
    """What may come next."""

    VALUE = "a value: text in double quotes, a number, true, false, null, an object or a list"
    VALUE_OR_END = "a value or ]"
    KEY = "a key: text in double quotes"
    KEY_OR_END = "a key (text in double quotes) or }"
    COLON = "a colon"
    COMMA_OR_END = "a comma or the closing bracket"
    NOTHING = "the end of the text"


@dataclass(slots=True)
class _Open:
    """An object or a list whose end has not come."""

    bracket: str
    path: str
    offset: int
    key: str = ""
    key_offset: int = 0
    entries: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    """Where each was written first."""


class _Scan:
    """Goes through a text token by token, without recursion: slow, so only where something is wrong with it."""

    def __init__(self, text: str) -> None:
        self.errors: list[DocumentError] = []
        self.offsets: dict[str, int] = {}
        self.well_formed = True
        self._text, self._lines = text, Lines(text)
        self._open: list[_Open] = []
        self._next = _Next.VALUE
        for token, offset in self._tokens():
            if not self._take(token, offset) or len(self.errors) >= MAX_ERRORS:
                return
        if self._next is not _Next.NOTHING:
            self._not_json("$", "the end of the text", self._next.value, len(text))

    def _tokens(self) -> Iterator[tuple[str, int]]:
        place = 0
        while found := TOKEN.match(self._text, place):
            place = found.end()
            yield found[1], found.start(1)

    def _take(self, token: str, offset: int) -> bool:
        """Whether the text can be read on."""
        match self._next, token:
            case ((_Next.VALUE | _Next.VALUE_OR_END), ("[" | "{")):
                return self._opens(token, offset)
            case _Next.VALUE_OR_END, "]":
                return self._closes()
            case ((_Next.VALUE | _Next.VALUE_OR_END), _):
                return self._scalar(token, offset)
            case _Next.KEY_OR_END, "}":
                return self._closes()
            case ((_Next.KEY | _Next.KEY_OR_END), _) if token[0] == '"':
                return self._key(token, offset)
            case _Next.COLON, ":":
                self._next = _Next.VALUE
                return True
            case _Next.COMMA_OR_END, ",":
                self._next = _Next.KEY if self._open[-1].bracket == "{" else _Next.VALUE
                return True
            case _Next.COMMA_OR_END, ("]" | "}") if token == "]}"[self._open[-1].bracket == "{"]:
                return self._closes()
            case wanted, _:
                path = self._open[-1].path if self._open else "$"
                return self._not_json(path, _name(token), wanted.value, offset)

    def _here(self) -> str:
        if not self._open:
            return "$"
        above = self._open[-1]
        return above.path + step(above.key if above.bracket == "{" else above.entries)

    def _value_at(self, offset: int) -> str:
        """The path of the value that begins here, which is kept."""
        path = self._here()
        in_object = self._open and self._open[-1].bracket == "{"
        self.offsets[path] = self._open[-1].key_offset if in_object else offset
        return path

    def _opens(self, bracket: str, offset: int) -> bool:
        path = self._value_at(offset)
        if len(self._open) >= READ_DEPTH:
            return self._add_error(path, f"more than {MAX_DEPTH} levels", DEPTH_WANTED, offset)
        self._open.append(_Open(bracket, path, offset))
        self._next = _Next.KEY_OR_END if bracket == "{" else _Next.VALUE_OR_END
        return True

    def _closes(self) -> bool:
        self._open.pop()
        self._done()
        return True

    def _done(self) -> None:
        """A value has ended."""
        if self._open:
            self._open[-1].entries += 1
        self._next = _Next.COMMA_OR_END if self._open else _Next.NOTHING

    def _key(self, token: str, offset: int) -> bool:
        above = self._open[-1]
        key = self._decoded(token, offset, above.path)
        if key is None:
            return False
        if key in above.keys:
            line, _ = self._lines.at(above.keys[key])
            found = f"the key {quoted(key)} again (it is in line {line} already)"
            self._add_error(above.path + step(key), found, "every key once", offset)
        above.keys.setdefault(key, offset)
        above.key, above.key_offset = key, offset
        self._next = _Next.COLON
        return True

    def _scalar(self, token: str, offset: int) -> bool:
        path = self._value_at(offset)
        if token[0] == '"':
            readable = self._decoded(token, offset, path) is not None
        elif token in CONSTANTS:
            self._add_error(path, token, NUMBER_WANTED, offset)
            readable = True
        elif number := NUMBER.fullmatch(token):
            try:
                decimal(token) if number[1] or number[2] else integer(token)
            except ValueError as error:
                self._add_error(path, str(error), NUMBER_WANTED, offset)
            readable = True
        else:
            readable = token in WORDS or self._not_json(path, _name(token), _Next.VALUE.value, offset)
        self._done()
        return readable

    def _decoded(self, token: str, offset: int, path: str) -> str | None:
        if len(token) == 1:
            self._not_json(path, "a text without its closing quote", '"', offset)
            return None
        try:
            return str(json.loads(token))
        except json.JSONDecodeError as error:
            found = next((meaning for start, meaning in PROBLEMS.items() if error.msg.startswith(start)), error.msg)
            expected = 'it escaped: \\n, \\t, \\\\, \\" or \\u and four digits'
            self._not_json(path, found, expected, offset + error.pos)
            return None

    def _not_json(self, path: str, found: str, expected: str, offset: int) -> bool:
        self.well_formed = False
        return self._add_error(path, found, expected, offset, f"this is not JSON: found {found}, expected {expected}")

    def _add_error(self, path: str, found: str, expected: str, offset: int, message: str = "") -> bool:
        line, column = self._lines.at(offset)
        self.errors.append(DocumentError(path, found, expected, message, line=line, column=column))
        return False


def _name(token: str) -> str:
    return "a text" if token[0] == '"' else shown(token)[1:-1] if len(token) < 60 else shown(token)
