"""Runs commands as processes of this machine, through the supervisor process that outlives none of them.

Knows nothing of HTTP or Batch: a job here is an id, a command, an environment, a directory and an output file.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from universal_scheduler.local.batch import supervisor
from universal_scheduler.local.processes import end_marked

CLOSE_SECONDS = 10.0


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

    ``out_of_memory``: it was killed because it held more memory than it may.
    """

    code: int | None = None
    signal: int | None = None
    error: str | None = None
    out_of_memory: bool = False

    @property
    def exit_code(self) -> int:
        """The code a shell or a container engine reports: 128 + the signal's number, 127 for what never started."""
        if self.code is not None:
            return self.code
        return 128 + self.signal if self.signal is not None else 127


class Runner(Protocol):
    """What the service needs of whatever runs its jobs."""

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

    def kill(self, job_id: str, number: signal.Signals) -> None:
        """Signal the command's process group; nothing happens if it has ended."""

    def advance(self) -> None:
        """Start at once what was to be started, and call back for what has happened: for a caller that keeps the event
        loop busy."""

    async def close(self) -> None:
        """Kill everything that still runs. No callback is called from here on."""


@dataclass(slots=True)
class _Running:
    on_start: Callable[[int], None]
    on_exit: Callable[[Exit], None]
    pid: int | None = None


class ProcessRunner:
    """A ``Runner`` over one supervisor process, which is started again should it ever be killed.

    ``env`` is the supervisor's own environment (jobs get only what ``start`` is given). ``user`` has the ids of the
    user, the group and the other groups that jobs run as; only root's jobs can run as somebody else.
    """

    def __init__(self, env: Mapping[str, str] | None = None, user: supervisor.Ids | None = None) -> None:
        self._env = {"PATH": os.defpath, **(env or {})}
        self._arguments = supervisor.arguments(user)
        self._running: dict[str, _Running] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._commands: _Writer | None = None
        self._replies = -1
        self._unpacker = supervisor.Unpacker()
        self._environments = supervisor.Environments()
        self._gone = asyncio.Event()
        """The supervisor has ended, and no other was started."""
        self._replacing: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> None:
        commands, ours = os.pipe()
        replies, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-IS", "-c", supervisor.COMMAND, *self._arguments],
                stdin=commands,
                stdout=theirs,
                env=self._env,
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(commands)
            os.close(theirs)
        self._environments = supervisor.Environments()
        self._commands = _Writer(ours)
        self._gone.clear()
        self._replies, self._unpacker = replies, supervisor.Unpacker()
        os.set_blocking(replies, False)
        asyncio.get_running_loop().add_reader(replies, self._read)

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
        self._send("start", job_id, list(map(str, argv)), changes, str(cwd), str(output_path), limits)

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

    def kill(self, job_id: str, number: signal.Signals) -> None:
        if job_id in self._running:
            self._send("kill", job_id, int(number))

    def advance(self) -> None:
        if self._commands is not None and self._replies >= 0:
            self._commands.flush()
            self._read()

    async def close(self) -> None:
        self._closing = True
        self._running.clear()
        if self._replacing is not None:
            await self._replacing
        if self._process is None or self._commands is None:
            return
        self._commands.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._gone.wait()
        except TimeoutError:  # a process that not even SIGKILL ends, in a dead network file system for one
            self._process.kill()
            await self._gone.wait()
        self._process.wait()

    def _send(self, *message: object) -> None:
        assert self._commands is not None, "the runner is not open"
        self._commands.write(message)

    def _read(self) -> None:
        try:
            data = os.read(self._replies, 1 << 20)
        except BlockingIOError:
            return
        for message in self._unpacker.feed(data):
            self._dispatch(message)
        if not data:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._replies)
            os.close(self._replies)
            self._replies = -1
            if self._closing:
                self._gone.set()
            else:
                self._replacing = loop.create_task(self._replace(), name="another supervisor")

    def _dispatch(self, message: supervisor.Message) -> None:
        match message:
            case ("started", job_id, pid):
                if running := self._running.get(job_id):
                    running.pid = pid
                    running.on_start(pid)
            case ("exited", job_id, code, number, out_of_memory):
                self._ended(job_id, Exit(code=code, signal=number, out_of_memory=out_of_memory))
            case ("failed", job_id, error):
                self._ended(job_id, Exit(error=error))

    def _ended(self, job_id: str, how: Exit) -> None:
        if running := self._running.pop(job_id, None):
            running.on_exit(how)

    async def _replace(self) -> None:
        """The supervisor was killed: kill what it left, start another, report the lost jobs as killed with it."""
        assert self._process is not None
        assert self._commands is not None
        self._commands.close()  # what is started until there is another one is lost too
        self._process.wait()
        left = list(self._running.items())
        for _, running in left:
            if running.pid is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(running.pid, signal.SIGKILL)
        for job_id in [job_id for job_id, running in left if running.pid is None]:  # it may have been started, unsaid
            await asyncio.to_thread(end_marked, f"{supervisor.MARK}={job_id}")
        lost = list(self._running)  # and those that were to start meanwhile
        await self.open()
        for job_id in lost:
            self._ended(job_id, Exit(signal=signal.SIGKILL))


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
