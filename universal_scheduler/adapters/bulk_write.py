"""Writes many DynamoDB items, and waits where they come faster than the table takes them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from universal_scheduler.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

WRITE_CHUNK = 25
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html"""
THROTTLES = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"})


def put_items(
    client: DynamoDBClient,
    table: str,
    items: Sequence[Any],
    patience_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Put items of different keys, in chunks; what a partition does not take for the moment is put again.

    Raises:
        StoreUnavailable: throttled for `patience_seconds` in all; some items are written.
    """
    waited = 0.0
    for start in range(0, len(items), WRITE_CHUNK):
        pending: Any = {table: [{"PutRequest": {"Item": item}} for item in items[start : start + WRITE_CHUNK]]}
        longest = 0.05
        while pending := _left_over(client, pending):
            if waited >= patience_seconds:
                raise StoreUnavailable(f"DynamoDB has throttled the writing to {table} for {waited:.0f} s.")
            pause = random.uniform(0, longest)
            sleep(pause)
            waited += pause
            longest = min(longest * 2, 2.0)


def _left_over(client: DynamoDBClient, pending: Any) -> Any:
    """Write; answers what was throttled. Where all of it was, that is an error to the SDK."""
    try:
        return client.batch_write_item(RequestItems=pending).get("UnprocessedItems")
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in THROTTLES:
            return pending
        raise
