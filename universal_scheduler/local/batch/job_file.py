"""The file of Batch: jobs that have ended some time ago, and on a durable engine all jobs and what users made.

Batch tells of ended jobs for seven days, and few of them are asked for again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from universal_scheduler.local.batch.model import Job
from universal_scheduler.local.batch.records import job_of, progress_text, spec_of, spec_text
from universal_scheduler.local.state import State

Condition = tuple[str, Sequence[Any]]
"""On the columns of a job, and its values: ("name = ?", ["a"])."""
Telling = tuple[int, str]
"""The number of a change that somebody is to be told of, and the id of the job."""

_CACHE_KILOBYTES = 4000
_NO_CHILD = -1
_SCHEMA = """
CREATE TABLE submissions (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, definition TEXT NOT NULL,
    definition_arn TEXT NOT NULL, spec TEXT NOT NULL
);
CREATE TABLE jobs (
    seq INTEGER NOT NULL, place INTEGER NOT NULL, queue TEXT NOT NULL, created INTEGER NOT NULL, status TEXT NOT NULL,
    stopped INTEGER, progress TEXT NOT NULL, PRIMARY KEY (seq, place)
) WITHOUT ROWID;
CREATE INDEX live_jobs ON jobs (seq, place) WHERE stopped IS NULL;
CREATE INDEX ended_jobs ON jobs (queue, seq, status, created) WHERE stopped IS NOT NULL AND place < 0;
CREATE INDEX jobs_by_end ON jobs (stopped) WHERE stopped IS NOT NULL AND place < 0;
CREATE TABLE untold (number INTEGER PRIMARY KEY, id TEXT NOT NULL);
CREATE TABLE resources (
    arn TEXT PRIMARY KEY, kind TEXT NOT NULL, users INTEGER NOT NULL, definition TEXT NOT NULL, tags TEXT NOT NULL
);
"""
_COLUMNS = "id, seq, spec, jobs.created, status, stopped, progress"
_JOBS = f"SELECT {_COLUMNS}, place FROM jobs JOIN submissions USING (seq)"


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """``users``: a user made it, and not the template."""

    arn: str
    kind: str
    users: bool
    definition: str
    tags: str


class JobFile:
    """An array and its children are one submission. What is written here is written together, or not at all.

    Raises sqlite3.Error where the file cannot be written.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.durable = state.durable
        self._lock = threading.RLock()
        self._used = state.durable

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        """Made when it is needed for the first time."""
        self._used = True
        return self._state.open("batch", [_SCHEMA], self._lock, cache_kilobytes=_CACHE_KILOBYTES)

    def close(self) -> None:
        if "_connection" in self.__dict__:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    # Within a transaction

    def add(self, jobs: Iterable[Job]) -> None:
        """Write jobs that are no children for the first time."""
        self._connection.executemany(
            "INSERT INTO submissions VALUES (?, ?, ?, ?, ?, ?)",
            (
                (
                    job.seq,
                    job.id,
                    job.spec.name.lower(),
                    job.spec.definition.name,
                    job.spec.definition.arn,
                    spec_text(job.spec),
                )
                for job in jobs
            ),
        )

    def change(self, jobs: Iterable[Job]) -> None:
        """Write how far jobs are that were added, and their children."""
        self._connection.executemany(
            "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (seq, place) DO UPDATE "
            "SET status = excluded.status, stopped = excluded.stopped, progress = excluded.progress",
            (
                (
                    job.seq,
                    _NO_CHILD if job.index is None else job.index,
                    job.spec.queue.arn,
                    job.created_at,
                    job.status.value,
                    job.stopped_at,
                    progress_text(job),
                )
                for job in jobs
            ),
        )

    def keep_notices(self, tellings: Iterable[Telling]) -> None:
        self._connection.executemany("INSERT INTO untold VALUES (?, ?)", tellings)

    def notified(self, numbers: Iterable[int]) -> None:
        self._connection.executemany("DELETE FROM untold WHERE number = ?", ((number,) for number in numbers))

    def put_resources(self, rows: Mapping[str, ResourceRow | None]) -> None:
        """None takes a resource away."""
        for arn, row in rows.items():
            if row is None:
                self._connection.execute("DELETE FROM resources WHERE arn = ?", (arn,))
            else:
                values = (row.arn, row.kind, row.users, row.definition, row.tags)
                self._connection.execute("INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?)", values)

    def forget(self, before: int, count: int) -> list[Job]:
        """Drop, and return, so many of the jobs that ended before a time, with their children."""
        old = "SELECT seq FROM jobs WHERE stopped < ? AND place < 0 ORDER BY stopped LIMIT ?"
        found = self._read(f"{_JOBS} WHERE jobs.seq IN ({old})", (before, count)) if self._used else []
        for table in ("jobs", "submissions"):
            self._connection.executemany(f"DELETE FROM {table} WHERE seq = ?", {(job.seq,) for job in found})
        return found

    # Reading

    def get(self, job_id: str) -> Job | None:
        """A job, with its parent if it is a child. The children of an array are not with it."""
        if not self._used:
            return None
        whole, _, place = job_id.partition(":")
        found = self._read(f"{_JOBS} WHERE id = ? AND place = {_NO_CHILD}", (whole,))
        if found and place:
            return next(iter(self._children(found[0], "place = ?", [int(place)])), None) if place.isdecimal() else None
        return found[0] if found else None

    def children(self, parent: Job, status: str, after: int, count: int) -> list[Job]:
        """Children of an array that are in a status and come after one of them, in their order."""
        return self._children(parent, "status = ? AND place > ? ORDER BY place LIMIT ?", [status, after, count])

    def all_children(self, parent: Job) -> list[Job]:
        return self._children(parent, "place >= 0 ORDER BY place", [])

    def find(self, queue: str, before: int, condition: Condition, count: int, skipped: Collection[int]) -> list[Job]:
        """Those ended jobs of a queue that were submitted before that one, the latest first. ``skipped`` are sequence
        numbers."""
        text, values = condition
        if not self._used:
            return []
        with self._lock:
            rows = self._connection.execute(
                f"{_JOBS} WHERE queue = ? AND jobs.seq < ? AND stopped IS NOT NULL AND place < 0 AND ({text}) "
                "ORDER BY jobs.seq DESC LIMIT ?",
                (queue, before, *values, count + len(skipped)),
            ).fetchall()
        return [_job(row) for row in rows if row[1] not in skipped][:count]

    def live(self) -> list[Job]:
        """The jobs that have not ended, in order of their submission; of arrays, the parents."""
        return self._read(
            f"{_JOBS} WHERE jobs.seq IN (SELECT seq FROM jobs WHERE stopped IS NULL) AND place < 0 ORDER BY jobs.seq",
            (),
        )

    def last(self) -> int:
        """The greatest sequence number of a submission."""
        [last] = self._connection.execute("SELECT coalesce(max(seq), 0) FROM submissions").fetchone()
        return int(last)

    def untold(self) -> list[Telling]:
        return self._connection.execute("SELECT number, id FROM untold ORDER BY number").fetchall()

    def resources(self) -> list[ResourceRow]:
        rows = self._connection.execute("SELECT arn, kind, users, definition, tags FROM resources ORDER BY rowid")
        return [ResourceRow(arn, kind, bool(users), *texts) for arn, kind, users, *texts in rows.fetchall()]

    def _children(self, parent: Job, condition: str, values: Sequence[Any]) -> list[Job]:
        with self._lock:
            rows = self._connection.execute(
                f"SELECT place, created, status, stopped, progress FROM jobs WHERE seq = ? AND place >= 0 "
                f"AND {condition}",
                (parent.seq, *values),
            ).fetchall()
        found = []
        for place, *progress in rows:
            child = job_of(f"{parent.id}:{place}", parent.seq, parent.spec, *progress)
            child.parent, child.index = parent, place
            found.append(child)
        return found

    def _read(self, query: str, values: Sequence[Any]) -> list[Job]:
        with self._lock:
            return [_job(row) for row in self._connection.execute(query, values).fetchall()]


def _job(row: Sequence[Any]) -> Job:
    """Of the columns of _JOBS."""
    job_id, seq, spec, *progress, place = row
    job = job_of(job_id if place < 0 else f"{job_id}:{place}", seq, spec_of(spec), *progress)
    if place >= 0:
        job.index = place
    return job
