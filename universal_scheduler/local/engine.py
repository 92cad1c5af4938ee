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
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from universal_scheduler.local import package, processes
from universal_scheduler.local.run_as import RunAsError, User, check_access, find_user
from universal_scheduler.local.service import backup
from universal_scheduler.local.service.backup import STATE
from universal_scheduler.local.service.logfile import LOG as LOG
from universal_scheduler.local.service.logfile import rotate
from universal_scheduler.local.state import Safety

HOST = "127.0.0.1"
PORT = 4566
START_SECONDS = 90.0
STOP_SECONDS = 15.0
INFO = "engine.json"
SYSTEM_DIR = Path("/var/lib/usched")
"""The directory with the state directories of the engines that are services of the system."""
_LOCK = "lock"  # an engine holds it from before its start to its end
_EPHEMERAL = "ephemeral"  # in the folder of the services: marks it as nothing to keep
_REMADE = ("lambda",)
_FORGOTTEN = ("jobs", "s3", STATE)  # data/ stays for who wants to look at what the jobs made
_KEPT_VARIABLES = frozenset(
    ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "NOTIFY_SOCKET")
)
_KEPT_PREFIXES = ("LC_", "XDG_", "PYTHON", "MALLOC_", "COVERAGE_", "USCHED_", "SFN_")
_ENGINES_OWN = (STATE, "s3")
_POLL_SECONDS = 0.02
_ANSWER_SECONDS = 5.0


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
    safety: Safety = Safety.EPHEMERAL
    run_as: str | None = None
    """The user that jobs and functions run as, if not as the engine itself."""
    credentials: Path | None = None
    """The file with the keys that requests must be signed with; None if the engine does not look at keys."""

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
            "safety": str(self.safety),
            "runAs": self.run_as,
            "credentials": str(self.credentials) if self.credentials else None,
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
            # An engine of an earlier release may still run when this one is installed: it has none of these.
            safety=Safety(info.get("safety", Safety.EPHEMERAL)),
            run_as=info.get("runAs"),
            credentials=Path(info["credentials"]) if info.get("credentials") else None,
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
    *,
    bare: bool = False,
    events: bool = True,
    safety: Safety = Safety.EPHEMERAL,
    run_as: str | None = None,
    auth: bool = False,
) -> Engine:
    """Start an engine and return it when the template is deployed. An engine that runs already is returned as it is.

    Port 0 takes a free port. A bare engine has the services and nothing deployed. Without `events`, the deployed
    scheduler gets no job state changes. `safety` says what outlives the engine: without it, nothing. `run_as` names the
    user that jobs and functions run as; without it, they run as the engine does. With `auth`, every request must be
    signed with the engine's keys, which are in a file that only this user can read.

    Raises:
        EngineError: it did not start.
    """
    user = _user(run_as)
    with _claimed(port, state_dir, safety, user, auth=auth) as place:
        if isinstance(place, Engine):
            return place
        return _launch(place, _options(safety, vcpus, user, bare=bare, events=events, auth=auth))


def become(
    port: int = PORT,
    state_dir: Path | None = None,
    vcpus: int | None = None,
    *,
    bare: bool = False,
    safety: Safety = Safety.EPHEMERAL,
    run_as: str | None = None,
    auth: bool = False,
) -> NoReturn:
    """Turn this process into an engine, in the foreground: its log goes where this process prints, a signal ends it.

    The arguments are those of `start`.

    Raises:
        EngineError: it cannot start, or an engine runs there already.
    """
    user = _user(run_as)
    with _claimed(port, state_dir, safety, user, auth=auth) as place:
        if isinstance(place, Engine):
            raise EngineError(f"An engine runs on port {place.port} already, as process {place.pid}.")
        for descriptor in place.descriptors:
            os.set_inheritable(descriptor, True)
        os.chdir(package.ROOT)
        command = _command(place, _options(safety, vcpus, user, bare=bare, events=True, auth=auth))
        os.execve(command[0], command, _environment(place))


def find(state_dir: Path) -> Engine | None:
    """The engine that runs in a state directory; None if none runs."""
    try:
        info = json.loads((state_dir / INFO).read_text())
    except (OSError, ValueError):
        return None
    return Engine.from_json(info) if _is_held(state_dir / _LOCK) and processes.alive(info["pid"]) else None


def status(port: int = PORT) -> Engine | None:
    """The engine that runs on a port, of this user or of the system; None if none runs."""
    return next((engine for folder in _folders() if (engine := find(folder / f"engine-{port}"))), None)


def running() -> list[Engine]:
    """All engines of this user and of the system that run now."""
    homes = [home for folder in _folders() for home in sorted(folder.glob("engine-*"))]
    return [engine for home in homes if (engine := find(home))]


def _folders() -> tuple[Path, ...]:
    return (engines_dir(),) if os.environ.get("USCHED_STATE_DIR") else (engines_dir(), SYSTEM_DIR)


def stop(engine: Engine | Path, *, keep_jobs: bool = False) -> bool:
    """Stop an engine, given itself or its state directory, and everything that it has started. False if there was
    nothing.

    It also ends what a killed engine has left behind. With `keep_jobs`, the jobs of a durable engine run on, for the
    engine that starts next.

    Raises:
        EngineError: the engine is another user's, or cannot keep its jobs.
    """
    home = engine.state_dir if isinstance(engine, Engine) else engine.absolute()
    found = find(home)
    if keep_jobs and not _is_durable(home):
        raise EngineError(f"The engine of {home} is ephemeral and cannot keep its jobs. Stop it without --keep-jobs.")
    if found:
        _signal(found, signal.SIGUSR1 if keep_jobs else signal.SIGTERM)
        if not _ended(found.pid, STOP_SECONDS):
            _signal(found, signal.SIGKILL)
            _ended(found.pid, STOP_SECONDS)
    left = processes.sweep(home, spare_jobs=keep_jobs)
    _reap()
    (home / INFO).unlink(missing_ok=True)
    return found is not None or left > 0


def _signal(engine: Engine, number: signal.Signals) -> None:
    try:
        os.kill(engine.pid, number)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise EngineError(
            f"The engine on port {engine.port}, process {engine.pid}, is another user's. Stop it as that user, or as "
            "root. If it is a service of the system: sudo systemctl stop usched"
        ) from error


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


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an engine may start: its state directory, which is in order, its port, and its lock."""

    home: Path
    listener: socket.socket
    lock: int
    durable: bool

    @property
    def descriptors(self) -> tuple[int, int]:
        return self.listener.fileno(), self.lock


@contextmanager
def _claimed(
    port: int, state_dir: Path | None, safety: Safety, user: User | None, *, auth: bool
) -> Iterator[_Place | Engine]:
    """A place for an engine that nobody else has, or the engine that has it."""
    with nullcontext() if port else _listen(0) as free:
        home = (state_dir or state_dir_of(free.getsockname()[1] if free else port)).absolute()
        with _locked(home) as held:
            if isinstance(held, Engine):
                if port not in (0, held.port):
                    raise EngineError(f"{home} belongs to the engine on port {held.port}. Stop that engine first.")
                yield held
                return
            _clean(home, safety)
            if user is not None or auth:
                _close(home, user, auth=auth)
            if user is not None:
                _check_access(user, home)
            with free or _listen(port) as bound:
                yield _Place(home, bound, held, durable=safety is not Safety.EPHEMERAL)


@contextmanager
def _locked(home: Path) -> Iterator[int | Engine]:
    """The descriptor of the lock of a state directory, or the engine that holds it."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = (home / _LOCK).open("a")
    except PermissionError as error:
        raise EngineError(
            f"{error.filename} is another user's. Start the engine as that user, or set USCHED_STATE_DIR to a "
            "directory of your own."
        ) from error
    with file as lock:
        deadline = time.monotonic() + START_SECONDS
        while not _lock(lock.fileno(), fcntl.LOCK_EX):
            if (running := find(home)) and _answers(running):
                yield running
                return
            if time.monotonic() > deadline:
                raise EngineError(f"Another engine starts or stops in {home} and does not get ready. Try again later.")
            _reap()
            time.sleep(_POLL_SECONDS)
        yield lock.fileno()


def _answers(engine: Engine) -> bool:
    """Whether an engine goes on: one that was killed a moment ago still has its lock, but answers nobody."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(HOST, engine.port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/health")
        connection.getresponse()
    except TimeoutError:  # it is busy
        return True
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return True


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_held(path: Path) -> bool:
    """Whether an engine holds this lock, of this user or another."""
    try:
        with path.open() as lock:
            return not _lock(lock.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _is_durable(home: Path) -> bool:
    """Whether a state directory has what a durable engine has kept."""
    if (home / backup.RESTORED).exists():
        return True
    return any((home / STATE).glob("*.sqlite")) and not (home / STATE / _EPHEMERAL).exists()


def _clean(home: Path, safety: Safety) -> None:
    """Bring a state directory in order for an engine of this safety."""
    kept = _is_durable(home)
    if kept and safety is Safety.EPHEMERAL:
        raise EngineError(
            f"{home} has the state of a durable engine, and an ephemeral engine would delete it. Start the engine "
            "without --ephemeral, or on another port. If nobody needs this state, delete the directory."
        )
    processes.sweep(home, spare_jobs=kept)
    _reap()
    (home / INFO).unlink(missing_ok=True)
    backup.adopt(home)
    unfinished = home.glob(f"{backup.UNFINISHED}*")
    for path in (*(home / name for name in _REMADE), *unfinished, *(() if kept else (home / it for it in _FORGOTTEN))):
        shutil.rmtree(path, ignore_errors=True)
    for name in ("data", STATE):
        (home / name).mkdir(exist_ok=True)
    if safety is Safety.EPHEMERAL:
        (home / STATE / _EPHEMERAL).touch()


def _user(name: str | None) -> User | None:
    try:
        return find_user(name)
    except RunAsError as error:
        raise EngineError(str(error)) from error


def _close(home: Path, user: User | None, *, auth: bool) -> None:
    """Keep other users out of what is the engine's own, and on request out of what jobs write, too.

    The jobs of a user go through the directories above theirs, and can neither list nor change them.
    """
    home.chmod(0o711)
    modes = {STATE: 0o700, "s3": 0o700, "jobs": 0o711 if user else 0o700 if auth else 0o755}
    if auth:
        modes["data"] = 0o700
    for name, mode in modes.items():
        (home / name).mkdir(exist_ok=True)
        (home / name).chmod(mode)
    (home / LOG).touch()
    (home / LOG).chmod(0o600)


def _check_access(user: User, home: Path) -> None:
    try:
        check_access(user, home)
    except RunAsError as error:
        raise EngineError(str(error)) from error


def _options(
    safety: Safety, vcpus: int | None, user: User | None, *, bare: bool, events: bool, auth: bool
) -> list[str]:
    options = ["--safety", safety, "--vcpus", str(vcpus or default_vcpus()), *(["--run-as", user.name] if user else [])]
    flags = {"--bare": bare, "--no-events": not events, "--auth": auth}
    return [*options, *(flag for flag, given in flags.items() if given)]


def _command(place: _Place, options: list[str]) -> list[str]:
    listener, lock = map(str, place.descriptors)
    command = [sys.executable, "-m", "universal_scheduler.local.server", "--state-dir", str(place.home)]
    return [*command, "--listener", listener, "--lock", lock, *options]


def _environment(place: _Place) -> dict[str, str]:
    """What the engine needs of this process's environment. All else may be secret, and what runs as the same user can
    read it.

    One arena of memory for all threads: each would else keep its own, full of holes.
    https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    kept = {
        name: value for name, value in os.environ.items() if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)
    }
    kept.pop(processes.JOB_MARK, None)  # a job may start an engine, which is then no job
    return {"MALLOC_ARENA_MAX": "1", **kept, processes.MARK: str(place.home)}


def _launch(place: _Place, options: list[str]) -> Engine:
    ready, tell = os.pipe()
    home = place.home
    if place.durable:
        rotate(home / LOG)
    else:
        (home / LOG).unlink(missing_ok=True)
    with os.fdopen(ready) as news, (home / LOG).open("a") as log:
        try:
            process = subprocess.Popen(
                [*_command(place, options), "--ready", str(tell)],
                pass_fds=(*place.descriptors, tell),
                env=_environment(place),
                cwd=package.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
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
    processes.sweep(home, spare_jobs=place.durable)
    last = "".join(f"\n  {line}" for line in (home / LOG).read_text().splitlines()[-5:])
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
