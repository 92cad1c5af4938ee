"""The object store in a dictionary."""

from __future__ import annotations

from dataclasses import dataclass, field

from universal_scheduler.domain.errors import ObjectUnreadable


@dataclass(slots=True)
class MemoryObjects:
    """`ports.ObjectStore` in a dictionary, by address."""

    objects: dict[str, bytes] = field(default_factory=dict)

    def address(self, key: str) -> str:
        return f"s3://memory/{key}"

    def read(self, address: str, limit_bytes: int) -> bytes:
        content = self.objects.get(address)
        if content is None:
            raise ObjectUnreadable(f"{address} cannot be read: it is not there")
        if len(content) > limit_bytes:
            raise ObjectUnreadable(f"{address} has {len(content):,} bytes, and the limit is {limit_bytes:,}")
        return content
