"""Logs and metrics of the functions: lines of JSON, each with the run that it is about, and metrics in such lines."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, TypeVar

from universal_scheduler.domain.errors import (
    IllegalVerb,
    InvalidSchedule,
    JobNotFound,
    RunChanged,
    RunNotFound,
    RunStillActive,
    ScheduleNotFound,
    StaleExecution,
)
from universal_scheduler.domain.runs.model import RunKey

Event = TypeVar("Event", bound=Mapping[str, Any])
Answer = TypeVar("Answer")
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
VALUES_LIMIT = 100
"""How many values a metric may have in one line.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html"""
EXPECTED = (RunChanged, StaleExecution)
"""Errors by which a function tells its state something, although nothing is wrong."""
REFUSALS = (InvalidSchedule, ScheduleNotFound, RunNotFound, JobNotFound, RunStillActive, IllegalVerb)
"""Errors in what a caller has sent. The caller gets them, and nothing is wrong with the function."""

logger = logging.getLogger(__name__)
_subject: dict[str, str] = {}
"""What the call at hand is about: an environment of Lambda works on one at a time, though with several threads."""


class JsonLines(logging.Formatter):
    """Formats a log record as one line of JSON, with the subject of the call and everything that was given as
    `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            **_subject,
            **{key: value for key, value in vars(record).items() if key not in STANDARD},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def about(run: RunKey | str = "", execution: str = "", **more: str) -> None:
    """Set the subject of the call: from now on its log lines have the run id as `correlation_id`. Empty values change
    nothing."""
    run_id = run.run_id if isinstance(run, RunKey) else run
    said = {"correlation_id": run_id, "execution": execution, **more}
    _subject.update({key: value for key, value in said.items() if value})


def of_payload(event: Mapping[str, Any]) -> None:
    """Set the subject of a call by a state: its payload names the run and the execution."""
    payload = event.get("run", event)
    with suppress(KeyError, TypeError):
        about(RunKey(payload["scheduleId"], payload["startDateTime"]), payload.get("execution", ""))
    if "executionName" in event:
        about(execution=event["executionName"])


@contextmanager
def failure_logged(what: str, namespace: str, **more: Any) -> Iterator[None]:
    """Log an unexpected error inside of the block, count it as FunctionErrors, and raise it again. `more` goes into the
    line.

    A refusal is logged as a warning without a traceback, and is not counted.
    """
    try:
        yield
    except EXPECTED:
        raise
    except REFUSALS as refusal:
        logger.warning("%s refused what it was given: %s: %s", what, type(refusal).__name__, refusal, extra=more)
        raise
    except Exception as error:
        logger.exception("%s failed: %s", what, type(error).__name__, extra=more)
        emit(namespace, {"FunctionErrors": ("Count", [1])})
        raise


def observed(
    subject: Callable[[Mapping[str, Any]], None], namespace: str
) -> Callable[[Callable[[Event, Any], Answer]], Callable[[Event, Any], Answer]]:
    """Makes a decorator for handlers: their log lines are JSON and say what the call is about, and so does a failure.

    `subject` sets the subject from the event.
    """
    _set_up()

    def decorate(handler: Callable[[Event, Any], Answer]) -> Callable[[Event, Any], Answer]:
        @wraps(handler)
        def call(event: Event, context: Any) -> Answer:
            _subject.clear()
            about(aws_request_id=getattr(context, "aws_request_id", ""))
            subject(event)
            with failure_logged(handler.__module__, namespace):
                return handler(event, context)

        return call

    return decorate


def emit(
    namespace: str, metrics: Mapping[str, tuple[str, Sequence[float]]], dimensions: Mapping[str, str] | None = None
) -> None:
    """Write metrics as a log line in the embedded metric format. Each metric has a unit and values; without values it
    is left out.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    left = {name: (unit, list(values)) for name, (unit, values) in metrics.items() if values}
    while left:
        now = {name: (unit, values[:VALUES_LIMIT]) for name, (unit, values) in left.items()}
        directive = {
            "Namespace": namespace,
            "Dimensions": [list(dimensions or ())],
            "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in now.items()],
        }
        line = {
            "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
            **(dimensions or {}),
            **_subject,
            **{name: values[0] if len(values) == 1 else values for name, (_, values) in now.items()},
        }
        print(json.dumps(line), flush=True)
        rest = {name: (unit, values[VALUES_LIMIT:]) for name, (unit, values) in left.items()}
        left = {name: entry for name, entry in rest.items() if entry[1]}


def _set_up() -> None:
    """Format what Lambda's own handler writes, or one of ours where there is none.

    https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
    """
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler(sys.stdout))
        root.handlers[0].setFormatter(JsonLines())
    for handler in root.handlers:
        if type(handler).__name__ == "LambdaLoggerHandler":
            handler.setFormatter(JsonLines())
    for ours in ("universal_scheduler", "lambdas"):
        logging.getLogger(ours).setLevel(logging.INFO)
