"""Lambda functions report their errors as on AWS, and their workers live on."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from tests.contract.conftest import Cloud
from universal_scheduler.local.gaps.lambda_workers import Zygote

COUNTS = "calls = []\ndef handler(event, context):\n    calls.append(1)\n    {}\n"


def test_an_exception_is_reported_by_its_class(cloud: Cloud) -> None:
    name = cloud.function(
        "class NoSuchJob(Exception): pass\ndef handler(event, context):\n    raise NoSuchJob('j-1')\n"
    )
    answer = cloud.invoke(name)
    assert (answer["errorType"], answer["errorMessage"]) == ("NoSuchJob", "j-1")
    assert "main.py" in answer["stackTrace"][0]


def test_a_worker_survives_its_functions_exception(cloud: Cloud) -> None:
    name = cloud.function(COUNTS.format("raise ValueError(len(calls))"))
    assert [cloud.invoke(name)["errorMessage"] for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such_module\n", "Runtime.ImportModuleError"),
        ("def handler(:\n", "Runtime.UserCodeSyntaxError"),
        ("other = 1\n", "Runtime.HandlerNotFound"),
        ("raise KeyError('at import')\n", "KeyError"),
        ("def handler(event, context): return object()\n", "Runtime.MarshalError"),
        ("import sys\ndef handler(event, context): sys.exit(3)\n", "Runtime.ExitError"),
    ],
)
def test_what_keeps_a_function_from_answering_has_the_runtimes_name(cloud: Cloud, source: str, error: str) -> None:
    assert cloud.invoke(cloud.function(source))["errorType"] == error


def test_a_function_that_takes_too_long_is_ended_and_starts_anew(engine: Cloud) -> None:
    name = engine.function(
        "import time\ndef handler(event, context):\n    time.sleep(event)\n    return 'ok'\n", Timeout=1
    )
    assert engine.invoke(name, 30)["errorType"] == "Sandbox.Timedout"
    assert engine.invoke(name, 0) == "ok"


def test_what_a_function_prints_is_in_its_log(engine: Cloud) -> None:
    name = engine.function("import os\ndef handler(event, context):\n    print('one')\n    os.system('echo two')\n")
    engine.invoke(name)
    logs = engine.client("logs")

    def lines() -> list[str]:
        found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        return [event["message"] for event in found]

    assert engine.eventually(lines)[1:3] == ["one", "two"]


def test_what_each_call_prints_is_in_the_log_alone(engine: Cloud) -> None:
    name = engine.function("def handler(event, context): print('call', event)\n")
    for call in range(3):
        engine.invoke(name, call)
    found = engine.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert [event["message"] for event in found if "call" in event["message"]] == ["call 0", "call 1", "call 2"]


def test_a_function_sees_its_environment_and_no_other(engine: Cloud) -> None:
    source = "import os\ndef handler(event, context): return [dict(os.environ), context.function_name]\n"
    name = engine.function(source, Environment={"Variables": {"COLOUR": "red"}})
    environment, function = engine.invoke(name)
    assert (environment["COLOUR"], function) == ("red", name)
    assert environment["AWS_ENDPOINT_URL"] == engine.endpoint
    assert "HOME" not in environment


def test_calls_at_the_same_time_have_workers_of_their_own(engine: Cloud) -> None:
    source = (
        "import boto3, json\n"
        "def handler(event, context):\n"
        "    if event:\n"
        "        call = boto3.client('lambda').invoke(FunctionName=context.function_name, Payload=str(event - 1))\n"
        "        return 1 + json.loads(call['Payload'].read())\n"
        "    return 0\n"
    )
    assert engine.invoke(engine.function(source), 3) == 3


def test_functions_start_again_after_somebody_has_killed_what_they_are_forked_from(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("def handler(event, context): return event\n")
    zygote = Zygote({})
    try:
        for _ in range(2):
            with tempfile.TemporaryFile() as log, zygote.fork(log.fileno()) as channel:
                init = {"code": str(tmp_path), "handler": "main.handler", "environment": {}}
                channel.sendall(json.dumps(init).encode() + b"\n")
                assert json.loads(channel.makefile().readline())["pid"]
            zygote.process.kill()
            zygote.process.wait()
    finally:
        zygote.close()
