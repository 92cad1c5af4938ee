"""`usched try`: runs the schedules of files here and now, in this process, without an engine or AWS."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from rich.console import Console

from universal_scheduler.cli.apply import errors_of
from universal_scheduler.cli.console import View, jobs_table, make_console, put_json
from universal_scheduler.cli.documents import check_file, files_of
from universal_scheduler.cli.failures import put_last_lines
from universal_scheduler.cli.options import with_params
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.progress import follow
from universal_scheduler.domain.model import JobRun, Run
from universal_scheduler.local.trial import Trial, TriedChild, try_schedule
from universal_scheduler.usecases.views import present, run_view

FAILED = 1
INTERVAL = 0.05
CHILDREN_TOLD = 5


def try_command(paths: Sequence[str], directory: Path | None, params: Sequence[str], as_json: bool) -> int:
    """Exit code 1 where a run did not succeed.

    Raises:
        Problem: a file is not valid; nothing ran.
    """
    checked = [check_file(file) for file in files_of(paths)]
    if errors := errors_of(checked):
        lines = "".join(f"\n         {line}" for entry in checked for line in entry.told)
        raise Problem(f"Nothing was tried.{lines}", "Correct the documents.", errors=errors)
    rows = [with_params(row, params) for entry in checked for row in entry.rows]
    tried = [_quietly(row, directory) if as_json else _shown(make_console(), row, directory) for row in rows]
    if as_json:
        put_json({"runs": tried})
    return 0 if all(run["status"] == "SUCCEEDED" for run in tried) else FAILED


def _quietly(row: Mapping[str, Any], directory: Path | None) -> dict[str, Any]:
    return _with_printed(try_schedule(row, directory=directory))


def _shown(console: Console, row: Mapping[str, Any], directory: Path | None) -> dict[str, Any]:
    """Try it in a thread of its own, and show what is known while it goes on."""
    news: list[View] = []
    done: list[Trial | BaseException] = []

    def told(run: Run, jobs: Sequence[JobRun]) -> None:
        news[:] = [run_view(run, jobs, time.time())]

    def work() -> None:
        try:
            done.append(try_schedule(row, directory=directory, on_change=told))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the user is
            done.append(error)

    thread = Thread(target=work, name="trial", daemon=True)  # Ctrl-C ends the process, and with it the jobs
    thread.start()
    follow(console, lambda: list(news), lambda _: bool(done), INTERVAL)
    thread.join()
    [end] = done
    if isinstance(end, BaseException):
        raise end
    run = _with_printed(end)
    if not console.is_terminal:
        console.print(jobs_table(run, time.time()))
    for job in run["jobs"]:
        if job["status"] == "FAILED":
            _show_why(console, job)
    return run


def _show_why(console: Console, job: View) -> None:
    """The last lines of a failed job; of an array those of its first failed children."""
    failed = [child for child in job.get("printedByChild", ()) if child["status"] == "FAILED"]
    for child in failed[:CHILDREN_TOLD]:
        code = f" (exit code {child['exitCode']})" if "exitCode" in child else ""
        text = child.get("printed", "")
        put_last_lines(console, f"{job['jobName']}:{child['index']}{code}", text.splitlines() or ["(nothing)"])
    if len(failed) > CHILDREN_TOLD:
        console.print(f"{job['children']['FAILED'] - CHILDREN_TOLD:,} more children of {job['jobName']} failed.")
    if not failed and "printed" in job:
        put_last_lines(console, job["jobName"], job["printed"].splitlines())


def _with_printed(trial: Trial) -> dict[str, Any]:
    run = run_view(trial.run, trial.jobs, time.time())
    return run | {
        "jobs": [
            job
            | present(
                {
                    "printed": trial.printed.get(job["jobName"]),
                    "printedByChild": [_child_view(child) for child in trial.children.get(job["jobName"], ())],
                }
            )
            for job in run["jobs"]
        ]
    }


def _child_view(child: TriedChild) -> dict[str, Any]:
    seen = {"status": str(child.status), "exitCode": child.exit_code, "reason": child.reason, "printed": child.printed}
    return {"index": child.index} | present(seen)
