"""`python -m benchmarks.large`: 10,000 jobs, the same in layers, an array, and an interruption, on the engine."""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boto3.dynamodb.conditions import Key
from rich.console import Console
from rich.table import Table

from benchmarks import stage as stages
from benchmarks.measures import largest_payload, transitions
from benchmarks.stage import Stage, until
from universal_scheduler.adapters.dynamodb.items import schedule_to_item
from universal_scheduler.local import processes

JOBS = 10_000
LAYERS = 100
COMMAND = ["/bin/true"]
PATIENCE_SECONDS = 900.0
WIDTH = 104


@dataclass(frozen=True, slots=True)
class Large:
    """One large run, as it went."""

    title: str
    outcome: str
    jobs: int
    wall: float
    """Seconds from the start until the run's end was recorded."""
    payload: int
    """Bytes of the largest input or output of a state."""
    transitions: int
    submitted: int
    described: int
    in_batch: int
    """Jobs that Batch has for this run; children of arrays not counted."""
    peak: int
    """Bytes: the largest resident set of the engine's process; functions and jobs are processes of their own."""
    killed: int
    """Functions that were killed in the middle."""


def separate(count: int) -> list[dict[str, Any]]:
    return [_job(f"job{number}") for number in range(1, count + 1)]


def array(count: int) -> list[dict[str, Any]]:
    return [_job("array") | {"arrayProperties": {"size": count}}]


def layered(count: int, width: int) -> list[dict[str, Any]]:
    """Layers of so many jobs; each job runs when three jobs of the layer before have ended."""
    jobs = separate(count)
    for at, job in enumerate(jobs[width:]):
        first = at - at % width
        job["jobDependencies"] = [jobs[first + (at + step) % width]["jobName"] for step in range(min(3, width))]
        job["runWhen"] = "all_done"
    return jobs


def _job(name: str) -> dict[str, Any]:
    return {
        "jobName": name,
        "jobDefinition": "shell",
        "jobQueue": "default",
        "jobDependencies": [],
        "containerOverrides": {"command": COMMAND},
    }


def measure(stage: Stage, title: str, jobs: list[dict[str, Any]], count: int, interrupt_at: int = 0) -> Large:
    """Run these jobs; with `interrupt_at`, kill all functions as soon as so many jobs are submitted."""
    schedule_id = f"large-{time.time_ns()}"
    row = {"scheduleId": schedule_id, "wait_time": 1, "trigger": {"manual": True}, "jobList": jobs}
    stage.client("dynamodb").put_item(TableName="BatchSchedules", Item=schedule_to_item(row))
    stage.become_quiet()
    workflow = stage.client("stepfunctions")
    forget_peak(stage.engine.pid)
    with stage.counted() as counted:
        since, began = time.time(), time.perf_counter()
        execution = workflow.start_execution(
            stateMachineArn=stage.engine.state_machine_arn,
            name=schedule_id,
            input=json.dumps({"scheduleId": schedule_id}),
        )["executionArn"]
        killed = _interrupt(stage, interrupt_at) if interrupt_at else 0

        def ended() -> Mapping[str, Any] | None:
            told: Mapping[str, Any] = workflow.describe_execution(executionArn=execution)
            return None if told["status"] == "RUNNING" else told

        told = until(ended, what=f"the end of {title}", seconds=PATIENCE_SECONDS, pause=0.1)
        wall = time.perf_counter() - began
        calls = counted()
    events = stage.events(execution)
    return Large(
        title=title,
        outcome=f"{told['status']}: {_states(stage, schedule_id)}",
        jobs=count,
        wall=wall,
        payload=largest_payload(events),
        transitions=transitions(events),
        submitted=calls.batch.get("SubmitJob", 0),
        described=calls.batch.get("DescribeJobs", 0),
        in_batch=_in_batch(stage, since),
        peak=peak_bytes(stage.engine.pid),
        killed=killed,
    )


def _interrupt(stage: Stage, after: int) -> int:
    """Kill every function, wherever it is, when so many jobs are submitted; how many there were."""
    before = stage.calls()["/v1/submitjob"]
    until(
        lambda: True if stage.calls()["/v1/submitjob"] - before >= after else None,
        what="the interruption",
        seconds=PATIENCE_SECONDS,
    )
    functions = [pid for pid in processes.marked(stage.engine.state_dir) if _is_function(pid)]
    for pid in functions:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(functions)


def _is_function(pid: int) -> bool:
    """The process that functions are forked from leads no session."""
    with suppress(OSError):
        return "lambda_zygote" in Path(f"/proc/{pid}/cmdline").read_text() and os.getsid(pid) == pid
    return False


def _states(stage: Stage, schedule_id: str) -> str:
    """How many jobs of the schedule's one run ended how, as the rows have it."""
    [run] = stage.table("BatchScheduleHistory").query(KeyConditionExpression=Key("scheduleId").eq(schedule_id))["Items"]
    pages = (
        stage.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName="BatchScheduleJobs",
            KeyConditionExpression="runId = :run AND jobName >= :name",
            ExpressionAttributeValues={":run": {"S": run["runId"]}, ":name": {"S": "0"}},
        )
    )
    states = Counter(item["jobStatus"]["S"] for page in pages for item in page["Items"])
    return ", ".join(f"{number:,} {state}" for state, number in states.items())


def _in_batch(stage: Stage, since: float) -> int:
    """How many jobs have come to the queue since then."""
    created = [{"name": "AFTER_CREATED_AT", "values": [str(int(since * 1000))]}]
    pages = stage.client("batch").get_paginator("list_jobs").paginate(jobQueue="default", filters=created)
    return sum(len(page["jobSummaryList"]) for page in pages)


def forget_peak(pid: int) -> None:
    """https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html"""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """The largest resident set of a process; 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def show(console: Console, runs: Sequence[Large]) -> None:
    table = Table("", *(run.title for run in runs), title="Large runs on the embedded engine")
    rows: list[tuple[str, Callable[[Large], str]]] = [
        ("wall, s", lambda run: f"{run.wall:.1f}"),
        ("jobs a second", lambda run: f"{run.jobs / run.wall:.0f}"),
        ("largest payload, bytes", lambda run: f"{run.payload:,}"),
        ("state transitions", lambda run: f"{run.transitions:,}"),
        ("Batch: SubmitJob", lambda run: f"{run.submitted:,}"),
        ("Batch: DescribeJobs", lambda run: f"{run.described:,}"),
        ("jobs that Batch has", lambda run: f"{run.in_batch:,}"),
        ("functions killed", lambda run: str(run.killed or "–")),
        ("engine's peak memory, MB", lambda run: f"{run.peak / 1e6:.0f}"),
        ("outcome", lambda run: run.outcome),
    ]
    for name, value in rows:
        table.add_row(name, *(value(run) for run in runs))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help="how many (10,000)")
    parser.add_argument(
        "--only", nargs="+", choices=("separate", "layered", "array", "interrupted"), help="these runs only"
    )
    arguments = parser.parse_args()
    count = arguments.jobs
    runs = {
        "separate": (f"{count:,} jobs", separate(count), 0),
        "layered": (f"{count:,} in {LAYERS} layers", layered(count, max(1, count // LAYERS)), 0),
        "array": (f"an array of {count:,}", array(count), 0),
        "interrupted": (f"{count:,} jobs, interrupted", separate(count), count // 2),
    }
    errors = Console(stderr=True)
    measured = []
    with stages.started() as stage:
        measure(stage, "a warm-up", separate(5), 5)
        for name, (title, jobs, interrupt_at) in runs.items():
            if arguments.only and name not in arguments.only:
                continue
            with errors.status(title):
                measured.append(measure(stage, title, jobs, count, interrupt_at))
    show(Console(width=max(Console().width, WIDTH)), measured)


if __name__ == "__main__":
    main()
