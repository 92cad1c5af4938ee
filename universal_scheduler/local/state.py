"""The files in which an engine keeps its state: SQLite databases in one folder, how safe they are, and their versions.

Each service of the engine has one file. What a service has answered is in its file before the answer goes out.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

_FREEZE_SECONDS = 10.0
_LOCK_SECONDS = 0.05
_PAGE_BYTES = 4096
_LOG_PAGES = 4000
_LEAST_LOG_PAGES = 100
_SHRUNK_PAGES = 2000
_COPIED_PAGES = 256
"""Of a file in one step. So many at most are left for the moment in which all files are frozen."""


class StateError(RuntimeError):
    """The state cannot be opened. The message says why, and what to do."""


class Safety(StrEnum):
    """What is still there after what.

    https://www.sqlite.org/pragma.html#pragma_synchronous
    """

    EPHEMERAL = "ephemeral"
    """Made anew at each start."""
    PROCESS = "process"
    """What was answered is there after kill -9. A power cut may cost the last second or two: `State.sync`."""
    POWER = "power"
    """What was answered is there after a power cut, too. Each write waits for the disk."""


_SYNCHRONOUS = {Safety.EPHEMERAL: "OFF", Safety.PROCESS: "NORMAL", Safety.POWER: "FULL"}


class Lock(Protocol):
    """threading.Lock or RLock."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


@dataclass(slots=True)
class _File:
    connection: sqlite3.Connection
    lock: Lock
    version: int
    log: int | None = None
    """The descriptor of its log of writes."""
    synced: int = 0
    """When the log was written that is on the disk."""


class State:
    """The folder with the files of one engine. Without a folder each file is a temporary one that nobody else sees."""

    def __init__(self, folder: Path | None = None, safety: Safety = Safety.EPHEMERAL) -> None:
        self.folder, self.safety = folder, safety
        self._files: dict[str, _File] = {}

    @property
    def durable(self) -> bool:
        """Whether what is in the files outlives the engine."""
        return self.folder is not None and self.safety is not Safety.EPHEMERAL

    @property
    def versions(self) -> Mapping[str, int]:
        """The version of each file, by its service's name."""
        return {name: file.version for name, file in self._files.items()}

    def open(self, name: str, migrations: Sequence[str], lock: Lock, *, cache_kilobytes: int) -> sqlite3.Connection:
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
        # What is deleted can give its room back, and needs none to be overwritten with zeros, as some builds do.
        # https://www.sqlite.org/pragma.html#pragma_auto_vacuum, #pragma_secure_delete
        pragmas = ["auto_vacuum=INCREMENTAL", "secure_delete=OFF", "locking_mode=EXCLUSIVE", "journal_mode=WAL"]
        pragmas += [f"synchronous={_SYNCHRONOUS[self.safety]}", f"cache_size=-{cache_kilobytes}"]
        for pragma in (*pragmas, f"wal_autocheckpoint={_most_pages(path)}"):
            connection.execute(f"PRAGMA {pragma}").close()
        _migrate(connection, migrations, path)
        self._files[name] = _File(connection, lock, len(migrations))
        return connection

    def sync(self) -> None:
        """Bring to the disk what was written since the last call. SQLite itself waits for the disk only when it moves
        what is in a log of writes to its place.

        https://www.sqlite.org/wal.html#performance_considerations
        """
        for name, file in self._files.items():
            if file.log is None:
                try:
                    file.log = os.open(self.folder / f"{name}.sqlite-wal", os.O_RDONLY) if self.folder else None
                except FileNotFoundError:  # nothing was written yet
                    continue
            if file.log is not None and (written := os.fstat(file.log).st_mtime_ns) != file.synced:
                os.fsync(file.log)
                file.synced = written

    def used_bytes(self, name: str) -> int:
        """How much of a service's file is in use. What was deleted leaves room for what comes."""
        file = self._files[name]
        with file.lock:
            pages, free, size = (
                file.connection.execute(f"PRAGMA {pragma}").fetchone()[0]
                for pragma in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    def shrink(self) -> None:
        """Give the room of what was deleted back to the disk, file by file.

        Raises:
            sqlite3.Error: not all could be given back, perhaps because the disk has no room at all.
        """
        failure: sqlite3.Error | None = None
        for file in list(self._files.values()):
            try:
                while _shrink_some(file):
                    pass
            except sqlite3.Error as error:
                failure = error
        if failure is not None:
            raise failure

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While this goes on no service writes, and no transaction is open.

        Raises:
            StateError: there is no such moment.
        """
        deadline = time.monotonic() + _FREEZE_SECONDS
        files = deque(self._files.values())
        while time.monotonic() < deadline:
            with ExitStack() as held:
                # Somebody may hold one service's lock and wait for another's: begin with what could not be had.
                hindrance = next((place for place, file in enumerate(files) if not _acquired(file.lock, held)), None)
                if hindrance is not None:
                    files.rotate(-hindrance)
                elif not any(file.connection.in_transaction for file in files):
                    yield
                    return
            time.sleep(0.001)
        raise StateError("The services of the engine do not come to a rest. Try again later.")

    def copy(self, folder: Path) -> float:
        """Copy the files into a folder, all as they are at one moment, and answer this moment, in Unix time. Only in it
        services cannot write.

        Raises:
            StateError, OSError, sqlite3.Error: they cannot be copied.
        """
        copies = [_Copy(file, folder / f"{name}.sqlite") for name, file in self._files.items()]
        with ThreadPoolExecutor(max(1, len(copies))) as threads:
            try:
                running = [threads.submit(copy.run) for copy in copies]
                for copy in copies:
                    copy.nearly.wait()
                with self.frozen():
                    moment = time.time()
                    for copy in copies:
                        copy.finish.set()
                    wait(running)
            finally:
                for copy in copies:
                    copy.finish.set()
        for each in running:
            each.result()
        return moment


def _acquired(lock: Lock, held: ExitStack) -> bool:
    if not lock.acquire(timeout=_LOCK_SECONDS):
        return False
    held.callback(lock.release)
    return True


def _most_pages(path: Path | None) -> int:
    """How many pages a write-ahead log may have before they go into the file: fewer on a small disk."""
    if path is None:
        return _LOG_PAGES
    return min(_LOG_PAGES, max(_LEAST_LOG_PAGES, shutil.disk_usage(path.parent).total // (_PAGE_BYTES * 256)))


def _shrink_some(file: _File) -> bool:
    """Whether there may be more."""
    with file.lock:
        file.connection.execute(f"PRAGMA incremental_vacuum({_SHRUNK_PAGES})").fetchall()
        file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        [left] = file.connection.execute("PRAGMA freelist_count").fetchone()
        return bool(left)


class _Copy:
    """Copies a file while it is written, up to the last pages; these when it is told to finish.

    What its own connection writes meanwhile is copied once more: https://www.sqlite.org/backup.html
    """

    def __init__(self, file: _File, target: Path) -> None:
        self._file, self._target = file, target
        self.nearly, self.finish = threading.Event(), threading.Event()

    def run(self) -> None:
        try:
            with closing(sqlite3.connect(self._target, isolation_level=None)) as target:
                target.execute("PRAGMA synchronous=OFF").close()
                [pages] = self._file.connection.execute("PRAGMA page_count").fetchone()
                self._pause(pages)
                self._file.connection.backup(target, pages=_COPIED_PAGES, progress=self._progress, sleep=0.001)
        finally:
            self.nearly.set()

    def _progress(self, status: int, remaining: int, _: Any) -> None:
        if status == sqlite3.SQLITE_OK:  # and not busy
            self._pause(remaining)

    def _pause(self, remaining: int) -> None:
        if remaining <= _COPIED_PAGES:
            self.nearly.set()
            self.finish.wait()


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
