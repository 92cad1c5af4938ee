"""`usched migrate`: from one embedded engine to another, which the command takes for AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually
from universal_scheduler.local import deploy, engine

pytestmark = pytest.mark.e2e
JOB = {"jobName": "a", "jobQueue": "high", "jobDefinition": "shell", "containerOverrides": {"command": ["true"]}}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The engine from which everything moves; its directory is where `usched` looks for engines."""
    started = engine.start(0, tmp_path_factory.mktemp("moving") / "engine-old")
    try:
        yield Stage(started)
    finally:
        engine.stop(started)


def migrate(old: Stage, new: Stage, *more: str) -> tuple[int, Any]:
    environment = {
        **os.environ,
        "USCHED_STATE_DIR": str(old.engine.state_dir.parent),
        "AWS_ENDPOINT_URL": new.engine.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    words = [sys.executable, "-m", "universal_scheduler.cli", "migrate", "--to-stack", deploy.STACK, "--json", *more]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_everything_moves_and_runs_on_there(old: Stage, stage: Stage, tmp_path: Path) -> None:
    del tmp_path
    old.table("BatchCalendars").put_item(Item={"calendarName": "moved-bank", "holidays": "US"})
    old.put({"scheduleId": "moved-once", "wait_time": 1, "jobList": [JOB]})
    old.put({"scheduleId": "moved-after", "wait_time": 1, "jobList": [JOB], "trigger": {"after": ["moved-once"]}})
    old.put({"scheduleId": "moved-clock", "wait_time": 1, "jobList": [JOB], "trigger": {"cron": "* * * * *"}})
    ran = old.ended("moved-once")
    followed = old.ended("moved-after")
    eventually(lambda: old.runs("moved-clock"), what="the first minute")

    code, planned = migrate(old, stage)
    assert planned["dryRun"]
    assert {entry["name"]: entry["state"] for entry in planned["entries"]}["moved-once"] == "moved"
    assert stage.row("moved-once") is None

    def all_moved() -> Any:
        """Every minute there is a moment without a run."""
        code, done = migrate(old, stage, "--yes")
        assert code in (0, 1)
        return done if code == 0 else None

    done = eventually(all_moved, what="a move without a run in the way")
    assert {entry["state"] for entry in done["entries"]} <= {"moved", "there already"}
    for name in ("moved-once", "moved-after", "moved-clock"):
        assert stage.row(name) == old.row(name)
    assert stage.table("BatchCalendars").get_item(Key={"calendarName": "moved-bank"})["Item"]["holidays"] == "US"
    [copy] = stage.runs("moved-once")
    assert copy == {key: value for key, value in ran.items() if not key.startswith("watch")}
    assert stage.jobs(ran) == old.jobs(ran)
    assert [run["startDateTime"] for run in stage.runs("moved-after")] == [followed["startDateTime"]]

    here = len(old.runs("moved-clock"))
    eventually(lambda: len(stage.runs("moved-clock")) > here, what="a minute on the new stage")
    assert len(old.runs("moved-clock")) == here, "the old one has not started any more"
    assert len(stage.runs("moved-once")) == 1, "a row that moves starts nothing"
    stage.table("BatchSchedules").delete_item(Key={"scheduleId": "moved-clock"})
    assert code == 0 or planned["runs"]["goingOn"]
