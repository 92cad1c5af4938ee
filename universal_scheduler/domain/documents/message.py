"""Reads and checks the input of an execution: the message that starts a run, restarts it, or goes on with it.

Every door uses `read_message`, so that a message means the same, or is refused with the same errors, at every door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from universal_scheduler.domain.documents.durations import epoch_seconds
from universal_scheduler.domain.documents.parse import SINGLE_JOB_KEYS, is_single_job, is_wrapped, parse
from universal_scheduler.domain.documents.recorded import RESTART, status_errors
from universal_scheduler.domain.documents.storable import plain, storable_errors
from universal_scheduler.domain.documents.values import blank, shown
from universal_scheduler.domain.errors import DocumentError, InvalidMessage, InvalidSchedule, did_you_mean
from universal_scheduler.domain.runs.model import Schedule
from universal_scheduler.domain.runs.restart import VARIANT_KEYS, Variant, read_variant

ID_LIMIT, START_LIMIT = 128, 64
"""Characters of a scheduleId and of a startDateTime, as in `dynamo/schema.json`."""
OF_THE_SCHEDULER = ("cause", "continueOf", "ofGeneration")
"""Keys that only the scheduler itself may write into a message."""
STARTED_BY = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"
"""Another state machine adds this key to the input of an execution that it starts.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-nested-workflows.html"""
KEYS = ("scheduleId", "parameters", "scheduleStatus", "startDateTime", *VARIANT_KEYS)
"""The keys of a message about a stored schedule."""
RESTART_NEEDS = (
    "the startDateTime of the run to restart (GET /v1/schedules/ID and usched runs ID list them; "
    "usched restart ID takes the newest run)"
)
NOTHING_TO_RUN = "a scheduleId, a document with its jobList, or a job with jobName, jobDefinition and jobQueue"


@dataclass(frozen=True, slots=True)
class Message:
    """The input of an execution: what to run, and what caused it."""

    schedule_id: str = ""
    restart_of: str = ""
    """The `startDateTime` of the run to restart or to go on with; empty for a new run."""
    continue_of: int = 0
    """Only if a run goes on as a new execution: the generation of the execution before."""
    document: Schedule | None = None
    """The schedule that the message carries and that runs instead of a stored one."""
    cause: Mapping[str, Any] | None = None
    of_generation: int | None = None
    """The generation of the run that the restart is for; None means any."""
    variant: Variant = field(default_factory=Variant)
    """How the restart differs from a plain one, which goes on where the run failed."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The parameters for the run. A document that the message carries has its own."""

    @property
    def restart(self) -> bool:
        return bool(self.restart_of) and not self.continue_of


def read_message(given: object) -> Message:
    """Read and check a message in any of its forms.

    The forms are: `{scheduleId}`, perhaps with `parameters`; `{scheduleId, startDateTime, scheduleStatus: "RESTART"}`,
    perhaps with the keys of a restart; a document; a single job; and the scheduler's own form, which goes on with a
    run.

    Raises:
        InvalidMessage: the message is wrong. The error has everything that is wrong, each with its JSON path.
        InvalidSchedule: the document in the message is wrong, likewise.
    """
    given = _without_recorded_errors(given)
    if errors := storable_errors(given):
        raise InvalidMessage(errors)
    given = plain(given)
    if not isinstance(given, Mapping):
        raise InvalidMessage([DocumentError("$", shown(given), f"an object with {NOTHING_TO_RUN}")])
    body = {key: value for key, value in given.items() if key not in (*OF_THE_SCHEDULER, STARTED_BY)}
    errors = list(_own_errors(given))
    inner = body["output"] if is_wrapped(body) else body
    inline = "jobList" in inner or is_single_job(inner)
    restart = inner.get("scheduleStatus") == RESTART
    if not inline:
        errors += _stored_errors(inner, restart, "continueOf" in given)
    elif restart:  # the document itself is checked like any other
        errors += _restart_errors(inner, restart, False)
    variant = Variant()
    if restart:
        try:
            variant = read_variant({**inner, "parameters": {}} if is_single_job(inner) else inner)
        except InvalidSchedule as invalid:
            errors += invalid.errors
    document = None
    if inline:
        try:
            document = parse(_without_restart(body, inner) if restart else body)
        except InvalidSchedule as invalid:
            errors += invalid.errors
    if errors:
        raise InvalidSchedule(errors) if inline else InvalidMessage(errors)
    schedule_id = document.schedule_id if document is not None else inner["scheduleId"]
    return Message(
        schedule_id=schedule_id,
        restart_of=inner["startDateTime"].strip() if restart or "continueOf" in given else "",
        continue_of=given.get("continueOf", 0),
        document=document,
        cause=given.get("cause"),
        of_generation=given.get("ofGeneration"),
        variant=variant,
        parameters={} if inline else inner.get("parameters", {}),
    )


def run_named(given: object) -> tuple[str, str]:
    """The scheduleId of a message and the startDateTime of the run that it goes on with, as far as they can be read.

    It never raises: a part is empty if the message does not have it, or has something that cannot be a key.
    """
    if not isinstance(given, Mapping):
        return "", ""
    inner = given["output"] if is_wrapped(given) else given
    schedule_id = inner.get("scheduleId", inner.get("jobName") if is_single_job(inner) else "")
    goes_on = inner.get("scheduleStatus") == RESTART or "continueOf" in inner
    return _text(schedule_id, ID_LIMIT), _text(inner.get("startDateTime"), START_LIMIT) if goes_on else ""


def _without_recorded_errors(given: object) -> object:
    """A document without the errors that the scheduler wrote beside its row: no door looks at them."""
    if not isinstance(given, Mapping):
        return given
    inner = given["output"] if is_wrapped(given) else given
    if "scheduleErrors" not in inner or not ("jobList" in inner or is_single_job(inner)):
        return given
    document = {key: value for key, value in inner.items() if key != "scheduleErrors"}
    return {**given, "output": document} if inner is not given else document


def _text(value: object, limit: int) -> str:
    """A text that can be part of a key; a lone surrogate cannot."""
    if not isinstance(value, str) or len(value) > limit:
        return ""
    return "" if any("\ud800" <= char <= "\udfff" for char in value) else value.strip()


def _own_errors(given: Mapping[str, Any]) -> Iterator[DocumentError]:
    """Of the keys that the scheduler writes itself."""
    for key, least in (("continueOf", 1), ("ofGeneration", 0)):  # a run of the reference design has generation 0
        if key in given and (type(given[key]) is not int or given[key] < least):
            yield DocumentError(f"$.{key}", shown(given[key]), "the generation of a run, which the scheduler writes")
    cause = given.get("cause", {})
    if not isinstance(cause, Mapping):
        yield DocumentError("$.cause", shown(cause), "an object")
        return
    for key, value in cause.items():
        if problem := _cause_problem(key, value):
            yield DocumentError(f"$.cause.{key}", shown(value), problem)


def _cause_problem(key: str, value: object) -> str:
    """What is expected instead of a value of a cause; empty if it is right."""
    match key:
        case "chain" | "runs":
            right = isinstance(value, list) and all(isinstance(entry, str) for entry in value)
            return "" if right else "a list of texts"
        case "scheduledTime":
            return "" if _reads(value, epoch_seconds) else "a date and time with its zone"
        case "businessDate":
            return "" if _reads(value, date.fromisoformat) else "a date"
        case _:
            return "" if isinstance(value, str | int | float) and not isinstance(value, bool) else "text or a number"


def _reads(value: object, read: Callable[[str], object]) -> bool:
    try:
        return isinstance(value, str) and read(value) is not None
    except ValueError:
        return False


def _stored_errors(message: Mapping[str, Any], restart: bool, goes_on: bool) -> Iterator[DocumentError]:
    """Of a message that names a stored schedule, or nothing."""
    job_keys = [key for key in message if key in SINGLE_JOB_KEYS]
    if job_keys:
        for key in sorted(SINGLE_JOB_KEYS - message.keys()):
            yield DocumentError("$", f"no {key}", "a single job with jobName, jobDefinition and jobQueue")
        return
    unknown = [f"{shown(key)}{did_you_mean(key, (*KEYS, 'jobList'))}" for key in message if key not in KEYS][:5]
    if "scheduleId" not in message:
        found = f"unknown key {', '.join(unknown)}" if unknown else "a message that does not say what to run"
        yield DocumentError("$", found, NOTHING_TO_RUN)
        return
    yield from _id_errors(message["scheduleId"])
    if unknown:
        expected = f"beside scheduleId only {', '.join(KEYS[1:])}; or a document with its jobList"
        yield DocumentError("$", f"unknown key {', '.join(unknown)}", expected)
    if not isinstance(message.get("parameters", {}), Mapping) and not restart:  # of a restart, read_variant looks
        yield DocumentError("$.parameters", shown(message["parameters"]), "an object")
    yield from _restart_errors(message, restart, goes_on)


def _id_errors(schedule_id: object) -> Iterator[DocumentError]:
    if not isinstance(schedule_id, str) or not schedule_id.strip():
        yield DocumentError("$.scheduleId", shown(schedule_id), "the scheduleId of a stored schedule")
    elif len(schedule_id) > ID_LIMIT:
        yield DocumentError("$.scheduleId", f"{len(schedule_id)} characters", f"at most {ID_LIMIT} characters")


def _restart_errors(message: Mapping[str, Any], restart: bool, goes_on: bool) -> Iterator[DocumentError]:
    """What says "restart" has to say it whole: half of it would run everything again."""
    start = message.get("startDateTime")
    if not restart:
        yield from status_errors(message.get("scheduleStatus"), f"blank, or {RESTART} in capitals")
    if not isinstance(start, str | None):
        yield DocumentError("$.startDateTime", shown(start), "the startDateTime of a run, as text")
    elif isinstance(start, str) and len(start) > START_LIMIT:
        yield DocumentError("$.startDateTime", f"{len(start)} characters", f"at most {START_LIMIT} characters")
    elif (restart or goes_on) and blank(start):
        yield DocumentError("$.startDateTime", "RESTART without it", RESTART_NEEDS)
    elif not restart and not blank(start) and not goes_on:
        expected = f'"scheduleStatus": "{RESTART}" beside it to restart that run, or no startDateTime for a new one'
        yield DocumentError("$.startDateTime", f"{shown(start)} without {RESTART}", expected)
    for key in () if restart else VARIANT_KEYS:
        if key in message:
            expected = f'"scheduleStatus": "{RESTART}" and the startDateTime of the run beside it'
            yield DocumentError(f"$.{key}", f"{key} without {RESTART}", expected)


def _without_restart(body: Mapping[str, Any], inner: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document of a restart, without what only the message says."""
    said = ("scheduleStatus", "startDateTime", *VARIANT_KEYS)
    document = {key: value for key, value in inner.items() if key not in said}
    return {**body, "output": document} if is_wrapped(body) else document
