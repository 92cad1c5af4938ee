"""`usched local backup` and `restore`: the whole state of a running engine in one file."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from universal_scheduler.cli.console import put_json
from universal_scheduler.cli.problems import Failure, Problem
from universal_scheduler.cli.target import find_engine, keys_of
from universal_scheduler.local import engine as engines
from universal_scheduler.local import processes
from universal_scheduler.local.engine import Engine
from universal_scheduler.local.service import backup
from universal_scheduler.local.service.routes import BACKUP, HEALTH, RESTORE

_POLL_SECONDS = 0.1
_CHUNK = 1 << 20


def backup_command(port: int | None, file: str, as_json: bool) -> int:
    engine = find_engine(port)
    target = Path(file)
    unfinished = target.with_name(f"{target.name}.part")
    try:
        with _calling(engine, "POST", BACKUP) as answer, _private(unfinished) as out:
            shutil.copyfileobj(answer, out, _CHUNK)
            out.flush()
            os.fsync(out.fileno())
        with unfinished.open("rb") as source:
            manifest = backup.check(source)
        unfinished.replace(target)
    except (OSError, http.client.HTTPException, backup.BackupError) as error:
        raise Failure(f"The backup {target} was not written: {_why(error)}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    size = target.stat().st_size
    if as_json:
        put_json({"file": str(target), "bytes": size, "at": manifest["at"], "release": manifest["release"]})
    else:
        click.echo(f"Wrote {target} ({size / 1e6:,.1f} MB): everything as it was at {manifest['at']}.")
        click.echo(f"Not in it: the files that jobs wrote below {engine.state_dir / 'data'}")
    return 0


def restore_command(port: int | None, file: str, yes: bool, as_json: bool) -> int:
    engine = find_engine(port)
    try:
        with open(file, "rb") as source:
            manifest = backup.check(source)
    except OSError as error:
        raise Problem(
            f"{file} cannot be read: {error.strerror}.", "Name a file that `usched local backup` wrote."
        ) from error
    except backup.BackupError as error:
        raise Problem(f"{file}: {error}", "Name a file that `usched local backup` wrote.") from error
    if not yes:
        question = (
            f"The engine on port {engine.port} ends its jobs and forgets everything after {manifest['at']}. Go on?"
        )
        click.confirm(question, abort=True, err=True)
    before = _health(engine).get("startedAt")
    try:
        with open(file, "rb") as source, _calling(engine, "POST", RESTORE, source):
            pass
    except (OSError, http.client.HTTPException, backup.BackupError) as error:
        raise Failure(f"The engine did not take the backup: {_why(error)}") from error
    _await_start(engine, before)
    replaced = engine.state_dir / backup.REPLACED
    if as_json:
        put_json({"at": manifest["at"], "release": manifest["release"], "replaced": str(replaced)})
    else:
        click.echo(f"The engine on port {engine.port} has started again with everything as it was at {manifest['at']}.")
        click.echo(f"What it had before is in {replaced}, until the next restore. Delete it when nobody needs it.")
    return 0


def _await_start(engine: Engine, before: object) -> None:
    deadline = time.monotonic() + engines.START_SECONDS
    while time.monotonic() < deadline:
        found = _health(engine)
        if found.get("startedAt", before) != before and found["status"] != "starting":
            return
        if not processes.alive(engine.pid):
            break
        time.sleep(_POLL_SECONDS)
    log = engine.state_dir / engines.LOG
    raise Failure(
        f"The engine took the backup, but it did not start again. Its log is {log}, or the journal of its service. "
        f"What it had before is in {engine.state_dir / backup.REPLACED}."
    )


def _health(engine: Engine) -> dict[str, Any]:
    """What /health says; nothing while nobody answers."""
    connection = http.client.HTTPConnection(engines.HOST, engine.port, timeout=5)
    try:
        connection.request("GET", HEALTH, headers={"Authorization": keys_of(engine).basic})
        found: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return found


@contextmanager
def _calling(engine: Engine, method: str, path: str, body: IO[bytes] | None = None) -> Iterator[IO[bytes]]:
    """The answer to a request that has succeeded; a refusal is raised."""
    connection = http.client.HTTPConnection(engines.HOST, engine.port)
    try:
        length = os.fstat(body.fileno()).st_size if body else 0
        headers = {"Content-Type": "application/gzip", "Content-Length": str(length)}
        headers["Authorization"] = keys_of(engine).basic
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise backup.BackupError(json.loads(answer.read())["error"]["message"])
        yield answer
    finally:
        connection.close()


@contextmanager
def _private(path: Path) -> Iterator[IO[bytes]]:
    """A new file that nobody else can read: a backup has the secrets of schedules."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file


def _why(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "the engine broke it off. Its log says why; is its disk full?"
    return str(error)
