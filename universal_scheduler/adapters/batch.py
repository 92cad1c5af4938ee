"""The job platform over AWS Batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from universal_scheduler.domain.batch.request import submit_job_request
from universal_scheduler.domain.errors import PlatformUnavailable, SubmissionRefused, Throttled
from universal_scheduler.domain.events.job_events import read_detail
from universal_scheduler.domain.runs.attempts import read_attempts
from universal_scheduler.domain.runs.model import Attempt, Child, Job, JobStatus, Observation

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_batch.type_defs import JobSummaryTypeDef

REFUSALS = frozenset({"ClientException", "ValidationException", "AccessDeniedException"})
"""Error codes of SubmitJob for a request that Batch will never accept. All other errors may pass.
https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html#API_SubmitJob_Errors"""
THROTTLES = frozenset({"TooManyRequestsException", "ThrottlingException", "Throttling"})
"""Error codes that Batch answers before anything has happened."""


class BatchPlatform:
    """`ports.platform.JobPlatform` over boto3 clients of Batch. It resolves short names of queues and definitions to
    ARNs.

    `submitter` is the client for SubmitJob. It must not repeat a call by itself: SubmitJob has no client token, so that
    a repeated call may be a second job.
    """

    def __init__(
        self,
        client: BatchClient,
        *,
        submitter: BatchClient,
        queues: Mapping[str, str],
        definitions: Mapping[str, str],
    ) -> None:
        self._client, self._submitter = client, submitter
        self._queues, self._definitions = queues, definitions

    def submit(
        self, job: Job, name: str, depends_on: Sequence[str], environment: Mapping[str, str], tags: Mapping[str, str]
    ) -> str:
        request = submit_job_request(job, name, depends_on, environment, tags) | {
            "jobQueue": self._queues.get(job.queue, job.queue),
            "jobDefinition": self._definitions.get(job.definition, job.definition),
        }
        try:
            return self._submitter.submit_job(**request)["jobId"]
        except ClientError as error:
            raise _translated(error, job) from error
        except ParamValidationError as error:
            raise SubmissionRefused(f"The job is no valid request to Batch: {error}") from error
        except BotoCoreError as error:
            raise PlatformUnavailable(f"SubmitJob for {job.name}: {error}") from error

    def find(self, queue: str, name: str) -> str | None:
        request: dict[str, Any] = {"filters": [{"name": "JOB_NAME", "values": [name]}]}
        try:
            for page in self._client.get_paginator("list_jobs").paginate(
                jobQueue=self._queues.get(queue, queue), **request
            ):
                for job in page["jobSummaryList"]:
                    if job["jobName"] == name:
                        return job["jobId"]
        except ClientError as error:
            if _no_such_thing(error):
                return None  # and no job in it
            raise PlatformUnavailable(f"ListJobs: {error}") from error
        except BotoCoreError as error:
            raise PlatformUnavailable(f"ListJobs: {error}") from error
        return None

    def describe(self, job_ids: Sequence[str]) -> list[Observation]:
        try:
            jobs = self._client.describe_jobs(jobs=list(job_ids))["jobs"]
        except (ClientError, BotoCoreError) as error:
            raise PlatformUnavailable(f"DescribeJobs: {error}") from error
        return [read_detail(job) for job in jobs]

    def attempts(self, job_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        try:
            jobs = self._client.describe_jobs(jobs=list(job_ids))["jobs"]
        except (ClientError, BotoCoreError) as error:
            raise PlatformUnavailable(f"DescribeJobs: {error}") from error
        return {job["jobId"]: read_attempts(job) for job in jobs}

    def terminate(self, job_id: str, reason: str) -> None:
        try:
            self._client.terminate_job(jobId=job_id, reason=reason)
        except (ClientError, BotoCoreError) as error:
            raise PlatformUnavailable(f"TerminateJob: {error}") from error

    def cancel(self, job_id: str, reason: str) -> None:
        try:
            self._client.cancel_job(jobId=job_id, reason=reason)
        except (ClientError, BotoCoreError) as error:
            raise PlatformUnavailable(f"CancelJob: {error}") from error

    def children(self, array_id: str, status: JobStatus, limit: int | None = None) -> list[Child] | None:
        request: dict[str, Any] = {"arrayJobId": array_id, "jobStatus": str(status)}
        if limit is not None:
            request["PaginationConfig"] = {"MaxItems": limit}
        pages = self._client.get_paginator("list_jobs").paginate(**request)
        try:
            return [_child(summary) for page in pages for summary in page["jobSummaryList"]]
        except ClientError as error:
            if _no_such_thing(error):
                return None
            raise PlatformUnavailable(f"ListJobs: {error}") from error
        except BotoCoreError as error:
            raise PlatformUnavailable(f"ListJobs: {error}") from error


def _child(summary: JobSummaryTypeDef) -> Child:
    container = summary.get("container", {})
    reasons = [summary.get("statusReason"), container.get("reason")]
    return Child(
        index=summary["arrayProperties"]["index"],
        status=JobStatus(summary["status"]),
        reason="; ".join(reason for reason in reasons if reason),
        exit_code=container.get("exitCode"),
        started_at=summary.get("startedAt", 0) / 1000,
    )


def _translated(error: ClientError, job: Job) -> SubmissionRefused | PlatformUnavailable:
    message = error.response.get("Error", {}).get("Message", str(error))
    if _code(error) in REFUSALS:
        where = f"jobQueue '{job.queue}', jobDefinition '{job.definition}'"
        if _code(error) == "AccessDeniedException":
            where += "; the stack's parameter OtherBatchArns allows queues and definitions of others"
        return SubmissionRefused(f"Batch refused the job: {message} ({where})")
    kind = Throttled if _code(error) in THROTTLES else PlatformUnavailable
    return kind(f"SubmitJob for {job.name}: {_code(error)}: {message}")


def _no_such_thing(error: ClientError) -> bool:
    """Batch has one code for all that a client did wrong: only its words tell what. A refused look-up is no answer."""
    message = error.response.get("Error", {}).get("Message", "").lower()
    return _code(error) == "ClientException" and ("not found" in message or "does not exist" in message)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
