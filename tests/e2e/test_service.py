"""A durable engine as a service: it tells how it is, and goes back to a backup that was taken while it worked."""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from tests.background import in_background
from tests.e2e.conftest import eventually
from universal_scheduler.cli import app
from universal_scheduler.local import engine
from universal_scheduler.local.state import Safety

pytestmark = pytest.mark.e2e


@pytest.fixture
def durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[engine.Engine]:
    monkeypatch.setenv("USCHED_STATE_DIR", str(tmp_path))
    started = engine.start(0, bare=True, safety=Safety.PROCESS)
    yield started
    engine.stop(started)


def client(at: engine.Engine, service: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=at.endpoint, region_name="us-east-1", **keys)


def fetched(at: engine.Engine, path: str) -> str:
    with urllib.request.urlopen(at.endpoint + path, timeout=60) as answer:
        return str(answer.read().decode())


def usched(*words: str) -> Any:
    result = CliRunner().invoke(app.main, [*words, "--json"])
    return result.exit_code, json.loads(result.stdout)


class Queues:
    """Two queues to which numbers are sent, each to the first and then to the second."""

    def __init__(self, at: engine.Engine) -> None:
        self._sqs = client(at, "sqs")
        self._urls = [self._sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("first", "second")]
        self.sent = 0

    def send(self) -> None:
        for url in self._urls:
            self._sqs.send_message(QueueUrl=url, MessageBody=str(self.sent + 1))
        self.sent += 1

    def numbers(self) -> list[int]:
        names = ["ApproximateNumberOfMessages"]
        return [
            int(self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][names[0]])
            for url in self._urls
        ]


def test_a_backup_under_load_is_of_one_moment_and_comes_back(durable: engine.Engine, tmp_path: Path) -> None:
    queues = Queues(durable)
    file = tmp_path / "backup"
    with in_background(queues.send):
        eventually(lambda: queues.sent > 20)
        before = queues.sent
        code, written = usched("local", "backup", str(file))
        after = queues.sent
    assert code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    code, restored = usched("local", "restore", str(file), "--yes")
    assert (code, restored["at"]) == (0, written["at"])
    assert engine.status(durable.port) == durable  # the same process, on the same port
    first, second = queues.numbers()
    assert before <= second <= first <= after + 1
    assert first - second in (0, 1)
    queues.send()
    assert (Path(restored["replaced"]) / "state" / "queues.sqlite").exists()


def test_what_is_no_backup_changes_nothing(durable: engine.Engine, tmp_path: Path) -> None:
    queues = Queues(durable)
    queues.send()
    (tmp_path / "text").write_text("no backup")
    started = json.loads(fetched(durable, "/health"))["startedAt"]
    code, answer = usched("local", "restore", str(tmp_path / "text"), "--yes")
    assert code == 2
    assert "no backup of usched" in answer["error"]["message"]
    assert usched("local", "restore", str(tmp_path / "nowhere"), "--yes")[0] == 2
    assert json.loads(fetched(durable, "/health"))["startedAt"] == started
    assert queues.numbers() == [1, 1]


@pytest.mark.usefixtures("durable")
def test_a_backup_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    code, answer = usched("local", "backup", str(tmp_path / "nowhere" / "backup"))
    assert code == 1
    assert "was not written" in answer["error"]["message"]


def test_an_engine_tells_that_it_is_well_and_what_it_has(durable: engine.Engine) -> None:
    Queues(durable).send()
    assert json.loads(fetched(durable, "/health"))["status"] == "ok"
    lines = fetched(durable, "/metrics").splitlines()
    assert 'usched_queue_messages{queue="second"} 1' in lines
    assert any(line.startswith('usched_state_bytes{file="queues.sqlite"} ') for line in lines)


def test_a_bucket_may_have_the_name_of_a_route(durable: engine.Engine) -> None:
    s3 = client(durable, "s3")
    s3.create_bucket(Bucket="metrics")
    s3.put_object(Bucket="metrics", Key="a", Body=b"")
    assert [it["Key"] for it in s3.list_objects_v2(Bucket="metrics")["Contents"]] == ["a"]


def test_a_restart_in_the_same_process_loses_no_connection(durable: engine.Engine, tmp_path: Path) -> None:
    """Whoever connects while the engine starts again is answered when it has started."""
    file = tmp_path / "backup"
    assert usched("local", "backup", str(file))[0] == 0
    refused: list[OSError] = []
    done = threading.Event()

    def connect() -> None:
        while not done.is_set():
            try:
                with socket.create_connection((engine.HOST, durable.port), timeout=60):
                    pass
            except OSError as error:
                refused.append(error)
            done.wait(0.01)

    connecting = threading.Thread(target=connect)
    connecting.start()
    assert usched("local", "restore", str(file), "--yes")[0] == 0
    done.set()
    connecting.join()
    assert not refused


AGAIN_ON_ANOTHER_HOST = {
    "attempts": 5,
    "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}],
}


class Runs:
    """Schedules that are stored one after another on a whole engine; each runs at once, with two jobs."""

    def __init__(self, at: engine.Engine) -> None:
        self._dynamodb = boto3.resource(
            "dynamodb",
            endpoint_url=at.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self._sqs = client(at, "sqs")
        self.stored: list[str] = []

    def store(self) -> None:
        """The next one when the last but five runs: there are always some at every stage."""
        if len(self.stored) > len(self.runs()) + 5:
            return
        schedule_id = f"schedule-{len(self.stored)}"
        job = {
            "jobQueue": "default",
            "jobDefinition": "shell",
            "containerOverrides": {"command": ["sleep", "0.2"]},
            "retryStrategy": AGAIN_ON_ANOTHER_HOST,
        }
        jobs = [{"jobName": "a", **job}, {"jobName": "b", "jobDependencies": ["a"], **job}]
        self._dynamodb.Table("BatchSchedules").put_item(Item={"scheduleId": schedule_id, "jobList": jobs})
        self.stored.append(schedule_id)

    def rows(self) -> set[str]:
        return {row["scheduleId"] for row in self._dynamodb.Table("BatchSchedules").scan()["Items"]}

    def runs(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in self._dynamodb.Table("BatchScheduleHistory").scan()["Items"]:
            found.setdefault(row["scheduleId"], []).append(row["scheduleStatus"])
        return found

    def dead_letters(self) -> list[str]:
        urls = self._sqs.list_queues()["QueueUrls"]
        return [url for url in urls if url.endswith("-dead-letters") and self._length(url)]

    def _length(self, url: str) -> int:
        names = ["ApproximateNumberOfMessages"]
        return int(self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][names[0]])


def test_runs_that_went_on_at_the_moment_of_a_backup_go_on_after_its_restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USCHED_STATE_DIR", str(tmp_path))
    started = engine.start(0, safety=Safety.PROCESS)
    try:
        runs = Runs(started)
        with in_background(runs.store):
            eventually(lambda: len(runs.runs()) > 5)
            before = len(runs.stored)
            assert usched("local", "backup", str(tmp_path / "backup"))[0] == 0
            after = len(runs.stored) + 1
        assert usched("local", "restore", str(tmp_path / "backup"), "--yes")[0] == 0
        rows = runs.rows()
        assert set(runs.stored[:before]) <= rows <= {f"schedule-{number}" for number in range(after)}
        ended = {row: ["SUCCEEDED"] for row in rows}
        # A submission that nobody has heard the answer of is looked for after a minute.
        eventually(lambda: runs.runs() == ended or None, what="the end of one run of each schedule")
        assert runs.dead_letters() == []
    finally:
        engine.stop(started)
