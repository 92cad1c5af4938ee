"""A backfill on the engine: interrupted in the middle and resumed, it runs each date once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.conftest import Stage, eventually

pytestmark = pytest.mark.e2e
DAYS = 30
LIVE = 4
FIRST_DAYS = 8
UNTIL_GATE = """
case "$1" in 2025-03-0*|2025-03-1[0-2]*) ;; *) while [ ! -e "$2" ]; do sleep 0.05; done ;; esac
"""
"""The jobs of the first eight days end at once, all others when there is a file."""


def test_a_backfill_that_is_interrupted_and_resumed_runs_each_date_once(stage: Stage, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    schedule_id = f"backfill-{uuid.uuid4().hex[:8]}"
    job = {
        "jobName": "a",
        "jobDefinition": "shell",
        "jobQueue": "default",
        "containerOverrides": {"command": ["sh", "-c", UNTIL_GATE, "wait", "{{run.scheduledTime}}", str(gate)]},
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
    first = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"USCHED_USER": "ann"},
        # A shell lets what runs in the background ignore the signal, and then all that these tests start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    begun = FIRST_DAYS + LIVE
    eventually(lambda: len(stage.runs(schedule_id)) >= begun, what=f"{begun} runs of the backfill")
    first.send_signal(signal.SIGINT)
    printed, _ = first.communicate(timeout=120)
    assert first.returncode == 130
    assert json.loads(printed)["interrupted"]
    assert len(stage.runs(schedule_id)) == begun
    gate.touch()
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
