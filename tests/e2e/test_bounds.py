"""A job that holds more memory than it may, from the schedule to what people read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from universal_scheduler.cli import app

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what a process holds"),
]

HOLD = "import time; held = bytearray(200 << 20); time.sleep(1000)"


def greedy(name: str, **more: Any) -> dict[str, Any]:
    overrides = {
        "command": [sys.executable, "-c", HOLD],
        "resourceRequirements": [{"type": "MEMORY", "value": "64"}],
    }
    return {"jobName": name, "jobQueue": "default", "jobDefinition": "shell", "containerOverrides": overrides, **more}


def usched(*words: str) -> Any:
    return CliRunner().invoke(app.main, ["--local", *words], catch_exceptions=False)


@pytest.mark.usefixtures("stage")
def test_it_fails_with_the_reason_of_aws_and_a_retry_strategy_can_decide_on_that(tmp_path: Path) -> None:
    rules = [{"onReason": "OutOfMemoryError*", "action": "RETRY"}, {"onExitCode": "*", "action": "EXIT"}]
    again = {"retryStrategy": {"attempts": 2, "evaluateOnExit": rules}}
    document = {
        "scheduleId": "greedy",
        "trigger": {"manual": True},
        "jobList": [greedy("once"), greedy("twice", **again)],
    }
    (tmp_path / "greedy.json").write_text(json.dumps(document))
    assert usched("apply", str(tmp_path / "greedy.json")).exit_code == 0
    assert usched("run", "greedy", "--wait").exit_code == 1
    jobs = {job["jobName"]: job for job in json.loads(usched("show", "greedy", "--json").stdout)["jobs"]}
    for name, attempts in (("once", 1), ("twice", 2)):
        assert (jobs[name]["status"], jobs[name]["exitCode"]) == ("FAILED", 137)
        assert "OutOfMemoryError: Container killed due to memory usage" in json.dumps(jobs[name])
        assert jobs[name]["attempts"] == attempts
    assert "OutOfMemoryError" in usched("show", "greedy").stdout
