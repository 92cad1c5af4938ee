"""Where jobs leave data for others."""

from __future__ import annotations

from typing import Protocol


class ObjectStore(Protocol):
    """The objects that jobs leave for others: outputs, and lists of values."""

    def address(self, key: str) -> str:
        """The address of the stage's own object with this key, in the form that jobs get: `s3://bucket/key`, or a
        path."""
        ...

    def read(self, address: str, limit_bytes: int) -> bytes:
        """The bytes of the object at an address.

        Raises:
            ObjectUnreadable: the object does not exist, may not be read, or is larger than `limit_bytes`.
            StoreUnavailable: the service did not answer. Try again later.
        """
        ...
