"""Shows why jobs failed: the last lines of their logs, and the command that goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from universal_scheduler.cli.console import View, say
from universal_scheduler.cli.printable import printable
from universal_scheduler.cli.target import command
from universal_scheduler.domain.errors import PlatformUnavailable
from universal_scheduler.domain.runs.arrays import read_children
from universal_scheduler.domain.runs.model import Attempt, JobStatus

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring

JOBS_SHOWN = 5
"""How many failed jobs have their logs read. Each is a call."""
LINES_SHOWN = 5
CHILDREN_SHOWN = 20


def with_failures(stage: Wiring, view: dict[str, Any]) -> dict[str, Any]:
    """The view of a run, with the first failed children of its arrays and the last log lines of its first failed jobs.

    Batch forgets jobs after some time. If it has, or if a service does not answer, they are left out.
    """
    jobs = [_with_failed_children(stage, job) for job in view["jobs"]]
    places = [(number, batch_id) for number, job in enumerate(jobs) if (batch_id := _failed(job))][:JOBS_SHOWN]
    try:
        known = stage.platform.attempts([batch_id for _, batch_id in places]) if places else {}
    except PlatformUnavailable:
        known = {}
    for number, batch_id in places:
        job = jobs[number]
        attempts = known.get(batch_id) or (Attempt(JobStatus.FAILED, log_stream=job.get("logStreamName", "")),)
        last = attempts[-1]
        lines = stage.log_tails.last_lines(last.log_group, last.log_stream, LINES_SHOWN) if last.log_stream else ()
        if lines:
            jobs[number] = {**job, "lastLines": list(lines)}
    return view | {"jobs": jobs}


def _failed(job: View) -> str:
    """The Batch id whose log says why a job failed: of an array, its first failed child's."""
    if job["status"] != "FAILED" or "jobId" not in job:
        return ""
    if "children" not in job:
        return str(job["jobId"])
    failed = job.get("failedChildren")
    return f"{job['jobId']}:{_places(job).index(failed[0]['index'])}" if failed else ""


def _places(job: View) -> Any:
    """The indices of an array's children, by their places in its last submission."""
    return read_children(job.get("childrenOfAttempt", "")) or range(sum(job["children"].values()))


def _with_failed_children(stage: Wiring, job: View) -> dict[str, Any]:
    if not (job.get("children", {}).get("FAILED") and "jobId" in job):
        return dict(job)
    try:
        failed = stage.platform.children(job["jobId"], JobStatus.FAILED, CHILDREN_SHOWN) or []
    except PlatformUnavailable:
        failed = []
    places = _places(job)
    shown = [
        {"index": places[child.index], "reason": child.reason, "exitCode": child.exit_code}
        for child in failed
        if child.index < len(places)
    ]
    return {**job, "failedChildren": shown}


def show_failures(console: Console, run: View) -> None:
    """Print the last lines of each failed job that has some, and the command that prints all."""
    for job in run["jobs"]:
        if lines := job.get("lastLines"):
            name = job["jobName"]
            if failed := job.get("failedChildren"):
                name = f"{name}:{failed[0]['index']}"
            put_last_lines(console, name, lines)
            read = command("logs", run["scheduleId"], name, "--start", run["startDateTime"])
            say(console, f"  All of it: {read}", "dim")


def put_last_lines(console: Console, name: str, lines: list[str]) -> None:
    console.print(Text.assemble((f"{name} printed last:", "bold")))
    for line in lines[-LINES_SHOWN:]:
        console.print(Text(f"  {printable(line)}"), soft_wrap=True)


def show_restart(console: Console, run: View) -> None:
    """Print the command with which a run that did not succeed goes on."""
    again = command("restart", run["scheduleId"], run["startDateTime"])
    say(console, f"When the cause is mended, run what did not succeed again: {again}")
