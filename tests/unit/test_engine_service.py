"""What an engine answers of itself: health, metrics in Prometheus' text, backup and restore over HTTP."""

from __future__ import annotations

import asyncio
import io
import json
import math
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from universal_scheduler.adapters import telemetry
from universal_scheduler.local.service import backup, metrics, sources
from universal_scheduler.local.service.health import Health
from universal_scheduler.local.service.metrics import Family, ProductMetrics
from universal_scheduler.local.service.routes import Service
from universal_scheduler.local.state import Safety, State


@dataclass
class Client:
    """Calls the routes of an engine that has one service with one table."""

    home: Path
    safety: Safety = Safety.PROCESS
    problems: list[str] = field(default_factory=list)
    restarts: int = 0

    def __post_init__(self) -> None:
        self.state = State(self.home / "state", self.safety)
        schema = "CREATE TABLE notes (text TEXT)"
        self.notes = self.state.open("notes", [schema], threading.RLock(), cache_kilobytes=100)
        self.health = Health(self.home, self.safety, [lambda: next(iter(self.problems), None)])
        self.service = Service(self.home, self.state, self.health, lambda: "a 1\n", self._restart)

    def _restart(self) -> None:
        self.restarts += 1

    async def acall(
        self, method: str, path: str, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> tuple[int, dict[str, str], bytes]:
        parts = [body[at : at + 1000] for at in range(0, len(body), 1000)] or [b""]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "raw_path": path.encode(), "headers": list(headers)}
        await self.service.handle(scope, receive, send)
        assert not sent[-1].get("more_body")
        answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], answered, b"".join(message.get("body", b"") for message in sent[1:])

    def call(self, *given: Any, **more: Any) -> tuple[int, dict[str, str], bytes]:
        return asyncio.run(self.acall(*given, **more))

    def refused(self, *given: Any, **more: Any) -> tuple[int, str]:
        status, _, body = self.call(*given, **more)
        return status, json.loads(body)["error"]["message"]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def test_an_engine_is_healthy_when_it_is_ready_and_nothing_is_wrong(client: Client) -> None:
    status, _, body = client.call("GET", "/health")
    assert (status, json.loads(body)["status"]) == (503, "starting")
    client.health.ready = True
    status, headers, body = client.call("GET", "/health")
    found = json.loads(body)
    assert (status, found["status"], found["safety"]) == (200, "ok", "process")
    assert found["diskFreeBytes"] > 0
    assert "problems" not in found
    assert headers["cache-control"] == "no-store"
    client.problems.append("The disk is full.")
    status, _, body = client.call("GET", "/health")
    assert (status, json.loads(body)["status"], json.loads(body)["problems"]) == (503, "failing", ["The disk is full."])


def test_an_engine_one_of_whose_loops_has_ended_is_not_healthy(client: Client) -> None:
    end = threading.Event()
    loops = [threading.Thread(target=end.wait, name=name) for name in ("usched-scheduler", "usched-something-short")]
    for loop in loops:
        loop.start()
    client.health.ready = True
    client.health.watch_loops()
    assert client.health.look().status == 200
    end.set()
    for loop in loops:
        loop.join()
    found = client.health.look()
    assert found.status == 503
    assert found.problems == ("usched-scheduler has ended. The engine's log says why. Start the engine again.",)


def test_a_head_has_no_body(client: Client) -> None:
    _, headers, body = client.call("HEAD", "/metrics")
    assert (headers["content-length"], body) == ("4", b"")


def test_other_methods_are_told_the_right_one(client: Client) -> None:
    assert client.refused("GET", "/_usched/backup") == (405, "/_usched/backup takes POST.")
    assert client.refused("DELETE", "/health")[0] == 405


@pytest.mark.parametrize(
    ("method", "path", "headers", "ours"),
    [
        ("GET", "/metrics", {}, True),
        ("GET", "/metrics", {b"authorization": b"Bearer x"}, True),
        ("GET", "/metrics", {b"authorization": b"AWS4-HMAC-SHA256 Credential=test"}, False),
        ("PUT", "/metrics", {}, False),
        ("GET", "/metrics/a", {}, False),
        ("POST", "/_usched/restore", {}, True),
    ],
)
def test_a_bucket_of_the_same_name_stays_one_of_s3(
    client: Client, method: str, path: str, headers: dict[bytes, bytes], ours: bool
) -> None:
    assert client.service.owns(method, path, headers) is ours


def test_a_backup_travels_over_http_and_back(client: Client) -> None:
    client.notes.execute("INSERT INTO notes VALUES ('a')")
    status, _, content = client.call("POST", "/_usched/backup")
    assert status == 200
    manifest = backup.check(io.BytesIO(content))
    status, _, body = client.call("POST", "/_usched/restore", content)
    assert status == 200
    assert json.loads(body)["at"] == manifest["at"]
    assert client.restarts == 1
    assert (client.home / "restored" / "state" / "notes.sqlite").exists()


def test_what_is_no_backup_is_refused_when_all_of_it_was_sent(client: Client) -> None:
    status, message = client.refused("POST", "/_usched/restore", b"x" * 1_000_000)
    assert status == 400
    assert "no backup of usched" in message
    assert client.restarts == 0


def test_a_page_in_a_browser_can_do_nothing(client: Client) -> None:
    for path in ("/_usched/backup", "/_usched/restore"):
        status, message = client.refused("POST", path, headers=[(b"origin", b"http://example.org")])
        assert (status, "browser" in message) == (403, True)


def test_an_ephemeral_engine_says_that_it_has_no_backup(tmp_path: Path) -> None:
    ephemeral = Client(tmp_path, Safety.EPHEMERAL)
    assert ephemeral.refused("POST", "/_usched/backup")[0] == 409
    assert ephemeral.refused("POST", "/_usched/restore", b"x")[0] == 400


def test_there_is_one_backup_at_a_time(client: Client) -> None:
    async def two() -> list[int]:
        answers = await asyncio.gather(*(client.acall("POST", "/_usched/backup") for _ in range(2)))
        return sorted(status for status, _, _ in answers)

    assert asyncio.run(two()) == [200, 409]
    assert client.call("POST", "/_usched/backup")[0] == 200


LINE = re.compile(r'([a-z_:][a-z0-9_:]*)(\{[a-z_]+="(?:[^"\\]|\\.)*"(?:,[a-z_]+="(?:[^"\\]|\\.)*")*\})? (\S+)')


def samples(text: str) -> dict[str, float]:
    """The samples of a text, which must be as Prometheus wants it: each family once, its type before its samples."""
    found: dict[str, float] = {}
    families: list[str] = []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            families.append(line.split()[2])
        elif not line.startswith("# HELP "):
            matched = LINE.fullmatch(line)
            assert matched, line
            assert matched[1] == families[-1]
            assert line not in found
            found[matched[1] + (matched[2] or "")] = float(matched[3])
    assert len(families) == len(set(families))
    return found


def test_labels_are_escaped() -> None:
    text = metrics.text([Family("a", "gauge", "A.", [((("name", 'a "b"\\\n'),), math.inf), ((), 0.1)])])
    assert samples(text) == {r'a{name="a \"b\"\\\n"}': math.inf, "a": 0.1}


def test_the_metrics_of_the_functions_are_counted_from_their_logs(capsys: pytest.CaptureFixture[str]) -> None:
    product = ProductMetrics()
    for seconds in (1.5, 2.0):
        telemetry.emit("UniversalScheduler", {"RunTime": ("Seconds", [seconds])}, {"Outcome": "SUCCEEDED"})
    telemetry.emit("UniversalScheduler", {"QueueTime": ("Seconds", [1.0] * 150), "Retries": ("Count", [2])})
    product.read_log("a line\n" + capsys.readouterr().out)
    product.read_log('{"_aws": {"CloudWatchMetrics": [{"Dimensions": 5}]}}\n{"CloudWatchMetrics" is no JSON')
    assert samples(metrics.text(product.families())) == {
        'usched_run_time_seconds_sum{outcome="SUCCEEDED"}': 3.5,
        'usched_run_time_seconds_count{outcome="SUCCEEDED"}': 2,
        "usched_queue_time_seconds_sum": 150,
        "usched_queue_time_seconds_count": 150,
        "usched_retries_total": 2,
    }


def test_an_engine_tells_of_its_process_its_disk_and_its_files(client: Client) -> None:
    file = client.home / "state" / "notes.sqlite"
    found = samples(metrics.text(metrics.engine_families(client.home, Safety.PROCESS, 5.0, [file])))
    assert found["process_start_time_seconds"] == 5
    assert found["process_resident_memory_bytes"] > 1e6
    assert found["usched_disk_size_bytes"] > found["usched_disk_free_bytes"] > 0
    assert found['usched_state_bytes{file="notes.sqlite"}'] > file.stat().st_size  # with the log of writes


def test_requests_are_counted_by_service_and_operation() -> None:
    calls = {"/v1/submitjob": 5, "DynamoDB_20120810.Query": 9, "AWSStepFunctions.StartExecution": 1}
    assert samples(metrics.text(sources.requests(calls))) == {
        'usched_requests_total{service="Batch",operation="submitjob"}': 5,
        'usched_requests_total{service="DynamoDB",operation="Query"}': 9,
        'usched_requests_total{service="AWSStepFunctions",operation="StartExecution"}': 1,
    }
