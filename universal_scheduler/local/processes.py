"""Finds and ends what an engine started, by the mark in its environment: also when the engine itself is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

MARK = "USCHED_ENGINE"  # set to the engine's state directory in everything that it starts

_PROC = Path("/proc")
_SWEEPS = 50


def marked(state_dir: Path) -> list[int]:
    """The ids of live processes that carry the engine's mark; never this process."""
    return _marked(f"{MARK}={state_dir}")


def _marked(mark: str) -> list[int]:
    found = _marked_by_proc(mark) if _PROC.joinpath("self", "environ").exists() else _marked_by_ps(mark)
    return [pid for pid in found if pid != os.getpid()]


def _marked_by_proc(mark: str) -> list[int]:
    found = []
    for directory in _PROC.iterdir():
        if directory.name.isdigit():
            with suppress(OSError):  # it has ended, or is another user's
                if mark.encode() in directory.joinpath("environ").read_bytes().split(b"\0"):
                    found.append(int(directory.name))
    return found


def _marked_by_ps(mark: str) -> list[int]:
    """Where there is no /proc (macOS, BSD), ps shows the environment after the command."""
    listing = subprocess.run(["ps", "axeww", "-o", "pid=,command="], capture_output=True, text=True, check=False).stdout
    rows = [line.split() for line in listing.splitlines()]
    return [int(row[0]) for row in rows if mark in row]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that its parent has not waited for does not."""
    try:
        os.kill(pid, 0)
        state = _PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return not _PROC.joinpath("self").exists()  # there is no /proc here: the signal's answer counts
    except (ProcessLookupError, PermissionError):
        return False
    return state != "Z"


def sweep(state_dir: Path) -> int:
    """Kill everything that carries the engine's mark; how many there were."""
    return end_marked(f"{MARK}={state_dir}")


def end_marked(mark: str) -> int:
    """Kill everything that has this `NAME=value` in the environment it was started with; how many there were."""
    killed: set[int] = set()
    clean = 0
    for _ in range(_SWEEPS):  # again, because what is about to die may still have forked
        left = _marked(mark)
        clean = 0 if left else clean + 1
        if clean == 2:  # a process in the middle of execve(2) shows no environment: one look is not enough
            break
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed.update(left)
        time.sleep(0.02)
    return len(killed)
