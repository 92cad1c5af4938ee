"""One embedded engine for the whole session, on a free port, with a state directory of its own."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from boto3.dynamodb.conditions import Key

from universal_scheduler.local import engine as engines

T = TypeVar("T")
MOCKS = Path(__file__).parents[2] / "state_machine" / "MockConfigFile.json"
PATIENCE_SECONDS = 180.0
"""How long a test waits for what is to happen at once. It is only a safety net: a busy machine must not reach it."""


def eventually(look: Callable[[], T | None], *, seconds: float = PATIENCE_SECONDS, what: str = "it") -> T:
    """Look again and again until there is something; fail loudly at the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds:.0f} s")


@dataclass(frozen=True)
class Stage:
    """A running engine, and what a user does with it: boto3 and HTTP."""

    engine: engines.Engine

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.engine.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def table(self, name: str) -> Any:
        resource = boto3.resource(
            "dynamodb",
            endpoint_url=self.engine.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        return resource.Table(name)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            self.engine.api + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def put(self, row: dict[str, Any]) -> None:
        self.table("BatchSchedules").put_item(Item=row)

    def row(self, schedule_id: str) -> Any:
        return self.table("BatchSchedules").get_item(Key={"scheduleId": schedule_id}).get("Item")

    def runs(self, schedule_id: str) -> list[Any]:
        key = Key("scheduleId").eq(schedule_id)
        return list(self.table("BatchScheduleHistory").query(KeyConditionExpression=key)["Items"])

    def ended(self, schedule_id: str, *, number: int = 1) -> Any:
        """The schedule's run, when it has ended (and it is the only one, or the last of `number`)."""

        def look() -> Any:
            runs = self.runs(schedule_id)
            assert len(runs) <= number
            done = [run for run in runs if run["scheduleStatus"] != "RUNNING"]
            return done[-1] if len(done) == number else None

        return eventually(look, what=f"the end of a run of {schedule_id}")

    def jobs(self, run: Any) -> dict[str, Any]:
        key = Key("runId").eq(run["runId"])
        rows = self.table("BatchScheduleJobs").query(KeyConditionExpression=key, ConsistentRead=True)["Items"]
        return {row["jobName"]: row for row in rows if not row["jobName"].startswith("#")}


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("USCHED_STATE_DIR", str(tmp_path_factory.mktemp("engines")))
        patch.setenv("SFN_MOCK_CONFIG", str(MOCKS))
        on_step_functions_local = "SFN_ENDPOINT_URL" in os.environ
        # Step Functions Local calls Lambda where it was told to when it was started: at the default port.
        started = engines.start(port=engines.PORT if on_step_functions_local else 0)
    try:
        yield Stage(started)
    finally:
        engines.stop(started)


@pytest.fixture(autouse=True)
def _commands_find_the_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `usched --local` looks for in this test: the engine that the test uses, if it uses one."""
    if "stage" in request.fixturenames:
        found: Stage = request.getfixturevalue("stage")
        monkeypatch.setenv("USCHED_STATE_DIR", str(found.engine.state_dir.parent))
