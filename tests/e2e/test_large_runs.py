"""Schedules that do not fit into an item, and runs that are interrupted while many jobs are being submitted."""

from __future__ import annotations

import json
import urllib.request
import uuid
from collections import Counter
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually
from tests.e2e.test_faulty_batch import in_doubt, intents_settle, kill_functions, once, side_by_side, start, submissions
from universal_scheduler.local.server import CALLS_PATH

pytestmark = pytest.mark.e2e
OVER_AN_ITEM = 5000


def submit_calls(stage: Stage) -> int:
    with urllib.request.urlopen(f"{stage.engine.endpoint}{CALLS_PATH}", timeout=120) as answer:
        return int(json.loads(answer.read()).get("/v1/submitjob", 0))


def test_a_schedule_over_the_limit_of_an_item_is_kept_whole(stage: Stage) -> None:
    document: dict[str, Any] = {
        "scheduleId": f"large-{uuid.uuid4().hex[:8]}",
        "trigger": {"manual": True},
        "jobList": [
            {
                "jobName": f"job-{number}",
                "jobQueue": "default",
                "jobDefinition": "shell",
                "containerOverrides": {"command": ["echo", f"this is job {number}"]},
            }
            for number in range(OVER_AN_ITEM)
        ],
    }
    assert stage.call("POST", "/schedules", document) == (
        201,
        {"scheduleId": document["scheduleId"], "created": True, "warnings": []},
    )
    assert "jobListCompressed" in stage.row(document["scheduleId"])
    status, shown = stage.call("GET", f"/schedules/{document['scheduleId']}")
    assert (status, shown["valid"]) == (200, True)
    assert shown["schedule"] == document


def test_functions_killed_while_many_jobs_are_submitted_change_nothing_of_the_outcome(stage: Stage) -> None:
    row = side_by_side(300)
    before = submit_calls(stage)
    run = start(stage, row)
    eventually(lambda: submit_calls(stage) - before >= 100, what="a hundred submissions")
    kill_functions(stage)
    assert len(in_doubt(stage, run)) <= 25, "no more than one wave"
    intents_settle(stage, run)
    ended = stage.ended(row["scheduleId"])
    assert ended["scheduleStatus"] == "SUCCEEDED"
    assert Counter(job["jobStatus"] for job in stage.jobs(run).values()) == {"SUCCEEDED": 300}
    assert submissions(stage, run) == once(row)
