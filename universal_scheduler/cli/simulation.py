"""`usched simulate`: shows what a run would do, what would not run and why, and how long it would take."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from rich.text import Text

from universal_scheduler.cli.apply import misspelt_names, show_warnings
from universal_scheduler.cli.console import make_console, put_json, status_text
from universal_scheduler.cli.documents import check_file
from universal_scheduler.cli.options import pairs, with_params
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.tables import Table, number, prose
from universal_scheduler.domain.errors import did_you_mean
from universal_scheduler.domain.runs.model import JobRun, Scalar
from universal_scheduler.domain.runs.references import unread_outputs
from universal_scheduler.local.simulation import Simulated, simulate
from universal_scheduler.usecases.views import run_view

FAILED = 1
MAX_EXIT_CODE = 255
T = TypeVar("T")


def simulate_command(
    file: str,
    fail: tuple[str, ...],
    durations: tuple[str, ...],
    outputs: tuple[str, ...],
    params: tuple[str, ...],
    as_json: bool,
) -> int:
    """Exit code 1 if the run would not succeed.

    Raises:
        Problem: the file or an option is not valid.
    """
    checked = check_file(file)
    if checked.errors:
        lines = "".join(f"\n         {line}" for line in checked.lines)
        raise Problem(f"{file} cannot run.{lines}", "Correct the document.", errors=checked.errors_as_json)
    codes, seconds, put_out = dict(map(_exit_code, fail)), dict(map(_seconds, durations)), _outputs(outputs)
    for option, given in (("--fail", codes), ("--duration", seconds), ("--output", put_out)):
        _check_jobs(checked.rows, option, given)
    now = time.time()
    rows = [with_params(row, params) for row in checked.rows]
    ended = [
        simulate(row, exit_codes=_of(row, codes), durations=_of(row, seconds), outputs=_of(row, put_out), now=now)
        for row in rows
    ]
    unread = [
        checked.placed(place, remark)
        for place, row in enumerate(rows)
        for remark in unread_outputs(row["jobList"], put_out)
    ]
    doubtful = replace(checked, warnings=(*misspelt_names(checked), *unread))
    if as_json:
        put_json({"runs": [_view(each) for each in ended], "warnings": doubtful.warnings_as_json})
    else:
        for each in ended:
            _show(each)
        show_warnings(make_console(), [doubtful])
    return 0 if all(each.run.status == "SUCCEEDED" for each in ended) else FAILED


def _exit_code(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if value and not (value.isdecimal() and len(value) < 4 and 1 <= int(value) <= MAX_EXIT_CODE):
        advice = f"Write --fail JOB, or --fail JOB=CODE with a code from 1 to {MAX_EXIT_CODE}."
        raise Problem(f"--fail {text}: '{value}' is not an exit code of a job that fails.", advice)
    return name, int(value or 1)


def _seconds(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not (math.isfinite(seconds) and seconds >= 0):
        raise Problem(f"--duration {text}: '{value}' is not a number of seconds.", "Write --duration JOB=SECONDS.")
    return name, seconds


def _check_jobs(rows: Sequence[Mapping[str, Any]], option: str, given: Iterable[str]) -> None:
    known = [entry["jobName"] for row in rows for entry in row["jobList"]]
    for name in given:
        if name not in known:
            which = " or ".join(f"'{row['scheduleId']}'" for row in rows)
            message = f"{option} {name}: {which} has no job '{name}'{did_you_mean(name, known)}."
            raise Problem(message, f"The jobs are {', '.join(known[:20])}{', …' if len(known) > 20 else ''}.")


def _of(row: Mapping[str, Any], given: Mapping[str, T]) -> dict[str, T]:
    """What is given for jobs of this schedule: a file may have several."""
    names = {entry["jobName"] for entry in row["jobList"]}
    return {name: value for name, value in given.items() if name in names}


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
