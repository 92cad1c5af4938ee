"""Gap: the history of every execution that has ended stays in memory.

It goes to an SQLite file in the engine's state directory, an event a row.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from universal_scheduler.local.gaps import require_ministack
from universal_scheduler.local.state import State

Event = dict[str, Any]

_CACHE_KILOBYTES = 1000
_SCHEMA = """
CREATE TABLE events (
    execution INTEGER NOT NULL, number INTEGER NOT NULL, event TEXT NOT NULL, PRIMARY KEY (execution, number)
) WITHOUT ROWID;
"""


class Histories:
    """The file. Its connection is for all threads."""

    def __init__(self, state: State) -> None:
        self._lock = threading.RLock()
        self._connection = state.open("histories", [_SCHEMA], self._lock, cache_kilobytes=_CACHE_KILOBYTES)
        self._numbers = itertools.count(1)

    def keep(self, events: Sequence[Event]) -> History:
        history = History(self, next(self._numbers))
        history.extend(events)
        return history

    def insert(self, execution: int, first: int, events: Sequence[Event]) -> None:
        rows = [(execution, number, json.dumps(event)) for number, event in enumerate(events, first)]
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                self._connection.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
            finally:
                self._connection.execute("COMMIT")

    def select(self, execution: int, first: int, end: int) -> list[Event]:
        rows = self._connection.execute(
            "SELECT event FROM events WHERE execution = ? AND number >= ? AND number < ? ORDER BY number",
            (execution, first, end),
        )
        return [json.loads(text) for (text,) in rows.fetchall()]


class History(Sequence[Event]):
    """The events of one execution."""

    def __init__(self, histories: Histories, number: int) -> None:
        self._histories, self._number, self._length = histories, number, 0

    def extend(self, events: Sequence[Event]) -> None:
        self._histories.insert(self._number, self._length, events)
        self._length += len(events)

    def append(self, event: Event) -> None:
        """An execution may hear of its end when it has ended."""
        self.extend([event])

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, wanted: Any) -> Any:
        places = range(self._length)[wanted]
        if isinstance(places, int):
            return self._histories.select(self._number, places, places + 1)[0]
        return [self[place] for place in places]

    def __iter__(self) -> Iterator[Event]:
        return iter(self._histories.select(self._number, 0, self._length))


def apply(state: State) -> None:
    """Put histories away when their executions end; must run after the other changes to Step Functions."""
    require_ministack("histories stay in memory")
    from ministack.services import stepfunctions

    histories = Histories(state)
    run: Callable[[str], None] = stepfunctions._run_execution

    def run_execution(execution_arn: str) -> None:
        try:
            run(execution_arn)
        finally:
            execution = stepfunctions._executions.get(execution_arn)
            if execution and execution["status"] != "RUNNING" and type(execution["events"]) is list:
                execution["events"] = histories.keep(execution["events"])

    stepfunctions._run_execution = run_execution
