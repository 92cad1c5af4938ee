"""What is measured of a run, and how it is computed from what the services tell. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PAYLOAD_LIMIT = 262_144
"""Bytes of a state's input or output: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
REFERENCE_WAIT_SECONDS = 60
SUBMITTING = "Submit Jobs"
"""What both state machines call the state that submits jobs."""

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JobTimes:
    """When a job's process started and ended, in seconds; 0 for what did not happen."""

    started: float
    stopped: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One run, measured. What cannot be measured on a side is None."""

    outcome: str
    """SUCCEEDED, or what came instead."""
    wall: float
    """Seconds from the start until the run's end was recorded, or until it broke."""
    lags: tuple[float, ...] = ()
    """Milliseconds between the end of the last upstream job and the start of its dependent, one a dependent."""
    wall_at_60: float | None = None
    """Seconds that the same run takes with the reference design's wait_time."""
    transitions: int | None = None
    lambdas: int | None = None
    batch: Mapping[str, int] = field(default_factory=dict)
    """Calls of AWS Batch by operation."""
    dynamodb: int | None = None
    payload: int | None = None
    """Bytes of the largest input or output of a state."""
    history: int | None = None
    """Events of the execution's history."""
    lambda_seconds: Mapping[str, float] = field(default_factory=dict)
    """Seconds in each function."""

    @property
    def succeeded(self) -> bool:
        return self.outcome == "SUCCEEDED"


@dataclass(frozen=True, slots=True)
class Summary:
    """Several runs of one workload on one side: medians, and the lags of all of them together."""

    runs: tuple[Measured, ...]

    @property
    def outcome(self) -> str:
        return next((run.outcome for run in self.runs if not run.succeeded), "SUCCEEDED")

    @property
    def succeeded(self) -> bool:
        return self.outcome == "SUCCEEDED"

    def median(self, name: str) -> float | None:
        """Of a number that each run has, by its name; None where the runs do not have it."""
        values = [value for run in self.runs if (value := getattr(run, name)) is not None]
        return statistics.median(values) if values else None

    def calls(self, operation: str) -> float:
        return statistics.median(run.batch.get(operation, 0) for run in self.runs)

    @property
    def operations(self) -> list[str]:
        return sorted({operation for run in self.runs for operation in run.batch})

    @property
    def lags(self) -> list[float]:
        return [lag for run in self.runs for lag in run.lags]

    @property
    def breaks_on_aws(self) -> str:
        """The limit that ends such a run on AWS but not on the embedded engine; empty where there is none."""
        payload = max((run.payload or 0 for run in self.runs), default=0)
        return f"States.DataLimitExceeded: {payload:,} > {PAYLOAD_LIMIT:,} bytes" if payload > PAYLOAD_LIMIT else ""

    def to_json(self) -> dict[str, Any]:
        lags = self.lags
        named = ("wall", "wall_at_60", "transitions", "lambdas", "dynamodb", "payload", "history")
        functions = sorted({name for run in self.runs for name in run.lambda_seconds})
        return {
            "outcome": self.outcome,
            "breaksOnAws": self.breaks_on_aws,
            "runs": len(self.runs),
            "walls": [run.wall for run in self.runs],
            **{name: self.median(name) for name in named},
            "lagMs": {"median": percentile(lags, 50), "p95": percentile(lags, 95), "max": max(lags, default=None)},
            "batch": {operation: self.calls(operation) for operation in self.operations},
            "lambdaSeconds": {
                name: statistics.median(run.lambda_seconds.get(name, 0.0) for run in self.runs) for name in functions
            },
        }


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that at least so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else None


def lags(times: Mapping[str, JobTimes], upstream: Mapping[str, Sequence[str]]) -> tuple[float, ...]:
    """Milliseconds from the end of a job's last upstream job to its own start, for the jobs where both happened."""
    found = []
    for name, others in upstream.items():
        known = [times[other].stopped for other in others if other in times]
        if name in times and times[name].started and others and len(known) == len(others) and all(known):
            found.append((times[name].started - max(known)) * 1000)
    return tuple(found)


def transitions(events: Iterable[Event]) -> int:
    """State transitions as AWS bills them: the start, and every state entered.

    https://aws.amazon.com/step-functions/pricing/
    """
    return sum(event["type"] == "ExecutionStarted" or event["type"].endswith("StateEntered") for event in events)


def largest_payload(events: Iterable[Event]) -> int:
    """Bytes of the largest input or output of any state."""
    texts = (details.get(way, "") for event in events for details in _details(event) for way in ("input", "output"))
    return max((len(text.encode()) for text in texts), default=0)


def wall_with_wait(wall: float, events: Sequence[Event], wait_seconds: float) -> float:
    """How long a run takes with another wait time, from one that was measured with a short wait.

    Between two submissions the run turns until the jobs at work have ended; with a longer wait it turns less often, and
    at least once. What it does besides (a turn's work, submission, start and end) takes as long as measured.
    """
    rounds: list[list[Event]] = []
    turn_work: list[float] = []
    waited = 0.0
    last_exit: Event | None = None
    pending: list[Event] = []
    for event in events:
        name = event.get("stateEnteredEventDetails", {}).get("name")
        match event["type"]:
            case "WaitStateEntered":
                if last_exit is not None:
                    turn_work.append(_seconds(last_exit, event))
                pending.append(event)
            case "WaitStateExited":
                waited += _seconds(pending[-1], event)
                pending.append(event)
                last_exit = event
            case _ if name == SUBMITTING and pending:
                rounds.append(pending)
                pending, last_exit = [], None
    if pending:
        rounds.append(pending)
    turns = [len(round_) // 2 for round_ in rounds]
    needed = [max(1, math.ceil(_seconds(round_[0], round_[-1]) / wait_seconds)) for round_ in rounds]
    saved = (sum(turns) - sum(needed)) * (statistics.median(turn_work) if turn_work else 0.0)
    return wall - waited - saved + sum(needed) * wait_seconds


def _seconds(first: Event, last: Event) -> float:
    span: float = (last["timestamp"] - first["timestamp"]).total_seconds()
    return span


def _details(event: Event) -> Iterator[Mapping[str, Any]]:
    for kind in ("stateEnteredEventDetails", "stateExitedEventDetails"):
        if kind in event:
            yield event[kind]
