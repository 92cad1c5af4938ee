"""How a run waits, in a dictionary."""

from __future__ import annotations

from collections.abc import Sequence

from universal_scheduler.adapters.memory.state import Memory, Parked
from universal_scheduler.domain.runs.model import ChangeLog, Changes
from universal_scheduler.ports.waits import CHANGE_LOG_LIMIT


class MemoryWaits(Memory):
    """`ports.waits` in dictionaries."""

    def changes(self, run_id: str) -> Changes:
        return self.waits[run_id].changes if run_id in self.waits else Changes()

    def change_log(self, run_id: str) -> ChangeLog:
        return self.waits[run_id].log if run_id in self.waits else ChangeLog()

    def count_change(self, run_id: str, ended: int, urgent: bool, names: Sequence[str] = ()) -> str:
        wait = self.waits.setdefault(run_id, Parked())
        if names and len(wait.names) >= CHANGE_LOG_LIMIT:
            wait.names, wait.epoch = (), wait.epoch + 1
        wait.names += tuple(names)
        wait.changes = Changes(wait.changes.urgent + urgent, wait.changes.ended + ended)
        return wait.token if urgent or wait.changes.ended >= wait.until else ""

    def park(self, run_id: str, generation: int, token: str, seen: Changes, ends_needed: int, turn: int = 0) -> bool:
        wait = self.waits.setdefault(run_id, Parked())
        until = seen.ended + ends_needed
        if (wait.generation, wait.turn) > (generation, turn):
            return False
        if wait.changes.urgent != seen.urgent or wait.changes.ended >= until:
            return False
        wait.generation, wait.turn = generation, turn
        wait.token, wait.until, wait.seen = token, until, seen.urgent
        return True

    def clear_token(self, run_id: str, token: str = "") -> None:
        wait = self.waits.get(run_id)
        if wait is not None and token in ("", wait.token):
            wait.token = ""
