"""A running engine, and what it tells of a run: its history, the jobs' times, who was called and how often."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3

from benchmarks.measures import Event, JobTimes
from universal_scheduler.local import engine as engines
from universal_scheduler.local.state import Safety

T = TypeVar("T")
REGION = "us-east-1"
CHUNK = 100
QUIET_SECONDS = 0.3
BATCH_PATHS = {"/v1/submitjob": "SubmitJob", "/v1/describejobs": "DescribeJobs", "/v1/listjobs": "ListJobs"}
BATCH_ENDED = ("SUCCEEDED", "FAILED")
_DURATION = re.compile(r"^REPORT RequestId: \S+\s+Duration: ([\d.]+) ms")


class BenchmarkError(RuntimeError):
    """What should be measured did not happen."""


@dataclass(frozen=True)
class Calls:
    """What was called between two moments: Batch by operation, DynamoDB together, seconds in each Lambda function."""

    batch: Mapping[str, int]
    dynamodb: int
    lambdas: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Stage:
    engine: engines.Engine
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,  # type: ignore[call-overload]
                endpoint_url=self.engine.endpoint,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        return self._clients[service]

    def table(self, name: str) -> Any:
        if name not in self._clients:
            resource = boto3.resource(
                "dynamodb",
                endpoint_url=self.engine.endpoint,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
            self._clients[name] = resource.Table(name)
        return self._clients[name]

    def events(self, execution_arn: str) -> list[Event]:
        pages = self.client("stepfunctions").get_paginator("get_execution_history")
        return [
            event for page in pages.paginate(executionArn=execution_arn, maxResults=1000) for event in page["events"]
        ]

    def job_times(self, ids: Mapping[str, str]) -> dict[str, JobTimes]:
        """When the jobs ran, by name, as Batch tells; waits until all of them have ended."""
        batch = self.client("batch")
        names = {job_id: name for name, job_id in ids.items()}
        order = list(names)
        times: dict[str, JobTimes] = {}
        for start in range(0, len(order), CHUNK):
            chunk = order[start : start + CHUNK]

            def ended(chunk: list[str] = chunk) -> Any:
                jobs = batch.describe_jobs(jobs=chunk)["jobs"]
                return jobs if all(job["status"] in BATCH_ENDED for job in jobs) else None

            for job in until(ended, what="the end of the jobs"):
                started, stopped = job.get("startedAt", 0) / 1000, job.get("stoppedAt", 0) / 1000
                times[names[job["jobId"]]] = JobTimes(started, stopped)
        return times

    @contextmanager
    def counted(self) -> Iterator[Callable[[], Calls]]:
        """Count the calls from here on; the function that is given ends that, as soon as nobody calls any more."""
        before, since = self.calls(), int(time.time() * 1000)

        def counted() -> Calls:
            self.become_quiet()
            made = self.calls() - before
            batch = {name: made[path] for path, name in BATCH_PATHS.items() if made[path]}
            dynamodb = sum(number for name, number in made.items() if name.startswith("DynamoDB_"))
            return Calls(batch, dynamodb, self._lambdas(since))

        yield counted

    def calls(self) -> Counter[str]:
        """How often each API was called since the engine started."""
        with urllib.request.urlopen(f"{self.engine.endpoint}/_usched/calls", timeout=30) as answer:
            return Counter(json.loads(answer.read()))

    def become_quiet(self) -> None:
        """Wait until nobody calls anything any more: streams are read after a run has ended."""
        seen, since = self.calls(), time.monotonic()
        deadline = since + 30
        while time.monotonic() - since < QUIET_SECONDS and time.monotonic() < deadline:
            time.sleep(0.05)
            now = self.calls()
            if now != seen:
                seen, since = now, time.monotonic()

    def _lambdas(self, since: int) -> dict[str, list[float]]:
        """Seconds of each invocation since a moment (epoch milliseconds), by function, from Lambda's REPORT lines."""
        logs = self.client("logs")
        found: dict[str, list[float]] = defaultdict(list)
        for group in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]:
            answer = logs.filter_log_events(logGroupName=group["logGroupName"], startTime=since)
            for line in answer["events"]:
                if report := _DURATION.match(line["message"]):
                    found[group["logGroupName"].rpartition("/")[2]].append(float(report[1]) / 1000)
        return dict(found)


@contextmanager
def started(code: Path | None = None, safety: Safety = Safety.EPHEMERAL) -> Iterator[Stage]:
    """An engine of its own, with the template deployed; gone afterwards, with all that it wrote.

    With `code`, the folder of another version of the scheduler, the engine and what is deployed there are that version.
    """
    with tempfile.TemporaryDirectory(prefix="usched-bench-") as home:
        state_dir = Path(home) / "engine"
        engine = _start_other(code, state_dir) if code else engines.start(0, state_dir, safety=safety)
        try:
            yield Stage(engine)
        finally:
            engines.stop(state_dir)


_START = """
import json, pathlib, sys
from universal_scheduler.local import engine
print(json.dumps(engine.start(port=0, state_dir=pathlib.Path(sys.argv[1])).to_json()))
"""


def _start_other(code: Path, state_dir: Path) -> engines.Engine:
    made = subprocess.run(
        [sys.executable, "-c", _START, str(state_dir)],
        cwd=code,
        env=os.environ | {"PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise BenchmarkError(f"The engine of {code} does not start: {(made.stderr.splitlines() or ['no reason'])[-1]}")
    return engines.Engine.from_json(json.loads(made.stdout))


def until(look: Callable[[], T | None], *, what: str, seconds: float = 180.0, pause: float = 0.02) -> T:
    """Look until there is something. Raises BenchmarkError at the deadline.

    The pause grows with the time that has passed, so that looking costs the engine at most a few percent.
    """
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        found = look()
        if found is not None:
            return found
        time.sleep(max(pause, (time.monotonic() - began) / 100))
    raise BenchmarkError(f"{what} did not come within {seconds:.0f} s")
