"""Writes many items to DynamoDB, and waits if they come faster than the table takes them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from universal_scheduler.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

WRITE_CHUNK = 25
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html"""
TRANSACTION_CHUNK = 25
"""Items in one transaction. DynamoDB takes 100, but larger transactions are not faster, and one conflict stops all of
one."""
PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Reasons for which DynamoDB cancels a transaction that may be tried again without a change.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html#API_TransactWriteItems_Errors
"""
THROTTLES = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"})


def put_items(
    client: DynamoDBClient,
    table: str,
    items: Sequence[Any],
    patience_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Put items with different keys, in chunks. Items that DynamoDB does not take for the moment are put again.

    Raises:
        StoreUnavailable: DynamoDB refused writes for `patience_seconds` in all. Some items are written.
    """
    _write_all(client, table, [{"PutRequest": {"Item": item}} for item in items], Patience(patience_seconds, sleep))


def delete_items(
    client: DynamoDBClient,
    table: str,
    keys: Sequence[Any],
    patience_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Delete items, each key once, as `put_items` puts them.

    Raises:
        StoreUnavailable: DynamoDB refused writes for `patience_seconds` in all. Some items are deleted.
    """
    _write_all(client, table, [{"DeleteRequest": {"Key": key}} for key in keys], Patience(patience_seconds, sleep))


def _write_all(client: DynamoDBClient, table: str, writes: Sequence[Any], patience: Patience) -> None:
    for start in range(0, len(writes), WRITE_CHUNK):
        pending: Any = {table: writes[start : start + WRITE_CHUNK]}
        while pending := _left_over(client, pending):
            patience.pause()


def update_items(
    client: DynamoDBClient,
    updates: Mapping[str, Any],
    patience_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> set[str]:
    """Make updates of different items, several in one transaction. `updates` are requests of UpdateItem under any
    names.

    Each update has its own condition, and is made or not by itself.

    Returns: the names of the updates that were made.

    Raises:
        StoreUnavailable: DynamoDB refused writes, or other writers were in the way, for `patience_seconds`. Some are
            made.
    """
    patience = Patience(patience_seconds, sleep)
    names = list(updates)
    made: set[str] = set()
    for start in range(0, len(names), TRANSACTION_CHUNK):
        chunk = {name: updates[name] for name in names[start : start + TRANSACTION_CHUNK]}
        made |= _update_together(client, chunk, patience)
    return made


def write_together(
    client: DynamoDBClient,
    writes: Sequence[Any],
    patience_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Make all of these writes (in the form of TransactWriteItems) or none. False if a condition is not true.

    Raises:
        StoreUnavailable: DynamoDB refused writes, or other writers were in the way, for `patience_seconds`.
    """
    patience = Patience(patience_seconds, sleep)
    while True:
        try:
            client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            reasons = _cancellation_reasons(error)
            if "ConditionalCheckFailed" in reasons:
                return False
            if PASSING.isdisjoint(reasons):
                raise
            patience.pause()
        else:
            return True


def write_if(write: Callable[[], object], patience: Patience) -> bool:
    """Make one write with a condition. False if the condition is not true. It is tried again if a transaction is in the
    way."""
    while True:
        try:
            write()
        except ClientError as error:
            match _code(error):
                case "ConditionalCheckFailedException":
                    return False
                case "TransactionConflictException":
                    patience.pause()
                case _:
                    raise
        else:
            return True


class Patience:
    """The pauses between the tries of a call: random, up to twice as long each time, and limited in all."""

    def __init__(self, seconds: float, sleep: Callable[[float], None]) -> None:
        self._seconds, self._sleep = seconds, sleep
        self._waited, self._longest = 0.0, 0.05

    def pause(self) -> None:
        """Wait before the next try.

        Raises:
            StoreUnavailable: the pauses have taken as long as they may.
        """
        if self._waited >= self._seconds:
            raise StoreUnavailable(f"DynamoDB has put off a write for {self._waited:.0f} s.")
        pause = random.uniform(0, self._longest)
        self._sleep(pause)
        self._waited += pause
        self._longest = min(self._longest * 2, 2.0)


def _update_together(client: DynamoDBClient, updates: Mapping[str, Any], patience: Patience) -> set[str]:
    """One transaction; without those whose condition fails, and again where another writer was in its way.

    The SDK gives every call a client request token, so that a transaction whose answer was lost is not made twice.
    """
    pending = dict(updates)
    while len(pending) > 1:
        try:
            client.transact_write_items(TransactItems=[{"Update": update} for update in pending.values()])
        except ClientError as error:
            reasons = dict(zip(pending, _cancellation_reasons(error), strict=False))
            refused = [name for name, reason in reasons.items() if reason == "ConditionalCheckFailed"]
            for name in refused:
                del pending[name]
            if refused:
                continue
            if PASSING.isdisjoint(reasons.values()):
                raise
            patience.pause()
        else:
            return set(pending)
    return {name for name, update in pending.items() if write_if(partial(client.update_item, **update), patience)}


def _cancellation_reasons(error: ClientError) -> list[str]:
    """One code for each item of a transaction that was cancelled, `None` where nothing was wrong with it."""
    reasons: Any = error.response.get("CancellationReasons", [])
    return [str(reason.get("Code")) for reason in reasons]


def _left_over(client: DynamoDBClient, pending: Any) -> Any:
    """Write; answers what was throttled. Where all of it was, that is an error to the SDK."""
    try:
        return client.batch_write_item(RequestItems=pending).get("UnprocessedItems")
    except ClientError as error:
        if _code(error) in THROTTLES:
            return pending
        raise


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
