"""What the Batch platform asks and understands, checked against botocore's model of AWS Batch."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from universal_scheduler import wiring
from universal_scheduler.adapters.batch import BatchPlatform
from universal_scheduler.domain.errors import PlatformUnavailable, SubmissionRefused, Throttled
from universal_scheduler.domain.events.job_events import read_detail
from universal_scheduler.domain.runs.model import Child, Job, JobStatus
from universal_scheduler.domain.runs.planner import INTENT_SETTLE_SECONDS
from universal_scheduler.settings import Settings
from universal_scheduler.usecases.submission import CLAIM_LIMIT_SECONDS
from universal_scheduler.wiring import Wiring

QUEUE = "arn:aws:batch:us-east-1:123456789012:job-queue/prod-default"
SHELL = "arn:aws:batch:us-east-1:123456789012:job-definition/prod-shell:3"
JOB = Job("load", "default", "shell")


@pytest.fixture
def stub() -> Iterator[Stubber]:
    client = boto3.client("batch", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def platform(stub: Stubber) -> BatchPlatform:
    client = stub.client
    return BatchPlatform(client, submitter=client, queues={"default": QUEUE}, definitions={"shell": SHELL})


def test_short_names_are_this_stages_own_and_others_pass(stub: Stubber, platform: BatchPlatform) -> None:
    for queue, sent in (("default", QUEUE), ("theirs", "theirs")):
        request = {"jobName": "n", "jobQueue": sent, "jobDefinition": SHELL, "dependsOn": [], "tags": {}}
        stub.add_response("submit_job", {"jobName": "n", "jobId": "id"}, request)
        assert platform.submit(Job("load", queue, "shell"), "n", [], {}, {}) == "id"


def test_everything_that_a_document_says_of_a_job_is_sent(stub: Stubber, platform: BatchPlatform) -> None:
    job = Job(
        "load",
        "default",
        "shell",
        parameters={"day": "1"},
        container_overrides={"command": ["load"], "environment": [{"name": "A", "value": "theirs"}]},
        array_size=3,
        retry_strategy={"attempts": 3},
        timeout_seconds=60,
    )
    stub.add_response(
        "submit_job",
        {"jobName": "n", "jobId": "id"},
        {
            "jobName": "n",
            "jobQueue": QUEUE,
            "jobDefinition": SHELL,
            "dependsOn": [{"jobId": "up"}],
            "tags": {"usched:start": "2026_odd_"},
            "arrayProperties": {"size": 3},
            "parameters": {"day": "1"},
            "containerOverrides": {
                "command": ["load"],
                "environment": [{"name": "A", "value": "theirs"}, {"name": "B", "value": "ours"}],
            },
            "retryStrategy": {"attempts": 3},
            "timeout": {"attemptDurationSeconds": 60},
        },
    )
    platform.submit(job, "n", ["up"], {"A": "ours", "B": "ours"}, {"usched:start": "2026#odd!"})


def test_a_refusal_names_the_queue_and_the_definition(stub: Stubber, platform: BatchPlatform) -> None:
    stub.add_client_error("submit_job", "ClientException", "JobQueue q not found", 400)
    with pytest.raises(SubmissionRefused, match=r"JobQueue q not found .jobQueue 'default', jobDefinition 'shell'"):
        platform.submit(JOB, "n", [], {}, {})


def test_a_queue_that_the_stack_may_not_use_is_refused_with_what_would_allow_it(
    stub: Stubber, platform: BatchPlatform
) -> None:
    stub.add_client_error("submit_job", "AccessDeniedException", "not authorized", 403)
    with pytest.raises(SubmissionRefused, match="OtherBatchArns"):
        platform.submit(Job("load", "theirs", "shell"), "n", [], {}, {})


@pytest.mark.parametrize(("code", "status"), [("ServerException", 500), ("TooManyRequestsException", 429)])
def test_what_may_pass_is_no_refusal(stub: Stubber, platform: BatchPlatform, code: str, status: int) -> None:
    stub.add_client_error("submit_job", code, "later", status)
    with pytest.raises(PlatformUnavailable):
        platform.submit(JOB, "n", [], {}, {})


def test_the_sdk_never_submits_again_by_itself() -> None:
    calls = []

    class Fails(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.append(self.path)
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Fails) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
        stage = Wiring(Settings(), session, f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(PlatformUnavailable):
            stage.platform.submit(JOB, "n", [], {}, {})
        server.shutdown()
    assert calls == ["/v1/submitjob"]


def test_a_job_is_found_by_its_exact_name(stub: Stubber, platform: BatchPlatform) -> None:
    request = {"jobQueue": QUEUE, "filters": [{"name": "JOB_NAME", "values": ["n"]}]}
    summaries = [{"jobId": "1", "jobName": "n-other"}, {"jobId": "2", "jobName": "n"}]
    stub.add_response("list_jobs", {"jobSummaryList": summaries}, request)
    stub.add_response("list_jobs", {"jobSummaryList": []}, request)
    assert platform.find("default", "n") == "2"
    assert platform.find("default", "n") is None


def test_a_job_on_a_later_page_is_found_too(stub: Stubber, platform: BatchPlatform) -> None:
    request = {"jobQueue": QUEUE, "filters": [{"name": "JOB_NAME", "values": ["n"]}]}
    stub.add_response("list_jobs", {"jobSummaryList": [], "nextToken": "more"}, request)
    summaries = [{"jobId": "2", "jobName": "n"}]
    stub.add_response("list_jobs", {"jobSummaryList": summaries}, request | {"nextToken": "more"})
    assert platform.find("default", "n") == "2"


def test_a_queue_that_is_gone_holds_no_job(stub: Stubber, platform: BatchPlatform) -> None:
    stub.add_client_error("list_jobs", "ClientException", "JobQueue q not found.", 400)
    assert platform.find("default", "n") is None


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException", "TooManyRequestsException"])
def test_a_look_up_that_was_refused_is_not_taken_for_absence(stub: Stubber, platform: BatchPlatform, code: str) -> None:
    stub.add_client_error("list_jobs", code, "no", 400)
    with pytest.raises(PlatformUnavailable):
        platform.find("default", "n")


def test_a_throttle_is_told_from_an_outage(stub: Stubber, platform: BatchPlatform) -> None:
    stub.add_client_error("submit_job", "TooManyRequestsException", "slow down", 429)
    with pytest.raises(Throttled):
        platform.submit(JOB, "n", [], {}, {})


def test_what_the_sdk_refuses_to_send_is_refused_for_good() -> None:
    client = boto3.client("batch", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    platform = BatchPlatform(client, submitter=client, queues={}, definitions={})
    job = Job("load", "default", "shell", retry_strategy={"attempts": "many"})
    with pytest.raises(SubmissionRefused, match="attempts"):
        platform.submit(job, "n", [], {}, {})


def test_a_submission_settles_only_after_the_call_has_timed_out() -> None:
    call = wiring.SUBMIT_CONNECT_SECONDS + wiring.SUBMIT_READ_SECONDS
    assert CLAIM_LIMIT_SECONDS + 2 * call <= INTENT_SETTLE_SECONDS


def test_a_throttled_look_is_not_an_answer(stub: Stubber, platform: BatchPlatform) -> None:
    stub.add_client_error("describe_jobs", "TooManyRequestsException", "later", 429)
    with pytest.raises(PlatformUnavailable):
        platform.describe(["1"])


def test_termination_carries_its_reason(stub: Stubber, platform: BatchPlatform) -> None:
    stub.add_response("terminate_job", {}, {"jobId": "1", "reason": ANY})
    platform.terminate("1", "given up")


def test_cancelling_carries_its_reason_and_is_tried_again_later(stub: Stubber, platform: BatchPlatform) -> None:
    stub.add_response("cancel_job", {}, {"jobId": "1", "reason": "held by ann"})
    platform.cancel("1", "held by ann")
    stub.add_client_error("cancel_job", "ServerException", "no", 500)
    with pytest.raises(PlatformUnavailable):
        platform.cancel("1", "held by ann")


@pytest.mark.parametrize("told", ["isCancelled", "isTerminated"])
def test_a_job_that_batch_was_told_to_end_is_seen_as_cancelled(told: str) -> None:
    assert read_detail({"jobId": "1", "status": "PENDING", told: True}).cancelled
    assert not read_detail({"jobId": "1", "status": "PENDING", told: False}).cancelled


def test_attempts_are_those_of_each_job_that_batch_knows(stub: Stubber, platform: BatchPlatform) -> None:
    attempts = [{"container": {"exitCode": 1, "logStreamName": "s/1"}, "startedAt": 1000, "stoppedAt": 2000}]
    stub.add_response("describe_jobs", {"jobs": [detail(attempts=attempts, jobDefinition="d")]}, {"jobs": ["1", "2"]})
    [attempt] = platform.attempts(["1", "2"])["1"]
    assert (attempt.exit_code, attempt.log_stream, attempt.stopped_at) == (1, "s/1", 2.0)
    stub.add_client_error("describe_jobs", "TooManyRequestsException", "later", 429)
    with pytest.raises(PlatformUnavailable):
        platform.attempts(["1"])


def detail(**more: Any) -> dict[str, Any]:
    return {"jobId": "1", "jobName": "n", "status": "FAILED", "jobQueue": QUEUE, "startedAt": 1500, **more}


def test_reason_and_exit_code_come_from_the_container() -> None:
    seen = read_detail(
        detail(
            statusReason="Essential container in task exited",
            stoppedAt=2500,
            container={"exitCode": 3, "reason": "OutOfMemoryError", "logStreamName": "shell/default/1"},
        )
    )
    assert (seen.status, seen.exit_code, seen.log_stream) == (JobStatus.FAILED, 3, "shell/default/1")
    assert seen.reason == "Essential container in task exited; OutOfMemoryError"
    assert (seen.started_at, seen.stopped_at) == (1.5, 2.5)


def test_the_last_attempt_speaks_where_the_job_does_not() -> None:
    attempts = [{"container": {"exitCode": 1}}, {"container": {"exitCode": 9, "logStreamName": "s"}}]
    assert read_detail(detail(attempts=attempts)).exit_code == 9


def test_the_children_of_an_array_are_counted() -> None:
    array = {"size": 3, "statusSummary": {"SUCCEEDED": 2, "FAILED": 1, "RUNNING": 0}}
    assert read_detail(detail(arrayProperties=array)).child_counts == {"SUCCEEDED": 2, "FAILED": 1}
    assert read_detail(detail(arrayProperties={"index": 1})).child_counts == {}


def test_an_array_runs_as_soon_as_one_of_its_children_has_run() -> None:
    for counts, status in (
        ({"RUNNABLE": 3}, JobStatus.PENDING),
        ({"RUNNABLE": 2, "RUNNING": 1}, JobStatus.RUNNING),
        ({"RUNNABLE": 2, "SUCCEEDED": 1}, JobStatus.RUNNING),
    ):
        seen = read_detail(detail(status="PENDING", arrayProperties={"size": 3, "statusSummary": counts}))
        assert (seen.status, seen.attempts) == (status, int(status is JobStatus.RUNNING))


def child(index: int, **more: Any) -> dict[str, Any]:
    place = {"index": index}
    return {"jobId": f"1:{index}", "jobName": "n", "status": "FAILED", "arrayProperties": place, **more}


def test_the_children_of_an_array_are_listed_by_state(stub: Stubber, platform: BatchPlatform) -> None:
    request = {"arrayJobId": "1", "jobStatus": "FAILED"}
    failed = child(4, statusReason="Essential container exited", container={"exitCode": 3, "reason": "OutOfMemory"})
    stub.add_response("list_jobs", {"jobSummaryList": [failed], "nextToken": "more"}, request)
    stub.add_response("list_jobs", {"jobSummaryList": [child(7)]}, request | {"nextToken": "more"})
    assert platform.children("1", JobStatus.FAILED) == [
        Child(4, JobStatus.FAILED, "Essential container exited; OutOfMemory", 3),
        Child(7, JobStatus.FAILED),
    ]


def test_of_many_children_only_some_are_asked_for(stub: Stubber, platform: BatchPlatform) -> None:
    request = {"arrayJobId": "1", "jobStatus": "FAILED"}
    stub.add_response("list_jobs", {"jobSummaryList": [child(4), child(7)], "nextToken": "more"}, request)
    assert [each.index for each in platform.children("1", JobStatus.FAILED, limit=1) or ()] == [4]


def test_an_array_that_batch_has_forgotten_has_no_children(stub: Stubber, platform: BatchPlatform) -> None:
    stub.add_client_error("list_jobs", "ClientException", "Array job 1 does not exist.", 400)
    assert platform.children("1", JobStatus.FAILED) is None
    stub.add_client_error("list_jobs", "TooManyRequestsException", "later", 429)
    with pytest.raises(PlatformUnavailable):
        platform.children("1", JobStatus.FAILED)
