"""Gap: EventBridge Scheduler keeps its schedules in memory only.

Schedules, groups and tags are rows of an SQLite file, written before they are answered. The row of a schedule says when
it is due next: what is due is asked of the file, so that a start reads nothing, however many schedules there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

from universal_scheduler.local.gaps.transactions import File
from universal_scheduler.local.state import State

Json = dict[str, Any]
Key = tuple[str, ...]
"""Account, region and `group/name` of a schedule."""

_CACHE_KILOBYTES = 2000
# A number is used once: it says whether a schedule is the same that was read before.
_SCHEMA = """
CREATE TABLE kept (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL, due REAL, value TEXT NOT NULL,
    UNIQUE (kind, key)
);
CREATE INDEX kept_by_due ON kept (due) WHERE due IS NOT NULL;
"""
_SCHEDULE, _GROUP, _TAGS = "schedule", "group", "tags"


@dataclass(frozen=True, slots=True)
class Due:
    """A schedule whose time has come."""

    number: int
    key: Key
    at: float
    """For when, in epoch seconds: the first time at which it has not fired."""
    record: Json


@dataclass(frozen=True, slots=True)
class Fired:
    """What becomes of a schedule that has fired: it is due again, or never, or it is deleted."""

    number: int
    next: float | None
    delete: bool = False


class SchedulerStorage:
    """The file. Its connection is for all threads.

    `first_due` answers when a schedule that is written now is due first, in epoch seconds; None if never.
    """

    def __init__(self, state: State, first_due: Callable[[Json], float | None]) -> None:
        self._file = File(state, "scheduler", [_SCHEMA], cache_kilobytes=_CACHE_KILOBYTES)
        self.lock = self._file.lock
        self.schedules = _Kept(self, _SCHEDULE, 3, first_due)
        self.groups = _Kept(self, _GROUP, 3)
        self.tags = _Kept(self, _TAGS, 2)

    def read(self, statement: str, *values: Any) -> list[Any]:
        with self._file:
            return self._file.read(statement, values).fetchall()

    def write(self, statement: str, *values: Any) -> int:
        """One statement is one transaction. Answers how many rows it has changed."""
        with self._file:
            return self._file.write(statement, values).rowcount

    def due(self, now: float, most: int) -> list[Due]:
        """Schedules that are due, the longest first."""
        found = self.read("SELECT id, key, due, value FROM kept WHERE due <= ? ORDER BY due LIMIT ?", now, most)
        return [Due(number, _parts(key, 3), at, json.loads(value)) for number, key, at, value in found]

    def next_due(self) -> float | None:
        """When the next schedule is due."""
        [(at,)] = self.read("SELECT min(due) FROM kept WHERE due IS NOT NULL")
        return None if at is None else float(at)

    def is_current(self, number: int) -> bool:
        """Whether a schedule that was read before has been neither changed nor deleted."""
        return bool(self.read("SELECT 1 FROM kept WHERE id = ?", number))

    def fired(self, done: Iterable[Fired]) -> None:
        """Write down, at once, what has fired. What was changed meanwhile stays as it is."""
        with self._file:
            for each in done:
                if each.delete:
                    self._file.write("DELETE FROM kept WHERE id = ?", (each.number,))
                else:
                    self._file.write("UPDATE kept SET due = ? WHERE id = ?", (each.next, each.number))

    def page(self, account: str, region: str, group: str, after: str) -> Iterator[tuple[str, Json]]:
        """The schedules of a group, or of all if it is empty, by `group/name` in order: those after `after`."""
        start = f"{account}/{region}/{group}/" if group else f"{account}/{region}/"
        last = max(start, f"{account}/{region}/{after}")
        while rows := self.read(
            "SELECT key, value FROM kept WHERE kind = ? AND key > ? AND key < ? ORDER BY key LIMIT 128",
            *(_SCHEDULE, last, f"{start}\U0010ffff"),
        ):
            for key, value in rows:
                yield _parts(key, 3)[2], json.loads(value)
            last = rows[-1][0]


class _Kept(MutableMapping[Key, Json]):
    """What ministack has as a dictionary: the rows of one kind. A value that was read is a copy: it must be written
    again if it was changed."""

    def __init__(
        self, storage: SchedulerStorage, kind: str, parts: int, due: Callable[[Json], float | None] = lambda _: None
    ) -> None:
        self._storage, self._kind, self._parts, self._due = storage, kind, parts, due

    def __getitem__(self, key: Key) -> Json:
        rows = self._storage.read("SELECT value FROM kept WHERE kind = ? AND key = ?", self._kind, "/".join(key))
        if not rows:
            raise KeyError(key)
        value: Json = json.loads(rows[0][0])
        return value

    def __setitem__(self, key: Key, value: Json) -> None:
        row = self._kind, "/".join(key), self._due(value), json.dumps(value)
        self._storage.write("REPLACE INTO kept (kind, key, due, value) VALUES (?, ?, ?, ?)", *row)

    def __delitem__(self, key: Key) -> None:
        if not self._storage.write("DELETE FROM kept WHERE kind = ? AND key = ?", self._kind, "/".join(key)):
            raise KeyError(key)

    def __iter__(self) -> Iterator[Key]:
        rows = self._storage.read("SELECT key FROM kept WHERE kind = ? ORDER BY key", self._kind)
        return iter([_parts(key, self._parts) for (key,) in rows])

    def __len__(self) -> int:
        [(number,)] = self._storage.read("SELECT count(*) FROM kept WHERE kind = ?", self._kind)
        return int(number)


def _parts(key: str, count: int) -> Key:
    return tuple(key.split("/", count - 1))
