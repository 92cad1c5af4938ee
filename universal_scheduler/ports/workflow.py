"""The executions of the state machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from universal_scheduler.domain.runs.model import Execution


@dataclass(frozen=True, slots=True)
class Stopped:
    """The end of an execution."""

    at: float = 0.0
    """Epoch seconds; 0 if the execution is unknown."""
    aborted: bool = False
    """Whether somebody has stopped it."""


class Workflow(Protocol):
    """Starts executions of the state machine and wakes them."""

    def wake(self, token: str) -> None:
        """Answer the task token of an execution. It is no error if nobody waits for the token any more."""
        ...

    def start(self, name: str, message: Mapping[str, Any]) -> tuple[Execution, bool]:
        """Start an execution with this name and input, unless there is one already.

        Returns: the execution, and whether this call has started it.
        """
        ...

    def execution(self, name: str) -> Execution:
        """The execution with this name, whether there is one or not."""
        ...

    def is_running(self, execution: Execution) -> bool:
        """Whether an execution goes on. An unknown execution does not."""
        ...

    def stopped(self, execution: Execution) -> Stopped | None:
        """How an execution stopped; None while it goes on."""
        ...
