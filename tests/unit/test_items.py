"""Items of DynamoDB that others wrote: whatever is in them, they are read, and the check says what is wrong."""

from __future__ import annotations

import base64
import zlib

import pytest

from universal_scheduler.adapters.dynamodb.items import from_item
from universal_scheduler.domain.documents.check import find_errors

COMPRESSED = "jobListCompressed"


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'[{"a": 1, "a": 2}]', b"[NaN]", b"[1e400]", b"\xff", b"{", b"9" * 5000]
)
@pytest.mark.parametrize("event", [True, False], ids=["in an event", "in a table"])
def test_a_compressed_list_that_is_no_json_is_refused_by_its_key(text: bytes, event: bool) -> None:
    packed = zlib.compress(text)
    value = base64.b64encode(packed).decode() if event else packed
    row = from_item({"scheduleId": {"S": "s"}, COMPRESSED: {"B": value}})
    assert any(COMPRESSED in str(error) for error in find_errors(row))
