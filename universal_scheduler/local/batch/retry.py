"""Decides whether a failed attempt is tried again (retryStrategy, evaluateOnExit).

https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
"""

from __future__ import annotations

from universal_scheduler.local.batch.model import Attempt, ExitRule, Json, RetryStrategy


def should_retry(strategy: RetryStrategy, attempts: tuple[Attempt, ...]) -> bool:
    """Whether a job whose last attempt failed gets another one.

    The first rule of which every condition holds decides; where none does, the job is retried.
    """
    if len(attempts) >= strategy.attempts:
        return False
    last = attempts[-1]
    for rule in strategy.rules:
        if (
            _matches(rule.exit_code, None if last.exit_code is None else str(last.exit_code))
            and _matches(rule.reason, last.reason or "")
            and _matches(rule.status_reason, last.status_reason)
        ):
            return rule.retry
    return True


def _matches(pattern: str | None, value: str | None) -> bool:
    if pattern is None:
        return True
    if value is None:
        return False
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


def retry_strategy_of(strategy: Json | None) -> RetryStrategy | None:
    """The strategy in a request's ``retryStrategy``, which is checked already, or None if there is none."""
    if not strategy:
        return None
    return RetryStrategy(strategy["attempts"], tuple(_rule(rule) for rule in strategy.get("evaluateOnExit", ())))


def _rule(rule: Json) -> ExitRule:
    return ExitRule(
        retry=rule["action"].upper() == "RETRY",
        exit_code=rule.get("onExitCode"),
        reason=rule.get("onReason"),
        status_reason=rule.get("onStatusReason"),
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
