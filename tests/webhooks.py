"""The shapes that services have published for their webhooks, as JSON Schemas; and a receiver on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from jsonschema import Draft202012Validator

MRKDWN = {
    "type": "object",
    "required": ["type", "text"],
    "additionalProperties": False,
    "properties": {"type": {"const": "mrkdwn"}, "text": {"type": "string", "minLength": 1, "maxLength": 3000}},
}
SLACK = {
    # https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    # https://docs.slack.dev/reference/block-kit/blocks (50 blocks), its header-block (150) and section-block (3000)
    "type": "object",
    "required": ["text", "blocks"],
    "additionalProperties": False,
    "properties": {
        "text": {"type": "string", "minLength": 1, "maxLength": 40000},
        "blocks": {
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "items": {
                "oneOf": [
                    {
                        "type": "object",
                        "required": ["type", "text"],
                        "additionalProperties": False,
                        "properties": {
                            "type": {"const": "header"},
                            "text": {
                                "type": "object",
                                "required": ["type", "text"],
                                "properties": {
                                    "type": {"const": "plain_text"},
                                    "text": {"type": "string", "minLength": 1, "maxLength": 150},
                                },
                            },
                        },
                    },
                    {
                        "type": "object",
                        "required": ["type", "text"],
                        "additionalProperties": False,
                        "properties": {"type": {"const": "section"}, "text": MRKDWN},
                    },
                ]
            },
        },
    },
}
TEXT_RUN = {
    "type": "object",
    "required": ["type", "text"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "TextRun"},
        "text": {"type": "string", "minLength": 1},
        "weight": {"enum": ["Default", "Lighter", "Bolder"]},
        "fontType": {"enum": ["Default", "Monospace"]},
    },
}
TEAMS = {
    # https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
    # https://adaptivecards.io/explorer/AdaptiveCard.html (version 1.2 has RichTextBlock)
    "type": "object",
    "required": ["type", "attachments"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "message"},
        "attachments": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["contentType", "content"],
                "additionalProperties": False,
                "properties": {
                    "contentType": {"const": "application/vnd.microsoft.card.adaptive"},
                    "contentUrl": {"type": "null"},
                    "content": {
                        "type": "object",
                        "required": ["$schema", "type", "version", "body"],
                        "additionalProperties": False,
                        "properties": {
                            "$schema": {"const": "http://adaptivecards.io/schemas/adaptive-card.json"},
                            "type": {"const": "AdaptiveCard"},
                            "version": {"enum": ["1.2", "1.3", "1.4", "1.5"]},
                            "msteams": {"type": "object", "properties": {"width": {"const": "Full"}}},
                            "body": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "oneOf": [
                                        {
                                            "type": "object",
                                            "required": ["type", "text"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "type": {"const": "TextBlock"},
                                                "text": {"type": "string", "minLength": 1},
                                                "size": {"enum": ["Default", "Small", "Medium", "Large", "ExtraLarge"]},
                                                "weight": {"enum": ["Default", "Lighter", "Bolder"]},
                                                "color": {
                                                    "enum": [
                                                        "default",
                                                        "dark",
                                                        "accent",
                                                        "good",
                                                        "warning",
                                                        "attention",
                                                    ]
                                                },
                                                "wrap": {"type": "boolean"},
                                            },
                                        },
                                        {
                                            "type": "object",
                                            "required": ["type", "inlines"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "type": {"const": "RichTextBlock"},
                                                "inlines": {"type": "array", "minItems": 1, "items": TEXT_RUN},
                                                "spacing": {"enum": ["None", "Small", "Default", "Medium", "Large"]},
                                            },
                                        },
                                    ]
                                },
                            },
                            "actions": {
                                "type": "array",
                                "maxItems": 6,
                                "items": {
                                    "type": "object",
                                    "required": ["type", "title", "url"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "type": {"const": "Action.OpenUrl"},
                                        "title": {"type": "string", "minLength": 1},
                                        "url": {"type": "string", "pattern": "^https?://"},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
WEBEX = {
    # https://developer.webex.com/docs/api/v1/messages/create-a-message; its length is in bytes
    "type": "object",
    "required": ["markdown"],
    "additionalProperties": False,
    "properties": {"markdown": {"type": "string", "minLength": 1}},
}
STRING = {"type": "string"}
PLAIN = {
    # docs/notifications.md
    "type": "object",
    "required": [
        *("version", "id", "kind", "at", "title", "text", "run", "jobName", "detail", "jobs", "moreJobs", "link"),
        "command",
    ],
    "additionalProperties": False,
    "properties": {
        "version": {"const": 1},
        "id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "kind": {"type": "string", "pattern": "^(run|job|queue)_[a-z]+$|^test$"},
        "at": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        **dict.fromkeys(("title", "text", "jobName", "detail", "link", "command"), STRING),
        "run": {
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys(
                ("scheduleId", "scheduleName", "startDateTime", "endDateTime", "status", "reason", "executionArn"),
                STRING,
            ),
        },
        "moreJobs": {"type": "integer", "minimum": 0},
        "jobs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    **dict.fromkeys(("jobName", "status", "reason", "logLink"), STRING),
                    "exitCode": {"type": ["integer", "null"]},
                    "logLines": {"type": "array", "items": STRING},
                },
            },
        },
    },
}
PUBLISHED: dict[str, Any] = {"slack": SLACK, "teams": TEAMS, "webex": WEBEX, "webhook": PLAIN}


def checked(service: str, body: bytes) -> Any:
    """The body, read, if it has the shape and the size that its service has published."""
    document = json.loads(body)
    Draft202012Validator(PUBLISHED[service]).validate(document)
    if service == "webex":
        assert len(document["markdown"].encode()) <= 7439
    if service == "teams":
        assert len(body) <= 28 * 1024
    return document


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A real HTTP server on loopback. `answer(request, times)` says the status for the n-th request to its path."""

    answer: Callable[[Received, int], int]
    headers: dict[str, str] = field(default_factory=dict)
    said: bytes = b""
    requests: list[Received] = field(default_factory=list)
    url: str = ""

    def at(self, path: str) -> list[Received]:
        return [each for each in self.requests if each.path == path]


@contextmanager
def receiver(answer: Callable[[Received, int], int] = lambda _, __: 200) -> Iterator[Receiver]:
    """A status of 0 is no answer at all, until the receiver is stopped."""
    made, over, lock = Receiver(answer), threading.Event(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Received(self.path, dict(self.headers), body)
            with lock:
                made.requests.append(request)
                status = made.answer(request, len(made.at(self.path)))
            if status == 0:
                over.wait()
                return
            self.send_response(status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(made.said)))
            self.end_headers()
            self.wfile.write(made.said)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
