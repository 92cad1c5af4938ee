"""Starts the supervisor, or finds the one that has outlived an engine, and connects to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from universal_scheduler.local.batch import supervisor

GREETING_SECONDS = 10.0
_LONGEST = 100
"""Bytes of the path of a socket: https://man7.org/linux/man-pages/man7/unix.7.html"""


@dataclass(slots=True)
class Link:
    """A connection with a supervisor: descriptors to write commands to and to read replies from.

    ``process`` is None if it is no child of this process. ``running`` are the jobs that lived already, with their
    process ids and since when they run.
    """

    commands: int
    replies: int
    process: subprocess.Popen[bytes] | None = None
    running: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    kept: bool = False
    """Whether the supervisor was there before."""
    unpacker: supervisor.Unpacker = field(default_factory=supervisor.Unpacker)
    first: Sequence[supervisor.Message] = ()
    """What it has said already."""


def by_pipes(env: Mapping[str, str]) -> Link:
    """A new supervisor that ends, with its jobs, when this process does."""
    commands, ours = os.pipe()
    replies, theirs = os.pipe()
    try:
        process = _spawn(env, commands, theirs)
    finally:
        os.close(commands)
        os.close(theirs)
    return Link(ours, replies, process)


def by_socket(path: Path, env: Mapping[str, str]) -> Link:
    """A new supervisor that outlives this process, and whose socket has this path."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, _short(path) as address:
        listener.bind(address)
        os.chmod(address, 0o600)
        listener.listen()
        with open(os.devnull, "wb") as nowhere:
            process = _spawn(env, listener.fileno(), nowhere.fileno(), supervisor.LISTEN)
    link = found(path)
    if link is None:
        process.kill()
        process.wait()
        raise RuntimeError("the process under which jobs run has ended at its start")
    link.process, link.kept = process, False
    return link


def found(path: Path) -> Link | None:
    """The supervisor whose socket has this path; None if it is gone, or speaks another language than this release."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(GREETING_SECONDS)
        with _short(path) as address:
            connection.connect(address)
        unpacker = supervisor.Unpacker()
        messages: list[supervisor.Message] = []
        while not messages:
            data = connection.recv(1 << 20)
            if not data:
                raise ConnectionError("it has ended")
            messages = unpacker.feed(data)
        (word, protocol, running), *first = messages
        if (word, protocol) != ("here", supervisor.PROTOCOL):
            raise ConnectionError("it is of another release")
    except (OSError, ValueError):
        connection.close()
        return None
    commands = os.dup(connection.fileno())
    known = {job_id: (pid, started) for job_id, pid, started in running}
    return Link(commands, connection.detach(), running=known, kept=True, unpacker=unpacker, first=first)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """An address for a path that may be too long for one."""
    if len(os.fsencode(path)) <= _LONGEST or not supervisor.LINUX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _spawn(env: Mapping[str, str], commands: int, replies: int, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-IS", "-c", supervisor.COMMAND, *arguments],
        stdin=commands,
        stdout=replies,
        env=env,
        cwd="/",
        start_new_session=True,
    )
