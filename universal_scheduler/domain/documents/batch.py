"""Finds in a document the jobs that AWS Batch would refuse, before any run has resolved their references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from universal_scheduler.domain.batch.limits import Refusal, overrides_refusals, payload_refusals, refusals
from universal_scheduler.domain.documents.jobs import dependency
from universal_scheduler.domain.errors import DocumentError
from universal_scheduler.domain.runs.fan_out import with_environment
from universal_scheduler.domain.runs.model import Job, JobRun, RunKey
from universal_scheduler.domain.runs.outputs import output_key, run_variables
from universal_scheduler.domain.runs.references import TOKEN

AS_WRITTEN = ("jobName", "jobQueue", "jobDefinition", "retryStrategy", "timeout", "arrayProperties", "shareIdentifier")
"""The keys of a job that have the same name and the same form in a SubmitJob request."""
A_START = "2026-01-01T00:00:00.000000"
SHORTEST_BUCKET = "s3://abc/"
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""


def batch_errors(schedule_id: str, jobs: Sequence[Mapping[str, Any]]) -> Iterator[DocumentError]:
    """What Batch refuses in every run, whatever its parameters are. Of a reference, at least one character is assumed
    to remain."""
    for index, entry in enumerate(jobs):
        for refusal in _refusals(schedule_id, entry):
            where = f"$.jobList[{index}]"
            path = f"{where}.{refusal.path}" if refusal.path else where
            yield DocumentError(path, refusal.found, refusal.expected)


def exit_code_errors(jobs: Sequence[Mapping[str, Any]]) -> Iterator[DocumentError]:
    """Branches on the exit code of an array. An array has no exit code, so that nothing would ever take such a branch.

    https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
    """
    arrays = {entry["jobName"] for entry in jobs if "arrayProperties" in entry or "forEach" in entry}
    for index, entry in enumerate(jobs):
        for position, each in enumerate(entry.get("jobDependencies", ())):
            upstream = dependency(each)
            if upstream.exit_codes and upstream.job in arrays:
                yield DocumentError(
                    f"$.jobList[{index}].jobDependencies[{position}].exitCode",
                    f"an exit code of '{upstream.job}', which is an array",
                    "status (FAILED, SUCCEEDED): an array has no exit code, only its children have one each",
                )


def _refusals(schedule_id: str, entry: Mapping[str, Any]) -> Iterator[Refusal]:
    request = {name: entry[name] for name in AS_WRITTEN if name in entry}
    if "parameters" in entry:
        request["parameters"] = {name: _shortest(value) for name, value in entry["parameters"].items()}
    overrides = entry.get("containerOverrides")
    if overrides is not None:
        request["containerOverrides"] = _shortest_overrides(overrides)
    yield from refusals(request)
    if overrides is None:
        yield from payload_refusals(request)
    elif not isinstance(entry.get("forEach"), list):  # whose values count too: `fan_out` knows how
        job = JobRun(Job(entry["jobName"], entry["jobQueue"], entry["jobDefinition"]))
        key = RunKey(schedule_id, A_START)
        variables = run_variables(key, job, f"{SHORTEST_BUCKET}{output_key(key, job)}")
        request["containerOverrides"] = with_environment(request["containerOverrides"], variables)
        yield from overrides_refusals(request)
        yield from payload_refusals(request)


def _shortest_overrides(overrides: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(overrides)
    if "command" in overrides:
        found["command"] = [_shortest(word) for word in overrides["command"]]
    if "environment" in overrides:
        found["environment"] = [{**each, "value": _shortest(each["value"])} for each in overrides["environment"]]
    return found


def _shortest(text: str) -> str:
    """The text as no run can make it shorter; never empty where it is not."""
    return TOKEN.sub("", text) or text[:1]
