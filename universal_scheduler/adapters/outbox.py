"""The queue of messages to people, over SQS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from universal_scheduler.domain.errors import StoreUnavailable
from universal_scheduler.domain.messages.messages import printable

CHUNK = 10
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html"""
TRIES = 3
REASON_LIMIT = 1000


class SqsOutbox:
    """`ports.messages.Outbox` over a boto3 client of SQS. The client is made when it is needed, which is seldom."""

    def __init__(self, client: Callable[[], Any], *, queue: str, dead_letters: str = "") -> None:
        self._client, self._queue, self._dead_letters = client, queue, dead_letters

    def put(self, bodies: Sequence[str]) -> None:
        if bodies and not self._queue:
            raise StoreUnavailable("No queue of notifications is known (NOTIFICATIONS_QUEUE_URL).")
        for start in range(0, len(bodies), CHUNK):
            chunk = bodies[start : start + CHUNK]
            self._put({str(index): body for index, body in enumerate(chunk)})

    def _put(self, left: dict[str, str]) -> None:
        """A batch may be taken in part."""
        for _ in range(TRIES):
            entries = [{"Id": name, "MessageBody": body} for name, body in left.items()]
            try:
                answer = self._client().send_message_batch(QueueUrl=self._queue, Entries=entries)
            except (ClientError, BotoCoreError) as error:
                raise StoreUnavailable(f"The queue of notifications took nothing: {error}") from error
            left = {failure["Id"]: left[failure["Id"]] for failure in answer.get("Failed", ())}
            if not left:
                return
        raise StoreUnavailable(f"The queue of notifications did not take {len(left)} messages.")

    def delay(self, receipt: str, seconds: int) -> None:
        self._client().change_message_visibility(
            QueueUrl=self._queue, ReceiptHandle=receipt, VisibilityTimeout=max(0, seconds)
        )

    def dead_letter(self, body: str, reason: str) -> None:
        # SQS refuses most control characters, which a receiver's answer may have:
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
        attribute = {"DataType": "String", "StringValue": printable(reason, REASON_LIMIT) or "no reason"}
        self._client().send_message(
            QueueUrl=self._dead_letters, MessageBody=body, MessageAttributes={"reason": attribute}
        )
