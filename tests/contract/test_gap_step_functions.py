"""Step Functions start, stop, time out and call back as on AWS."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import Cloud, eventually

KEEPS_TOKEN = "def handler(event, context):\n    open({path!r}, 'w').write(event['token'])\n"


def callback(function: str, **more: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {"FunctionName": function, "Payload": {"token.$": "$$.Task.Token"}},
        "End": True,
        **more,
    }


def test_an_execution_times_out_after_what_its_machine_says_and_tells_so(cloud: Cloud) -> None:
    queue = events_to_queue(cloud)
    execution = cloud.start({"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}, {"a": 1}, TimeoutSeconds=1)
    ended = cloud.ended(execution)
    assert ended["status"] == "TIMED_OUT"
    assert ended["stopDate"] > ended["startDate"]
    told = cloud.eventually(lambda: next((it for it in messages(cloud, queue) if it["resources"] == [execution]), None))
    assert (told["source"], told["detail-type"]) == ("aws.states", "Step Functions Execution Status Change")
    detail = told["detail"]
    assert (detail["executionArn"], detail["name"]) == (execution, execution.rpartition(":")[2])
    assert (detail["status"], json.loads(detail["input"]), detail["output"]) == ("TIMED_OUT", {"a": 1}, None)
    assert detail["stopDate"] - detail["startDate"] >= 1000, "milliseconds"


def events_to_queue(cloud: Cloud) -> str:
    """The URL of a queue that hears of executions that did not succeed."""
    name = f"q-{uuid.uuid4().hex[:8]}"
    url: str = cloud.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    arn = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.states"], "detail": {"status": ["ABORTED", "TIMED_OUT", "FAILED"]}}
    cloud.client("events").put_rule(Name=name, EventPattern=json.dumps(pattern))
    cloud.client("events").put_targets(Rule=name, Targets=[{"Id": "q", "Arn": arn}])
    return url


def messages(cloud: Cloud, url: str) -> list[Any]:
    answer = cloud.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


def test_a_callback_tasks_lambda_that_fails_fails_the_task(cloud: Cloud) -> None:
    function = cloud.function("class RunChanged(Exception): pass\ndef handler(event, context):\n    raise RunChanged\n")
    look_again = {"ErrorEquals": ["RunChanged"], "Next": "Look Again"}
    states = {"Wait": callback(function, Catch=[look_again]), "Look Again": {"Type": "Succeed"}}
    assert cloud.run(states)["status"] == "SUCCEEDED"


def test_a_callback_task_times_out_after_what_its_input_says(cloud: Cloud) -> None:
    function = cloud.function("def handler(event, context): pass\n")
    state = callback(function, TimeoutSecondsPath="$.patience")
    assert cloud.run({"Wait": state}, {"patience": 1})["error"] == "States.Timeout"


def test_a_callback_task_without_heartbeat_fails(cloud: Cloud) -> None:
    function = cloud.function("def handler(event, context): pass\n")
    ended = cloud.run({"Wait": callback(function, HeartbeatSeconds=1, TimeoutSeconds=60)})
    assert ended["error"] == "States.HeartbeatTimeout"


def test_every_attempt_of_a_callback_task_has_its_own_token(cloud: Cloud, notes: Path) -> None:
    source = f"def handler(event, context):\n    open({str(notes)!r}, 'a').write(event['token'] + '\\n')\n"
    retry = [{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    cloud.run({"Wait": callback(cloud.function(source), TimeoutSeconds=1, Retry=retry)})
    first, second = notes.read_text().split()
    assert first != second


def test_a_callback_tasks_time_runs_while_its_lambda_runs(cloud: Cloud) -> None:
    function = cloud.function("import time\ndef handler(event, context): time.sleep(9)\n")
    assert cloud.run({"Wait": callback(function, TimeoutSeconds=1)})["error"] == "States.Timeout"


def test_a_callback_task_ends_with_its_answer(engine: Cloud, notes: Path) -> None:
    function = engine.function(KEEPS_TOKEN.format(path=str(notes)))
    execution = engine.start({"Wait": callback(function)})
    token = engine.eventually(lambda: notes.read_text() if notes.exists() else None)
    engine.client("stepfunctions").send_task_success(taskToken=token, output='{"woken": true}')
    assert engine.ended(execution)["output"] == '{"woken": true}'


def test_a_start_that_is_repeated_is_answered_with_the_same_execution(cloud: Cloud) -> None:
    client = cloud.client("stepfunctions")
    request = {"stateMachineArn": cloud.machine({"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}), "name": "once"}
    first = client.start_execution(**request, input="{}")
    again = client.start_execution(**request, input="{}")
    assert again["executionArn"] == first["executionArn"]
    assert again["startDate"] == first["startDate"]


def test_a_name_with_other_input_is_taken(engine: Cloud) -> None:
    client = engine.client("stepfunctions")
    request = {
        "stateMachineArn": engine.machine({"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}),
        "name": "once",
    }
    client.start_execution(**request, input='{"a": 1}')
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(**request, input='{"a": 2}')


@pytest.mark.parametrize(
    ("name", "error"), [("bad name!", "InvalidName"), ("a/b", "InvalidName"), ("x" * 81, "ValidationException")]
)
def test_a_name_that_no_execution_can_have_is_refused(cloud: Cloud, name: str, error: str) -> None:
    machine = cloud.machine({"Pass": {"Type": "Pass", "End": True}})
    with pytest.raises(ClientError) as caught:
        cloud.client("stepfunctions").start_execution(stateMachineArn=machine, name=name, input="{}")
    assert caught.value.response["Error"]["Code"] == error
    assert name in caught.value.response["Error"]["Message"]


@pytest.mark.parametrize("text", ["", "{", "NaN", "[" * 3000 + "]" * 3000], ids=lambda text: text[:5])
def test_an_input_that_is_no_json_is_refused(cloud: Cloud, text: str) -> None:
    machine = cloud.machine({"Pass": {"Type": "Pass", "End": True}})
    with pytest.raises(ClientError) as caught:
        cloud.client("stepfunctions").start_execution(stateMachineArn=machine, input=text)
    assert caught.value.response["Error"]["Code"] == "InvalidExecutionInput"


def test_an_execution_that_was_stopped_stays_stopped(cloud: Cloud, notes: Path) -> None:
    source = (
        f"import time, pathlib\nnotes = pathlib.Path({str(notes)!r})\n"
        "def handler(event, context):\n"
        "    notes.write_text('begun')\n"
        "    while notes.read_text() == 'begun':\n        time.sleep(0.01)\n"
        "    notes.write_text('failing')\n    1 / 0\n"
    )
    function = cloud.client("lambda").get_function(FunctionName=cloud.function(source))["Configuration"]["FunctionArn"]
    execution = cloud.start({"Task": {"Type": "Task", "Resource": function, "End": True}})
    client = cloud.client("stepfunctions")
    cloud.eventually(lambda: notes.exists() and notes.read_text() == "begun")
    client.stop_execution(executionArn=execution)
    notes.write_text("go on")
    cloud.eventually(lambda: notes.read_text() == "failing")
    with pytest.raises(AssertionError):  # it never becomes anything else
        eventually(lambda: client.describe_execution(executionArn=execution)["status"] != "ABORTED", seconds=0.5)


def test_a_throttled_lambda_is_named_as_such(cloud: Cloud) -> None:
    function = cloud.function("def handler(event, context): pass\n")
    client = cloud.client("lambda")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    arn = client.get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    ended = cloud.run({"Task": {"Type": "Task", "Resource": arn, "End": True}})
    assert ended["error"] == "Lambda.TooManyRequestsException"
