"""The engine hands runs on to Step Functions Local, where SFN_ENDPOINT_URL names one: here to a small fake of it."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from universal_scheduler.local import engine as engines

ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:schedule_runner"
EXECUTIONS = ARN.replace(":stateMachine:", ":execution:")


class FakeSfnLocal(ThreadingHTTPServer):
    """Answers like Step Functions Local 1.7.9, as far as the engine asks it, and keeps what it was asked."""

    def __init__(self, *, account: str = "123456789012") -> None:
        super().__init__((engines.HOST, 0), _Handler)
        self.account = account
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.executions: dict[str, dict[str, Any]] = {}
        self.machines: dict[str, str] = {}
        self.url = f"http://{engines.HOST}:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def answer(self, action: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append((action, request))
        match action:
            case "CreateStateMachine" if request["name"] in self.machines:
                return 400, {"__type": "com.amazonaws.swf.service.v2.model#StateMachineAlreadyExists", "message": "."}
            case "CreateStateMachine" | "UpdateStateMachine":
                name = request.get("name") or request["stateMachineArn"].rpartition(":")[2]
                self.machines[name] = request["definition"]
                arn = f"arn:aws:states:us-east-1:{self.account}:stateMachine:{name}"
                return 200, {"stateMachineArn": arn, "creationDate": 1.5, "updateDate": 1.5}
            case "StartExecution":
                arn = f"{EXECUTIONS}:{request['name']}"
                if arn in self.executions:
                    return 400, {"__type": "com.amazonaws.swf.service.v2.model#ExecutionAlreadyExists", "message": arn}
                self.executions[arn] = {
                    "executionArn": arn,
                    "stateMachineArn": ARN,
                    "status": "RUNNING",
                    "startDate": 1.5,
                }
                return 200, {"executionArn": arn, "startDate": 1.5}
            case "DescribeExecution":
                return 200, self.executions[request["executionArn"]]
            case "StopExecution":
                self.executions[request["executionArn"]]["status"] = "ABORTED"
                return 200, {"stopDate": 2.5}
            case "ListExecutions":
                return 200, {"executions": [{**seen, "name": arn} for arn, seen in self.executions.items()]}
            case _:
                return 200, {}

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FakeSfnLocal

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.server.answer(self.headers["X-Amz-Target"].partition(".")[2], request)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeSfnLocal]:
    server = FakeSfnLocal()
    server.machines["schedule_runner"] = "of an engine that was here before"
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def handing_on(fake: FakeSfnLocal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFN_ENDPOINT_URL", fake.url)
        started = engines.start(0, tmp_path_factory.mktemp("engine"))
    try:
        yield started
    finally:
        engines.stop(started)


@pytest.fixture
def client(handing_on: engines.Engine) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("stepfunctions", endpoint_url=handing_on.endpoint, region_name="us-east-1", **keys)


def test_the_deployed_definition_is_made_there(handing_on: engines.Engine, fake: FakeSfnLocal) -> None:
    assert handing_on.state_machine_arn == ARN
    assert "function:usched-start-run" in fake.machines["schedule_runner"]
    assert "start_request" not in fake.machines


def test_executions_are_started_shown_and_stopped_there(client: Any, fake: FakeSfnLocal) -> None:
    arn = client.start_execution(stateMachineArn=ARN, name="one", input="{}")["executionArn"]
    assert client.describe_execution(executionArn=arn)["startDate"].timestamp() == 1.5
    client.stop_execution(executionArn=arn)
    assert fake.executions[arn]["status"] == "ABORTED"
    assert arn in [seen["executionArn"] for seen in client.list_executions(stateMachineArn=ARN)["executions"]]
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(stateMachineArn=ARN, name="one", input='{"other": 1}')


def test_a_mocked_case_and_an_unknown_token_go_there(client: Any, fake: FakeSfnLocal) -> None:
    client.start_execution(stateMachineArn=f"{ARN}#Success", name="mocked", input="{}")
    client.send_task_success(taskToken="theirs", output="{}")
    assert fake.asked[-2][1]["stateMachineArn"] == f"{ARN}#Success"
    assert fake.asked[-1] == ("SendTaskSuccess", {"taskToken": "theirs", "output": "{}"})


def test_a_start_by_rest_passes_through_the_machine_that_stays_here(
    handing_on: engines.Engine, fake: FakeSfnLocal
) -> None:
    job = {"jobName": "j", "jobQueue": "default", "jobDefinition": "shell"}
    body = json.dumps({"name": "by-rest", "input": json.dumps({"scheduleId": "s", "jobList": [job]})})
    request = urllib.request.Request(
        f"{handing_on.api}/executions", body.encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 202
    assert f"{EXECUTIONS}:by-rest" in fake.executions


def test_an_engine_without_the_one_it_is_told_of_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SFN_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(engines.EngineError, match=r"SFN_ENDPOINT_URL is http://127\.0\.0\.1:9, which does not answer"):
        engines.start(0, tmp_path)


def test_one_of_another_account_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = FakeSfnLocal(account="000000000001")
    monkeypatch.setenv("SFN_ENDPOINT_URL", server.url)
    try:
        with pytest.raises(engines.EngineError, match="AWS_ACCOUNT_ID=123456789012"):
            engines.start(0, tmp_path)
    finally:
        server.stop()
