"""Deletes what an engine keeps no longer: old runs, old events, files of ended attempts, objects by the rules of their
buckets, and its own old log. (Lines of logs are deleted where they are kept.)"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from universal_scheduler.local.service.logfile import LOG, rotate
from universal_scheduler.local.service.settings import Retention
from universal_scheduler.ports.retention import Retention as RunRetention

RUNS_AT_ONCE = 500
"""In one sweep. The rest is deleted by the sweeps that follow."""
YOUNG_SECONDS = 600.0
"""Files of an attempt stay for so long after its end, whatever they take: its last lines may still be on their way."""
_IDLE_SECONDS, _BUSY_SECONDS = 600.0, 5.0
_LONGEST_DAYS, _LESS = 3650, 0.8
_MEGABYTE = 1 << 20
_DAY = 86400.0

_log = logging.getLogger("usched.engine")


class Sweeper:
    """The sweeps of one engine.

    `forget_events` deletes what the log of all jobs has of more than so many days ago, and answers how many items.
    `used_bytes` tells how much of the tables' file is in use; `live_attempts` names the attempts that run. `s3` is a
    client of S3.
    """

    def __init__(
        self,
        home: Path,
        settings: Retention,
        *,
        runs: RunRetention,
        forget_events: Callable[[float], int],
        used_bytes: Callable[[], int],
        live_attempts: Callable[[], Collection[str]],
        s3: Any,
    ) -> None:
        self._home, self._settings = home, settings
        self._runs, self._forget_events, self._used_bytes = runs, forget_events, used_bytes
        self._live_attempts, self._s3 = live_attempts, s3
        self._days = float(max(settings.run_days or _LONGEST_DAYS, settings.event_days))
        """Because of the size, only this much of the history is kept."""
        self._objects_swept = 0.0

    def run(self) -> None:
        """Sweep until the process ends."""
        busy = False
        while True:
            time.sleep(_BUSY_SECONDS if busy else _IDLE_SECONDS)
            try:
                busy = self.sweep(time.time())
            except Exception:  # noqa: BLE001 - the next sweep may succeed
                _log.exception("what is too old could not be deleted")
                busy = False

    def sweep(self, now: float) -> bool:
        """Whether there is more to do at once."""
        rotate(self._home / LOG)
        forget_files(self._home / "jobs", self._settings, self._live_attempts(), now)
        if now - self._objects_swept > _DAY:
            expire_objects(self._s3, now)
            self._objects_swept = now
        if self._settings.run_days and self._forget_runs(now, self._settings.run_days):
            return True
        return self._make_room(now)

    def _forget_runs(self, now: float, days: float) -> int:
        before = datetime.fromtimestamp(now - days * _DAY, UTC).date()
        return self._runs.forget_runs(before.isoformat(), RUNS_AT_ONCE)

    def _make_room(self, now: float) -> bool:
        """Forget the oldest part of the history while the tables are too large, but nothing of the last day."""
        most = self._settings.table_megabytes * _MEGABYTE
        while most and self._used_bytes() > most:
            if self._forget_runs(now, self._days) + self._forget_events(self._days):
                return True
            if self._days <= 1:
                return False
            self._days = max(1.0, self._days * _LESS)
        return False


def expire_objects(s3: Any, now: float) -> None:
    """Delete the objects that are too old by the lifecycle rules of their buckets, which have days and a prefix at
    most.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
    """
    for bucket in s3.list_buckets()["Buckets"]:
        try:
            rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket["Name"])["Rules"]
        except ClientError:  # there are none
            continue
        for rule in rules:
            filters = rule.get("Filter") or {}
            days = (rule.get("Expiration") or {}).get("Days")
            if rule["Status"] == "Enabled" and days and not filters.keys() - {"Prefix"}:
                before = datetime.fromtimestamp(now - days * _DAY, UTC)
                _expire(s3, bucket["Name"], filters.get("Prefix") or rule.get("Prefix") or "", before)


def _expire(s3: Any, bucket: str, prefix: str, before: datetime) -> None:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        old = [{"Key": found["Key"]} for found in page.get("Contents", ()) if found["LastModified"] < before]
        if old:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": old, "Quiet": True})


def forget_files(folder: Path, settings: Retention, live: Collection[str], now: float) -> None:
    """Delete directories and outputs of attempts that ended too long ago; then the oldest while they are too large.

    An attempt has a directory with its id as name, and a file with what it printed: the id with `.log`.
    """
    found = sorted(_entries(folder, live), key=lambda entry: entry.changed)
    total = sum(entry.size for entry in found)
    most = settings.job_file_megabytes * _MEGABYTE
    for entry in found:
        age = now - entry.changed
        too_old = settings.job_file_days and age > settings.job_file_days * _DAY
        if not too_old and (not most or total <= most or age < YOUNG_SECONDS):
            break
        entry.remove()
        total -= entry.size


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    is_folder: bool
    changed: float
    size: int

    def remove(self) -> None:
        if self.is_folder:
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            with suppress(FileNotFoundError):
                os.unlink(self.path)


def _entries(folder: Path, live: Collection[str]) -> Iterator[_Entry]:
    try:
        scanned = os.scandir(folder)
    except FileNotFoundError:
        return
    with scanned:
        for entry in scanned:
            if entry.name.removesuffix(".log") in live:
                continue
            with suppress(FileNotFoundError):  # it has been tidied away meanwhile
                is_folder = entry.is_dir(follow_symlinks=False)
                status = entry.stat(follow_symlinks=False)
                size = _size(entry.path) if is_folder else status.st_size
                yield _Entry(entry.path, is_folder, status.st_mtime, size)


def _size(folder: str) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
