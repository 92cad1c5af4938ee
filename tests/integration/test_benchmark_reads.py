"""What the end of a run and a list of runs read does not follow the size of the tables."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from benchmarks.reads import DAYS, ENDED, FOLLOWERS, INDEXED, LIST, LISTED, WHOLE, measure
from tests.tables import create_tables

FEW, MANY = 2 * DAYS, 5 * DAYS


def test_reads_by_indexes_are_as_many_in_large_tables_as_in_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("dynamodb", "us-east-1")
        create_tables(client)
        reads = measure(client, sizes=(FEW, MANY)).reads
        assert [name for name in client.list_tables()["TableNames"] if name.startswith("reads")] == []
    assert {reads[ENDED, WHOLE, size].rows for size in (FEW, MANY)} == {FEW, MANY}
    assert {reads[LIST, WHOLE, size].rows for size in (FEW, MANY)} == {FEW, MANY}
    few, many = (reads[ENDED, INDEXED, size] for size in (FEW, MANY))
    assert (few.requests, few.rows) == (many.requests, many.rows) == (2 + FOLLOWERS, 2 * FOLLOWERS)
    few, many = (reads[LIST, INDEXED, size] for size in (FEW, MANY))
    assert many.requests <= few.requests <= 2 + LISTED
    assert many.rows <= few.rows <= 3 * LISTED + DAYS
