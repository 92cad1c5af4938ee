"""The one check of a schedule document: first its schema, then what no JSON Schema can say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError
from itertools import chain
from typing import Any

from universal_scheduler.domain.documents.batch import batch_errors, exit_code_errors
from universal_scheduler.domain.documents.durations import epoch_seconds
from universal_scheduler.domain.documents.finally_jobs import finally_errors, is_finally
from universal_scheduler.domain.documents.jobs import dependency, read_job
from universal_scheduler.domain.documents.policies import policy_errors
from universal_scheduler.domain.documents.recorded import recorded_errors
from universal_scheduler.domain.documents.schema import schema_errors
from universal_scheduler.domain.documents.size import carried_errors
from universal_scheduler.domain.documents.storable import MAX_ERRORS, storable_errors
from universal_scheduler.domain.documents.triggers import trigger_errors
from universal_scheduler.domain.documents.values import printable, quoted, shown
from universal_scheduler.domain.errors import DocumentError, did_you_mean
from universal_scheduler.domain.messages.notifications import Service
from universal_scheduler.domain.runs.fan_out import overrides_limit_error
from universal_scheduler.domain.runs.planner import upstream_first
from universal_scheduler.domain.runs.references import reference_errors

LONGEST_NAME = 128
CYCLE_SHOWN = 10
"""How many jobs of a cycle an error names."""
JOB = re.compile(r"\$\.jobList\[(\d+)\]")


def find_errors(row: Mapping[str, Any]) -> list[DocumentError]:
    """All errors of a row, in the order of the document, at most 50. The list is empty if the row is right.

    It never raises, whatever the row contains. There are three steps, and each is done only if the one before has found
    nothing: values that no table can hold; the schema; what no schema can say.
    """
    errors = storable_errors(row) or schema_errors(row)
    if not errors:
        errors = _first(
            _graph_errors(row["jobList"]),
            trigger_errors(row),
            policy_errors(row),
            finally_errors(row["jobList"]),
            _fan_out_errors(row["jobList"]),
            exit_code_errors(row["jobList"]),
            batch_errors(row["scheduleId"], row["jobList"]),
            _channel_errors(row.get("notifications", ())),
            _zone_errors(row),
            recorded_errors(row),
            carried_errors(row),
        )
    if not errors:
        errors = _first(reference_errors(row["jobList"], _ahead_of(row["jobList"]), list(row.get("parameters", {}))))
    return [_with_job(error, row) for error in errors]


def _first(*found: Iterator[DocumentError]) -> list[DocumentError]:
    """So many errors as are told, each once; no more are looked for."""
    seen: dict[DocumentError, None] = {}
    for error in chain(*found):
        seen[error] = None
        if len(seen) == MAX_ERRORS:
            break
    return list(seen)


def _with_job(error: DocumentError, row: Mapping[str, Any]) -> DocumentError:
    """The error with the name of the job that it is in, where the job has one that can be shown."""
    found, jobs = JOB.match(error.path), row.get("jobList")
    if found is None or not isinstance(jobs, list | tuple):
        return error
    entry = jobs[int(found[1])]
    name = entry.get("jobName") if isinstance(entry, Mapping) else None
    return replace(error, job=printable(name[:LONGEST_NAME])) if isinstance(name, str) else error


def _graph_errors(jobs: Sequence[Mapping[str, Any]]) -> Iterator[DocumentError]:
    """What no JSON Schema can say: names are unique, dependencies exist, and there is an order to run in."""
    first_at: dict[str, int] = {}
    for index, job in enumerate(jobs):
        name = job["jobName"]
        if name in first_at:
            where = f"$.jobList[{first_at[name]}]"
            yield DocumentError(f"$.jobList[{index}].jobName", f"'{name}' again", f"a name that {where} does not have")
        first_at.setdefault(name, index)
    known = list(first_at)
    upstream_of = {job["jobName"]: _upstream_names(job) for job in jobs}
    broken = False
    for index, job in enumerate(jobs):
        if "notBefore" in job:
            yield from _date_errors(f"$.jobList[{index}].notBefore", job["notBefore"])
        before: set[str] = set()
        for position, upstream in enumerate(_upstream_names(job)):
            path = f"$.jobList[{index}].jobDependencies[{position}]"
            if upstream == job["jobName"]:
                broken = True
                yield DocumentError(path, f"the job '{upstream}' itself", "another job of the schedule")
            elif upstream not in first_at:
                broken = True
                hint = did_you_mean(upstream, known)
                yield DocumentError(path, f"{quoted(upstream)}{hint}", "the jobName of a job of this schedule")
            elif upstream in before:
                yield DocumentError(path, f"'{upstream}' again", "every upstream job once")
            before.add(upstream)
    if not broken and len(known) == len(jobs):
        try:
            upstream_first(upstream_of)
        except CycleError as error:
            names = list(reversed(error.args[1]))
            if len(names) > CYCLE_SHOWN:
                names[CYCLE_SHOWN - 1 : -1] = [f"{len(names) - CYCLE_SHOWN} more"]
            cycle = " → ".join(names)
            yield DocumentError("$.jobList", f"a cycle: {cycle}", "jobs that do not wait for themselves")


def _upstream_names(job: Mapping[str, Any]) -> list[str]:
    return [dependency(each).job for each in job.get("jobDependencies", ())]


def _ahead_of(jobs: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[str]]:
    """For each job those that have ended when it runs, nearest first: for a finally job, all that are none."""
    others = [job["jobName"] for job in jobs if not is_finally(job)]
    return {
        job["jobName"]: [*_upstream_names(job), *others] if is_finally(job) else _upstream_names(job) for job in jobs
    }


def _fan_out_errors(jobs: Sequence[Mapping[str, Any]]) -> Iterator[DocumentError]:
    for index, entry in enumerate(jobs):
        path = f"$.jobList[{index}].forEach"
        if "forEach" not in entry:
            continue
        if "arrayProperties" in entry:
            yield DocumentError(
                path, "arrayProperties too", "one of the two: the values say how many children there are"
            )
        elif not entry.get("containerOverrides", {}).get("command"):
            yield DocumentError(
                path, "no containerOverrides.command", "a command, which each child runs with its value"
            )
        elif problem := overrides_limit_error(read_job({key: entry[key] for key in entry if key != "notBefore"})):
            yield DocumentError(path, *problem)


def _channel_errors(notifications: Sequence[Mapping[str, Any]]) -> Iterator[DocumentError]:
    """Every entry has one channel, and only a webhook of the scheduler's own shape is signed."""
    for index, entry in enumerate(notifications):
        found = [service for service in Service if service in entry]
        if len(found) != 1:
            expected = f"one channel: {', '.join(Service)}"
            yield DocumentError(f"$.notifications[{index}]", " and ".join(found) or "no channel", expected)
        elif "secret" in entry and found != [Service.WEBHOOK]:
            expected = "a secret with webhook alone: what other services are sent is not signed"
            yield DocumentError(f"$.notifications[{index}].secret", f"a secret beside {found[0]}", expected)


def _zone_errors(row: Mapping[str, Any]) -> Iterator[DocumentError]:
    if "timezone" not in row:
        return
    from universal_scheduler.domain.time.zones import time_zone_names  # not where no zone is read

    name = row["timezone"]
    if name not in time_zone_names():
        hint = did_you_mean(name, sorted(time_zone_names()))
        yield DocumentError("$.timezone", f"{shown(name)}{hint}", "a time zone of the IANA database: Europe/Zurich")


def _date_errors(path: str, text: str) -> Iterator[DocumentError]:
    try:
        epoch_seconds(text)
    except ValueError:
        yield DocumentError(path, shown(text), "a date and time with its zone, e.g. 2026-11-21T06:00:00+01:00")
