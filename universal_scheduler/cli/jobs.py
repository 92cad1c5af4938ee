"""`usched jobs`: all jobs in the scheduler's queues, whoever has submitted them, and each change of their states."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

from universal_scheduler.cli.console import View, make_console, put_facts, put_json, status_text
from universal_scheduler.cli.printable import printable
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.since import moment, since_text
from universal_scheduler.cli.tables import Table, number, prose
from universal_scheduler.cli.times import Times, clock
from universal_scheduler.domain.runs.model import JobStatus
from universal_scheduler.usecases.job_log import find_jobs, job_view

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring


def jobs_command(
    stage: Wiring,
    *,
    queue: str | None,
    status: str | None,
    since: str,
    name: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """List the jobs that have changed since a time, the last changed job first."""
    queues = stage.settings.job_queues
    found = find_jobs(
        stage.job_log,
        list(queues.values()) if queue is None else [queue_arn(queue, queues)],
        since=moment(since, time.time()),
        status=None if status is None else JobStatus(status.upper()),
        name=name,
        limit=limit,
    )
    if as_json:
        put_json({"jobs": found})
    elif not found:
        click.echo(_nothing_changed(queue, status, since, name))
    else:
        show_jobs(make_console(), found)
    return 0


def _nothing_changed(queue: str | None, status: str | None, since: str, name: str | None) -> str:
    named = f" named '{name}'" if name else ""
    state = f" and is {status.upper()} now" if status else ""
    place = f"of the queue '{queue}'" if queue else "of this stage's queues"
    return printable(
        f"No job{named} {place} has changed {since_text(since)}{state}. Look further back with --since, for example 1w."
    )


def job_command(stage: Wiring, job_id: str, as_json: bool) -> int:
    """Show one job, by its Batch id, with every change of its state."""
    events = stage.job_log.history(job_id)
    if not events:
        raise Problem(f"The log of jobs has no job '{job_id}'.", "List the jobs of the last day with: usched jobs")
    view = job_view(events)
    if as_json:
        put_json(view)
    else:
        show_job(make_console(), view)
    return 0


def show_jobs(console: Console, jobs: Sequence[View]) -> None:
    times = Times((event["time"] for job in jobs for event in job["events"]), time.time())
    columns = "job", "status", number("exit"), "queue", "run", "jobId"
    table = Table(*columns, prose(times.heading("changes")), prose("why"))
    for job in jobs:
        table.add_row(
            job["jobName"],
            status_text(job["status"]),
            str(job.get("exitCode", "")),
            _short(job["jobQueue"]),
            job.get("scheduleId", ""),
            job["jobId"],
            ", ".join(f"{event['status']} {times.clock(event['time'])}" for event in job["events"]),
            job.get("reason", "") if job["status"] != "SUCCEEDED" else "",
        )
    console.print(table)


def show_job(console: Console, job: View) -> None:
    now = time.time()
    times = Times((event["time"] for event in job["events"]), now)
    title = Text.assemble(f"{printable(job['jobName'])} {job['jobId']} ", status_text(job["status"]))
    columns = times.heading("when"), "status", number("attempts"), number("exit"), "log stream"
    table = Table(*columns, prose("why"), title=title)
    for event in job["events"]:
        table.add_row(
            times.clock(event["time"]),
            status_text(event["status"]),
            str(event.get("attempts", "")),
            str(event.get("exitCode", "")),
            event.get("logStreamName", ""),
            event.get("reason", ""),
        )
    console.print(table)
    run = f"{job['scheduleId']} {job['startDateTime']}" if "scheduleId" in job else "none: submitted by somebody else"
    submitted = clock(job.get("createdAt", ""), now)
    put_facts(console, {"queue": _short(job["jobQueue"]), "submitted": submitted, "run": run})


def queue_arn(queue: str, known: Mapping[str, str]) -> str:
    """The ARN of a queue, from its short name in this stage, its ARN, or its name in this account and region."""
    if queue in known or queue.startswith("arn:"):
        return known.get(queue, queue)
    return f"{next(iter(known.values()), '').rpartition('/')[0]}/{queue}"


def _short(arn: str) -> str:
    return arn.rpartition("/")[2]
