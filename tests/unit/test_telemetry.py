"""What functions say of their work: lines with the run's id, and metrics that CloudWatch reads from them."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from universal_scheduler.adapters import telemetry
from universal_scheduler.adapters.telemetry import VALUES_LIMIT, JsonLines, about, emit, observed, of_payload
from universal_scheduler.domain.errors import RunChanged
from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.runs.model import Execution, JobStatus, Observation, Run, RunKey, RunStatus
from universal_scheduler.usecases.events import measures

KEY = RunKey("nightly", "2026-11-21T06:00:00.000001")
PAYLOAD = {"scheduleId": KEY.schedule_id, "startDateTime": KEY.start, "execution": "row-nightly-1"}
UNITS = {"Seconds", "Milliseconds", "Count", "Bytes", "Percent", "None"}
NAME: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 1024}
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
DIRECTIVE: dict[str, Any] = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "additionalProperties": False,
    "properties": {
        "Namespace": NAME,
        "Dimensions": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "maxItems": 30, "items": {"type": "string", "minLength": 1, "maxLength": 250}},
        },
        "Metrics": {
            "type": "array",
            "maxItems": 100,
            "items": {
                "type": "object",
                "required": ["Name"],
                "additionalProperties": False,
                "properties": {"Name": NAME, "Unit": {"enum": sorted(UNITS)}, "StorageResolution": {"enum": [1, 60]}},
            },
        },
    },
}
EMBEDDED_METRICS = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 1_600_000_000_000},
                "CloudWatchMetrics": {"type": "array", "items": DIRECTIVE},
            },
        }
    },
}


def metrics_in(text: str) -> list[dict[str, Any]]:
    """The lines of metrics, each checked by the published format."""
    found = []
    for line in map(json.loads, text.splitlines()):
        Draft202012Validator(EMBEDDED_METRICS).validate(line)
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for dimension in chain.from_iterable(directive["Dimensions"]):
                assert isinstance(line[dimension], str), "a dimension's value stands beside it"
            for metric in directive["Metrics"]:
                values = line[metric["Name"]] if isinstance(line[metric["Name"]], list) else [line[metric["Name"]]]
                assert all(isinstance(value, int | float) for value in values)
                assert len(values) <= VALUES_LIMIT
        found.append(line)
    return found


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the library and the handlers log."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)
    telemetry._subject.clear()


def logged(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


class Context:
    aws_request_id = "request-1"


@pytest.mark.parametrize(
    ("event", "execution"),
    [
        (PAYLOAD, "row-nightly-1"),
        ({"run": PAYLOAD, "token": "secret"}, "row-nightly-1"),
        ({**PAYLOAD, "executionName": "row-nightly-2"}, "row-nightly-2"),
    ],
)
def test_lines_carry_the_run_and_the_execution(lines: io.StringIO, event: dict[str, Any], execution: str) -> None:
    @observed(of_payload, "N")
    def handler(event: dict[str, Any], context: object) -> str:
        del event, context
        logging.getLogger("universal_scheduler.somewhere").info("said %s", "this", extra={"queue": "high"})
        return "answer"

    assert handler(event, Context()) == "answer"
    [line] = logged(lines)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "INFO",
        "message": "said this",
        "logger": "universal_scheduler.somewhere",
        "correlation_id": KEY.run_id,
        "execution": execution,
        "aws_request_id": "request-1",
        "queue": "high",
    }


def test_a_call_says_nothing_of_the_one_before(lines: io.StringIO) -> None:
    @observed(of_payload, "N")
    def handler(event: dict[str, Any], context: object) -> None:
        del event, context
        logging.getLogger("universal_scheduler").warning("here")

    handler(PAYLOAD, None)
    handler({}, None)
    first, second = logged(lines)
    assert first["correlation_id"] == KEY.run_id
    assert second.keys() == {"timestamp", "level", "message", "logger"}


def test_a_failure_is_logged_with_its_run_and_counted(lines: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    @observed(of_payload, "N")
    def handler(event: dict[str, Any], context: object) -> None:
        del event, context
        raise KeyError("jobs")

    with pytest.raises(KeyError):
        handler(PAYLOAD, None)
    [line] = logged(lines)
    assert (line["level"], line["correlation_id"]) == ("ERROR", KEY.run_id)
    assert "KeyError: 'jobs'" in line["exception"]
    [metric] = metrics_in(capsys.readouterr().out)
    assert (metric["FunctionErrors"], metric["correlation_id"]) == (1, KEY.run_id)


def test_what_a_state_is_told_by_an_error_is_no_failure(lines: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    @observed(of_payload, "N")
    def handler(event: dict[str, Any], context: object) -> None:
        del event, context
        raise RunChanged(KEY.run_id)

    with pytest.raises(RunChanged):
        handler(PAYLOAD, None)
    assert (lines.getvalue(), capsys.readouterr().out) == ("", "")


def test_metrics_are_lines_of_the_embedded_format(capsys: pytest.CaptureFixture[str]) -> None:
    about(KEY)
    emit("N", {"Runs": ("Count", [1.0]), "RunTime": ("Seconds", [12.5])}, {"Outcome": "FAILED"})
    telemetry._subject.clear()
    [line] = metrics_in(capsys.readouterr().out)
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["Outcome"]]
    assert (line["Outcome"], line["Runs"], line["RunTime"]) == ("FAILED", 1.0, 12.5)
    assert line["correlation_id"] == KEY.run_id


def test_many_values_take_several_lines_and_none_takes_none(capsys: pytest.CaptureFixture[str]) -> None:
    emit("N", {"QueueTime": ("Seconds", [float(n) for n in range(250)]), "Retries": ("Count", [])})
    found = metrics_in(capsys.readouterr().out)
    assert list(chain.from_iterable(line["QueueTime"] for line in found)) == list(range(250))
    emit("N", {"Retries": ("Count", [])})
    assert capsys.readouterr().out == ""


def event(status: JobStatus, *, attempts: int = 1, run: RunKey | None = KEY) -> JobEvent:
    return JobEvent(Observation("j", status, stopped_at=100.0), "j-1", "q", 100.0, attempts=attempts, run=run)


def test_what_events_measure() -> None:
    events = [
        event(JobStatus.RUNNING),
        event(JobStatus.SUCCEEDED),
        event(JobStatus.FAILED, attempts=3),
        event(JobStatus.SUCCEEDED, run=None),
    ]
    assert measures(events, 100.25) == {"EndToWake": ("Seconds", [0.25, 0.25]), "Retries": ("Count", [2.0])}
    assert measures([], 100.0) == {"EndToWake": ("Seconds", []), "Retries": ("Count", [])}


def test_how_long_a_run_took() -> None:
    ended = Run(KEY, RunStatus.FAILED, Execution("", ""), ended_at="2026-11-21T06:01:00.500001")
    assert ended.seconds == 60.5


def test_a_function_that_starts_logs_json_whatever_its_library_loads() -> None:
    """In an interpreter without handlers of its own, as on the embedded engine."""
    source = (
        "import logging\n"
        "from universal_scheduler.adapters.telemetry import observed, of_payload\n"
        "@observed(of_payload, 'N')\n"
        "def handler(event, context): logging.getLogger('universal_scheduler.x').info('once')\n"
        f"handler({PAYLOAD!r}, None)\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=30)
    [line] = map(json.loads, done.stdout.splitlines())
    assert (line["message"], line["correlation_id"]) == ("once", KEY.run_id)
