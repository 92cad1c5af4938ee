"""What the engine's functions log of a run, and what they measure."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import Stage, eventually


def lines(stage: Stage, function: str, text: str) -> list[dict[str, Any]]:
    """The JSON lines of a function that have this text, when there are some."""

    def look() -> list[dict[str, Any]]:
        events = stage.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        said = [event["message"] for event in events if text in event["message"] and event["message"].startswith("{")]
        return [json.loads(line) for line in said]

    return eventually(look, what=f"a line of {function} with {text}")


def test_a_runs_lines_and_metrics_name_it(stage: Stage) -> None:
    entry = {"jobName": "a", "jobQueue": "default", "jobDefinition": "shell"}
    stage.put({"scheduleId": "observed", "jobList": [{**entry, "containerOverrides": {"command": ["true"]}}]})
    run = stage.ended("observed")
    for function, message in (("usched-start-run", "Run is driven"), ("usched-record-result", "Run is SUCCEEDED")):
        found = [line for line in lines(stage, function, run["runId"]) if message in line["message"]]
        assert [(line["level"], line["execution"]) for line in found] == [("INFO", run["executionName"])]
        assert found[0]["correlation_id"] == run["runId"]
    [ended] = [line for line in lines(stage, "usched-history-stream", run["runId"]) if "Runs" in line]
    assert (ended["Outcome"], ended["Runs"]) == ("SUCCEEDED", 1)
    assert ended["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "UniversalScheduler"
    woken = lines(stage, "usched-job-events", "EndToWake")
    assert all(isinstance(line["EndToWake"], int | float | list) for line in woken)
    cloudwatch = stage.client("cloudwatch")
    name = f"universal-scheduler-{cloudwatch.meta.region_name}"
    body = cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"]
    assert len(json.loads(body)["widgets"]) == 9
