"""The sample requests of api_gateway/, through the REST API, the start_request machine and its function."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.rest_api import ACCOUNT, BATCH, NAMES, REGION, ROOT, Backends, call, error, rest_api
from tests.tables import create_tables
from universal_scheduler.adapters.dynamodb.items import to_item
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.local.gateway import AwsRequest, RestApi

MESSAGES = json.loads((ROOT / "api_gateway" / "test_message.json").read_text())["requests"]
REFERENCE_NAME = "executed-via-api-31"
RUNNER = NAMES["StartRequestMachine"].replace("start_request", "schedule_runner")
CHECK_START = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:usched-check-start"
RUN = {"scheduleId": "daily-am-load", "startDateTime": "2018-09-07T04:20:00.884784"}
SLEEP_FOR_EVER = {"StartAt": "Run", "States": {"Run": {"Type": "Wait", "Seconds": 3600, "End": True}}}


class Engine:
    """ministack as it is, with two schedules, a run, the function and both machines; schedule_runner only waits."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.states = self.client("stepfunctions")

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=f"http://127.0.0.1:{self.port}", region_name=REGION, **keys)  # type: ignore[call-overload]

    def send(self, service: str, request: AwsRequest) -> tuple[int, Mapping[str, str], bytes]:
        if service == "batch":
            return batch(request)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        credential = f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request"
        connection.request(request.method, request.path, request.body, {**request.headers, "Authorization": credential})
        response = connection.getresponse()
        answer = response.status, dict(response.getheaders()), response.read()
        connection.close()
        return answer

    def run_input(self, name: str) -> Any:
        arn = f"{RUNNER.replace(':stateMachine:', ':execution:')}:{name}"
        return json.loads(self.states.describe_execution(executionArn=arn)["input"])

    def prepare(self) -> None:
        database = self.client("dynamodb")
        create_tables(database)
        tables = {"schedules": "BatchSchedules", "history": "BatchScheduleHistory", "jobs": "BatchScheduleJobs"}
        store = DynamoStore(database, **tables)
        job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}
        store.put_schedule({"scheduleId": RUN["scheduleId"], "jobList": [job], "parameters": {"day": "today"}})
        store.put_schedule({"scheduleId": "broken", "jobList": []})
        store.record_schedule_errors("broken", [{"path": "$.jobList"}])
        recorded = {**RUN, "scheduleStatus": "FAILED", "jobList": [job], "parameters": {"day": "then"}}
        database.put_item(TableName="BatchScheduleHistory", Item=to_item(recorded))
        self.make_function()
        text = (ROOT / "state_machine" / "start_request.asl.json").read_text()
        filled = {
            "Partition": "aws",
            "SchedulesTable": "BatchSchedules",
            "ScheduleRunnerArn": RUNNER,
            "CheckStartFunctionArn": CHECK_START,
        }
        for placeholder, value in filled.items():
            text = text.replace(f"${{{placeholder}}}", value)
        for name, definition, kind in (
            ("schedule_runner", json.dumps(SLEEP_FOR_EVER), "STANDARD"),
            ("start_request", text, "EXPRESS"),
        ):
            role = "arn:aws:iam::123456789012:role/r"
            self.states.create_state_machine(name=name, definition=definition, roleArn=role, type=kind)

    def make_function(self) -> None:
        """The handler of this very source, as ministack's Lambda runs it."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            source = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom lambdas.check_start import handler\n"
            archive.writestr("main.py", source)
        environment = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_DEFAULT_REGION": REGION}
        self.client("lambda").create_function(
            FunctionName="usched-check-start",
            Role=f"arn:aws:iam::{ACCOUNT}:role/r",
            Code={"ZipFile": buffer.getvalue()},
            Handler="main.handler",
            Timeout=20,
            Runtime="python3.13",
            Environment={"Variables": environment},
        )


def batch(request: AwsRequest) -> tuple[int, Mapping[str, str], bytes]:
    """Batch as far as SubmitJob needs it."""
    job = json.loads(request.body)
    if not job["jobQueue"].startswith(f"{BATCH}:job-queue/"):
        return 400, {}, json.dumps({"message": f"JobQueue {job['jobQueue']} not found"}).encode()
    if not job["jobDefinition"].startswith(f"{BATCH}:job-definition/"):
        return 403, {}, json.dumps({"Message": f"not authorized on {job['jobDefinition']}"}).encode()
    made = {"jobId": "0-1", "jobName": job["jobName"], "jobArn": f"{BATCH}:job/0-1"}
    return 200, {"Content-Type": "application/json"}, json.dumps(made).encode()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home = tmp_path_factory.mktemp("ministack")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (home / "log").open("wb")
    environment = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "MINISTACK_ACCOUNT_ID": ACCOUNT}
    process = subprocess.Popen([sys.executable, "-m", "ministack"], cwd=home, env=environment, stdout=log, stderr=log)
    try:
        await_port(port, process, home / "log")
        engine = Engine(port)
        engine.prepare()
        yield engine
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"ministack does not answer:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def api(engine: Engine) -> RestApi:
    return rest_api(Backends(aws=engine.send))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["title"])
def test_every_sample_request_gets_its_answer(api: RestApi, message: dict[str, Any]) -> None:
    body = message.get("text", message.get("body"))
    answer = call(api, message["method"], f"/api{message['path']}", body, headers=message.get("headers"))
    assert answer.status == message["status"], answer.body
    if "code" in message:
        assert error(answer)["code"] == message["code"]
        for part in message["mentions"]:
            assert part in error(answer)["message"]
    if "paths" in message:
        assert [entry["path"] for entry in json.loads(answer.body)["error"]["errors"]] == message["paths"]


def test_a_start_that_is_too_large_is_refused_before_it_runs(api: RestApi) -> None:
    job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default"}

    def large(size: int) -> dict[str, Any]:
        return {"scheduleId": "large", "jobList": [job], "parameters": {"text": "x" * size}}

    answer = call(api, "POST", "/api/v1/executions", large(210_000))
    assert (answer.status, error(answer)["code"]) == (413, "TooLarge")
    assert "POST /v1/schedules" in error(answer)["message"]
    assert call(api, "POST", "/api/v1/executions", large(200_000)).status == 202


def test_a_run_gets_the_messages_input_and_its_cause(api: RestApi, engine: Engine) -> None:
    given = {"scheduleId": "daily-am-load", "startDateTime": " ", "scheduleStatus": " "}
    call(api, "POST", "/api/v1/executions", {"input": json.dumps(given), "name": "input-1"})
    sent = engine.run_input("input-1")
    cause = sent.pop("cause")
    assert sent == given
    assert cause["kind"] == "api"
    assert cause["requestId"]


def test_a_run_gets_the_body_without_its_name(api: RestApi, engine: Engine) -> None:
    body = {**RUN, "scheduleStatus": "RESTART", "skip": ["a"]}
    call(api, "POST", "/api/v1/executions", {**body, "name": "body-1", "stateMachineArn": "arn:other"})
    sent = engine.run_input("body-1")
    del sent["cause"]
    assert sent == body


def test_a_documents_text_reaches_the_run_unharmed(api: RestApi, engine: Engine) -> None:
    text = "it's \"q\" \\ / \n\t ${x} $input.json('$') #set($a=1) #end é 漢 \U0001f600 <&> \x7f"
    job = {"jobName": "a", "jobDefinition": "shell", "jobQueue": "default", "parameters": {"text": text}}
    document = {"scheduleId": "s", "parameters": {"text": text, "n": 2.5, "yes": True}, "jobList": [job]}
    call(api, "POST", "/api/v1/executions", {**document, "name": "hostile-body"})
    call(api, "POST", "/api/v1/executions", {"input": json.dumps(document), "name": "hostile-input"})
    for name in ("hostile-body", "hostile-input"):
        sent = engine.run_input(name)
        del sent["cause"]
        assert sent == document


@pytest.mark.parametrize("key", ["cause", "continueOf", "ofGeneration"])
@pytest.mark.parametrize("inside", [False, True])
def test_what_the_scheduler_writes_itself_cannot_be_given(api: RestApi, key: str, inside: bool) -> None:
    given = {"scheduleId": "daily-am-load", key: 1}
    answer = call(api, "POST", "/api/v1/executions", {"input": json.dumps(given)} if inside else given)
    assert answer.status == 400
    assert f"$.{key}" in error(answer)["message"]


@pytest.mark.parametrize("text", ['{"scheduleId":"daily-am-load"}', '{"scheduleId": "daily-am-load"}'])
def test_a_schedule_by_its_id_alone_needs_no_function(api: RestApi, engine: Engine, text: str) -> None:
    concurrency = engine.client("lambda")
    concurrency.put_function_concurrency(FunctionName="usched-check-start", ReservedConcurrentExecutions=0)
    try:
        assert call(api, "POST", "/api/v1/executions", text).status == 202
    finally:
        concurrency.delete_function_concurrency(FunctionName="usched-check-start")


@pytest.mark.parametrize(
    "text",
    [
        '{"scheduleId":"daily-am-load","scheduleId":"daily-am-load"}',
        '{"scheduleId": "daily-am-load", "scheduleId": "broken"}',
        '{"scheduleId": "\\ud83d"}',
        '{"scheduleId": NaN}',
        '{"scheduleId": ""}',
        '{"scheduleId": "x", "wait_time": 1e999}',
        "[" * 3000,
        '{"scheduleId": ' + "[" * 3000 + "]" * 3000 + "}",
        "\x00",
        "nothing",
        '"daily-am-load"',
        "7",
    ],
    ids=lambda text: text[:50],
)
def test_what_is_no_message_is_refused_with_a_path(api: RestApi, text: str) -> None:
    answer = call(api, "POST", "/api/v1/executions", text)
    assert answer.status == 400
    for entry in json.loads(answer.body)["error"]["errors"]:
        assert entry["path"].startswith("$")
        assert entry["found"]
        assert entry["expected"]


def test_a_start_says_where_to_look(api: RestApi) -> None:
    answer = call(api, "POST", "/api/v1/executions", {"scheduleId": "daily-am-load", "name": "links-1"})
    started = json.loads(answer.body)
    assert started["name"] == "links-1"
    assert started["scheduleId"] == "daily-am-load"
    assert started["executionArn"].endswith(":execution:schedule_runner:links-1")
    assert started["startDate"]
    assert started["links"] == {"execution": "/api/v1/executions/links-1"}


def test_a_start_without_a_name_is_named_for_its_request(api: RestApi) -> None:
    answer = call(api, "POST", "/api/v1/executions", {"scheduleId": "daily-am-load"})
    assert json.loads(answer.body)["name"] == f"api-{dict(answer.headers)['x-amzn-RequestId']}"
