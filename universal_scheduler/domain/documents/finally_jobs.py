"""Finally jobs in a document: they run last, whatever happens to the other jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from universal_scheduler.domain.documents.jobs import dependency
from universal_scheduler.domain.errors import DocumentError


def is_finally(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("finally", False))


def finally_errors(jobs: Sequence[Mapping[str, Any]]) -> Iterator[DocumentError]:
    """A finally job may have no rule and no condition that can keep it from running, and no other job may run
    after it."""
    last = {entry["jobName"] for entry in jobs if is_finally(entry)}
    for index, entry in enumerate(jobs) if last else ():
        if is_finally(entry) and "runWhen" in entry:
            expected = "only one of the two: a job with finally runs whatever happened"
            yield DocumentError(f"$.jobList[{index}].runWhen", "runWhen beside finally", expected)
        for position, each in enumerate(map(dependency, entry.get("jobDependencies", ()))):
            path = f"$.jobList[{index}].jobDependencies[{position}]"
            if is_finally(entry) and each.conditional:
                yield DocumentError(path, "a condition in a job with finally", f"'{each.job}' without a condition")
            elif not is_finally(entry) and each.job in last:
                expected = "a job without finally; or finally for this job too"
                yield DocumentError(path, f"'{each.job}', which runs last because it has finally", expected)
