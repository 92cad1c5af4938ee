"""A quick look whether a value conforms to a JSON Schema, for the many that do: nothing here says what is wrong. Pure.

https://json-schema.org/draft/2020-12/json-schema-validation
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Check: TypeAlias = Callable[[Any], bool]
"""Whether a value surely conforms; False where it does not, or where that takes a closer look."""
Schema: TypeAlias = Mapping[str, Any]

_KINDS: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_SAYS_NOTHING = frozenset({"$schema", "$id", "$defs", "title", "description"})


def compiled(schema: Schema) -> Check:
    """A check by this schema. One with a keyword that is not known here finds nothing to be sure of."""
    return _Compiler(schema.get("$defs", {})).check(schema)


class _Compiler:
    """Makes checks of the schemas of one document, each definition once."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._made: dict[str, Check] = {}

    def check(self, schema: Schema) -> Check:
        checks: list[Check] = []
        kinds: frozenset[type] | None = None
        if "type" in schema:
            names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
            kinds = frozenset(kind for name in names for kind in _KINDS[name])
        for keyword, wanted in schema.items():
            if keyword == "type" or keyword in _SAYS_NOTHING:
                continue
            made = self._keyword(keyword, wanted, schema)
            if made is None:
                return lambda _: False
            checks += made
        return _all(kinds, checks)

    def _keyword(self, keyword: str, wanted: Any, schema: Schema) -> list[Check] | None:
        """The checks of a keyword; None where it is not known."""
        match keyword:
            case "properties" | "additionalProperties":
                # The two are one check, which belongs to the first of them.
                first = next(key for key in schema if key in ("properties", "additionalProperties"))
                return [self._entries(schema)] if keyword == first else []
            case "items":
                entry = self.check(wanted)
                return [lambda value: type(value) is not list or all(map(entry, value))]
            case "propertyNames":
                name = self.check(wanted)
                return [lambda value: type(value) is not dict or all(map(name, value))]
            case "$ref":
                return [self._reference(wanted)]
            case _:
                made = _plain(keyword, wanted)
                return None if made is None else [made]

    def _reference(self, reference: str) -> Check:
        def check(value: Any) -> bool:
            if reference not in self._made:  # made when it is needed: a definition may have itself within it
                self._made[reference] = self.check(self._definitions[reference.removeprefix("#/$defs/")])
            return self._made[reference](value)

        return check

    def _entries(self, schema: Schema) -> Check:
        known = {name: self.check(each) for name, each in schema.get("properties", {}).items()}
        others = schema.get("additionalProperties", True)
        other = self.check(others) if isinstance(others, Mapping) else lambda _: bool(others)

        def check(value: Any) -> bool:
            if type(value) is not dict:
                return True
            return all(known.get(name, other)(entry) for name, entry in value.items())

        return check


def _all(kinds: frozenset[type] | None, checks: Sequence[Check]) -> Check:
    if kinds is not None and not checks:
        return lambda value: type(value) in kinds
    if kinds is not None and len(checks) == 1:
        [only] = checks
        return lambda value: type(value) in kinds and only(value)

    def check(value: Any) -> bool:
        if kinds is not None and type(value) not in kinds:
            return False
        return all(each(value) for each in checks)

    return check


def _plain(keyword: str, wanted: Any) -> Check | None:
    """The check of a keyword that has no schema in it. What is of another kind than the keyword is about conforms."""
    match keyword:
        case "required":
            required = frozenset(wanted)
            return lambda value: type(value) is not dict or value.keys() >= required
        case "minLength":
            return lambda value: type(value) is not str or len(value) >= wanted
        case "maxLength":
            return lambda value: type(value) is not str or len(value) <= wanted
        case "minItems":
            return lambda value: type(value) is not list or len(value) >= wanted
        case "maxItems":
            return lambda value: type(value) is not list or len(value) <= wanted
        case "minProperties":
            return lambda value: type(value) is not dict or len(value) >= wanted
        case "maxProperties":
            return lambda value: type(value) is not dict or len(value) <= wanted
        case "minimum":
            return lambda value: type(value) not in _KINDS["number"] or value >= wanted
        case "maximum":
            return lambda value: type(value) not in _KINDS["number"] or value <= wanted
        case "pattern":
            search = re.compile(wanted).search
            return lambda value: type(value) is not str or search(value) is not None
        case "enum":
            # Of other kinds there is more to say: 1 is 1.0, and no True.
            texts = frozenset(each for each in wanted if type(each) is str)
            return lambda value: type(value) is str and value in texts
        case "const":
            return lambda value: type(value) is type(wanted) and type(value) in (str, bool) and value == wanted
        case "uniqueItems":
            return lambda value: not wanted or type(value) is not list or _surely_different(value)
        case _:
            return None


def _surely_different(entries: Sequence[Any]) -> bool:
    """Whether the entries are texts, none of them twice."""
    return len(entries) < 2 or (all(type(each) is str for each in entries) and len(set(entries)) == len(entries))
