"""Gap: DynamoDB keeps every item in memory, and a page of a query reads and sorts its whole partition.

Items are rows of an SQLite database in the engine's state directory. SQLite has them in the order of their keys, and so
the entries of indexes: a query reads what it answers. Each request that writes is one SQLite transaction, which ends
before the request is answered. An item's JSON text is kept as it is answered.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from universal_scheduler.local.gaps import between, edit, require_ministack
from universal_scheduler.local.gaps.dynamodb_file import (
    Database,
    Item,
    Items,
    Json,
    Positions,
    Records,
    encoded,
    expires,
    ordered,
    text_of,
)
from universal_scheduler.local.state import State

Range = tuple[str, tuple[bytes, ...]]

_REAP_SECONDS = 60.0
_REAPED = 500
"""How many expired items are deleted at once: others wait meanwhile."""
_BY_INDEX = """
SELECT item, size FROM entries AS e CROSS JOIN items USING (tbl, pk, sk) WHERE e.tbl = ? AND name = ? AND hash = ?"""
_OPERATIONS = (
    *("_put_item", "_update_item", "_delete_item", "_get_item", "_query", "_scan", "_batch_write_item"),
    *("_batch_get_item", "_transact_write_items", "_transact_get_items", "_search_vectors"),
    *("_execute_statement", "_batch_execute_statement", "_execute_transaction"),
)
_DEFINE = (
    *("_create_table", "_update_table", "_delete_table", "_import_table"),
    *("_restore_table_from_backup", "_restore_table_to_point_in_time", "_update_ttl", "_update_continuous_backups"),
    *("_tag_resource", "_untag_resource", "_put_resource_policy", "_delete_resource_policy"),
)
"""What changes tables themselves."""
_SETTINGS = {
    "_ttl_settings": "TableName",
    "_pitr_settings": "TableName",
    "_tags": "TableArn",
    "_resource_policies": "TableArn",
}
"""What ministack has of a table in other dictionaries, and under which of its names."""
_COUNTS = ("ItemCount", "TableSizeBytes")


def apply(state: State) -> Storage:
    """Keep DynamoDB's tables, their items and their streams in a file of this state."""
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
    dynamodb._usched_records = storage.records
    dynamodb._trim_stream_records = storage.trim
    dynamodb._next_stream_seq = _Numbers(storage.database.last_number())
    edit(
        dynamodb._emit_stream_event,
        ("_stream_records[table_name] = []", "_stream_records[table_name] = _usched_records(table)"),
    )
    _query_what_is_answered(dynamodb)
    _scan_what_is_answered(dynamodb)
    for name in _OPERATIONS:
        setattr(dynamodb, name, storage.committed(getattr(dynamodb, name)))
    for name in _DEFINE:
        setattr(dynamodb, name, storage.defining(getattr(dynamodb, name)))
    _keep_tables(dynamodb, storage)
    _reap_by_expiry(dynamodb, storage)
    storage.restore()
    return storage


def apply_to_stacks(storage: Storage) -> None:
    """A table that a stack makes has the items that are in the file under its name, and its time to live."""
    from ministack.services import dynamodb
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
    stock: Callable[[str, Json, str], tuple[str, Json]] = handlers["create"]

    def create(logical_id: str, properties: Json, stack: str) -> tuple[str, Json]:
        with storage.database:
            name, _ = stock(logical_id, properties, stack)
            if living := properties.get("TimeToLiveSpecification"):
                given = {**living, "Enabled": str(living.get("Enabled")).lower() == "true"}
                dynamodb._update_ttl({"TableName": name, "TimeToLiveSpecification": given})
        return name, provisioners._ddb_attrs(dynamodb._tables[name])

    handlers["create"] = create


class _Numbers:
    """Numbers for the records of streams: each is higher than all before it, whatever the clock says."""

    def __init__(self, last: str | None) -> None:
        self._at, self._count = (int(last[:20]), int(last[20:])) if last else (0, 0)
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            self._at, self._count = max(self._at, int(time.time() * 1000)), self._count + 1
            return f"{self._at:020}{self._count:010}"


def _keep_tables(dynamodb: Any, storage: Storage) -> None:
    """What comes into ministack's dictionary of tables goes into the file, and what leaves it is deleted there."""

    class Tables(type(dynamodb._tables)):  # type: ignore[misc]
        __slots__ = ()

        def __setitem__(self, name: str, table: Json) -> None:
            storage.attach(table, self.get(name))
            super().__setitem__(name, table)

        def set_scoped(self, account: str, region: str, name: str, table: Json) -> None:
            storage.attach(table, self.get_scoped(account, region, name))
            super().set_scoped(account, region, name, table)

        def __delitem__(self, name: str) -> None:
            storage.drop(self[name])
            super().__delitem__(name)

        def pop(self, name: str, *default: Any) -> Any:
            storage.drop(self.get(name))
            return super().pop(name, *default)

        def pop_scoped(self, account: str, region: str, name: str, *default: Any) -> Any:
            storage.drop(self.get_scoped(account, region, name))
            return super().pop_scoped(account, region, name, *default)

        def clear(self) -> None:
            for table in self.all_values():
                storage.drop(table)
            super().clear()

        def forget(self, key: tuple[str, str, str]) -> None:
            """The table is not in the file."""
            self._data.pop(key, None)

    dynamodb._tables = Tables()


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
        self.positions = Positions(database)
        self._started = time.monotonic()
        database.undone = self.undone
        self._clauses = lru_cache(2048)(partial(_clauses, dynamodb))

    def committed(self, operation: Callable[[Json], Any]) -> Callable[[Json], Any]:
        """The operation, one at a time; what it wrote is in the file before its answer goes out."""

        def call(data: Json) -> Any:
            with self.database:
                return operation(data)

        return call

    def defining(self, operation: Callable[[Json], Any]) -> Callable[[Json], Any]:
        """The operation, which may change a table itself."""

        def call(data: Json) -> Any:
            with self.database:
                answer = operation(data)
                for table in self._dynamodb._tables.all_values():
                    self._define(table)
                return answer

        return call

    def restore(self) -> None:
        """Give ministack the tables that the file has, and their streams."""
        streams = dict(self.database.read("SELECT arn, id FROM streams").fetchall())
        for (definition,) in self.database.read("SELECT definition FROM tables ORDER BY id").fetchall():
            self._restore(json.loads(definition), streams)
        self.database.gone.extend(streams.values())

    def _restore(self, kept: Json, streams: Json) -> None:
        """Give ministack a table, and the one of these streams that is the table's."""
        dynamodb, table = self._dynamodb, kept["table"] | {"items": {}}
        scope, name = _scope(table), table["TableName"]
        for setting, value in kept["settings"].items():
            getattr(dynamodb, setting).set_scoped(*scope, table[_SETTINGS[setting]], value)
        dynamodb._tables.set_scoped(*scope, name, table)
        if _streams(table) and streams.pop(table["LatestStreamArn"], None):
            records = self.records(table)
            dynamodb._stream_records.set_scoped(*scope, name, records)
            dynamodb._stream_trimmed.set_scoped(*scope, name, records.first)

    def attach(self, table: Json, old: Json | None) -> None:
        """Take a table to what the file has under its ARN, and let it be the one that there was."""
        with self.database:
            if table["items"]:
                self.opened(table)
            else:
                table["items"] = Items(self.database, table)
                table.pop(self._dynamodb._INDEX_MEMBERS, None)
                self.update_counts(table)
            if old is not None:
                table |= {key: old[key] for key in ("TableId", "CreationDateTime")}
                if _streams(old) and _streams(table):
                    table |= {key: old[key] for key in ("LatestStreamArn", "LatestStreamLabel")}
                elif _streams(old):
                    self._dynamodb.drop_stream_records(table["TableName"], old)
            self._define(table)

    def drop(self, table: Json | None) -> None:
        """Delete a table's items and what is known of it."""
        if table is not None:
            self.items(table).drop()

    def _define(self, table: Json) -> None:
        left_out = {"items", self._dynamodb._INDEX_MEMBERS, *_COUNTS}
        found = {
            setting: getattr(self._dynamodb, setting).get_scoped(*_scope(table), table[name])
            for setting, name in _SETTINGS.items()
        }
        kept = {
            "table": {key: value for key, value in table.items() if key not in left_out},
            "settings": {setting: value for setting, value in found.items() if value is not None},
        }
        items = self.items(table)
        items.define(encoded(kept))
        items.expire_by(self._expiry(table))

    def records(self, table: Json) -> Records:
        return Records(self.database, table["LatestStreamArn"])

    def trim(self, name: str, *, account_id: str | None = None, region: str | None = None) -> None:
        """Delete the records of a table's stream that are older than a day.

        What a mapping has not read yet gets a day of this engine's own time: it may not have run for long.
        """
        dynamodb = self._dynamodb
        scope = (account_id or dynamodb.get_account_id(), region or dynamodb.get_region(), name)
        records: Records | None = dynamodb._stream_records.get_scoped(*scope)
        before = time.time() - dynamodb._STREAM_RETENTION_SECONDS
        if not records or _created(records[0]) >= before:
            return
        with self.database:
            old = bisect_left(range(len(records)), before, key=lambda place: _created(records[place]))
            if time.monotonic() - self._started < dynamodb._STREAM_RETENTION_SECONDS:
                read = self.positions.least(records.arn)
                old = old if read is None else min(old, max(0, read - records.first))
            del records[:old]
            dynamodb._stream_trimmed.set_scoped(*scope, records.first)

    def undone(self) -> None:
        """Take over what the file has, after a transaction was rolled back."""
        tables, known = self._dynamodb._tables, set()
        for key, table in tables.all_items():
            if type(items := table["items"]) is Items and not items.reload():
                tables.forget(key)
                continue
            known.add(table["TableArn"])
            table.pop(self._dynamodb._INDEX_MEMBERS, None)
            self.update_counts(table)
        kept = self.database.read("SELECT arn, definition FROM tables").fetchall()
        streams = dict(self.database.read("SELECT arn, id FROM streams").fetchall())
        for arn, definition in kept:
            if arn not in known:
                self._restore(json.loads(definition), streams)
        for key, records in self._dynamodb._stream_records.all_items():
            records.reload()
            self._dynamodb._stream_trimmed.set_scoped(*key, records.first)

    def items(self, table: Json) -> Items:
        return self.opened(table).items

    def opened(self, table: Json) -> Opened:
        """The table, ready for writes."""
        found = table["items"]
        if type(found) is Items:
            return Opened(table, found, self._indexes(table, found), self._expiry(table))
        with self.database:  # ministack has put a dictionary with other items there
            made = table["items"] = Items(self.database, table)
            made.clear()
            table.pop(self._dynamodb._INDEX_MEMBERS, None)
            opened = self.opened(table)
            for partition in found.values():
                for item in partition.values():
                    size = self._dynamodb._item_size_bytes(item)
                    self.write(opened, *made.key_of(item), None, item, encoded(item), size)
            self.update_counts(table)
            return opened

    def set_item(self, table: Json, pk_val: str, sk_val: str, item: Item) -> Item | None:
        with self.database:
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
                (expires(item, table.expiry), size, text, table.items.id, pk, sk),
            )
        self._index(table, pk, sk, old, item)

    def _insert(
        self, how: str, table: Opened, pk: bytes, sk: bytes, item: Item, text: str, size: int
    ) -> sqlite3.Cursor:
        made = self.database.write(
            how + " INTO items (tbl, pk, sk, expires, size, item) VALUES (?, ?, ?, ?, ?, ?)",
            (table.items.id, pk, sk, expires(item, table.expiry), size, text),
        )
        if made.rowcount:
            _count(table.table, 1)
        return made

    def remove_item(self, table: Json, pk_val: str, sk_val: str) -> Item | None:
        with self.database:
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
        wanted = {
            name: [[[key, items.index_keys[key]] for key in keys] for keys in (hashes, ranges)]
            for name, hashes, ranges in made
        }
        if wanted != items.indexed:
            self._index_anew(table, items, made, wanted)
        return made

    def _index_anew(self, table: Json, items: Items, indexes: Indexes, wanted: dict[str, Any]) -> None:
        with self.database as database:
            for name, keys in items.indexed.items():
                if keys != wanted.get(name):
                    database.write("DELETE FROM entries WHERE tbl = ? AND name = ?", (items.id, name))
            new = [index for index in indexes if wanted[index[0]] != items.indexed.get(index[0])]
            if new:
                opened = Opened(table, items, new, None)
                for pk, sk, text in database.read("SELECT pk, sk, item FROM items WHERE tbl = ?", (items.id,)):
                    self._index(opened, pk, sk, None, json.loads(text))
            items.index(wanted)

    def items_replaced(self, table: Json) -> None:
        with self.database:
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
        parts = [ordered(text, items.types.get(name, "S")) for name, text in zip(hashes, values, strict=True)]
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
            keys = tuple(ordered(text_of(value), kind) for value in values)
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

    def reap(self, now: float, only: str | None = None) -> int:
        """Remove the items that have expired, of all tables or of those with one name. Answers how many."""
        removed = 0
        for key, _ in self.settings.all_settings():
            if only in (None, key[-1]):
                while count := self._reap_some(self._dynamodb._tables.get_scoped(*key), now):
                    removed += count
        self.database.forget_streams()
        return removed

    def _reap_some(self, table: Json | None, now: float) -> int:
        """How many were removed; 0 if there are no more."""
        with self.database as database:
            if table is None or self._expiry(table) is None:
                return 0
            opened = self.opened(table)
            expired = database.read(
                "SELECT pk, sk, item FROM items WHERE tbl = ? AND expires <= ? LIMIT ?", (opened.items.id, now, _REAPED)
            ).fetchall()
            for pk, sk, text in expired:
                self.remove(opened, pk, sk, json.loads(text))
        return len(expired)


Indexes = list[tuple[str, list[str], list[str]]]


def _scope(table: Json) -> tuple[str, str]:
    """The table's account and region."""
    _, _, _, region, account, _ = table["TableArn"].split(":", 5)
    return account, region


def _streams(table: Json) -> bool:
    """Whether the table has a stream."""
    return bool((table.get("StreamSpecification") or {}).get("StreamEnabled") and table.get("LatestStreamArn"))


def _created(record: Json) -> float:
    return float(record["dynamodb"]["ApproximateCreationDateTime"])


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
        return ordered(text_of(item[name]), items.types.get(name, "S"))
    return _joined([ordered(text_of(item[name]), items.types.get(name, "S")) for name in names])


def _joined(parts: Sequence[bytes]) -> bytes:
    """Several keys as one that sorts as they do; one key as it is."""
    if len(parts) == 1:
        return parts[0]
    return b"".join(part.replace(b"\0", b"\0\xff") + b"\0\0" for part in parts)


def _after_prefix(prefix: bytes) -> bytes:
    """The first bytes after all that begin with the prefix; empty when there are none."""
    rest = prefix.rstrip(b"\xff")
    return rest[:-1] + bytes([rest[-1] + 1]) if rest else b""
