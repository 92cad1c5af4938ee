"""The executions of the state machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from universal_scheduler.domain.runs.model import Execution


class Workflow(Protocol):
    """Starts executions of the state machine, and wakes them."""

    def wake(self, token: str) -> None:
        """Answer an execution's task token; one that nobody waits for any more is no error."""
        ...

    def start(self, name: str, message: Mapping[str, Any]) -> tuple[Execution, bool]:
        """The execution of this name, and whether this call started it."""
        ...

    def is_running(self, execution: Execution) -> bool:
        """Whether an execution still goes on; one that nobody knows does not."""
        ...

    def stopped_at(self, execution: Execution) -> float | None:
        """When an execution stopped (epoch seconds), 0 for one that nobody knows; None while it goes on."""
        ...
