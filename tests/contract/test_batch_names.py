"""Which queues and job definitions Batch has: asked of the local Batch, and of answers as AWS gives them."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tests.contract.test_local_batch_api import client, world  # noqa: F401 - fixtures
from tests.local_batch import ARN, World, definition
from universal_scheduler.adapters.batch_names import BatchNames
from universal_scheduler.domain.documents.stage import Kind
from universal_scheduler.domain.errors import PlatformUnavailable


def test_queues_are_found_by_name_and_by_arn(client: Any) -> None:  # noqa: F811
    there = ["default", f"{ARN}:job-queue/default"]
    absent = ["defalt", f"{ARN}:job-queue/defalt"]
    assert BatchNames(client).missing(Kind.QUEUE, [*there, *absent]) == set(absent)


def test_definitions_are_found_where_a_revision_is_active(world: World, client: Any) -> None:  # noqa: F811
    world.call("RegisterJobDefinition", definition("old"))
    world.call("DeregisterJobDefinition", {"jobDefinition": "old:1"})
    there = ["shell", "shell:1", f"{ARN}:job-definition/shell:1", f"{ARN}:job-definition/shell"]
    absent = ["shel", "shell:2", f"{ARN}:job-definition/shell:2", "old", "old:1"]
    assert BatchNames(client).missing(Kind.DEFINITION, [*there, *absent]) == set(absent)


@pytest.fixture
def stubbed() -> Any:
    made = boto3.client("batch", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    with Stubber(made) as stub:
        yield made, stub
        stub.assert_no_pending_responses()


def test_a_name_is_asked_for_once_and_a_hundred_at_a_time(stubbed: Any) -> None:
    made, stub = stubbed
    names = [f"q{number}" for number in range(150)]
    for chunk in (names[:100], names[100:]):
        stub.add_response("describe_job_queues", {"jobQueues": []}, {"jobQueues": chunk})
    batch = BatchNames(made)
    assert batch.missing(Kind.QUEUE, names) == set(names)
    assert batch.missing(Kind.QUEUE, names[:3]) == set(names[:3])


def test_a_name_that_batch_does_not_even_read_is_not_there(stubbed: Any) -> None:
    made, stub = stubbed
    stub.add_client_error("describe_job_queues", "ClientException", "no name", 400)
    stub.add_client_error(
        "describe_job_queues", "ClientException", "no name", 400, expected_params={"jobQueues": ["a b"]}
    )
    stub.add_response("describe_job_queues", {"jobQueues": []}, {"jobQueues": ["c"]})
    assert BatchNames(made).missing(Kind.QUEUE, ["a b", "c"]) == {"a b", "c"}


@pytest.mark.parametrize("code", ["AccessDeniedException", "ServerException", "TooManyRequestsException"])
def test_a_batch_that_does_not_answer_is_told_as_such(stubbed: Any, code: str) -> None:
    made, stub = stubbed
    stub.add_client_error("describe_job_definitions", code, "no")
    with pytest.raises(PlatformUnavailable, match=code):
        BatchNames(made).missing(Kind.DEFINITION, ["load"])
