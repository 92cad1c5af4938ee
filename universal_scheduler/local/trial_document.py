"""The document of a trial or a simulation: with the parameters of the run, and with no job on hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from universal_scheduler.domain.documents.parameters import with_parameters
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.domain.runs.model import Scalar


def as_tried(document: Mapping[str, Any], parameters: Mapping[str, Scalar] | None) -> dict[str, Any]:
    """The document with these parameters, in which every held job is released at once.

    Raises:
        InvalidSchedule: there are parameters, and the document is not valid or does not have them.
    """
    return _without_holds(with_parameters(parse(document).document, parameters) if parameters else document)


def _without_holds(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its jobs' `hold: true` taken away, as if each were released at once."""
    jobs = document.get("jobList")
    if not isinstance(jobs, list):
        return _without_hold(document)
    return {**document, "jobList": [_without_hold(job) if isinstance(job, Mapping) else job for job in jobs]}


def _without_hold(job: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if key != "hold" or value is not True}
