"""The object store over Amazon S3, and over plain files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from universal_scheduler.domain.errors import ObjectUnreadable, StoreUnavailable

SCHEME = "s3://"
PASSING = frozenset(
    {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "ExpiredToken", "RequestTimeTooSkewed"}
)
"""Error codes 4xx of GetObject for errors that pass. All other errors from 400 to 499 come again with each try. S3
answers AccessDenied for a key that does not exist to a caller who may not list the bucket.
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""

WORDS = {"NoSuchKey": "it is not there", "AccessDenied": "it is not there, or not the scheduler's to read"}


class S3Client(Protocol):
    """The part of a boto3 client of S3 that is used here."""

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]: ...  # noqa: N803 - as AWS names them


class S3Objects:
    """`ports.objects.ObjectStore` over a boto3 client of S3. The stage's own objects are in `bucket`."""

    def __init__(self, client: S3Client, *, bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def address(self, key: str) -> str:
        return f"{SCHEME}{self._bucket}/{key}"

    def read(self, address: str, limit_bytes: int) -> bytes:
        bucket, _, key = address.removeprefix(SCHEME).partition("/")
        if not (address.startswith(SCHEME) and bucket and key):
            raise ObjectUnreadable(f"'{address}' is no address of an object, as in s3://bucket/key")
        try:
            answer = self._client.get_object(Bucket=bucket, Key=key)
            with answer["Body"] as body:
                if answer["ContentLength"] > limit_bytes:
                    raise ObjectUnreadable(_too_large(address, answer["ContentLength"], limit_bytes))
                return bytes(body.read())
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            if 400 <= status < 500 and code not in PASSING:
                raise ObjectUnreadable(f"{address} cannot be read: {WORDS.get(code, code)}") from error
            raise StoreUnavailable(f"GetObject of {address}: {code}") from error
        except ParamValidationError as error:
            raise ObjectUnreadable(f"{address} cannot be read: {error}") from error
        except BotoCoreError as error:
            raise StoreUnavailable(f"GetObject of {address}: {error}") from error


class FileObjects:
    """`ports.objects.ObjectStore` in a directory. `s3://bucket/key` is its file `bucket/key`; a path is the file with
    this path."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._made: set[str] = set()

    def address(self, key: str) -> str:
        """The file `run/job.1.json` for the key `run/job/1.json`, because to make a folder for each of 10,000 jobs
        takes time.

        The name of a job has no dot, so that no other job has this file.
        """
        parts = key.split("/")
        folder = "/".join([str(self._home), *parts[:-2]])
        if folder not in self._made:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._made.add(folder)
        return f"{folder}/{'.'.join(parts[-2:])}"

    def read(self, address: str, limit_bytes: int) -> bytes:
        path = self._home / address.removeprefix(SCHEME) if address.startswith(SCHEME) else Path(address)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ObjectUnreadable(f"{path} cannot be read: {error.strerror}") from error
        if len(content) > limit_bytes:
            raise ObjectUnreadable(_too_large(address, len(content), limit_bytes))
        return content


def _too_large(address: str, found: int, limit_bytes: int) -> str:
    return f"{address} has {found:,} bytes, and the limit is {limit_bytes:,}"
