"""Says whether an engine does its work, and if not, why."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from universal_scheduler.local.state import Safety

Check = Callable[[], str | None]
"""Answers what is wrong and what to do, or None."""

_LOOPS = (
    *("usched-scheduler", "usched-dynamodb-ttl", "usched-logs-retention", "usched-retention", "usched-sync"),
    *("eb-scheduler", "(_poll_loop)"),  # of ministack
)
"""In the names of the threads that run as long as the engine does."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at the engine has found. It is healthy if it is ready and there are no problems."""

    ready: bool
    problems: tuple[str, ...]
    facts: dict[str, Any]

    @property
    def status(self) -> int:
        return 200 if self.ready and not self.problems else 503

    def to_json(self) -> dict[str, Any]:
        word = "starting" if not self.ready else "failing" if self.problems else "ok"
        return {"status": word, **({"problems": list(self.problems)} if self.problems else {}), **self.facts}


class Health:
    """Looks at one engine. It is ready when the template is deployed."""

    def __init__(self, home: Path, safety: Safety, checks: Iterable[Check]) -> None:
        self._home, self._safety, self._checks = home, safety, tuple(checks)
        self._loops: list[threading.Thread] = []
        self.started = time.time()
        self.ready = False

    def watch_loops(self) -> None:
        """All threads that run as long as the engine does have started."""
        self._loops = [thread for thread in threading.enumerate() if any(name in thread.name for name in _LOOPS)]

    def look(self) -> Found:
        problems = [problem for check in self._checks if (problem := check())]
        if ended := [thread.name for thread in self._loops if not thread.is_alive()]:
            problems.append(f"{', '.join(ended)} has ended. The engine's log says why. Start the engine again.")
        facts = {
            "release": version("universal-scheduler"),
            "pid": os.getpid(),
            "startedAt": datetime.fromtimestamp(self.started, UTC).isoformat(timespec="microseconds"),
            "safety": str(self._safety),
            "stateDir": str(self._home),
            "diskFreeBytes": shutil.disk_usage(self._home).free,
        }
        return Found(self.ready, tuple(problems), facts)
