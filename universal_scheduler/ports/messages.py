"""Messages to people: the queue of messages, the services that deliver them, and the logs that they quote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from universal_scheduler.domain.runs.model import JobRun

if TYPE_CHECKING:
    from universal_scheduler.domain.messages.messages import LogTail, Message
    from universal_scheduler.domain.messages.notifications import Channel


class Outbox(Protocol):
    """The queue of messages that are still to be sent. A message is for one channel."""

    def put(self, bodies: Sequence[str]) -> None:
        """Put messages into the queue.

        Raises:
            StoreUnavailable: the queue did not take all of them. All may be put again.
        """
        ...

    def delay(self, receipt: str, seconds: int) -> None:
        """Let a received message come again after so many seconds."""
        ...

    def dead_letter(self, body: str, reason: str) -> None:
        """Move a message that cannot be delivered to the dead letters, with the reason."""
        ...


class Notifier(Protocol):
    """Hands messages to the services in which people read them."""

    def send(self, channel: Channel, message: Message, now: float) -> None:
        """Send a message to a channel. `now` is in epoch seconds.

        Raises (the text has nothing secret):
            DeliveryRefused: the service will never take this message.
            DeliveryFailed: the service may take it later.
        """
        ...


class LogTails(Protocol):
    """The last lines that jobs have printed."""

    def tail(self, job: JobRun, lines: int) -> LogTail:
        """The last lines of a job's log, oldest first; no lines if there is no log, or it cannot be read.

        Of an array, it is the log of the first child that failed.
        """
        ...
