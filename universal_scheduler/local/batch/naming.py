"""Names and ARNs of Batch's resources: how they are checked, made and taken apart."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass

from universal_scheduler.local.batch.errors import ClientError

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:[0-9]{1,4})?")


@dataclass(frozen=True, slots=True)
class Naming:
    """Makes the ARNs of one account in one region."""

    region: str
    account: str

    def arn(self, kind: str, name: str) -> str:
        """``kind`` is job, job-queue, job-definition or compute-environment."""
        return f"arn:aws:batch:{self.region}:{self.account}:{kind}/{name}"

    def task_arn(self, environment: str, task_id: str) -> str:
        """The ARN of the ECS task that an attempt would be on AWS."""
        return f"arn:aws:ecs:{self.region}:{self.account}:task/AWSBatch-{environment}/{task_id}"

    def host_terminated(self) -> str:
        """What Batch says of a job whose host is gone; this machine has an id like an instance's.

        https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
        """
        instance = hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:17]
        return f"Host EC2 (instance i-{instance}) terminated."

    def plain(self, kind: str, reference: str) -> str:
        """The name in a reference that is a name or an ARN of that kind in this account and region."""
        return reference.removeprefix(self.arn(kind, ""))


def check_name(what: str, name: str) -> str:
    """The name itself; ClientError if AWS would refuse it."""
    if not _NAME.fullmatch(name):
        raise ClientError(f"{what} {name!r} should match the pattern {_NAME.pattern}.")
    return name


def check_job_id(job_id: str) -> str:
    """The same for the ids of jobs and of an array's children."""
    if not _JOB_ID.fullmatch(job_id):
        raise ClientError(f"Job id {job_id!r} is not valid.")
    return job_id
