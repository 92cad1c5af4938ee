"""How much a document may say besides its jobs: a run carries that in its one row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from universal_scheduler.domain.errors import DocumentError

CARRIED_LIMIT_BYTES = 200 * 1024
"""An item has at most 400 KB, as DynamoDB counts: some values take more there than as JSON, and the run adds its own.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items"""


def carried_errors(document: Mapping[str, Any]) -> Iterator[DocumentError]:
    """Where all but `jobList` is larger than the row of a run has room for."""
    rest = {key: value for key, value in document.items() if key != "jobList"}
    size = len(json.dumps(rest, ensure_ascii=False).encode())
    if size > CARRIED_LIMIT_BYTES:
        largest = max(rest, key=lambda key: len(json.dumps(rest[key], ensure_ascii=False)))
        expected = f"at most {CARRIED_LIMIT_BYTES:,} bytes beside jobList; put what is larger in S3"
        yield DocumentError(f"$.{largest}", f"{size:,} bytes beside jobList, this the most of it", expected)
