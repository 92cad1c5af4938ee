"""Decides whether a failed attempt is tried again (retryStrategy, evaluateOnExit).

https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
"""

from __future__ import annotations

import re

from universal_scheduler.local.batch.errors import ClientError
from universal_scheduler.local.batch.model import Attempt, ExitRule, Json, RetryStrategy

MAX_ATTEMPTS = 10
MAX_RULES = 5
MAX_PATTERN = 512
_CODE_PATTERN = re.compile(r"[0-9]*\*?")
_REASON_PATTERN = re.compile(r"[a-zA-Z0-9.:\s]*\*?")


def should_retry(strategy: RetryStrategy, attempts: tuple[Attempt, ...]) -> bool:
    """Whether a job whose last attempt failed gets another one.

    The first rule of which every condition holds decides; where none does, the job is retried.
    """
    if len(attempts) >= strategy.attempts:
        return False
    last = attempts[-1]
    for rule in strategy.rules:
        if (
            _matches(rule.exit_code, str(last.exit_code))
            and _matches(rule.reason, last.reason or "")
            and _matches(rule.status_reason, last.status_reason)
        ):
            return rule.retry
    return True


def _matches(pattern: str | None, value: str) -> bool:
    if pattern is None:
        return True
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


def parse_retry_strategy(request: Json | None) -> RetryStrategy | None:
    """The strategy in a request's ``retryStrategy``, or None if there is none; ClientError if AWS would refuse it."""
    if not request:
        return None
    rules = request.get("evaluateOnExit", [])
    if rules and "attempts" not in request:
        raise ClientError("retryStrategy.attempts must be specified when evaluateOnExit is.")
    attempts = request.get("attempts", 1)
    if not 1 <= attempts <= MAX_ATTEMPTS:
        raise ClientError(f"retryStrategy.attempts must be between 1 and {MAX_ATTEMPTS}, not {attempts}.")
    if len(rules) > MAX_RULES:
        raise ClientError(f"retryStrategy.evaluateOnExit can have up to {MAX_RULES} entries, not {len(rules)}.")
    return RetryStrategy(attempts, tuple(_parse_rule(rule) for rule in rules))


def _parse_rule(rule: Json) -> ExitRule:
    conditions = {name: rule[name] for name in ("onExitCode", "onReason", "onStatusReason") if name in rule}
    if not conditions:
        raise ClientError("An entry of retryStrategy.evaluateOnExit needs onExitCode, onReason or onStatusReason.")
    for name, pattern in conditions.items():
        allowed = _CODE_PATTERN if name == "onExitCode" else _REASON_PATTERN
        if not 1 <= len(pattern) <= MAX_PATTERN or not allowed.fullmatch(pattern):
            raise ClientError(f"{name} {pattern!r} should match the pattern {allowed.pattern}.")
    return ExitRule(
        retry=rule["action"].upper() == "RETRY",
        exit_code=conditions.get("onExitCode"),
        reason=conditions.get("onReason"),
        status_reason=conditions.get("onStatusReason"),
    )


def describe_retry_strategy(strategy: RetryStrategy) -> dict[str, object]:
    """The strategy as the API shows it."""
    return {
        "attempts": strategy.attempts,
        "evaluateOnExit": [
            {
                **({"onStatusReason": rule.status_reason} if rule.status_reason is not None else {}),
                **({"onReason": rule.reason} if rule.reason is not None else {}),
                **({"onExitCode": rule.exit_code} if rule.exit_code is not None else {}),
                "action": "RETRY" if rule.retry else "EXIT",
            }
            for rule in strategy.rules
        ],
    }
