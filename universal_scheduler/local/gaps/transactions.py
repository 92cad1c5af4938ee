"""One connection of all threads to the file of a service, and its transactions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

from universal_scheduler.local.state import State


class File:
    """`with file:` is one transaction of the thread that is in it; those inside it belong to it.

    It ends before the service answers. If it cannot end well, nothing of it is in the file.
    """

    def __init__(self, state: State, name: str, migrations: Sequence[str], *, cache_kilobytes: int) -> None:
        self.lock = threading.RLock()
        self.undone: Callable[[], None] = lambda: None
        """Called when a transaction was rolled back: what memory has of it is not in the file."""
        self._depth, self._began = 0, False
        self._connection = state.open(name, migrations, self.lock, cache_kilobytes=cache_kilobytes)
        self.read = self._connection.execute

    def write(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        if not self._connection.in_transaction:
            if self._began:
                raise sqlite3.OperationalError("this transaction was rolled back")
            self._connection.execute("BEGIN")
            self._began = True
        return self._connection.execute(statement, values)

    def __enter__(self) -> Self:
        self.lock.acquire()
        self._depth += 1
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if self._depth == 1 and self._began:
                self._end(well=kind is None)
        finally:
            self._depth -= 1
            self.lock.release()

    def _end(self, *, well: bool) -> None:
        """A full disk ends a transaction by itself: https://www.sqlite.org/lang_transaction.html"""
        try:
            if well:
                self._connection.execute("COMMIT")
                self._began = False
        finally:
            if self._began:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self._began = False
                self.undone()
                if self._connection.in_transaction:  # nothing that memory takes over is news to the file
                    self._connection.execute("ROLLBACK")
                self._began = False
