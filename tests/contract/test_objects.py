"""One suite over every object store: memory, files, and S3 on moto."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from moto import mock_aws

from universal_scheduler.adapters.memory.objects import MemoryObjects
from universal_scheduler.adapters.objects import FileObjects, S3Objects
from universal_scheduler.domain.errors import ObjectUnreadable, StoreUnavailable
from universal_scheduler.ports.objects import ObjectStore

Put = Callable[[str, bytes], None]
BUCKET = "outputs"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        made = boto3.client("s3", "us-east-1")
        made.create_bucket(Bucket=BUCKET)
        yield made


@pytest.fixture(params=["memory", "files", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ObjectStore, Put]:
    """The store, and how a job puts an object at an address that it was told, or at one of its own."""
    match request.param:
        case "memory":
            memory = MemoryObjects()
            return memory, memory.objects.__setitem__
        case "files":

            def write(address: str, content: bytes) -> None:
                path = tmp_path / address.removeprefix("s3://")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

            return FileObjects(tmp_path), write
        case _:
            client = request.getfixturevalue("client")

            def put(address: str, content: bytes) -> None:
                bucket, _, key = address.removeprefix("s3://").partition("/")
                client.put_object(Bucket=bucket, Key=key, Body=content)

            return S3Objects(client, bucket=BUCKET), put


def test_what_a_job_puts_where_it_was_told_is_read(store: tuple[ObjectStore, Put]) -> None:
    objects, put = store
    address = objects.address("outputs/nightly-2026/load/1.json")
    assert re.search(r"/outputs/nightly-2026/load[/.]1\.json$", address)
    put(address, b'{"n": 1}')
    assert objects.read(address, 8) == b'{"n": 1}'


def test_no_two_jobs_of_a_run_and_no_two_attempts_are_told_the_same_place(store: tuple[ObjectStore, Put]) -> None:
    keys = [f"outputs/nightly-2026/{job}/{attempt}.json" for job in ("a", "a-1", "a_1", "1") for attempt in (1, 2, 11)]
    assert len({store[0].address(key) for key in keys}) == len(keys)


def test_any_object_is_read_by_its_address(store: tuple[ObjectStore, Put]) -> None:
    objects, put = store
    put("s3://outputs/lists/of mine.txt", b"a\nb")
    assert objects.read("s3://outputs/lists/of mine.txt", 10) == b"a\nb"


def test_one_that_is_not_there_is_unreadable(store: tuple[ObjectStore, Put]) -> None:
    with pytest.raises(ObjectUnreadable, match=r"nothing cannot be read"):
        store[0].read("s3://outputs/nothing", 10)


def test_one_that_is_too_large_is_unreadable(store: tuple[ObjectStore, Put]) -> None:
    objects, put = store
    put(objects.address("large"), b"x" * 5000)
    with pytest.raises(ObjectUnreadable, match=r"has 5,000 bytes, and the limit is 4,096"):
        objects.read(objects.address("large"), 4096)


def test_a_bucket_that_cannot_be_is_unreadable(client: Any) -> None:
    with pytest.raises(ObjectUnreadable, match="Invalid bucket name"):
        S3Objects(client, bucket=BUCKET).read("s3://my bucket/key", 10)


@pytest.mark.parametrize("address", ["https://x/y", "s3://bucket", "s3:///key", ""])
def test_what_is_no_address_is_unreadable(client: Any, address: str) -> None:
    with pytest.raises(ObjectUnreadable, match="no address"):
        S3Objects(client, bucket=BUCKET).read(address, 10)


def test_what_may_pass_is_told_from_what_will_not() -> None:
    client = boto3.client("s3", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    objects = S3Objects(client, bucket=BUCKET)
    with Stubber(client) as stub:
        for code, status, error in (
            ("AccessDenied", 403, ObjectUnreadable),
            ("NoSuchBucket", 404, ObjectUnreadable),
            ("KMS.DisabledException", 400, ObjectUnreadable),
            ("KeyTooLongError", 400, ObjectUnreadable),
            ("RequestTimeout", 400, StoreUnavailable),
            ("ExpiredToken", 400, StoreUnavailable),
            ("SlowDown", 503, StoreUnavailable),
            ("InternalError", 500, StoreUnavailable),
        ):
            stub.add_client_error("get_object", code, http_status_code=status)
            with pytest.raises(error):
                objects.read("s3://b/k", 10)


def test_an_endpoint_that_does_not_answer_may_pass() -> None:
    class Gone:
        def get_object(self, **_: str) -> dict[str, Any]:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    with pytest.raises(StoreUnavailable):
        S3Objects(Gone(), bucket=BUCKET).read("s3://b/k", 10)
