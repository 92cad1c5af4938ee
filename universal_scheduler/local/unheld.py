"""Schedules for where nobody is there to release a job: trials and simulations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unheld(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its jobs' `hold: true` taken away, as if each were released at once."""
    jobs = document.get("jobList")
    if not isinstance(jobs, list):
        return _without_hold(document)
    return {**document, "jobList": [_without_hold(job) if isinstance(job, Mapping) else job for job in jobs]}


def _without_hold(job: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if key != "hold" or value is not True}
