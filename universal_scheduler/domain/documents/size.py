"""The limit for everything in a document but its jobs: the one row of a run has to hold it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from universal_scheduler.domain.errors import DocumentError

CARRIED_LIMIT_BYTES = 200 * 1024
"""Bytes as JSON. The rest of the 400 KB of an item is for larger encodings in DynamoDB and for what the run adds.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items"""


def carried_errors(document: Mapping[str, Any]) -> Iterator[DocumentError]:
    """An error if everything but `jobList` is too large for the row of a run."""
    rest = {key: value for key, value in document.items() if key != "jobList"}
    size = len(json.dumps(rest, ensure_ascii=False).encode())
    if size > CARRIED_LIMIT_BYTES:
        largest = max(rest, key=lambda key: len(json.dumps(rest[key], ensure_ascii=False)))
        expected = f"at most {CARRIED_LIMIT_BYTES:,} bytes beside jobList; put what is larger in S3"
        yield DocumentError(f"$.{largest}", f"{size:,} bytes beside jobList, this the most of it", expected)
