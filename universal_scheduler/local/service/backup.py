"""Writes the whole state of a durable engine into one file, and takes it back from there.

The file is a compressed tar archive: `manifest.json`, and the SQLite files of the services in `state/`. What jobs wrote
below `USCHED_DATA` is not in it.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, Any

from universal_scheduler.local.state import State

FORMAT = 1
STATE = "state"
"""The folder of a state directory with the files of the services, and the same in a backup."""
UNFINISHED = "backup-"
"""Begins the name of a folder that is of no use when the engine ends."""
RESTORED, REPLACED = "restored", "replaced"
"""In a state directory: what a restore has brought, for the next start, and what that start has put aside."""

_MANIFEST = "manifest.json"
_COMPRESSION = 1  # of nine: what takes the least time
_RESERVE = 16 << 20


class BackupError(Exception):
    """The state cannot be backed up or restored. The message says why, and what to do."""


def write(home: Path, state: State, out: IO[bytes]) -> None:
    """Write a backup of the engine with this state directory, as it is at one moment, while it works on.

    Raises:
        BackupError, StateError, OSError, sqlite3.Error: there is no backup; what was written is not complete.
    """
    if not state.durable:
        raise BackupError("This engine is ephemeral: it keeps nothing that a backup could have.")
    _check_room(home, _size(home / STATE))
    with _folder(home) as folder:
        (folder / STATE).mkdir(mode=0o700)
        moment = state.copy(folder / STATE)
        files = sorted((folder / STATE).iterdir())
        manifest = {
            "format": FORMAT,
            "release": version("universal-scheduler"),
            "at": datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds"),
            "versions": dict(state.versions),
            "files": {str(path.relative_to(folder)): path.stat().st_size for path in files},
        }
        (folder / _MANIFEST).write_text(json.dumps(manifest))
        with (
            gzip.GzipFile(mode="wb", fileobj=out, compresslevel=_COMPRESSION) as compressed,
            tarfile.open(mode="w|", fileobj=compressed) as archive,
        ):
            for path in (folder / _MANIFEST, *files):
                archive.add(path, str(path.relative_to(folder)), recursive=False)


def check(source: IO[bytes]) -> Mapping[str, Any]:
    """The manifest of a backup that is complete.

    Raises:
        BackupError: it is not.
    """
    return _read(source, lambda _name, _file: None)


def receive(home: Path, state: State, source: IO[bytes]) -> Mapping[str, Any]:
    """Put a backup beside the state of an engine. Its next start begins with it.

    Raises:
        BackupError: it is no backup, is damaged, or is from a later release. Nothing has changed.
    """
    if not state.durable:
        raise BackupError("This engine is ephemeral and would forget it. Start one without --ephemeral for this.")
    with _folder(home) as folder:

        def unpack(name: str, file: IO[bytes]) -> None:
            with (folder / name).open("wb") as target:
                shutil.copyfileobj(file, target, 1 << 20)

        (folder / STATE).mkdir(mode=0o700)
        try:
            manifest = _read(source, unpack)
            for path in sorted((folder / STATE).iterdir()):
                _check_file(path, state.versions.get(path.stem))
        except OSError as error:
            raise BackupError(f"The backup cannot be unpacked into {home}: {error.strerror}.") from error
        shutil.rmtree(home / RESTORED, ignore_errors=True)
        folder.rename(home / RESTORED)
        folder.mkdir()
    return manifest


def adopt(home: Path) -> bool:
    """Put what a restore has brought in the place of the state, before that is opened. It may be interrupted."""
    restored, replaced = home / RESTORED, home / REPLACED
    if not restored.exists():
        return False
    if (restored / STATE).exists():
        if (home / STATE).exists():
            shutil.rmtree(replaced, ignore_errors=True)
            replaced.mkdir()
            (home / STATE).rename(replaced / STATE)
        (restored / STATE).rename(home / STATE)
    restored.rmdir()
    return True


@contextmanager
def _folder(home: Path) -> Iterator[Path]:
    """A folder for what is not finished, beside the state: a file can be moved from one to the other."""
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=home) as name:
        yield Path(name)


def _check_room(home: Path, needed: int) -> None:
    free = shutil.disk_usage(home).free
    if free < needed + _RESERVE:
        raise BackupError(
            f"A backup needs {needed >> 20} MB beside the state for as long as it takes, and the disk of {home} has "
            f"{free >> 20} MB left. Make room there first."
        )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _read(source: IO[bytes], take: Any) -> Mapping[str, Any]:
    """Give each file of a backup to `take(name, file)`; answer the manifest when all were there."""
    try:
        with gzip.GzipFile(fileobj=source) as compressed, tarfile.open(mode="r|", fileobj=compressed) as archive:
            members = iter(archive)
            first = next(members, None)
            text = archive.extractfile(first) if first and first.name == _MANIFEST else None
            manifest: dict[str, Any] = json.loads(text.read()) if text else {}
            if manifest.get("format", 0) > FORMAT:
                raise BackupError(f"It is the backup of a later release, {manifest.get('release')}. Install that one.")
            missing = dict(manifest.get("files", {}))
            for member in members:
                file = archive.extractfile(member)
                if file is None or not _is_inside(member.name) or missing.pop(member.name, None) != member.size:
                    raise BackupError(
                        f"It is no backup of usched, or it is damaged: {member.name} should not be in it."
                    )
                take(member.name, file)
            while compressed.read(1 << 20):
                pass  # up to the check sum at its end
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise BackupError(f"It is no backup of usched, or it is damaged: {error}.") from error
    if missing or not manifest:
        raise BackupError("It is no backup of usched, or a part of it is missing.")
    return manifest


def _is_inside(name: str) -> bool:
    return PurePosixPath(name).parts == (STATE, Path(name).name) and name.endswith(".sqlite")


def _check_file(path: Path, known: int | None) -> None:
    try:
        with closing(sqlite3.connect(path)) as connection:
            [found] = connection.execute("PRAGMA user_version").fetchone()
            [state] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        found, state = 0, str(error)
    if state != "ok":
        raise BackupError(f"The backup is damaged: {path.name}: {state}")
    if known is not None and found > known:
        raise BackupError(
            f"The backup is from a later release: {path.name} has version {found}, and this release knows {known}. "
            "Install that release first."
        )
