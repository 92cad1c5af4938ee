"""Keeps ended jobs on disk: Batch tells of them for seven days, and few are asked for again."""

from __future__ import annotations

import io
import pickle
import sqlite3
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from universal_scheduler.local.batch.model import ComputeEnvironment, Job, JobDefinition, JobQueue

Condition = tuple[str, Sequence[Any]]
"""On the columns of a job, and its values: ("name = ?", ["a"])."""

_SHARED = (JobQueue, JobDefinition, ComputeEnvironment)
_SCHEMA = """
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, queue TEXT NOT NULL, status TEXT NOT NULL,
    created INTEGER NOT NULL, stopped INTEGER NOT NULL, name TEXT NOT NULL, definition TEXT NOT NULL,
    definition_arn TEXT NOT NULL, job BLOB NOT NULL
);
CREATE INDEX jobs_by_queue ON jobs (queue, seq, status, created, name, definition, definition_arn);
CREATE INDEX jobs_by_end ON jobs (stopped);
"""


class Archive:
    """Jobs that have ended and are no arrays nor children of one. Without a path they are in a temporary file."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._shared: dict[int, Any] = {}
        if path:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        """Made when it is needed for the first time."""
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path or "", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-4000"):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.executescript(_SCHEMA)
        return connection

    def add(self, jobs: Sequence[Job]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [self._row(job) for job in jobs]
        )
        self._connection.execute("COMMIT")

    def change(self, job: Job) -> None:
        self._connection.execute("UPDATE jobs SET job = ? WHERE id = ?", (self._row(job)[-1], job.id))

    def get(self, job_id: str) -> Job | None:
        row = self._connection.execute("SELECT job FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return self._read(row[0]) if row else None

    def find(self, queue: str, before: int, condition: Condition, count: int) -> list[Job]:
        """Those jobs of a queue that were submitted before that one, the latest first."""
        text, values = condition
        rows = self._connection.execute(
            f"SELECT job FROM jobs WHERE queue = ? AND seq < ? AND ({text}) ORDER BY seq DESC LIMIT ?",
            (queue, before, *values, count),
        )
        return [self._read(job) for (job,) in rows.fetchall()]

    def forget(self, before: int) -> list[Job]:
        """Drop, and return, the jobs that ended before a time."""
        gone = self._connection.execute("SELECT job FROM jobs WHERE stopped < ?", (before,)).fetchall()
        self._connection.execute("DELETE FROM jobs WHERE stopped < ?", (before,))
        return [self._read(text) for (text,) in gone]

    def _row(self, job: Job) -> tuple[Any, ...]:
        text = io.BytesIO()
        _Writer(text, self._shared).dump(job)
        return (
            job.seq,
            job.id,
            job.spec.queue.arn,
            job.status.value,
            job.created_at,
            job.stopped_at or 0,
            job.spec.name.lower(),
            job.spec.definition.name,
            job.spec.definition.arn,
            text.getvalue(),
        )

    def _read(self, text: bytes) -> Job:
        job: Job = _Reader(io.BytesIO(text), self._shared).load()
        return job


class _Writer(pickle.Pickler):
    """Writes a job without what it shares with others: its queue, definition and compute environment."""

    def __init__(self, file: io.BytesIO, shared: dict[int, Any]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._shared = shared

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, _SHARED):
            return None
        self._shared[id(value)] = value  # which it keeps, so that no other has its number
        return id(value)


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, shared: dict[int, Any]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, number: Any) -> Any:
        return self._shared[number]
