"""An SQS queue that hands its messages to a function. It says when a message that was not handled comes again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ENTRIES = 10
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html"""


class MessageQueue:
    """The queue. `client` is boto3's for SQS."""

    def __init__(self, client: Any, url: str) -> None:
        self._client, self._url = client, url

    def requeue(self, seconds: Mapping[str, int]) -> None:
        """Let messages come again after so many seconds, by receipt handle, instead of after the queue's own
        time-out."""
        handles = list(seconds)
        for start in range(0, len(handles), ENTRIES):
            entries = [
                {"Id": str(at), "ReceiptHandle": handle, "VisibilityTimeout": seconds[handle]}
                for at, handle in enumerate(handles[start : start + ENTRIES])
            ]
            self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
