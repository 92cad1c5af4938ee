"""Gap: CloudWatch Logs keeps every stream, every line and a second record of each line in memory.

Groups, streams and lines are rows of an SQLite file in the engine's state directory; ministack reads and writes them
through what looks like its own dictionaries and lists. Searches in many streams are SQL. A group that is made anew at
the engine's start has the streams that the file has under its ARN.
"""

from __future__ import annotations

import heapq
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from typing import Any

from universal_scheduler.local.gaps import between, edit, require_ministack
from universal_scheduler.local.gaps.transactions import File
from universal_scheduler.local.state import State

Json = dict[str, Any]
Event = dict[str, Any]

_log = logging.getLogger("usched.engine")

_PAGE = 256
_CACHE_KILOBYTES = 2000
_SWEPT = 2000
"""How many events are deleted at once: others wait meanwhile."""
_SWEEP_SECONDS = 600.0
_DAY_MS = 86_400_000
_DEFINE = (
    *("_create_log_group", "_put_retention_policy", "_delete_retention_policy", "_tag_log_group", "_untag_log_group"),
    *("_tag_resource", "_untag_resource", "_put_subscription_filter", "_delete_subscription_filter"),
)
"""What changes groups themselves."""
_SCHEMA = """
CREATE TABLE groups (id INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    definition TEXT NOT NULL);
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


class Logs(File):
    """The file of groups, streams and lines."""

    def __init__(self, state: State) -> None:
        super().__init__(state, "logs", [_SCHEMA], cache_kilobytes=_CACHE_KILOBYTES)

    def sweep(self, now_ms: int, *, days: int | None = None, most_length: int | None = None) -> None:
        """Delete what is older than its group keeps it, or than `days` where the group keeps everything.

        If what is left has more characters than `most_length`, the streams with the oldest last event go, too.
        On AWS a stream without events stays; here it goes, as each run of a function and each attempt has its own.
        """
        for group, definition in self.read("SELECT id, definition FROM groups").fetchall():
            kept = json.loads(definition).get("retentionInDays") or days
            if kept:
                self._sweep_group(group, now_ms - kept * _DAY_MS)
        if most_length is not None:
            self._shorten(most_length)

    def _sweep_group(self, group: int, before: int) -> None:
        for old in ("last < ?", "last IS NULL AND created < ?"):
            for number in self._numbers(f"grp = ? AND {old}", group, before):
                self._delete(number)
        for number in self._numbers("grp = ? AND last >= ?2 AND first < ?2", group, before):
            while self._delete_events(number, before):
                pass
            with self as logs:
                logs.write(
                    "UPDATE streams SET first = (SELECT min(timestamp) FROM events WHERE stream = streams.id), length ="
                    " (SELECT coalesce(sum(length(message)), 0) FROM events WHERE stream = streams.id) WHERE id = ?",
                    (number,),
                )

    def _shorten(self, most_length: int) -> None:
        groups = [group for (group,) in self.read("SELECT id FROM groups").fetchall()]
        oldest = "SELECT last, id, length FROM streams WHERE grp = ? AND last IS NOT NULL ORDER BY last"
        over = self.one("SELECT coalesce(sum(length), 0) FROM streams", ()) - most_length
        gone = []
        for _, number, length in heapq.merge(*(self.rows(oldest, (group,)) for group in groups)):
            if over <= 0:
                break
            gone.append(number)
            over -= length
        for number in gone:
            self._delete(number)

    def _numbers(self, where: str, *values: Any) -> list[int]:
        return [number for (number,) in self.read(f"SELECT id FROM streams WHERE {where}", values).fetchall()]

    def _delete(self, stream: int) -> None:
        while self._delete_events(stream, None):
            pass
        with self as logs:
            logs.write("DELETE FROM streams WHERE id = ?", (stream,))

    def _delete_events(self, stream: int, before: int | None) -> bool:
        """Whether there may be more."""
        with self as logs:
            found = logs.write(
                "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE stream = ? AND timestamp < ? LIMIT ?)",
                (stream, 2**62 if before is None else before, _SWEPT),
            )
        return found.rowcount == _SWEPT

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

    def __init__(self, logs: Logs, name: str, group: Json) -> None:
        self.logs = logs
        with logs:
            number = logs.one("SELECT id FROM groups WHERE arn = ?", (group["arn"],))
            if number is None:
                made = logs.write("INSERT INTO groups (arn, name, definition) VALUES (?, ?, '')", (group["arn"], name))
                number = made.lastrowid
        self.id = int(number)

    def define(self, definition: str) -> None:
        """Keep what is known of the group."""
        with self.logs as logs:
            change = "UPDATE groups SET definition = ?1 WHERE id = ?2 AND definition <> ?1"
            logs.write(change, (definition, self.id))

    def drop(self) -> None:
        """Delete the group."""
        with self.logs as logs:
            self.clear()
            logs.write("DELETE FROM groups WHERE id = ?", (self.id,))

    def __getitem__(self, name: str) -> Stream:
        number = self._find(name)
        if number is None:
            raise KeyError(name)
        return Stream(self.logs, number)

    def __contains__(self, name: object) -> bool:
        return self._find(name) is not None

    def __setitem__(self, name: str, stream: Json) -> None:
        columns = ", ".join(_COLUMNS.values())
        with self.logs as logs:
            logs.write(
                f"INSERT OR REPLACE INTO streams (grp, name, {columns}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self.id, name, *(stream.get(key) for key in _COLUMNS)),
            )
            if stream["events"]:
                self[name]["events"] = stream["events"]

    def __delitem__(self, name: str) -> None:
        number = self._find(name)
        if number is None:
            raise KeyError(name)
        with self.logs as logs:
            logs.write("DELETE FROM events WHERE stream = ?", (number,))
            logs.write("DELETE FROM streams WHERE id = ?", (number,))

    def __iter__(self) -> Iterator[str]:
        return iter(self.sorted("", by_last_event=False, descending=False)[:])

    def __len__(self) -> int:
        return int(self.logs.one("SELECT count(*) FROM streams WHERE grp = ?", (self.id,)))

    def clear(self) -> None:
        with self.logs as logs:
            logs.write("DELETE FROM events WHERE stream IN (SELECT id FROM streams WHERE grp = ?)", (self.id,))
            logs.write("DELETE FROM streams WHERE grp = ?", (self.id,))

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
        with self._logs as logs:
            if key == "events":
                logs.write("DELETE FROM events WHERE stream = ?", (self.id,))
                logs.write("UPDATE streams SET length = 0 WHERE id = ?", (self.id,))
                self._add(value)
            else:
                logs.write(f"UPDATE streams SET {_COLUMNS[key]} = ? WHERE id = ?", (value, self.id))

    def append(self, events: Sequence[Event]) -> None:
        """Put events into their places; of those with one time the later ones come last. The token goes one up."""
        with self._logs as logs:
            logs.write("UPDATE streams SET token = CAST(token AS INTEGER) + 1 WHERE id = ?", (self.id,))
            if events:
                times = [event["timestamp"] for event in events]
                logs.write(
                    "UPDATE streams SET first = min(coalesce(first, ?1), ?1), last = max(coalesce(last, ?2), ?2),"
                    " ingested = ?3 WHERE id = ?4",
                    (min(times), max(times), events[-1]["ingestionTime"], self.id),
                )
                self._add(sorted(events, key=lambda event: int(event["timestamp"])))

    def _add(self, events: Sequence[Event]) -> None:
        for event in events:
            self._logs.write(
                "INSERT INTO events (stream, timestamp, ingested, message) VALUES (?, ?, ?, ?)",
                (self.id, event["timestamp"], event["ingestionTime"], event["message"]),
            )
        length = sum(len(event["message"]) for event in events)
        self._logs.write("UPDATE streams SET length = length + ? WHERE id = ?", (length, self.id))


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
            "SELECT timestamp, message, streams.name, groups.name FROM events JOIN streams ON streams.id = stream"
            " JOIN groups ON groups.id = grp WHERE events.id = ?",
            (int(event_id),),
        ).fetchone()
        if row is None:
            return None
        timestamp, message, stream, group = row
        return self._build(
            ptr=event_id,
            timestamp_ms=timestamp,
            message=message,
            log_group=group,
            log_stream=stream,
        )

    def clear(self) -> None:
        """The streams are cleared with their groups."""


def apply(state: State, *, most_length: int | None = None) -> Logs:
    """Keep streams and events in a file of this state, and at most so many characters of them."""
    require_ministack("CloudWatch Logs keeps everything in memory")
    from ministack.services import cloudwatch_logs

    logs = Logs(state)

    class Groups(type(cloudwatch_logs._log_groups)):  # type: ignore[misc]
        """Gives each group the streams that are on disk; those of a deleted one go."""

        __slots__ = ()

        def __setitem__(self, name: str, group: Json) -> None:
            if old := self.get(name):
                group["creationTime"] = old["creationTime"]
            with logs:
                group["streams"] = Streams(logs, name, group)
                group["streams"].define(_definition(group))
            super().__setitem__(name, group)

        def restore(self) -> None:
            for name, definition in logs.read("SELECT name, definition FROM groups").fetchall():
                group = json.loads(definition)
                _, _, _, region, account, _ = group["arn"].split(":", 5)
                group["streams"] = Streams(logs, name, group)
                self.set_scoped(account, region, name, group)

        def __delitem__(self, name: str) -> None:
            self[name]["streams"].drop()
            super().__delitem__(name)

        def pop(self, name: str, *default: Any) -> Any:
            if name in self:
                self[name]["streams"].drop()
            return super().pop(name, *default)

        def clear(self) -> None:
            for group in self.all_values():
                group["streams"].drop()
            super().clear()

    def defining(operation: Callable[[Json], Any]) -> Callable[[Json], Any]:
        """The operation, which may change a group itself."""

        def call(data: Json) -> Any:
            answer = operation(data)
            with logs:
                for group in cloudwatch_logs._log_groups.all_values():
                    group["streams"].define(_definition(group))
            return answer

        return call

    groups = cloudwatch_logs._log_groups = Groups()
    groups.restore()
    for name in _DEFINE:
        setattr(cloudwatch_logs, name, defining(getattr(cloudwatch_logs, name)))
    put = cloudwatch_logs._put_log_events
    counted = between(put, "    token = str(int(", "    _fanout_to_subscription_filters(")
    edit(put, (counted, '    token = s["uploadSequenceToken"]\n\n'))
    cloudwatch_logs._log_records = Records(logs, cloudwatch_logs._build_log_record)
    cloudwatch_logs._append_log_events = lambda stream, events: stream.append(events)
    cloudwatch_logs._forget_log_records_for_stream = lambda *_: None
    cloudwatch_logs._forget_log_records_for_group = lambda *_: None
    cloudwatch_logs.bisect_left = _places_before
    _search_by_sql(cloudwatch_logs)
    handle: Callable[..., Awaitable[Any]] = cloudwatch_logs.handle_request

    async def handled(*request: Any) -> Any:
        try:
            return await handle(*request)
        except sqlite3.Error as error:
            # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html#API_PutLogEvents_Errors
            reason = (
                f"The file of logs cannot be written ({error}). Look at the disk with the engine's state directory."
            )
            return cloudwatch_logs.error_response_json("ServiceUnavailableException", reason, 500)

    cloudwatch_logs.handle_request = handled

    def sweep() -> None:
        while True:
            time.sleep(_SWEEP_SECONDS)
            try:
                logs.sweep(int(time.time() * 1000), most_length=most_length)
            except sqlite3.Error:
                _log.exception("old log events could not be deleted")

    threading.Thread(target=sweep, daemon=True, name="usched-logs-retention").start()
    return logs


def _definition(group: Json) -> str:
    return json.dumps({key: value for key, value in group.items() if key != "streams"})


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
