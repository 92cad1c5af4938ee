"""What the triggers of schedules do: start runs when a row is inserted and when another run ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.parse import as_row, parse
from universal_scheduler.domain.documents.upstreams import upstreams_of
from universal_scheduler.domain.errors import InvalidSchedule
from universal_scheduler.domain.names import execution_name
from universal_scheduler.domain.runs.model import Execution, Run, RunStatus
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.workflow import Workflow

CHAIN_LIMIT = 100
"""How many schedules a run remembers of the chain that led to it."""


def schedule_written(
    store: Store, workflow: Workflow, event_id: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> Execution | None:
    """Handle a change of a schedule's row: it was inserted (`old` is None), changed, or removed (`new` is None).

    The followers of the schedules in its trigger are updated. The row is checked: its errors are written into it, and
    old errors are removed from a row that is right again. An inserted row without a trigger starts a run, unless the
    schedule is paused. A changed row starts nothing, so that what the scheduler itself writes into a row never starts a
    run.

    Returns: the execution of the run, if one was started.
    """
    schedule_id = str((new or old or {})["scheduleId"])
    _change_followers(store, schedule_id, upstreams_of(old), upstreams_of(new))
    if new is None:
        return None
    try:
        schedule = parse(new)
    except InvalidSchedule as invalid:
        errors = [error.as_dict() for error in invalid.errors]
        if errors != new.get("scheduleErrors"):
            store.record_schedule_errors(schedule_id, errors)
        return None
    if "scheduleErrors" in new:
        store.record_schedule_errors(schedule_id, [])
    if old is not None or not schedule.starts_when_inserted:
        return None
    cause = {"kind": "row", "eventId": event_id}
    started = start_by_trigger(store.paused, workflow, "row", schedule_id, event_id, cause)
    return started[0] if started else None


def start_by_trigger(
    paused: Callable[[str], object],
    workflow: Workflow,
    trigger: str,
    schedule_id: str,
    event_id: str,
    cause: Mapping[str, Any],
) -> tuple[Execution, bool] | None:
    """Start a run of a schedule because of an event; the same event starts only one run, however often it comes.

    `paused` is the store's. `trigger` and `event_id` name the event: together they are unique for the schedule. `cause`
    is what the run keeps of the event: its `kind`, and what else people want to know of it.

    Returns: the execution, and whether this call has started it; None if the schedule is paused.
    """
    if paused(schedule_id):
        return None
    name = execution_name(trigger, schedule_id, event_id)
    return workflow.start(name, {"scheduleId": schedule_id, "cause": dict(cause)})


def _change_followers(store: Store, schedule_id: str, before: Sequence[str], after: Sequence[str]) -> None:
    """Also of a row that has errors or is late: `followers` asks the row itself, as it is then."""
    store.add_follower(schedule_id, after)
    store.remove_follower(schedule_id, [upstream for upstream in before if upstream not in after])


def run_ended(
    followers: Callable[[str], Sequence[str]],
    paused: Callable[[str], object],
    workflow: Workflow,
    run: Run,
) -> list[str]:
    """Handle the end of a run: if it SUCCEEDED, start every schedule after it, once for each run.

    `followers` and `paused` are the store's. A paused schedule does not start. A schedule in the chain that led to the
    run does not start either, because A after B after A would never end.

    Returns: the scheduleIds that this call has started.
    """
    if run.status is not RunStatus.SUCCEEDED:
        return []
    chain = [*run.cause.get("chain", ()), run.key.schedule_id]
    cause = {
        "kind": "upstream",
        "scheduleId": run.key.schedule_id,
        "startDateTime": run.key.start,
        "chain": chain[-CHAIN_LIMIT:],
    }
    started = []
    for schedule_id in followers(run.key.schedule_id):
        if schedule_id in chain:
            continue
        found = start_by_trigger(paused, workflow, "after", schedule_id, run.key.run_id, cause)
        if found and found[1]:
            started.append(schedule_id)
    return started


def store_schedule(store: Store, document: Mapping[str, Any]) -> tuple[str, bool]:
    """Check a schedule and store its row. Answers its scheduleId, and whether it is new.

    Raises:
        InvalidSchedule: the document is wrong. Nothing was stored.
        ItemTooLarge: the row is too large. Nothing was stored.
    """
    row = as_row(document)
    errors = find_errors(row)
    if errors:
        raise InvalidSchedule(errors)
    return row["scheduleId"], store.put_schedule(row)
