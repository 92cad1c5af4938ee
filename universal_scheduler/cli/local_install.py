"""`usched local install`: makes an engine a service of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from universal_scheduler.cli.console import put_json
from universal_scheduler.cli.problems import Failure, Problem
from universal_scheduler.local import engine as engines
from universal_scheduler.local.service import units
from universal_scheduler.local.state import Safety


def install_command(
    port: int | None,
    vcpus: int | None,
    safety: Safety,
    run_as: str | None,
    *,
    auth: bool,
    system: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    if system and run_as is None:
        message = "A service of the system belongs to root, and so would its jobs."
        raise Problem(message, "Name the user of the jobs with --run-as USER. If they need root: --run-as root")
    number = port or engines.PORT
    options = ["--vcpus", str(vcpus)] if vcpus else []
    options += ["--run-as", run_as] if run_as else []
    options += ["--auth"] if auth else []
    unit = _unit(_job(number, ["--safety", str(safety), *options], system=system), system=system)
    if not dry_run:
        _write(unit, system=system)
    if as_json:
        put_json(
            {
                "path": str(unit.path),
                "text": unit.text.decode(),
                "written": not dry_run,
                "commands": list(unit.commands),
            }
        )
        return 0
    if dry_run:
        click.echo(f"# {unit.path}", err=True)
        click.echo(unit.text.decode(), nl=False)
        return 0
    click.echo(f"Wrote {unit.path}. Now start the service:")
    for command in unit.commands:
        click.echo(f"  {command}")
    return 0


def _job(port: int, options: Sequence[str], *, system: bool) -> units.Job:
    command = [sys.executable, "-m", "universal_scheduler.cli", "local", "start", "--foreground", "--port", str(port)]
    folder = engines.SYSTEM_DIR if system else engines.engines_dir()
    environment = {"USCHED_STATE_DIR": str(folder)}
    if not system and (path := os.environ.get("PATH")):
        environment["PATH"] = path  # jobs find the programs that the user finds
    return units.Job([*command, *options], environment, port, folder / f"engine-{port}")


def _unit(job: units.Job, *, system: bool) -> units.Unit:
    write = units.launchd if sys.platform == "darwin" else units.systemd
    return write(job, system=system, home=Path.home())


def _write(unit: units.Unit, *, system: bool) -> None:
    try:
        unit.path.parent.mkdir(parents=True, exist_ok=True)
        unit.path.write_bytes(unit.text)
    except PermissionError as error:
        advice = "Use sudo, or leave --system out for a service of your own." if system else "Change its permissions."
        raise Problem(f"{unit.path} cannot be written: you have no permission.", advice) from error
    except OSError as error:
        raise Failure(f"{unit.path} cannot be written: {error.strerror}.") from error
