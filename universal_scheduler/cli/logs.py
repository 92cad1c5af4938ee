"""`usched logs`: prints the log of each attempt of a job, or of a child of an array, from CloudWatch Logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from universal_scheduler.adapters.log_tails import DEFAULT_GROUP, LogStream
from universal_scheduler.cli.console import make_console, put_json, say, status_text
from universal_scheduler.cli.printable import printable
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.show import find_run
from universal_scheduler.cli.tables import Table, number, prose
from universal_scheduler.cli.target import command
from universal_scheduler.domain.runs.arrays import progress_text
from universal_scheduler.domain.runs.attempts import Numbered, has_child, submissions
from universal_scheduler.domain.runs.model import JobRun, RunKey, Submission
from universal_scheduler.usecases.attempts import SeenChild, attempts_of, children_of
from universal_scheduler.usecases.progress import with_progress
from universal_scheduler.usecases.views import present

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring

CHILDREN_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Place:
    """A job of a run, or one child of an array."""

    key: RunKey
    job: JobRun
    index: int | None = None

    @property
    def name(self) -> str:
        return self.job.name if self.index is None else f"{self.job.name}:{self.index}"

    def words(self, name: str, *more: str) -> str:
        """The command that prints the log of another job or child of this run."""
        return command("logs", self.key.schedule_id, name, "--start", self.key.start, *more)


def logs_command(
    stage: Wiring,
    schedule_id: str,
    name: str,
    start: str | None,
    *,
    attempt: int | None,
    follow: bool,
    interval: float,
    as_json: bool,
) -> int:
    key = find_run(stage.store, schedule_id, start).key
    place = find_place(key, {job.name: job for job in stage.store.list_jobs(key.run_id)}, name)
    if place.job.job.is_array and place.index is None:
        if follow:
            advice = f"Follow one child: {place.words(f'{place.name}:0', '-f')}"
            raise Problem(f"'{place.name}' is an array job: each of its children has a log of its own.", advice)
        return _show_children(stage, place, attempt, as_json)
    events: list[dict[str, Any]] = []
    put = events.append if as_json else _print
    read = _follow(stage, place, attempt, interval, put) if follow else _read(stage, place, attempt, put)
    if as_json:
        put_json(_document(place, read) | {"events": events})
    return 0


def find_place(key: RunKey, jobs: Mapping[str, JobRun], text: str) -> Place:
    """The job or the child that `JOB` or `JOB:INDEX` names.

    Raises:
        Problem: there is none.
    """
    name, colon, child = text.partition(":")
    if name not in jobs:
        raise Problem(f"The run has no job '{name}'.", f"Its jobs are {', '.join(jobs) or 'none'}.")
    job = jobs[name]
    if not colon:
        return Place(key, job)
    if not job.job.is_array:
        raise Problem(f"The job '{name}' is no array job: it has no child '{child}'.", f"Name it without '{colon}'.")
    if not child.isdecimal() or not has_child(job, int(child)):
        advice = f"List its children with: {Place(key, job).words(name)}"
        raise Problem(f"The array job '{name}' has no child '{child}'.", advice)
    return Place(key, job, int(child))


def _document(place: Place, read: Numbered) -> dict[str, Any]:
    return {
        "scheduleId": place.key.schedule_id,
        "startDateTime": place.key.start,
        "jobName": place.job.name,
        **({} if place.index is None else {"index": place.index}),
        "attempt": read.number,
        "logGroupName": read.attempt.log_group or DEFAULT_GROUP,
        "logStreamName": read.attempt.log_stream,
    }


def _print(event: Mapping[str, Any]) -> None:
    click.echo(event["message"])


def _note(text: str) -> None:
    """Beside the log, not in it."""
    click.echo(text, err=True)


def _read(stage: Wiring, place: Place, wanted: int | None, put: Callable[[dict[str, Any]], None]) -> Numbered:
    known = attempts_of(stage.platform, stage.job_log, place.job, place.index)
    if not known:
        raise Problem(f"{_state(place)}: it has printed nothing yet.", _advice(place))
    chosen = _chosen(place, known, wanted)
    events = _stream(stage, chosen).news() if chosen.attempt.log_stream else []
    for event in events:
        put(event)
    if not events:
        why = f": {chosen.attempt.reason}" if chosen.attempt.reason else ""
        _note(f"Attempt {chosen.number} of {place.name} has printed nothing ({chosen.attempt.status}{why}).")
    if wanted is None and chosen.number > 1:
        others = ", ".join(str(each.number) for each in known[:-1])
        _note(f"This was attempt {chosen.number}. Read {others} with: {place.words(place.name, '--attempt', 'N')}")
    return chosen


def _chosen(place: Place, known: list[Numbered], wanted: int | None) -> Numbered:
    if wanted is None:
        return known[-1]
    for each in known:
        if each.number == wanted:
            return each
    numbers = ", ".join(str(each.number) for each in known)
    raise Problem(f"Nothing is known of attempt {wanted} of '{place.name}'.", f"Attempts that are known: {numbers}.")


def _stream(stage: Wiring, each: Numbered) -> LogStream:
    return LogStream(stage.logs, each.attempt.log_group, each.attempt.log_stream)


def _follow(
    stage: Wiring, place: Place, wanted: int | None, interval: float, put: Callable[[dict[str, Any]], None]
) -> Numbered:
    """Print what is printed from now on too, attempt after attempt, until the job (or the one attempt) has ended."""
    stream: LogStream | None = None
    shown: Numbered | None = None
    note = ""
    while True:
        place, over = _look(stage, place)  # first: what was printed before the end is read after it
        known = attempts_of(stage.platform, stage.job_log, place.job, place.index)
        for each in known if shown is None else [each for each in known if each.number >= shown.number]:
            if wanted not in (None, each.number) or (shown is None and wanted is None and each is not known[-1]):
                continue
            if shown is None or each.number != shown.number:
                if stream is not None:
                    _put_news(stream, put)
                    _note(f"Attempt {each.number} of {place.name}:")
                stream = None
            stream = stream or (_stream(stage, each) if each.attempt.log_stream else None)
            shown = each
        if stream is not None:
            _put_news(stream, put)
        if shown is not None and (over or (wanted is not None and shown.attempt.status.ended)):
            time.sleep(interval)  # the last lines may come after the end: the log agent sends them by itself
            if stream is not None:
                _put_news(stream, put)
            return shown
        if over:
            raise Problem(f"{_state(place)}: it has printed nothing.", _advice(place))
        if shown is None and note != (note := f"{_state(place)}: it has not started yet."):
            _note(note)
        time.sleep(interval)


def _put_news(stream: LogStream, put: Callable[[dict[str, Any]], None]) -> None:
    for event in stream.news():
        put(event)


def _look(stage: Wiring, place: Place) -> tuple[Place, bool]:
    """The place as it is now, and whether it has ended."""
    jobs = stage.store.get_jobs(place.key.run_id, [place.job.name])
    place = Place(place.key, jobs[0] if jobs else place.job, place.index)
    if place.job.status.ended or place.index is None:
        return place, place.job.status.ended
    known = attempts_of(stage.platform, stage.job_log, place.job, place.index)
    seen = stage.platform.describe([known[-1].job_id]) if known else []
    return place, any(each.status.ended for each in seen)


def _state(place: Place) -> str:
    if place.index is not None:
        return f"The child {place.name}, of an array that is {place.job.status},"
    why = f" ({place.job.reason})" if place.job.reason else ""
    return f"The job '{place.name}' is {place.job.status}{why}"


def _advice(place: Place) -> str:
    return f"See what it waits for with: {command('show', place.key.schedule_id, place.key.start)}"


# The children of an array


def _show_children(stage: Wiring, place: Place, wanted: int | None, as_json: bool) -> int:
    [job] = with_progress(stage.platform, [place.job], time.time())
    place = Place(place.key, job)
    submission, attempt = _submission(place, wanted)
    children, size = children_of(stage.platform, stage.job_log, place.job, submission, CHILDREN_SHOWN)
    if not children:
        raise Problem(f"{_state(place)}: none of its children has started yet.", _advice(place))
    views = [_child_view(stage, child) for child in children]
    omitted = size - len(children)
    if as_json:
        put_json(
            present(
                {
                    "scheduleId": place.key.schedule_id,
                    "startDateTime": place.key.start,
                    "jobName": place.name,
                    "attempt": attempt,
                    "children": views,
                    "childrenOmitted": omitted,
                }
            )
        )
        return 0
    counts = progress_text(place.job.child_counts) if wanted is None else ""
    title = f"{place.name} is an array job" + (f": {counts}" if counts else "")
    table = Table("child", "status", number("attempts"), number("exit"), prose("printed last"), title=title)
    for view in views:
        table.add_row(
            f"{place.name}:{view['index']}",
            status_text(view["status"]),
            str(view.get("attempts", "")),
            str(view.get("exitCode", "")),
            printable(view.get("lastLine", "(nothing)")),
        )
    console = make_console()
    console.print(table)
    if omitted:
        say(console, f"{omitted:,} more children are not shown.")
    first = f"{place.name}:{views[0]['index']}"
    say(console, f"Read one with: {place.words(first)}")
    return 0


def _submission(place: Place, wanted: int | None) -> tuple[Submission, int]:
    """The submission of an array that is this attempt of it, else its last one; and that attempt's number."""
    known = submissions(place.job)
    if not known:
        raise Problem(f"{_state(place)}: it has printed nothing yet.", _advice(place))
    for each in known if wanted is not None else ():
        if each.first == wanted and each.attempts:
            return each, wanted
    if wanted is not None:
        numbers = ", ".join(str(each.first) for each in known if each.attempts) or "none"
        advice = f"Attempts that are known: {numbers}."
        raise Problem(f"Nothing is known of attempt {wanted} of '{place.name}'.", advice)
    return known[-1], known[-1].first


def _child_view(stage: Wiring, child: SeenChild) -> dict[str, Any]:
    last = child.last
    lines = stage.log_tails.last_lines(last.log_group, last.log_stream, 1) if last and last.log_stream else ()
    return {"index": child.index} | present(
        {
            "status": str(child.status),
            "attempts": child.attempts,
            "exitCode": last.exit_code if last else None,
            "reason": (last.reason if last else "") or child.reason,
            "logGroupName": (last.log_group or DEFAULT_GROUP) if last and last.log_stream else "",
            "logStreamName": last.log_stream if last else "",
            "lastLine": lines[-1] if lines else "",
        }
    )
