"""Gap: DynamoDB is slow. It walks every request many times, copies items, reads the same expressions again for every
item, and keeps the whole text of every transaction for ten minutes.

Here a plain request is answered at once: usual parameters, values without a fault, expressions of the usual forms.
Everything else is ministack's, above all what deserves an error other than a condition that does not hold: NotPlain is
raised before anything is written.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from universal_scheduler.local.gaps import require_ministack
from universal_scheduler.local.gaps.dynamodb_expressions import Condition, Expressions, Names, NotPlain, Update
from universal_scheduler.local.gaps.dynamodb_file import encoded
from universal_scheduler.local.gaps.dynamodb_storage import Opened, Storage

Json = dict[str, Any]
Item = dict[str, Any]
Key = tuple[bytes, bytes]
Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[..., Awaitable[Answer]]

_MOST_REQUEST_BYTES = 1_000_000
_MOST_EXPRESSION = 4096
_MOST_CHARGED = 200_000
"""UpdateItem counts the request against the item's limit in its own way: no plain request comes near it."""
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
_MOST_ITEM = 400 * 1024
_MOST_KEY, _MOST_SORT_KEY = 2048, 1024
_MOST_NESTED = 32
_MOST_WRITES, _MOST_READS, _MOST_ACTIONS = 25, 100, 100
_PAGE_BYTES = 1024 * 1024

_GUARDED = frozenset({"TableName", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"})
_ANSWERED = _GUARDED | {"ReturnValues", "ReturnValuesOnConditionCheckFailure"}
_PUT, _UPDATE, _DELETE = (_ANSWERED | more for more in ({"Item"}, {"Key", "UpdateExpression"}, {"Key"}))
_ACTION = _GUARDED | {"ReturnValuesOnConditionCheckFailure"}
_ACTIONS = {
    "Put": _ACTION | {"Item"},
    "Update": _ACTION | {"Key", "UpdateExpression"},
    "Delete": _ACTION | {"Key"},
    "ConditionCheck": _ACTION | {"Key"},
}
_MEMBERS = {"PutRequest": {"Item"}, "DeleteRequest": {"Key"}}
_GET = frozenset({"TableName", "Key", "ConsistentRead"})
_QUERY = frozenset(
    {
        "TableName",
        "KeyConditionExpression",
        "ExpressionAttributeNames",
        "ExpressionAttributeValues",
        "ConsistentRead",
        "Limit",
        "ScanIndexForward",
    }
)


def apply(storage: Storage) -> None:
    """Answer plain requests out of `storage`."""
    require_ministack("DynamoDB is slow")
    from ministack.services import dynamodb

    plain = Plain(dynamodb, storage)
    stock: Handler = dynamodb.handle_request
    store = dynamodb._txn_token_store
    dynamodb._txn_token_store = lambda token, entry: store(token, entry | {"signature": Digest(entry["signature"])})

    async def handle_request(method: str, path: str, headers: Mapping[str, str], body: bytes, query: Any) -> Answer:
        try:
            answer = plain.answer(headers.get("x-amz-target", "").rpartition(".")[2], body)
            return answer or await stock(method, path, headers, body, query)
        except sqlite3.Error as error:
            return _unavailable(error)

    dynamodb.handle_request = handle_request


def _unavailable(error: sqlite3.Error) -> Answer:
    """Nothing of the request was done. SDKs repeat it.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
    """
    reason = f"DynamoDB's file cannot be written ({error}). Look at the disk with the engine's state directory."
    content = json.dumps({"__type": "InternalServerError", "message": reason}).encode()
    fields = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-errortype": "InternalServerError"}
    return 500, fields | {"x-amz-crc32": str(zlib.crc32(content))}, content


class Digest:
    """Stands for the text of a request: equal to every value that has the same JSON text."""

    __slots__ = ("_digest",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: object) -> None:
        self._digest = _digest(value)

    def __eq__(self, other: object) -> bool:
        return self._digest == (other._digest if isinstance(other, Digest) else _digest(other))


def _digest(value: object) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()


@dataclass(slots=True)
class _Place:
    """Where an item is, or will be."""

    name: str
    table: Opened
    key: Key

    def old_text(self) -> str | None:
        return self.table.items.text(*self.key)

    def old(self) -> Item | None:
        return self.table.items.item(*self.key)


@dataclass(slots=True)
class _New:
    """An item that has been found good, its JSON text and its size as DynamoDB counts it."""

    item: Item
    text: str
    size: int


@dataclass(slots=True)
class _Write:
    """A write that has been found good; without a new item it removes the old one."""

    place: _Place
    old: Item | None
    new: _New | None


class Plain:
    """Answers plain requests; all others it leaves."""

    def __init__(self, dynamodb: Any, storage: Storage) -> None:
        self._dynamodb, self._storage = dynamodb, storage
        self._opened: dict[str, Opened] = {}
        """The tables that the present request has named."""
        self._expressions = Expressions(dynamodb)
        self._canonical = self._expressions.canonical
        self._operations: dict[str, Callable[[Json], Answer]] = {
            "PutItem": self._put_item,
            "UpdateItem": self._update_item,
            "DeleteItem": self._delete_item,
            "GetItem": self._get_item,
            "BatchWriteItem": self._batch_write_item,
            "BatchGetItem": self._batch_get_item,
            "TransactWriteItems": self._transact_write_items,
            "Query": self._query,
        }

    def answer(self, operation: str, body: bytes) -> Answer | None:
        """None where ministack has to answer."""
        answer = self._operations.get(operation)
        if answer is None or len(body) > _MOST_REQUEST_BYTES:
            return None
        try:
            with self._storage.database:
                request = json.loads(body)
                if type(request) is not dict:
                    return None
                try:
                    status, headers, content = answer(request)
                finally:
                    self._opened.clear()
        except (NotPlain, ValueError, RecursionError):
            return None
        headers["x-amz-crc32"] = str(zlib.crc32(content))
        return status, headers, content

    # Operations

    def _put_item(self, request: Json) -> Answer:
        _only(request, _PUT)
        item = _mapping(request, "Item")
        place = self._place(request, item)
        return self._replaced(request, place, self._checked(place, item))

    def _update_item(self, request: Json) -> Answer:
        _only(request, _UPDATE)
        key = _mapping(request, "Key")
        place = self._place(request, key, alone=True)
        returns = request.get("ReturnValues", "NONE")
        if returns not in ("NONE", "ALL_OLD", "ALL_NEW"):
            raise NotPlain
        update, condition = self._read(request)
        old = place.old()
        values = self._values(request, update, condition)
        new = self._updated(place, update, old, key, values)
        if condition and not condition.holds(old or {}, values):
            return self._refused(request, old)
        checked = self._checked(place, new)
        self._write(_Write(place, old, checked))
        if returns == "ALL_NEW":
            return _answer(Attributes=checked.text)
        return _answer(Attributes=encoded(old) if old and returns == "ALL_OLD" else None)

    def _delete_item(self, request: Json) -> Answer:
        _only(request, _DELETE)
        return self._replaced(request, self._place(request, _mapping(request, "Key"), alone=True), None)

    def _replaced(self, request: Json, place: _Place, new: _New | None) -> Answer:
        """Put an item in its place whole, or with None take it away, where the request's condition holds."""
        returns = request.get("ReturnValues", "NONE")
        if returns not in ("NONE", "ALL_OLD"):
            raise NotPlain
        old = place.old()
        if not self._holds(request, old):
            return self._refused(request, old)
        self._write(_Write(place, old, new))
        return _answer(Attributes=encoded(old) if old and returns == "ALL_OLD" else None)

    def _get_item(self, request: Json) -> Answer:
        _only(request, _GET)
        return _answer(Item=self._place(request, _mapping(request, "Key"), alone=True).old_text())

    def _batch_write_item(self, request: Json) -> Answer:
        _only(request, {"RequestItems"})
        writes: dict[tuple[str, Key], tuple[_Place, _New | None]] = {}
        number = 0
        for name, members in _mapping(request, "RequestItems").items():
            table = self._table(name)
            if type(members) is not list or not members:
                raise NotPlain
            number += len(members)
            for member in members:
                if type(member) is not dict or len(member) != 1:
                    raise NotPlain
                [(kind, given)] = member.items()
                if type(given) is not dict or given.keys() != _MEMBERS.get(kind):
                    raise NotPlain
                if kind == "PutRequest":
                    place = _place(name, table, given["Item"])
                    writes[name, place.key] = place, self._checked(place, given["Item"])
                else:
                    place = self._place_of_key(name, table, given["Key"])
                    writes[name, place.key] = place, None
        if not 0 < len(writes) == number <= _MOST_WRITES:
            raise NotPlain
        for place, new in writes.values():
            if new is None:
                self._write(_Write(place, place.old(), None))
            else:
                old = self._storage.put(place.table, *place.key, new.item, new.text, new.size)
                self._publish(place, old, new.item)
        return _answer(UnprocessedItems="{}")

    def _batch_get_item(self, request: Json) -> Answer:
        _only(request, {"RequestItems"})
        found: dict[str, list[str]] = {}
        for name, wanted in _mapping(request, "RequestItems").items():
            if type(wanted) is not dict or not wanted.keys() <= {"Keys", "ConsistentRead"}:
                raise NotPlain
            keys = wanted.get("Keys")
            if type(keys) is not list or not 0 < len(keys) <= _MOST_READS:
                raise NotPlain
            table = self._table(name)
            places = [self._place_of_key(name, table, key) for key in keys]
            if len({place.key for place in places}) < len(places):
                raise NotPlain
            found[name] = [text for place in places if (text := place.old_text()) is not None]
        if not found or sum(map(len, found.values())) > _MOST_READS:
            raise NotPlain
        tables = ",".join(f"{encoded(name)}:[{','.join(texts)}]" for name, texts in found.items())
        return _answer(Responses=f"{{{tables}}}", UnprocessedKeys="{}")

    def _transact_write_items(self, request: Json) -> Answer:
        _only(request, {"TransactItems", "ClientRequestToken"})
        actions = request.get("TransactItems")
        token = request.get("ClientRequestToken")
        if type(actions) is not list or not 0 < len(actions) <= _MOST_ACTIONS:
            raise NotPlain
        if token is not None and (
            type(token) is not str or not 0 < len(token) <= 36 or self._dynamodb._txn_token_lookup(token) is not None
        ):
            raise NotPlain
        writes: list[_Write] = []
        refused: dict[int, Item | None] = {}
        seen = set()
        for at, action in enumerate(actions):
            if type(action) is not dict or len(action) != 1:
                raise NotPlain
            [(kind, given)] = action.items()
            if kind not in _ACTIONS or type(given) is not dict:
                raise NotPlain
            write, holds = self._action(kind, given)
            seen.add((write.place.name, write.place.key))
            if not holds:
                shown = given.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
                refused[at] = write.old if shown else None
            if kind != "ConditionCheck":
                writes.append(write)
        if len(seen) < len(actions):
            raise NotPlain
        if refused:
            answer: Answer = self._dynamodb._transact_cancel_response(len(actions), refused, {})
            return answer
        for write in writes:
            self._write(write)
        if token:
            del request["ClientRequestToken"]
            self._dynamodb._txn_token_store(token, {"signature": request, "response": {}})
        return _answer()

    def _action(self, kind: str, given: Json) -> tuple[_Write, bool]:
        """One action of a transaction, and whether its condition holds."""
        _only(given, _ACTIONS[kind])
        if kind == "Put":
            item = _mapping(given, "Item")
            place = self._place(given, item)
            new = self._checked(place, item)
            old = place.old()
            return _Write(place, old, new), self._holds(given, old)
        key = _mapping(given, "Key")
        place = self._place(given, key, alone=True)
        old = place.old()
        if kind != "Update":
            if kind == "ConditionCheck" and "ConditionExpression" not in given:
                raise NotPlain
            return _Write(place, old, None), self._holds(given, old)
        update, condition = self._read(given)
        values = self._values(given, update, condition, as_written=True)
        checked = self._checked(place, self._updated(place, update, old, key, values))
        return _Write(place, old, checked), condition is None or condition.holds(old or {}, values)

    def _query(self, request: Json) -> Answer:
        _only(request, _QUERY)
        items = self._table(request.get("TableName")).items
        text = _expression(request, "KeyConditionExpression")
        limit, forward = request.get("Limit"), request.get("ScanIndexForward", True)
        if type(forward) is not bool or (limit is not None and (type(limit) is not int or limit < 1)):
            raise NotPlain
        condition = self._expressions.condition(text, _names(request))
        if condition is None:
            raise NotPlain
        values = self._values(request, None, condition)
        names = request.get("ExpressionAttributeNames") or {}
        equal = self._storage.equals(text, names, items.pk_name)
        if equal is None or (items.sk_type == "N" and "begins_with" in text):
            raise NotPlain
        ranges = [items.sk_name] if items.sk_name else []
        where = self._storage.bounds(text, [items.pk_name], ranges, values, names, items)
        pk = items.key_part(values[equal], items.pk_type, _MOST_KEY)
        if where is None or pk is None or any(not bound for bound in where[1]) or "BETWEEN" in where[0]:
            raise NotPlain
        page: list[str] = []
        total = 0
        more = False
        for item, size in self._storage.partition(items, pk, where, None, forward=forward):
            if page and total + size > _PAGE_BYTES:
                more = True
                break
            page.append(item)
            total += size
            if (limit is not None and len(page) >= limit) or total >= _PAGE_BYTES:
                more = True
                break
        last: str | None = None
        if more:
            item = json.loads(page[-1])
            last = encoded({name: item[name] for name in (items.pk_name, items.sk_name) if name})
        number = str(len(page))
        return _answer(Items=f"[{','.join(page)}]", Count=number, ScannedCount=number, LastEvaluatedKey=last)

    # What a request says

    def _table(self, name: Any) -> Opened:
        if type(name) is not str:
            raise NotPlain
        if name not in self._opened:
            table = self._dynamodb._tables.get(name)
            if not table or table.get("VectorIndexes") or table.get("_global_regions"):
                raise NotPlain
            self._opened[name] = self._storage.opened(table)
        return self._opened[name]

    def _place(self, request: Json, attributes: Item, *, alone: bool = False) -> _Place:
        """Where these attributes say that the item is; `alone`: there must be no others."""
        name = request.get("TableName")
        table = self._table(name)
        return self._place_of_key(str(name), table, attributes) if alone else _place(str(name), table, attributes)

    def _place_of_key(self, name: str, table: Opened, key: Any) -> _Place:
        place = _place(name, table, key)
        if len(key) != 1 + (table.items.sk_name is not None):
            raise NotPlain
        for value in key.values():
            self._weigh(value, 1)
        return place

    def _read(self, request: Json) -> tuple[Update, Condition | None]:
        names = _names(request)
        update = self._expressions.update(_expression(request, "UpdateExpression"), names)
        if update is None:
            raise NotPlain
        return update, self._condition(request, names)

    def _condition(self, request: Json, names: Names) -> Condition | None:
        if "ConditionExpression" not in request:
            return None
        condition = self._expressions.condition(_expression(request, "ConditionExpression"), names)
        if condition is None:
            raise NotPlain
        return condition

    def _values(
        self, request: Json, update: Update | None, condition: Condition | None, *, as_written: bool = False
    ) -> Item:
        """The values that the expressions name, which must be all that there are.

        `as_written`: ministack keeps a number of an update in a transaction as it came; so it is not plain unless
        DynamoDB would write it so.
        """
        values = request.get("ExpressionAttributeValues", {})
        names = request.get("ExpressionAttributeNames", {})
        stored = frozenset(update.values) if update else frozenset()
        used_values: set[str] = set(stored)
        used_names: set[str] = set(update.names) if update else set()
        if condition:
            used_values |= condition.values
            used_names |= condition.names
        for given, used, field in (
            (values, used_values, "ExpressionAttributeValues"),
            (names, used_names, "ExpressionAttributeNames"),
        ):
            if type(given) is not dict or given.keys() != used or (field in request and not given):
                raise NotPlain
        weights = {
            name: self._weigh(value, 1, as_written=as_written and name in stored) for name, value in values.items()
        }
        if update and sum(weights[name] for name in update.values) > _MOST_CHARGED:
            raise NotPlain
        return values  # type: ignore[no-any-return]

    def _holds(self, request: Json, old: Item | None) -> bool:
        condition = self._condition(request, _names(request))
        values = self._values(request, None, condition)
        return condition is None or condition.holds(old or {}, values)

    def _updated(self, place: _Place, update: Update, old: Item | None, key: Item, values: Item) -> Item:
        items = place.table.items
        if items.pk_name in update.targets or items.sk_name in update.targets:
            raise NotPlain
        return update.apply(old or key, values)

    def _checked(self, place: _Place, item: Item) -> _New:
        """The item, whose numbers are now written as DynamoDB writes them."""
        total = 0
        parts = []
        for name, value in item.items():
            named, length = _named(name)
            size = self._weigh(value, 1)
            total += length + size
            [(kind, content)] = value.items()
            text = f'{{"{kind}":{_quoted(content)}}}' if kind in ("S", "N") else encoded(value)
            parts.append(f"{named}:{text}")
        for name, kind in place.table.items.index_keys.items():
            if name in item and not item[name].get(kind):
                raise NotPlain
        if total > _MOST_ITEM or "" in item:
            raise NotPlain
        return _New(item, f"{{{','.join(parts)}}}", total)

    def _weigh(self, value: Any, level: int, *, as_written: bool = False) -> int:
        """A value's size in bytes. Its numbers are put as DynamoDB writes them; `as_written`: they have to be so."""
        if type(value) is not dict or len(value) != 1 or level > _MOST_NESTED:
            raise NotPlain
        [(kind, content)] = value.items()
        if kind == "S":
            if type(content) is not str:
                raise NotPlain
            return _length(content)
        if kind == "N":
            number = self._canonical(content) if type(content) is str else None
            if number is None or (as_written and number != content):
                raise NotPlain
            value["N"] = number
            return self._dynamodb._number_size_bytes(number)  # type: ignore[no-any-return]
        if kind == "M" and type(content) is dict:
            return 3 + sum(
                1 + _length(name) + self._weigh(part, level + 1, as_written=as_written)
                for name, part in content.items()
            )
        if kind == "L" and type(content) is list:
            return 3 + sum(1 + self._weigh(part, level + 1, as_written=as_written) for part in content)
        if (kind == "BOOL" and type(content) is bool) or (kind == "NULL" and content is True):
            return 1
        if kind == "B" and type(content) is str:
            return self._dynamodb._attribute_value_size(value)  # type: ignore[no-any-return]
        if kind == "SS" and type(content) is list and content and all(type(each) is str for each in content):
            total = sum(map(_length, content))
            if len(set(content)) == len(content):
                return total
        raise NotPlain

    # What it does

    def _refused(self, request: Json, old: Item | None) -> Answer:
        answer: Answer = self._dynamodb._conditional_check_failed(request, old)
        return answer

    def _write(self, write: _Write) -> None:
        place, old, new = write.place, write.old, write.new
        if new is not None:
            self._storage.write(place.table, *place.key, old, new.item, new.text, new.size)
            self._publish(place, old, new.item)
        elif old is not None:
            self._storage.remove(place.table, *place.key, old)
            self._publish(place, old, None)

    def _publish(self, place: _Place, old: Item | None, new: Item | None) -> None:
        """To the table's stream, where it has one."""
        stream = place.table.table.get("StreamSpecification") or {}
        if stream.get("StreamEnabled") or self._dynamodb._kinesis_destinations.get(place.name):
            event = "REMOVE" if new is None else "MODIFY" if old else "INSERT"
            self._dynamodb._emit_stream_event(place.name, event, old, new)


def _only(request: Json, known: set[str] | frozenset[str]) -> None:
    if not request.keys() <= known:
        raise NotPlain


def _mapping(request: Json, name: str) -> Json:
    found = request.get(name)
    if type(found) is not dict or not found:
        raise NotPlain
    return found


def _names(request: Json) -> Names:
    given = request.get("ExpressionAttributeNames")
    if given is None:
        return ()
    if type(given) is not dict or not all(type(name) is str for name in given.values()):
        raise NotPlain
    return tuple(sorted(given.items()))


def _expression(request: Json, field: str) -> str:
    text = request.get(field)
    if type(text) is str and 0 < len(text) < _MOST_EXPRESSION and text.isascii():
        return text
    raise NotPlain


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


_quoted = json.encoder.encode_basestring_ascii


@lru_cache(4096)
def _named(name: str) -> tuple[str, int]:
    """An attribute's name as JSON, and its length in bytes."""
    return _quoted(name), _length(name)


def _place(name: str, table: Opened, attributes: Any) -> _Place:
    items = table.items
    if type(attributes) is not dict:
        raise NotPlain
    pk = items.key_part(attributes.get(items.pk_name), items.pk_type, _MOST_KEY)
    sk: bytes | None = b""
    if items.sk_name is not None:
        sk = items.key_part(attributes.get(items.sk_name), items.sk_type, _MOST_SORT_KEY)
    if pk is None or sk is None:
        raise NotPlain
    return _Place(name, table, (pk, sk))


def _answer(**members: str | None) -> Answer:
    """An answer of these members, each as its JSON text; those that are None are left out."""
    content = ",".join(f'"{name}":{text}' for name, text in members.items() if text is not None)
    return 200, {"Content-Type": "application/x-amz-json-1.0"}, f"{{{content}}}".encode()
