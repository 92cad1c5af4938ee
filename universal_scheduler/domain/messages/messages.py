"""The texts of messages, in the form that each channel's service has published. It is pure."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, TypeVar
from urllib.parse import quote

from universal_scheduler.domain.messages.notifications import KIND_TEXTS, Kind, Service
from universal_scheduler.domain.names import iso
from universal_scheduler.domain.runs.model import JobRun, JobStatus, RunKey

SUBJECT_LIMIT = 99
"""Characters. SNS takes fewer than 100, and no line breaks or control characters. Some mail gateways take only ASCII.
https://docs.aws.amazon.com/sns/latest/api/API_Publish.html"""
SMS_LIMIT = 140
"""ASCII characters in one part of an SMS. A longer text is sent, and billed, as several parts.
https://docs.aws.amazon.com/sns/latest/dg/sms_sms-to-phone.html"""
MAIL_LIMIT_BYTES = 100_000
"""A message of SNS has at most 256 KiB, and it has the text twice: for e-mail, and for all other protocols."""
SLACK_HEADER_LIMIT, SLACK_SECTION_LIMIT = 150, 3000
"""Characters. https://docs.slack.dev/reference/block-kit/blocks/section-block"""
SLACK_LIMIT_BYTES = 12_000
"""Bytes of all blocks together. Slack does not publish the limit. https://github.com/slackapi/bolt-js/issues/2509"""
TEAMS_LIMIT_BYTES = 20_000
"""Teams takes about 28 KB of what it makes of the card, which is more than the card itself.
https://learn.microsoft.com/en-us/connectors/teams/#known-issues-and-limitations-with-actions"""
WEBEX_LIMIT_BYTES = 7439
"""https://developer.webex.com/docs/api/v1/messages/create-a-message"""
JOBS_SHOWN, LINES_SHOWN, LINE_LIMIT, TEXT_LIMIT = 5, 20, 300, 1000
SHORTER = ((JOBS_SHOWN, LINES_SHOWN, TEXT_LIMIT), (JOBS_SHOWN, 8, 500), (3, 4, 300), (1, 0, 200))
"""Steps in which a message that is too long becomes shorter: jobs, log lines of each job, characters of each reason."""
SIGNATURE_HEADER, TIMESTAMP_HEADER, ID_HEADER = "X-Usched-Signature", "X-Usched-Timestamp", "X-Usched-Id"
ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}
Text = TypeVar("Text", str, bytes)


@dataclass(frozen=True, slots=True)
class LogTail:
    """The end of a job's log, and where the whole log is."""

    lines: tuple[str, ...] = ()
    group: str = ""
    stream: str = ""


@dataclass(frozen=True, slots=True)
class JobReport:
    """What a message says of one job."""

    name: str
    status: str
    reason: str = ""
    exit_code: int | None = None
    log_lines: tuple[str, ...] = ()
    """The last lines of the log, oldest first."""
    log_link: str = ""

    @property
    def headline(self) -> str:
        """The job, how it ended, and why, in one line."""
        code = f" with exit code {self.exit_code}" if self.exit_code is not None else ""
        return f"{self.name} {self.status}{code}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True)
class Message:
    """The content of a message, whatever the channel. Times are UTC in ISO 8601. What is not known is empty."""

    id: str
    kind: Kind
    key: RunKey
    at: str
    name: str = ""
    """The schedule's `scheduleName`."""
    status: str = ""
    reason: str = ""
    ended_at: str = ""
    execution_arn: str = ""
    job_name: str = ""
    detail: str = ""
    jobs: tuple[JobReport, ...] = ()
    more_jobs: int = 0
    """How many failed jobs are not in `jobs`."""
    link: str = ""

    @property
    def title(self) -> str:
        """What happened, and to which schedule and job, in one line."""
        return self._filled(KIND_TEXTS[self.kind].title)

    @property
    def prompt(self) -> str:
        """What the reader can do now; `command` does it."""
        return KIND_TEXTS[self.kind].prompt

    @property
    def command(self) -> str:
        """The command line that a reader may type next, e.g. `usched restart nightly 2026-11-21T06:00:00.000001`."""
        return self._filled(KIND_TEXTS[self.kind].command).rstrip()

    def _filled(self, text: str) -> str:
        return text.format(schedule=self.key.schedule_id, job=self.job_name, start=self.key.start)


def failed_jobs(jobs: Sequence[JobRun]) -> list[JobRun]:
    """The jobs that have failed themselves. Optional jobs come last."""
    gone_wrong = {JobStatus.FAILED, JobStatus.NOTFOUND, JobStatus.CANCELLED}
    return sorted((job for job in jobs if job.status in gone_wrong), key=lambda job: job.job.optional)


def run_link(execution_arn: str, name: str, api: str) -> str:
    """A link to the run: of the REST API if `api` is its base URL and people reach it unsigned, else of the AWS
    console."""
    if api:
        return f"{api}/executions/{quote(name)}" if name else ""
    console, region = _console(execution_arn)
    if not console:
        return ""
    return f"{console}/states/home?region={region}#/v2/executions/details/{execution_arn}"


def log_link(execution_arn: str, group: str, stream: str) -> str:
    """A link to the log stream in the AWS console, which quotes such names twice."""
    console, region = _console(execution_arn)
    if not (console and group and stream):
        return ""
    place = f"log-group/{_twice_quoted(group)}/log-events/{_twice_quoted(stream)}"
    return f"{console}/cloudwatch/home?region={region}#logsV2:log-groups/{place}"


def _console(arn: str) -> tuple[str, str]:
    """The AWS console of an ARN's partition and region, and that region; nothing of what is no ARN."""
    match arn.split(":"):
        case ["arn", partition, _, region, _, *_]:
            return f"https://{region}.{CONSOLES.get(partition, 'console.aws.amazon.com')}", region
        case _:
            return "", ""


def _twice_quoted(text: str) -> str:
    return quote(quote(text, safe=""), safe="").replace("%", "$")


def subject(message: Message) -> str:
    """The subject of an e-mail: printable ASCII on one line."""
    return _clip(_ascii(message.title), SUBJECT_LIMIT, "...")


def sms(message: Message) -> str:
    """The text for one part of an SMS."""
    job = f" {message.jobs[0].headline}" if message.jobs and message.kind is Kind.RUN_FAILED else ""
    return _clip(_ascii(f"{message.title} {message.key.start[:16]}{job} {message.detail}".strip()), SMS_LIMIT, "...")


def text(message: Message) -> str:
    """The whole message as plain text."""
    lines = [message.title, "", *(f"{name}: {value}" for name, value in _facts(message).items())]
    for job in message.jobs:
        lines += ["", job.headline]
        if job.log_lines:
            lines += ["Last lines of its log:", *(f"    {line}" for line in job.log_lines)]
        if job.log_link:
            lines.append(f"Log: {job.log_link}")
    if message.more_jobs:
        lines += ["", f"{message.more_jobs} more jobs failed."]
    lines += ["", f"{message.prompt}: {message.command}"]
    if message.link:
        lines.append(f"Look at it: {message.link}")
    return "\n".join(lines) + "\n"


def sns_request(message: Message) -> dict[str, Any]:
    """The arguments of SNS's Publish besides the topic: a text for each protocol, and attributes for filters.

    https://docs.aws.amazon.com/sns/latest/dg/sns-send-custom-platform-specific-payloads-mobile-devices.html
    """
    mail = _fitted(message, text, MAIL_LIMIT_BYTES)
    attributes = {"id": message.id, "kind": str(message.kind), "scheduleId": message.key.schedule_id}
    return {
        "Subject": subject(message),
        "MessageStructure": "json",
        "Message": json.dumps({"default": mail, "email": mail, "sms": sms(message)}),
        "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    }


def webhook_body(service: Service, message: Message) -> bytes:
    """The JSON body for a webhook of this service."""
    match service:
        case Service.SLACK:
            return _fitted(message, lambda each: _json(_slack(each)), SLACK_LIMIT_BYTES)
        case Service.TEAMS:
            return _fitted(message, lambda each: _json(_teams(each)), TEAMS_LIMIT_BYTES)
        case Service.WEBEX:
            return _json({"markdown": _fitted(message, _webex, WEBEX_LIMIT_BYTES)})
        case Service.WEBHOOK:
            return _json(_plain(message))
        case Service.SNS:
            raise ValueError("a topic is no webhook")


def signature(key: str, timestamp: int, body: bytes) -> str:
    """The signature of a body: `v1=` and the hexadecimal HMAC-SHA256 of `timestamp.body`.

    `timestamp` is in epoch seconds. It is signed, too, so that nobody can send an old message again as a new one.
    """
    return "v1=" + hmac.new(key.encode(), f"{timestamp}.".encode() + body, sha256).hexdigest()


def _plain(message: Message) -> dict[str, Any]:
    """The scheduler's own shape; `version` changes where a reader would have to."""
    return {
        "version": 1,
        "id": message.id,
        "kind": message.kind,
        "at": message.at,
        "title": message.title,
        "text": text(message),
        "run": {
            "scheduleId": message.key.schedule_id,
            "scheduleName": message.name,
            "startDateTime": message.key.start,
            "endDateTime": message.ended_at,
            "status": message.status,
            "reason": message.reason,
            "executionArn": message.execution_arn,
        },
        "jobName": message.job_name,
        "detail": message.detail,
        "jobs": [
            {
                "jobName": job.name,
                "status": job.status,
                "reason": job.reason,
                "exitCode": job.exit_code,
                "logLines": list(job.log_lines),
                "logLink": job.log_link,
            }
            for job in message.jobs
        ],
        "moreJobs": message.more_jobs,
        "link": message.link,
        "command": message.command,
    }


def _slack(message: Message) -> dict[str, Any]:
    """https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks"""
    facts = "\n".join(f"*{name}:* {_slack_text(value)}" for name, value in _facts(message).items())
    sections = [_clip(facts, SLACK_SECTION_LIMIT)]
    for job in message.jobs:
        head = f"*{_slack_text(job.headline)}*"
        tail = f"\n<{_slack_text(job.log_link)}|Log>" if job.log_link else ""
        lines = [_slack_text(line).replace("```", "'''") for line in job.log_lines]
        while lines and len(head) + len(tail) + sum(map(len, lines)) + len(lines) + 10 > SLACK_SECTION_LIMIT:
            lines = lines[1:]
        code = f"\n```{chr(10).join(lines)}```" if lines else ""
        sections.append(f"{head}{code}{tail}")
    if message.more_jobs:
        sections.append(f"{message.more_jobs} more jobs failed.")
    link = f"\n<{_slack_text(message.link)}|Look at it>" if message.link else ""
    sections.append(f"{message.prompt}: `{message.command}`{link}")
    header = {"type": "plain_text", "text": _clip(message.title, SLACK_HEADER_LIMIT)}
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": section}} for section in sections]
    return {"text": _slack_text(message.title), "blocks": [{"type": "header", "text": header}, *blocks]}


def _slack_text(value: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text#escaping"""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _teams(message: Message) -> dict[str, Any]:
    """An Adaptive Card as Teams' Workflows take it; they take no MessageCard. Only text runs are free of Markdown.

    https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
    https://adaptivecards.io/explorer/RichTextBlock.html
    """
    title = {"type": "TextBlock", "text": message.title, "size": "Large", "weight": "Bolder", "wrap": True}
    colour = KIND_TEXTS[message.kind].colour
    title |= {"color": colour} if colour else {}
    body: list[dict[str, Any]] = [title]
    for name, value in _facts(message).items():
        body.append(_runs({"text": f"{name}: ", "weight": "Bolder"}, {"text": value}))
    actions = [{"type": "Action.OpenUrl", "title": "Look at it", "url": message.link}] if message.link else []
    for job in message.jobs:
        body.append(_runs({"text": job.headline, "weight": "Bolder"}))
        body += [_runs({"text": line or " ", "fontType": "Monospace"}) | {"spacing": "None"} for line in job.log_lines]
        if job.log_link:
            actions.append({"type": "Action.OpenUrl", "title": f"Log of {job.name}"[:60], "url": job.log_link})
    if message.more_jobs:
        body.append(_runs({"text": f"{message.more_jobs} more jobs failed."}))
    body.append(_runs({"text": f"{message.prompt}: "}, {"text": message.command, "fontType": "Monospace"}))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": body,
        "actions": actions,
        "msteams": {"width": "Full"},
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _runs(*runs: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}


def _webex(message: Message) -> str:
    """https://apphub.webex.com/applications/incoming-webhooks-cisco-systems-38054-23307-75252"""
    lines = [f"**{_webex_text(message.title)}**", ""]
    lines += [f"- {name}: {_webex_text(value)}" for name, value in _facts(message).items()]
    for job in message.jobs:
        lines += ["", f"**{_webex_text(job.headline)}**" + (f" [log]({job.log_link})" if job.log_link else "")]
        if job.log_lines:
            lines += ["```", *(line.replace("```", "'''").replace("<@", "< @") for line in job.log_lines), "```"]
    if message.more_jobs:
        lines += ["", f"{message.more_jobs} more jobs failed."]
    lines += [
        "",
        f"{message.prompt}: `{message.command}`" + (f" [look at it]({message.link})" if message.link else ""),
    ]
    return "\n".join(lines)


def _webex_text(value: str) -> str:
    """Without mentions (`<@all>`) and marks that a log or a name has by chance."""
    return re.sub(r"([\\`*_\[\]])", r"\\\1", value).replace("<", "&lt;")


def _facts(message: Message) -> dict[str, str]:
    facts = {
        "Schedule": f"{message.key.schedule_id} ({message.name})" if message.name else message.key.schedule_id,
        "Run": f"{message.key.start} UTC" if message.key.start else "",
        "Ended": f"{message.ended_at} UTC" if message.ended_at else "",
        "Why": message.reason,
        "Detail": message.detail,
    }
    return {name: value for name, value in facts.items() if value}


def _fitted(message: Message, render: Callable[[Message], Text], limit_bytes: int) -> Text:
    """Rendered within a limit: with ever fewer lines of logs, jobs and characters of reasons."""
    for jobs, lines, characters in SHORTER:
        shown = render(_shortened(message, jobs, lines, characters))
        if _size(shown) <= limit_bytes:
            break
    return shown


def _size(shown: str | bytes) -> int:
    return len(shown.encode() if isinstance(shown, str) else shown)


def _shortened(message: Message, jobs: int, lines: int, characters: int) -> Message:
    reports = [
        replace(
            job,
            reason=_clip(job.reason, characters),
            log_lines=job.log_lines[len(job.log_lines) - min(lines, len(job.log_lines)) :],
        )
        for job in message.jobs[:jobs]
    ]
    return replace(
        message,
        reason=_clip(message.reason, characters),
        detail=_clip(message.detail, characters),
        jobs=tuple(reports),
        more_jobs=message.more_jobs + len(message.jobs) - len(reports),
    )


def printable(line: str, limit: int = LINE_LIMIT) -> str:
    """The text on one line, without colours and control characters, cut to `limit` characters."""
    return _clip(CONTROL.sub(" ", ANSI.sub("", line)).rstrip(), limit)


def utc(epoch: float) -> str:
    """Epoch seconds as UTC in ISO 8601 with whole seconds and `Z`."""
    return f"{iso(epoch)[:19]}Z"


def _ascii(value: str) -> str:
    return printable(value, len(value)).encode("ascii", "replace").decode()


def _clip(value: str, limit: int, end: str = "…") -> str:
    return value if len(value) <= limit else value[: limit - len(end)] + end


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
