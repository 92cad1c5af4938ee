"""The files that make an engine a service of the machine: a unit of systemd, or an agent of launchd on macOS."""

from __future__ import annotations

import plistlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from universal_scheduler.local.engine import LOG, PORT

_STOP_SECONDS = 60
_AFTER_CLOCK = """\
Wants=time-sync.target
After=network.target time-sync.target
"""  # what is due must not be judged by a clock that is not set yet


@dataclass(frozen=True, slots=True)
class Unit:
    """A file of the service manager, and the commands that make it work, for people to type."""

    path: Path
    text: bytes
    name: str
    """What the service manager calls it."""
    commands: Sequence[str]


@dataclass(frozen=True, slots=True)
class Job:
    """What the service runs: the command, with the variables that it needs, in the directory with its state."""

    command: Sequence[str]
    environment: Mapping[str, str]
    port: int
    state_dir: Path


def systemd(job: Job, *, system: bool, home: Path) -> Unit:
    """https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html"""
    name = _name(job.port)
    assignments = "\n".join(f"Environment={_quoted(f'{key}={value}')}" for key, value in job.environment.items())
    text = f"""\
[Unit]
Description=Embedded scheduler on port {job.port}
{_AFTER_CLOCK if system else ""}StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=notify
ExecStart={" ".join(_quoted(word.replace("$", "$$")) for word in job.command)}
{assignments}
# Jobs run on when the engine crashes, and while it restarts for an update: the engine that comes back takes them over.
# The engine itself ends them when the service is stopped.
KillMode=process
RestartKillSignal=SIGUSR1
Restart=on-failure
RestartSec=5
TimeoutStartSec=120
TimeoutStopSec={_STOP_SECONDS}
# A job that the kernel kills for want of memory is not the end of the service.
OOMPolicy=continue
TasksMax=infinity
LimitNOFILE=65536

[Install]
WantedBy={"multi-user.target" if system else "default.target"}
"""
    folder = Path("/etc/systemd/system") if system else home / ".config" / "systemd" / "user"
    control = "sudo systemctl" if system else "systemctl --user"
    commands = [f"{control} daemon-reload", f"{control} enable --now {name}"]
    if not system:
        commands.append("loginctl enable-linger")
    return Unit(folder / f"{name}.service", text.encode(), name, commands)


def launchd(job: Job, *, system: bool, home: Path) -> Unit:
    """https://www.manpagez.com/man/5/launchd.plist/"""
    name = f"local.{_name(job.port)}"
    log = str(job.state_dir / LOG)
    text = plistlib.dumps(
        {
            "Label": name,
            "ProgramArguments": list(job.command),
            "EnvironmentVariables": dict(job.environment),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 10,
            "ExitTimeOut": _STOP_SECONDS,
            "AbandonProcessGroup": True,  # jobs run on when the engine crashes
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }
    )
    folder = Path("/Library/LaunchDaemons") if system else home / "Library" / "LaunchAgents"
    path = folder / f"{name}.plist"
    domain = "system" if system else "gui/$(id -u)"
    return Unit(path, text, name, [f"{'sudo ' if system else ''}launchctl bootstrap {domain} {shlex.quote(str(path))}"])


def _name(port: int) -> str:
    return "usched" if port == PORT else f"usched-{port}"


def _quoted(word: str) -> str:
    """A word as systemd reads it. (In command lines, and only there, a `$` must be doubled before.)

    https://www.freedesktop.org/software/systemd/man/latest/systemd.syntax.html#Quoting
    """
    plain = word.replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./$-]+", plain):
        return plain
    return '"' + plain.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") + '"'
