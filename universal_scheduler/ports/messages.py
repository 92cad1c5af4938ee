"""Messages to people: their queue, the services that take them, and the logs that they quote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from universal_scheduler.domain.runs.model import JobRun

if TYPE_CHECKING:
    from universal_scheduler.domain.messages.messages import LogTail, Message
    from universal_scheduler.domain.messages.notifications import Channel


class Outbox(Protocol):
    """The queue of messages that are still to be sent, one for each channel."""

    def put(self, bodies: Sequence[str]) -> None:
        """Raises:
        StoreUnavailable: not all were taken; all may be put again.
        """
        ...

    def delay(self, receipt: str, seconds: int) -> None:
        """Let a message that was received come again after so long."""
        ...

    def dead_letter(self, body: str, reason: str) -> None:
        """Put a message that cannot be delivered to the dead letters, with the reason."""
        ...


class Notifier(Protocol):
    """Hands messages to the services that people read them in."""

    def send(self, channel: Channel, message: Message, now: float) -> None:
        """Raises, without anything secret in the text:
        DeliveryRefused: it will never be taken like this.
        DeliveryFailed: it may be taken later.
        """
        ...


class LogTails(Protocol):
    """What jobs printed."""

    def tail(self, job: JobRun, lines: int) -> LogTail:
        """The last lines of a job's log, oldest first; none where there is no log, or none can be read.

        Of an array those of the first child that failed.
        """
        ...
