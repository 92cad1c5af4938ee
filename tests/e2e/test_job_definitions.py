"""docs/jobs.md on the engine: its job definition is registered as it stands, and a schedule names it."""

from __future__ import annotations

import json

import pytest

from tests.docs.desk import ROOT
from tests.docs.markdown import examples
from tests.e2e.conftest import Stage

pytestmark = pytest.mark.e2e


def test_a_schedule_runs_a_job_definition_of_the_users_own(stage: Stage) -> None:
    [definition] = [each for each in examples(ROOT / "docs" / "jobs.md") if each.file == "crawler.json"]
    registered = stage.client("batch").register_job_definition(**json.loads(definition.text))
    job = {"jobName": "crawl", "jobQueue": "default", "containerOverrides": {"command": ["true"]}}
    names = ("crawler", f"crawler:{registered['revision']}", registered["jobDefinitionArn"])
    jobs = [{**job, "jobName": f"crawl-{number}", "jobDefinition": name} for number, name in enumerate(names)]
    stage.put({"scheduleId": "with-a-definition-of-ones-own", "jobList": jobs, "wait_time": 1})
    run = stage.ended("with-a-definition-of-ones-own")
    assert run["scheduleStatus"] == "SUCCEEDED", run
