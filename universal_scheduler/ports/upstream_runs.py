"""Keeps which upstream runs a schedule has seen that waits for several of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from universal_scheduler.domain.runs.upstream_runs import UpstreamRuns


class SeenRuns(Protocol):
    """The upstream runs that triggers with `when: all` have seen. `domain.runs.upstream_runs.collection` names them."""

    def upstream_runs(self, schedule_id: str, collection: str) -> UpstreamRuns:
        """What a trigger of the schedule has seen; nothing with version 0 if it has seen none."""
        ...

    def put_upstream_runs(self, schedule_id: str, collection: str, runs: UpstreamRuns) -> bool:
        """Write what a trigger has seen, with the next version. False if somebody else has written it since it was
        read; nothing was written then."""
        ...

    def forget_upstream_runs(self, schedule_id: str, collections: Sequence[str]) -> None:
        """Remove what these triggers have seen, of every business date: the schedule has them no more."""
        ...
