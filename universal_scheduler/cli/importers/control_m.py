"""Reads the JSON of Control-M's Automation API. A folder with its jobs and sub-folders becomes a schedule.

https://docs.bmc.com/xwiki/bin/view/Control-M-Orchestration/Control-M/workloadautomation/Control-M-Automation-API/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from universal_scheduler.cli.importers.found import (
    MANUAL,
    Collector,
    Found,
    JobNames,
    Refused,
    command_job,
    described,
    missing_job,
    shell_job,
)
from universal_scheduler.domain.documents.json_text import json_positions, read_json
from universal_scheduler.domain.documents.values import shown, step
from universal_scheduler.domain.errors import DocumentError, UnreadableDocument

FOLDERS, SUBFOLDERS = ("Folder", "SimpleFolder"), ("SubFolder",)
OF_MACHINES = "the job runs in a container of the job definition shell, not on a host of Control-M"
NO_MAIL = "give the schedule notifications, so that somebody hears of it"
NOTED: Mapping[str, str] = {
    "Host": OF_MACHINES,
    "RunAs": OF_MACHINES,
    "Priority": "the order of jobs that wait is a matter of the Batch queue",
    "Critical": "the order of jobs that wait is a matter of the Batch queue",
    "Documentation": "it is not kept: the description is",
}
KEPT_OF_ALL = frozenset({"Type", "When", "Description", "Variables", "Defaults", "eventsToWaitFor", "eventsToAdd"})
NO_MEANING = frozenset(
    {"ControlmServer", "Application", "SubApplication", "OrderMethod", "SiteStandard", "CreatedBy", "eventsToDelete"}
    | {"DaysKeepActive", "DaysKeepActiveIfNotOk", "MaxWait"}
)
KEPT_OF_JOBS = frozenset({"Command", "FileName", "FilePath", "Arguments", "Script", "Confirm", "RunAsDummy"})
MESSAGES = frozenset({"Action:Mail", "Mail", "Action:Notify", "Notify", "Action:Rerun", "Rerun", "Action:SetToOK"})
"""Actions without which a job does less, but nothing else."""
NEW_DAY = (
    "FromTime is a time of the days that are named. If the new day of your Control-M begins after it, these are the "
    "days before: then move the days of the trigger by one"
)
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
OF_TIMES = frozenset({"WeekDays", "MonthDays", "Months", "FromTime", "DaysRelation"})
VARIABLE = re.compile(r"%%\\*([A-Za-z_$][\w$]*)")
JOINED = re.compile(r"%%[\\\w$]*(?:\.|%%)\S*")
"""Which part of `%%A.B` or `%%A%%B` is the name depends on values and on the version of Control-M."""
SHEBANG = re.compile(r"#!\s*(/(?:usr/)?bin/(?:ba|k|z|da)?sh)[ \t]*(?:\n|$)")
LONGEST_CHAIN = 20
"""How often a variable may stand for another."""


@dataclass(slots=True, eq=False)
class _Node:
    """A folder, a sub-folder or a job."""

    name: str
    path: str
    """Of names, from the folder on."""
    place: str
    """Its JSON path."""
    says: Mapping[str, Any]
    above: _Node | None
    children: list[_Node] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return str(self.says["Type"])

    @property
    def is_job(self) -> bool:
        return self.kind.startswith("Job")


def read(text: str, *, zone: str = "UTC") -> Found:
    """Make schedules of the folders. `zone` is the time zone of the Control-M server.

    Raises:
        UnreadableDocument: it is not the JSON of an object.
    """
    content = read_json(text)
    if not isinstance(content, dict):
        raise UnreadableDocument([DocumentError("$", "no object", "an object with folders", line=1, column=1)])
    return _File(text, content, zone).read()


class _File:
    def __init__(self, text: str, content: Mapping[str, Any], zone: str) -> None:
        self.found = Collector(text)
        self.zone = zone
        self._content = content
        self._positions = json_positions(text)
        given = content.get("Defaults")
        self._defaults: Mapping[str, Any] = given if isinstance(given, dict) else {}

    def line(self, place: str) -> int:
        return self._positions.get(place, (1, 1))[0]

    def read(self) -> Found:
        for name, value in self._content.items():
            place = f"${step(name)}"
            kind = value.get("Type") if isinstance(value, dict) else None
            if name == "Defaults":
                continue
            if kind in FOLDERS:
                _Schedule(self, self._tree(name, place, value)).make()
            else:
                self.found.report(self.line(place), f"{shown(name)} is no folder, so it is not imported")
        return self.found.found("folder")

    def _tree(self, name: str, place: str, says: Mapping[str, Any]) -> _Node:
        top = _Node(name, name, place, self._with_defaults(says), None)
        ahead = [top]
        while ahead:
            node = ahead.pop()
            for key, value in node.says.items():
                kind = value.get("Type") if isinstance(value, dict) else None
                if isinstance(kind, str) and (kind.startswith("Job") or kind in SUBFOLDERS):
                    path = key if node is top else f"{node.path}/{key}"
                    child = _Node(key, path, node.place + step(key), self._with_defaults(value), node)
                    node.children.append(child)
                    if not child.is_job:
                        ahead.append(child)
        return top

    def _with_defaults(self, says: Mapping[str, Any]) -> dict[str, Any]:
        """What it says, and before it what the file says for all, for all jobs, and for jobs of the type."""
        kind = str(says["Type"])
        made = {key: value for key, value in self._defaults.items() if not isinstance(value, dict) or key == "When"}
        for part in (kind.split(":")[0], kind):
            given = self._defaults.get(part)
            made |= given if isinstance(given, dict) else {}
        return made | dict(says)


class _Schedule:
    """Makes a schedule of a folder."""

    def __init__(self, file: _File, top: _Node) -> None:
        self._file, self._found, self._top = file, file.found, top
        self._names = JobNames(file.found)
        self._jobs = list(_jobs(top))
        self._adders: dict[str, list[_Node]] = {}
        """By the event: the jobs and sub-folders that add it."""
        for node in _all(top):
            for event, _ in _events(node, "eventsToAdd"):
                self._adders.setdefault(event, []).append(node)
        self._flows: dict[str, list[_Node]] = {}
        """By the path of a job or a sub-folder: those before it in a flow."""
        self._broken: dict[str, str] = {}
        """By the path: why the flow that it is in could not be read."""

    def make(self) -> None:
        top = self._top
        if not self._jobs:
            self._report(top.place, "no schedule: there is no job in this folder")
            return
        for node in _all(top):
            self._read_flows(node)
            self._explain(node)
        description = top.says.get("Description", "")
        self._found.add(
            self._file.line(top.place),
            {
                "scheduleId": self._found.schedule_id(top.name),
                "scheduleName": top.name[:256],
                **({"category": top.says["Application"]} if isinstance(top.says.get("Application"), str) else {}),
                **(described(description) if isinstance(description, str) else {}),
                "trigger": self._trigger(),
                "jobList": [self._job(job) for job in self._jobs],
            },
        )

    def _report(self, place: str, why: str) -> None:
        self._found.report(self._file.line(place), why)

    def _explain(self, node: _Node) -> None:
        """Report what a folder or a job says that has no meaning here, and note what has another."""
        children = {child.name for child in node.children}
        for key, value in node.says.items():
            place = node.place + step(key)
            kind = value.get("Type") if isinstance(value, dict) else ""
            if key in NOTED:
                self._found.note(self._file.line(place), f"{key}: {NOTED[key]}")
            elif isinstance(kind, str) and kind.startswith("Notify"):
                self._found.note(self._file.line(place), f"{kind}: {NO_MAIL}")
            elif key not in KEPT_OF_ALL | NO_MEANING | KEPT_OF_JOBS | children and kind != "Flow":
                self._report(place, f"{shown(key)} of {shown(node.name)} is not imported")

    def _read_flows(self, node: _Node) -> None:
        inside = {child.name: child for child in node.children}
        for key, value in node.says.items():
            if not isinstance(value, dict) or value.get("Type") != "Flow":
                continue
            sequence = value.get("Sequence")
            names = sequence if isinstance(sequence, list) else []
            known = [inside[name] for name in names if isinstance(name, str) and name in inside]
            if len(known) != len(names) or not known:
                self._report(node.place + step(key), "the jobs of this flow are not all in its folder: they FAIL")
                for child in known:
                    self._broken[child.path] = f"the flow {shown(key)} cannot be read"
                continue
            for before, after in pairwise(known):
                self._flows.setdefault(after.path, []).append(before)

    def _job(self, job: _Node) -> dict[str, Any]:
        name = self._names.name(job.path, self._file.line(job.place))
        try:
            return self._work(job, name) | self._waits(job)
        except Refused as refused:
            why = str(refused)
        self._report(job.place, f"the job {shown(job.path)} has no work here, so it FAILS: {why}")
        made = missing_job(name, self._file.line(job.place), why)
        try:
            return made | self._waits(job)
        except Refused:
            return made

    def _work(self, job: _Node, name: str) -> dict[str, Any]:
        for above in _upwards(job):
            for key, value in above.says.items():
                _refuse(above, key, value)
            if above is not self._top and "When" in above.says and above.says["When"] != self._shared_when():
                raise Refused(f"{shown(above.name)} has times of its own, and only a whole schedule has times")
        if job.path in self._broken:
            raise Refused(self._broken[job.path])
        made = self._command(job, name)
        if job.says.get("Confirm") is True:
            made["hold"] = True
        return made

    def _command(self, job: _Node, name: str) -> dict[str, Any]:
        says = job.says
        if job.kind == "Job:Dummy" or says.get("RunAsDummy") is True:
            return command_job(name, ["true"])
        if job.kind == "Job:Command":
            return shell_job(name, self._filled(job, _text(says, "Command")))
        if job.kind == "Job:Script":
            arguments = says.get("Arguments", [])
            if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
                raise Refused("its Arguments are no list of texts")
            script = _text(says, "FilePath").rstrip("/") + "/" if "FilePath" in says else ""
            return command_job(
                name, [self._filled(job, each) for each in [script + _text(says, "FileName"), *arguments]]
            )
        if job.kind == "Job:EmbeddedScript":
            script = _text(says, "Script").replace("\\n", "\n")
            shell = SHEBANG.match(script)
            if script.startswith("#!") and shell is None:
                raise Refused("its script is not for a shell")
            if says.get("Arguments"):
                raise Refused("its script has Arguments")
            return shell_job(name, self._filled(job, script), shell[1] if shell else "/bin/sh")
        raise Refused(
            f"a job of the type {shown(job.kind)} cannot be imported, only Command, Script, EmbeddedScript and Dummy"
        )

    def _filled(self, job: _Node, text: str) -> str:
        """The text, with the values that the file gives to variables."""
        values: dict[str, str] = {}
        for above in reversed(list(_upwards(job))):
            values |= _variables(above.says.get("Variables", []))
        for _ in range(LONGEST_CHAIN):
            if joined := JOINED.search(text):
                raise Refused(f"what {shown(joined[0])} stands for is not in the file")
            if not VARIABLE.search(text):
                break
            text = VARIABLE.sub(lambda variable: _value(variable[1], values), text)
        if VARIABLE.search(text):
            raise Refused("its variables stand for each other in a circle")
        if at := re.search(r"%%\S*", text):
            raise Refused(f"what {shown(at[0])} stands for is not in the file")
        return text

    def _waits(self, job: _Node) -> dict[str, Any]:
        upstream: dict[str, None] = {}
        rules = set()
        for above in _upwards(job):
            if above is self._top:
                break
            for before in self._flows.get(above.path, ()):
                upstream |= dict.fromkeys(self._inside(before))
                rules.add("AND")
            events = _events(above, "eventsToWaitFor")
            for event, sign in events:
                adders = self._adders.get(event, [])
                if not adders:
                    raise Refused(f"it waits for the event {shown(event)}, which no job of its folder adds")
                if len(adders) > 1:
                    raise Refused(f"several jobs add the event {shown(event)}")
                if above in _upwards(adders[0]) or self._top is adders[0]:
                    raise Refused(f"it waits for the event {shown(event)}, which it adds itself")
                upstream |= dict.fromkeys(self._inside(adders[0]))
                rules.add(sign if len(events) > 1 else "AND")
                if sign == "OR" and not adders[0].is_job:
                    raise Refused(f"it waits for the sub-folder {shown(adders[0].name)} or for others")
        if len(rules) > 1:
            raise Refused("it waits for some jobs AND for others with OR")
        if not upstream:
            return {}
        return {"jobDependencies": list(upstream), **({"runWhen": "one_success"} if rules == {"OR"} else {})}

    def _inside(self, node: _Node) -> list[str]:
        return [self._names.name(job.path, self._file.line(job.place)) for job in _jobs(node)]

    def _shared_when(self) -> Any:
        """The times of the folder; or, if it has none, those that all its jobs have."""
        if "When" in self._top.says:
            return self._top.says["When"]
        first = self._jobs[0].says.get("When")
        return first if all(job.says.get("When") == first for job in self._jobs) else None

    def _trigger(self) -> Any:
        top, when = self._top, self._shared_when()
        place = f"{top.place}.When" if "When" in top.says else top.place
        try:
            if "eventsToWaitFor" in top.says:
                raise Refused("it waits for events, and a schedule waits only for whole schedules")
            if when is None:
                raise Refused("neither the folder nor all its jobs have the same times (When)")
            made = {"cron": _cron(when), "timezone": self._file.zone}
            self._found.note(self._file.line(place), NEW_DAY)
            return made
        except Refused as refused:
            self._report(place, f"{shown(top.name)} starts only by hand: {refused}")
        return dict(MANUAL)


def _upwards(node: _Node) -> Iterator[_Node]:
    above: _Node | None = node
    while above is not None:
        yield above
        above = above.above


def _all(top: _Node) -> Iterator[_Node]:
    """The folder, its sub-folders and jobs, in the order of the file."""
    ahead = [top]
    while ahead:
        node = ahead.pop()
        yield node
        ahead += reversed(node.children)


def _jobs(top: _Node) -> Iterator[_Node]:
    return (node for node in _all(top) if node.is_job)


def _events(node: _Node, key: str) -> list[tuple[str, str]]:
    """The events, each with the sign that stands between it and the others: AND, or OR.

    Raises:
        Refused: the events that it waits for cannot be read.
    """
    given = node.says.get(key, {"Events": []})
    listed = given.get("Events") if isinstance(given, dict) else None
    entries = listed if isinstance(listed, list) else []
    names = [each["Event"] for each in entries if isinstance(each, dict) and isinstance(each.get("Event"), str)]
    signs = {each for each in entries if isinstance(each, str)}
    if key == "eventsToWaitFor":
        if len(signs) > 1 or not signs <= {"AND", "OR"}:
            raise Refused("it waits for events that are joined by AND, OR and brackets")
        if not isinstance(listed, list) or len(names) != sum(not isinstance(each, str) for each in entries):
            raise Refused("the events that it waits for cannot be read")
    return [(name, "OR" if "OR" in signs else "AND") for name in names]


def _refuse(node: _Node, key: str, value: object) -> None:
    """Refuse what would make the job do something else than the file says, if it were left out."""
    kind = value.get("Type", "") if isinstance(value, dict) else ""
    if not isinstance(value, dict) or not isinstance(kind, str):
        return
    if kind.startswith("Resource:"):
        raise Refused(f"{shown(node.name)} needs the resource {shown(key)}, and there are none here")
    if kind.startswith("If") or key.startswith("IfBase"):
        actions = {str(each.get("Type")) for each in value.values() if isinstance(each, dict)}
        if others := sorted(actions - MESSAGES):
            raise Refused(f"{shown(key)} of {shown(node.name)} does {', '.join(others)}")
    if key == "Rerun":
        raise Refused(f"{shown(node.name)} is cyclic")
    if key == "RerunLimit" and str(value.get("Every", "0")) != "0":
        raise Refused(f"{shown(node.name)} is cyclic")


def _text(says: Mapping[str, Any], key: str) -> str:
    value = says.get(key)
    if not isinstance(value, str) or not value:
        raise Refused(f"it has no {key}")
    return value


def _variables(given: object) -> dict[str, str]:
    entries = given if isinstance(given, list) else []
    pairs = [pair for each in entries if isinstance(each, dict) for pair in each.items()]
    return {name.lstrip("%\\"): value for name, value in pairs if isinstance(value, str)}


def _value(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise Refused(f"the file gives the variable %%{name} no value")
    return values[name]


def _cron(when: object) -> str:
    """The five fields of times."""
    if not isinstance(when, dict):
        raise Refused("its times (When) are no object")
    others = [key for key in when if key not in OF_TIMES]
    if others:
        raise Refused(f"its times (When) have {', '.join(map(shown, others))}")
    time = re.fullmatch(r"([01][0-9]|2[0-3]):?([0-5][0-9])", str(when.get("FromTime", "")))
    if time is None:
        raise Refused("its times (When) have no FromTime: the new day of Control-M is no time of this file")
    months = _list(when, "Months", MONTHS, 1)
    week, month = _list(when, "WeekDays", DAYS, 0), _month_days(when)
    if week is None and month is None:
        raise Refused("its times (When) have neither WeekDays nor MonthDays")
    if week and month and "*" not in (week, month) and when.get("DaysRelation", "OR") != "OR":
        raise Refused("it starts on days that are both in WeekDays and in MonthDays")
    return f"{int(time[2])} {int(time[1])} {month or '*'} {months or '*'} {week or '*'}"


def _list(when: Mapping[str, Any], key: str, names: Sequence[str], first: int) -> str | None:
    values = when.get(key)
    if values is None or values == ["NONE"]:
        return None
    if values == ["ALL"]:
        return "*"
    if not isinstance(values, list) or not all(value in names for value in values):
        raise Refused(f"{key} is {shown(values)}")
    return ",".join(str(names.index(value) + first) for value in values)


def _month_days(when: Mapping[str, Any]) -> str | None:
    values = when.get("MonthDays")
    if values is None or values == ["NONE"]:
        return None
    if values == ["ALL"]:
        return "*"
    if not isinstance(values, list) or not all(re.fullmatch("[1-9]|[12][0-9]|3[01]", str(value)) for value in values):
        raise Refused(f"MonthDays is {shown(values)}")
    return ",".join(str(value) for value in values)
