"""Where runs are kept: how each begins, is taken up again and ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from universal_scheduler.domain.runs.model import AuditEntry, Run, RunKey, RunStatus


class Runs(Protocol):
    """Runs. Every write that changes a state is conditional and answers whether it took."""

    def create_run(self, run: Run) -> bool:
        """False where the key is another execution's run already; True also where this execution made it before."""
        ...

    def restart_run(self, run: Run, of: Run, entry: AuditEntry | None = None) -> bool:
        """Make the run `of` what `run` says, which another execution drives, and write the audit entry with it.

        False where its generation is another one by now, or an operator has acted on it.
        """
        ...

    def finish_preparing(self, run: Run) -> None:
        """The jobs of a start or a restart are written: operators may act on the run from now on."""
        ...

    def finish_run(
        self, run: Run, status: RunStatus, reason: str, ended_at: str, job_list: Sequence[Mapping[str, Any]]
    ) -> bool:
        """Record how a RUNNING run of this generation ended.

        False where it was not RUNNING any more, or an operator has acted on it since it was read.
        """
        ...

    def get_run(self, key: RunKey) -> Run | None: ...

    def find_run(self, execution_name: str) -> Run | None:
        """The run that the execution of this name drives; eventually consistent."""
        ...

    def list_runs(self, schedule_id: str | None, limit: int, since: str = "") -> list[Run]:
        """The newest runs first, of one schedule or of all, that started since then (as `startDateTime` has it).

        Of all schedules it is eventually consistent.
        """
        ...

    def index_runs(self, rows: int) -> bool:
        """Put the next so many runs into the index by day, where an earlier version has left them out.

        Returns: whether all runs are in it. Until then `list_runs` of all schedules reads all rows.
        """
        ...

    def recorded_jobs(self, key: RunKey) -> list[dict[str, Any]]:
        """`jobList` as the history row has it (where operators write PASS); empty where it has none."""
        ...
