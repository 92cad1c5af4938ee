"""Gap: CloudWatch Logs keeps every stream, every line and a second record of each line in memory.

Streams and lines are rows of an SQLite file in the engine's state directory; ministack reads and writes them through
what looks like its own dictionaries and lists. Searches in many streams are SQL.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

from universal_scheduler.local.gaps import between, edit, require_ministack
from universal_scheduler.local.state import State

Json = dict[str, Any]
Event = dict[str, Any]

_PAGE = 256
_CACHE_KILOBYTES = 2000
_SCHEMA = """
CREATE TABLE streams (
    id INTEGER PRIMARY KEY, grp INTEGER NOT NULL, name TEXT NOT NULL, token TEXT NOT NULL, created INTEGER NOT NULL,
    first INTEGER, last INTEGER, ingested INTEGER, length INTEGER NOT NULL DEFAULT 0, UNIQUE (grp, name)
);
CREATE INDEX streams_by_last_event ON streams (grp, last);
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, timestamp INTEGER NOT NULL,
    ingested INTEGER NOT NULL, message TEXT NOT NULL
);
CREATE INDEX events_in_stream ON events (stream, timestamp, id);
"""
_COLUMNS = {
    "uploadSequenceToken": "token",
    "creationTime": "created",
    "firstEventTimestamp": "first",
    "lastEventTimestamp": "last",
    "lastIngestionTime": "ingested",
}
_EVENT = "timestamp, message, events.ingested, events.id"


class Logs:
    """The file. Its connection is for all threads."""

    def __init__(self, state: State) -> None:
        self._lock = threading.RLock()
        self._connection = state.open("logs", [_SCHEMA], self._lock, cache_kilobytes=_CACHE_KILOBYTES)
        self.groups = itertools.count(1)
        self.names: dict[int, str] = {}
        self.read = self._connection.execute

    def write(self, *statements: tuple[str, Sequence[Any]]) -> None:
        """All of these in one transaction."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                for statement, values in statements:
                    self._connection.execute(statement, values)
            finally:
                self._connection.execute("COMMIT")

    def rows(self, statement: str, values: Sequence[Any]) -> Iterator[Any]:
        """Read as far as they are wanted."""
        found = self.read(statement, values)
        while page := found.fetchmany(_PAGE):
            yield from page

    def one(self, statement: str, values: Sequence[Any]) -> Any:
        row = self.read(statement, values).fetchone()
        return None if row is None else row[0]


class Streams(MutableMapping[str, Any]):
    """The streams of one group by name."""

    def __init__(self, logs: Logs, group: str) -> None:
        self.logs, self.id = logs, next(logs.groups)
        logs.names[self.id] = group

    def __getitem__(self, name: str) -> Stream:
        number = self._find(name)
        if number is None:
            raise KeyError(name)
        return Stream(self.logs, number)

    def __contains__(self, name: object) -> bool:
        return self._find(name) is not None

    def __setitem__(self, name: str, stream: Json) -> None:
        columns = ", ".join(_COLUMNS.values())
        self.logs.write(
            (
                f"INSERT OR REPLACE INTO streams (grp, name, {columns}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self.id, name, *(stream.get(key) for key in _COLUMNS)),
            )
        )
        if stream["events"]:
            self[name]["events"] = stream["events"]

    def __delitem__(self, name: str) -> None:
        number = self._find(name)
        if number is None:
            raise KeyError(name)
        self.logs.write(
            ("DELETE FROM events WHERE stream = ?", (number,)), ("DELETE FROM streams WHERE id = ?", (number,))
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.sorted("", by_last_event=False, descending=False)[:])

    def __len__(self) -> int:
        return int(self.logs.one("SELECT count(*) FROM streams WHERE grp = ?", (self.id,)))

    def clear(self) -> None:
        self.logs.write(
            ("DELETE FROM events WHERE stream IN (SELECT id FROM streams WHERE grp = ?)", (self.id,)),
            ("DELETE FROM streams WHERE grp = ?", (self.id,)),
        )

    def sorted(self, prefix: str, *, by_last_event: bool, descending: bool) -> Names:
        return Names(self, prefix, by_last_event=by_last_event, descending=descending)

    def length(self) -> int:
        """Of all messages, in characters."""
        return int(self.logs.one("SELECT coalesce(sum(length), 0) FROM streams WHERE grp = ?", (self.id,)))

    def between(self, names: Sequence[str] | None, start: int | None, end: int | None) -> Iterator[tuple[Event, str]]:
        """The events of these streams, else of all, with their streams' names, in the order of time."""
        where = "grp = ?"
        values: list[Any] = [self.id]
        for condition, value in (("last >= ?", start), ("timestamp >= ?", start), ("first <= ?", end)):
            where, values = (where, values) if value is None else (f"{where} AND {condition}", [*values, value])
        if end is not None:
            where, values = f"{where} AND timestamp <= ?", [*values, end]
        if names:
            where += f" AND name IN ({', '.join('?' * len(names))})"
            values += names
        statement = f"SELECT {_EVENT}, name FROM streams CROSS JOIN events ON stream = streams.id WHERE {where}"
        rows = self.logs.rows(f"{statement} ORDER BY timestamp, events.ingested, events.id", values)
        return ((_event(*event), name) for *event, name in rows)

    def _find(self, name: object) -> int | None:
        number: int | None = self.logs.one("SELECT id FROM streams WHERE grp = ? AND name = ?", (self.id, name))
        return number


class Names(Sequence[str]):
    """The names of a group's streams, in an order."""

    def __init__(self, streams: Streams, prefix: str, *, by_last_event: bool, descending: bool) -> None:
        self._logs = streams.logs
        self._where = " FROM streams WHERE grp = ? AND substr(name, 1, ?) = ?"
        self._values = (streams.id, len(prefix), prefix)
        direction = "DESC" if descending else "ASC"
        self._order = f"coalesce(last, 0) {direction}, name" if by_last_event else f"name {direction}"

    def __len__(self) -> int:
        return int(self._logs.one(f"SELECT count(*){self._where}", self._values))

    def __getitem__(self, wanted: Any) -> Any:
        places = range(len(self))[wanted] if isinstance(wanted, slice) else range(wanted, wanted + 1)
        rows = self._logs.read(
            f"SELECT name{self._where} ORDER BY {self._order} LIMIT ? OFFSET ?",
            (*self._values, len(places), places.start),
        )
        names = [name for (name,) in rows.fetchall()]
        return names if isinstance(wanted, slice) else names[0]


class Stream:
    """What ministack keeps of a stream in a dictionary."""

    __slots__ = ("_logs", "id")

    def __init__(self, logs: Logs, number: int) -> None:
        self._logs, self.id = logs, number

    def __getitem__(self, key: str) -> Any:
        if key == "events":
            return Events(self._logs, self.id)
        column = "length" if key == "length" else _COLUMNS[key]
        return self._logs.one(f"SELECT {column} FROM streams WHERE id = ?", (self.id,))

    def get(self, key: str, default: Any = None) -> Any:
        found = self[key] if key == "events" or key in _COLUMNS else None
        return default if found is None else found

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "events":
            self._logs.write(
                ("DELETE FROM events WHERE stream = ?", (self.id,)),
                ("UPDATE streams SET length = 0 WHERE id = ?", (self.id,)),
                *self._added(value),
            )
        else:
            self._logs.write((f"UPDATE streams SET {_COLUMNS[key]} = ? WHERE id = ?", (value, self.id)))

    def append(self, events: Sequence[Event]) -> None:
        """Put events into their places; of those with one time the later ones come last."""
        if events:
            times = [event["timestamp"] for event in events]
            self._logs.write(
                (
                    "UPDATE streams SET first = min(coalesce(first, ?1), ?1), last = max(coalesce(last, ?2), ?2),"
                    " ingested = ?3 WHERE id = ?4",
                    (min(times), max(times), events[-1]["ingestionTime"], self.id),
                ),
                *self._added(sorted(events, key=lambda event: int(event["timestamp"]))),
            )

    def _added(self, events: Sequence[Event]) -> list[tuple[str, Sequence[Any]]]:
        length = sum(len(event["message"]) for event in events)
        return [
            *(
                (
                    "INSERT INTO events (stream, timestamp, ingested, message) VALUES (?, ?, ?, ?)",
                    (self.id, event["timestamp"], event["ingestionTime"], event["message"]),
                )
                for event in events
            ),
            ("UPDATE streams SET length = length + ? WHERE id = ?", (length, self.id)),
        ]


class Events(Sequence[Event]):
    """The events of a stream in the order of time."""

    def __init__(self, logs: Logs, stream: int) -> None:
        self._logs, self._stream = logs, stream

    def __len__(self) -> int:
        return int(self._logs.one("SELECT count(*) FROM events WHERE stream = ?", (self._stream,)))

    def before(self, timestamp: int) -> int:
        """How many come before this time."""
        return int(
            self._logs.one("SELECT count(*) FROM events WHERE stream = ? AND timestamp < ?", (self._stream, timestamp))
        )

    def __getitem__(self, wanted: Any) -> Any:
        places = range(len(self))[wanted]
        if isinstance(places, int):
            return next(self._rows(places, 1))
        return list(self._rows(places.start, len(places)))[:: places.step]

    def __iter__(self) -> Iterator[Event]:
        return self._rows(0, -1)

    def _rows(self, first: int, number: int) -> Iterator[Event]:
        rows = self._logs.rows(
            f"SELECT {_EVENT} FROM events WHERE stream = ? ORDER BY timestamp, id LIMIT ? OFFSET ?",
            (self._stream, number, first),
        )
        return (_event(*row) for row in rows)


def _event(timestamp: int, message: str, ingested: int, number: int) -> Event:
    return {"timestamp": timestamp, "message": message, "ingestionTime": ingested, "eventId": f"{number:056}"}


class Records:
    """What ministack has of every event for a second time, by the event's id."""

    def __init__(self, logs: Logs, build: Callable[..., Json]) -> None:
        self._logs, self._build = logs, build

    def __setitem__(self, event_id: str, record: Json) -> None:
        """It is made when it is asked for."""

    def get(self, event_id: str) -> Json | None:
        if not event_id.isdecimal():
            return None
        row = self._logs.read(
            "SELECT timestamp, message, name, grp FROM events JOIN streams ON streams.id = stream WHERE events.id = ?",
            (int(event_id),),
        ).fetchone()
        if row is None:
            return None
        timestamp, message, stream, group = row
        return self._build(
            ptr=event_id,
            timestamp_ms=timestamp,
            message=message,
            log_group=self._logs.names[group],
            log_stream=stream,
        )

    def clear(self) -> None:
        """The streams are cleared with their groups."""


def apply(state: State) -> Logs:
    """Keep streams and events in a file of this state."""
    require_ministack("CloudWatch Logs keeps everything in memory")
    from ministack.services import cloudwatch_logs

    logs = Logs(state)

    class Groups(type(cloudwatch_logs._log_groups)):  # type: ignore[misc]
        """Gives each new group streams that are on disk; those of a deleted one go."""

        __slots__ = ()

        def __setitem__(self, name: str, group: Json) -> None:
            self.pop(name, None)
            group["streams"] = Streams(logs, name)
            super().__setitem__(name, group)

        def __delitem__(self, name: str) -> None:
            self[name]["streams"].clear()
            super().__delitem__(name)

        def pop(self, name: str, *default: Any) -> Any:
            if name in self:
                self[name]["streams"].clear()
            return super().pop(name, *default)

        def clear(self) -> None:
            for group in self.all_values():
                group["streams"].clear()
            super().clear()

    cloudwatch_logs._log_groups = Groups()
    cloudwatch_logs._log_records = Records(logs, cloudwatch_logs._build_log_record)
    cloudwatch_logs._append_log_events = lambda stream, events: stream.append(events)
    cloudwatch_logs._forget_log_records_for_stream = lambda *_: None
    cloudwatch_logs._forget_log_records_for_group = lambda *_: None
    cloudwatch_logs.bisect_left = _places_before
    _search_by_sql(cloudwatch_logs)
    return logs


def _places_before(events: Events, timestamp: int, lo: int = 0, hi: int | None = None, *, key: Any) -> int:  # noqa: ARG001
    """bisect.bisect_left, by whose name ministack looks for a time."""
    found = max(lo, events.before(timestamp))
    return found if hi is None else min(found, hi)


def _search_by_sql(cloudwatch_logs: Any) -> None:
    search = cloudwatch_logs._filter_log_events
    ranges = between(search, "    ranges = []\n", "    # merge is stable")
    merge = between(
        search,
        "    for event, sn in heapq.merge(",
        "        if len(events) >= limit:\n            break\n        scanned",
    )
    told = between(search, "    logger.debug(", "    return json_response(")
    edit(
        search,
        (ranges, '    found = _log_groups[group]["streams"].between(stream_names, start_time, end_time)\n'),
        (merge, "    for event, sn in found:\n"),
        (told, ""),
    )
    describe = cloudwatch_logs._describe_log_streams
    names = between(describe, "    names = sorted(", "    start = _decode_token(")
    by_order = """\
    names = all_streams.sorted(prefix, by_last_event=order == "LastEventTime", descending=descending)

"""
    total = 'sum(len(e.get("message", "")) for e in s["events"])'
    edit(describe, (names, by_order), (total, 's["length"]'))
    groups = cloudwatch_logs._describe_log_groups
    edit(
        groups,
        (
            between(groups, "sum(\n                sum(len", '            "metricFilterCount"'),
            'g["streams"].length(),\n',
        ),
    )
