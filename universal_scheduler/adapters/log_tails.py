"""What jobs printed, in CloudWatch Logs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from universal_scheduler.domain.messages import LogTail
from universal_scheduler.domain.model import JobRun

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_logs import CloudWatchLogsClient

DEFAULT_GROUP = "/aws/batch/job"
"""https://docs.aws.amazon.com/batch/latest/userguide/using_cloudwatch_logs.html"""

logger = logging.getLogger(__name__)


def log_place(batch: BatchClient, job: JobRun) -> tuple[str, str]:
    """Log group and stream. Batch knows both sooner than the job's row; it forgets ended jobs after seven days."""
    details = batch.describe_jobs(jobs=[job.job_id])["jobs"] if job.job_id else []
    container: Any = details[0].get("container", {}) if details else {}
    options = container.get("logConfiguration", {}).get("options", {})
    return options.get("awslogs-group", DEFAULT_GROUP), container.get("logStreamName") or job.log_stream


class CloudWatchLogTails:
    """`ports.LogTails` over boto3 clients of Batch and CloudWatch Logs."""

    def __init__(self, batch: BatchClient, logs: CloudWatchLogsClient) -> None:
        self._batch, self._logs = batch, logs

    def tail(self, job: JobRun, lines: int) -> LogTail:
        try:
            group, stream = log_place(self._batch, job)
            if not stream:
                return LogTail()
            page = self._logs.get_log_events(logGroupName=group, logStreamName=stream, limit=lines)
        except (ClientError, BotoCoreError) as error:  # a message without the log is better than none
            logger.warning("the log of job %s (%s) cannot be read: %s", job.name, job.job_id, error)
            return LogTail()
        told = "\n".join(event["message"] for event in page["events"]).splitlines()
        return LogTail(tuple(told[-lines:]), group, stream)
