"""What people read: texts, and every webhook's shape against what its service has published."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tests.webhooks import checked
from universal_scheduler.domain.messages.messages import (
    JobReport,
    Message,
    log_link,
    printable,
    run_link,
    signature,
    sms,
    sns_request,
    subject,
    text,
    webhook_body,
)
from universal_scheduler.domain.messages.notifications import Kind, Service
from universal_scheduler.domain.runs.model import RunKey

KEY = RunKey("daily-edw-load", "2026-11-21T06:00:00.000001")
WEBHOOKS = [service for service in Service if service is not Service.SNS]
FAILED = Message(
    id="0" * 32,
    kind=Kind.RUN_FAILED,
    key=KEY,
    at="2026-11-21T06:10:00Z",
    name="Daily load <EDW> & more",
    status="FAILED",
    reason="Cleanse FAILED with exit code 3; 2 more did not run because of that",
    ended_at="2026-11-21T06:10:00.000000",
    execution_arn="arn:aws:states:us-east-1:123456789012:execution:schedule_runner:x",
    jobs=(
        JobReport(
            "Cleanse",
            "FAILED",
            "Essential container in task exited",
            3,
            ("reading <!channel> & *all*", "``` <@all> [x](https://evil.example)", "", "ValueError: Grüße 🌊"),
            "https://console.example/log",
        ),
    ),
    link="https://console.example/run",
)
STARTED = Message("1" * 32, Kind.RUN_STARTED, KEY, "2026-11-21T06:00:00Z", status="RUNNING")
HELD = replace(
    STARTED, kind=Kind.JOB_HELD, job_name="Cleanse", detail="source is late", jobs=(JobReport("Cleanse", "HELD"),)
)
LATE = Message("2" * 32, Kind.RUN_LATE, KEY, "2026-11-21T06:00:00Z", detail="it should have ended by 05:00")
HUGE = replace(
    FAILED,
    key=RunKey("s" * 128, KEY.start),
    name="n" * 256,
    reason="ü" * 1000,
    detail="€" * 1000,
    jobs=tuple(
        JobReport(f"{i}" * 128, "FAILED", "🌊" * 1000, 137, ("<" * 300,) * 20, "https://console.example/" + "l" * 900)
        for i in range(5)
    ),
    more_jobs=9_995,
    link="https://console.example/" + "x" * 400,
)
ALL = {"failed": FAILED, "started": STARTED, "held": HELD, "late": LATE, "huge": HUGE}


@pytest.mark.parametrize("message", ALL.values(), ids=ALL)
@pytest.mark.parametrize("service", WEBHOOKS)
def test_each_shape_is_what_its_service_has_published(service: Service, message: Message) -> None:
    checked(service, webhook_body(service, message))


@pytest.mark.parametrize("message", ALL.values(), ids=ALL)
def test_what_sns_is_given_is_within_its_limits(message: Message) -> None:
    request = sns_request(message)
    client = boto3.client("sns", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_response("publish", {"MessageId": "1"}, {"TopicArn": "arn", **request})
        client.publish(TopicArn="arn", **request)
    told = request["Subject"]
    assert 0 < len(told) < 100
    assert told.isascii()
    assert told.isprintable()
    texts = json.loads(request["Message"])
    assert texts.keys() == {"default", "email", "sms"}
    assert len(texts["sms"]) <= 140
    assert texts["sms"].isascii()
    assert len(request["Message"].encode()) < 256 * 1024


def test_an_e_mail_says_all_that_one_wants_to_know() -> None:
    assert subject(FAILED) == "Run of daily-edw-load FAILED"
    assert text(FAILED).splitlines() == [
        "Run of daily-edw-load FAILED",
        "",
        "Schedule: daily-edw-load (Daily load <EDW> & more)",
        "Run: 2026-11-21T06:00:00.000001 UTC",
        "Ended: 2026-11-21T06:10:00.000000 UTC",
        "Why: Cleanse FAILED with exit code 3; 2 more did not run because of that",
        "",
        "Cleanse FAILED with exit code 3: Essential container in task exited",
        "Last lines of its log:",
        "    reading <!channel> & *all*",
        "    ``` <@all> [x](https://evil.example)",
        "    ",
        "    ValueError: Grüße 🌊",
        "Log: https://console.example/log",
        "",
        "Run the jobs that did not succeed: usched restart daily-edw-load 2026-11-21T06:00:00.000001",
        "Look at it: https://console.example/run",
    ]


def test_a_held_job_is_told_with_the_command_that_releases_it() -> None:
    assert f"Release it: usched release daily-edw-load Cleanse --start {KEY.start}" in text(HELD).splitlines()
    assert "Detail: source is late" in text(HELD).splitlines()


def test_an_sms_says_what_failed() -> None:
    failed = "Cleanse FAILED with exit code 3: Essential container in task exited"
    assert sms(FAILED) == f"Run of daily-edw-load FAILED 2026-11-21T06:00 {failed}"


def test_a_subject_has_no_second_line_and_no_letter_that_a_gateway_breaks() -> None:
    assert subject(replace(HELD, job_name="Übung\r\nBcc: all")) == "Job ?bung Bcc: all of daily-edw-load is held"


@pytest.mark.parametrize("service", WEBHOOKS)
def test_a_job_cannot_call_everybody_by_what_it_prints(service: Service) -> None:
    body = webhook_body(service, FAILED).decode()
    if service is Service.SLACK:
        assert "<!channel>" not in body
        assert body.count("```") == 2
    if service is Service.WEBEX:
        assert "<@all>" not in body
        assert body.count("```") == 2
    if service is Service.TEAMS:  # only a TextBlock is read as Markdown
        blocks = json.loads(body)["attachments"][0]["content"]["body"]
        assert [block["text"] for block in blocks if block["type"] == "TextBlock"] == [FAILED.title]


@pytest.mark.parametrize("service", [*WEBHOOKS])
def test_every_shape_has_the_reason_the_log_the_command_and_the_link(service: Service) -> None:
    body = json.dumps(checked(service, webhook_body(service, FAILED)), ensure_ascii=False)
    for part in ("exit code 3", "Essential container", "ValueError: Grüße 🌊", FAILED.command, FAILED.link):
        assert part in body


def test_what_does_not_fit_loses_log_lines_first() -> None:
    lines = tuple(f"line {i} " + "x" * 250 for i in range(20))
    long = replace(FAILED, jobs=(replace(FAILED.jobs[0], log_lines=lines),) * 3)
    told = checked("webex", webhook_body(Service.WEBEX, long))["markdown"]
    assert told.count("exit code 3: Essential container") == 3
    assert "line 19 " in told
    assert "line 0 " not in told


def test_a_signature_is_the_hmac_of_time_and_body() -> None:
    expected = hmac.new(b"key", b'1700000000.{"a": 1}', hashlib.sha256).hexdigest()
    assert signature("key", 1700000000, b'{"a": 1}') == f"v1={expected}"


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "eu-central-1", "eu-central-1.console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
    ],
)
def test_links_lead_to_the_console_of_the_partition(partition: str, region: str, host: str) -> None:
    arn = f"arn:{partition}:states:{region}:123456789012:execution:m:x"
    assert run_link(arn, "x", "").startswith(f"https://{host}/states/home?region={region}#")
    assert log_link(arn, "/aws/batch/x", "a").startswith(f"https://{host}/cloudwatch/home?region={region}#")


@pytest.mark.parametrize("given", [("", "x", ""), ("", "", "http://127.0.0.1/api/v1")])
def test_what_has_no_execution_has_no_link(given: tuple[str, str, str]) -> None:
    assert run_link(*given) == ""
    assert log_link("", "g", "s") == log_link("arn", "", "s") == log_link("arn", "g", "") == ""


@pytest.mark.parametrize(
    ("line", "shown"),
    [("a\x1b[1;31mb\x1b[0m", "ab"), ("a\tb\x00c ", "a b c"), ("x" * 301, "x" * 299 + "…"), ("", "")],
)
def test_lines_are_printable(line: str, shown: Any) -> None:
    assert printable(line) == shown
