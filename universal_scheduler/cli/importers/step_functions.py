"""Reads a state machine of Step Functions that runs jobs of Batch (`batch:submitJob.sync`). It becomes one schedule.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-batch.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from universal_scheduler.cli.importers.found import (
    LONGEST_BATCH_RETRIES,
    MANUAL,
    Collector,
    Found,
    JobNames,
    Refused,
    described,
    missing_job,
)
from universal_scheduler.domain.documents.json_text import json_positions, read_json
from universal_scheduler.domain.documents.values import shown, step
from universal_scheduler.domain.errors import DocumentError, UnreadableDocument

SUBMIT_AND_WAIT = re.compile(r"arn:aws[a-z-]*:states:::batch:submitJob\.sync")
OF_BATCH: Mapping[str, str] = {
    "JobDefinition": "jobDefinition",
    "JobQueue": "jobQueue",
    "ContainerOverrides": "containerOverrides",
    "Parameters": "parameters",
    "RetryStrategy": "retryStrategy",
    "Timeout": "timeout",
    "ArrayProperties": "arrayProperties",
    "ShareIdentifier": "shareIdentifier",
    "SchedulingPriorityOverride": "priority",
}
NO_MEANING = frozenset({"JobName", "Tags", "PropagateTags"})
OF_ALL = frozenset({"Type", "Comment", "Next", "End", "Resource", "Parameters", "Arguments", "Retry", "Catch"})
DATA = frozenset({"InputPath", "OutputPath", "ResultPath", "ResultSelector", "Output", "Assign", "QueryLanguage"})
DATA_NOTE = "what goes from state to state is not kept: a job hands values on by its output"
AT_ONCE = "Batch tries a job again at once, without the interval of the state"
ALL_ERRORS = frozenset({"States.ALL", "States.TaskFailed"})
"""How a failed job of Batch is caught: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"""
WHEN = "the file does not say when the state machine starts: write a trigger"
DYNAMIC = re.compile(r"\$\{[^}]*\}|^\s*\{%")
"""A substitution of CloudFormation, or JSONata."""


SIDE_BY_SIDE = "if a branch of a Parallel state fails, Step Functions ends the others; here they go on"


@dataclass(slots=True, eq=False)
class _Path:
    """States that run one after another: those of the machine, of a branch, or behind a Catch."""

    place: str
    """The JSON path of the object that has the states."""
    states: Mapping[str, Any]
    current: object
    """The name of the state that comes next; None at the end."""
    waits: dict[str, Any]
    """How the next job waits for those before it."""
    caught: dict[str, list[str]]
    """By the name of a state: the jobs whose failure leads there. Paths over the same states share it, and `seen`."""
    seen: set[str]
    after_failure: bool = False
    branches: list[Any] | None = None
    """Of the present Parallel state: those that are not read."""
    ends: list[str] = field(default_factory=list)
    """Of the branches that are read."""


def read(text: str, *, name: str = "state-machine") -> Found:
    """Make a schedule of the state machine. A file does not say its name.

    Raises:
        UnreadableDocument: it is not the JSON of a state machine.
    """
    content = read_json(text)
    if not isinstance(content, dict) or not isinstance(content.get("States"), dict):
        raise UnreadableDocument([DocumentError("$", "no States", "a state machine", line=1, column=1)])
    return _Machine(text, content, name).read()


class _Machine:
    def __init__(self, text: str, content: Mapping[str, Any], name: str) -> None:
        self._content, self._name = content, name
        self._found = Collector(text)
        self._positions = json_positions(text)
        self._names = JobNames(self._found)
        self._jobs: list[dict[str, Any]] = []

    def _line(self, place: str) -> int:
        return self._positions.get(place, (1, 1))[0]

    def read(self) -> Found:
        content, found = self._content, self._found
        for key in content:
            if key not in ("States", "StartAt", "Comment", "Version", "TimeoutSeconds", *DATA):
                found.report(self._line(f"${step(key)}"), f"{shown(key)} is not imported")
        try:
            self._walk()
        except Refused as refused:
            found.report(self._line("$.States"), f"no schedule: {refused}")
            return found.found("state")
        limit, comment = content.get("TimeoutSeconds"), content.get("Comment")
        if type(limit) is int and limit > 0:
            why = "TimeoutSeconds is maxDuration: a run that takes longer goes on, and people get run_late"
            found.note(self._line("$.TimeoutSeconds"), why)
        found.note(1, WHEN)
        document = {
            "scheduleId": found.schedule_id(self._name),
            **(described(comment) if isinstance(comment, str) else {}),
            "trigger": dict(MANUAL),
            **({"maxDuration": limit} if type(limit) is int and limit > 0 else {}),
            "jobList": self._jobs,
        }
        found.add(1, document)
        return found.found("state")

    def _walk(self) -> None:
        """Go along the states, with a stack of paths.

        Raises:
            Refused: the order of the jobs cannot be said by dependencies.
        """
        stack = [_Path("$", self._content["States"], self._content.get("StartAt"), {}, {}, set())]
        while stack:
            path = stack[-1]
            if path.branches:
                stack.append(self._branch(path))
            elif path.branches is not None:
                path.branches = None
                if path.ends:
                    path.waits = {"jobDependencies": list(dict.fromkeys(path.ends))}
                self._next(path, self._state(path))
            elif path.current is not None:
                self._enter(path)
            elif path.caught:
                stack.append(self._handler(path))
            else:
                stack.pop()
                if stack and not path.after_failure:
                    stack[-1].ends += [each for each in path.waits.get("jobDependencies", ()) if isinstance(each, str)]
        if not self._jobs:
            raise Refused("it has no state that does something")

    def _state(self, path: _Path) -> Mapping[str, Any]:
        name = path.current
        says = path.states.get(name) if isinstance(name, str) else None
        if not isinstance(says, dict):
            raise Refused(f"there is no state {shown(name)}")
        return says

    def _place(self, path: _Path) -> str:
        return f"{path.place}.States{step(str(path.current))}"

    def _branch(self, path: _Path) -> _Path:
        assert path.branches
        number = len(self._state(path)["Branches"]) - len(path.branches)
        branch = path.branches.pop(0)
        if not isinstance(branch, dict) or not isinstance(branch.get("States"), dict):
            raise Refused(f"a branch of {shown(path.current)} has no States")
        place = f"{self._place(path)}.Branches[{number}]"
        return _Path(place, branch["States"], branch.get("StartAt"), dict(path.waits), {}, set())

    def _handler(self, path: _Path) -> _Path:
        """The states behind a Catch, in which the failures of jobs end."""
        name, jobs = next(iter(path.caught.items()))
        del path.caught[name]
        if name in path.seen:
            raise Refused(f"a failure leads back to the state {shown(name)}")
        waits: dict[str, Any] = {"jobDependencies": [{"job": job, "status": "FAILED"} for job in jobs]}
        waits |= {"runWhen": "one_success"} if len(jobs) > 1 else {}
        return _Path(path.place, path.states, name, waits, path.caught, path.seen, after_failure=True)

    def _enter(self, path: _Path) -> None:
        """Read the present state of a path, and go to the next."""
        name, says, place = str(path.current), self._state(path), self._place(path)
        if name in path.seen:
            raise Refused(f"the states go in a circle, or meet again, at {shown(name)}")
        path.seen.add(name)
        kind = says.get("Type")
        for key in says:
            if key in DATA:
                self._found.note(self._line(f"{place}{step(key)}"), DATA_NOTE)
        if kind == "Parallel":
            branches = says.get("Branches")
            if not isinstance(branches, list) or not branches or says.get("Catch") or says.get("Retry"):
                raise Refused(f"the Parallel state {shown(name)} has a Catch, a Retry or no branches")
            self._found.note(self._line(place), SIDE_BY_SIDE)
            path.branches, path.ends = list(branches), []
            return
        if kind == "Choice":
            raise Refused(f"the Choice state {shown(name)} decides by data what runs")
        if kind == "Succeed":
            self._end(path, succeeded=True)
        elif kind == "Fail":
            if not path.after_failure:
                raise Refused(f"it always comes to the Fail state {shown(name)}")
            self._end(path, succeeded=False)
        else:
            if kind != "Pass":
                self._add(path, name, place, says)
            self._next(path, says)

    def _next(self, path: _Path, says: Mapping[str, Any]) -> None:
        if says.get("End") is True:
            self._end(path, succeeded=True)
        elif isinstance(says.get("Next"), str):
            path.current = says["Next"]
        else:
            raise Refused(f"the state {shown(path.current)} has no Next")

    def _end(self, path: _Path, *, succeeded: bool) -> None:
        if succeeded and path.after_failure:
            why = (
                f"after {shown(path.current)} the state machine has SUCCEEDED; here the run has FAILED, as its job has"
            )
            self._found.report(self._line(self._place(path)), why)
        path.current = None

    def _add(self, path: _Path, name: str, place: str, says: Mapping[str, Any]) -> None:
        line = self._line(place)
        job = self._names.name(name, line)
        try:
            made = {"jobName": job, **self._work(place, says)}
        except Refused as refused:
            self._found.report(line, f"the state {shown(name)} has no work here, so it FAILS: {refused}")
            made = missing_job(job, line, str(refused))
        self._jobs.append(made | path.waits)
        path.waits = {"jobDependencies": [job]}
        for entry in says["Catch"] if isinstance(says.get("Catch"), list) else ():
            following = entry.get("Next") if isinstance(entry, dict) else None
            if not isinstance(following, str):
                raise Refused(f"a Catch of {shown(name)} cannot be read")
            if ALL_ERRORS & _errors(entry):
                path.caught.setdefault(following, []).append(job)
            else:
                self._found.report(line, f"a Catch of {shown(name)} is for errors that no failed job of Batch has")

    def _work(self, place: str, says: Mapping[str, Any]) -> dict[str, Any]:
        if says.get("Type") != "Task":
            raise Refused(f"a state of the type {shown(says.get('Type'))} does something that no job does")
        resource = says.get("Resource")
        if not isinstance(resource, str) or not SUBMIT_AND_WAIT.fullmatch(resource):
            raise Refused(f"it calls {shown(resource)}, not batch:submitJob.sync")
        for key in says:
            if key not in OF_ALL | DATA:
                self._found.report(self._line(f"{place}{step(key)}"), f"{shown(key)} of the state is not imported")
        given = says.get("Parameters", says.get("Arguments"))
        if not isinstance(given, dict):
            raise Refused("it has no Parameters")
        _refuse_dynamic(given)
        made: dict[str, Any] = {}
        for key, value in given.items():
            if key in OF_BATCH:
                made[OF_BATCH[key]] = value if key == "Parameters" else _camel(value)
            elif key not in NO_MEANING:
                raise Refused(f"{shown(key)} of SubmitJob has no meaning here")
        for key in ("jobQueue", "jobDefinition"):
            if not isinstance(made.get(key), str):
                raise Refused(f"it has no {key}")
        overrides = made.get("containerOverrides", {})
        if not isinstance(overrides, dict) or not set(overrides) <= {"command", "environment", "resourceRequirements"}:
            raise Refused("its ContainerOverrides have more than Command, Environment and ResourceRequirements")
        if retries := self._retries(place, says):
            if "retryStrategy" in made:
                raise Refused("both the state and the job are tried again")
            made["retryStrategy"] = {"attempts": retries + 1}
        return made

    def _retries(self, place: str, says: Mapping[str, Any]) -> int:
        """How often the job is tried again."""
        retries = 0
        for entry in says["Retry"] if isinstance(says.get("Retry"), list) else ():
            most = entry.get("MaxAttempts", 3) if isinstance(entry, dict) else None
            if type(most) is not int or not 0 <= most < LONGEST_BATCH_RETRIES:
                raise Refused(f"its Retry has {shown(most)} attempts, and Batch at most {LONGEST_BATCH_RETRIES} tries")
            if ALL_ERRORS & _errors(entry):
                retries = max(retries, most)
                self._found.note(self._line(f"{place}.Retry"), AT_ONCE)
        return retries


def _errors(entry: Mapping[str, Any]) -> set[str]:
    names = entry.get("ErrorEquals")
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def _refuse_dynamic(given: Mapping[str, Any]) -> None:
    """Refuse values that only the state machine's input has."""
    ahead: list[Any] = [given]
    while ahead:
        value = ahead.pop()
        if isinstance(value, dict):
            if dynamic := [key for key in value if key.endswith(".$")]:
                raise Refused(f"{shown(dynamic[0])} is known only in the run")
            ahead += value.values()
        elif isinstance(value, list):
            ahead += value
        elif isinstance(value, str) and DYNAMIC.search(value):
            raise Refused(f"{shown(value)} is filled in before it runs, and the file does not say with what")


def _camel(value: Any) -> Any:
    """The same with the keys of Batch: `Command` is `command`. What is read is at most 36 levels deep."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: _camel(inner) for key, inner in value.items()}
    return [_camel(inner) for inner in value] if isinstance(value, list) else value
