"""`python -m benchmarks.event_lag`: how soon a run hears of a job's end, with job events and without them.

A diamond of jobs of two seconds, wait_time 60, and maxConcurrentJobs so that every job is submitted by the scheduler
itself: nothing is handed down to Batch.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.ours import Ours
from benchmarks.stage import Stage, until
from benchmarks.workloads import Workload, diamond
from universal_scheduler.local import engine as engines

WAIT_SECONDS = 60
AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class Lags:
    """Milliseconds, of all runs together."""

    submission: Sequence[float]
    """From the end of the last upstream job to the dependent's submission."""
    recorded: Sequence[float]
    """From the last job's end to the run's own."""
    transitions: Sequence[int]
    """State transitions, one a run."""


def measure(stage: Stage, runs: int, seconds: float) -> Lags:
    """Measure so many runs, three at a time."""
    ours, workload = Ours(stage), diamond()
    submission: list[float] = []
    recorded: list[float] = []
    transitions: list[int] = []
    for first in range(0, runs, AT_ONCE):
        names = [_start(ours, workload, seconds) for _ in range(first, min(first + AT_ONCE, runs))]
        for name in names:
            run = until(lambda name=name: ours.ended_run(name), what=f"the end of {name}", seconds=900, pause=0.2)  # type: ignore[misc]
            rows = {row["jobName"]: row for row in ours.job_rows(run)}
            submission += _submission_lags(workload, rows)
            ended = datetime.fromisoformat(run["lastDateTime"]).replace(tzinfo=UTC).timestamp()
            recorded.append((ended - max(float(row["stoppedAt"]) for row in rows.values())) * 1000)
            entered = [event for event in stage.events(run["executionArn"]) if "stateEnteredEventDetails" in event]
            transitions.append(len(entered) + 1)
    return Lags(submission, recorded, transitions)


def _start(ours: Ours, workload: Workload, seconds: float) -> str:
    name = f"lag-{uuid.uuid4().hex[:8]}"
    document = workload.document(name, "default", "shell", WAIT_SECONDS) | {"maxConcurrentJobs": 5}
    for job in document["jobList"]:
        job["containerOverrides"] = {"command": ["sleep", str(seconds)]}
    ours.schedules.put_item(Item=document)
    return name


def _submission_lags(workload: Workload, rows: dict[str, Any]) -> Iterator[float]:
    for name, upstream in workload.upstream.items():
        if upstream:
            ended = max(float(rows[other]["stoppedAt"]) for other in upstream)
            yield (float(rows[name]["submittedAt"]) - ended) * 1000


@contextmanager
def _stage(events: bool) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="usched-bench-") as home:
        engine = engines.start(port=0, state_dir=Path(home) / "engine", events=events)
        try:
            yield Stage(engine)
        finally:
            engines.stop(engine)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.event_lag", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30, help="with events (default 30)")
    parser.add_argument("--runs-without", type=int, default=3, help="without events: minutes each (default 3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a job lasts (default 2)")
    arguments = parser.parse_args()
    console, errors = Console(width=104), Console(stderr=True)
    table = Table(title=f"lag, ms: a diamond of jobs of {arguments.seconds:g} s, wait_time {WAIT_SECONDS}")
    for heading in ("", "runs", "median", "p95", "largest", "transitions"):
        table.add_column(heading, justify="left" if not heading else "right")
    for title, events, runs in (("events", True, arguments.runs), ("no events", False, arguments.runs_without)):
        if not runs:
            continue
        with errors.status(f"{title}: {runs} runs"), _stage(events) as stage:
            lags = measure(stage, runs, arguments.seconds)
        for what, values in (("job's end → submission", lags.submission), ("last end → recorded", lags.recorded)):
            ordered = sorted(values)
            table.add_row(
                f"{title}: {what}",
                str(runs),
                f"{statistics.median(ordered):,.0f}",
                f"{ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]:,.0f}",
                f"{ordered[-1]:,.0f}",
                str(max(lags.transitions)),
            )
    console.print(table)


if __name__ == "__main__":
    main()
