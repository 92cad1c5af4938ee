"""The embedded engine's DynamoDB is quicker than ministack's own, and answers the same."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from tests.engine_dynamodb import engine_dynamodb
from universal_scheduler.adapters.dynamodb.job_log import DynamoJobLog
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.domain.events.job_events import JobEvent
from universal_scheduler.domain.runs.model import Changes, Job, JobRun, JobStatus, Observation

PLAY = """
import asyncio, json, random, sys

if sys.argv[1] == "ours":
    from universal_scheduler.local.gaps import dynamodb as gap, dynamodb_storage
    from universal_scheduler.local.state import State
    gap.apply(dynamodb_storage.apply(State()))
from ministack.services import dynamodb


def call(action, **request):
    headers = {"x-amz-target": f"DynamoDB_20120810.{action}"}
    status, _, body = asyncio.run(dynamodb.handle_request("POST", "/", headers, json.dumps(request).encode(), {}))
    return status, json.loads(body)


NUMBERS = ["0", "7", "-3", "007", "1e3", "1.50", "1e-130", "1e126", "x", "1_0", " 5", "9" * 39, "0.0000001", "12" * 20]
VALUES = [
    *({"N": number} for number in NUMBERS),
    {"S": ""}, {"S": "text"}, {"S": "Zürich"}, {"BOOL": True}, {"NULL": True}, {"SS": ["a", "b"]}, {"SS": ["a", "a"]},
    {"NS": ["1", "1.0"]}, {"B": "aGVsbG8="}, {"L": [{"N": "01"}, {"M": {"k": {"S": "v"}}}]}, {"M": {}}, {},
    {"S": "a", "N": "1"},
]
UPDATES = [
    "SET a = :v", "SET a = :v, b = a", "SET a = if_not_exists(a, :v) REMOVE b", "REMOVE a, b", "ADD c :v",
    "SET (a) = :v", "SET size = :v", "DELETE s :v", "SET a = a + :v", "SET a.b = :v", "SET", "SET a :v",
    "SET #n = :v", "SET a = list_append(a, :v)", "set a = :v remove b",
]
CONDITIONS = [
    "attribute_exists(a)", "attribute_not_exists(a)", "a = :v", "(a = :v)", "((a = :v))",
    "a > :v OR begins_with(b, :v)",
    "NOT a = :v AND attribute_exists(b)", "a BETWEEN :v AND :v", "size(a) > :v", "status = :v", "a IN (:v)",
]


def nested(depth):
    value = {"S": "deep"}
    for _ in range(depth):
        value = {"L": [value]}
    return value


rng = random.Random(int(sys.argv[2]))
key = lambda: {"id": {"S": rng.choice("pq")}, "name": {"S": rng.choice("xyz")}}
value = lambda: nested(rng.choice([30, 31, 32, 40])) if rng.random() < 0.03 else rng.choice(VALUES)
counted = lambda: rng.choice([{}, {}, {"ReturnConsumedCapacity": "INDEXES"}, {"ReturnConsumedCapacity": "TOTAL"}])


def update():
    made = {"TableName": "jobs", "Key": key(), "UpdateExpression": rng.choice(UPDATES)}
    if rng.random() < 0.5:
        made["ConditionExpression"] = rng.choice(CONDITIONS)
    texts = made["UpdateExpression"] + made.get("ConditionExpression", "")
    if ":v" in texts:
        made["ExpressionAttributeValues"] = {":v": value()}
    if "#n" in texts:
        made["ExpressionAttributeNames"] = {"#n": "size"}
    return made


def put():
    return {"TableName": "jobs", "Item": {**key(), "a": value(), "jobId": rng.choice([{"S": "j"}, {"S": "k"}])}}


keys = [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "name", "KeyType": "RANGE"}]
created = call(
    "CreateTable", TableName="jobs", BillingMode="PAY_PER_REQUEST", KeySchema=keys,
    AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "name", "jobId")],
    GlobalSecondaryIndexes=[{
        "IndexName": "by-job", "KeySchema": [{"AttributeName": "jobId", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }],
)
assert created[0] == 200, created
tokens = []
for _ in range(1500):
    match rng.randrange(6):
        case 0:
            answer = call("PutItem", **put(), **counted(), ReturnValues=rng.choice(["NONE", "ALL_OLD"]))
        case 1:
            answer = call("UpdateItem", **update(), **counted(), ReturnValues=rng.choice(["NONE", "ALL_NEW"]))
        case 2:
            puts = [{"PutRequest": {"Item": put()["Item"]}} for _ in range(rng.randrange(1, 4))]
            answer = call("BatchWriteItem", RequestItems={"jobs": puts}, **counted())
        case 3:
            parts = [rng.choice([{"Update": update()}, {"Put": put()}]) for _ in range(rng.randrange(1, 3))]
            request = {"TransactItems": parts, **counted(), "ClientRequestToken": str(len(tokens))}
            tokens.append(request)
            answer = call("TransactWriteItems", **request)
        case 4 if tokens:
            request = dict(rng.choice(tokens))
            if rng.random() < 0.3:
                request["TransactItems"] = [{"Put": put()}]
            answer = call("TransactWriteItems", **request)
        case _:
            answer = call(
                "Query", TableName="jobs", KeyConditionExpression="id = :id", Limit=rng.randrange(1, 5), **counted(),
                ExpressionAttributeValues={":id": {"S": rng.choice("pq")}},
            )
    print(json.dumps(answer, sort_keys=True))
print(json.dumps(call("Scan", TableName="jobs"), sort_keys=True))
"""


def played(whose: str, seed: int) -> list[Any]:
    done = subprocess.run([sys.executable, "-c", PLAY, whose, str(seed)], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_requests_are_answered_alike(seed: int) -> None:
    stock, ours = played("stock", seed), played("ours", seed)
    assert [status for status, _ in stock].count(200) > 400
    assert ours == stock


def test_what_a_run_asks_for_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it is answered all the same, at several times the cost."""

    def not_plain(request: Any) -> Any:
        raise AssertionError(f"not plain: {request}")

    with engine_dynamodb() as client:
        from ministack.services import dynamodb

        for name in ("put_item", "update_item", "get_item", "query", "batch_write_item", "batch_get_item"):
            monkeypatch.setattr(dynamodb, f"_{name}", not_plain)
        monkeypatch.setattr(dynamodb, "_transact_write_items", not_plain)
        store = DynamoStore(
            client, schedules="BatchSchedules", history="BatchScheduleHistory", jobs="BatchScheduleJobs"
        )
        jobs = [
            JobRun(Job(name, "default", "shell", container_overrides={"command": ["true"]}), position=at)
            for at, name in enumerate("abc")
        ]
        store.put_jobs("run", jobs)
        assert store.claim_jobs("run", jobs, 1.5) == set("abc")
        claimed = [replace(job, status=JobStatus.SUBMITTING, intent_at=1.5) for job in jobs]
        assert store.claim_jobs("run", [replace(job, intent_at=1.0) for job in claimed], 2.5) == set()
        assert store.record_submissions("run", [(job, f"id-{job.name}") for job in jobs], 2.5) == set("abc")
        seen = Observation("id-a", JobStatus.RUNNING, started_at=3.5, log_stream="s")
        assert store.observe_jobs("run", [(replace(jobs[0], job_id="id-a"), seen)]) == {"a"}
        assert [job.status for job in store.get_jobs("run", ["a"])] == [JobStatus.RUNNING]
        assert len(store.list_jobs("run")) == 3
        assert store.park("run", 1, "token", Changes(), 1)
        assert store.count_change("run", 1, True, ["a"]) == "token"
        assert store.change_log("run").names == ("a",)
        store.clear_token("run", "token")
        DynamoJobLog(client, table="BatchJobEvents", keep_days=1).append(
            [JobEvent(replace(seen, job_id=f"id-{name}"), name, "queue", 4.5) for name in "abc"]
        )
