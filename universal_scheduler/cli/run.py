"""`usched run`: starts a run of a schedule, or restarts a run, and waits for its end if it is asked to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from universal_scheduler.cli.console import View, jobs_table, make_console, put_json, say
from universal_scheduler.cli.failures import show_failures, show_restart, with_failures
from universal_scheduler.cli.operator import mark_of
from universal_scheduler.cli.options import check_parameters, pairs
from universal_scheduler.cli.problems import Failure, Problem
from universal_scheduler.cli.progress import follow, quietly
from universal_scheduler.cli.show import find_run
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.errors import ScheduleNotFound
from universal_scheduler.domain.names import check_execution_name, execution_name
from universal_scheduler.domain.runs.model import Execution, JobRun, RunKey, RunStatus, Verb
from universal_scheduler.domain.runs.restart import Variant
from universal_scheduler.usecases import verbs
from universal_scheduler.usecases.progress import with_progress
from universal_scheduler.usecases.views import find_execution, mark_view

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring

FAILED = 1
NO_PARAMETERS: Mapping[str, str] = {}
ENDED = frozenset(str(status) for status in RunStatus if status.ended)
EXECUTION_ENDED = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"})
AGAIN_SECONDS = 2.0
LOOKS_BETWEEN_DOUBTS = 5
"""After so many looks at the store, Step Functions is asked whether the execution goes on."""


def run_command(
    stage: Wiring,
    schedule_id: str,
    *,
    name: str | None,
    restart: str | None,
    params: Sequence[str],
    wait: bool,
    interval: float,
    as_json: bool,
) -> int:
    """Exit code 0; with `wait`, 1 if the run did not succeed."""
    execution = start(stage, schedule_id, name, restart, pairs(params, "--param", "NAME=VALUE"))
    paused = stage.store.paused(schedule_id)
    if paused is not None and not as_json:
        warning = f"The schedule '{schedule_id}' is paused {paused}. Triggers do not start it; this command does."
        say(make_console(), warning, "yellow")
    if wait:
        return finished(stage, execution.name, interval, as_json)
    started = {"scheduleId": schedule_id, "name": execution.name, "executionArn": execution.arn}
    if as_json:
        put_json(started | ({"paused": mark_view(paused)} if paused else {}))
    else:
        made = f"restarted the run {restart}" if restart else "started a run"
        console = make_console()
        say(console, f"{schedule_id}: {made}, execution {execution.name}")
        say(console, f"Follow it with: usched show {schedule_id}", "dim")
    return 0


def finished(stage: Wiring, name: str, interval: float, as_json: bool) -> int:
    """Follow the run of an execution to its end. Exit code 1 if it did not succeed."""
    run = with_failures(stage, wait_for_end(stage, name, interval, quiet=as_json))
    succeeded = run["status"] == "SUCCEEDED"
    if as_json:
        put_json(run)
    elif not succeeded:
        console = make_console()
        show_failures(console, run)
        show_restart(console, run)
    return 0 if succeeded else FAILED


def start(
    stage: Wiring,
    schedule_id: str,
    name: str | None = None,
    restart: str | None = None,
    parameters: Mapping[str, str] = NO_PARAMETERS,
) -> Execution:
    """Start an execution, after a check of everything that would make it fail at once.

    Raises:
        ScheduleNotFound, InvalidSchedule, InvalidName, RunNotFound, RunStillActive, IllegalVerb, Problem: nothing was
            started.
    """
    if name is not None:
        check_execution_name(name)
    # The request's id is in the input too: the same name with the same input would be answered as if it were new.
    request = uuid4().hex
    cause = {"kind": "cli", "requestId": request}
    if restart is not None:
        check_parameters(schedule_id, find_run(stage.store, schedule_id, restart).parameters, parameters)
        mark = mark_of(stage, Verb.RESTART)
        key = RunKey(schedule_id, restart)
        return verbs.restart(stage.store, stage.workflow, key, Variant(parameters=parameters), mark, cause, name or "")
    row = stage.store.get_schedule(schedule_id)
    if row is None:
        raise ScheduleNotFound(schedule_id)
    check_parameters(schedule_id, parse(row).parameters, parameters)
    message: dict[str, Any] = {"scheduleId": schedule_id, "cause": cause}
    if parameters:
        message["parameters"] = dict(parameters)
    execution, new = stage.workflow.start(name or execution_name("cli", schedule_id, request), message)
    if not new:
        raise Problem(f"The name '{name}' has been used for another run.", "Choose another --name, or leave it out.")
    return execution


def wait_for_end(stage: Wiring, name: str, interval: float, *, quiet: bool) -> dict[str, Any]:
    """Wait for the end of an execution's run and answer the run (`views.run_view`). It is shown meanwhile unless
    `quiet`.

    Raises:
        Failure: the execution has ended, but its run has not, or there is no run.
    """
    console = make_console()
    looks = 0

    def arrays(jobs: Sequence[JobRun]) -> Sequence[JobRun]:
        return jobs if quiet else with_progress(stage.platform, jobs, time.time())

    def look() -> Sequence[View]:
        nonlocal looks
        looks += 1
        found: View | None = find_execution(stage.store, name, time.time(), arrays)
        if (found is None or found["status"] not in ENDED) and looks % LOOKS_BETWEEN_DOUBTS == 0:
            found = _doubt(stage, name) or found
        return [found] if found else []

    runs = quietly(look, _ended, interval) if quiet else follow(console, look, _ended, interval)
    if not quiet and not console.is_terminal:
        console.print(jobs_table(runs[0], time.time()))
    return dict(runs[0])


def _ended(runs: Sequence[View]) -> bool:
    return bool(runs) and all(run["status"] in ENDED for run in runs)


def _doubt(stage: Wiring, name: str) -> View | None:
    """Step Functions' own word for an execution that shows no ended run: it may have failed without one."""
    execution = stage.workflow.describe(name)
    if execution is None or execution["status"] not in EXECUTION_ENDED:
        return None
    found = _again(lambda: find_execution(stage.store, name, time.time()))
    if found is not None and found["status"] in ENDED:
        return found
    reason = execution.get("reason", "Step Functions gives no reason")
    left = "" if found is None else f" and left the run {found['startDateTime']} {found['status']}"
    raise Failure(
        f"The execution {name} ended {execution['status']}{left}: {reason}",
        "Its history in Step Functions shows the step that failed.",
        name=name,
        status=execution["status"],
    )


def _again(look: Callable[[], View | None]) -> View | None:
    """The index by which a run is found lags behind: look for a while before it counts as absent or unended."""
    deadline = time.monotonic() + AGAIN_SECONDS
    while True:
        found = look()
        if (found is not None and found["status"] in ENDED) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)
