"""Gap: DynamoDB keeps every item in memory, and a page of a query reads and sorts its whole partition.

Items are rows of an SQLite database in the engine's state directory. SQLite has them in the order of their keys, and so
the entries of indexes: a query reads what it answers. Each request that writes is one SQLite transaction, which ends
before the request is answered. An item's JSON text is kept as it is answered.
"""

from __future__ import annotations

import base64
import itertools
import json
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache, partial
from typing import Any

from universal_scheduler.local.gaps import between, edit, require_ministack
from universal_scheduler.local.state import State

Json = dict[str, Any]
Item = dict[str, Any]
Range = tuple[str, tuple[bytes, ...]]

_PAGE = 64
encoded = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_REAP_SECONDS = 60.0
_RECENT = 8
"""How many records of a stream are also in memory."""
_NO_SORT_KEY = "__no_sort__"
_BY_INDEX = """
SELECT item, size FROM entries AS e CROSS JOIN items USING (tbl, pk, sk) WHERE e.tbl = ? AND name = ? AND hash = ?"""
_CACHE_KILOBYTES = 8_000
# A table's number is used once: items that are still kept under it must not answer for a later table.
_SCHEMA = """
CREATE TABLE tables (id INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT NOT NULL);
CREATE TABLE items (
    tbl INTEGER NOT NULL, pk BLOB NOT NULL, sk BLOB NOT NULL, expires REAL, size INTEGER NOT NULL, item TEXT NOT NULL,
    PRIMARY KEY (tbl, pk, sk)
);
CREATE INDEX items_by_expiry ON items (tbl, expires) WHERE expires IS NOT NULL;
CREATE TABLE entries (
    tbl INTEGER NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL, sort BLOB NOT NULL,
    pk BLOB NOT NULL, sk BLOB NOT NULL,
    PRIMARY KEY (tbl, name, hash, sort, pk, sk)
) WITHOUT ROWID;
CREATE TABLE changes (stream INTEGER NOT NULL, number INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (stream, number)
) WITHOUT ROWID;
"""


class Database:
    """The file, and one connection to it for all threads."""

    def __init__(self, state: State) -> None:
        self.lock = threading.RLock()
        self.dropped: deque[int] = deque()
        self.dropped_streams: deque[int] = deque()
        self._streams = itertools.count(1)
        self._connection = state.open("dynamodb", [_SCHEMA], self.lock, cache_kilobytes=_CACHE_KILOBYTES)
        self.read = self._connection.execute

    def write(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")
        return self._connection.execute(statement, values)

    def commit(self) -> None:
        with self.lock:
            while self.dropped:
                number = (self.dropped.popleft(),)
                for name, column in (("entries", "tbl"), ("items", "tbl"), ("tables", "id")):
                    self.write(f"DELETE FROM {name} WHERE {column} = ?", number)
            while self.dropped_streams:
                self.write("DELETE FROM changes WHERE stream = ?", (self.dropped_streams.popleft(),))
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")

    def records(self) -> Records:
        return Records(self, next(self._streams))


class Items(Mapping[str, "Partition"]):
    """What ministack has as a dictionary of dictionaries in each table: items by partition key and sort key."""

    def __init__(self, database: Database, table: Json) -> None:
        types = {each["AttributeName"]: each["AttributeType"] for each in table.get("AttributeDefinitions", ())}
        self.database, self.types = database, types
        self.pk_name, self.sk_name = table["pk_name"], table["sk_name"]
        self.pk_type, self.sk_type = types.get(self.pk_name, "S"), types.get(self.sk_name, "S")
        with database.lock:
            made = database.write("INSERT INTO tables (arn) VALUES (?)", (table.get("TableArn", ""),))
        self.id = int(made.lastrowid or 0)
        self.expiry: str | None = None
        self.index_keys: dict[str, str] = {}
        """The attributes that are keys of indexes, and their types."""
        weakref.finalize(self, database.dropped.append, self.id)

    def __getitem__(self, pk: str) -> Partition:
        partition = Partition(self, _ordered(pk, self.pk_type))
        if not len(partition):
            raise KeyError(pk)
        return partition

    def get(self, pk: str, default: Any = None) -> Any:  # noqa: ARG002 - Mapping's signature
        """The partition, which may be empty: ministack asks for one to look for an item in it."""
        return Partition(self, _ordered(pk, self.pk_type))

    def __contains__(self, pk: object) -> bool:
        return isinstance(pk, str) and len(self.get(pk)) > 0

    def __iter__(self) -> Iterator[str]:
        found = self.database.read(
            "SELECT item FROM items WHERE tbl = ? GROUP BY pk ORDER BY pk", (self.id,)
        ).fetchall()
        return iter([_text(json.loads(text)[self.pk_name]) for (text,) in found])

    def __len__(self) -> int:
        [number] = self.database.read("SELECT count(DISTINCT pk) FROM items WHERE tbl = ?", (self.id,)).fetchone()
        return int(number)

    def __deepcopy__(self, memo: Any) -> dict[str, dict[str, Item]]:
        return {pk: dict(self[pk].items()) for pk in self}

    def count(self) -> int:
        return int(self.database.read("SELECT count(*) FROM items WHERE tbl = ?", (self.id,)).fetchone()[0])

    def key(self, pk: str, sk: str) -> tuple[bytes, bytes]:
        return _ordered(pk, self.pk_type), b"" if self.sk_name is None else _ordered(sk, self.sk_type)

    def key_of(self, item: Item) -> tuple[bytes, bytes]:
        return self.key(_text(item.get(self.pk_name)), _text(item.get(self.sk_name)) if self.sk_name else "")

    def key_part(self, value: Any, kind: str, most: int) -> bytes | None:
        """A key attribute's value in the order of keys; None when it is not of this kind, empty or too long."""
        if type(value) is not dict or len(value) != 1 or type(value.get(kind)) is not str:
            return None
        part = _ordered(value[kind], kind)
        return part if 0 < len(part) <= most else None

    def text(self, pk: bytes, sk: bytes) -> str | None:
        """The item's JSON text."""
        row = self.database.read(
            "SELECT item FROM items WHERE tbl = ? AND pk = ? AND sk = ?", (self.id, pk, sk)
        ).fetchone()
        return None if row is None else row[0]

    def item(self, pk: bytes, sk: bytes) -> Item | None:
        text = self.text(pk, sk)
        return None if text is None else json.loads(text)

    def rows(self, statement: str, values: Sequence[Any]) -> Iterator[tuple[str, int]]:
        """Rows (text, size) of items, read as far as they are wanted."""
        found = self.database.read(statement, values)
        while page := found.fetchmany(_PAGE):
            yield from page

    def pages(self, statement: str, values: Sequence[Any]) -> Iterator[Item]:
        """The items of such rows."""
        return (json.loads(text) for text, _ in self.rows(statement, values))


class Partition(Mapping[str, Item]):
    """The items of one partition key by sort key."""

    __slots__ = ("_items", "_pk")

    def __init__(self, items: Items, pk: bytes) -> None:
        self._items, self._pk = items, pk

    def __getitem__(self, sk: str) -> Item:
        found: Item | None = self.get(sk)
        if found is None:
            raise KeyError(sk)
        return found

    def get(self, sk: str, default: Any = None) -> Any:
        items = self._items
        with items.database.lock:
            found = items.item(self._pk, b"" if items.sk_name is None else _ordered(sk, items.sk_type))
        return default if found is None else found

    def __contains__(self, sk: object) -> bool:
        return isinstance(sk, str) and self.get(sk) is not None

    def __iter__(self) -> Iterator[str]:
        name = self._items.sk_name
        return iter([_NO_SORT_KEY if name is None else _text(item[name]) for item in self.values()])

    def __len__(self) -> int:
        found = self._items.database.read(
            "SELECT count(*) FROM items WHERE tbl = ? AND pk = ?", (self._items.id, self._pk)
        ).fetchone()
        return int(found[0])

    def values(self) -> Any:
        return list(
            self._items.pages(
                "SELECT item, size FROM items WHERE tbl = ? AND pk = ? ORDER BY sk", (self._items.id, self._pk)
            )
        )

    def __deepcopy__(self, memo: Any) -> dict[str, Item]:
        return dict(self.items())


class Records(Sequence[Json]):
    """The records of a table's stream, the oldest first: what ministack has as a list."""

    def __init__(self, database: Database, stream: int) -> None:
        self._database, self._stream = database, stream
        self._begin = self._end = 0
        self._oldest: Json | None = None
        self._recent: dict[int, Json] = {}
        """The last ones: most records are read as soon as they are written."""
        weakref.finalize(self, database.dropped_streams.append, stream)

    def append(self, record: Json) -> None:
        with self._database.lock:
            text = encoded(record)
            self._database.write("INSERT INTO changes VALUES (?, ?, ?)", (self._stream, self._end, text))
            self._recent[self._end] = record
            self._recent.pop(self._end - _RECENT, None)
            self._end += 1

    def __len__(self) -> int:
        return self._end - self._begin

    def __getitem__(self, wanted: Any) -> Any:
        if isinstance(wanted, slice):
            places = range(self._begin, self._end)[wanted]
            found = self._read(places[0], places[-1] + 1) if places else []
            return found[:: places.step]
        place = range(self._begin, self._end)[wanted]
        if place != self._begin:
            return self._read(place, place + 1)[0]
        if self._oldest is None:  # ministack looks at its age at every write
            [self._oldest] = self._read(place, place + 1)
        return self._oldest

    def __delitem__(self, gone: slice) -> None:
        places = range(self._begin, self._end)[gone]
        if places:
            with self._database.lock:
                self._database.write("DELETE FROM changes WHERE stream = ? AND number <= ?", (self._stream, places[-1]))
                self._begin, self._oldest = places[-1] + 1, None

    def __iter__(self) -> Iterator[Json]:
        for place in range(self._begin, self._end, _PAGE):
            yield from self._read(place, min(place + _PAGE, self._end))

    def _read(self, first: int, end: int) -> list[Json]:
        if first >= self._end - len(self._recent):
            return [self._recent[number] for number in range(first, end)]
        rows = self._database.read(
            "SELECT record FROM changes WHERE stream = ? AND number >= ? AND number < ? ORDER BY number",
            (self._stream, first, end),
        )
        return [json.loads(text) for (text,) in rows.fetchall()]


def apply(state: State) -> Storage:
    """Keep the items of DynamoDB in a file of this state."""
    require_ministack("DynamoDB keeps every item in memory")
    from ministack.services import dynamodb

    storage = Storage(dynamodb, Database(state))
    dynamodb._set_item = storage.set_item
    dynamodb._remove_item = storage.remove_item
    dynamodb._items_replaced = storage.items_replaced
    dynamodb._update_counts = storage.update_counts
    dynamodb._usched_query = storage.query
    dynamodb._usched_scan = storage.scan
    dynamodb._apply_exclusive_start_key_scan = storage.after
    dynamodb._usched_records = storage.database.records
    edit(
        dynamodb._emit_stream_event,
        ("_stream_records[table_name] = []", "_stream_records[table_name] = _usched_records()"),
    )
    _query_what_is_answered(dynamodb)
    _scan_what_is_answered(dynamodb)
    for name in ("_put_item", "_update_item", "_delete_item", "_get_item", "_query", "_scan", "_batch_write_item"):
        setattr(dynamodb, name, storage.committed(getattr(dynamodb, name)))
    for name in ("_batch_get_item", "_transact_write_items", "_transact_get_items", "_create_table", "_update_table"):
        setattr(dynamodb, name, storage.committed(getattr(dynamodb, name)))
    for name in ("_execute_statement", "_batch_execute_statement", "_execute_transaction", "_delete_table"):
        setattr(dynamodb, name, storage.committed(getattr(dynamodb, name)))
    for name in ("_restore_table_from_backup", "_restore_table_to_point_in_time", "_import_table", "_search_vectors"):
        setattr(dynamodb, name, storage.committed(getattr(dynamodb, name)))
    _reap_by_expiry(dynamodb, storage)
    return storage


def _query_what_is_answered(dynamodb: Any) -> None:
    walk = between(dynamodb._query, "    members = _index_members(table)", "    scanned_count = len(candidates)\n")
    reads = """\
    candidates = _usched_query(
        table, index_name, pk_vals, hash_names, range_names, key_cond, eav, ean, esk, scan_forward)
    if key_conditions:
        candidates = (it for it in candidates if _evaluate_key_conditions_item(it, key_conditions, pk_name))
    elif key_cond and not candidates.exact:
        candidates = (it for it in candidates
                      if _evaluate_condition(key_cond, it, eav, ean, slot="KeyConditionExpression"))
    try:
        candidates, has_more = _paginate_evaluated_items(candidates, limit, table, index_name)
    except ValueError as exc:
        return error_response_json("ValidationException", str(exc), 400)

"""
    edit(dynamodb._query, (walk, reads))


def _scan_what_is_answered(dynamodb: Any) -> None:
    walk = between(dynamodb._scan, "    all_items = []\n", "    if index_name:\n        pk_name_idx")
    edit(dynamodb._scan, (walk, "    all_items = _usched_scan(table, None if index_name else esk)\n\n"))


def _reap_by_expiry(dynamodb: Any, storage: Storage) -> None:
    """ministack's own thread walks every item of a table: it must find none, and ours asks for those that expired."""

    class Settings(type(dynamodb._ttl_settings)):  # type: ignore[misc]
        __slots__ = ()

        def all_items(self) -> list[Any]:
            return []

        def all_settings(self) -> list[Any]:
            return list(super().all_items())

    dynamodb._ttl_settings = storage.settings = Settings()
    dynamodb._usched_reap = storage.reap

    def run() -> None:
        while True:
            time.sleep(_REAP_SECONDS)
            storage.reap(time.time())

    threading.Thread(target=run, daemon=True, name="usched-dynamodb-ttl").start()


class Candidates:
    """The items that a query reads one after another; ``exact`` says that all of them meet its key condition."""

    def __init__(self, items: Iterator[Item], *, exact: bool) -> None:
        self._items, self.exact = items, exact

    def __iter__(self) -> Iterator[Item]:
        return self._items


@dataclass(frozen=True, slots=True)
class Opened:
    """A table and what a write to it has to know."""

    table: Json
    items: Items
    indexes: Indexes
    expiry: str | None


class Storage:
    """What is done to items, also for ministack's functions."""

    def __init__(self, dynamodb: Any, database: Database) -> None:
        self._dynamodb, self.database = dynamodb, database
        self.settings: Any = dynamodb._ttl_settings
        self._clauses = lru_cache(2048)(partial(_clauses, dynamodb))

    def committed(self, operation: Callable[[Json], Any]) -> Callable[[Json], Any]:
        """The operation, one at a time; what it wrote is in the file before its answer goes out."""

        def call(data: Json) -> Any:
            with self.database.lock:
                try:
                    return operation(data)
                finally:
                    self.database.commit()

        return call

    def items(self, table: Json) -> Items:
        return self.opened(table).items

    def opened(self, table: Json) -> Opened:
        """The table, ready for writes."""
        found = table["items"]
        if type(found) is Items:
            return Opened(table, found, self._indexes(table, found), self._expiry(table))
        made = table["items"] = Items(self.database, table)
        table.pop(self._dynamodb._INDEX_MEMBERS, None)
        opened = self.opened(table)
        count = table.get("ItemCount", 0)
        for partition in found.values():
            for item in partition.values():
                self.write(opened, *made.key_of(item), None, item, encoded(item), self._dynamodb._item_size_bytes(item))
        table["ItemCount"] = count
        return opened

    def set_item(self, table: Json, pk_val: str, sk_val: str, item: Item) -> Item | None:
        with self.database.lock:
            opened = self.opened(table)
            pk, sk = opened.items.key(pk_val, sk_val)
            old = opened.items.item(pk, sk)
            self.write(opened, pk, sk, old, item, encoded(item), self._dynamodb._item_size_bytes(item))
            return old

    def put(self, table: Opened, pk: bytes, sk: bytes, item: Item, text: str, size: int) -> Item | None:
        """Put an item into its place, whatever is there now; answers what was there."""
        if self._insert("INSERT OR IGNORE", table, pk, sk, item, text, size).rowcount:
            self._index(table, pk, sk, None, item)
            return None
        old = table.items.item(pk, sk)
        self.write(table, pk, sk, old, item, text, size)
        return old

    def write(self, table: Opened, pk: bytes, sk: bytes, old: Item | None, item: Item, text: str, size: int) -> None:
        """Put an item, which has this JSON text, into its place, where `old` is now."""
        if old is None:
            self._insert("INSERT", table, pk, sk, item, text, size)
        else:
            self.database.write(
                "UPDATE items SET expires = ?, size = ?, item = ? WHERE tbl = ? AND pk = ? AND sk = ?",
                (_expires(item, table.expiry), size, text, table.items.id, pk, sk),
            )
        self._index(table, pk, sk, old, item)

    def _insert(
        self, how: str, table: Opened, pk: bytes, sk: bytes, item: Item, text: str, size: int
    ) -> sqlite3.Cursor:
        made = self.database.write(
            how + " INTO items (tbl, pk, sk, expires, size, item) VALUES (?, ?, ?, ?, ?, ?)",
            (table.items.id, pk, sk, _expires(item, table.expiry), size, text),
        )
        if made.rowcount:
            _count(table.table, 1)
        return made

    def remove_item(self, table: Json, pk_val: str, sk_val: str) -> Item | None:
        with self.database.lock:
            opened = self.opened(table)
            pk, sk = opened.items.key(pk_val, sk_val)
            old = opened.items.item(pk, sk)
            if old is not None:
                self.remove(opened, pk, sk, old)
            return old

    def remove(self, table: Opened, pk: bytes, sk: bytes, old: Item) -> None:
        self.database.write("DELETE FROM items WHERE tbl = ? AND pk = ? AND sk = ?", (table.items.id, pk, sk))
        self._index(table, pk, sk, old, None)
        _count(table.table, -1)

    def _index(self, table: Opened, pk: bytes, sk: bytes, old: Item | None, new: Item | None) -> None:
        for name, hashes, ranges in table.indexes:
            if old is not None and new is not None and _same(old, new, hashes) and _same(old, new, ranges):
                continue
            before = _entry(table.items, hashes, ranges, old)
            after = _entry(table.items, hashes, ranges, new)
            if before == after:
                continue
            if before:
                self.database.write(
                    "DELETE FROM entries WHERE tbl = ? AND name = ? AND hash = ? AND sort = ? AND pk = ? AND sk = ?",
                    (table.items.id, name, *before, pk, sk),
                )
            if after:
                self.database.write(
                    "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", (table.items.id, name, *after, pk, sk)
                )

    def _indexes(self, table: Json, items: Items) -> Indexes:
        """ministack drops what it has under this name when the table's indexes change: they are made anew then."""
        known: Indexes | None = table.get(self._dynamodb._INDEX_MEMBERS)
        if known is not None:
            return known
        items.types = {each["AttributeName"]: each["AttributeType"] for each in table.get("AttributeDefinitions", ())}
        made = table[self._dynamodb._INDEX_MEMBERS] = list(self._dynamodb._index_key_schemas(table))
        names = {name for _, hashes, ranges in made for name in (*hashes, *ranges)}
        items.index_keys = {name: items.types.get(name, "S") for name in names}
        self.database.write("DELETE FROM entries WHERE tbl = ?", (items.id,))
        if made:
            opened = Opened(table, items, made, None)
            for pk, sk, text in self.database.read("SELECT pk, sk, item FROM items WHERE tbl = ?", (items.id,)):
                self._index(opened, pk, sk, None, json.loads(text))
        return made

    def items_replaced(self, table: Json) -> None:
        with self.database.lock:
            self.items(table)
            self.update_counts(table)

    def update_counts(self, table: Json) -> None:
        table["ItemCount"] = self.items(table).count()
        table["TableSizeBytes"] = table["ItemCount"] * 200

    def query(
        self,
        table: Json,
        index: str | None,
        values: Sequence[str],
        hashes: Sequence[str],
        ranges: Sequence[str],
        condition: str,
        given: Json,
        names: Mapping[str, str],
        start: Json | None,
        forward: bool,
    ) -> Candidates:
        items = self.items(table)
        parts = [_ordered(text, items.types.get(name, "S")) for name, text in zip(hashes, values, strict=True)]
        hash_value = _joined(parts)
        exact = False
        where: Range = ("", ())
        if condition and len(ranges) <= 1:
            bounds = self.bounds(condition, hashes, ranges, given, names, items)
            exact, where = bounds is not None, bounds or where
        if index:
            text, bound = where
            sign, order = (">", "ASC") if forward else ("<", "DESC")
            statement = _BY_INDEX
            arguments: list[Any] = [items.id, index, hash_value, *bound]
            statement += text.replace("{}", "sort")
            if start:
                statement += f" AND (sort, e.pk, e.sk) {sign} (?, ?, ?)"
                arguments += [_sort(items, ranges, start), *items.key_of(start)]
            statement += f" ORDER BY sort {order}, e.pk {order}, e.sk {order}"
            return Candidates(items.pages(statement, arguments), exact=exact)
        rows = self.partition(items, hash_value, where, items.key_of(start) if start else None, forward=forward)
        return Candidates((json.loads(text) for text, _ in rows), exact=exact)

    def partition(
        self, items: Items, pk: bytes, where: Range, start: tuple[bytes, bytes] | None, *, forward: bool
    ) -> Iterator[tuple[str, int]]:
        """The rows (text, size) of a partition's items in the order of their sort keys, those after `start`."""
        text, bound = where
        sign, order = (">", "ASC") if forward else ("<", "DESC")
        statement = "SELECT item, size FROM items WHERE tbl = ? AND pk = ?" + text.replace("{}", "sk")
        arguments: list[Any] = [items.id, pk, *bound]
        if start:
            statement += f" AND (sk, pk) {sign} (?, ?)"
            arguments += [start[1], start[0]]
        return items.rows(f"{statement} ORDER BY sk {order}", arguments)

    def equals(self, condition: str, names: Mapping[str, str], key: str) -> str | None:
        """The name of the value that the condition wants of this key alone, in its one word on it."""
        clauses = self._clauses(condition) or ()
        found = [(operator, operands) for name, operator, operands in clauses if names.get(name, name) == key]
        return found[0][1][0] if len(found) == 1 and found[0][0] == "=" else None

    def bounds(
        self,
        condition: str,
        hashes: Sequence[str],
        ranges: Sequence[str],
        given: Json,
        names: Mapping[str, str],
        items: Items,
    ) -> Range | None:
        """What the condition says of the sort key in SQL; None when it says more than is understood here."""
        found: Range = ("", ())
        for name, operator, operands in self._clauses(condition) or [("", "", ())]:
            real = names.get(name, name)
            values = [given.get(operand) for operand in operands]
            kind = items.types.get(real, "S")
            if not values or not all(isinstance(value, dict) and set(value) == {kind} for value in values):
                return None
            if real in hashes and operator == "=":
                continue
            if real not in ranges or found[0]:
                return None
            keys = tuple(_ordered(_text(value), kind) for value in values)
            if operator == "begins_with":
                end = _after_prefix(keys[0])
                found = (" AND {} >= ? AND {} < ?", (keys[0], end)) if end else (" AND {} >= ?", keys)
            elif operator == "BETWEEN":
                found = (" AND {} BETWEEN ? AND ?", keys)
            else:
                found = (f" AND {{}} {operator} ?", keys)
        return found

    def scan(self, table: Json, start: Json | None) -> Iterator[Item]:
        items = self.items(table)
        if start and items.pk_name in start:
            return items.pages(
                "SELECT item, size FROM items WHERE tbl = ? AND (pk, sk) > (?, ?) ORDER BY pk, sk",
                (items.id, *items.key_of(start)),
            )
        return items.pages("SELECT item, size FROM items WHERE tbl = ? ORDER BY pk, sk", (items.id,))

    def after(self, found: Sequence[Item], start: Json, table: Json) -> Iterator[Item]:
        items = self.items(table)
        first = items.key_of(start)
        return (item for item in found if items.key_of(item) > first)

    def _expiry(self, table: Json) -> str | None:
        """The attribute that tells when an item of the table expires."""
        arn = table.get("TableArn", "")
        setting: Json | None = None
        if arn.count(":") >= 5:
            _, _, _, region, account, _ = arn.split(":", 5)
            setting = self.settings.get_scoped(account, region, table.get("TableName", ""))
        if not setting or setting.get("TimeToLiveStatus") != "ENABLED":
            return None
        return setting.get("AttributeName") or None

    def reap(self, now: float) -> None:
        """Remove the items that have expired."""
        for (account, region, name), _ in self.settings.all_settings():
            with self.database.lock:
                table = self._dynamodb._tables.get_scoped(account, region, name)
                attribute = self._expiry(table) if table else None
                if table is None or attribute is None:
                    continue
                items = self.items(table)
                self._know_expiry(items, attribute)
                expired = self.database.read(
                    "SELECT item FROM items WHERE tbl = ? AND expires <= ?", (items.id, now)
                ).fetchall()
                for (text,) in expired:
                    item = json.loads(text)
                    self.remove_item(table, _text(item[items.pk_name]), _text(item.get(items.sk_name)))
                self.database.commit()

    def _know_expiry(self, items: Items, attribute: str) -> None:
        """Items that were written before the table had this attribute for its time to live."""
        if items.expiry == attribute:
            return
        items.expiry = attribute
        for pk, sk, text in self.database.read("SELECT pk, sk, item FROM items WHERE tbl = ?", (items.id,)).fetchall():
            self.database.write(
                "UPDATE items SET expires = ? WHERE tbl = ? AND pk = ? AND sk = ?",
                (_expires(json.loads(text), attribute), items.id, pk, sk),
            )


Indexes = list[tuple[str, list[str], list[str]]]


def _count(table: Json, more: int) -> None:
    table["ItemCount"] = max(0, table.get("ItemCount", 0) + more)
    table["TableSizeBytes"] = table["ItemCount"] * 200


def _clauses(dynamodb: Any, condition: str) -> list[tuple[str, str, tuple[str, ...]]] | None:
    """A key condition as (name, operator, values); None when it is not of the forms that AWS documents.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.KeyConditionExpressions.html
    """
    found: list[tuple[str, str, tuple[str, ...]]] = []
    for clause in dynamodb._key_condition_clauses(dynamodb._tokenize(condition)):
        kinds = [kind for kind, *_ in clause]
        texts = [token[1] for token in clause]
        if kinds in (["IDENT", "EQ", "VALUE_REF"], ["NAME_REF", "EQ", "VALUE_REF"]):
            found.append((texts[0], "=", (texts[2],)))
        elif len(kinds) == 3 and kinds[0] in ("IDENT", "NAME_REF") and kinds[2] == "VALUE_REF" and kinds[1] in _ORDERS:
            found.append((texts[0], _ORDERS[kinds[1]], (texts[2],)))
        elif kinds[1:] == ["IDENT", "VALUE_REF", "IDENT", "VALUE_REF"] and texts[1].upper() == "BETWEEN":
            found.append((texts[0], "BETWEEN", (texts[2], texts[4])))
        elif kinds[0] == "IDENT" and texts[0] == "begins_with" and len(kinds) == 6 and kinds[4] == "VALUE_REF":
            found.append((texts[2], "begins_with", (texts[4],)))
        else:
            return None
    return found


_ORDERS = {"LT": "<", "LE": "<=", "GT": ">", "GE": ">="}


def _same(old: Item, new: Item, names: Sequence[str]) -> bool:
    return all(old.get(name) == new.get(name) for name in names)


def _entry(items: Items, hashes: Sequence[str], ranges: Sequence[str], item: Item | None) -> tuple[bytes, bytes] | None:
    """(hash, sort) of an item in an index; None when it lacks one of the index's keys."""
    if item is None or not hashes:
        return None
    for name in hashes:
        if name not in item:
            return None
    for name in ranges:
        if name not in item:
            return None
    return _sort(items, hashes, item), _sort(items, ranges, item)


def _sort(items: Items, names: Sequence[str], item: Item) -> bytes:
    if len(names) == 1:
        [name] = names
        return _ordered(_text(item[name]), items.types.get(name, "S"))
    return _joined([_ordered(_text(item[name]), items.types.get(name, "S")) for name in names])


def _joined(parts: Sequence[bytes]) -> bytes:
    """Several keys as one that sorts as they do; one key as it is."""
    if len(parts) == 1:
        return parts[0]
    return b"".join(part.replace(b"\0", b"\0\xff") + b"\0\0" for part in parts)


def _text(value: Any) -> str:
    """The text of a key attribute, {"S": "a"}."""
    if isinstance(value, dict):
        for kind in ("S", "N", "B"):
            if kind in value:
                return str(value[kind])
    return str(value) if value else ""


def _ordered(text: str, kind: str) -> bytes:
    """A key's text as bytes that sort as DynamoDB sorts its values."""
    if kind == "S":
        return text.encode("utf-8", "surrogatepass")
    return _ordered_number(text) if kind == "N" else _ordered_binary(text)


def _ordered_binary(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""


@lru_cache(4096)
def _ordered_number(text: str) -> bytes:
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except (InvalidOperation, ValueError):
        return b"\1"
    if not isinstance(exponent, int) or not any(digits):
        return b"\1"
    written = "".join(map(str, digits)).lstrip("0")
    magnitude = (len(written) + exponent + 1000).to_bytes(2, "big") + written.rstrip("0").encode()
    return b"\0" + bytes(255 - byte for byte in magnitude) + b"\xff" if sign else b"\2" + magnitude


def _after_prefix(prefix: bytes) -> bytes:
    """The first bytes after all that begin with the prefix; empty when there are none."""
    rest = prefix.rstrip(b"\xff")
    return rest[:-1] + bytes([rest[-1] + 1]) if rest else b""


def _expires(item: Item, attribute: str | None) -> float | None:
    value = item.get(attribute) if attribute else None
    if value is None:
        return None
    try:
        return float(_text(value))
    except ValueError:
        return None
