"""Writes the SubmitJob request of a job. The names of queues and definitions are still those of the document. It is
pure.

https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from universal_scheduler.domain.batch.limits import (
    MAX_TAG_VALUE,
    Refusal,
    overrides_refusals,
    payload_refusals,
    refusals,
)
from universal_scheduler.domain.errors import SubmissionRefused
from universal_scheduler.domain.runs.fan_out import with_environment
from universal_scheduler.domain.runs.model import Job

_NOT_IN_TAGS = re.compile(r"[^\w +=.:/@-]")


def submit_job_request(
    job: Job, name: str, depends_on: Sequence[str], environment: Mapping[str, str], tags: Mapping[str, str]
) -> dict[str, Any]:
    """The request for a job.

    `name` is the name of the Batch job, `depends_on` are ids of Batch jobs that have to succeed before it starts. The
    queue and the definition are as in the document.
    """
    request: dict[str, Any] = {
        "jobName": name,
        "jobQueue": job.queue,
        "jobDefinition": job.definition,
        "dependsOn": [{"jobId": job_id} for job_id in depends_on],
        "tags": {key: _tag_value(value) for key, value in tags.items()},
    }
    if job.array_size:
        request["arrayProperties"] = {"size": job.array_size}
    if job.parameters:
        request["parameters"] = dict(job.parameters)
    if job.container_overrides is not None:
        request["containerOverrides"] = with_environment(job.container_overrides, environment)
    if job.retry_strategy is not None:
        request["retryStrategy"] = job.retry_strategy
    if job.priority is not None:
        request["schedulingPriorityOverride"] = job.priority
    if job.share_identifier:
        request["shareIdentifier"] = job.share_identifier
    if job.timeout_seconds is not None:
        request["timeout"] = {"attemptDurationSeconds": job.timeout_seconds}
    return request


def check_job(written: Job, resolved: Job) -> None:
    """Check a job whose references are resolved. `written` is the same job with its references.

    Raises:
        SubmissionRefused: Batch would refuse it. The message shows the words of the document.
    """
    request = submit_job_request(resolved, written.name, (), {}, {})
    request.pop("arrayProperties", None)
    _refuse(list(refusals(request, (written.container_overrides or {}).get("command") or ())))


def check_request(request: Mapping[str, Any]) -> None:
    """Check the size of a whole request.

    Raises:
        SubmissionRefused: Batch would refuse it, or ECS would refuse to start the job.
    """
    _refuse([*overrides_refusals(request), *payload_refusals(request)])


def _refuse(found: Sequence[Refusal]) -> None:
    if found:
        raise SubmissionRefused(f"AWS Batch would refuse the job. {' | '.join(map(str, found))}")


def _tag_value(value: str) -> str:
    """https://docs.aws.amazon.com/batch/latest/userguide/using-tags.html: 256 characters, few of them special."""
    return _NOT_IN_TAGS.sub("_", value)[:MAX_TAG_VALUE]
