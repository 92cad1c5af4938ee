"""The job queues and job definitions that AWS Batch has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, assert_never

from botocore.exceptions import BotoCoreError, ClientError

from universal_scheduler.domain.documents.stage import Kind
from universal_scheduler.domain.errors import PlatformUnavailable

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient

CHUNK = 100
"""https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobQueues.html, the same for job definitions."""


class BatchNames:
    """`usecases.stage_check.BatchNames` over a boto3 client of Batch. It asks for each name only once."""

    def __init__(self, client: BatchClient) -> None:
        self._client = client
        self._known: dict[tuple[Kind, str], bool] = {}

    def missing(self, kind: Kind, names: Sequence[str]) -> set[str]:
        new = [name for name in names if (kind, name) not in self._known]
        for start in range(0, len(new), CHUNK):
            chunk = new[start : start + CHUNK]
            found = self._asked(kind, chunk)
            self._known |= {(kind, name): name in found for name in chunk}
        return {name for name in names if not self._known[kind, name]}

    def _asked(self, kind: Kind, names: Sequence[str]) -> set[str]:
        try:
            match kind:
                case Kind.QUEUE:
                    return set(self._queues(names))
                case Kind.DEFINITION:
                    return set(self._definitions(names))
                case _:
                    assert_never(kind)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ClientException":
                raise PlatformUnavailable(f"Batch was asked for names: {error}") from error
            # One of them is none at all, as Batch sees it: it does not say which.
            return set() if len(names) == 1 else {name for name in names if self._asked(kind, [name])}
        except BotoCoreError as error:
            raise PlatformUnavailable(f"Batch was asked for names: {error}") from error

    def _queues(self, names: Sequence[str]) -> Iterator[str]:
        for queue in self._client.describe_job_queues(jobQueues=list(names))["jobQueues"]:
            yield from (queue["jobQueueName"], queue["jobQueueArn"])

    def _definitions(self, names: Sequence[str]) -> Iterator[str]:
        """Those with a revision in one call; of a name alone there must be an active revision, which is a call each."""
        revisions = [name for name in names if ":" in name.rpartition("/")[2]]
        if revisions:
            for definition in self._client.describe_job_definitions(jobDefinitions=revisions)["jobDefinitions"]:
                if definition.get("status") == "ACTIVE":
                    yield f"{definition['jobDefinitionName']}:{definition['revision']}"
                    yield definition["jobDefinitionArn"]
        for name in names:
            if (
                name not in revisions
                and self._client.describe_job_definitions(
                    jobDefinitionName=name.rpartition("/")[2], status="ACTIVE", maxResults=1
                )["jobDefinitions"]
            ):
                yield name
