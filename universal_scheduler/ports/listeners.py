"""Which schedules listen to which events, and which object is the newest under its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Listeners(Protocol):
    """For each topic (`s3#BUCKET` or `event#SOURCE`), the names of the schedules whose triggers name it.

    A name only says where to look; the row decides whether the schedule starts.
    """

    def listeners(self, topic: str) -> list[Mapping[str, Any]]:
        """The rows, as they are now and without their jobs, of the schedules that listen to this topic."""
        ...

    def add_listener(self, schedule_id: str, topics: Sequence[str]) -> None:
        """Keep the schedule as a listener of each of these.

        Raises:
            StoreUnavailable: DynamoDB refused the writes for too long. Some of them may be done.
        """
        ...

    def remove_listener(self, schedule_id: str, topics: Sequence[str]) -> None:
        """Remove the schedule from the listeners of each of these."""
        ...

    def newest_object(self, schedule_id: str, trigger: int, key: str, order: str) -> bool:
        """Keep that this object is the newest under its key, by its order, for a trigger that waits until the object is
        stable. False if a newer one is kept."""
        ...

    def is_newest_object(self, schedule_id: str, trigger: int, key: str, order: str) -> bool:
        """Whether no newer object has come under the key."""
        ...
