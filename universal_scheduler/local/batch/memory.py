"""How much memory the processes of jobs hold, as /proc tells it.

A part of the supervisor, so: standard library only. It is imported when the first job with a limit has run for a
moment.
"""

from __future__ import annotations

import os

PAGE = os.sysconf("SC_PAGE_SIZE")

TYPE_CHECKING = False  # what typing has under this name, without typing
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable


class Processes:
    """All processes of the machine, as one look at /proc shows them."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._session: dict[int, int] = {}
        self._resident: dict[int, int] = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                self._read(int(name))

    def _read(self, pid: int) -> None:
        """https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""
        try:
            file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
            try:
                fields = os.read(file, 4096).rpartition(b")")[2].split(None, 22)
            finally:
                os.close(file)
        except OSError:  # it has ended
            return
        self._parent[pid], self._session[pid], self._resident[pid] = int(fields[1]), int(fields[3]), int(fields[21])

    def of_sessions(
        self, sessions: Collection[int], session_of_stray: Callable[[int], int | None]
    ) -> dict[int, list[int]]:
        """The processes of each of these sessions, and those below them that have made sessions of their own.

        A process whose parent has ended comes to this process as a stray: ``session_of_stray`` says where it is from.
        """
        found: dict[int, list[int]] = {session: [] for session in sessions}
        known: dict[int, int | None] = {}
        us = os.getpid()
        for pid in self._session:
            path, at, session = [], pid, None
            while at in self._session:
                if at in known:
                    session = known[at]
                    break
                known[at] = None  # whatever the parents say while processes come and go, this ends
                path.append(at)
                if self._session[at] in found:
                    session = self._session[at]
                    break
                if self._parent[at] == us:
                    session = session_of_stray(at)
                    break
                at = self._parent[at]
            for seen in path:
                known[seen] = session
            if session in found:
                found[session].append(pid)
        return found

    def resident(self, pids: Iterable[int]) -> int:
        """Bytes that these processes have in memory, at most: pages of files count, and shared ones several times."""
        return sum(self._resident[pid] for pid in pids) * PAGE


def held(pids: Iterable[int], limit: int) -> int:
    """Bytes that these processes hold and the system cannot take back, which is what a control group's limit is about.

    Shared pages count once; that takes a walk through all pages, so it is done only of what would be over the limit.
    """
    simply = {pid: _kilobytes(f"/proc/{pid}/status", b"RssAnon:", b"RssShmem:") for pid in pids}
    total = sum(simply.values())
    if total * 1024 > limit:  # a kernel before 5.4 does not tell more, and none tells it of another user's process
        total = sum(
            _kilobytes(f"/proc/{pid}/smaps_rollup", b"Pss_Anon:", b"Pss_Shmem:") or simply[pid] for pid in simply
        )
    return total * 1024


def _kilobytes(path: str, *names: bytes) -> int:
    """https://docs.kernel.org/filesystems/proc.html"""
    try:
        with open(path, "rb") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(names))
    except OSError:  # it has ended
        return 0
