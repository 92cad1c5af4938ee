"""Lets a run that no time trigger has started take one of the places of its schedule."""

from __future__ import annotations

from universal_scheduler.domain.records import replace
from universal_scheduler.domain.runs.model import Run
from universal_scheduler.domain.time.policies import Holder, read_policies
from universal_scheduler.ports.activities import Activities


def take_place(store: Activities, run: Run, now: float) -> None:
    """The run begins, or is restarted: starts of its schedule's time triggers take it into account from now on.

    It begins however many others go on. If the runs of its schedule are not limited, nothing happens.
    """
    limit = read_policies(run.document).limit
    if limit is None or run.cause.get("kind") == "time":
        return
    holder = Holder(run.execution.name, now, begun=True)
    while True:
        before = store.activity(run.key.schedule_id)
        if before.has(holder.execution):
            return
        after = replace(before, limit=limit, holders=(*before.holders, holder))
        if store.write_activity(run.key.schedule_id, before, after):
            return
