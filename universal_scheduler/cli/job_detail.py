"""`usched show ID --job JOB`: one job of a run, or one child of an array job, with each of its attempts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console

from universal_scheduler.cli.console import View, jobs_table, make_console, put_facts, put_json, say, status_text
from universal_scheduler.cli.failures import show_failures, with_failures
from universal_scheduler.cli.logs import Place, find_place
from universal_scheduler.cli.show import find_run
from universal_scheduler.cli.tables import Table, number, prose
from universal_scheduler.cli.times import Times, seconds
from universal_scheduler.usecases.attempts import attempt_view, attempts_of
from universal_scheduler.usecases.progress import with_progress
from universal_scheduler.usecases.views import run_view

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring


def show_job_command(stage: Wiring, schedule_id: str, start: str | None, name: str, as_json: bool) -> int:
    run = find_run(stage.store, schedule_id, start)
    now = time.time()
    jobs = with_progress(stage.platform, stage.store.list_jobs(run.key.run_id), now)
    place = find_place(run.key, {job.name: job for job in jobs}, name)
    view = run_view(run, jobs, now)
    mine: list[View] = [job for job in view["jobs"] if job["jobName"] == place.job.name]
    seen = with_failures(stage, view | {"jobs": mine})
    attempts = [attempt_view(each) for each in attempts_of(stage.platform, stage.job_log, place.job, place.index)]
    if as_json:
        of_run = {"scheduleId": run.key.schedule_id, "startDateTime": run.key.start}
        child = {} if place.index is None else {"index": place.index}
        put_json(of_run | dict(seen["jobs"][0]) | child | {"attemptDetails": attempts})
        return 0
    console = make_console()
    if place.index is None:
        console.print(jobs_table(seen, now, titled=False))
    _show_attempts(console, place, attempts, now)
    if place.index is None:
        show_failures(console, seen)
    return 0


def _show_attempts(console: Console, place: Place, attempts: list[dict[str, Any]], now: float) -> None:
    if not attempts:
        console.print(f"{place.name}: no attempt is known.")
        return
    times = Times((each.get("startedAt", "") for each in attempts), now)
    columns = number("attempt"), "status", times.heading("started"), number("seconds"), number("exit")
    table = Table(*columns, prose("why"), title=f"{place.name}: attempts")
    for each in attempts:
        started, stopped = each.get("startedAt", ""), each.get("stoppedAt", "")
        table.add_row(
            str(each["attempt"]),
            status_text(each["status"]),
            times.clock(started),
            seconds(started, stopped, now),
            str(each.get("exitCode", "")),
            each.get("reason", "") if each["status"] != "SUCCEEDED" else "",
        )
    console.print(table)
    streams = (f"{each['attempt']} {each['logStreamName']}" for each in attempts if "logStreamName" in each)
    put_facts(console, {"log streams": ", ".join(streams)})
    more = ("--attempt", "N") if len(attempts) > 1 else ()
    say(console, f"Read its log with: {place.words(place.name, *more)}")
