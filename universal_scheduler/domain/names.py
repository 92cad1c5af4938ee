"""Makes names. The same cause always makes the same name, so that a second delivery of an event is recognised."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from universal_scheduler.domain.errors import InvalidName
from universal_scheduler.domain.runs.model import RunKey

EXECUTION_NAME_LIMIT = 80
"""https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html"""
EXECUTION_NAME_RULE = (
    f"at most {EXECUTION_NAME_LIMIT} characters, no blanks, no control characters and none of "
    '< > { } [ ] ? * " # % \\ ^ | ~ ` $ & , ; : /'
)
BATCH_NAME_LIMIT = 128
"""https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html"""
FORBIDDEN_IN_NAMES = frozenset('<>{}[]?*"#%\\^|~`$&,;:/')


def check_execution_name(name: object) -> None:
    """Check the name of an execution.

    Raises:
        InvalidName: Step Functions would refuse it.
    """
    if problem := execution_name_problem(name):
        raise InvalidName(name, problem, EXECUTION_NAME_RULE)


def execution_name_problem(name: object) -> str:
    """What Step Functions would refuse in the name of an execution; empty if it takes the name.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html#StepFunctions-StartExecution-request-name
    """
    if not isinstance(name, str):
        return "it is no text"
    if not name:
        return "it is empty"
    if len(name) > EXECUTION_NAME_LIMIT:
        return f"it has {len(name)} characters"
    bad = next((char for char in name if _forbidden(char)), None)
    if bad is None:
        return ""
    if bad.isspace():
        return "it has a blank"
    return f"it has '{bad}'" if bad.isprintable() else f"it has the character U+{ord(bad):04X}"


def _forbidden(char: str) -> bool:
    """Step Functions counts what is beyond U+FFFF as surrogates, which it does not take."""
    code = ord(char)
    control = code < 0x20 or 0x7F <= code < 0xA0
    return char in FORBIDDEN_IN_NAMES or char.isspace() or control or 0xD800 <= code <= 0xDFFF or code >= 0xFFFE


def digest(*parts: str, length: int = 16) -> str:
    """A fingerprint of texts: `length` hexadecimal digits of their SHA-256."""
    return sha256("\x00".join(parts).encode()).hexdigest()[:length]


def execution_name(kind: str, subject: str, *cause: str) -> str:
    """The name of the execution for a cause, e.g. `row-daily-edw-load-0f3a…`: readable, unique, at most 80
    characters."""
    fingerprint = digest(kind, subject, *cause)
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", subject)
    return f"{kind}-{readable[: EXECUTION_NAME_LIMIT - len(kind) - len(fingerprint) - 2]}-{fingerprint}"


def batch_job_name(key: RunKey, job_name: str, attempt: int) -> str:
    """The name of the Batch job for one submission of a job. It finds the Batch job if the answer of SubmitJob was
    lost."""
    fingerprint = digest(key.run_id, job_name, str(attempt), length=12)
    return f"{job_name[: BATCH_NAME_LIMIT - len(fingerprint) - 1]}-{fingerprint}"


def is_batch_job_name(name: str) -> bool:
    """Whether a name looks like one that `batch_job_name` has made."""
    return re.search(r"-[0-9a-f]{12}$", name) is not None


def file_name(text: str) -> str:
    """The text as part of a path or of an S3 key: it keeps letters, digits, `.`, `_` and `-`; every other character
    becomes `-`."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)


def start_date_time(execution_start: str, execution_arn: str) -> str:
    """The run's `startDateTime` for an execution. It is the same for every try of the execution's first state.

    `execution_start` is `$$.Execution.StartTime` (ISO 8601 with milliseconds). The last three digits come from the ARN
    of the execution, so that two executions that start in the same millisecond are two runs.
    """
    started = datetime.fromisoformat(execution_start.replace("Z", "+00:00")).astimezone(UTC)
    micros = int(digest(execution_arn, length=8), 16) % 1000
    return started.replace(microsecond=started.microsecond // 1000 * 1000 + micros, tzinfo=None).isoformat(
        timespec="microseconds"
    )


def next_start(start: str) -> str:
    """The start one microsecond later, for a run whose key is already the key of another run."""
    return (datetime.fromisoformat(start) + timedelta(microseconds=1)).isoformat(timespec="microseconds")


def iso(epoch: float) -> str:
    """Epoch seconds in the form of the tables and the API: UTC, ISO 8601 with microseconds, without a zone."""
    return datetime.fromtimestamp(epoch, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
