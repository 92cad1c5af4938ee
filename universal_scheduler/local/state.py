"""The files in which an engine keeps its state: SQLite databases in one folder, how safe they are, and their versions.

Each service of the engine has one file. What a service has answered is in its file before the answer goes out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path


class StateError(RuntimeError):
    """The state cannot be opened. The message says why, and what to do."""


class Safety(StrEnum):
    """What is still there after what.

    https://www.sqlite.org/pragma.html#pragma_synchronous
    """

    EPHEMERAL = "ephemeral"
    """Made anew at each start."""
    PROCESS = "process"
    """What was answered is there after kill -9. A power cut may cost the last seconds."""
    POWER = "power"
    """What was answered is there after a power cut, too. Each write waits for the disk."""


_SYNCHRONOUS = {Safety.EPHEMERAL: "OFF", Safety.PROCESS: "NORMAL", Safety.POWER: "FULL"}


class State:
    """The folder with the files of one engine. Without a folder each file is a temporary one that nobody else sees."""

    def __init__(self, folder: Path | None = None, safety: Safety = Safety.EPHEMERAL) -> None:
        self.folder, self.safety = folder, safety
        self._locks: list[AbstractContextManager[object]] = []

    @property
    def durable(self) -> bool:
        """Whether what is in the files outlives the engine."""
        return self.folder is not None and self.safety is not Safety.EPHEMERAL

    def open(
        self, name: str, migrations: Sequence[str], lock: AbstractContextManager[object], *, cache_kilobytes: int
    ) -> sqlite3.Connection:
        """A connection, for all threads, to the file of this name.

        `migrations` are scripts: the first makes the tables, each later one brings the file of an earlier release to
        the next version. The lock is the one under which the service writes: `frozen` holds it. Every transaction
        begins and ends under it.

        Raises:
            StateError: the file is from a later release.
        """
        path = self.folder / f"{name}.sqlite" if self.folder else None
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            for suffix in () if self.durable else ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        connection = sqlite3.connect(path or "", isolation_level=None, check_same_thread=False)
        pragmas = ("locking_mode=EXCLUSIVE", "journal_mode=WAL", f"synchronous={_SYNCHRONOUS[self.safety]}")
        for pragma in (*pragmas, f"cache_size=-{cache_kilobytes}", "wal_autocheckpoint=4000"):
            connection.execute(f"PRAGMA {pragma}").close()
        _migrate(connection, migrations, path)
        self._locks.append(lock)
        return connection

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While this goes on no service writes, and no transaction is open."""
        with ExitStack() as held:
            for lock in self._locks:
                held.enter_context(lock)
            yield


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str], path: Path | None) -> None:
    """https://www.sqlite.org/pragma.html#pragma_user_version"""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise StateError(
            f"{path} is from a later release of usched (version {version}; this release knows {len(migrations)}). "
            "Start the engine with that release, or with another state directory."
        )
    for number, script in enumerate(migrations[version:], version + 1):
        connection.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")
