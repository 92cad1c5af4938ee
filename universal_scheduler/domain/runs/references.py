"""References in the values of a job: `{{run.…}}` and `{{jobs.…}}`. They are checked in a document and resolved when the
job is submitted. It is pure."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from universal_scheduler.domain.documents.values import quoted
from universal_scheduler.domain.errors import DocumentError, did_you_mean
from universal_scheduler.domain.runs.model import Job, Run, Scalar
from universal_scheduler.domain.runs.run_dates import DATED, MOST_BUSINESS_DAYS, UNITS, dated

TOKEN = re.compile(r"\{\{\s*((?:run|jobs)\.[^{}\s]*(?:\s+[^{}\s]+)*)\s*\}\}")
"""Only these are references. Every other `{{…}}` belongs to the job itself and stays as it is."""
OUTPUT = re.compile(r"jobs\.([^.]+)\.output\.([^.]+)")
PARAMETER = "run.parameters."
METADATA = ("run.scheduleId", "run.startDateTime", "run.date", "run.scheduledTime", "run.businessDate")
FORMS = f"{PARAMETER}NAME, {', '.join(METADATA)} or jobs.JOB.output.NAME"


class Unresolved(ValueError):
    """A reference has no value in this run. The message says why."""


@dataclass(frozen=True, slots=True)
class Values:
    """The values that references can have in one run."""

    run: Run
    outputs: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    """By job name: the output of a job."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """By job name: why a job has no output."""

    def of(self, reference: str) -> str:
        """The value of a reference, as text.

        Raises:
            Unresolved: it has none.
        """
        if reference.startswith(PARAMETER) and (name := reference.removeprefix(PARAMETER)) in self.run.parameters:
            return as_text(self.run.parameters[name])
        match reference:
            case "run.scheduleId":
                return self.run.key.schedule_id
            case "run.startDateTime":
                return self.run.key.start
            case "run.date":
                return self.run.key.start[:10]
        if (value := dated(self.run, reference)) is not None:
            return value
        if not (parts := OUTPUT.fullmatch(reference)):
            raise Unresolved(f"'{{{{{reference}}}}}' has no value in this run")
        job, name = parts.groups()
        if job not in self.outputs:
            why = self.problems.get(job) or "it did not succeed"
            raise Unresolved(f"'{{{{{reference}}}}}': job '{job}' has no output: {why}")
        if name not in self.outputs[job]:
            written = ", ".join(self.outputs[job]) or "nothing"
            raise Unresolved(f"'{{{{{reference}}}}}': the output of job '{job}' has no '{name}', only {written}")
        return as_text(self.outputs[job][name])


def as_text(value: Scalar) -> str:
    """A value as it stands in a command or an environment. A whole number has no decimal point."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return json.dumps(value)


def resolve(job: Job, values: Values) -> Job:
    """The job with every reference replaced by its value.

    Raises:
        Unresolved: a reference has no value.
    """

    def text(given: str) -> str:
        return TOKEN.sub(lambda token: values.of(token[1]), given)

    overrides = None
    if job.container_overrides is not None:
        overrides = dict(job.container_overrides)
        if "command" in overrides:
            overrides["command"] = [text(word) for word in overrides["command"]]
        if "environment" in overrides:
            overrides["environment"] = [{**entry, "value": text(entry["value"])} for entry in overrides["environment"]]
    return replace(
        job,
        parameters={name: text(value) for name, value in job.parameters.items()},
        container_overrides=overrides,
        for_each_s3=text(job.for_each_s3),
    )


def business_day_offsets(jobs: Sequence[Mapping[str, Any]]) -> set[int]:
    """How many business days before or after its business date the jobs of a document ask for."""
    offsets = set()
    for _, text in (each for entry in jobs for each in _texts(entry)):
        for token in TOKEN.finditer(text) if "bd" in text else ():
            found = DATED.fullmatch(token[1])
            if found and found[4] == "bd":
                offsets.add(int(found[2] + found[3]))
    return offsets


def outputs_of(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The jobs whose output a job of a document needs: a reference or the `output` of a dependency names them."""
    return tuple(dict.fromkeys(job for _, job, _ in outputs_referred_to(entry)))


def outputs_referred_to(entry: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every reference to an output in a job of a document: its path in the job, the upstream job, the name in the
    output."""
    for position, dependency in enumerate(entry.get("jobDependencies", ())):
        for name in () if isinstance(dependency, str) else dependency.get("output", ()):
            yield f"jobDependencies[{position}].output", dependency["job"], name
    for where, text in _texts(entry):
        for token in TOKEN.finditer(text):
            if parts := OUTPUT.fullmatch(token[1]):
                yield where, parts[1], parts[2]


def unread_outputs(jobs: Sequence[Mapping[str, Any]], given: Mapping[str, Collection[str]]) -> Iterator[DocumentError]:
    """An error for each output in `given` (by job name) that no job of the document refers to."""
    read: dict[str, list[str]] = {}
    for entry in jobs:
        for _, upstream, name in outputs_referred_to(entry):
            read.setdefault(upstream, []).append(name)
    for index, entry in enumerate(jobs):
        known = list(dict.fromkeys(read.get(entry["jobName"], ())))
        for name in given.get(entry["jobName"], ()):
            if name not in known:
                hint = did_you_mean(name, known)
                found = f"the output '{name}' of '{entry['jobName']}'{hint}, which no job refers to"
                expected = f"an output that is referred to: {', '.join(known) or 'this job has none'}"
                yield DocumentError(f"$.jobList[{index}]", found, expected, job=entry["jobName"])


def reference_errors(
    jobs: Sequence[Mapping[str, Any]], upstream_of: Mapping[str, Sequence[str]], parameters: Sequence[str]
) -> Iterator[DocumentError]:
    """The errors in the references of a document's jobs. The graph in `upstream_of` must have no cycle."""
    overriding = {entry["jobName"]: "containerOverrides" in entry for entry in jobs}
    for index, entry in enumerate(jobs):
        for where, text in _texts(entry):
            for token in TOKEN.finditer(text):
                path = f"$.jobList[{index}].{where}"
                yield from _token_errors(path, token[1], entry["jobName"], upstream_of, parameters)
        for where, upstream, _ in outputs_referred_to(entry):
            if upstream in overriding and not overriding[upstream]:
                found = f"the job '{upstream}' without containerOverrides"
                yield DocumentError(f"$.jobList[{index}].{where}", found, "a job with them: it is told USCHED_OUTPUT")


def _token_errors(
    path: str, reference: str, job: str, upstream_of: Mapping[str, Sequence[str]], parameters: Sequence[str]
) -> Iterator[DocumentError]:
    if reference in METADATA:
        return
    written = quoted(f"{{{{{reference}}}}}")
    if of_date := DATED.fullmatch(reference):
        units = UNITS[of_date[1]]
        if of_date[4] and of_date[4] not in units:
            offsets = ", ".join(f"-1{unit}" for unit in units)
            yield DocumentError(path, written, f"run.{of_date[1]} with an offset like {offsets}")
        elif of_date[4] == "bd" and int(of_date[3]) > MOST_BUSINESS_DAYS:
            yield DocumentError(path, written, f"an offset of at most {MOST_BUSINESS_DAYS} business days")
    elif reference.startswith(PARAMETER):
        name = reference.removeprefix(PARAMETER)
        if name not in parameters:
            known = f"a parameter of the schedule: {', '.join(parameters) or 'it has none'}"
            yield DocumentError(path, f"{written}{did_you_mean(name, parameters)}", known)
    elif parts := OUTPUT.fullmatch(reference):
        if parts[1] not in upstream_of:
            hint = did_you_mean(parts[1], list(upstream_of))
            yield DocumentError(path, f"{written}{hint}", "the jobName of a job of this schedule")
        elif not _is_upstream(parts[1], job, upstream_of):
            yield DocumentError(path, written, f"a job that '{job}' runs after, directly or not")
    else:
        yield DocumentError(path, f"{written}{did_you_mean(reference, METADATA)}", FORMS)


def _is_upstream(name: str, job: str, upstream_of: Mapping[str, Sequence[str]]) -> bool:
    """Whether the job runs after the one of this name; the nearest are looked at first."""
    ahead, seen = deque(upstream_of[job]), set[str]()
    while ahead:
        other = ahead.popleft()
        if other == name:
            return True
        if other not in seen:
            seen.add(other)
            ahead += upstream_of.get(other, ())
    return False


def _texts(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The values of a job of a document that may have references, each with its path in the job."""
    for name, value in entry.get("parameters", {}).items():
        yield f"parameters.{name}", value
    overrides = entry.get("containerOverrides", {})
    for index, word in enumerate(overrides.get("command", ())):
        yield f"containerOverrides.command[{index}]", word
    for index, variable in enumerate(overrides.get("environment", ())):
        yield f"containerOverrides.environment[{index}].value", variable["value"]
    for_each = entry.get("forEach")
    if isinstance(for_each, Mapping):
        yield "forEach.s3", for_each["s3"]
