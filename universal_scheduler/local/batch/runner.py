"""Runs commands as processes of this machine, through the supervisor process under which they live.

Knows nothing of HTTP or Batch: a job here is an id, a command, an environment, a directory and an output file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from universal_scheduler.local.batch import link, supervisor
from universal_scheduler.local.processes import JOB_MARK, end_jobs, end_marked

CLOSE_SECONDS = 10.0
AGAIN_SECONDS = 1.0
SOCKET = "supervisor.sock"


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a command and all that it starts may take together."""

    memory: int | None = None
    """Bytes. On Linux it is killed when it holds more."""
    nice: int = 0
    """Its share of the processors, in the measure of nice(2)."""


UNBOUNDED = Bounds()


@dataclass(frozen=True, slots=True)
class Exit:
    """How a command ended: with an exit code, by a signal, or with the error for which it never started.

    ``out_of_memory``: it was killed because it held more memory than it may. ``host_terminated``: what it lived under
    is gone, and it with that. ``at``: epoch milliseconds.
    """

    code: int | None = None
    signal: int | None = None
    error: str | None = None
    out_of_memory: bool = False
    host_terminated: bool = False
    at: int | None = field(default=None, compare=False)

    @property
    def exit_code(self) -> int | None:
        """The code a shell or a container engine reports: 128 + the signal's number, 127 for what never started; None
        if nobody can know it."""
        if self.host_terminated:
            return None
        if self.code is not None:
            return self.code
        return 128 + self.signal if self.signal is not None else 127


class Runner(Protocol):
    """What the service needs of whatever runs its jobs."""

    @property
    def kept(self) -> bool:
        """Whether the commands of an earlier process, which this one goes on for, have been running on meanwhile."""

    async def open(self) -> None:
        """Get ready; called once, in the event loop in which all else is called."""

    def start(
        self,
        job_id: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        output_path: Path,
        *,
        bounds: Bounds = UNBOUNDED,
        on_start: Callable[[int], None],
        on_exit: Callable[[Exit], None],
    ) -> None:
        """Run a command. ``on_start`` gets its process id, then ``on_exit`` how it ended; without the former if it
        never started. Both are called in the event loop, never before ``start`` has returned."""

    def adopt(self, job_id: str, *, on_start: Callable[[int], None], on_exit: Callable[[Exit], None]) -> bool:
        """Go on with a command of an earlier process; False if it is not known whether it was started, and how it
        ended. ``on_start`` gets since when it runs, in epoch milliseconds. Both are called as for ``start``."""

    def end_others(self) -> None:
        """Kill the commands of an earlier process that were not adopted."""

    def forget(self, job_id: str) -> None:
        """The end of a command that was called back for is known for good."""

    def kill(self, job_id: str, number: signal.Signals) -> None:
        """Signal the command's process group; nothing happens if it has ended."""

    def advance(self) -> None:
        """Start at once what was to be started, and call back for what has happened: for a caller that keeps the event
        loop busy."""

    async def close(self, *, keep: bool = False) -> None:
        """Kill everything that still runs, or leave it to a process that comes later. No callback is called from here
        on."""


@dataclass(slots=True)
class _Running:
    on_start: Callable[[int], None]
    on_exit: Callable[[Exit], None]
    pid: int | None = None


class ProcessRunner:
    """A ``Runner`` over one supervisor process, which is started again should it ever be killed.

    ``env`` is the supervisor's own environment (jobs get only what ``start`` is given). ``user`` has the ids of the
    user, the group and the other groups that jobs run as; only root's jobs can run as somebody else.
    With an ``engine_dir``, the state directory of a durable engine, the supervisor and the jobs outlive this process,
    and the next runner with this directory finds them.
    """

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        user: supervisor.Ids | None = None,
        engine_dir: Path | None = None,
    ) -> None:
        self._engine_dir = engine_dir
        mark = {} if engine_dir is None else {JOB_MARK: "all"}
        self._env = {"PATH": os.defpath, **(env or {}), **mark}
        self._user = None if user is None else (user[0], user[1], tuple(user[2]))
        self._running: dict[str, _Running] = {}
        self._link: link.Link | None = None
        self._commands: _Writer | None = None
        self._replies = -1
        self._unpacker = supervisor.Unpacker()
        self._others: dict[str, supervisor.Message] = {}
        """Of an earlier process, and not adopted yet: what runs, and what has ended."""
        self._adopts = engine_dir is not None
        self._environments = supervisor.Environments()
        self._gone = asyncio.Event()
        """The supervisor has ended, and no other was started."""
        self._replacing: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def kept(self) -> bool:
        return self._link is not None and self._link.kept

    async def open(self) -> None:
        self._link = await self._connected()
        self._environments = supervisor.Environments()
        self._commands = _Writer(self._link.commands)
        self._gone.clear()
        self._replies, self._unpacker = self._link.replies, self._link.unpacker
        os.set_blocking(self._replies, False)
        self._others = {job_id: ("started", job_id, *known) for job_id, known in self._link.running.items()}
        for message in self._link.first:
            self._dispatch(message)
        asyncio.get_running_loop().add_reader(self._replies, self._read)

    async def _connected(self) -> link.Link:
        if self._engine_dir is None:
            return link.by_pipes(self._env)
        path = self._engine_dir / SOCKET
        if there := await asyncio.to_thread(link.found, path):
            return there
        await asyncio.to_thread(end_jobs, self._engine_dir)
        return await asyncio.to_thread(link.by_socket, path, self._env)

    def start(
        self,
        job_id: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        output_path: Path,
        *,
        bounds: Bounds = UNBOUNDED,
        on_start: Callable[[int], None],
        on_exit: Callable[[Exit], None],
    ) -> None:
        self._running[job_id] = _Running(on_start, on_exit)
        changes = self._environments.write(env)
        limits = (bounds.memory or 0, bounds.nice)
        self._send("start", job_id, list(map(str, argv)), changes, str(cwd), str(output_path), limits, self._user)

    async def run(
        self,
        job_id: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        output_path: Path,
        bounds: Bounds = UNBOUNDED,
    ) -> Exit:
        """Run a command to its end: ``start`` for those who would rather wait."""
        ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.start(
            job_id, argv, env, cwd, output_path, bounds=bounds, on_start=lambda _: None, on_exit=ended.set_result
        )
        return await ended

    def adopt(self, job_id: str, *, on_start: Callable[[int], None], on_exit: Callable[[Exit], None]) -> bool:
        message = self._others.pop(job_id, None)
        if message is None:
            return False
        running = self._running[job_id] = _Running(on_start, on_exit)
        loop = asyncio.get_running_loop()
        match message:
            case ("started", _, pid, started):
                running.pid = pid
                loop.call_soon(on_start, started)
            case ("exited", _, _, _, _, started, _):
                loop.call_soon(on_start, started)
                loop.call_soon(self._dispatch, message)
            case _:
                loop.call_soon(self._dispatch, message)
        return True

    def end_others(self) -> None:
        others, self._others = self._others, {}
        self._adopts = False
        for job_id, message in others.items():
            if message[0] == "started":
                self._send("kill", job_id, int(signal.SIGKILL))
            else:
                self._send("taken", job_id)

    def forget(self, job_id: str) -> None:
        if self._engine_dir is not None:
            self._send("taken", job_id)

    def kill(self, job_id: str, number: signal.Signals) -> None:
        if job_id in self._running:
            self._send("kill", job_id, int(number))

    def advance(self) -> None:
        if self._commands is not None and self._replies >= 0:
            self._commands.flush()
            self._read()

    async def close(self, *, keep: bool = False) -> None:
        self._closing = True
        self._running.clear()
        if self._replacing is not None:
            await self._replacing
        if self._link is None or self._commands is None:
            return
        if self._engine_dir is not None and not keep:
            self._send("end")
        self._commands.flush()
        self._commands.close()
        if keep and self._engine_dir is not None:
            self._hang_up()
            if self._link.process is not None:
                self._link.process.returncode = 0  # this process will not wait for it
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._gone.wait()
        except TimeoutError:  # a process that not even SIGKILL ends, in a dead network file system for one
            if self._link.process is not None:
                self._link.process.kill()
                await self._gone.wait()
        if self._link.process is not None:
            self._link.process.wait()
        if self._engine_dir is not None:
            (self._engine_dir / SOCKET).unlink(missing_ok=True)

    def _send(self, *message: object) -> None:
        assert self._commands is not None, "the runner is not open"
        self._commands.write(message)

    def _read(self) -> None:
        try:
            data = os.read(self._replies, 1 << 20)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        for message in self._unpacker.feed(data):
            self._dispatch(message)
        if not data:
            self._hang_up()
            if self._closing:
                self._gone.set()
            else:
                self._replacing = asyncio.get_running_loop().create_task(self._replace(), name="another supervisor")

    def _hang_up(self) -> None:
        if self._replies < 0:
            return
        asyncio.get_running_loop().remove_reader(self._replies)
        os.close(self._replies)
        self._replies = -1

    def _dispatch(self, message: supervisor.Message) -> None:
        match message:
            case ("started", job_id, pid):
                if running := self._running.get(job_id):
                    running.pid = pid
                    running.on_start(pid)
            case ("exited", _, code, number, out_of_memory, _, at):
                self._ended(message, Exit(code=code, signal=number, out_of_memory=out_of_memory, at=at))
            case ("failed", _, error, at):
                self._ended(message, Exit(error=error, at=at))

    def _ended(self, message: supervisor.Message, how: Exit) -> None:
        job_id = message[1]
        if running := self._running.pop(job_id, None):
            running.on_exit(how)
        elif self._adopts:
            self._others[job_id] = message
        else:  # it was killed because nobody adopted it
            self.forget(job_id)

    async def _replace(self) -> None:
        """The supervisor was killed: kill what it left, start another, report the lost jobs as gone with it."""
        assert self._link is not None
        assert self._commands is not None
        self._commands.close()  # what is started until there is another one is lost too
        if self._link.process is not None:
            self._link.process.kill()  # should it have hung up without an end
            self._link.process.wait()
        left = list(self._running.items())
        for _, running in left:
            if running.pid is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(running.pid, signal.SIGKILL)
        for job_id in [job_id for job_id, running in left if running.pid is None]:  # it may have been started, unsaid
            await asyncio.to_thread(end_marked, f"{supervisor.MARK}={job_id}")
        while not await self._opened():
            if self._closing:
                self._gone.set()
                return
            await asyncio.sleep(AGAIN_SECONDS)
        for job_id in list(self._running):  # and those that were to start meanwhile
            if gone := self._running.pop(job_id, None):
                gone.on_exit(Exit(host_terminated=True))
        self.end_others()

    async def _opened(self) -> bool:
        try:
            await self.open()
        except (OSError, RuntimeError):  # the machine has no room for a process, or for a socket
            _log.exception("The process under which jobs live cannot be started. The engine tries again.")
            return False
        return True


class _Writer:
    """Sends commands to the supervisor, those of one turn of the event loop together, without ever waiting for it."""

    def __init__(self, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._messages: list[supervisor.Message] = []
        self._unsent = bytearray()
        self._closed = False

    def write(self, message: supervisor.Message) -> None:
        """Nobody hears it when the pipe is closed or the supervisor is gone."""
        if self._closed:
            return
        if not self._messages and not self._unsent:
            asyncio.get_running_loop().call_soon(self.flush)
        self._messages.append(message)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._unsent:
            asyncio.get_running_loop().remove_writer(self._pipe)
        os.close(self._pipe)

    def flush(self) -> None:
        """Write as much as the pipe takes; the rest when it takes more."""
        if self._closed or not (self._messages or self._unsent):
            return
        waiting = bool(self._unsent)
        if self._messages:
            self._unsent += supervisor.pack(self._messages)
            self._messages.clear()
        try:
            del self._unsent[: os.write(self._pipe, self._unsent)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent.clear()
        if self._unsent and not waiting:
            asyncio.get_running_loop().add_writer(self._pipe, self.flush)
        elif waiting and not self._unsent:
            asyncio.get_running_loop().remove_writer(self._pipe)
