"""Reads JIL, the language of AutoSys. A box with its jobs becomes a schedule, and so does a job outside of boxes.

The attributes are those of the reference of AutoSys Workload Automation:
https://techdocs.broadcom.com/us/en/ca-enterprise-software/intelligent-automation/autosys-workload-automation/12-1/reference/ae-job-information-language.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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
    shell_job,
)
from universal_scheduler.domain.documents.values import shown

COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
ATTRIBUTE = re.compile(r"\s*([a-z_]+)\s*:(.*)")
JOB_TYPE = re.compile(r"(?<=\s)job_type\s*:")
COMMAND_TYPES, BOX_TYPES = frozenset({"c", "cmd"}), frozenset({"b", "box"})
OF_MACHINES = "the job runs in a container of the job definition shell, not on a machine of AutoSys"
NOTED: Mapping[str, str] = {
    "machine": OF_MACHINES,
    "owner": OF_MACHINES,
    "std_out_file": "what a job prints is in its log: usched logs",
    "std_err_file": "what a job prints is in its log: usched logs",
    "alarm_if_fail": "give the schedule notifications, so that somebody hears of failures",
    "alarm_if_terminated": "give the schedule notifications, so that somebody hears of failures",
    "send_notification": "give the schedule notifications, so that somebody hears of failures",
    "notification_emailaddress": "give the schedule notifications, so that somebody hears of failures",
    "notification_msg": "give the schedule notifications, so that somebody hears of failures",
    "permission": "who may do what is a matter of IAM",
    "priority": "the order of jobs that wait is a matter of the Batch queue",
    "job_load": "how many jobs run at a time is a matter of the Batch queue",
    "min_run_alarm": "messages of the kind job_short come by what the job usually takes",
}
OF_THE_START = frozenset(
    {"date_conditions", "days_of_week", "start_times", "start_mins", "run_calendar", "exclude_calendar", "timezone"}
    | {"condition"}
)
KEPT = OF_THE_START | frozenset(
    {"job_type", "box_name", "command", "description", "n_retrys", "term_run_time", "max_run_alarm", "auto_hold"}
    | {"status", "envvars"}
)
NO_MEANING = frozenset({"group", "application", "auto_delete"})
DAYS = ("su", "mo", "tu", "we", "th", "fr", "sa")
TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
ATOM = re.compile(
    r"\b(success|failure|done|terminated|notrunning|exitcode|value|[sfdtnev])\s*\(\s*([^\s(),]+)\s*(,[^()]*)?\)"
    r"(?:\s*(!=|<=|>=|=|<|>)\s*([^\s()&|]+))?"
)
GLOBAL = re.compile(r"\$\$(?:\{(\w+)\}|(\w+))")
OUTCOMES = {"s": "SUCCEEDED", "f": "FAILED", "d": "ENDED"}
LATEST = (
    "AutoSys looks at the newest state of these jobs, however old it is; here a run starts when they have ended anew "
    "since its last start"
)
YES = frozenset({"1", "y", "yes", "true"})


@dataclass(slots=True, eq=False)
class _Job:
    """A job or a box, with its attributes and their lines."""

    name: str
    line: int
    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    children: list[_Job] = field(default_factory=list)
    box: _Job | None = None

    @property
    def is_box(self) -> bool:
        return self.values.get("job_type", "c").lower() in BOX_TYPES

    def says(self, attribute: str) -> bool:
        return self.values.get(attribute, "").lower() in YES

    def inside(self) -> Iterator[_Job]:
        """The jobs in a box and in its boxes, in the order of the file. Of a job: itself."""
        ahead = [self]
        while ahead:
            each = ahead.pop()
            if each.is_box:
                ahead += reversed(each.children)
            else:
                yield each

    @property
    def top(self) -> _Job:
        above = self
        while above.box is not None:
            above = above.box
        return above


@dataclass(frozen=True, slots=True)
class _Condition:
    """A condition whose parts are all joined by the same sign."""

    sign: str
    parts: Sequence[tuple[str, str, str]]
    """Letter, job, and what it is compared with."""


def read(text: str, *, zone: str = "UTC") -> Found:
    """Make schedules of the jobs and boxes. `zone` is the time zone of start times without one."""
    found = Collector(text)
    jobs, variables = _statements(text, found)
    _put_into_boxes(jobs, found)
    for job in jobs.values():
        if job.box is None:
            _Schedule(job, jobs, variables, zone, found).make()
    return found.found("job")


def _statements(text: str, found: Collector) -> tuple[dict[str, _Job], dict[str, str]]:
    """The jobs, and the global variables to which the file gives values."""
    jobs: dict[str, _Job] = {}
    variables: dict[str, str] = {}
    job: _Job | None = None
    variable = ""
    without = COMMENT.sub(lambda comment: re.sub(r"[^\n]", " ", comment[0]), text)
    for number, line in enumerate(without.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        read_line = ATTRIBUTE.fullmatch(line.rstrip("\r"))
        if read_line is None:
            found.report(number, "this is no attribute: a name, a colon and a value")
            continue
        key, value = read_line[1], _value(read_line[2])
        if key == "insert_job":
            name, *kind = JOB_TYPE.split(read_line[2], maxsplit=1)
            job, variable = _Job(_value(name), number), ""
            if kind:
                job.values["job_type"], job.lines["job_type"] = _value(kind[0]), number
            if job.name in jobs:
                found.report(number, f"the job {shown(job.name)} is in the file twice: the first one counts")
            jobs.setdefault(job.name, job)
        elif key == "insert_global":
            job, variable = None, value
        elif key == "value" and variable:
            variables[variable] = value
        elif re.match("(insert|update|delete|override|import)_", key):
            job, variable = None, ""
            found.report(number, f"{key} is not imported: only insert_job and insert_global are")
        elif job is None:
            if variable:
                found.report(number, f"{key} of a global variable is not imported")
        else:
            job.values[key], job.lines[key] = value, number
    return jobs, variables


def _value(text: str) -> str:
    text = text.strip()
    text = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    return text.replace("\\:", ":").replace('\\"', '"')


def _put_into_boxes(jobs: Mapping[str, _Job], found: Collector) -> None:
    for job in jobs.values():
        box = jobs.get(job.values.get("box_name", ""))
        above = box
        while above is not None and above is not job:
            above = above.box
        if box is not None and box.is_box and above is not job:
            job.box = box
            box.children.append(job)
        elif "box_name" in job.values:
            why = f"there is no box {shown(job.values['box_name'])} around it in this file: it starts only by hand"
            found.report(job.lines["box_name"], why)


class _Schedule:
    """Makes a schedule of a box, or of a job outside of boxes."""

    def __init__(
        self, top: _Job, jobs: Mapping[str, _Job], variables: Mapping[str, str], zone: str, found: Collector
    ) -> None:
        self._top, self._jobs, self._variables, self._zone, self._found = top, jobs, variables, zone, found
        self._names = JobNames(found)
        self._parameters: dict[str, str] = {}

    def make(self) -> None:
        top, found = self._top, self._found
        members = list(top.inside())
        self._explain(top)
        for box in dict.fromkeys(box for member in members for box in self._boxes_around(member)):
            self._explain(box)
        if not members:
            found.report(top.line, "no schedule: there is no job in this box")
            return
        job_list = [self._job(member) for member in members]
        if top.is_box and (top.says("auto_hold") or "status" in top.values):
            why = "the hold or the status of a box is not imported: pause the schedule, or hold its jobs"
            found.report(top.line, why)
        document: dict[str, Any] = {
            "scheduleId": found.schedule_id(top.name),
            "scheduleName": top.name[:256],
            **described(top.values.get("description", "")),
            "trigger": self._trigger(),
        }
        if "max_run_alarm" in top.values:
            document |= self._longest()
        if self._parameters:
            document["parameters"] = self._parameters
        found.add(top.line, document | {"jobList": job_list})

    def _boxes_around(self, job: _Job) -> list[_Job]:
        """Those between the job and the top."""
        boxes, above = [], job.box
        while above is not None and above is not self._top:
            boxes.append(above)
            above = above.box
        return boxes

    def _explain(self, job: _Job) -> None:
        """Report the attributes that have no meaning here, and note those that have another."""
        for key, line in job.lines.items():
            if key in NOTED:
                self._found.note(line, f"{key}: {NOTED[key]}")
            elif key not in KEPT and key not in NO_MEANING:
                self._found.report(line, f"the attribute {key} of {shown(job.name)} is not imported")
            elif key == "max_run_alarm" and job is not self._top:
                why = "a message comes when a run takes too long (maxDuration), or a job longer than usual (job_slow)"
                self._found.note(line, f"max_run_alarm: {why}")

    def _longest(self) -> dict[str, Any]:
        minutes = self._top.values["max_run_alarm"]
        line = self._top.lines["max_run_alarm"]
        if not re.fullmatch("[0-9]{1,5}", minutes):
            self._found.report(line, f"{shown(minutes)} is no number of minutes")
            return {}
        self._found.note(
            line, "max_run_alarm is maxDuration: the message run_late goes to the schedule's notifications"
        )
        return {"maxDuration": f"{int(minutes)}m"} if int(minutes) else {}

    def _job(self, job: _Job) -> dict[str, Any]:
        name = self._names.name(job.name, job.line)
        if job is not self._top:
            self._explain(job)
        try:
            return self._work(job, name) | self._waits(job)
        except Refused as refused:
            why = str(refused)
        self._found.report(job.line, f"the job {shown(job.name)} has no work here, so it FAILS: {why}")
        made = missing_job(name, job.line, why)
        try:
            return made | self._waits(job)
        except Refused:
            return made

    def _work(self, job: _Job, name: str) -> dict[str, Any]:
        kind = job.values.get("job_type", "c")
        if kind.lower() not in COMMAND_TYPES:
            raise Refused(f"a job of the type {shown(kind)} cannot be imported, only CMD and BOX")
        if not job.values.get("command"):
            raise Refused("it has no command")
        for key in ("profile", "std_in_file", "max_exit_success", "success_codes", "fail_codes"):
            if key in job.values:
                raise Refused(f"{key} changes what the command does")
        made = shell_job(name, self._with_globals(job.values["command"]))
        if "envvars" in job.values:
            made["containerOverrides"]["environment"] = self._environment(job.values["envvars"])
        if retries := self._number(job, "n_retrys"):
            if retries >= LONGEST_BATCH_RETRIES:
                raise Refused(f"n_retrys is {retries}, and Batch tries a job at most {LONGEST_BATCH_RETRIES} times")
            made["retryStrategy"] = {"attempts": retries + 1}
        if minutes := self._number(job, "term_run_time"):
            made["timeout"] = {"attemptDurationSeconds": minutes * 60}
        return made | self._state(job)

    def _state(self, job: _Job) -> dict[str, Any]:
        status = job.values.get("status", "").upper()
        if status in ("ON_HOLD", "OH") or job.says("auto_hold"):
            return {"hold": True}
        if status in ("ON_ICE", "OI"):
            return {"jobStatus": "PASS"}
        if status not in ("", "INACTIVE", "IN", "SUCCESS", "SU"):
            raise Refused(f"it has the status {shown(status)}")
        return {}

    def _with_globals(self, command: str) -> str:
        """The command, with the value that the run has for each global variable."""

        def reference(variable: re.Match[str]) -> str:
            name = variable[1] or variable[2]
            if name not in self._variables:
                raise Refused(f"this file gives the global variable $${name} no value")
            self._parameters[name] = self._variables[name]
            return f"{{{{run.parameters.{name}}}}}"

        return GLOBAL.sub(reference, command)

    def _environment(self, text: str) -> list[dict[str, str]]:
        entries = []
        for part in text.split(","):
            name, sign, value = part.strip().partition("=")
            if not name or not sign:
                raise Refused(f"envvars: {shown(part)} is not NAME=VALUE")
            entries.append({"name": name.strip(), "value": _value(value)})
        return entries

    def _number(self, job: _Job, key: str) -> int:
        text = job.values.get(key, "0")
        if not re.fullmatch("[0-9]{1,6}", text):
            raise Refused(f"{key} is {shown(text)}, which is no number")
        return int(text)

    def _waits(self, job: _Job) -> dict[str, Any]:
        """The dependencies of a job: by its own condition, and by those of the boxes in the box."""
        if job is self._top:
            return {}
        around = [job, *self._boxes_around(job)]
        for each in around:
            if each.says("date_conditions"):
                raise Refused(f"{shown(each.name)} waits for a time of day inside its box")
        conditions = [_condition(each.values["condition"]) for each in around if each.values.get("condition")]
        if not conditions:
            return {}
        if len(conditions) > 1 and any(each.sign == "|" for each in conditions):
            raise Refused("it and the boxes around it have conditions that are joined in different ways")
        parts = [part for condition in conditions for part in condition.parts]
        letters = {letter for letter, _, _ in parts}
        waits: dict[str, Any] = {}
        for letter, name, compared in parts:
            other = self._jobs.get(name)
            if other is None or other.top is not self._top or other is self._top:
                raise Refused(f"it waits for {shown(name)}, which is not in its box")
            if other.is_box and letter != "s":
                raise Refused(f"it waits for the box {shown(name)} in another way than by s()")
            if other.is_box and conditions[0].sign == "|":
                raise Refused(f"it waits for the box {shown(name)} or for others")
            for member in other.inside():
                waits.setdefault(self._names.name(member.name, member.line), self._wait(letter, member, compared))
        rule = _rule(letters, conditions[0].sign)
        return {"jobDependencies": list(waits.values()), **({"runWhen": rule} if rule else {})}

    def _wait(self, letter: str, other: _Job, compared: str) -> Any:
        name = self._names.name(other.name, other.line)
        if letter == "e":
            return {"job": name, "exitCode": int(compared)}
        return {"job": name, "status": "FAILED"} if letter == "f" else name

    def _trigger(self) -> Any:
        top = self._top
        if "box_name" in top.values:
            return dict(MANUAL)
        try:
            if top.says("date_conditions"):
                if top.values.get("condition"):
                    raise Refused("it waits for a time and for other jobs, and a trigger can only be one of both")
                return _times(top, self._zone, self._found)
            if top.values.get("condition"):
                return self._after(_condition(top.values["condition"]))
        except Refused as refused:
            line = top.lines.get("condition") or top.lines["date_conditions"]
            self._found.report(line, f"{shown(top.name)} starts only by hand: {refused}")
        return dict(MANUAL)

    def _after(self, condition: _Condition) -> dict[str, Any]:
        letters = {letter for letter, _, _ in condition.parts}
        if len(letters) > 1 or not letters <= set(OUTCOMES):
            raise Refused("a schedule waits for others that have all SUCCEEDED, all FAILED, or all ended")
        names = list(dict.fromkeys(name for _, name, _ in condition.parts))
        for name in names:
            if name not in self._jobs:
                raise Refused(f"there is no job {shown(name)} in this file")
            if self._jobs[name].top is not self._jobs[name]:
                raise Refused(f"it waits for {shown(name)}, a job in a box, and a schedule waits for whole schedules")
        if len(names) > 1 and condition.sign == "&":
            self._found.note(self._top.lines["condition"], LATEST)
        outcome = OUTCOMES[letters.pop()]
        return {
            "after": [self._found.schedule_id(name) for name in names],
            **({"when": "all"} if len(names) > 1 and condition.sign == "&" else {}),
            **({} if outcome == "SUCCEEDED" else {"outcome": outcome}),
        }


def _condition(text: str) -> _Condition:
    """A condition, if its parts are all joined by `&`, or all by `|`."""
    parts = []
    for kind, name, lookback, sign, compared in ATOM.findall(text):
        letter = kind[0]
        if lookback:
            raise Refused(f"{shown(kind + '(' + name + lookback + ')')} looks back for a time")
        if "^" in name:
            raise Refused(f"{shown(name)} is a job of another AutoSys")
        if letter not in "sfde":
            raise Refused(f"a condition {kind}() cannot be imported, only s(), f(), d() and e()")
        if letter == "e" and (sign != "=" or not re.fullmatch("[0-9]{1,3}", compared)):
            raise Refused(f"an exit code can only be equal to a number: {shown(text)}")
        if letter != "e" and sign:
            raise Refused(f"{shown(text)} cannot be read")
        parts.append((letter, name, compared))
    between = re.sub(r"(?i)\band\b", "&", re.sub(r"(?i)\bor\b", "|", ATOM.sub(" ", text)))
    signs = set(re.sub(r"[\s()]", "", between))
    if not parts or not signs <= {"&", "|"} or len(re.findall("[&|]", between)) != len(parts) - 1:
        raise Refused(f"the condition {shown(text)} cannot be read")
    if len(signs) > 1:
        raise Refused(f"the condition {shown(text)} has & and |")
    return _Condition(signs.pop() if signs else "&", parts)


def _rule(letters: set[str], sign: str) -> str:
    """The job's runWhen; empty for the usual one."""
    if sign == "|":
        if "d" not in letters:
            return "one_success"
        raise Refused("d() is joined by |")
    if letters == {"d"}:
        return "all_done"
    if "d" in letters:
        raise Refused("d() stands beside s(), f() or e()")
    return ""


def _times(job: _Job, zone: str, found: Collector) -> Any:
    values = job.values
    if "run_calendar" in values and "exclude_calendar" in values:
        raise Refused("it has two calendars, and a trigger has one")
    days = _days(values.get("days_of_week", "" if "run_calendar" not in values else "all"))
    trigger: dict[str, Any] = {"timezone": values.get("timezone", zone)}
    for key in ("run_calendar", "exclude_calendar"):
        if key in values:
            trigger["calendar"] = values[key]
            kind = "the only business days" if key == "run_calendar" else "no business days (with weekend: [])"
            name = shown(values[key])
            found.note(job.lines[key], f"store a calendar {name} in which the dates of AutoSys are {kind}")
    if "start_mins" in values:
        minutes = [part.strip() for part in values["start_mins"].split(",")]
        if "start_times" in values or not all(re.fullmatch("[0-5]?[0-9]", each) for each in minutes):
            raise Refused(f"start_mins: {shown(values['start_mins'])}")
        return {"cron": f"{','.join(str(int(each)) for each in minutes)} * * * {days}"} | trigger
    hours: dict[int, list[str]] = {}
    for part in values.get("start_times", "").split(","):
        time = TIME.fullmatch(part.strip())
        if time is None:
            raise Refused(f"start_times: {shown(part.strip())} is no time of day")
        hours.setdefault(int(time[2]), []).append(str(int(time[1])))
    triggers = [{"cron": f"{minute} {','.join(each)} * * {days}"} | trigger for minute, each in hours.items()]
    return triggers[0] if len(triggers) == 1 else triggers


def _days(text: str) -> str:
    days = [part.strip().lower() for part in text.split(",")]
    if days == ["all"]:
        return "*"
    if not all(day in DAYS for day in days):
        raise Refused(f"days_of_week: {shown(text)} is neither all nor a list of {', '.join(DAYS)}")
    return ",".join(str(DAYS.index(day)) for day in days)
