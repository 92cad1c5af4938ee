"""`usched simulate`: what would run, what not and why, and how long it would take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from universal_scheduler.cli.console import make_console, put_json, status_text
from universal_scheduler.cli.documents import check_file
from universal_scheduler.cli.options import pairs, with_params
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.tables import Table, number, prose
from universal_scheduler.domain.model import JobRun, Scalar
from universal_scheduler.local.simulation import Simulated, simulate
from universal_scheduler.usecases.views import run_view

FAILED = 1


def simulate_command(
    file: str,
    fail: tuple[str, ...],
    durations: tuple[str, ...],
    outputs: tuple[str, ...],
    params: tuple[str, ...],
    as_json: bool,
) -> int:
    """Exit code 1 where the run would not succeed.

    Raises:
        Problem: the file or an option is not valid.
    """
    checked = check_file(file)
    if checked.errors:
        lines = "".join(f"\n         {line}" for line in checked.told)
        raise Problem(f"{file} cannot run.{lines}", "Correct the document.", errors=checked.errors_as_json)
    codes = {name: int(code) for name, code in (_pair(text, "--fail", 1) for text in fail)}
    seconds = dict(_pair(text, "--duration", None) for text in durations)
    put_out, now = _outputs(outputs), time.time()
    rows = [with_params(row, params) for row in checked.rows]
    ended = [simulate(row, exit_codes=codes, durations=seconds, outputs=put_out, now=now) for row in rows]
    if as_json:
        put_json({"runs": [_view(each) for each in ended]})
    else:
        for each in ended:
            _show(each)
    return 0 if all(each.run.status == "SUCCEEDED" for each in ended) else FAILED


def _pair(text: str, option: str, default: float | None) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value) if value or default is None else default
    except ValueError:
        raise Problem(f"{option} {text}: '{value}' is not a number.", f"Write {option} JOB=NUMBER.") from None


def _outputs(texts: tuple[str, ...]) -> dict[str, dict[str, Scalar]]:
    found: dict[str, dict[str, Scalar]] = {}
    for place, value in pairs(texts, "--output", "JOB.NAME=VALUE").items():
        job, dot, name = place.partition(".")
        if not (job and dot and name):
            raise Problem(f"--output {place} does not name an output of a job.", "Write --output JOB.NAME=VALUE.")
        found.setdefault(job, {})[name] = value
    return found


def _view(simulated: Simulated) -> Mapping[str, Any]:
    return run_view(simulated.run, simulated.jobs, simulated.started)


def _show(simulated: Simulated) -> None:
    console = make_console()
    last = max((job.stopped_at for job in simulated.jobs), default=simulated.started)
    title = Text.assemble(
        f"{simulated.run.key.schedule_id} would end ",
        status_text(str(simulated.run.status)),
        f" after {last - simulated.started:.0f} s",
    )
    table = Table("job", "status", number("from"), number("to"), number("exit"), prose("why"), title=title)
    for job in simulated.jobs:
        table.add_row(
            job.name,
            status_text(str(job.status)),
            _offset(job, job.started_at, simulated),
            _offset(job, job.stopped_at, simulated),
            "" if job.exit_code is None else str(job.exit_code),
            job.reason,
        )
    console.print(table)


def _offset(job: JobRun, moment: float, simulated: Simulated) -> str:
    return f"{moment - simulated.started:.0f} s" if job.started_at else ""
