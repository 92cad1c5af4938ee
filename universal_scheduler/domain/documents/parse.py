"""Reads a document, in every form that users have, into a `Schedule`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.jobs import read_job
from universal_scheduler.domain.documents.storable import plain
from universal_scheduler.domain.documents.upstreams import triggers_of
from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.errors import DocumentError, InvalidSchedule
from universal_scheduler.domain.runs.model import Schedule

SINGLE_JOB_KEYS = frozenset({"jobName", "jobDefinition", "jobQueue"})
RECORDED_KEYS = frozenset({"scheduleErrors", "scheduleStatus", "startDateTime", "lastDateTime"})
"""Keys that are about a run, or that the scheduler writes. They are not part of a schedule."""


def parse(document: Any) -> Schedule:
    """Check a schedule document and read it.

    It takes a row of BatchSchedules, the output of a run of the reference design (`{"name", "output": {…}}`), and a
    single job (`{"jobName", "jobDefinition", "jobQueue", "wait_time"}`).

    Raises:
        InvalidSchedule: the document is wrong. The error has every error found, each with its JSON path.
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
        triggers=tuple(trigger for _, trigger in triggers_of(row)),
        parameters=dict(row.get("parameters", {})),
    )


def as_row(document: Any) -> dict[str, Any]:
    """The document in the form of a row: without a wrapping, a single job as a schedule with one job, numbers as in
    `plain`.

    `scheduleErrors`, which the scheduler writes into a wrong row, is left out.

    Raises:
        InvalidSchedule: the document is not an object.
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
    """Whether the document is the output of a run of the reference design: `{"name", "output": {…}}`."""
    wrapped = document.get("output")
    return isinstance(wrapped, Mapping) and "jobList" in wrapped and "jobList" not in document


def is_single_job(document: Mapping[str, Any]) -> bool:
    return "jobList" not in document and document.keys() >= SINGLE_JOB_KEYS


def written_path(document: Mapping[str, Any], path: str) -> str:
    """The path in the original document of the value that has this path in the row."""
    if is_wrapped(document):
        return f"$.output{path[1:]}"
    return path.replace("$.jobList[0]", "$", 1) if is_single_job(document) else path
