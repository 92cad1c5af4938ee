"""The one small process under which all job processes live: it starts, signals, reaps and, at the end, kills them.

Run as ``python supervisor.py``; standard library only and few imports, so that it is up in milliseconds. It talks JSON,
one object a line. On its standard input:

    {"op": "start", "id": ID, "argv": [...], "env": {...}, "cwd": PATH, "output": PATH}
    {"op": "kill", "id": ID, "signal": N}

and on its standard output:

    {"id": ID, "event": "started", "pid": N}
    {"id": ID, "event": "exited", "code": N}  or  {..., "signal": N}
    {"id": ID, "event": "failed", "error": TEXT}            the command could not be started

A job is a session of its own. When its first process ends, what it left behind is killed, as the end of a container's
first process kills the container: its process group, and on Linux also the daemons that left that group, which come to
this process because it is their subreaper (prctl(2), PR_SET_CHILD_SUBREAPER). When standard input ends, because whoever
started the supervisor closed it or died, even by kill -9, every job is killed and the supervisor exits.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import selectors
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

LINUX = sys.platform.startswith("linux")
PR_SET_CHILD_SUBREAPER = 36
MARK = "USCHED_PROCESS"
"""Environment variable that names the job a process belongs to, however often it forked and changed its session."""

Message = dict[str, object]


class Supervisor:
    """The running jobs, by id and by the process id of their first process."""

    def __init__(self, commands: int, replies: int) -> None:
        self._commands = commands
        self._replies = replies
        self._pid_of: dict[str, int] = {}
        self._id_of: dict[int, str] = {}
        self._unread = b""
        self._unsent: list[str] = []

    def run(self) -> None:
        """Serve until standard input ends, then kill everything."""
        wakeup_read, wakeup_write = os.pipe()
        for fd in (wakeup_read, wakeup_write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A Ctrl-C reaches the whole foreground group: the end of the commands is what ends us, in order.
            signal.signal(ignored, signal.SIG_IGN)
        if LINUX:
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        with selectors.DefaultSelector() as selector:
            selector.register(self._commands, selectors.EVENT_READ)
            selector.register(wakeup_read, selectors.EVENT_READ)
            try:
                while True:
                    ready = {key.fd for key, _ in selector.select()}
                    if wakeup_read in ready:
                        os.read(wakeup_read, 65536)
                        self._reap()
                    if self._commands in ready and not self._obey():
                        break
                    self._flush()
            except BrokenPipeError:
                pass
        self._kill_all()

    def _obey(self) -> bool:
        """Carry out the commands that have arrived; False when there will be no more."""
        data = os.read(self._commands, 1 << 20)
        if not data:
            return False
        *lines, self._unread = (self._unread + data).split(b"\n")
        for number, line in enumerate(lines):
            message = json.loads(line)
            if message["op"] == "start":
                self._start(message)
                if number % 16 == 15:  # many starts at once: let the first ones be known, and their ends reaped, early
                    self._reap()
                    self._flush()
            else:
                self._signal(message["id"], message["signal"])
        return True

    def _start(self, message: Message) -> None:
        job = str(message["id"])
        try:
            pid = spawn(message)
        except OSError as error:
            self._reply(id=job, event="failed", error=f'exec: "{error.filename}": {error.strerror}')
            return
        except (ValueError, TypeError) as error:  # a null byte, for one: nothing may end us but the end of commands
            self._reply(id=job, event="failed", error=str(error))
            return
        self._pid_of[job] = pid
        self._id_of[pid] = job
        self._reply(id=job, event="started", pid=pid)

    def _signal(self, job: str, number: int) -> None:
        pid = self._pid_of.get(job)
        if pid is not None:  # not yet reaped, so the id is still that job's
            kill_group(pid, number)

    def _reap(self) -> None:
        """Collect every process that has ended and report the jobs among them."""
        while True:
            try:
                # Look first, collect later: while the zombie is there, nobody else can get its process id, so that
                # killing the group cannot hit a stranger.
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            job = self._id_of.pop(ended.si_pid, None)
            if job is not None:
                del self._pid_of[job]
                kill_group(ended.si_pid, signal.SIGKILL)
            os.waitpid(ended.si_pid, 0)
            if job is None:
                continue
            self._kill_strays(job)
            how = "code" if ended.si_code == os.CLD_EXITED else "signal"
            self._reply(id=job, event="exited", **{how: ended.si_status})

    def _kill_strays(self, job: str) -> None:
        """Kill what the job's processes left to us when they ended."""
        mark = f"{MARK}={job}".encode()
        for pid in children(os.getpid()):
            if pid not in self._id_of and mark in environment(pid):
                kill_tree(pid)

    def _kill_all(self) -> None:
        for pid in self._id_of:
            kill_group(pid, signal.SIGKILL)
        try:
            while True:
                for pid in children(os.getpid()):
                    kill_tree(pid)
                os.waitpid(-1, 0)
        except ChildProcessError:
            return

    def _reply(self, **message: object) -> None:
        self._unsent.append(json.dumps(message))

    def _flush(self) -> None:
        if self._unsent:
            data = memoryview(("\n".join(self._unsent) + "\n").encode())
            self._unsent.clear()
            while data:
                data = data[os.write(self._replies, data) :]


def spawn(message: Message) -> int:
    """Start the command of a ``start`` message and return its process id; OSError when that cannot be done."""
    argv, env = message["argv"], message["env"]
    cwd, output = str(message["cwd"]), str(message["output"])
    assert isinstance(argv, list)
    assert isinstance(env, dict)
    if not argv:
        raise ValueError("no command specified")
    os.makedirs(cwd, exist_ok=True)
    # posix_spawn has no working directory of its own; this process has one thread and needs none.
    os.chdir(cwd)
    path = find_program(argv[0], env.get("PATH", os.defpath))
    env[MARK] = str(message["id"])
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # Python ignores these two; programs expect them as the system has them.
    defaults = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    try:
        if LINUX:
            return os.posix_spawn(path, argv, env, file_actions=actions, setsid=True, setsigdef=defaults)
        return os.posix_spawn(path, argv, env, file_actions=actions, setpgroup=0, setsigdef=defaults)
    finally:
        os.chdir("/")


def find_program(name: str, search: str) -> str:
    """The file that a command name means, looked up in the job's own PATH as execvp(3) does."""
    if "/" in name:
        return name
    found = ""
    for folder in search.split(os.pathsep):
        candidate = os.path.join(folder or ".", name)
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            found = found or candidate
    if found:
        raise PermissionError(errno.EACCES, "permission denied", found)
    raise FileNotFoundError(errno.ENOENT, "executable file not found in $PATH", name)


def kill_group(pid: int, number: int) -> None:
    """Signal a job's process group."""
    with suppress(ProcessLookupError, PermissionError):  # macOS says "not permitted" of a group of zombies
        os.killpg(pid, number)


def kill_tree(pid: int) -> None:
    """Kill a child of ours and all below it; the ones below come to us, so their ids cannot be reused meanwhile."""
    for child in list(children(pid)):
        kill_tree(child)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def children(pid: int) -> Iterator[int]:
    """The children of a process (nothing where the system has no such list: only Linux re-parents them to us)."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            yield from map(int, file.read().split())
    except OSError:
        return


def environment(pid: int) -> list[bytes]:
    """The environment a process was started with; empty when it is gone or not ours."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


if __name__ == "__main__":
    Supervisor(0, 1).run()
