"""What the triggers of schedules do: start runs when a row is inserted and when another run ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.parse import as_row, parse
from universal_scheduler.domain.documents.upstreams import After, afters_of, cycle_errors, upstreams_of
from universal_scheduler.domain.errors import DocumentError, InvalidSchedule
from universal_scheduler.domain.names import execution_name
from universal_scheduler.domain.runs.model import Execution, Run, RunKey
from universal_scheduler.domain.runs.run_dates import business_date
from universal_scheduler.domain.runs.upstream_runs import arrived, collection
from universal_scheduler.ports.followers import Followers
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.upstream_runs import SeenRuns
from universal_scheduler.ports.workflow import Workflow
from universal_scheduler.usecases.calendars import calendar_name_errors

NOTHING: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
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
    _change_followers(store, schedule_id, old, new)
    if new is None:
        return None
    try:
        schedule = parse(new)
        _refuse(find_cycle(store, new) + calendar_name_errors(store, new))
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


def _change_followers(
    store: Store, schedule_id: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> None:
    """Also of a row that has errors or is late: `followers` asks the row itself, as it is then."""
    before, after = upstreams_of(old), upstreams_of(new)
    store.add_follower(schedule_id, after)
    store.remove_follower(schedule_id, [upstream for upstream in before if upstream not in after])
    waited, waits = ({collection(each) for each in afters_of(row) if each.all} for row in (old, new))
    store.forget_upstream_runs(schedule_id, sorted(waited - waits))


def run_ended(store: Store, workflow: Workflow, run: Run) -> list[str]:
    """Handle the end of a run: start every schedule whose trigger waits for it, once for each run.

    A schedule that waits for several runs starts when the last of them has ended; until then the store keeps those that
    have. A paused schedule does not start. A schedule in the chain that led to the run does not start either, because A
    after B after A would never end.

    Returns: the scheduleIds that this call has started.
    """
    chain = [*run.cause.get("chain", ()), run.key.schedule_id]
    started = []
    for row in store.followers(run.key.schedule_id):
        schedule_id = row["scheduleId"]
        if schedule_id in chain:
            continue
        for after in afters_of(row):
            runs = _runs_to_start_after(store, schedule_id, after, run)
            if not runs:
                continue
            led = dict.fromkeys([*chain[:-1], *(key.schedule_id for key in runs)])
            cause = _cause(run, list(led), runs)
            event_id = "\x00".join(key.run_id for key in runs)
            found = start_by_trigger(store.paused, workflow, "after", schedule_id, event_id, cause)
            if found and found[1]:
                started.append(schedule_id)
    return started


def _runs_to_start_after(store: SeenRuns, schedule_id: str, after: After, run: Run) -> list[RunKey]:
    """The runs after which this trigger starts a run now that this run has ended; empty if it does not."""
    if run.key.schedule_id not in after.upstreams or not after.outcome.is_met_by(run.status):
        return []
    if not after.all:
        return [run.key]
    name = collection(after, business_date(run).isoformat())
    while True:
        seen = store.upstream_runs(schedule_id, name)
        now, starting = arrived(seen, after, run.key, run.ended_at)
        if now is seen or store.put_upstream_runs(schedule_id, name, now):
            return [RunKey(upstream, start) for upstream, start in sorted(starting.items())]


def _cause(run: Run, chain: Sequence[str], runs: Sequence[RunKey]) -> dict[str, Any]:
    """Of a run that starts because this run has ended, the last of those that it waited for. It is for the same time as
    that run."""
    cause: dict[str, Any] = {
        "kind": "upstream",
        "scheduleId": run.key.schedule_id,
        "startDateTime": run.key.start,
        "chain": chain[-CHAIN_LIMIT:],
    }
    if len(runs) > 1:
        cause["runs"] = [key.run_id for key in runs]
    return cause | {key: run.cause[key] for key in ("scheduledTime", "businessDate") if key in run.cause}


def store_schedule(
    store: Store, document: Mapping[str, Any], beside: Mapping[str, Mapping[str, Any]] = NOTHING
) -> tuple[str, bool]:
    """Check a schedule and store its row. Answers its scheduleId, and whether it is new.

    `beside` has the rows, by scheduleId, that are stored together with this one.

    Raises:
        InvalidSchedule: the document is wrong. Nothing was stored.
        ItemTooLarge: the row is too large. Nothing was stored.
    """
    row = as_row(document)
    errors = find_errors(row) or find_cycle(store, row, beside) + calendar_name_errors(store, row)
    _refuse(errors)
    return row["scheduleId"], store.put_schedule(row)


def _refuse(errors: Sequence[DocumentError]) -> None:
    if errors:
        raise InvalidSchedule(errors)


def find_cycle(
    store: Followers, row: Mapping[str, Any], beside: Mapping[str, Mapping[str, Any]] = NOTHING
) -> list[DocumentError]:
    """An error for each trigger of a valid row by which schedules would start each other for ever, as the rows in the
    store and those in `beside` have it."""

    def upstreams(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        new = {name: upstreams_of(beside[name]) for name in names if name in beside}
        return new | store.upstreams([name for name in names if name not in new])

    return list(cycle_errors(row, upstreams))
