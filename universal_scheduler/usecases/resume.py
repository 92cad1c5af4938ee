"""Resumes a paused schedule: what was due in the pause is made up for as its `catchUp` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from universal_scheduler.domain.runs.model import AuditEntry, Mark
from universal_scheduler.domain.time.triggers import TimeTrigger
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.workflow import Workflow
from universal_scheduler.usecases.admission import catch_up, tend
from universal_scheduler.usecases.verbs import resume

TriggersOf = Callable[[Mapping[str, Any]], Sequence[TimeTrigger]]
"""Answers the time triggers of a row; none if the row has errors."""


def resume_schedule(
    store: Store, workflow: Workflow, triggers_of: TriggersOf, schedule_id: str, mark: Mark
) -> tuple[AuditEntry, int]:
    """Let the triggers start the schedule again. Answers the line of the audit trail, and how many runs have begun that
    were due in the pause.

    Raises:
        ScheduleNotFound: there is no such schedule.
        IllegalVerb: it is not paused.
    """
    row, paused = store.get_schedule(schedule_id), store.paused(schedule_id)
    triggers = triggers_of(row) if row is not None else ()
    if row is None or paused is None or not triggers:
        return resume(store, schedule_id, mark), 0
    began = catch_up(store, workflow, row, triggers, paused, mark.at).started
    entry = resume(store, schedule_id, mark)
    return entry, len(began + tend(store, workflow, row, triggers, mark.at))
