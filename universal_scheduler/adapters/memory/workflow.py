"""The executions of the state machine in a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from universal_scheduler.domain.runs.model import Execution
from universal_scheduler.ports.workflow import Stopped


@dataclass(slots=True)
class MemoryWorkflow:
    """`ports.workflow.Workflow` that remembers what was started and woken."""

    started: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    woken: list[str] = field(default_factory=list)
    """The tokens that were answered."""

    ends: dict[str, Stopped] = field(default_factory=dict)
    """By the ARN of an execution: how it stopped."""

    def wake(self, token: str) -> None:
        self.woken.append(token)

    ended: set[str] = field(default_factory=set)
    """The names of executions that do not go on any more."""

    def execution(self, name: str) -> Execution:
        return Execution(f"arn:aws:states:us-east-1:123456789012:execution:schedule_runner:{name}", name)

    def is_running(self, execution: Execution) -> bool:
        name = execution.arn.rpartition(":")[2]
        return name in self.started and name not in self.ended

    def stopped(self, execution: Execution) -> Stopped | None:
        return self.ends.get(execution.arn)

    def start(self, name: str, message: Mapping[str, Any]) -> tuple[Execution, bool]:
        new = name not in self.started
        self.started.setdefault(name, message)
        return self.execution(name), new
