"""Reads YAML by the core schema of YAML 1.2: `on`, `12:00` and `2026-01-06` are texts, as they were written.

PyYAML's parser, which is in C if it can be, gives the events. This module decides what the words mean, because PyYAML
reads them by YAML 1.1. It also reads merge keys (`<<`), which YAML 1.2 does not have but many files use.
https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from universal_scheduler.domain.documents.storable import DEPTH_WANTED, MAX_DEPTH, MAX_ERRORS, NUMBER_WANTED
from universal_scheduler.domain.documents.text import READ_DEPTH, Lines, decimal, integer, unicode_text
from universal_scheduler.domain.documents.values import quoted, shown, step
from universal_scheduler.domain.errors import DocumentError, UnreadableDocument

MAX_SIZE = 32 * 1024 * 1024
"""The largest document with all its aliases written out, in about bytes: ten schedules of 10,000 jobs. A few lines with
aliases can mean more."""
VALUE_SIZE = 16
"""The size of a value besides its characters."""
CORE = "tag:yaml.org,2002:"
WORDS = {"": None, "~": None} | {
    written: value
    for word, value in (("null", None), ("true", True), ("false", False))
    for written in (word, word.capitalize(), word.upper())
}
INTEGER = re.compile(r"[-+]?[0-9]+")
OCTAL, HEXADECIMAL = re.compile(r"0o[0-7]+"), re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
NUMBERS_BEGIN = frozenset("+-.0123456789")
NOT_YAML = re.compile("[^\\t\\n\\r\\x20-\\x7e\\x85\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
OTHER_BREAKS = re.compile("[\\x85\\u2028\\u2029]")
"""Line breaks in YAML 1.1 and for the parser; in YAML 1.2 they are characters like any other."""
MERGE = "<<"

Position = tuple[int, int]
Positions = dict[str, Position]


def read_yaml(content: str | bytes) -> list[Any]:
    """All documents of a YAML text that have a value.

    Raises:
        UnreadableDocument: it is not YAML or not UTF-8; or it has something that no schedule can have: a key twice, a
            key
            that is not a text, a tag beyond the core schema, a number that no table can hold; or it is nested too
                deeply,
            or too large with its aliases.
    """
    return [value for value, _ in _documents(content)]


def yaml_positions(content: str | bytes) -> list[Positions]:
    """For each document, the line and column of every value by its path. The position of an object's entry is that of
    its key."""
    return [positions for _, positions in _documents(content, keep=True)]


def _documents(content: str | bytes, keep: bool = False) -> list[tuple[Any, Positions]]:
    text = unicode_text(content)
    _refuse_characters(text)
    reader = _Reader(text, keep)
    reader.read()
    if reader.errors:
        raise UnreadableDocument(reader.errors[:MAX_ERRORS])
    return [document for document in reader.documents if document[0] is not None]


def _refuse_characters(text: str) -> None:
    escaped = "in double quotes, as \\u and four digits"
    for wrong, found, expected in (
        (NOT_YAML, "the character {}", f"one that YAML allows; others are written {escaped}"),
        (OTHER_BREAKS, "the line separator {}", f"it written {escaped}"),
    ):
        if at := wrong.search(text):
            line, column = Lines(text).at(at.start())
            error = DocumentError("$", found.format(shown(at[0])), expected, line=line, column=column)
            raise UnreadableDocument([error])


class _Stop(Exception):
    """The text cannot be read on; the error is told already."""


@dataclass(slots=True)
class _Node:
    """A value that has been read, and what it counts where an alias stands for it again."""

    value: Any
    size: int = VALUE_SIZE
    height: int = 0
    """Levels of objects and lists in it."""


@dataclass(slots=True)
class _Open:
    """An object or a list whose end has not come."""

    value: Any
    """A dict or a list."""
    path: str
    anchor: str | None
    size: int = VALUE_SIZE
    height: int = 1
    key: str | None = None
    """Of the object's entry whose value comes next."""
    position: Position = (0, 0)
    merging: bool = False
    merged: list[Mapping[str, Any]] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    """Where each key was written first."""


class _Reader:
    """Builds the values of a text from its events, with a stack of its own: nothing goes down by recursion."""

    def __init__(self, text: str, keep: bool) -> None:
        self.documents: list[tuple[Any, Positions]] = []
        self.errors: list[DocumentError] = []
        self._text, self._keep = text, keep
        self._open: list[_Open] = []
        self._anchors: dict[str, _Node | None] = {}
        """None for one whose end has not come."""
        self._root = _Node(None)
        self._positions: Positions = {}

    def read(self) -> None:
        import yaml

        try:
            for event in yaml.parse(self._text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                self._take(event, yaml)
        except _Stop:
            return
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = ", ".join(part for part in (error.problem, error.context) if part)
            self._not_yaml(f"{problem}{self._hint(mark)}", mark)
        except yaml.YAMLError as error:
            self._not_yaml(" ".join(str(error).split()), None)

    def _take(self, event: Any, yaml: Any) -> None:
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent():
                self._begin(event, {}, "map")
            case yaml.SequenceStartEvent():
                self._begin(event, [], "seq")
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end(event)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._anchors, self._positions, self._root = {}, {}, _Node(None)
            case yaml.DocumentEndEvent():
                self.documents.append((self._root.value, self._positions))

    def _begin(self, event: Any, empty: Any, kind: str) -> None:
        if event.tag not in (None, "!", CORE + kind):
            self._refuse_tag(event)
        above = self._open[-1] if self._open else None
        if above is not None and isinstance(above.value, dict) and above.key is None and not above.merging:
            raise self._stop("a list or an object as a key", "a key that is text", event.start_mark)
        path = self._here()
        self._remember(path, event.start_mark)
        if len(self._open) >= READ_DEPTH:
            raise self._stop(f"more than {MAX_DEPTH} levels", DEPTH_WANTED, event.start_mark)
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open(empty, path, event.anchor))

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        if done.merged:
            entries: dict[str, Any] = {}
            for merged in reversed(done.merged):  # the first of them goes before the others, what is written before all
                entries |= merged
            done.value = entries | done.value
        node = _Node(done.value, done.size, done.height)
        if done.anchor:
            self._anchors[done.anchor] = node
        self._give(node, event)

    def _alias(self, event: Any) -> None:
        name, mark = event.anchor, event.start_mark
        if name not in self._anchors:
            raise self._stop(f"the alias *{name}", f"one whose anchor &{name} comes before it", mark)
        node = self._anchors[name]
        if node is None:
            raise self._stop(f"the alias *{name} inside of what it stands for", "a value that ends", mark)
        if len(self._open) + node.height > READ_DEPTH:
            raise self._stop(f"more than {MAX_DEPTH} levels", DEPTH_WANTED, mark)
        above = self._open[-1] if self._open else None
        if above is not None and isinstance(above.value, dict) and above.key is None and not above.merging:
            self._take_key(node.value, event, in_quotes=True)
        else:
            self._remember(self._here(), mark)
            self._give(node, event)

    def _scalar(self, event: Any) -> None:
        above = self._open[-1] if self._open else None
        is_key = above is not None and isinstance(above.value, dict) and above.key is None and not above.merging
        if not is_key:
            self._remember(self._here(), event.start_mark)
        value = self._meaning(event)
        node = _Node(value, VALUE_SIZE + len(event.value))
        if event.anchor:
            self._anchors[event.anchor] = node
        if is_key:
            self._take_key(value, event, in_quotes=not event.implicit[0])
        else:
            self._give(node, event)

    def _take_key(self, value: object, event: Any, in_quotes: bool) -> None:
        above, mark = self._open[-1], event.start_mark
        if not isinstance(value, str):
            expected = "a key that is text: write it in quotes"
            self._add_error(f"the key {shown(value)}, which YAML reads as {_kind(value)}", expected, mark)
            value = shown(value)
        if value in above.lines:
            found = f"the key {quoted(value)} again (it is in line {above.lines[value]} already)"
            self._add_error(found, "every key once", mark, above.path + step(value))
        above.lines.setdefault(value, mark.line + 1)
        above.merging = value == MERGE and not in_quotes
        above.key, above.position = None if above.merging else value, _position(mark)
        above.size += len(value)

    def _give(self, node: _Node, event: Any) -> None:
        """A value is complete: it goes into what is open around it, or is the document."""
        if not self._open:
            self._root = node
            return
        above = self._open[-1]
        above.size += node.size
        above.height = max(above.height, node.height + 1)
        if above.size > MAX_SIZE:
            found = f"more than {MAX_SIZE:,} bytes with its aliases written out"
            raise self._stop(found, "a document that says less", event.start_mark)
        if above.merging:
            self._merge(above, node.value, event)
        elif isinstance(above.value, list):
            above.value.append(node.value)
        else:
            above.value[above.key] = node.value
            above.key = None

    def _merge(self, above: _Open, value: object, event: Any) -> None:
        above.merging = False
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                above.merged.append(each)
            else:
                self._add_error(f"{_kind(each)} behind <<", "an object, or a list of objects", event.start_mark)

    def _meaning(self, event: Any) -> Any:
        """What a scalar says: its tag says which kind it is, or, where it is not quoted, how it is written."""
        tag, text = event.tag, event.value
        if tag is None:
            return self._plain(text, event) if event.implicit[0] else text
        if tag in ("!", CORE + "str"):
            return text
        if tag in (CORE + "int", CORE + "float", CORE + "bool", CORE + "null"):
            value = self._plain(text, event)
            if tag == CORE + "float" and type(value) is int:
                return value
            if tag.removeprefix(CORE) == {int: "int", float: "float", bool: "bool"}.get(type(value), "null"):
                return value
            self._add_error(f"{shown(text)} as {tag.removeprefix(CORE)}", "a value of that kind", event.start_mark)
            return text
        self._refuse_tag(event)
        return text

    def _plain(self, text: str, event: Any) -> Any:
        if text in WORDS:
            return WORDS[text]
        if text[0] not in NUMBERS_BEGIN:
            return text
        try:
            if INTEGER.fullmatch(text):
                return integer(text)
            if OCTAL.fullmatch(text):
                return integer(text[2:], 8)
            if HEXADECIMAL.fullmatch(text):
                return integer(text[2:], 16)
            if FLOAT.fullmatch(text):
                return decimal(text)
            if NO_NUMBER.fullmatch(text):
                raise ValueError(text)
        except ValueError as error:
            self._add_error(str(error), NUMBER_WANTED, event.start_mark)
        return text

    def _here(self) -> str:
        if not self._open:
            return "$"
        above = self._open[-1]
        if isinstance(above.value, list):
            return f"{above.path}[{len(above.value)}]"
        return above.path if above.key is None else above.path + step(above.key)

    def _remember(self, path: str, mark: Any) -> None:
        if self._keep:
            above = self._open[-1] if self._open else None
            in_object = above is not None and isinstance(above.value, dict)
            self._positions.setdefault(path, above.position if above and in_object else _position(mark))

    def _hint(self, mark: Any) -> str:
        if mark is not None and self._text[mark.index : mark.index + 1] == "\t":
            return " (it is a tab: YAML is indented with blanks)"
        return ""

    def _refuse_tag(self, event: Any) -> None:
        expected = "no tag, or one of !!str, !!int, !!float, !!bool and !!null"
        self._add_error(f"the tag {shown(event.tag.replace(CORE, '!!'))}", expected, event.start_mark)

    def _not_yaml(self, problem: str, mark: Any) -> None:
        line, column = _position(mark)
        message = f"this is not YAML: {problem}"
        self.errors.append(
            DocumentError(self._here(), f"no YAML: {problem}", "YAML", message, line=line, column=column)
        )

    def _stop(self, found: str, expected: str, mark: Any) -> _Stop:
        self._add_error(found, expected, mark)
        return _Stop()

    def _add_error(self, found: str, expected: str, mark: Any, path: str = "") -> None:
        line, column = _position(mark)
        self.errors.append(DocumentError(path or self._here(), found, expected, line=line, column=column))
        if len(self.errors) >= MAX_ERRORS:
            raise _Stop


def _position(mark: Any) -> Position:
    return (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"
