"""Jobs that AWS Batch refuses, on the engine: told before the submission where only the run shows it, else by Batch."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.conftest import Stage
from tests.e2e.test_main_job import job, schedule

pytestmark = pytest.mark.e2e


def test_a_job_that_comes_out_with_an_empty_word_fails_with_the_reason_and_the_others_run(stage: Stage) -> None:
    echo = {"containerOverrides": {"command": ["echo", "{{run.parameters.suffix}}"]}}
    row = schedule(job("echo") | echo, job("after", "echo"), job("other"), parameters={"suffix": ""})
    stage.put(row)
    run = stage.ended(row["scheduleId"])
    assert run["scheduleStatus"] == "FAILED"
    jobs = stage.jobs(run)
    statuses = {name: entry["jobStatus"] for name, entry in jobs.items()}
    assert statuses == {"echo": "FAILED", "after": "UPSTREAM_FAILED", "other": "SUCCEEDED"}
    reason = jobs["echo"]["statusReason"]
    assert reason.startswith("AWS Batch would refuse the job. containerOverrides.command[1]: found")
    assert "'{{run.parameters.suffix}}', which is empty" in reason
    assert not jobs["echo"].get("jobId")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"containerOverrides": {"command": ["echo", ""]}}, "Command cannot be empty"),
        (
            {"retryStrategy": {"evaluateOnExit": [{"onReason": "*", "action": "EXIT"}]}},
            "RetryAttempts must be provided",
        ),
        ({"parameters": {"x": "x" * 31_000}}, "Job size must be less than 30 KiB"),
        (
            {"containerOverrides": {"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}},
            "Environment variables cannot start with AWS_BATCH",
        ),
    ],
)
def test_the_engines_batch_answers_as_aws_does(stage: Stage, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message) as refused:
        stage.client("batch").submit_job(jobName="refused", jobQueue="default", jobDefinition="shell", **request_)
    assert refused.value.response["Error"]["Code"] == "ClientException"
