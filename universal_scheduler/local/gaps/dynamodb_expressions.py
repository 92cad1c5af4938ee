"""DynamoDB's condition and update expressions of the usual forms, each read once and then called for item after item.

An expression of another form, or with a fault, is None here, and a call that cannot be sure raises NotPlain:
ministack's own evaluator then has the last word, and the words for the error.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

Item = dict[str, Any]
Values = Mapping[str, Any]
Names = tuple[tuple[str, str], ...]
Path = tuple[str, ...]
Token = tuple[str, str]
Operand = Callable[[Item, Values], Any]
Test = Callable[[Item, Values], bool]

_KEPT = 2048
_NUMBERS = 4096
_CANONICAL = re.compile(r"-?(?:[1-9][0-9]{0,17}|0)(?:\.[0-9]{0,17}[1-9])?")
"""Numbers that are surely written as DynamoDB writes them; most are, and none but them stays in memory."""
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARATORS = frozenset({"EQ", "NE", "LT", "LE", "GT", "GE"})
decimal = lru_cache(_NUMBERS)(Decimal)


class NotPlain(Exception):
    """A request that is ministack's to answer; nothing has been written."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether an item meets it, and which values it names."""

    holds: Test
    values: frozenset[str]
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Update:
    """Makes of an item its successor, which shares what has not changed."""

    apply: Callable[[Item, Values], Item]
    values: tuple[str, ...]
    """Each as often as it is used."""
    names: frozenset[str]
    targets: frozenset[str]
    """The attributes that are changed, in part or as a whole."""


class Expressions:
    """Reads expressions; those that were read last are kept."""

    def __init__(self, dynamodb: Any) -> None:
        self._dynamodb = dynamodb
        self._canonicalized = lru_cache(_NUMBERS)(dynamodb._ddb_canonicalize_number)
        self.condition = lru_cache(_KEPT)(self._condition)
        self.update = lru_cache(_KEPT)(self._update)

    def _condition(self, text: str, names: Names = ()) -> Condition | None:
        tokens: list[Token] = self._dynamodb._tokenize(text)
        if self._faulty(tokens) or self._dynamodb._condition_syntax_error(text, "ConditionExpression"):
            return None
        reader = _Reader(self, tokens, dict(names))
        try:
            holds = reader.any_of()
            reader.take("EOF")
        except NotPlain:
            return None
        return Condition(holds, frozenset(_named(tokens, "VALUE_REF")), frozenset(_named(tokens, "NAME_REF")))

    def _update(self, text: str, names: Names = ()) -> Update | None:
        tokens: list[Token] = self._dynamodb._tokenize(text)
        clauses = _clauses(tokens)
        if not clauses or self._faulty([token for token in tokens if token[1].upper() not in _CLAUSES]):
            return None
        known = dict(names)
        try:
            changes = [
                _CLAUSES[keyword](_Reader(self, [*action, _END], known))
                for keyword, actions in clauses
                for action in actions
            ]
        except NotPlain:
            return None
        # In DynamoDB's order: what is put comes before what is removed, what is added last.
        changes.sort(key=lambda change: change[0])
        paths = [path for _, path, _ in changes]
        if any(one[: len(other)] == other for at, one in enumerate(paths) for other in paths[:at] + paths[at + 1 :]):
            return None

        def apply(item: Item, values: Values) -> Item:
            made = dict(item)
            for _, path, change in changes:
                change(made, path, item, values)
            return made

        return Update(
            apply,
            tuple(_named(tokens, "VALUE_REF")),
            frozenset(_named(tokens, "NAME_REF")),
            frozenset(path[0] for path in paths),
        )

    def canonical(self, number: str) -> str | None:
        """A number's text as DynamoDB writes it; None when it is no number."""
        if _CANONICAL.fullmatch(number) and number != "-0":
            return number
        canonical: str | None = self._canonicalized(number)
        return canonical

    def size(self, value: Any) -> Any:
        """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html"""
        return None if value is None else {"N": str(self._dynamodb._ddb_size(value))}

    def compared(self, left: Any, right: Any, sign: str) -> bool:
        if left is not None and right is not None:
            [(kind, one)], [(other_kind, other)] = left.items(), right.items()
            if kind == other_kind == "S":
                return _COMPARISONS[sign](one, other)
            if kind == other_kind == "N":
                return _COMPARISONS[sign](decimal(one), decimal(other))
        return bool(self._dynamodb._compare_ddb(left, sign, right))

    def summed(self, one: Any, other: Any, combine: Callable[[Decimal, Decimal], Decimal]) -> Any:
        if "N" not in one or "N" not in other:
            raise NotPlain
        made = str(combine(decimal(one["N"]), decimal(other["N"])))
        if self.canonical(made) != made:
            raise NotPlain
        return {"N": made}

    def _faulty(self, tokens: Sequence[Token]) -> bool:
        stock = self._dynamodb
        return bool(stock._check_redundant_parens(tokens) or stock._check_reserved_keyword_usage(tokens))


_END = ("EOF", "")


class _Reader:
    """Reads tokens from left to right. Every part is evaluated, so that a fault in any of them is found."""

    def __init__(self, expressions: Expressions, tokens: Sequence[Token], names: Mapping[str, str]) -> None:
        self.expressions, self._tokens, self._names, self._at = expressions, tokens, names, 0

    def take(self, kind: str) -> str:
        found, text = self._tokens[self._at]
        if found != kind:
            raise NotPlain
        self._at += 1
        return text

    def sees(self, *kinds: str) -> bool:
        return tuple(kind for kind, _ in self._tokens[self._at : self._at + len(kinds)]) == kinds

    def word(self, word: str) -> bool:
        """Take this keyword if it comes next."""
        kind, text = self._tokens[self._at]
        if kind != "IDENT" or text.upper() != word:
            return False
        self._at += 1
        return True

    def any_of(self) -> Test:
        parts = [self._all_of()]
        while self.word("OR"):
            parts.append(self._all_of())
        return _any(parts)

    def _all_of(self) -> Test:
        parts = [self._one()]
        while self.word("AND"):
            parts.append(self._one())
        return _all(parts)

    def _one(self) -> Test:
        if self.word("NOT"):
            denied = self._one()
            return lambda item, values: not denied(item, values)
        if self.sees("LPAREN"):
            self.take("LPAREN")
            inner = self.any_of()
            self.take("RPAREN")
            return inner
        if self.sees("IDENT", "LPAREN"):
            match self._tokens[self._at][1]:
                case "attribute_exists":
                    [found] = self._arguments(1)
                    return lambda item, values: found(item, values) is not None
                case "attribute_not_exists":
                    [found] = self._arguments(1)
                    return lambda item, values: found(item, values) is None
                case "begins_with":
                    return _begins_with(*self._arguments(2))
                case "contains":
                    return _contains(*self._arguments(2))
        return self._comparison()

    def _comparison(self) -> Test:
        left = self._operand()
        kind, sign = self._tokens[self._at]
        if kind in _COMPARATORS:
            self._at += 1
            right, compared = self._operand(), self.expressions.compared
            return lambda item, values: compared(left(item, values), right(item, values), sign)
        raise NotPlain

    def _operand(self) -> Operand:
        if self.sees("VALUE_REF"):
            return self.value()
        if self.sees("IDENT", "LPAREN"):
            if self._tokens[self._at][1] != "size":
                raise NotPlain
            size, [found] = self.expressions.size, self._arguments(1)
            return lambda item, values: size(found(item, values))
        return _getter(self.path())

    def _arguments(self, number: int) -> list[Operand]:
        self.take("IDENT")
        self.take("LPAREN")
        found = [_getter(self.path())]
        while len(found) < number:
            self.take("COMMA")
            found.append(self.value())
        self.take("RPAREN")
        return found

    def value(self) -> Operand:
        return _value(self.take("VALUE_REF"))

    def path(self) -> Path:
        """Of names alone; elements of lists are not plain."""
        parts = [self._name()]
        while self.sees("DOT"):
            self.take("DOT")
            parts.append(self._name())
        if self.sees("LBRACKET") or self.sees("LPAREN"):
            raise NotPlain
        return tuple(parts)

    def _name(self) -> str:
        if self.sees("NAME_REF"):
            name = self.take("NAME_REF")
            if name not in self._names:
                raise NotPlain
            return self._names[name]
        return self.take("IDENT")

    def put_value(self) -> Operand:
        """The right side of an assignment."""
        first = self._term()
        kind = self._tokens[self._at][0]
        if kind in ("PLUS", "MINUS"):
            self._at += 1
            second, summed = self._term(), self.expressions.summed
            combine = operator.add if kind == "PLUS" else operator.sub
            return lambda item, values: summed(first(item, values), second(item, values), combine)
        return first

    def _term(self) -> Operand:
        if self.sees("VALUE_REF"):
            return self.value()
        if not self.sees("IDENT", "LPAREN"):
            return _required(_getter(self.path()))
        function = self.take("IDENT")
        self.take("LPAREN")
        if function == "if_not_exists":
            found = _getter(self.path())
            self.take("COMMA")
            other = self._term()
            self.take("RPAREN")

            def present_or_other(item: Item, values: Values) -> Any:
                value = found(item, values)
                return other(item, values) if value is None else value

            return present_or_other
        if function == "list_append":
            first = self._term()
            self.take("COMMA")
            second = self._term()
            self.take("RPAREN")
            return lambda item, values: {"L": _list(first(item, values)) + _list(second(item, values))}
        raise NotPlain


Change = tuple[int, Path, Callable[[Item, Path, Item, Values], None]]


def _set(reader: _Reader) -> Change:
    path = reader.path()
    reader.take("EQ")
    value = reader.put_value()
    reader.take("EOF")
    return 0, path, lambda made, path, item, values: _put(made, path, value(item, values))


def _remove(reader: _Reader) -> Change:
    path = reader.path()
    reader.take("EOF")
    return 1, path, lambda made, path, _item, _values: _take_out(made, path)


def _add(reader: _Reader) -> Change:
    path = reader.path()
    found, amount = _getter(path), reader.value()
    reader.take("EOF")
    summed = reader.expressions.summed

    def add(made: Item, path: Path, item: Item, values: Values) -> None:
        _put(made, path, summed(found(item, values) or {"N": "0"}, amount(item, values), operator.add))

    return 2, path, add


_CLAUSES: dict[str, Callable[[_Reader], Change]] = {"SET": _set, "REMOVE": _remove, "ADD": _add}


def _clauses(tokens: Sequence[Token]) -> list[tuple[str, list[list[Token]]]]:
    """(keyword, its actions) in the order of the text; empty when this is no update of the plain kind."""
    found: list[tuple[str, list[list[Token]]]] = []
    depth = 0
    for token in tokens:
        kind, text = token
        if kind == "EOF":
            break
        if kind == "IDENT" and text.upper() in _CLAUSES:
            if any(keyword == text.upper() for keyword, _ in found):
                return []
            found.append((text.upper(), [[]]))
        elif not found:
            return []
        elif kind == "COMMA" and depth == 0:
            found[-1][1].append([])
        else:
            depth += (kind == "LPAREN") - (kind == "RPAREN")
            found[-1][1][-1].append(token)
    return found


def _any(parts: Sequence[Test]) -> Test:
    def holds(item: Item, values: Values) -> bool:
        met = False
        for part in parts:
            met = part(item, values) or met
        return met

    return parts[0] if len(parts) == 1 else holds


def _all(parts: Sequence[Test]) -> Test:
    def holds(item: Item, values: Values) -> bool:
        met = True
        for part in parts:
            met = part(item, values) and met
        return met

    return parts[0] if len(parts) == 1 else holds


def _named(tokens: Sequence[Token], wanted: str) -> list[str]:
    return [text for kind, text in tokens if kind == wanted]


def _value(name: str) -> Operand:
    return lambda _, values: values[name]


def _getter(path: Path) -> Operand:
    if len(path) == 1:
        [name] = path
        return lambda item, _: item.get(name)

    def found(item: Item, _: Values) -> Any:
        value = item.get(path[0])
        for name in path[1:]:
            if value is None or "M" not in value:
                return None
            value = value["M"].get(name)
        return value

    return found


def _required(found: Operand) -> Operand:
    def value(item: Item, values: Values) -> Any:
        present = found(item, values)
        if present is None:
            raise NotPlain
        return present

    return value


def _begins_with(found: Operand, prefix: Operand) -> Test:
    def begins(item: Item, values: Values) -> bool:
        text, start = found(item, values), prefix(item, values)
        if text is None:
            return False
        if "S" not in text or "S" not in start:
            raise NotPlain
        return bool(text["S"].startswith(start["S"]))

    return begins


def _contains(found: Operand, part: Operand) -> Test:
    def contains(item: Item, values: Values) -> bool:
        whole, wanted = found(item, values), part(item, values)
        if whole is None:
            return False
        if "S" not in wanted or not ("S" in whole or "SS" in whole):
            raise NotPlain
        return wanted["S"] in (whole["S"] if "S" in whole else whole["SS"])

    return contains


def _list(value: Any) -> list[Any]:
    if "L" not in value:
        raise NotPlain
    found: list[Any] = value["L"]
    return found


def _put(made: Item, path: Path, value: Any) -> None:
    """Put a value in; what is on its way is copied, for the item before it may have it too."""
    for name in path[:-1]:
        outer = made.get(name)
        if outer is None or "M" not in outer:
            raise NotPlain
        inner = dict(outer["M"])
        made[name] = {"M": inner}
        made = inner
    made[path[-1]] = value


def _take_out(made: Item, path: Path) -> None:
    for name in path[:-1]:
        outer = made.get(name)
        if outer is None or "M" not in outer:
            return
        inner = dict(outer["M"])
        made[name] = {"M": inner}
        made = inner
    made.pop(path[-1], None)
