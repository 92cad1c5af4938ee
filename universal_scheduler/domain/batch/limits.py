"""What AWS Batch refuses of a SubmitJob request. The check of documents, the submission and the local Batch use it.

https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from universal_scheduler.domain.documents.values import quoted

MAX_ATTEMPTS = 10
"""https://docs.aws.amazon.com/batch/latest/APIReference/API_RetryStrategy.html"""
MAX_RULES = 5
MAX_PATTERN = 512
"""https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html, as what the patterns may have."""
_CODE = (re.compile(r"[0-9]*\*?"), "digits; one * may stand at the end")
_REASON = (re.compile(r"[a-zA-Z0-9.:\s]*\*?", re.ASCII), "letters, digits, . : and blanks; one * may stand at the end")
PATTERNS = {"onExitCode": _CODE, "onReason": _REASON, "onStatusReason": _REASON}
RESERVED_PREFIX = "AWS_BATCH"
"""https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html"""
OVERRIDES_LIMIT = 8192
"""Characters of all overrides as JSON: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
SubmitJob accepts more, but then the job fails: https://github.com/Netflix/metaflow/issues/1482"""
OVERRIDES_TOO_LONG = f"Container Overrides length must be at most {OVERRIDES_LIMIT}"
PAYLOAD_LIMIT = 30 * 1024
"""Bytes of a whole request: https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html"""
MIN_TIMEOUT_SECONDS = 60
"""https://docs.aws.amazon.com/batch/latest/APIReference/API_JobTimeout.html"""
MIN_ARRAY, MAX_ARRAY = 2, 10_000
"""https://docs.aws.amazon.com/batch/latest/APIReference/API_ArrayProperties.html"""
MAX_PRIORITY = 9999
MAX_DEPENDENCIES = 20
MAX_TAGS, MAX_TAG_KEY, MAX_TAG_VALUE = 50, 128, 256
"""https://docs.aws.amazon.com/batch/latest/userguide/using-tags.html"""
MIN_MEMORY_MIB = 4
"""https://docs.aws.amazon.com/batch/latest/APIReference/API_ResourceRequirement.html, as the rest of the resources."""
FARGATE_VCPUS = ("0.25", "0.5")
JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
SHARE_IDENTIFIER = re.compile(r"[A-Za-z0-9]{1,255}\*?")
REFERENCE = re.compile(r"Ref::([A-Za-z0-9_.-]+)")
"""https://docs.aws.amazon.com/batch/latest/userguide/job_definition_parameters.html#parameters"""
_PAYLOAD = json.JSONEncoder(ensure_ascii=False)
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason for which Batch refuses a job."""

    path: str
    """The place in the request, and in a job of a document: `containerOverrides.command[2]`. It is empty for the whole
    request."""
    found: str
    expected: str
    answer: str = ""
    """The words of Batch itself, if public reports have them."""

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}found {self.found}, expected {self.expected}"


def refusals(request: Mapping[str, Any], written: Sequence[str] = ()) -> Iterator[Refusal]:
    """What Batch refuses in a request or in a part of one. The size of the request is not checked.

    `written` is the command as the document has it, with its references: the messages show its words.
    """
    yield from _name_refusals(request)
    yield from _number_refusals(request)
    yield from _tag_refusals(request.get("tags") or {})
    yield from retry_refusals(request.get("retryStrategy"))
    overrides = request.get("containerOverrides") or {}
    yield from command_refusals(overrides.get("command") or (), request.get("parameters") or {}, written)
    yield from environment_refusals(overrides.get("environment") or ())
    yield from resource_refusals(overrides.get("resourceRequirements") or ())


def overrides_refusals(request: Mapping[str, Any]) -> Iterator[Refusal]:
    """Overrides that are too long for ECS. Batch accepts such a job, and then the job fails."""
    length = overrides_length(request)
    if length > OVERRIDES_LIMIT:
        expected = f"at most {OVERRIDES_LIMIT:,}: put long values into a file or an S3 object"
        yield Refusal("containerOverrides", f"{length:,} characters as JSON", expected, OVERRIDES_TOO_LONG)


def payload_refusals(request: Mapping[str, Any]) -> Iterator[Refusal]:
    """A request that is too large, in bytes."""
    size = len(_PAYLOAD.encode(request).encode(errors="surrogatepass"))
    if size > PAYLOAD_LIMIT:
        yield Refusal(
            "",
            f"a job of {size:,} bytes as JSON",
            f"at most {PAYLOAD_LIMIT:,} (30 KiB): put long values into a file or an S3 object",
            # https://github.com/ASFHyP3/hyp3/issues/3041
            f"Job size must be less than 30 KiB, got {-(-size // 1024)} KiB",
        )


def overrides_length(request: Mapping[str, Any]) -> int:
    """The length of the overrides as ECS counts it: characters of its JSON, with the container's name and the
    parameters."""
    overrides = dict(request.get("containerOverrides") or {})
    if "command" in overrides:
        overrides["command"] = substitute(overrides["command"], request.get("parameters") or {})
    whole = {"containerOverrides": [{"name": "default", **overrides}]}
    return len(_COMPACT.encode(whole))


def substitute(command: Iterable[str], parameters: Mapping[str, str]) -> tuple[str, ...]:
    """The command with every `Ref::name` replaced by the parameter. A `Ref::` to an unknown parameter stays as it
    is."""

    def filled(match: re.Match[str]) -> str:
        return parameters.get(match[1], match[0])

    return tuple(REFERENCE.sub(filled, word) if "Ref::" in word else word for word in command)


def command_refusals(
    command: Sequence[str], parameters: Mapping[str, str], written: Sequence[str] = ()
) -> Iterator[Refusal]:
    """The words of a command that are empty after its parameters were filled in.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_ContainerOverrides.html: "can't contain an empty string".
    """
    for index, (said, word) in enumerate(zip(written or command, substitute(command, parameters), strict=True)):
        if not word:
            found = f"{quoted(said)}, which is empty" if said else "an empty word"
            # https://github.com/boto/boto3/issues/3612
            answer = "Command cannot be empty"
            path = f"containerOverrides.command[{index}]"
            yield Refusal(path, found, "a word: AWS Batch takes no empty one", answer)


def environment_refusals(variables: Sequence[Mapping[str, Any]]) -> Iterator[Refusal]:
    """Variables that only Batch may set.
    https://docs.aws.amazon.com/batch/latest/APIReference/API_ContainerOverrides.html"""
    for index, variable in enumerate(variables):
        name = str(variable.get("name") or "")
        if name.startswith(RESERVED_PREFIX):
            yield Refusal(
                f"containerOverrides.environment[{index}].name",
                quoted(name),
                f"a name that does not start with {RESERVED_PREFIX}: AWS Batch keeps those for itself",
                f"Environment variables cannot start with {RESERVED_PREFIX}: {name}",
            )


def resource_refusals(requirements: Sequence[Mapping[str, Any]]) -> Iterator[Refusal]:
    """Amounts of resources that are not valid numbers.
    https://docs.aws.amazon.com/batch/latest/APIReference/API_ResourceRequirement.html"""
    for index, entry in enumerate(requirements):
        kind, value = entry["type"], entry["value"]
        match kind:
            case "VCPU":
                good = value in FARGATE_VCPUS or _whole(value) >= 1
                expected = f"whole vCPUs in a string ('2'), or on Fargate {' or '.join(FARGATE_VCPUS)}"
            case "MEMORY":
                good, expected = _whole(value) >= MIN_MEMORY_MIB, f"whole MiB in a string, at least {MIN_MEMORY_MIB}"
            case _:
                good, expected = _whole(value) >= 1, "whole GPUs in a string, at least 1"
        if not good:
            yield Refusal(
                f"containerOverrides.resourceRequirements[{index}].value", f"{quoted(value)} for {kind}", expected
            )


def retry_refusals(strategy: Mapping[str, Any] | None) -> Iterator[Refusal]:
    """What is wrong with a `retryStrategy`. https://docs.aws.amazon.com/batch/latest/APIReference/API_RetryStrategy.html"""
    if strategy is None:
        return
    if "attempts" not in strategy:
        # https://github.com/apache/airflow/pull/35789
        answer = "RetryAttempts must be provided with retry strategy"
        yield Refusal("retryStrategy", "no attempts", f"attempts, 1 to {MAX_ATTEMPTS}", answer)
    elif not 1 <= strategy["attempts"] <= MAX_ATTEMPTS:
        yield Refusal("retryStrategy.attempts", str(strategy["attempts"]), f"a number between 1 and {MAX_ATTEMPTS}")
    rules = strategy.get("evaluateOnExit") or ()
    if len(rules) > MAX_RULES:
        yield Refusal("retryStrategy.evaluateOnExit", f"{len(rules)} entries", f"at most {MAX_RULES}")
    for index, rule in enumerate(rules):
        path = f"retryStrategy.evaluateOnExit[{index}]"
        given = [name for name in PATTERNS if name in rule]
        if not given:
            yield Refusal(path, "a rule without a condition", f"one or more of {', '.join(PATTERNS)}")
        for name in given:
            allowed, words = PATTERNS[name]
            if not 1 <= len(rule[name]) <= MAX_PATTERN or not allowed.fullmatch(rule[name]):
                yield Refusal(f"{path}.{name}", _shown(rule[name]), f"1 to {MAX_PATTERN} characters: {words}")


def _name_refusals(request: Mapping[str, Any]) -> Iterator[Refusal]:
    if "jobName" in request and not JOB_NAME.fullmatch(request["jobName"]):
        expected = "1 to 128 letters, digits, '-' and '_', a letter or digit first"
        # https://github.com/fluidattacks/makes/issues/697
        yield Refusal("jobName", _shown(request["jobName"]), expected, "Job name should match valid pattern")
    if "shareIdentifier" in request and not SHARE_IDENTIFIER.fullmatch(request["shareIdentifier"]):
        expected = "up to 255 letters and digits, with one * at the end or none"
        yield Refusal("shareIdentifier", _shown(request["shareIdentifier"]), expected)


def _number_refusals(request: Mapping[str, Any]) -> Iterator[Refusal]:
    numbers = (
        ("arrayProperties.size", (request.get("arrayProperties") or {}).get("size"), MIN_ARRAY, MAX_ARRAY),
        (
            "timeout.attemptDurationSeconds",
            (request.get("timeout") or {}).get("attemptDurationSeconds"),
            MIN_TIMEOUT_SECONDS,
            None,
        ),
        ("schedulingPriorityOverride", request.get("schedulingPriorityOverride"), 0, MAX_PRIORITY),
    )
    for path, value, least, most in numbers:
        if value is not None and (value < least or (most is not None and value > most)):
            span = f"at least {least}" if most is None else f"between {least} and {most:,}"
            yield Refusal(path, str(value), f"a number {span}")
    depends_on = request.get("dependsOn") or ()
    if len(depends_on) > MAX_DEPENDENCIES:
        yield Refusal("dependsOn", f"{len(depends_on)} jobs", f"at most {MAX_DEPENDENCIES}")


def _tag_refusals(tags: Mapping[str, str]) -> Iterator[Refusal]:
    if len(tags) > MAX_TAGS:
        yield Refusal("tags", f"{len(tags)} tags", f"at most {MAX_TAGS}")
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            yield Refusal(f"tags.{key}", "a key that starts with aws:", "another key: AWS keeps those for itself")
        if not 1 <= len(key) <= MAX_TAG_KEY or len(value) > MAX_TAG_VALUE:
            expected = f"a key of 1 to {MAX_TAG_KEY} characters, a value of up to {MAX_TAG_VALUE}"
            yield Refusal(f"tags.{key}", f"{len(key)} and {len(value)} characters", expected)


def _whole(text: str) -> int:
    """A whole number, or -1 for what is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else -1


def _shown(text: str) -> str:
    return json.dumps(text if len(text) <= 60 else f"{text[:57]}...", ensure_ascii=False)
