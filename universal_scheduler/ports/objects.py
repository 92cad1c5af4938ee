"""Where jobs leave what others need."""

from __future__ import annotations

from typing import Protocol


class ObjectStore(Protocol):
    """Where jobs leave what others need: their outputs, lists of values."""

    def address(self, key: str) -> str:
        """The address of the stage's own object of this key, as jobs are told it: `s3://bucket/key`, or a path."""
        ...

    def read(self, address: str, limit_bytes: int) -> bytes:
        """The object at an address.

        Raises:
            ObjectUnreadable: it is not there, not ours to read, or larger than that.
            StoreUnavailable: the service did not answer; try again later.
        """
        ...
