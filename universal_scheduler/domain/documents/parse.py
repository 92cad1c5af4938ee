"""Makes a `Schedule` of a document, in every form that users have; or says exactly what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.jobs import read_job
from universal_scheduler.domain.documents.storable import plain
from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.errors import DocumentError, InvalidSchedule
from universal_scheduler.domain.runs.model import Schedule

SINGLE_JOB_KEYS = frozenset({"jobName", "jobDefinition", "jobQueue"})
RECORDED_KEYS = frozenset({"scheduleErrors", "scheduleStatus", "startDateTime", "lastDateTime"})
"""Keys that say something of a run, or that the scheduler itself writes: no part of what a schedule is."""


def parse(document: Any) -> Schedule:
    """Check a schedule document and read it.

    Takes a row of BatchSchedules, what a run of the reference design put out (`{"name", "output": {…}}`), and the
    single-job form `{"jobName", "jobDefinition", "jobQueue", "wait_time"}`.

    Raises:
        InvalidSchedule: with every error found, each with its JSON path.
    """
    row = as_row(document)
    errors = find_errors(row)
    if errors:
        raise InvalidSchedule(errors)
    return Schedule(
        schedule_id=row["scheduleId"],
        jobs=tuple(read_job(job) for job in row["jobList"]),
        document={key: value for key, value in row.items() if key not in RECORDED_KEYS},
        wait_seconds=int(row.get("wait_time", 60)),
        trigger=row.get("trigger", {}),
        parameters=dict(row.get("parameters", {})),
    )


def as_row(document: Any) -> dict[str, Any]:
    """The document in the form of a row: unwrapped, a single job as a schedule of one, and numbers as `plain` has them.

    The errors that the scheduler has written beside a row are left out: nobody looks at them.

    Raises:
        InvalidSchedule: it is no object.
    """
    if not isinstance(document, Mapping):
        raise InvalidSchedule([DocumentError("$", shown(document), "an object: a schedule")])
    document = plain(document)
    if is_wrapped(document):
        return {key: value for key, value in document["output"].items() if key != "scheduleErrors"}
    if is_single_job(document):
        of_schedule = ("wait_time", "scheduleId", "trigger", "scheduleErrors")
        job = {key: value for key, value in document.items() if key not in of_schedule}
        row: dict[str, Any] = {"scheduleId": document.get("scheduleId", document["jobName"]), "jobList": [job]}
        return row | {key: document[key] for key in ("wait_time", "trigger") if key in document}
    return {key: value for key, value in document.items() if key != "scheduleErrors"}


def is_wrapped(document: Mapping[str, Any]) -> bool:
    """Whether it is what a run of the reference design put out: `{"name", "output": {…}}`."""
    wrapped = document.get("output")
    return isinstance(wrapped, Mapping) and "jobList" in wrapped and "jobList" not in document


def is_single_job(document: Mapping[str, Any]) -> bool:
    return "jobList" not in document and document.keys() >= SINGLE_JOB_KEYS


def written_path(document: Mapping[str, Any], path: str) -> str:
    """Where in the document, as it was written, the place is that has this path in its row."""
    if is_wrapped(document):
        return f"$.output{path[1:]}"
    return path.replace("$.jobList[0]", "$", 1) if is_single_job(document) else path
