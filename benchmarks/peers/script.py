"""A peer's environment and its script, as processes: installed, started, asked, watched, and certainly ended."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from benchmarks.measures import Measured
from benchmarks.peers.catalogue import Peer
from benchmarks.peers.protocol import READY
from universal_scheduler.local import processes
from universal_scheduler.local.package import ROOT

PEERS = ROOT / "build" / "peers"
INSTALL_SECONDS = 600.0
READY_SECONDS = 180.0
STOP_SECONDS = 15.0
LOOK_SECONDS = 1.0
"""Between two looks at the memory: each costs a few milliseconds."""


class PeerError(RuntimeError):
    """The peer cannot be installed, or does not run; the message says why."""


class CutOff(PeerError):
    """The peer was given time, and took longer."""


def install(peer: Peer) -> Path:
    """The peer's environment, made where there is none with its requirements. Raises PeerError."""
    home = PEERS / f"env-{hashlib.sha256(' '.join(peer.requirements).encode()).hexdigest()[:12]}"
    done = home / ".installed"
    if not done.exists():
        shutil.rmtree(home, ignore_errors=True)
        called(home, sys.executable, "-m", "venv", str(home))
        command = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--prefer-binary"]
        editable = [word for each in peer.requirements for word in (["-e", each] if each.startswith("/") else [each])]
        called(home, *command, *editable)
        done.touch()
    return home


def called(home: Path, *command: str) -> None:
    """Run a command of the installation, with nothing left of it afterwards. Raises PeerError."""
    home.mkdir(parents=True, exist_ok=True)
    with processes_of(home) as environment:
        try:
            made = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                env=os.environ | environment,
                timeout=INSTALL_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise CutOff(f"not installed within {INSTALL_SECONDS:.0f} s") from error
    if made.returncode:
        raise PeerError(f"not installed: {reason(made.stderr)}")


def installed_mb(environment: Path) -> float:
    """MiB of all files in an environment, pip among them, as `du -sm` counts."""
    files = (file.lstat() for file in environment.rglob("*"))
    return sum(each.st_blocks for each in files) * 512 / 2**20


@contextmanager
def processes_of(home: Path) -> Iterator[dict[str, str]]:
    """What marks a process as belonging here, for its environment; none of them outlives the block."""
    try:
        # Without SPT_NOENV, a process that sets its title writes it over the mark.
        yield {processes.MARK: str(home), "SPT_NOENV": "1"}
    finally:
        processes.sweep(home)


class Script:
    """A peer's script while it runs."""

    def __init__(self, process: subprocess.Popen[str], home: Path, log: Path) -> None:
        self._process, self._home, self._log = process, home, log
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.memory_mb = 0.0
        """The largest sum seen of what its processes have in memory; what several share is counted once."""

    @property
    def _asks(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            for line in answers:
                self._lines.put(line)
        self._lines.put("")

    def end(self) -> None:
        """Let it stop what it has started, as its input ends; kill it where that takes too long."""
        with suppress(BrokenPipeError):
            self._asks.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_ready(self) -> None:
        if self._answer(READY_SECONDS) != READY:
            raise PeerError("it does not say that it is ready")

    def measure(self, name: str, seconds: float) -> Measured:
        """Run the workload of this name. Raises CutOff, PeerError."""
        with suppress(BrokenPipeError):
            self._asks.write(f"{name}\n")
            self._asks.flush()
        answer = self._answer(seconds)
        return Measured(answer["outcome"], answer["wall"], tuple(answer["lags"]))

    def _answer(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        line = None
        while line is None:
            left = deadline - time.monotonic()
            if left <= 0:
                self._process.kill()
                raise CutOff(f"> {seconds:.0f}")
            with suppress(queue.Empty):
                line = self._lines.get(timeout=min(left, LOOK_SECONDS))
            self.memory_mb = max(self.memory_mb, sum(map(memory_mb, processes.marked(self._home))))
        if not line:
            raise PeerError(f"it has ended: {reason(self._log.read_text(errors='replace'))}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def running(peer: Peer, environment: Path, code: Path = ROOT) -> Iterator[Script]:
    """The peer's script in an empty home; it is gone afterwards, with all that it started.

    `code` is the folder whose version of the scheduler it imports.
    """
    home = PEERS / peer.name
    for place in (home / "engine", home):
        processes.sweep(place)  # of a measurement that was killed
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    log = PEERS / f"{peer.name}.log"
    python = environment / "bin" / "python"
    variables = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys((str(code), str(ROOT)))),
    }
    with processes_of(home / "engine"), processes_of(home) as mark, log.open("w") as errors:
        process = subprocess.Popen(
            [str(python), "-m", f"benchmarks.peers.run_{peer.name}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=home,
            env=variables | mark,
            start_new_session=True,  # Ctrl-C is for us: we end it
        )
        script = Script(process, home / peer.processes_in, log)
        try:
            yield script
        finally:
            script.end()


def memory_mb(pid: int) -> float:
    """What a process has in memory, its share of what it has in common with others; 0 where it has ended.

    https://docs.kernel.org/filesystems/proc.html (smaps_rollup)
    """
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def reason(log: str) -> str:
    """The line of a log that says what went wrong: its last error, or else its last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR") or "Error:" in line]
    return (errors or lines or ["it says nothing"])[-1][:300]
