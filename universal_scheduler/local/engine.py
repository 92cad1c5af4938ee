"""Starts, finds and stops embedded engines. Each engine is one process with its own state directory, which has
engine.json."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from universal_scheduler.local import package, processes
from universal_scheduler.local.state import Safety

HOST = "127.0.0.1"
PORT = 4566
START_SECONDS = 90.0
STOP_SECONDS = 15.0
INFO = "engine.json"
LOG = "engine.log"
STATE = "state"
"""The folder with the files of the services."""

_REMADE = ("jobs", "lambda", "s3")  # of the last engine; data/ stays for who wants to look at what the jobs made


class EngineError(RuntimeError):
    """The engine cannot be started or stopped. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine: its addresses, and what is deployed there. Mappings go from a short name to an ARN."""

    endpoint: str
    api: str
    state_machine_arn: str
    tables: Mapping[str, str]
    queues: Mapping[str, str]
    job_definitions: Mapping[str, str]
    pid: int
    port: int
    state_dir: Path

    def to_json(self) -> dict[str, Any]:
        return {
            "endpoint": self.endpoint,
            "api": self.api,
            "stateMachineArn": self.state_machine_arn,
            "tables": dict(self.tables),
            "queues": dict(self.queues),
            "jobDefinitions": dict(self.job_definitions),
            "pid": self.pid,
            "port": self.port,
            "stateDir": str(self.state_dir),
        }

    @classmethod
    def from_json(cls, info: Mapping[str, Any]) -> Engine:
        return cls(
            endpoint=info["endpoint"],
            api=info["api"],
            state_machine_arn=info["stateMachineArn"],
            tables=info["tables"],
            queues=info["queues"],
            job_definitions=info["jobDefinitions"],
            pid=info["pid"],
            port=info["port"],
            state_dir=Path(info["stateDir"]),
        )


def default_vcpus() -> int:
    """The vCPUs for all jobs of one engine together. Jobs mostly wait, so that this is more than the machine has."""
    return max(16, 8 * (os.cpu_count() or 1))


def engines_dir() -> Path:
    """The directory with the state directories of the engines."""
    if given := os.environ.get("USCHED_STATE_DIR"):
        return Path(given).absolute()
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "usched"


def state_dir_of(port: int) -> Path:
    return engines_dir() / f"engine-{port}"


def start(
    port: int = PORT,
    state_dir: Path | None = None,
    vcpus: int | None = None,
    foreground: bool = False,
    *,
    bare: bool = False,
    events: bool = True,
    safety: Safety = Safety.EPHEMERAL,
) -> Engine:
    """Start an engine and return it when the template is deployed. An engine that runs already is returned as it is.

    Port 0 takes a free port. An engine in the foreground belongs to the caller's terminal: Ctrl-C ends it, its log goes
    to the terminal, and `wait` waits for its end. A bare engine has the services and nothing deployed. Without
    `events`, the deployed scheduler gets no job state changes.

    Raises:
        EngineError: it did not start.
    """
    listener = None if port else _listen(0)
    number = port if listener is None else listener.getsockname()[1]
    home = (state_dir or state_dir_of(number)).absolute()
    with _locked(home):
        if running := find(home):
            if listener:
                listener.close()
            if port not in (0, running.port):
                raise EngineError(f"{home} belongs to the engine on port {running.port}. Stop that engine first.")
            return running
        _clean(home)
        with listener or _listen(number) as bound:
            options = ["--safety", safety, *(["--bare"] if bare else []), *([] if events else ["--no-events"])]
            return _launch(home, bound, vcpus or default_vcpus(), foreground, options)


def find(state_dir: Path) -> Engine | None:
    """The engine that runs in a state directory; None if none runs."""
    try:
        info = json.loads((state_dir / INFO).read_text())
    except (OSError, ValueError):
        return None
    return Engine.from_json(info) if info["pid"] in processes.marked(state_dir) else None


def status(port: int = PORT) -> Engine | None:
    """The engine that runs on a port; None if none runs."""
    return find(state_dir_of(port))


def running() -> list[Engine]:
    """All engines of this user that run now."""
    homes = sorted(engines_dir().glob("engine-*"))
    return [engine for home in homes if (engine := find(home))]


def stop(engine: Engine | Path) -> bool:
    """Stop an engine, given itself or its state directory, and everything that it has started. False if there was
    nothing.

    It also ends what a killed engine has left behind.
    """
    home = engine.state_dir if isinstance(engine, Engine) else engine.absolute()
    found = find(home)
    if found:
        with suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGTERM)
        if not _ended(found.pid, STOP_SECONDS):
            os.kill(found.pid, signal.SIGKILL)
            _ended(found.pid, STOP_SECONDS)
    left = processes.sweep(home)
    _reap()
    (home / INFO).unlink(missing_ok=True)
    return found is not None or left > 0


def wait(engine: Engine) -> None:
    """Wait for the end of an engine that this process has started in the foreground."""
    _ended(engine.pid, float("inf"))


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise EngineError(
            f"Port {port} of {HOST} cannot be used ({error.strerror}). Stop the program that uses it, or start the "
            "engine on another port with --port (0 takes a free one)."
        ) from error
    return listener


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One start at a time for one state directory."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _clean(home: Path) -> None:
    processes.sweep(home)
    _reap()
    (home / INFO).unlink(missing_ok=True)
    for name in _REMADE:
        shutil.rmtree(home / name, ignore_errors=True)
    (home / "data").mkdir(exist_ok=True)


def _launch(home: Path, listener: socket.socket, vcpus: int, foreground: bool, options: list[str]) -> Engine:
    ready, tell = os.pipe()
    command = [sys.executable, "-m", "universal_scheduler.local.server", "--state-dir", str(home)]
    command += ["--listener", str(listener.fileno()), "--ready", str(tell), "--vcpus", str(vcpus)]
    with os.fdopen(ready) as news, (home / LOG).open("w") as log:
        try:
            process = subprocess.Popen(
                [*command, *options],
                pass_fds=(listener.fileno(), tell),
                # One arena of memory for all threads: each would else keep its own, full of holes.
                # https://man7.org/linux/man-pages/man3/mallopt.3.html
                env={"MALLOC_ARENA_MAX": "1", **os.environ, processes.MARK: str(home)},
                cwd=package.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=None if foreground else log,
                stderr=None if foreground else log,
                start_new_session=not foreground,
            )
        finally:
            os.close(tell)
        came, _, _ = select.select([news], [], [], START_SECONDS)
        answer: dict[str, Any] = json.loads(news.readline() or "{}") if came else {"error": "it is not ready in time"}
    if "engine" in answer:
        _children[process.pid] = process
        return Engine.from_json(answer["engine"])
    process.kill()
    process.wait()
    processes.sweep(home)
    last = "" if foreground else "".join(f"\n  {line}" for line in (home / LOG).read_text().splitlines()[-5:])
    raise EngineError(f"The engine did not start: {answer.get('error', 'it ended')}. Its log is {home / LOG}{last}")


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Engines that this process started: it must wait for them, or they stay as zombies."""


def _reap() -> None:
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            del _children[pid]


def _ended(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        _reap()
        if not processes.alive(pid):
            return True
        time.sleep(0.02)
    return False
