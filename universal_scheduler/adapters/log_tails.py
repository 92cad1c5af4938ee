"""The logs of jobs in CloudWatch Logs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from universal_scheduler.domain.errors import PlatformUnavailable
from universal_scheduler.domain.messages.messages import LogTail
from universal_scheduler.domain.runs.model import Attempt, JobRun, JobStatus
from universal_scheduler.ports.platform import JobPlatform

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient

DEFAULT_GROUP = "/aws/batch/job"
"""https://docs.aws.amazon.com/batch/latest/userguide/using_cloudwatch_logs.html"""

logger = logging.getLogger(__name__)


class CloudWatchLogTails:
    """`ports.messages.LogTails` over a boto3 client of CloudWatch Logs."""

    def __init__(self, platform: JobPlatform, logs: CloudWatchLogsClient) -> None:
        self._platform, self._logs = platform, logs

    def tail(self, job: JobRun, lines: int) -> LogTail:
        try:
            job_id = _failed_child(self._platform, job) or job.job_id
            known = self._platform.attempts([job_id]).get(job_id) if job_id else None
        except PlatformUnavailable as error:  # a message without the log is better than none
            logger.warning("the log of job %s (%s) cannot be found: %s", job.name, job.job_id, error)
            return LogTail()
        last = known[-1] if known else Attempt(job.status, log_stream=job.log_stream)
        group, stream = last.log_group or DEFAULT_GROUP, last.log_stream
        return LogTail(self.last_lines(group, stream, lines), group, stream) if stream else LogTail()

    def last_lines(self, group: str, stream: str, lines: int) -> tuple[str, ...]:
        """The last lines of a log stream, oldest first; empty if there are none, or if they cannot be read."""
        try:
            page = self._logs.get_log_events(logGroupName=group or DEFAULT_GROUP, logStreamName=stream, limit=lines)
        except (ClientError, BotoCoreError) as error:
            logger.warning("the log stream %s cannot be read: %s", stream, error)
            return ()
        told = "\n".join(event["message"] for event in page["events"]).splitlines()
        return tuple(told[-lines:])


def _failed_child(platform: JobPlatform, job: JobRun) -> str:
    """The id of the first child of an array that failed: the array itself prints nothing."""
    if not (job.job_id and job.child_counts.get(JobStatus.FAILED)):
        return ""
    failed = platform.children(job.job_id, JobStatus.FAILED, 1)
    return f"{job.job_id}:{failed[0].index}" if failed else ""


class LogStream:
    """Reads a log stream from its beginning. Each call goes on where the last one has stopped."""

    def __init__(self, logs: CloudWatchLogsClient, group: str, stream: str) -> None:
        self._logs, self._group, self._stream = logs, group or DEFAULT_GROUP, stream
        self._token: dict[str, str] = {}

    def news(self) -> list[dict[str, Any]]:
        """The events since the last call, oldest first, with `timestamp` (epoch milliseconds) and `message`.

        A page is the last one if its token is the token that has asked for it.
        https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
        """
        found: list[dict[str, Any]] = []
        while True:
            try:
                page = self._logs.get_log_events(
                    logGroupName=self._group,
                    logStreamName=self._stream,
                    startFromHead=True,
                    **self._token,  # type: ignore[arg-type]
                )
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
                    return found  # it is made when the attempt starts
                raise
            found += [{"timestamp": event["timestamp"], "message": event["message"]} for event in page["events"]]
            following = {"nextToken": page["nextForwardToken"]}
            if following == self._token:
                return found
            self._token = following
