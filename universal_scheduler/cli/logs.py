"""`usched logs`: what a job printed, from CloudWatch Logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import ClientError

from universal_scheduler.adapters.log_tails import log_place
from universal_scheduler.cli.console import put_json
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.show import find_run

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring


def logs_command(stage: Wiring, schedule_id: str, job_name: str, start: str | None, as_json: bool) -> int:
    run = find_run(stage.store, schedule_id, start)
    jobs = {job.name: job for job in stage.store.list_jobs(run.key.run_id)}
    if job_name not in jobs:
        raise Problem(f"The run has no job '{job_name}'.", f"Its jobs are {', '.join(jobs) or 'none'}.")
    job = jobs[job_name]
    group, stream = log_place(stage.batch, job)
    if not stream:
        why = f" ({job.reason})" if job.reason else ""
        advice = f"See what it waits for with: usched show {schedule_id}"
        raise Problem(f"The job '{job_name}' is {job.status}{why}: it has printed nothing yet.", advice)
    if not as_json:
        for event in _events(stage, group, stream):
            click.echo(event["message"])
        return 0
    put_json(
        {
            "scheduleId": schedule_id,
            "startDateTime": run.key.start,
            "jobName": job_name,
            "logGroupName": group,
            "logStreamName": stream,
            "events": list(_events(stage, group, stream)),
        }
    )
    return 0


def _events(stage: Wiring, group: str, stream: str) -> Iterator[dict[str, Any]]:
    """Every event, oldest first. The last page is the one whose token is the one that asked for it.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
    """
    token: dict[str, str] = {}
    while True:
        try:
            page = stage.logs.get_log_events(
                logGroupName=group,
                logStreamName=stream,
                startFromHead=True,
                **token,  # type: ignore[arg-type]
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
                return  # a stream begins with its first line
            raise
        for event in page["events"]:
            yield {"timestamp": event["timestamp"], "message": event["message"]}
        following = {"nextToken": page["nextForwardToken"]}
        if following == token:
            return
        token = following
