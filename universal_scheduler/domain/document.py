"""Reads schedule documents: every form that users have, checked, into a `Schedule`; or says exactly what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from graphlib import CycleError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from universal_scheduler.domain.errors import DocumentError, InvalidSchedule, did_you_mean
from universal_scheduler.domain.fan_out import overrides_limit_error
from universal_scheduler.domain.model import Dependency, Job, JobStatus, RunWhen, Scalar, Schedule
from universal_scheduler.domain.notifications import Service
from universal_scheduler.domain.planner import upstream_first
from universal_scheduler.domain.references import as_text, outputs_of, reference_errors

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

SCHEMA_PATH = Path(__file__).parents[2] / "dynamo" / "schema.json"
SINGLE_JOB_KEYS = frozenset({"jobName", "jobDefinition", "jobQueue"})
RECORDED_KEYS = frozenset({"scheduleErrors", "scheduleStatus", "startDateTime", "lastDateTime"})
"""Keys that say something of a run, or that the scheduler itself writes: no part of what a schedule is."""
KEPT_SECRET = (".secret", ".slack", ".teams", ".webex", ".webhook")
"""Values that may be secret, so that no error repeats them."""
MAX_ERRORS = 50
DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def parse(document: Mapping[str, Any]) -> Schedule:
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
    trigger = row.get("trigger", {})
    return Schedule(
        schedule_id=row["scheduleId"],
        jobs=tuple(_job(job) for job in row["jobList"]),
        document={key: value for key, value in row.items() if key not in RECORDED_KEYS},
        wait_seconds=int(row.get("wait_time", 60)),
        after=tuple(trigger.get("after", ())),
        manual=bool(trigger.get("manual", False)),
        parameters=dict(row.get("parameters", {})),
    )


def as_row(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document in the form of a row: unwrapped, and a single job as a schedule of one."""
    wrapped = document.get("output")
    if isinstance(wrapped, Mapping) and "jobList" in wrapped and "jobList" not in document:
        return dict(wrapped)
    if "jobList" not in document and document.keys() >= SINGLE_JOB_KEYS:
        job = {key: value for key, value in document.items() if key not in ("wait_time", "scheduleId", "trigger")}
        row: dict[str, Any] = {"scheduleId": document.get("scheduleId", document["jobName"]), "jobList": [job]}
        return row | {key: document[key] for key in ("wait_time", "trigger") if key in document}
    return dict(document)


def find_errors(row: Mapping[str, Any]) -> list[DocumentError]:
    """Everything that is wrong with a row, in the order of the document; empty where nothing is."""
    errors = [_describe(error) for error in sorted(_validator().iter_errors(row), key=lambda error: list(error.path))]
    if not errors:
        errors = list(_graph_errors(row["scheduleId"], row["jobList"], row.get("trigger", {})))
        errors += _fan_out_errors(row["jobList"])
        errors += _channel_errors(row.get("notifications", ()))
        errors += _zone_errors(row)
    if not errors:
        upstream_of = {job["jobName"]: _upstream_names(job) for job in row["jobList"]}
        errors = list(reference_errors(row["jobList"], upstream_of, list(row.get("parameters", {}))))
    return list(dict.fromkeys(errors))[:MAX_ERRORS]


def blank(value: object) -> bool:
    """Whether a value means "nothing": users write a single blank where there is no status, id or date."""
    return value is None or (isinstance(value, str) and not value.strip())


def _job(entry: Mapping[str, Any]) -> Job:
    recorded_id = entry.get("jobId", "")
    if isinstance(recorded_id, Mapping):
        recorded_id = recorded_id.get("jobId", "")
    timeout = entry.get("timeout", {}).get("attemptDurationSeconds")
    values = entry.get("forEach", ())
    return Job(
        name=entry["jobName"],
        queue=entry["jobQueue"],
        definition=entry["jobDefinition"],
        dependencies=tuple(dependency(each) for each in entry.get("jobDependencies", ())),
        run_when=RunWhen(entry.get("runWhen", RunWhen.ALL_SUCCESS)),
        optional=entry.get("optional", False),
        hold=entry.get("hold", False),
        not_before=_epoch(entry["notBefore"]) if "notBefore" in entry else 0.0,
        array_size=entry.get("arrayProperties", {}).get("size", 0),
        for_each=() if isinstance(values, Mapping) else tuple(as_text(value) for value in values),
        for_each_s3=values["s3"] if isinstance(values, Mapping) else "",
        outputs_of=outputs_of(entry),
        parameters=dict(entry.get("parameters", {})),
        container_overrides=entry.get("containerOverrides"),
        retry_strategy=entry.get("retryStrategy"),
        timeout_seconds=None if timeout is None else int(timeout),
        priority=entry.get("priority"),
        share_identifier=entry.get("shareIdentifier", ""),
        max_queue_seconds=duration_seconds(entry["maxQueueTime"]) if "maxQueueTime" in entry else None,
        fallback_queue=entry.get("fallbackQueue", ""),
        recorded_status=str(entry.get("jobStatus", "")).strip(),
        recorded_id=recorded_id.strip(),
    )


def dependency(entry: str | Mapping[str, Any]) -> Dependency:
    """One entry of `jobDependencies`: a name, or `{job, …}` with `status`, `exitCode` (one or several) or `output`."""
    if isinstance(entry, str):
        return Dependency(entry)
    status, codes = entry.get("status"), entry.get("exitCode", ())
    return Dependency(
        entry["job"],
        None if status is None else JobStatus(status),
        tuple(codes) if isinstance(codes, Sequence) else (codes,),
        tuple((name, as_text(value)) for name, value in entry.get("output", {}).items()),
    )


def effective_parameters(defaults: Mapping[str, Scalar], given: Any) -> dict[str, Scalar]:
    """What a run has when it is given these: the schedule's defaults for the rest.

    Raises:
        InvalidSchedule: the schedule has no such parameter, or the value is no text, number, true or false.
    """
    if not isinstance(given, Mapping):
        raise InvalidSchedule([DocumentError("$.parameters", _shown(given), "an object")])
    known = list(defaults)
    errors = []
    for name, value in given.items():
        path = f"$.parameters.{name}"
        if name not in known:
            only = f"only {', '.join(known)}" if known else "none: the schedule has no parameters"
            errors.append(DocumentError(path, f"unknown parameter '{name}'{did_you_mean(name, known)}", only))
        elif not isinstance(value, Scalar):
            errors.append(DocumentError(path, _shown(value), "text, a number, true or false"))
    if errors:
        raise InvalidSchedule(errors)
    return {**defaults, **given}


def with_parameters(document: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The document as a run has it that is given these parameters.

    Raises:
        InvalidSchedule: as `effective_parameters`.
    """
    effective = effective_parameters(document.get("parameters", {}), given)
    return {**document, **({"parameters": effective} if effective else {})}


def duration_seconds(value: float | str) -> float:
    """A duration of a document: seconds, or ISO 8601 with days, hours, minutes and seconds (`PT1H30M`).

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str):
        return float(value)
    found = DURATION.fullmatch(value.rstrip("\n"))  # which the schema's `$` lets by
    if found is None or not any(found.groups()):
        raise ValueError(f"'{value}' is no duration")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()


def _epoch(text: str) -> float:
    """Raises ValueError where the text is no date and time with a zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return moment.timestamp()


@lru_cache(maxsize=1)
def _validator() -> Validator:
    from jsonschema import Draft202012Validator  # 60 ms to import: only where a document is read

    return Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))


def _describe(error: ValidationError) -> DocumentError:
    path = error.json_path
    schema: Any = error.schema
    wanted: Any = error.validator_value
    instance: Any = error.instance
    if path.startswith("$.notifications[") and path.endswith(KEPT_SECRET) and error.validator == "pattern":
        return DocumentError(path, "a value that is not shown", schema["description"])
    match error.validator:
        case "additionalProperties":
            known = list(schema.get("properties", {}))
            unknown = [key for key in instance if key not in known]
            hints = [f"'{key}'{did_you_mean(key, known)}" for key in unknown]
            return DocumentError(path, f"unknown key {', '.join(hints)}", f"only {', '.join(known)}")
        case "required":
            missing = [key for key in wanted if key not in instance]
            return DocumentError(path, f"no {' and no '.join(missing)}", " and ".join(missing))
        case "type":
            names = wanted if isinstance(wanted, str) else " or ".join(wanted)
            return DocumentError(path, _shown(instance), f"type {names}")
        case "maxLength":
            found = f"{len(instance)} characters ({_shown(instance)})"
            return DocumentError(path, found, f"at most {wanted} characters")
        case "minItems" | "minLength" | "minProperties":
            return DocumentError(path, _shown(instance), f"at least {wanted}")
        case "maxItems" | "maxProperties":
            return DocumentError(path, f"{len(instance)} entries", f"at most {wanted}")
        case "minimum" | "maximum":
            least, most = schema.get("minimum"), schema.get("maximum")
            span = f"between {least} and {most}" if most is not None else f"at least {least}"
            return DocumentError(path, _shown(instance), f"a number {span}")
        case "pattern":
            hint = schema.get("description", "")
            return DocumentError(path, _shown(instance), f"{wanted} {hint}".rstrip())
        case "enum":
            return DocumentError(path, _shown(instance), f"one of {', '.join(map(str, wanted))}")
        case "const":
            return DocumentError(path, _shown(instance), json.dumps(wanted))
        case "uniqueItems":
            return DocumentError(path, "the same entry twice", "every entry once")
        case _:
            return DocumentError(path, _shown(instance), error.message)


def _graph_errors(
    schedule_id: str, jobs: Sequence[Mapping[str, Any]], trigger: Mapping[str, Any]
) -> Iterator[DocumentError]:
    """What no JSON Schema can say: names are unique, dependencies exist, and there is an order to run in."""
    first_at: dict[str, int] = {}
    for index, job in enumerate(jobs):
        name = job["jobName"]
        if name in first_at:
            where = f"$.jobList[{first_at[name]}]"
            yield DocumentError(f"$.jobList[{index}].jobName", f"'{name}' again", f"a name that {where} does not have")
        first_at.setdefault(name, index)
    known = list(first_at)
    upstream_of = {job["jobName"]: _upstream_names(job) for job in jobs}
    broken = False
    for index, job in enumerate(jobs):
        if "notBefore" in job:
            yield from _date_errors(f"$.jobList[{index}].notBefore", job["notBefore"])
        names = _upstream_names(job)
        for position, upstream in enumerate(names):
            path = f"$.jobList[{index}].jobDependencies[{position}]"
            if upstream == job["jobName"]:
                broken = True
                yield DocumentError(path, f"the job '{upstream}' itself", "another job of the schedule")
            elif upstream not in first_at:
                broken = True
                hint = did_you_mean(upstream, known)
                yield DocumentError(path, f"'{upstream}'{hint}", "the jobName of a job of this schedule")
            elif upstream in names[:position]:
                yield DocumentError(path, f"'{upstream}' again", "every upstream job once")
    if not broken and len(known) == len(jobs):
        try:
            upstream_first(upstream_of)
        except CycleError as error:
            cycle = " → ".join(reversed(error.args[1]))
            yield DocumentError("$.jobList", f"a cycle: {cycle}", "jobs that do not wait for themselves")
    for position, upstream in enumerate(trigger.get("after", ())):
        if upstream == schedule_id:
            yield DocumentError(f"$.trigger.after[{position}]", "the schedule itself", "another schedule's scheduleId")


def _upstream_names(job: Mapping[str, Any]) -> list[str]:
    return [dependency(each).job for each in job.get("jobDependencies", ())]


def _fan_out_errors(jobs: Sequence[Mapping[str, Any]]) -> Iterator[DocumentError]:
    for index, entry in enumerate(jobs):
        path = f"$.jobList[{index}].forEach"
        if "forEach" not in entry:
            continue
        if "arrayProperties" in entry:
            yield DocumentError(
                path, "arrayProperties too", "one of the two: the values say how many children there are"
            )
        elif not entry.get("containerOverrides", {}).get("command"):
            yield DocumentError(
                path, "no containerOverrides.command", "a command, which each child runs with its value"
            )
        elif problem := overrides_limit_error(_job({key: entry[key] for key in entry if key != "notBefore"})):
            yield DocumentError(path, *problem)


def _channel_errors(notifications: Sequence[Mapping[str, Any]]) -> Iterator[DocumentError]:
    """Every entry has one channel, and only a webhook of the scheduler's own shape is signed."""
    for index, entry in enumerate(notifications):
        found = [service for service in Service if service in entry]
        if len(found) != 1:
            expected = f"one channel: {', '.join(Service)}"
            yield DocumentError(f"$.notifications[{index}]", " and ".join(found) or "no channel", expected)
        elif "secret" in entry and found != [Service.WEBHOOK]:
            expected = "a secret with webhook alone: what other services are sent is not signed"
            yield DocumentError(f"$.notifications[{index}].secret", f"a secret beside {found[0]}", expected)


def _zone_errors(row: Mapping[str, Any]) -> Iterator[DocumentError]:
    if "timezone" not in row:
        return
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # not where documents are only read

    try:
        ZoneInfo(row["timezone"])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield DocumentError("$.timezone", _shown(row["timezone"]), "a time zone of the IANA database: Europe/Zurich")


def _date_errors(path: str, text: str) -> Iterator[DocumentError]:
    try:
        _epoch(text)
    except ValueError:
        yield DocumentError(path, _shown(text), "a date and time with its zone, e.g. 2026-11-21T06:00:00+01:00")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
