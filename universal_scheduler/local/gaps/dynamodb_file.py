"""DynamoDB's file: items, the entries of indexes, the records of streams, and how far each mapping has read them.

Tables and streams attach to what is in the file by their ARNs. SQLite has items in the order of their keys.
"""

from __future__ import annotations

import base64
import json
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from universal_scheduler.local.gaps.transactions import File
from universal_scheduler.local.state import State

Json = dict[str, Any]
Item = dict[str, Any]

_PAGE = 64
_RECENT = 8
"""How many records of a stream are also in memory."""
_NO_SORT_KEY = "__no_sort__"
_CACHE_KILOBYTES = 8_000
# What is known of a table is its definition, the indexes that have entries, and the attribute that `expires` is of.
# A number is used once: what is still kept under it must not answer for a later table or stream.
_SCHEMA = """
CREATE TABLE tables (
    id INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT NOT NULL UNIQUE, keys TEXT NOT NULL,
    definition TEXT NOT NULL DEFAULT '', indexes TEXT NOT NULL DEFAULT '{}', expiry TEXT
);
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
CREATE TABLE streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT NOT NULL UNIQUE, first INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE changes (stream INTEGER NOT NULL, number INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (stream, number)
) WITHOUT ROWID;
CREATE TABLE positions (function TEXT NOT NULL, stream TEXT NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (function, stream)
) WITHOUT ROWID;
"""

encoded = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Database(File):
    """The file of tables and streams."""

    def __init__(self, state: State) -> None:
        super().__init__(state, "dynamodb", [_SCHEMA], cache_kilobytes=_CACHE_KILOBYTES)
        self.gone: deque[int] = deque()
        """Streams that nobody knows any more."""

    def forget_streams(self) -> None:
        """Delete the records of streams that nobody knows any more."""
        with self:
            while self.gone:
                number = (self.gone.popleft(),)
                self.write("DELETE FROM changes WHERE stream = ?", number)
                self.write("DELETE FROM streams WHERE id = ?", number)

    def last_number(self) -> str | None:
        """The highest sequence number of all records."""
        rows = self.read(
            "SELECT record FROM streams JOIN changes ON stream = id AND number ="
            " (SELECT max(number) FROM changes WHERE stream = id)"
        )
        return max((json.loads(text)["dynamodb"]["SequenceNumber"] for (text,) in rows), default=None)


class Positions:
    """How far the mappings of streams have come: the number of the record that each has to read next."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, function: str, stream: str) -> int | None:
        row = self._database.read(
            "SELECT position FROM positions WHERE function = ? AND stream = ?", (function, stream)
        ).fetchone()
        return None if row is None else int(row[0])

    def least(self, stream: str) -> int | None:
        """Where the slowest mapping of a stream is."""
        [found] = self._database.read("SELECT min(position) FROM positions WHERE stream = ?", (stream,)).fetchone()
        return None if found is None else int(found)

    def set(self, function: str, stream: str, position: int) -> None:
        with self._database:
            self._database.write("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", (function, stream, position))

    def forget(self, function: str, stream: str) -> None:
        with self._database:
            self._database.write("DELETE FROM positions WHERE function = ? AND stream = ?", (function, stream))


class Items(Mapping[str, "Partition"]):
    """What ministack has as a dictionary of dictionaries in each table: items by partition key and sort key.

    Raises:
        ValueError: the file has a table of this ARN with other keys.
    """

    def __init__(self, database: Database, table: Json) -> None:
        types = {each["AttributeName"]: each["AttributeType"] for each in table.get("AttributeDefinitions", ())}
        self.database, self.types = database, types
        self.pk_name, self.sk_name = table["pk_name"], table["sk_name"]
        self.pk_type, self.sk_type = types.get(self.pk_name, "S"), types.get(self.sk_name, "S")
        self.indexed: dict[str, Any] = {}
        """The indexes that have their entries: by name, the names and types of their keys."""
        self.index_keys: dict[str, str] = {}
        """The attributes that are keys of indexes, and their types."""
        self.definition = ""
        self.expiry: str | None = None
        self.id = self._attach(table["TableArn"])

    def _attach(self, arn: str) -> int:
        keys = encoded({self.pk_name: self.pk_type} | ({self.sk_name: self.sk_type} if self.sk_name else {}))
        with self.database as database:
            row = database.read("SELECT id, keys, definition, indexes, expiry FROM tables WHERE arn = ?", (arn,))
            if (found := row.fetchone()) is None:
                return database.write("INSERT INTO tables (arn, keys) VALUES (?, ?)", (arn, keys)).lastrowid or 0
            number, kept, self.definition, indexes, self.expiry = found
            if kept != keys:
                raise ValueError(f"{arn} has items with the keys {kept}, and cannot have the keys {keys}")
            self.indexed = json.loads(indexes)
            return int(number)

    def reload(self) -> bool:
        """Take over what the file has; whether it has the table."""
        row = self.database.read("SELECT definition, indexes, expiry FROM tables WHERE id = ?", (self.id,)).fetchone()
        if row is None:
            return False
        self.definition, self.indexed, self.expiry = row[0], json.loads(row[1]), row[2]
        return True

    def define(self, definition: str) -> None:
        """Keep what is known of the table."""
        if definition != self.definition:
            self.database.write("UPDATE tables SET definition = ? WHERE id = ?", (definition, self.id))
            self.definition = definition

    def index(self, indexed: dict[str, Any]) -> None:
        """Keep which indexes have their entries."""
        self.indexed = indexed
        self.database.write("UPDATE tables SET indexes = ? WHERE id = ?", (encoded(indexed), self.id))

    def expire_by(self, attribute: str | None) -> None:
        """Make `expires` of every item that of this attribute."""
        if self.expiry == attribute:
            return
        self.expiry = attribute
        rows = self.database.read("SELECT pk, sk, item FROM items WHERE tbl = ?", (self.id,)) if attribute else ()
        for pk, sk, text in list(rows):
            self.database.write(
                "UPDATE items SET expires = ? WHERE tbl = ? AND pk = ? AND sk = ?",
                (expires(json.loads(text), attribute), self.id, pk, sk),
            )
        self.database.write("UPDATE tables SET expiry = ? WHERE id = ?", (attribute, self.id))

    def clear(self) -> None:
        """Delete all items."""
        with self.database as database:
            for name in ("entries", "items"):
                database.write(f"DELETE FROM {name} WHERE tbl = ?", (self.id,))

    def drop(self) -> None:
        """Delete the table."""
        with self.database as database:
            self.clear()
            database.write("DELETE FROM tables WHERE id = ?", (self.id,))

    def __getitem__(self, pk: str) -> Partition:
        partition = Partition(self, ordered(pk, self.pk_type))
        if not len(partition):
            raise KeyError(pk)
        return partition

    def get(self, pk: str, default: Any = None) -> Any:  # noqa: ARG002 - Mapping's signature
        """The partition, which may be empty: ministack asks for one to look for an item in it."""
        return Partition(self, ordered(pk, self.pk_type))

    def __contains__(self, pk: object) -> bool:
        return isinstance(pk, str) and len(self.get(pk)) > 0

    def __iter__(self) -> Iterator[str]:
        found = self.database.read(
            "SELECT item FROM items WHERE tbl = ? GROUP BY pk ORDER BY pk", (self.id,)
        ).fetchall()
        return iter([text_of(json.loads(text)[self.pk_name]) for (text,) in found])

    def __len__(self) -> int:
        [number] = self.database.read("SELECT count(DISTINCT pk) FROM items WHERE tbl = ?", (self.id,)).fetchone()
        return int(number)

    def __deepcopy__(self, memo: Any) -> dict[str, dict[str, Item]]:
        return {pk: dict(self[pk].items()) for pk in self}

    def count(self) -> int:
        return int(self.database.read("SELECT count(*) FROM items WHERE tbl = ?", (self.id,)).fetchone()[0])

    def key(self, pk: str, sk: str) -> tuple[bytes, bytes]:
        return ordered(pk, self.pk_type), b"" if self.sk_name is None else ordered(sk, self.sk_type)

    def key_of(self, item: Item) -> tuple[bytes, bytes]:
        return self.key(text_of(item.get(self.pk_name)), text_of(item.get(self.sk_name)) if self.sk_name else "")

    def key_part(self, value: Any, kind: str, most: int) -> bytes | None:
        """A key attribute's value in the order of keys; None when it is not of this kind, empty or too long."""
        if type(value) is not dict or len(value) != 1 or type(value.get(kind)) is not str:
            return None
        part = ordered(value[kind], kind)
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
            found = items.item(self._pk, b"" if items.sk_name is None else ordered(sk, items.sk_type))
        return default if found is None else found

    def __contains__(self, sk: object) -> bool:
        return isinstance(sk, str) and self.get(sk) is not None

    def __iter__(self) -> Iterator[str]:
        name = self._items.sk_name
        return iter([_NO_SORT_KEY if name is None else text_of(item[name]) for item in self.values()])

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

    def __init__(self, database: Database, arn: str) -> None:
        self._database, self.arn = database, arn
        with database:
            found = database.read("SELECT id FROM streams WHERE arn = ?", (arn,)).fetchone()
            if found is None:
                found = (database.write("INSERT INTO streams (arn) VALUES (?)", (arn,)).lastrowid,)
        self._stream = int(found[0])
        self.reload()
        weakref.finalize(self, database.gone.append, self._stream)

    def reload(self) -> None:
        """Take over what the file has."""
        row = self._database.read(
            "SELECT first, (SELECT max(number) + 1 FROM changes WHERE stream = id) FROM streams WHERE id = ?",
            (self._stream,),
        ).fetchone()
        self.first = row[0] if row else 0
        """The number of the oldest record: so many are gone."""
        self._end = (row and row[1]) or self.first
        self._oldest: Json | None = None
        self._recent: dict[int, Json] = {}
        """The last ones: most records are read as soon as they are written."""

    def append(self, record: Json) -> None:
        with self._database:
            text = encoded(record)
            self._database.write("INSERT INTO changes VALUES (?, ?, ?)", (self._stream, self._end, text))
            self._recent[self._end] = record
            self._recent.pop(self._end - _RECENT, None)
            self._end += 1

    def __len__(self) -> int:
        return self._end - self.first

    def __getitem__(self, wanted: Any) -> Any:
        if isinstance(wanted, slice):
            places = range(self.first, self._end)[wanted]
            found = self._read(places[0], places[-1] + 1) if places else []
            return found[:: places.step]
        place = range(self.first, self._end)[wanted]
        if place != self.first:
            return self._read(place, place + 1)[0]
        if self._oldest is None:  # ministack looks at its age at every write
            [self._oldest] = self._read(place, place + 1)
        return self._oldest

    def __delitem__(self, gone: slice) -> None:
        places = range(self.first, self._end)[gone]
        if places:
            with self._database as database:
                database.write("DELETE FROM changes WHERE stream = ? AND number <= ?", (self._stream, places[-1]))
                database.write("UPDATE streams SET first = ? WHERE id = ?", (places[-1] + 1, self._stream))
                self.first, self._oldest = places[-1] + 1, None

    def __iter__(self) -> Iterator[Json]:
        for place in range(self.first, self._end, _PAGE):
            yield from self._read(place, min(place + _PAGE, self._end))

    def _read(self, first: int, end: int) -> list[Json]:
        if first >= self._end - len(self._recent):
            return [self._recent[number] for number in range(first, end)]
        rows = self._database.read(
            "SELECT record FROM changes WHERE stream = ? AND number >= ? AND number < ? ORDER BY number",
            (self._stream, first, end),
        )
        return [json.loads(text) for (text,) in rows.fetchall()]


def text_of(value: Any) -> str:
    """The text of a key attribute, {"S": "a"}."""
    if isinstance(value, dict):
        for kind in ("S", "N", "B"):
            if kind in value:
                return str(value[kind])
    return str(value) if value else ""


def ordered(text: str, kind: str) -> bytes:
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


def expires(item: Item, attribute: str | None) -> float | None:
    """When the item expires."""
    value = item.get(attribute) if attribute else None
    if value is None:
        return None
    try:
        return float(text_of(value))
    except ValueError:
        return None
