"""How soon a row starts: from put_item's return to the run's history row, and to its first job's submission."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from benchmarks.ours import Ours
from benchmarks.stage import until
from benchmarks.workloads import COMMAND

ROWS = 20


@dataclass(frozen=True, slots=True)
class StartLatency:
    """Seconds, one for each row."""

    recorded: tuple[float, ...]
    submitted: tuple[float, ...]


def measure(ours: Ours, rows: int = ROWS) -> StartLatency:
    """Insert rows one after the other, each as soon as the last one's first job has been submitted."""
    measured = [_measure_one(ours) for _ in range(rows)]
    return StartLatency(tuple(one for one, _ in measured), tuple(other for _, other in measured))


def _measure_one(ours: Ours) -> tuple[float, float]:
    schedule_id = f"row-{uuid.uuid4().hex[:8]}"
    job = {
        "jobName": "only",
        "jobDefinition": "shell",
        "jobQueue": "default",
        "jobDependencies": [],
        "containerOverrides": {"command": list(COMMAND)},
    }
    ours.schedules.put_item(Item={"scheduleId": schedule_id, "jobList": [job], "wait_time": 1})
    stored, stored_at = time.perf_counter(), time.time()
    run = until(lambda: next(iter(ours.runs(schedule_id)), None), what=f"a run of {schedule_id}", pause=0.001)
    recorded = time.perf_counter() - stored

    def submitted_at() -> float | None:
        return next((float(row["submittedAt"]) for row in ours.job_rows(run) if row.get("submittedAt")), None)

    # The row says itself when Batch had taken the job: on the same machine, so by the same clock.
    return recorded, until(submitted_at, what=f"the submission of {schedule_id}", pause=0.005) - stored_at
