"""The handlers with the events that AWS sends them, on moto: what is parsed, called, and answered."""

from __future__ import annotations

import base64
import copy
import importlib
import json
import random
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.tables import create_tables
from universal_scheduler.adapters.dynamodb.items import to_item

STREAMS = json.loads((Path(__file__).parents[2] / "dynamo" / "test_streams.json").read_text())
RUN = {
    "input": {"scheduleId": "nightly"},
    "executionArn": "arn:aws:states:us-east-1:123456789012:execution:schedule_runner:one",
    "executionName": "one",
    "startTime": "2026-11-21T06:00:00.123Z",
}
SCHEDULE = {"scheduleId": "nightly", "jobList": [{"jobName": "a", "jobDefinition": "shell", "jobQueue": "nowhere"}]}


class Context:
    function_name = "f"
    memory_limit_in_mb = 128
    invoked_function_arn = "arn"
    aws_request_id = "id"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Handlers, each imported anew as on a cold start, with the environment of template.yaml."""
    with mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "true")
        create_tables(boto3.client("dynamodb"))
        role = "arn:aws:iam::123456789012:role/r"
        definition = json.dumps({"StartAt": "a", "States": {"a": {"Type": "Succeed"}}})
        machine = boto3.client("stepfunctions").create_state_machine(
            name="schedule_runner", definition=definition, roleArn=role
        )
        monkeypatch.setenv("STATE_MACHINE_ARN", machine["stateMachineArn"])

        def load_handler(name: str) -> ModuleType:
            sys.modules.pop(f"lambdas.{name}", None)
            return importlib.import_module(f"lambdas.{name}")

        yield load_handler


def started() -> list[str]:
    client = boto3.client("stepfunctions")
    [machine] = client.list_state_machines()["stateMachines"]
    executions = client.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
    return sorted(execution["name"].rsplit("-", 1)[0] for execution in executions)


def row(schedule_id: str) -> dict[str, Any] | None:
    key = {"scheduleId": {"S": schedule_id}}
    return boto3.client("dynamodb").get_item(TableName="BatchSchedules", Key=key).get("Item")


def put(*documents: dict[str, Any]) -> None:
    for document in documents:
        boto3.resource("dynamodb").Table("BatchSchedules").put_item(Item=document)


@pytest.mark.parametrize(
    ("sample", "names"),
    [
        ("inserted", ["row-nightly"]),
        ("inserted_with_manual_trigger", []),
        ("inserted_follower", []),
        ("inserted_bad_then_good", ["row-nightly"]),
        ("errors_written_by_the_scheduler", []),
        ("changed", []),
        ("removed", []),
    ],
)
def test_schedule_stream(load: Callable[[str], ModuleType], sample: str, names: list[str]) -> None:
    handler = load("schedule_stream").handler
    for _ in range(2):
        assert handler(STREAMS[sample], Context()) == {"batchItemFailures": []}
    assert started() == names


def test_schedule_stream_writes_errors_beside_a_bad_row(load: Callable[[str], ModuleType]) -> None:
    put({"scheduleId": "misspelt", "jobList": []})
    load("schedule_stream").handler(STREAMS["inserted_bad_then_good"], Context())
    kept = row("misspelt")
    assert kept is not None
    assert "jobDependencies" in kept["scheduleErrors"]["L"][0]["M"]["found"]["S"]
    assert row("cycle") is None, "a row that was removed meanwhile does not come back"


def test_a_binary_value_is_an_error_of_its_row_and_not_of_the_function(load: Callable[[str], ModuleType]) -> None:
    put({"scheduleId": "misspelt", "jobList": []})
    event = copy.deepcopy(STREAMS["inserted_bad_then_good"])
    image = event["Records"][1]["dynamodb"]["NewImage"]
    image["description"] = {"B": "aGVsbG8="}  # in a Lambda event binary is base64 text
    image["jobList"]["L"][0]["M"]["jobQueue"] = {"BS": ["aGVsbG8="]}
    assert load("schedule_stream").handler(event, Context()) == {"batchItemFailures": []}
    kept = row("misspelt")
    assert kept is not None
    paths = {error["M"]["path"]["S"] for error in kept["scheduleErrors"]["L"]}
    assert paths >= {"$.description", "$.jobList[0].jobQueue"}
    put({"scheduleId": "binary", "jobList": SCHEDULE["jobList"], "description": b"hello"})
    shown = json.loads(load("get_schedule").handler({"pathParameters": {"scheduleId": "binary"}}, Context())["body"])
    assert [error["path"] for error in shown["errors"]] == ["$.description"]


def test_a_row_with_compressed_jobs_starts(load: Callable[[str], ModuleType]) -> None:
    event = copy.deepcopy(STREAMS["inserted_bad_then_good"])
    image = event["Records"][1]["dynamodb"]["NewImage"]
    jobs = zlib.compress(json.dumps(SCHEDULE["jobList"]).encode())
    image |= {"scheduleId": {"S": "large"}, "jobListCompressed": {"B": base64.b64encode(jobs).decode()}}
    del image["jobList"]
    assert load("schedule_stream").handler(event, Context()) == {"batchItemFailures": []}
    assert "row-large" in started()
    image["jobListCompressed"] = {"B": "aGVsbG8="}
    put({"scheduleId": "large"})
    load("schedule_stream").handler(event, Context())
    kept = row("large")
    assert kept is not None
    assert "jobListCompressed" in str(kept["scheduleErrors"])


def test_a_record_that_fails_is_named_and_stops_no_other(
    load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("schedule_stream")
    records = STREAMS["inserted_bad_then_good"]["Records"]

    def fails_once(_store: object, _workflow: object, event_id: str, *_: object) -> None:
        if event_id == records[1]["eventID"]:
            raise RuntimeError("throttled")

    monkeypatch.setattr(module, "schedule_written", fails_once)
    answer = module.handler({"Records": records}, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": records[1]["dynamodb"]["SequenceNumber"]}]}


@pytest.mark.parametrize(
    ("sample", "names"),
    [
        ("run_started", []),
        ("run_succeeded", ["after-report"]),
        ("run_failed", []),
        ("run_edited_after_its_end", []),
    ],
)
def test_history_stream(load: Callable[[str], ModuleType], sample: str, names: list[str]) -> None:
    put(SCHEDULE | {"scheduleId": "report", "trigger": {"after": ["nightly"]}})
    handler = load("history_stream").handler
    for _ in range(2):
        assert handler(STREAMS[sample], Context()) == {"batchItemFailures": []}
    assert started() == names


def test_a_runs_end_reads_its_own_followers_alone(load: Callable[[str], ModuleType]) -> None:
    put(*(SCHEDULE | {"scheduleId": f"other-{number}", "trigger": {"after": ["other"]}} for number in range(30)))
    put(SCHEDULE | {"scheduleId": "report", "trigger": {"after": ["nightly"]}})
    assert load("sweep").handler({}, Context()) == {"looked": 0, "notified": 0}
    module = load("history_stream")
    module.handler(STREAMS["run_failed"], Context())
    calls: list[tuple[str, int]] = []
    events = module.wiring.dynamodb.meta.events
    events.register(
        "after-call.dynamodb", lambda model, parsed, **_: calls.append((model.name, parsed.get("ScannedCount", 1)))
    )
    assert module.handler(STREAMS["run_succeeded"], Context()) == {"batchItemFailures": []}
    assert started() == ["after-report"]
    assert ("Query", 1) in calls
    assert "Scan" not in dict(calls)


def test_a_schedule_that_was_put_by_hand_and_changed_starts_after_what_it_names_now(
    load: Callable[[str], ModuleType],
) -> None:
    load("sweep").handler({}, Context())
    images = [SCHEDULE | {"scheduleId": "report", "trigger": {"after": [name]}} for name in ("other", "nightly")]
    history = load("history_stream").handler
    for old, new in ((None, images[0]), (images[0], images[1]), (images[1], None)):
        if new is None:
            key = {"scheduleId": {"S": "report"}}
            boto3.client("dynamodb").delete_item(TableName="BatchSchedules", Key=key)
        else:
            put(new)
        event = {"Records": [{"eventID": "e", "dynamodb": dict(images_of(old, new), SequenceNumber="1")}]}
        assert load("schedule_stream").handler(event, Context()) == {"batchItemFailures": []}
        noted = boto3.client("dynamodb").scan(TableName="BatchScheduleJobs")["Items"]
        named = [item["runId"]["S"] for item in noted if item["runId"]["S"].startswith("#after#")]
        assert named == ([f"#after#{new['trigger']['after'][0]}"] if new else [])
        history(STREAMS["run_succeeded"], Context())
        assert started() == ([] if new is images[0] else ["after-report"])


def images_of(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    pairs = (("OldImage", old), ("NewImage", new))
    return {name: to_item(image) for name, image in pairs if image is not None}


def test_an_execution_of_very_many_jobs_fits_into_an_answer(
    load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("get_execution")
    jobs = [
        {"jobName": f"j{i}", "status": "FAILED" if i % 2 else "SUCCEEDED", "reason": '"' * 300} for i in range(10_000)
    ]
    monkeypatch.setattr(module, "find_execution", lambda *_: {"counts": {"FAILED": 5000}, "jobs": jobs})
    answer = module.handler({"pathParameters": {"name": "n"}}, Context())
    assert len(json.dumps(answer)) < 6_291_556, "what Lambda lets a function answer"
    assert json.loads(answer["body"])["jobsOmitted"] == 9000


def test_a_run_from_state_to_state(load: Callable[[str], ModuleType]) -> None:
    put(SCHEDULE)
    payload = load("start_run").handler(RUN, Context())
    assert payload["next"] == "SUBMIT"
    assert len(json.dumps(payload)) < 2048
    payload = load("submit_jobs").handler(payload, Context())
    assert payload["next"] == "RECORD", "the queue does not exist: the job was refused"
    payload = load("record_result").handler(payload, Context())
    assert payload["status"] == "FAILED"
    shown = load("get_execution").handler({"pathParameters": {"name": "one"}}, Context())
    run = json.loads(shown["body"])
    assert (shown["statusCode"], run["status"]) == (200, "FAILED")
    assert "nowhere" in run["reason"]
    assert run["jobs"][0]["status"] == "FAILED"


def test_a_refused_start_is_recorded(load: Callable[[str], ModuleType]) -> None:
    error = {"Error": "ScheduleNotFound", "Cause": json.dumps({"errorMessage": "There is no schedule 'x'."})}
    event = {**RUN, "refused": {"scheduleId": "x"}, "error": error}
    assert load("record_result").handler(event, Context()) == {"status": "FAILED"}
    shown = json.loads(load("get_execution").handler({"pathParameters": {"name": "one"}}, Context())["body"])
    assert shown["reason"] == "ScheduleNotFound: There is no schedule 'x'."


def test_a_name_may_be_quoted_in_the_url(load: Callable[[str], ModuleType]) -> None:
    put(SCHEDULE)
    load("start_run").handler(RUN | {"executionName": "nightly@1"}, Context())
    shown = load("get_execution").handler({"pathParameters": {"name": "nightly%401"}}, Context())
    assert shown["statusCode"] == 200, shown["body"]
    assert load("get_schedule").handler({"pathParameters": {"scheduleId": "night%6Cy"}}, Context())["statusCode"] == 200


@pytest.mark.parametrize(
    ("name", "sample", "called"),
    [("schedule_stream", "inserted", "schedule_written"), ("history_stream", "run_failed", "notify_run")],
)
def test_a_record_that_fails_is_logged_and_counted(
    load: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    name: str,
    sample: str,
    called: str,
) -> None:
    module = load(name)

    def fail(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(module, called, fail)
    event = copy.deepcopy(STREAMS[sample])
    for record in event["Records"]:
        record["dynamodb"]["Keys"] = {"scheduleId": {"S": "nightly"}}
    assert len(module.handler(event, Context())["batchItemFailures"]) == 1
    [line] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert vars(line)["record"] == {"scheduleId": {"S": "nightly"}}
    assert line.exc_info is not None
    assert "no network" in str(line.exc_info[1])
    assert capsys.readouterr().out.count('"FunctionErrors": 1') == 1


def test_an_execution_that_nobody_knows_is_404(load: Callable[[str], ModuleType]) -> None:
    answer = load("get_execution").handler({"pathParameters": {"name": "nobody"}}, Context())
    assert answer["statusCode"] == 404
    assert "nobody" in answer["body"]


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (json.dumps(SCHEDULE), 201, "nightly"),
        ("{", 400, "line 1, column 2"),
        ("[]", 400, "an object"),
        (json.dumps({"scheduleId": "x", "jobList": []}), 400, "$.jobList"),
        (json.dumps(SCHEDULE | {"description": "x" * 4000, "jobList": SCHEDULE["jobList"] * 2}), 400, "again"),
    ],
)
def test_put_schedule(load: Callable[[str], ModuleType], body: str, status: int, named: str) -> None:
    answer = load("put_schedule").handler({"body": body, "isBase64Encoded": False}, Context())
    assert (answer["statusCode"], named in answer["body"]) == (status, True)
    assert (row("nightly") is not None) == (status == 201)


@pytest.mark.parametrize(
    "event",
    [
        {"body": None, "isBase64Encoded": False},
        {"body": "", "isBase64Encoded": True},
        {"body": "!no base64!", "isBase64Encoded": True},
        {"body": "ä", "isBase64Encoded": True},
        {"body": base64.b64encode(b'{"scheduleId": "\xff"}').decode(), "isBase64Encoded": True},
        {"body": '{"scheduleId": "a", "scheduleId": "b"}'},
        {"body": json.dumps(SCHEDULE).replace("default", "\\ud83d").replace("nowhere", "\\ud83d")},
        {"body": '{"wait_time": NaN}'},
        {"body": "[" * 3000 + "]" * 3000},
        {"body": '{"scheduleId": ' + "9" * 5000 + "}"},
        {"body": json.dumps({**SCHEDULE, "parameters": {"x": 10**43 + 1}})},
        {"body": json.dumps({**SCHEDULE, "scheduleStatus": "RESTART"})},
    ],
    ids=lambda event: str(event)[:60],
)
def test_what_is_no_schedule_is_refused_with_a_path(load: Callable[[str], ModuleType], event: dict[str, Any]) -> None:
    answer = load("put_schedule").handler(event, Context())
    assert answer["statusCode"] == 400
    for entry in json.loads(answer["body"])["error"]["errors"]:
        assert entry["path"].startswith("$")
        assert entry["found"]
        assert entry["expected"]


def test_odd_ids_and_names_are_not_found(load: Callable[[str], ModuleType]) -> None:
    for odd in ("", " ", "%00", "x" * 3000, "%F0%9F%98%80", "%ED%A0%BD", "a/b", "a|b", "'", "{}", "%25"):
        schedule = load("get_schedule").handler({"pathParameters": {"scheduleId": odd}}, Context())
        execution = load("get_execution").handler({"pathParameters": {"name": odd}}, Context())
        assert (schedule["statusCode"], execution["statusCode"]) == (404, 404), odd


def test_put_schedule_warns_of_what_the_stage_does_not_have(
    load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_QUEUES", '{"high": "arn:high"}')
    monkeypatch.setenv("JOB_DEFINITIONS", '{"shell": "arn:shell"}')
    handler, manual = load("put_schedule").handler, {"trigger": {"manual": True}}
    jobs = [{"jobName": "a", "jobDefinition": "shell", "jobQueue": "hihg"}]
    document = {"scheduleId": "doubtful", "jobList": jobs, "trigger": {"after": ["nosuch", "there"]}}
    handler({"body": json.dumps({**document, "scheduleId": "there", **manual})}, Context())
    answer = handler({"body": json.dumps(document)}, Context())
    assert answer["statusCode"] == 201
    assert [(each["path"], each["found"]) for each in json.loads(answer["body"])["warnings"]] == [
        ("$.jobList[0].jobQueue", "the queue 'hihg' (did you mean 'high'?), which is no short name of this stage"),
        ("$.trigger.after[0]", "'nosuch', and there is no such schedule"),
    ]
    jobs[0]["jobQueue"] = "high"
    handler({"body": json.dumps({**document, "scheduleId": "nosuch", **manual})}, Context())
    assert json.loads(handler({"body": json.dumps(document)}, Context())["body"])["warnings"] == []


def test_a_schedule_over_the_item_limit_is_413_and_not_stored(load: Callable[[str], ModuleType]) -> None:
    jobs = [
        {
            "jobName": f"j{i}",
            "jobDefinition": "shell",
            "jobQueue": "default",
            "parameters": {"x": random.randbytes(250).hex()},
        }
        for i in range(2000)
    ]
    answer = load("put_schedule").handler({"body": json.dumps({"scheduleId": "huge", "jobList": jobs})}, Context())
    assert answer["statusCode"] == 413
    assert "409,600" in answer["body"]
    assert row("huge") is None


def test_get_schedule_shows_what_is_wrong(load: Callable[[str], ModuleType]) -> None:
    put({"scheduleId": "bad", "jobList": []})
    handler = load("get_schedule").handler
    shown = json.loads(handler({"pathParameters": {"scheduleId": "bad"}}, Context())["body"])
    assert (shown["valid"], shown["errors"][0]["path"]) == (False, "$.jobList")
    assert handler({"pathParameters": {"scheduleId": "none"}}, Context())["statusCode"] == 404


def test_get_next_starts_shows_when_a_schedule_starts(load: Callable[[str], ModuleType]) -> None:
    put(SCHEDULE | {"trigger": {"cron": "0 6 * * *", "timezone": "Europe/Zurich"}})
    handler = load("get_next_starts").handler

    def get(schedule_id: str, **query: str) -> tuple[int, Any]:
        event = {"pathParameters": {"scheduleId": schedule_id}, "queryStringParameters": query or None}
        answer = handler(event, Context())
        return answer["statusCode"], json.loads(answer["body"])

    assert len(get("nightly")[1]["starts"]) == 10
    status, body = get("nightly", **{"from": "2026-07-01", "to": "2026-07-02"})
    assert (status, [start["at"] for start in body["starts"]]) == (
        200,
        ["2026-07-01T04:00:00Z", "2026-07-02T04:00:00Z"],
    )
    assert get("none")[0] == 404
    assert get("nightly", n="0")[0] == 400
    assert get("nightly", since="1d")[0] == 400
    put({"scheduleId": "bad", "jobList": []})
    status, body = get("bad")
    assert (status, body["error"]["errors"][0]["path"]) == (422, "$.jobList")
