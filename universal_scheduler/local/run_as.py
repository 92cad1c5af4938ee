"""The user that jobs and functions run as, where that is not the user of the engine."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from universal_scheduler.local.package import ROOT


class RunAsError(ValueError):
    """Jobs cannot run as this user. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class User:
    """An account of this machine."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str

    @property
    def environment(self) -> dict[str, str]:
        """What a login sets: https://man7.org/linux/man-pages/man1/login.1.html"""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell or "/bin/sh"}

    @property
    def ids(self) -> tuple[int, int, tuple[int, ...]]:
        return self.uid, self.gid, self.groups


def find_user(name: str | None) -> User | None:
    """The account with this name; None where it is the one that this process has anyway.

    Raises:
        RunAsError: there is no such account, or only root could run jobs as it.
    """
    if name is None:
        return None
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        raise RunAsError(
            f"This machine has no user '{name}'. Name one that it has: getent passwd lists them."
        ) from None
    if account.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise RunAsError(
            f"Only root can start an engine whose jobs run as another user, here as '{name}'. Start it as root, or "
            "without --run-as."
        )
    groups = tuple(os.getgrouplist(name, account.pw_gid))
    return User(name, account.pw_uid, account.pw_gid, groups, account.pw_dir, account.pw_shell)


def check_access(user: User, home: Path) -> None:
    """RunAsError if this user cannot enter the state directory or cannot run the scheduler's Python."""
    name = user.name
    if not _can(user, 'cd "$1"', home):
        raise RunAsError(
            f"The user '{name}' cannot enter {home}. Set USCHED_STATE_DIR to a directory that every user may enter, "
            "such as /var/lib/usched."
        )
    if not _can(user, 'test -x "$1" && test -r "$2"', Path(sys.executable), ROOT / "template.yaml"):
        raise RunAsError(
            f"The user '{name}' cannot run {sys.executable} or cannot read {ROOT}, as functions must. Install Python "
            "and the scheduler where every user may read them, such as in /opt."
        )


def _can(user: User, test: str, *paths: Path) -> bool:
    command = ["/bin/sh", "-c", test, "sh", *map(str, paths)]
    ended = subprocess.run(
        command, user=user.uid, group=user.gid, extra_groups=user.groups, env={}, cwd="/", stderr=subprocess.DEVNULL
    )
    return ended.returncode == 0


def own_directory(path: Path, user: User | None) -> None:
    """Make a directory for what jobs write, unless there is one; it belongs to the user that they run as."""
    path.mkdir(exist_ok=True)
    if user is not None:
        os.chown(path, user.uid, user.gid)


def show_only_to(path: Path, user: User | None) -> None:
    """Let a user, but nobody else, read a directory of the engine."""
    path.chmod(0o700 if user is None else 0o750)
    if user is not None:
        os.chown(path, -1, user.gid)
