"""The gaps of ministack, tested on our engine and on ministack alone: there every one of these tests must fail.

A test that begins to pass on ministack alone means that upstream has closed the gap, so that ours can go.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from universal_scheduler.local import engine as engines

T = TypeVar("T")
GAP = pytest.mark.xfail(
    strict=True, raises=(AssertionError, ClientError, pytest.fail.Exception), reason="a gap of ministack"
)
ROLE = "arn:aws:iam::123456789012:role/any"


@dataclass(frozen=True)
class Cloud:
    """An endpoint with all services, and short ways to make what the tests need there."""

    endpoint: str
    patience: float
    """Seconds to wait for what must come: on ministack alone it never does."""

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def function(self, source: str, *, name: str = "", **settings: Any) -> str:
        """A function whose module ``main`` has this source; its name."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("main.py", source)
        name = name or f"f-{uuid.uuid4().hex[:8]}"
        given = {"Handler": "main.handler", "Timeout": 10, "Runtime": "python3.13", **settings}
        self.client("lambda").create_function(
            FunctionName=name, Role=ROLE, Code={"ZipFile": buffer.getvalue()}, **given
        )
        return name

    def invoke(self, name: str, event: Any = None) -> Any:
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

    def eventually(self, look: Callable[[], T | None]) -> T:
        return eventually(look, seconds=self.patience)

    def run(self, states: dict[str, Any], payload: Any = None) -> Any:
        """Run a machine of these states, from the first, to its end."""
        return self.ended(self.start(states, payload))

    def start(self, states: dict[str, Any], payload: Any = None, **machine: Any) -> str:
        """Start a machine of these states; the execution's ARN."""
        arn = self.machine(states, **machine)
        answer = self.client("stepfunctions").start_execution(stateMachineArn=arn, input=json.dumps(payload or {}))
        return str(answer["executionArn"])

    def machine(self, states: dict[str, Any], **more: Any) -> str:
        definition = json.dumps({"StartAt": next(iter(states)), "States": states, **more})
        name = f"m-{uuid.uuid4().hex[:8]}"
        answer = self.client("stepfunctions").create_state_machine(name=name, definition=definition, roleArn=ROLE)
        return str(answer["stateMachineArn"])

    def ended(self, execution: str) -> Any:
        client = self.client("stepfunctions")

        def look() -> Any:
            seen = client.describe_execution(executionArn=execution)
            return seen if seen["status"] != "RUNNING" else None

        return self.eventually(look)


def eventually(look: Callable[[], T | None], *, seconds: float) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    started = engines.start(0, tmp_path_factory.mktemp("engine"), bare=True)
    try:
        yield Cloud(started.endpoint, patience=60)
    finally:
        engines.stop(started)


@pytest.fixture(scope="session")
def ministack_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with socket.socket() as taken:
        taken.bind((engines.HOST, 0))
        port = str(taken.getsockname()[1])
    home = tmp_path_factory.mktemp("ministack")
    settings = {"GATEWAY_PORT": port, "BIND_HOST": engines.HOST, "MINISTACK_ACCOUNT_ID": "123456789012"}
    quick = {"SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0", "DOCKER_HOST": "unix:///none", "STATE_DIR": str(home)}
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack.app"], env={**os.environ, **settings, **quick}, stdout=log, stderr=log
        )
    cloud = Cloud(f"http://{engines.HOST}:{port}", patience=3)
    try:
        eventually(lambda: _answers(cloud.endpoint), seconds=60)
        yield cloud
    finally:
        process.terminate()
        process.wait(60)


def _answers(endpoint: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=1):
        return True
    return False


@pytest.fixture(params=["engine", pytest.param("ministack_alone", marks=GAP)])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Our engine, and then ministack alone, where the test must fail."""
    found: Cloud = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A file that functions write to, one line a call."""
    return tmp_path / "notes"
