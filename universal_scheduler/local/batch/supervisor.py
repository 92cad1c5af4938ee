"""The one small process under which all job processes live: it starts, signals, reaps and, at the end, kills them.

Standard library only and few imports, so that it is up in milliseconds (``COMMAND``). Whoever started it writes
commands to its standard input:

    ("start", ID, ARGV, ENVIRONMENT, CWD, OUTPUT, BOUNDS, USER)
    ("kill", ID, SIGNAL)

and reads from its standard output:

    ("started", ID, PID)
    ("exited", ID, CODE, SIGNAL, OUT_OF_MEMORY, STARTED, ENDED)     one of CODE and SIGNAL is None
    ("failed", ID, ERROR, ENDED)                                    the command could not be started

Both travel as ``pack`` writes lists of them. An environment is written as what it has beside the first one that was
sent (``Environments``): the environments of jobs are long and nearly the same.

A job is a session of its own. When its first process ends, what it left behind is killed, as the end of a container's
first process kills the container: its process group, and on Linux also the daemons that left that group, which come to
this process because it is their subreaper (prctl(2), PR_SET_CHILD_SUBREAPER). When standard input ends, because whoever
started the supervisor closed it or died, even by kill -9, every job is killed and the supervisor exits.

Started with ``LISTEN`` its standard input is a listening Unix socket instead, over which it is spoken to,
and jobs outlive whoever started them: when a connection ends it waits for the next one, and first says there

    ("here", PROTOCOL, [(ID, PID, STARTED), ...])      what runs

and then again what ended and was not taken. Two more commands are

    ("taken", ID)    the end of this job is known for good
    ("end",)         kill every job, and exit

It also exits without a connection when nothing runs and everything was taken. Times are epoch milliseconds.

The bounds of a job are the bytes of memory that its processes may hold together (0: any number), and its niceness. On
Linux, every now and then, the supervisor looks what they hold, and kills a job that holds more. The niceness is the
whole job's share of the processors, also where the kernel shares them out by session.

USER has the ids of the user, the group and the other groups that the job runs as, or is None. Only root's supervisor
can run a job as somebody else.

A job's directory is made for it. It is removed at the job's end if the job has left nothing in it, and so is an output
file to which nothing was written.
"""

# ruff: noqa: SIM105 - contextlib is one import more, for which the first job would wait

from __future__ import annotations

import ctypes
import errno
import marshal
import os
import select
import sys
import time

LISTEN = "listen"
PROTOCOL = 1
"""To be raised when a message changes that an engine of another release sends or reads."""
MARSHAL = 4
"""The version of marshal, so that engine and supervisor may run under different releases of Python:
https://docs.python.org/3/library/marshal.html#marshal.version"""
LINUX = sys.platform.startswith("linux")
PR_SET_CHILD_SUBREAPER = 36
MARK = "USCHED_PROCESS"
"""Environment variable that names the job a process belongs to, however often it forked and changed its session."""
NEVER = float("inf")
LOOK_SECONDS = 0.2
LOOK_SHARE = 50
"""The memory of the jobs is looked at every ``LOOK_SECONDS``, or in ``LOOK_SHARE`` times what a look takes."""
KILLED_FIRST = b"500"
"""Should the machine's memory end, the kernel kills jobs, and not the engine:
https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html"""
STARTS_TOGETHER = 16
"""Of many starts at once: the first ones are told, and their ends reaped, before the others are made."""

# Imported, and not run by its path: so it is compiled once and for all. Its folder comes last in the search, because
# the modules beside it are not meant.
COMMAND = (
    f"import sys; sys.path.append({os.path.dirname(os.path.abspath(__file__))!r}); import supervisor as s; s.main()"
)

TYPE_CHECKING = False  # what typing has under this name, without typing
if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeAlias

    Message: TypeAlias = tuple[Any, ...]
    Changes: TypeAlias = tuple[Mapping[str, str], Sequence[str]]
    Bounds: TypeAlias = tuple[int, int]
    Ids: TypeAlias = tuple[int, int, Sequence[int]]
else:
    import _signal as signal  # `signal` itself brings enum along, which takes as long as all the rest

IGNORED = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
"""By Python or by this process. Programs expect them as the system has them."""


def pack(messages: Sequence[Message]) -> bytes:
    """Messages as they travel: their length in four bytes, then themselves."""
    body = marshal.dumps(list(messages), MARSHAL)
    return len(body).to_bytes(4, "little") + body


class Unpacker:
    """Takes what was read, in whatever pieces, and gives the messages that are complete."""

    def __init__(self) -> None:
        self._unread = b""

    def feed(self, data: bytes) -> list[Message]:
        data = self._unread + data if self._unread else data
        messages: list[Message] = []
        at = 0
        while len(data) - at >= 4:
            end = at + 4 + int.from_bytes(data[at : at + 4], "little")
            if len(data) < end:
                break
            messages += marshal.loads(data[at + 4 : end])
            at = end
        self._unread = data[at:]
        return messages


class Environments:
    """Writes each environment as its difference from the first one, and reads it again at the other end."""

    def __init__(self) -> None:
        self._first: dict[str, str] | None = None

    def write(self, environment: Mapping[str, str]) -> Changes:
        """What is set beside the first environment, and what is missing."""
        known = self._first or {}
        added = {str(name): str(value) for name, value in environment.items() - known.items()}
        if self._first is None:
            self._first = added
        return added, tuple(known.keys() - environment.keys())

    def read(self, changes: Changes) -> dict[str, str]:
        added, missing = changes
        if self._first is None:
            self._first = dict(added)
        environment = {**self._first, **added}
        for name in missing:
            del environment[name]
        return environment


class Job:
    """A command that runs. ``made`` says whether its directory was made for it."""

    __slots__ = ("cwd", "id", "killed", "made", "memory", "nice", "out_of_memory", "output", "started")

    def __init__(self, job_id: str, cwd: str, output: str, bounds: Bounds, user: Ids | None) -> None:
        self.id, self.cwd, self.output = job_id, cwd, output
        self.memory, self.nice = bounds
        self.out_of_memory = self.killed = False
        self.started = _now()
        self.made = _make_directory(cwd)
        if self.made and user is not None:  # the directory above is not the user's, so nobody can put another one there
            os.chmod(cwd, 0o700)
            os.chown(cwd, user[0], user[1])

    def tidy(self) -> None:
        """Take away what it has left empty."""
        if self.made:
            try:
                os.rmdir(self.cwd)
            except OSError:  # it has left something there, or taken it away itself
                pass
        try:
            if not os.stat(self.output).st_size:
                os.unlink(self.output)
        except OSError:
            pass


def _now() -> int:
    return time.time_ns() // 1_000_000


def _make_directory(path: str) -> bool:
    try:
        os.mkdir(path)
    except FileExistsError:
        return False
    except FileNotFoundError:
        os.makedirs(path)
    return True


class Supervisor:
    """The running jobs, by id and by the process id of their first process.

    With a ``listener`` commands and replies come and go with each connection.
    """

    def __init__(self, commands: int, replies: int, listener: int = -1) -> None:
        self._commands = commands
        self._replies = replies
        self._listener = listener
        self._untaken: dict[str, Message] = {}
        self._ended = False
        self._pid_of: dict[str, int] = {}
        self._jobs: dict[int, Job] = {}
        self._unpacker = Unpacker()
        self._environments = Environments()
        self._unsent: list[Message] = []
        self._children = Children(os.getpid())
        self._watched: set[int] = set()
        """The first processes of the jobs whose memory has a limit."""
        self._next_look = NEVER
        self._autogroups = _autogroups()
        self._young: list[int] = []
        """The first processes of the jobs that nobody has looked at yet."""
        self._unweighted: list[int] = []
        """Those of the jobs whose session has not got its niceness yet."""
        self._kernels_kills = [_kernels_kills()] * 2
        """At the last two looks: what is killed at one may take until after the next to end."""

    def run(self) -> None:
        """Serve until there will be no more commands, then kill everything."""
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
        poll = select.poll()
        poll.register(wakeup_read, select.POLLIN)
        while not self._ended:
            source = self._commands if self._commands >= 0 else self._listener
            poll.register(source, select.POLLIN)
            ready = [fd for fd, _ in poll.poll(self._patience())]
            poll.unregister(source)
            if wakeup_read in ready:
                os.read(wakeup_read, 65536)
                self._reap()
            if source in ready:
                self._meet() if source == self._listener else self._obey()
            self._flush()
            if time.monotonic() >= self._next_look:
                self._look()
        self._kill_all()

    def _meet(self) -> None:
        """Whoever starts jobs is there, or there again: say what there is."""
        import _socket  # `socket` itself brings enum and selectors along

        listener = _socket.socket(fileno=os.dup(self._listener))
        try:
            self._commands, _ = listener._accept()  # type: ignore[attr-defined]  # as `socket` does
        except OSError:  # it has gone again
            return
        finally:
            listener.close()
        os.set_blocking(self._commands, True)
        self._replies = self._commands
        self._unpacker, self._environments = Unpacker(), Environments()
        running = [(job.id, pid, job.started) for pid, job in self._jobs.items()]
        self._unsent = [("here", PROTOCOL, running), *self._untaken.values()]

    def _part(self) -> None:
        """There will be no more commands, or none until somebody connects again: without work that is not worth it."""
        if self._commands >= 0:
            os.close(self._commands)
        self._commands = self._replies = -1
        self._ended = self._listener < 0 or not (self._jobs or self._untaken)

    def _obey(self) -> None:
        """Carry out the commands that have arrived."""
        try:
            data = os.read(self._commands, 1 << 20)
        except ConnectionError:
            data = b""
        if not data:
            self._part()
            return
        for number, message in enumerate(self._unpacker.feed(data), 1):
            if message[0] == "start":
                self._start(*message[1:])
                if number % STARTS_TOGETHER == 0:
                    self._reap()
                    self._flush()
            elif message[0] == "kill":
                self._signal(*message[1:])
            elif message[0] == "taken":
                self._untaken.pop(message[1], None)
            else:
                self._ended = True
        os.chdir("/")  # a job's directory is not to be held

    def _start(
        self,
        job_id: str,
        argv: list[str],
        changes: Changes,
        cwd: str,
        output: str,
        bounds: Bounds,
        user: Ids | None,
    ) -> None:
        environment = self._environments.read(changes)
        environment[MARK] = job_id
        job = None
        try:
            job = Job(job_id, cwd, output, bounds, user)
            if user is None:
                pid = spawn(argv, environment, cwd, output)
            else:
                pid = spawn_as(user, argv, environment, cwd, output)
        except (OSError, ValueError, TypeError) as error:  # nothing may end us but the end of commands
            if job is not None:
                job.tidy()
            self._report_end(("failed", job_id, _why(error), _now()))
            return
        self._pid_of[job_id] = pid
        self._jobs[pid] = job
        self._bound(pid, job)
        self._unsent.append(("started", job_id, pid))

    def _bound(self, pid: int, job: Job) -> None:
        if job.nice:
            try:
                os.setpriority(os.PRIO_PGRP, pid, job.nice)
            except OSError:  # it has ended
                pass
        if LINUX:
            self._young.append(pid)
            if job.memory:
                self._watched.add(pid)
            if self._next_look == NEVER:
                self._next_look = time.monotonic() + LOOK_SECONDS

    def _patience(self) -> int | None:
        """Milliseconds until the jobs are to be looked at; None if none is."""
        if self._next_look == NEVER:
            return None
        return max(0, int((self._next_look - time.monotonic()) * 1000) + 1)

    def _look(self) -> None:
        """Kill the jobs that hold more memory than they may, and see to those that are new and have not ended yet."""
        began = time.process_time()
        self._see_to_young()
        self._kernels_kills = [self._kernels_kills[1], _kernels_kills()]
        if self._watched:
            import memory  # type: ignore[import-not-found]  # beside this file

            processes = memory.Processes()
            found = processes.of_sessions(self._watched, self._job_of_stray)
            for pid, members in found.items():
                limit = self._jobs[pid].memory
                if processes.resident(members) > limit and memory.held(members, limit) > limit:
                    self._jobs[pid].out_of_memory = True
                    kill_group(pid, signal.SIGKILL)
        pause = max(LOOK_SECONDS, LOOK_SHARE * (time.process_time() - began))
        self._next_look = time.monotonic() + pause if self._watched or self._unweighted else NEVER

    def _job_of_stray(self, pid: int) -> int | None:
        """The first process of the job that left this process to us."""
        mark = f"{MARK}=".encode()
        ids = [it[len(mark) :].decode() for it in environment_of(pid) if it.startswith(mark)]
        return self._pid_of.get(ids[0]) if ids else None

    def _see_to_young(self) -> None:
        """What jobs that end at once need not wait for."""
        for pid in self._young:
            if pid in self._jobs:
                _write(f"/proc/{pid}/oom_score_adj", KILLED_FIRST)
                if self._autogroups and self._jobs[pid].nice:
                    self._unweighted.append(pid)
        self._young.clear()
        # Where each session is an autogroup, niceness counts within one session only. A user who is not root may give
        # one session its own every tenth of a second: https://man7.org/linux/man-pages/man7/sched.7.html
        while self._unweighted:
            job = self._jobs.get(pid := self._unweighted[0])
            if job is not None and not _write(f"/proc/{pid}/autogroup", str(job.nice).encode()):
                break
            del self._unweighted[0]

    def _signal(self, job_id: str, number: int) -> None:
        pid = self._pid_of.get(job_id)
        if pid is not None:  # not yet reaped, so the id is still that job's
            self._jobs[pid].killed = number == signal.SIGKILL
            kill_group(pid, number)

    def _reap(self) -> None:
        """Collect every process that has ended and report the jobs among them."""
        ended: list[tuple[Job, Message]] = []
        while True:
            try:
                # Look first, collect later: while the zombie is there, nobody else can get its process id, so that
                # killing the group cannot hit a stranger.
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if found is None:
                break
            job = self._jobs.pop(found.si_pid, None)
            if job is not None:
                del self._pid_of[job.id]
                self._watched.discard(found.si_pid)
                kill_group(found.si_pid, signal.SIGKILL)
                by_itself = found.si_code == os.CLD_EXITED
                code, number = (found.si_status, None) if by_itself else (None, found.si_status)
                out_of_memory = number == signal.SIGKILL and (job.out_of_memory or self._kernel_killed(job))
                ended.append((job, ("exited", job.id, code, number, out_of_memory, job.started, _now())))
            os.waitpid(found.si_pid, 0)
        if ended:
            self._kill_strays([job.id for job, _ in ended])
        for job, message in ended:
            job.tidy()
            self._report_end(message)

    def _kernel_killed(self, job: Job) -> bool:
        """Whether it was the kernel that killed this job, because the machine or its container had no memory left: it
        has killed something just now, and nobody has asked us to."""
        before, last = self._kernels_kills
        if job.killed or _kernels_kills() <= before:
            return False
        self._kernels_kills = [before + 1, max(before + 1, last)]  # the next job is to have its own
        return True

    def _kill_strays(self, job_ids: list[str]) -> None:
        """Kill what the processes of these jobs left to us when they ended."""
        if strays := self._children.now() - self._jobs.keys():
            marks = {f"{MARK}={job_id}".encode() for job_id in job_ids}
            for pid in strays:
                if not marks.isdisjoint(environment_of(pid)):
                    kill_tree(pid)

    def _kill_all(self) -> None:
        for pid in self._jobs:
            kill_group(pid, signal.SIGKILL)
        try:
            while True:
                for pid in self._children.now():
                    kill_tree(pid)
                os.waitpid(-1, 0)
        except ChildProcessError:
            pass
        for job in self._jobs.values():
            job.tidy()

    def _report_end(self, message: Message) -> None:
        self._unsent.append(message)
        if self._listener >= 0:
            self._untaken[message[1]] = message

    def _flush(self) -> None:
        data = memoryview(pack(self._unsent) if self._unsent and self._replies >= 0 else b"")
        self._unsent.clear()
        try:
            while data:
                data = data[os.write(self._replies, data) :]
        except ConnectionError:
            self._read_out()

    def _read_out(self) -> None:
        """Nobody listens any more; what was commanded before that counts, if jobs go on."""
        self._replies = -1
        while self._listener >= 0 and self._commands >= 0:
            self._obey()
        self._part()


class Children:
    """The children of a process: none where the system has no such list. Only Linux re-parents daemons to us."""

    def __init__(self, pid: int) -> None:
        try:
            self._list = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY)
        except OSError:
            self._list = -1

    def now(self) -> set[int]:
        found = b""
        try:
            while data := os.pread(self._list, 65536, len(found)):
                found += data
        except OSError:  # there is no list, or the process is gone
            pass
        return set(map(int, found.split()))

    def close(self) -> None:
        if self._list >= 0:
            os.close(self._list)


def spawn(argv: list[str], environment: dict[str, str], cwd: str, output: str) -> int:
    """Start a command and return its process id; leaves this process in the command's directory.

    Raises:
        OSError, ValueError, TypeError: it cannot be started.
    """
    _check(argv)
    # posix_spawn has no working directory of its own; this process has one thread and needs none.
    os.chdir(cwd)
    path = find_program(argv[0], environment.get("PATH", os.defpath))
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    if LINUX:
        return os.posix_spawn(path, argv, environment, file_actions=actions, setsid=True, setsigdef=IGNORED)
    return os.posix_spawn(path, argv, environment, file_actions=actions, setpgroup=0, setsigdef=IGNORED)


def spawn_as(user: Ids, argv: list[str], environment: dict[str, str], cwd: str, output: str) -> int:
    """As ``spawn``, but as this user, which posix_spawn cannot do; the command's output belongs to the user too."""
    _check(argv)
    news, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for number in IGNORED:
                signal.signal(number, signal.SIG_DFL)
            written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            os.fchown(written, user[0], user[1])
            for standard, file in enumerate((os.open(os.devnull, os.O_RDONLY), written, written)):
                os.dup2(file, standard)
            os.setgroups(user[2])
            os.setgid(user[1])
            os.setuid(user[0])
            os.chdir(cwd)
            os.execve(find_program(argv[0], environment.get("PATH", os.defpath)), argv, environment)
        except BaseException as error:  # noqa: BLE001 - this process is a copy of the supervisor, and must not go on
            os.write(tell, marshal.dumps(_why(error)))
        os._exit(127)
    os.close(tell)
    why = b""
    while data := os.read(news, 65536):  # it ends when the command has been started, or could not be
        why += data
    os.close(news)
    if why:
        os.waitpid(pid, 0)
        raise ValueError(marshal.loads(why))
    return pid


def _check(argv: list[str]) -> None:
    if not argv:
        raise ValueError("no command specified")


def find_program(name: str, search: str) -> str:
    """The file that a command name means, looked up in the job's own PATH as execvp(3) does."""
    if "/" in name:
        return name
    candidates = [f"{folder or '.'}/{name}" for folder in search.split(os.pathsep)]
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    for candidate in candidates:
        if os.path.isfile(candidate):
            raise PermissionError(errno.EACCES, "permission denied", candidate)
    raise FileNotFoundError(errno.ENOENT, "executable file not found in $PATH", name)


def _why(error: BaseException) -> str:
    return f'exec: "{error.filename}": {error.strerror}' if isinstance(error, OSError) else str(error)


def kill_group(pid: int, number: int) -> None:
    """Signal a job's process group."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # macOS says "not permitted" of a group of zombies
        pass


def kill_tree(pid: int) -> None:
    """Kill a child of ours and all below it; the ones below come to us, so their ids cannot be reused meanwhile."""
    below = Children(pid)
    for child in below.now():
        kill_tree(child)
    below.close()
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _kernels_kills() -> int:
    """How many processes the kernel has killed for want of memory since it was started."""
    try:
        with open("/proc/vmstat", "rb") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(b"oom_kill "))
    except OSError:
        return 0


def _autogroups() -> bool:
    """Whether the kernel shares processors out by session."""
    try:
        with open("/proc/sys/kernel/sched_autogroup_enabled", "rb") as file:
            return file.read().strip() == b"1"
    except OSError:
        return False


def _write(path: str, value: bytes) -> bool:
    """Write to a file of /proc; False if that is to be tried again."""
    try:
        file = os.open(path, os.O_WRONLY)
        try:
            os.write(file, value)
        finally:
            os.close(file)
    except BlockingIOError:
        return False
    except OSError:  # the process has ended, or the kernel does not have this
        pass
    return True


def environment_of(pid: int) -> list[bytes]:
    """The environment a process was started with; empty when it is gone or not ours."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def main() -> None:
    if LISTEN in sys.argv:
        import memory  # noqa: F401 - while it is still of the same release

        Supervisor(-1, -1, listener=0).run()
    else:
        Supervisor(0, 1).run()
    os._exit(0)  # nothing is left to be put in order
