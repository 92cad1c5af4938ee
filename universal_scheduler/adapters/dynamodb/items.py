"""DynamoDB items: the form of the scheduler's data in the tables, and the size of an item."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Context, Decimal
from functools import cache
from typing import Any

from universal_scheduler.domain.documents.jobs import job_from_row, job_to_row
from universal_scheduler.domain.documents.json_text import read_json
from universal_scheduler.domain.errors import ItemTooLarge, UnreadableDocument
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.model import (
    AuditEntry,
    Execution,
    JobRun,
    JobStatus,
    Mark,
    Run,
    RunKey,
    RunStatus,
    Submission,
    Verb,
)

ITEM_LIMIT_BYTES = 400 * 1024
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""
COMPRESSED_JOBS = "jobListCompressed"
DECOMPRESSED_LIMIT_BYTES = 100 * 1024 * 1024
"""A job list that is larger than this after decompression is taken as damaged: a function has little more memory."""

LONGEST_INTEGER = 10**38
"""A larger integer is written with an exponent, because boto3 counts zeros at the end as digits."""
EXACTLY = Context(prec=126)
AUDIT_PREFIX = "#audit#"
PAUSED_KEY = "#paused"
"""Sort keys of rows that are no jobs, in the partition of a run or a schedule. The name of a job never begins with
`#`."""

KEY_LIMIT_BYTES, SORT_KEY_LIMIT_BYTES = 2048, 1024
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-partition-sort-keys"""

Item = dict[str, Any]


@cache
def _boto3() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """What boto3 makes of a value, and of an attribute. Only rare values need it: the memory store loads no boto3."""
    from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

    return TypeSerializer().serialize, TypeDeserializer().deserialize


def to_item(values: Mapping[str, Any]) -> Item:
    """Plain values as attribute values of DynamoDB. Keys whose value is None are left out."""
    return {key: to_attribute(value) for key, value in values.items() if value is not None}


def to_attribute(value: Any) -> dict[str, Any]:
    """One plain value as an attribute value of DynamoDB."""
    kind = type(value)  # boto3 asks for a dozen classes one after the other: the usual ones are told apart here
    if kind is str:
        return {"S": value}
    if kind is int and abs(value) < LONGEST_INTEGER:
        return {"N": str(value)}
    if kind is float and "e" not in (text := repr(value)) and "n" not in text:
        return {"N": text}
    if kind is bool:
        return {"BOOL": value}
    if kind is dict:
        return {"M": {key: to_attribute(entry) for key, entry in value.items()}}
    if kind is list or kind is tuple:
        return {"L": [to_attribute(entry) for entry in value]}
    if value is None:
        return {"NULL": True}
    serialize, _ = _boto3()
    return dict(serialize(_exact(value)))


def schedule_to_item(row: Mapping[str, Any]) -> Item:
    """The row of a schedule as an item. If it is too large, `jobListCompressed` has its jobList: JSON, compressed by
    zlib.

    Raises:
        ItemTooLarge: it is too large even with its jobs compressed.
    """
    item = to_item(row)
    size = item_size(item)
    if size <= ITEM_LIMIT_BYTES:
        return item
    jobs = item.pop("jobList", None)
    if jobs is not None:
        text = json.dumps(row["jobList"], ensure_ascii=False, separators=(",", ":"))
        item[COMPRESSED_JOBS] = {"B": zlib.compress(text.encode())}
    compressed = item_size(item)
    if compressed <= ITEM_LIMIT_BYTES:
        return item
    raise ItemTooLarge(
        f"The schedule takes {size:,} bytes as a DynamoDB item, {compressed:,} with its jobs compressed, and the limit "
        f"is {ITEM_LIMIT_BYTES:,}: split it into several schedules, or move long commands into the job's image."
    )


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item of a table or of a stream record as plain values. Whole numbers become int, others float.

    A `jobListCompressed` becomes a `jobList` again. A schedule has no binary values: they become `{"B": base64}`, which
    the schema refuses at any place, so that the errors of the row show them with their path.
    """
    values = {key: _value(attribute) for key, attribute in item.items()}
    if COMPRESSED_JOBS in item and (jobs := _decompressed(item[COMPRESSED_JOBS])) is not None:
        del values[COMPRESSED_JOBS]
        values["jobList"] = jobs
    return values


def may_be_key(text: str, limit_bytes: int = KEY_LIMIT_BYTES) -> bool:
    """Whether the text can be a key: DynamoDB refuses a request with any other text."""
    try:
        return 0 < len(text.encode()) <= limit_bytes
    except UnicodeEncodeError:  # a lone surrogate
        return False


def item_size(item: Mapping[str, Any]) -> int:
    """The size of an item in bytes, as DynamoDB counts it.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(key.encode()) + _size(value) for key, value in item.items())


def run_to_values(run: Run) -> dict[str, Any]:
    """A row of the history table, with the attributes of the reference design and those that this scheduler adds."""
    shown = {key: value for key, value in run.document.items() if key not in ("jobList", "trigger")}
    return shown | {
        "scheduleId": run.key.schedule_id,
        "startDateTime": run.key.start,
        "startDay": start_day(run.key.start),
        "scheduleStatus": str(run.status),
        "wait_time": run.wait_seconds,
        "runId": run.key.run_id,
        "executionArn": run.execution.arn,
        "executionName": run.execution.name,
        "generation": run.generation,
        "cause": dict(run.cause),
        "cancelAsked": mark_to_value(run.cancel),
        "verbCount": run.verb_count or None,
        "preparing": run.preparing or None,
        **(UNWATCHED if run.status.ended else WATCHED),
    }


WATCHED: Mapping[str, Any] = {"watch": "RUNS", "watchAt": 0}
"""The attributes that put a run into the index of the watchdogs. `watchAt` is when it is due, in epoch seconds."""
UNWATCHED: Mapping[str, Any] = dict.fromkeys(WATCHED)
RUN_KEYS = frozenset(
    {
        *("startDay", "scheduleStatus", "runId", "executionArn", "executionName", "generation", "cause"),
        *("lastDateTime", "statusReason", "cancelAsked", "verbCount", "preparing", "jobListOmitted"),
        *WATCHED,
    }
)


def start_day(start: str) -> str:
    """The UTC day of a run's start: the partition of the index of runs. Of any other text it is the beginning."""
    return start[:10]


def run_from_values(row: Mapping[str, Any]) -> Run:
    """Read a row of the history table. A row that the reference design has written has no execution, and
    generation 0."""
    status = str(row.get("scheduleStatus", "")).strip()
    return Run(
        key=RunKey(row["scheduleId"], row["startDateTime"]),
        status=RunStatus(status) if status in RunStatus.__members__ else RunStatus.FAILED,
        execution=Execution(row.get("executionArn", ""), row.get("executionName", "")),
        generation=int(row.get("generation", 0)),
        wait_seconds=int(row.get("wait_time", 60)),
        cause=row.get("cause", {}),
        reason=row.get("statusReason", ""),
        ended_at=row.get("lastDateTime", ""),
        document={key: value for key, value in row.items() if key not in RUN_KEYS and key != "startDateTime"},
        cancel=mark_from_value(row.get("cancelAsked")),
        verb_count=int(row.get("verbCount") or 0),
        preparing=bool(row.get("preparing")),
        job_list_omitted=int(row.get("jobListOmitted") or 0),
    )


def mark_to_value(mark: Mark | None) -> dict[str, Any] | None:
    """A mark as the value of an attribute."""
    return None if mark is None else {"verb": str(mark.verb), "by": mark.by, "at": mark.at, "reason": mark.reason}


def mark_from_value(value: Mapping[str, Any] | None) -> Mark | None:
    """Read what `mark_to_value` has written."""
    return None if value is None else Mark(Verb(value["verb"]), value["by"], float(value["at"]), value["reason"])


def audit_to_values(owner: str, entry: AuditEntry, number: int) -> dict[str, Any]:
    """A line of the audit trail, as a row of the jobs table. `owner` is the run id or the scheduleId."""
    return {
        "runId": owner,
        "jobName": f"{AUDIT_PREFIX}{iso(entry.mark.at)}#{number}",
        **(mark_to_value(entry.mark) or {}),
        "job": entry.job or None,
        "before": entry.before or None,
        "after": entry.after or None,
        "given": dict(entry.given) or None,
    }


def audit_from_values(row: Mapping[str, Any]) -> AuditEntry:
    """Read what `audit_to_values` has written."""
    return AuditEntry(
        mark=Mark(Verb(row["verb"]), row["by"], float(row["at"]), row["reason"]),
        job=row.get("job", ""),
        before=row.get("before", ""),
        after=row.get("after", ""),
        given=row.get("given", {}),
    )


def job_to_values(run_id: str, job: JobRun) -> dict[str, Any]:
    """A row of the jobs table: what the schedule says of the job, and what has happened to the job."""
    return {
        "runId": run_id,
        **job_to_row(job.job),
        "position": job.position,
        "jobStatus": str(job.status),
        "statusRank": job.status.rank,
        "attempt": job.attempt,
        "attempts": job.attempts or None,
        "earlier": [_submission_to_value(each) for each in job.earlier] or None,
        "notTaken": job.not_taken or None,
        "operator": mark_to_value(job.mark),
        "withdrawAsked": job.withdraw_asked or None,
        "moveTo": job.move_to or None,
        "follows": job.follows or None,
        "behind": dict(job.behind) or None,
        "children": job.children or None,
        "childCounts": dict(job.child_counts) or None,
        "outputText": None if job.output is None else json.dumps(job.output),
        "outputProblem": job.output_problem or None,
        "jobId": job.job_id or None,  # the key of an index: an empty string is not allowed there
        "statusReason": job.reason or None,
        "exitCode": job.exit_code,
        "logStreamName": job.log_stream or None,
        "intentAt": job.intent_at or None,
        "submittedAt": job.submitted_at or None,
        "startedAt": job.started_at or None,
        "stoppedAt": job.stopped_at or None,
    }


def _submission_to_value(each: Submission) -> dict[str, Any]:
    children = {"children": each.children} if each.children else {}
    return {"jobId": each.job_id, "firstAttempt": each.first, "attempts": each.attempts, **children}


def _submission_from_value(value: Mapping[str, Any]) -> Submission:
    return Submission(value["jobId"], int(value["firstAttempt"]), int(value["attempts"]), value.get("children", ""))


def job_from_values(row: Mapping[str, Any]) -> JobRun:
    """Read what `job_to_values` has written."""
    return JobRun(
        job=job_from_row(row),
        position=int(row["position"]),
        status=JobStatus(row["jobStatus"]),
        attempt=int(row["attempt"]),
        attempts=int(row.get("attempts", 0)),
        earlier=tuple(_submission_from_value(each) for each in row.get("earlier", ())),
        not_taken=row.get("notTaken", False),
        mark=mark_from_value(row.get("operator")),
        withdraw_asked=row.get("withdrawAsked", False),
        move_to=row.get("moveTo", ""),
        follows=int(row.get("follows", 0)),
        behind=row.get("behind", {}),
        children=row.get("children", ""),
        child_counts=row.get("childCounts", {}),
        output=json.loads(row["outputText"]) if "outputText" in row else None,
        output_problem=row.get("outputProblem", ""),
        job_id=row.get("jobId", ""),
        reason=row.get("statusReason", ""),
        exit_code=row.get("exitCode"),
        log_stream=row.get("logStreamName", ""),
        intent_at=float(row.get("intentAt", 0)),
        submitted_at=float(row.get("submittedAt", 0)),
        started_at=float(row.get("startedAt", 0)),
        stopped_at=float(row.get("stoppedAt", 0)),
    )


def _decompressed(attribute: Mapping[str, Any]) -> Any:
    """The list that `schedule_to_item` has compressed; None where it is anything else."""
    data = attribute.get("B", b"")
    with suppress(zlib.error, ValueError, UnreadableDocument):
        packed = base64.b64decode(data, validate=True) if isinstance(data, str) else bytes(data)
        return read_json(zlib.decompressobj().decompress(packed, DECOMPRESSED_LIMIT_BYTES))
    return None


def _value(attribute: Mapping[str, Any]) -> Any:
    [(kind, value)] = attribute.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "N":
            return _number(value)
        case "M":
            return {key: _value(entry) for key, entry in value.items()}
        case "L":
            return [_value(entry) for entry in value]
        case "B":
            return _binary(value)
        case "BS":
            return [_binary(entry) for entry in value]
        case "NS":
            return sorted(map(_number, value))
        case "SS":
            return sorted(value)
        case "NULL":
            return None
        case _:
            _, deserialize = _boto3()
            return deserialize(attribute)


def _number(text: str) -> int | float:
    """Whole numbers as int, others as float."""
    try:
        return int(text)
    except ValueError:
        value = Decimal(text)
        return int(value) if value == value.to_integral_value() else float(value)


def _binary(value: bytes | str) -> dict[str, str]:
    """From the table's client it comes as bytes, in the event of a Lambda function as base64 text."""
    return {"B": value if isinstance(value, str) else base64.b64encode(value).decode()}


def _exact(value: Any) -> Any:
    match value:
        case float():
            return Decimal(str(value))
        case int() if abs(value) >= LONGEST_INTEGER:
            return Decimal(value).normalize(EXACTLY)
        case Mapping():
            return {key: _exact(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_exact(entry) for entry in value]
        case _:
            return value


def _size(attribute: Mapping[str, Any]) -> int:
    [(kind, value)] = attribute.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return len(value) // 2 + 2
        case "B":
            return len(value)
        case "M":
            return 3 + sum(len(key.encode()) + 1 + _size(entry) for key, entry in value.items())
        case "L":
            return 3 + sum(1 + _size(entry) for entry in value)
        case "SS" | "NS" | "BS":
            return sum(len(entry) for entry in value)
        case _:
            return 1
