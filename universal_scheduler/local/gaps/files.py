"""The SQLite files in which the gaps keep what must not stay in memory."""

from __future__ import annotations

import sqlite3
from pathlib import Path

# The file outlives its engine's process, not yet the machine's crash; nobody else reads it while the engine runs.
_PRAGMAS = ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=OFF")


def new_file(path: Path | None, schema: str, *, cache_kilobytes: int) -> sqlite3.Connection:
    """A connection to a file made anew, for all threads; without a path to a temporary one that nobody else sees."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
    connection = sqlite3.connect(path or "", isolation_level=None, check_same_thread=False)
    for pragma in (*_PRAGMAS, f"cache_size=-{cache_kilobytes}", "wal_autocheckpoint=4000"):
        connection.execute(f"PRAGMA {pragma}").close()
    connection.executescript(schema)
    return connection
