"""A Batch that misbehaves on demand: a proxy on loopback that stands between the functions and the engine's Batch."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

SUBMIT_JOB, DESCRIBE_JOBS = "/v1/submitjob", "/v1/describejobs"
LONGEST_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


Ask = Callable[[], Answer]
"""Hands the request on to Batch, and answers what Batch says."""
Fault = Callable[[Ask], Answer | None]
"""What becomes of a request; without an answer the connection is cut."""


def refused(status: int, code: str) -> Answer:
    """An error as Batch answers it: https://docs.aws.amazon.com/batch/latest/APIReference/CommonErrors.html"""
    body = json.dumps({"message": f"{code}, injected by the test"}).encode()
    return Answer(status, {"content-type": "application/json", "x-amzn-errortype": code}, body)


def throttled(_: Ask) -> Answer:
    """Batch has not taken the request."""
    return refused(429, "TooManyRequestsException")


def done_but_answered_500(ask: Ask) -> Answer:
    """Batch has done what was asked, and says that it failed."""
    ask()
    return refused(500, "ServerException")


def answer_lost(ask: Ask) -> None:
    """Batch has done what was asked; its answer never arrives."""
    ask()


def request_lost(_: Ask) -> None:
    """Batch never hears of it."""


class Slow:
    """Batch does at once what was asked, and takes its time to say so."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, ask: Ask) -> Answer:
        answer = ask()
        threading.Event().wait(self._seconds)
        return answer


class Held:
    """Batch does at once what was asked, and says nothing until it is let go; then the connection is cut."""

    def __init__(self) -> None:
        self.arrived, self.released = threading.Event(), threading.Event()

    def __call__(self, ask: Ask) -> None:
        ask()
        self.arrived.set()
        self.released.wait(LONGEST_SECONDS)


@dataclass
class Rule:
    """The fault that these calls of an operation suffer, counted from 1 among those that mention `about`."""

    operation: str
    fault: Fault
    calls: Container[int]
    about: str
    seen: int = 0
    suffered: int = 0


@dataclass
class FaultyBatch:
    """Where the functions find Batch; without rules, requests and answers pass as they are."""

    endpoint: str
    rules: list[Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def inject(self, operation: str, fault: Fault, *, calls: Container[int], about: str = "") -> Rule:
        """From now on; the rule that is answered tells how many calls have suffered the fault."""
        rule = Rule(operation, fault, calls, about)
        self.rules.append(rule)
        return rule

    def fault_of(self, path: str, body: bytes) -> tuple[Rule, Fault] | None:
        with self._lock:
            for rule in self.rules:
                if rule.operation == path and rule.about.encode() in body:
                    rule.seen += 1
                    if rule.seen in rule.calls:
                        return rule, rule.fault
        return None

    def suffered(self, rule: Rule) -> None:
        with self._lock:
            rule.suffered += 1


@contextmanager
def in_front_of(batch_endpoint: str) -> Iterator[FaultyBatch]:
    """Serve on a free port of loopback until the end of the block."""
    behind = urlsplit(batch_endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))

            def ask() -> Answer:
                return _asked(behind, self.path, dict(self.headers.items()), body)

            found = faulty.fault_of(self.path, body)
            if found is None:
                answer: Answer | None = ask()
            else:
                rule, fault = found
                answer = fault(ask)
                faulty.suffered(rule)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: Any) -> None:
            """Nothing: the engine's log has the functions' side."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A function that was killed hangs up: that is what the tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    faulty = FaultyBatch(f"http://127.0.0.1:{server.server_address[1]}")
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield faulty
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def _asked(behind: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    connection = http.client.HTTPConnection(behind, timeout=LONGEST_SECONDS)
    try:
        connection.request("POST", path, body, {name: value for name, value in headers.items() if name != "Host"})
        answer = connection.getresponse()
        kept = {name: value for name, value in answer.getheaders() if name.startswith(("x-amzn", "content-type"))}
        return Answer(answer.status, kept, answer.read())
    finally:
        connection.close()
