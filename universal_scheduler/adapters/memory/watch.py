"""What the watchdogs remember, in memory beside a memory store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy

from universal_scheduler.adapters.dynamodb.items import UNWATCHED
from universal_scheduler.adapters.memory.state import Parked
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.domain.runs.model import RunKey, RunStatus


class MemoryWatch:
    """`ports.watch.Watch` beside a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.marks: dict[tuple[str, str], float] = {}
        """When telling was begun; -1 where it is done."""
        self.durations: dict[str, dict[str, list[float]]] = {}

    def due_runs(self, now: float) -> Iterator[RunKey]:
        due = {key: row["watchAt"] for key, row in self._store.history.items() if row.get("watch")}
        yield from sorted((key for key, at in due.items() if at <= now), key=lambda key: due[key])

    def schedule_check(self, key: RunKey, at: float) -> None:
        self._store.history[key]["watchAt"] = at

    def unwatch(self, key: RunKey) -> None:
        row = self._store.history[key]
        if row["scheduleStatus"] != RunStatus.RUNNING:
            row.update(UNWATCHED)

    def notified(self, run_id: str) -> set[str]:
        return {name for (owner, name), at in self.marks.items() if owner == run_id and at < 0}

    def begin_notification(self, run_id: str, name: str, now: float, stale: float) -> bool:
        begun = self.marks.get((run_id, name))
        if begun is not None and (begun < 0 or begun >= stale):
            return False
        self.marks[run_id, name] = now
        return True

    def finish_notification(self, run_id: str, name: str) -> None:
        self.marks[run_id, name] = -1.0

    def unanswered_token(self, run_id: str) -> str:
        wait = self._store.waits.get(run_id, Parked())
        return wait.token if wait.changes.ended >= wait.until or wait.changes.urgent > wait.seen else ""

    def samples(self, schedule_id: str) -> dict[str, list[float]]:
        return deepcopy(self.durations.get(schedule_id, {}))

    def keep_samples(self, schedule_id: str, samples: Mapping[str, Sequence[float]]) -> None:
        self.durations[schedule_id] = {name: list(values) for name, values in samples.items()}
