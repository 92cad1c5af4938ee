"""`usched try`: runs the schedules of files here and now, in this process, without an engine or AWS."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from rich.console import Console

from universal_scheduler.cli.apply import errors_of, misspelt_names, show_warnings, warnings_of
from universal_scheduler.cli.console import INTEREST, View, jobs_table, make_console, put_json
from universal_scheduler.cli.documents import check_file, files_of
from universal_scheduler.cli.failures import put_last_lines
from universal_scheduler.cli.options import with_params
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.progress import follow
from universal_scheduler.domain.runs.model import JobRun, JobStatus, Run, RunStatus
from universal_scheduler.local.trial import Trial, TriedChild, try_schedule
from universal_scheduler.usecases.views import part_of_run_view, present, run_summary, run_view

FAILED = 1
ENDED = frozenset(str(status) for status in RunStatus if status.ended)
INTERVAL = 0.1
ROWS_IN_A_PIPE = 100
"""Of a larger run, the last table has the jobs that matter most: every job has its lines already."""
CHILDREN_SHOWN = 5


def try_command(paths: Sequence[str], directory: Path | None, params: Sequence[str], as_json: bool) -> int:
    """Exit code 1 where a run did not succeed.

    Raises:
        Problem: a file is not valid; nothing ran.
    """
    checked = [check_file(file) for file in files_of(paths)]
    if errors := errors_of(checked):
        lines = "".join(f"\n         {line}" for entry in checked for line in entry.lines)
        raise Problem(f"Nothing was tried.{lines}", "Correct the documents.", errors=errors)
    rows = [with_params(row, params) for entry in checked for row in entry.rows]
    checked = [replace(entry, warnings=misspelt_names(entry)) for entry in checked]
    if not as_json:
        show_warnings(make_console(), checked)
    tried = [_quietly(row, directory) if as_json else _shown(make_console(), row, directory) for row in rows]
    if as_json:
        runs = [_with_printed(trial, run_view(trial.run, trial.jobs, time.time())) for trial in tried]
        put_json({"runs": runs, "warnings": warnings_of(checked)})
    return 0 if all(trial.run.status is RunStatus.SUCCEEDED for trial in tried) else FAILED


def _quietly(row: Mapping[str, Any], directory: Path | None) -> Trial:
    return try_schedule(row, directory=directory)


def _shown(console: Console, row: Mapping[str, Any], directory: Path | None) -> Trial:
    """Try it in a thread of its own, and show what is known while it goes on."""
    board = Board()
    trials: list[Trial] = []
    errors: list[BaseException] = []
    over = Event()

    def work() -> None:
        try:
            trials.append(try_schedule(row, directory=directory, on_change=board.changed_jobs))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the user is
            errors.append(error)
        over.set()

    def look() -> Sequence[View]:
        return board.visible(console.height) if console.is_terminal else board.changed()

    def ended(runs: Sequence[View]) -> bool:
        return bool(errors) or any(run["status"] in ENDED for run in runs)

    thread = Thread(target=work, name="trial", daemon=True)  # Ctrl-C ends the process, and with it the jobs
    thread.start()
    follow(console, look, ended, INTERVAL, pause=over.wait)
    thread.join()
    if errors:
        raise errors[0]
    [end] = trials
    if not console.is_terminal:
        [run] = board.visible(ROWS_IN_A_PIPE)
        console.print(jobs_table(run, time.time()))
    [run] = board.failed()
    for job in _with_printed(end, run)["jobs"]:
        _show_why(console, job)
    return end


def _show_why(console: Console, job: View) -> None:
    """The last lines of a failed job; of an array those of its first failed children."""
    failed = [child for child in job.get("printedByChild", ()) if child["status"] == "FAILED"]
    for child in failed[:CHILDREN_SHOWN]:
        code = f" (exit code {child['exitCode']})" if "exitCode" in child else ""
        text = child.get("printed", "")
        put_last_lines(console, f"{job['jobName']}:{child['index']}{code}", text.splitlines() or ["(nothing)"])
    if len(failed) > CHILDREN_SHOWN:
        console.print(f"{job['children']['FAILED'] - CHILDREN_SHOWN:,} more children of {job['jobName']} failed.")
    if not failed and "printed" in job:
        put_last_lines(console, job["jobName"], job["printed"].splitlines())


def _with_printed(trial: Trial, run: View) -> dict[str, Any]:
    return dict(run) | {
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


class Board:
    """What is known of the run that is tried. One thread tells it what has changed, another asks what to show."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._run: Run | None = None
        self._jobs: dict[str, JobRun] = {}
        self._names: dict[JobStatus, dict[str, None]] = {status: {} for status in sorted(JobStatus, key=_interest)}
        """Those of the jobs in each state; the states that matter most come first."""
        self._news: dict[str, JobRun] = {}

    def changed_jobs(self, run: Run, changed: Sequence[JobRun]) -> None:
        with self._lock:
            self._run = run
            for job in changed:
                if known := self._jobs.get(job.name):
                    del self._names[known.status][job.name]
                self._names[job.status][job.name] = None
                self._jobs[job.name] = self._news[job.name] = job

    def changed(self) -> Sequence[View]:
        """The run with the jobs that have changed since this was asked last."""
        with self._lock:
            run, news, self._news = self._run, self._news, {}
        return [run_summary(run) | {"jobs": [_line(job) for job in news.values()]}] if run else []

    def visible(self, limit: int) -> Sequence[View]:
        """The run with those of its jobs that matter most now, in their order where there is room for all."""
        with self._lock:
            if self._run is None:
                return []
            shown = list(islice(chain.from_iterable(self._names.values()), limit))
            if len(shown) == len(self._jobs):
                shown.sort(key=lambda name: self._jobs[name].position)
            counts = {str(status): len(names) for status, names in self._names.items() if names}
            return [part_of_run_view(self._run, self._jobs, shown, counts, time.time())]

    def failed(self) -> Sequence[View]:
        """The run with the jobs that failed of themselves."""
        with self._lock:
            names = list(self._names[JobStatus.FAILED])
            return [part_of_run_view(self._run, self._jobs, names, {}, time.time())] if self._run else []


def _interest(status: JobStatus) -> int:
    return INTEREST.get(status, len(INTEREST))


def _line(job: JobRun) -> View:
    """What a line about a job is made of."""
    code = {} if job.exit_code is None else {"exitCode": job.exit_code}
    return {"jobName": job.name, "attempts": job.attempts, "status": str(job.status), **code}
