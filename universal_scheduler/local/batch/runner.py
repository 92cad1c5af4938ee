"""Runs commands as processes of this machine, through the supervisor process that outlives none of them.

Knows nothing of HTTP or Batch: a job here is an id, a command, an environment, a directory and an output file.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
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
class Exit:
    """How a command ended: with an exit code, by a signal, or with the error for which it never started."""

    code: int | None = None
    signal: int | None = None
    error: str | None = None

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
        on_start: Callable[[int], None],
        on_exit: Callable[[Exit], None],
    ) -> None:
        """Run a command. ``on_start`` gets its process id, then ``on_exit`` how it ended; without the former if it
        never started. Both are called in the event loop, never before ``start`` has returned."""

    def kill(self, job_id: str, number: signal.Signals) -> None:
        """Signal the command's process group; nothing happens if it has ended."""

    async def close(self) -> None:
        """Kill everything that still runs. No callback is called from here on."""


@dataclass(slots=True)
class _Running:
    on_start: Callable[[int], None]
    on_exit: Callable[[Exit], None]
    pid: int | None = None


class ProcessRunner:
    """A ``Runner`` over one supervisor process, which is started again should it ever be killed.

    ``env`` is the supervisor's own environment (jobs get only what ``start`` is given).
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self._env = {"PATH": os.defpath, **(env or {})}
        self._running: dict[str, _Running] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> None:
        # By its file, not with -m: so that no package is imported and it is up at once.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-IS",
            supervisor.__file__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._env,
            cwd="/",
            start_new_session=True,
            limit=1 << 20,
        )
        self._reader = asyncio.create_task(self._serve(self._process), name="supervisor's replies")

    def start(
        self,
        job_id: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        output_path: Path,
        *,
        on_start: Callable[[int], None],
        on_exit: Callable[[Exit], None],
    ) -> None:
        self._running[job_id] = _Running(on_start, on_exit)
        self._send(op="start", id=job_id, argv=list(argv), env=dict(env), cwd=str(cwd), output=str(output_path))

    async def run(self, job_id: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path, output_path: Path) -> Exit:
        """Run a command to its end: ``start`` for those who would rather wait."""
        ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.start(job_id, argv, env, cwd, output_path, on_start=lambda _: None, on_exit=ended.set_result)
        return await ended

    def kill(self, job_id: str, number: signal.Signals) -> None:
        if job_id in self._running:
            self._send(op="kill", id=job_id, signal=int(number))

    async def close(self) -> None:
        self._closing = True
        self._running.clear()
        if self._process is None or self._reader is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._reader
                await self._process.wait()
        except TimeoutError:  # a process that not even SIGKILL ends, in a dead network file system for one
            self._process.kill()
            await self._process.wait()

    def _send(self, **message: object) -> None:
        assert self._process is not None, "the runner is not open"
        assert self._process.stdin is not None
        # While a dead supervisor is being replaced this goes nowhere: _replace reports those jobs.
        if not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _serve(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        unread = b""
        while data := await process.stdout.read(1 << 20):
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                self._dispatch(json.loads(line))
        if not self._closing:
            await self._replace(process)

    def _dispatch(self, message: dict[str, object]) -> None:
        job_id = str(message["id"])
        match message:
            case {"event": "started", "pid": int(pid)}:
                if running := self._running.get(job_id):
                    running.pid = pid
                    running.on_start(pid)
            case {"event": "exited", "code": int(code)}:
                self._ended(job_id, Exit(code=code))
            case {"event": "exited", "signal": int(number)}:
                self._ended(job_id, Exit(signal=number))
            case {"event": "failed", "error": str(error)}:
                self._ended(job_id, Exit(error=error))

    def _ended(self, job_id: str, how: Exit) -> None:
        if running := self._running.pop(job_id, None):
            running.on_exit(how)

    async def _replace(self, process: asyncio.subprocess.Process) -> None:
        """The supervisor was killed: kill what it left, start another, report the lost jobs as killed with it."""
        await process.wait()
        lost = list(self._running.items())
        for _, running in lost:
            if running.pid is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(running.pid, signal.SIGKILL)
        for job_id in [job_id for job_id, running in lost if running.pid is None]:  # it may have been started, unsaid
            await asyncio.to_thread(end_marked, f"{supervisor.MARK}={job_id}")
        await self.open()
        for job_id, _ in lost:
            self._ended(job_id, Exit(signal=signal.SIGKILL))
