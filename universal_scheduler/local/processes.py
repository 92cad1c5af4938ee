"""Finds and ends the processes that an engine has started, by a mark in their environment, even if the engine is
gone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

MARK = "USCHED_ENGINE"  # set to the engine's state directory in everything that it starts
JOB_MARK = "USCHED_PROCESS"
"""Set in every job, to the id of its attempt, and in the process under which jobs live: they may outlive an engine."""

_PROC = Path("/proc")
_JOB_VARIABLE = f"{JOB_MARK}=".encode()
_SWEEPS = 50
_YOUNG_SECONDS = 60.0


def marked(state_dir: Path) -> list[int]:
    """The ids of the live processes with the engine's mark, except this process."""
    return _marked(f"{MARK}={state_dir}")[0]


def _marked(mark: str, jobs: bool | None = None) -> tuple[list[int], bool]:
    """The processes with the mark that are jobs, or are none, or all, and whether there is one that cannot be
    judged."""
    by_proc = _PROC.joinpath("self", "environ").exists()
    found, unclear = _marked_by_proc(mark, jobs) if by_proc else (_marked_by_ps(mark, jobs), False)
    return [pid for pid in found if pid != os.getpid()], unclear


def _marked_by_proc(mark: str, jobs: bool | None) -> tuple[list[int], bool]:
    """A process in the middle of execve(2) has no environment, on a busy machine for as long as it has no processor."""
    found, unclear = [], False
    for directory in _PROC.iterdir():
        if directory.name.isdigit():
            with suppress(OSError):  # it has ended, or is another user's
                environment = directory.joinpath("environ").read_bytes().split(b"\0")
                is_job = any(variable.startswith(_JOB_VARIABLE) for variable in environment)
                if mark.encode() in environment and jobs in (None, is_job):
                    found.append(int(directory.name))
                unclear = unclear or (environment == [b""] and _is_starting(directory))
    return found, unclear


def _is_starting(directory: Path) -> bool:
    """Whether a process without an environment is young, and neither a zombie nor a thread of the kernel.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    fields = directory.joinpath("stat").read_text().rpartition(")")[2].split()
    state, parent, started = fields[0], fields[1], int(fields[19]) / os.sysconf("SC_CLK_TCK")
    up = float(_PROC.joinpath("uptime").read_text().split()[0])
    return state != "Z" and parent not in ("0", "2") and up - started < _YOUNG_SECONDS


def _marked_by_ps(mark: str, jobs: bool | None) -> list[int]:
    """Where there is no /proc (macOS, BSD), ps shows the environment after the command."""
    listing = subprocess.run(["ps", "axeww", "-o", "pid=,command="], capture_output=True, text=True, check=False).stdout
    rows = [line.split() for line in listing.splitlines()]
    found = [row for row in rows if mark in row]
    return [int(row[0]) for row in found if jobs in (None, any(word.startswith(f"{JOB_MARK}=") for word in row))]


def alive(pid: int) -> bool:
    """Whether a process runs, of this user or another. A process that has ended does not, even if its parent has not
    waited for it."""
    try:
        with suppress(PermissionError):  # it is another user's
            os.kill(pid, 0)
        state = _PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return not _PROC.joinpath("self").exists()  # there is no /proc here: the signal's answer counts
    except ProcessLookupError:
        return False
    return state != "Z"


def sweep(state_dir: Path, *, spare_jobs: bool = False) -> int:
    """Kill every process with the engine's mark; on request all but the jobs and what they live under. Answers how
    many there were."""
    return end_marked(f"{MARK}={state_dir}", jobs=False if spare_jobs else None)


def end_jobs(state_dir: Path) -> int:
    """Kill every job of an engine, and what jobs live under."""
    return end_marked(f"{MARK}={state_dir}", jobs=True)


def end_marked(mark: str, *, jobs: bool | None = None) -> int:
    """Kill every process that was started with this `NAME=value` in its environment: all, or only jobs, or no jobs.
    Answers how many there were."""
    killed: set[int] = set()
    clean = 0
    for _ in range(_SWEEPS):  # again, because what is about to die may still have forked
        left, unclear = _marked(mark, jobs)
        clean = 0 if left or unclear else clean + 1
        if clean == 2:
            break
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed.update(left)
        time.sleep(0.02)
    return len(killed)
