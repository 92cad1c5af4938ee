"""A backfill on the engine: interrupted in the middle and resumed, it runs each date once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter

import pytest

from tests.e2e.conftest import Stage, eventually

pytestmark = pytest.mark.e2e
DAYS = 30
LIVE = 4


def test_a_backfill_that_is_interrupted_and_resumed_runs_each_date_once(stage: Stage) -> None:
    schedule_id = f"backfill-{uuid.uuid4().hex[:8]}"
    job = {
        "jobName": "a",
        "jobDefinition": "shell",
        "jobQueue": "default",
        "containerOverrides": {"command": ["sh", "-c", "echo $1", "say", "{{run.scheduledTime}}"]},
    }
    # A year that has gone, so that the trigger itself starts nothing.
    trigger = {"cron": "cron(30 2 * * ? 2025)", "timezone": "Europe/Zurich"}
    stage.put({"scheduleId": schedule_id, "wait_time": 1, "trigger": trigger, "jobList": [job]})
    command = [
        sys.executable,
        "-m",
        "universal_scheduler.cli",
        "backfill",
        schedule_id,
        "--port",
        str(stage.engine.port),
    ]
    command += ["--from", "2025-03-05", "--to", "2025-04-04", "--parallel", str(LIVE), "--json"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"USCHED_USER": "ann"})
    eventually(lambda: len(stage.runs(schedule_id)) >= 8, what="eight runs of the backfill")
    first.send_signal(signal.SIGINT)
    printed, _ = first.communicate(timeout=120)
    assert first.returncode == 130
    assert json.loads(printed)["interrupted"]
    assert len(stage.runs(schedule_id)) < DAYS
    resumed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    answer = json.loads(resumed.stdout)
    assert [entry["at"] for entry in answer["leftOut"]] == ["2025-03-30T01:30:00Z"]
    runs = stage.runs(schedule_id)
    assert Counter(run["cause"]["businessDate"] for run in runs) == Counter(
        entry["businessDate"] for entry in answer["dates"]
    )
    assert len(runs) == DAYS
    assert {run["scheduleStatus"] for run in runs} == {"SUCCEEDED"}
    assert most_at_once(runs) <= LIVE


def most_at_once(runs: list[dict[str, str]]) -> int:
    """How many runs went on at the same time, by their own records."""
    changes = [(run["startDateTime"], 1) for run in runs] + [(run["lastDateTime"], -1) for run in runs]
    going_on = most = 0
    for _, change in sorted(changes):
        going_on += change
        most = max(most, going_on)
    return most
