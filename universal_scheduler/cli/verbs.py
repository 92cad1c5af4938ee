"""What operators do: `usched hold`, `release`, `skip`, `force-ok`, `rerun`, `cancel`, `restart`, `pause`, `resume`.

And `usched audit`, which shows what they did.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rich.console import Console

from universal_scheduler.cli.console import audit_table, make_console, put_json, say
from universal_scheduler.cli.operator import mark_of
from universal_scheduler.cli.options import check_parameters
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.run import finished
from universal_scheduler.cli.show import RUNS_SHOWN, find_run
from universal_scheduler.domain.errors import IllegalVerb, JobNotFound, ScheduleNotFound
from universal_scheduler.domain.runs.model import Mark, Run, Verb
from universal_scheduler.domain.runs.restart import Variant
from universal_scheduler.domain.runs.verbs import ALSO_AFTER_THE_END
from universal_scheduler.usecases import verbs
from universal_scheduler.usecases.notifying_store import notifying
from universal_scheduler.usecases.resume import resume_schedule
from universal_scheduler.usecases.timetable import time_triggers
from universal_scheduler.usecases.views import audit_view, left_out_view

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring

DONE, SOME_REFUSED = 0, 1
LEFT_OUT_SHOWN = 100
"""So many of the newest starts that were left out are among the lines of an audit trail."""


def jobs_command(
    stage: Wiring, verb: Verb, schedule_id: str, names: Sequence[str], start: str | None, reason: str, as_json: bool
) -> int:
    """Do the verb to each job by itself. Exit code 1 if it was not legal for some of them. If a name is wrong, nothing
    is done."""
    run = find_run(stage.store, schedule_id, start)
    _check_names(stage, run, names)
    mark = mark_of(stage, verb, reason)
    if verb in ALSO_AFTER_THE_END and run.status.ended:
        return _taken_up(stage, run, names, mark, as_json)
    store = notifying(stage.store, stage.outbox, time.time)
    done: list[dict[str, Any]] = []
    refused: list[tuple[str, IllegalVerb]] = []
    for name in dict.fromkeys(names):
        try:
            done.append(audit_view(verbs.act_on_job(store, stage.workflow, run.key, name, mark)))
        except IllegalVerb as error:
            refused.append((name, error))
    refusals = [{"job": name, "message": str(error), "advice": error.advice} for name, error in refused]
    if not done:
        problem = Problem("\n       ".join(str(error) for _, error in refused), refused[0][1].advice)
        problem.more = {"refused": refusals} if len(refusals) > 1 else {}
        raise problem
    if as_json:
        put_json({**_named(run), "done": done, "refused": refusals})
    else:
        console = make_console()
        for entry in done:
            say(console, f"{schedule_id} {entry['job']}: {verb}, {entry['before']} → {entry['after']}")
        for entry in refusals:
            say(console, f"{entry['message']} {entry['advice']}".rstrip(), "red")
    return SOME_REFUSED if refused else DONE


def cancel_command(stage: Wiring, schedule_id: str, start: str | None, reason: str, as_json: bool) -> int:
    """Cancel the whole run. Its execution ends it; if the execution is dead, this process does."""
    run = find_run(stage.store, schedule_id, start)
    entry = verbs.cancel_run(stage.store, stage.workflow, run.key, mark_of(stage, Verb.CANCEL, reason))
    alive = stage.workflow.is_running(run.execution)
    if not alive:
        verbs.end_cancelled_run(
            stage.store, stage.workflow, stage.platform, stage.objects, run.key, time.time, time.sleep
        )
    if as_json:
        put_json({**_named(run), **audit_view(entry), "ended": not alive})
        return DONE
    console = make_console()
    if alive:
        say(console, f"{schedule_id} {run.key.start}: {_being_ended(stage, run)}")
        _follow(console, run)
    else:
        say(console, f"{schedule_id} {run.key.start}: CANCELLED. Its execution had died")
    return DONE


def _being_ended(stage: Wiring, run: Run) -> str:
    last = verbs.open_finally_jobs(stage.store, run.key)
    then = f", then its finally jobs run: {', '.join(last)}" if last else ""
    return f"its jobs are being ended{then}"


def restart_command(
    stage: Wiring,
    schedule_id: str,
    start: str | None,
    variant: Variant,
    reason: str,
    *,
    wait: bool,
    interval: float,
    as_json: bool,
) -> int:
    """Exit code 0; with `wait`, 1 if the run did not succeed."""
    run = find_run(stage.store, schedule_id, start)
    newest = stage.store.get_schedule(schedule_id) if variant.newest else None
    known = run.parameters if newest is None else newest.get("parameters", {})
    check_parameters(schedule_id, known, variant.parameters)
    return _restarted(stage, run, variant, mark_of(stage, Verb.RESTART, reason), wait, interval, as_json)


def pause_command(stage: Wiring, verb: Verb, schedule_id: str, reason: str, as_json: bool) -> int:
    """Pause the schedule, or resume it."""
    mark, began = mark_of(stage, verb, reason), 0
    if verb is Verb.PAUSE:
        entry = verbs.pause(stage.store, schedule_id, mark)
    else:
        triggers_of = partial(time_triggers, calendars=stage.calendars)
        entry, began = resume_schedule(stage.store, stage.workflow, triggers_of, schedule_id, mark)
    if as_json:
        put_json(
            {"scheduleId": schedule_id, **audit_view(entry)} | ({"caughtUp": began} if verb is Verb.RESUME else {})
        )
    elif verb is Verb.PAUSE:
        say(make_console(), f"{schedule_id}: paused, no trigger starts it")
    else:
        several = "1 run that was" if began == 1 else f"{began:,} runs that were"
        caught_up = f". It has started {several} due before" if began else ""
        say(make_console(), f"{schedule_id}: resumed, its triggers start it again{caught_up}")
    return DONE


def audit_command(stage: Wiring, schedule_id: str, start: str | None, as_json: bool) -> int:
    """Show the audit trail of one run, or of the schedule and its newest runs."""
    store = stage.store
    runs = [find_run(store, schedule_id, start)] if start else store.list_runs(schedule_id, RUNS_SHOWN)
    if not runs and store.get_schedule(schedule_id) is None:
        raise ScheduleNotFound(schedule_id)
    trail = [] if start else [audit_view(entry) for entry in store.audit(schedule_id)]
    trail += [] if start else [left_out_view(left) for left in store.left_out(schedule_id, LEFT_OUT_SHOWN)]
    for run in runs:
        trail += [{"startDateTime": run.key.start, **audit_view(entry)} for entry in store.audit(run.key.run_id)]
    trail.sort(key=lambda entry: str(entry["at"]))
    if as_json:
        put_json({"scheduleId": schedule_id, "audit": trail})
    elif trail:
        make_console().print(audit_table(trail, time.time()))
    else:
        say(make_console(), f"No operator has done anything to {schedule_id} yet.")
    return DONE


def _taken_up(stage: Wiring, run: Run, names: Sequence[str], mark: Mark, as_json: bool) -> int:
    """A verb in a run that has ended restarts it: with these jobs alone, or with those alone that wait for them."""
    jobs = tuple(dict.fromkeys(names))
    variants = {Verb.RERUN: Variant(only=jobs), Verb.SKIP: Variant(only=(), skip=jobs)}
    variant = variants.get(mark.verb) or Variant(only=(), force_ok=jobs)
    return _restarted(stage, run, variant, mark, wait=False, interval=0.0, as_json=as_json)


def _restarted(
    stage: Wiring, run: Run, variant: Variant, mark: Mark, wait: bool, interval: float, as_json: bool
) -> int:
    cause = {"kind": "cli", "requestId": uuid4().hex}
    execution = verbs.restart(stage.store, stage.workflow, run.key, variant, mark, cause)
    if wait:
        return finished(stage, execution.name, interval, as_json)
    if as_json:
        put_json({**_named(run), "name": execution.name, "executionArn": execution.arn})
        return DONE
    console = make_console()
    say(console, f"{run.key.schedule_id} {run.key.start}: restarted, execution {execution.name}")
    _follow(console, run)
    return DONE


def _follow(console: Console, run: Run) -> None:
    say(console, f"Follow it with: usched show {run.key.schedule_id} {run.key.start}", "dim")


def _named(run: Run) -> Mapping[str, str]:
    return {"scheduleId": run.key.schedule_id, "startDateTime": run.key.start}


def _check_names(stage: Wiring, run: Run, names: Sequence[str]) -> None:
    """Raises JobNotFound before anything is done."""
    found = {job.name for job in stage.store.get_jobs(run.key.run_id, names)}
    for name in names:
        if name not in found:
            raise JobNotFound(name, [job.name for job in stage.store.list_jobs(run.key.run_id)])
