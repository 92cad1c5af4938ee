"""The embedded engine's DynamoDB keeps items on disk, reads what it answers, and answers the same."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

START = """
import asyncio, base64, json, random, sys, time
from pathlib import Path

if sys.argv[1] != "stock":
    from universal_scheduler.local.gaps import dynamodb as gap, dynamodb_storage
    from universal_scheduler.local.state import State
    storage = dynamodb_storage.apply(State(Path(sys.argv[3]) if len(sys.argv) > 3 else None))
    database = storage.database
    gap.apply(storage)
from ministack.services import dynamodb


def call(action, **request):
    headers = {"x-amz-target": f"DynamoDB_20120810.{action}"}
    status, _, body = asyncio.run(dynamodb.handle_request("POST", "/", headers, json.dumps(request).encode(), {}))
    return status, json.loads(body)


def create(name, kind):
    keys = [("pk", "HASH")] + ([("sk", "RANGE")] if kind else [])
    names = {"pk": "S", "g": "S", "n": "N", **({"sk": kind} if kind else {})}
    schema = lambda *pairs: [{"AttributeName": n, "KeyType": k} for n, k in pairs]
    index = lambda name, projection, *pairs: {
        "IndexName": name, "KeySchema": schema(*pairs), "Projection": projection,
    }
    only, all_of = {"ProjectionType": "KEYS_ONLY"}, {"ProjectionType": "ALL"}
    some = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a"]}
    local = {"LocalSecondaryIndexes": [index("local", all_of, ("pk", "HASH"), ("n", "RANGE"))]} if kind else {}
    answer = call(
        "CreateTable", TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=schema(*keys), **local,
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t in names.items()],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        GlobalSecondaryIndexes=[
            index("by-g", only, ("g", "HASH")), index("by-gn", some, ("g", "HASH"), ("n", "RANGE")),
            index("by-ng", all_of, ("n", "HASH"), ("g", "RANGE")),
        ],
    )
    assert answer[0] == 200, answer
"""

PLAY = (
    START
    + """
rng = random.Random(int(sys.argv[2]))
TABLES = {"texts": "S", "numbers": "N", "binaries": "B", "plain": None}
# As DynamoDB writes them: 007 is another key than 7 in ministack, and the same in DynamoDB and here.
NUMBERS = ["0", "1", "-1", "1.5", "10", "9", "-10", "-9", "-1.5", "0.001", "-0.001", "12", "1" + 20 * "0"]
NUMBERS.append("-1" + 20 * "0")
SORTS = {
    "S": ["a", "a#1", "a#10", "a#2", "b", "Z", "Zürich", "\\U0001f600", "\\uffff", "ab", "a\\x00b", "~"],
    "N": NUMBERS,
    "B": [
        base64.b64encode(b).decode()
        for b in (b"a", b"ab", b"\\xff", b"\\xff\\xff", b"\\x00", b"\\x00a", b"b", b"\\xfe\\xff")
    ],
}
for name, kind in TABLES.items():
    create(name, kind)


def key(name):
    kind = TABLES[name]
    return {"pk": {"S": rng.choice("pqr") if kind else rng.choice("abcdefghij")}} | (
        {"sk": {kind: rng.choice(SORTS[kind])}} if kind else {})


def item(name):
    made = key(name) | {"a": {"S": rng.choice(["x", "y", "z" * 300])}}
    if rng.random() < 0.8:
        made["g"] = {"S": rng.choice("uv")}
    if rng.random() < 0.8:
        made["n"] = {"N": rng.choice(NUMBERS)}
    if rng.random() < 0.02:
        made["big"] = {"S": "x" * 300_000}
    return made


def condition(kind, values, names):
    operator = rng.choice(["=", "<", "<=", ">", ">=", "between", "begins"])
    names["#sk"] = "sk" if kind != "index" else "n"
    kind = "N" if kind == "index" else kind
    some = lambda: {kind: rng.choice(SORTS[kind])}
    if operator == "between":
        values |= {":a": some(), ":b": some()}
        return "#sk BETWEEN :a AND :b"
    if operator == "begins":
        values[":a"] = {"S": rng.choice(["a", "a#", "Z", "\\uffff"])} if kind == "S" else some()
        return "begins_with(#sk, :a)"
    values[":a"] = some()
    return f"#sk {operator} :a" if rng.random() < 0.9 else f"(#sk {operator} :a)"


def query(name):
    values, names = {}, {}
    request = {"TableName": name}
    index = rng.choice([None, None, "by-g", "by-gn", "by-ng", "local" if TABLES[name] else "by-g"])
    hash_key = {"by-g": "g", "by-gn": "g", "by-ng": "n"}.get(index, "pk")
    text = f"{hash_key} = :h"
    texts = "uv" if hash_key == "g" else "pqr"
    values[":h"] = {"N": rng.choice(NUMBERS)} if hash_key == "n" else {"S": rng.choice(texts)}
    if index:
        request["IndexName"] = index
    if rng.random() < 0.6:
        if index in ("by-gn", "local"):
            text += " AND " + condition("index", values, names)
        elif not index and TABLES[name]:
            text += " AND " + condition(TABLES[name], values, names)
    if rng.random() < 0.1:
        text = f"{text} AND pk = :h"
    if rng.random() < 0.3:
        request["FilterExpression"] = rng.choice(["a = :f", "attribute_exists(g) OR a > :f", "begins_with(a, :f)"])
        values[":f"] = {"S": rng.choice("xyz")}
    if rng.random() < 0.2:
        request["Select"] = "COUNT"
    elif rng.random() < 0.2:
        request["ProjectionExpression"] = "pk, a"
    if rng.random() < 0.5:
        request["ScanIndexForward"] = rng.random() < 0.3
    if names:
        request["ExpressionAttributeNames"] = names
    return {**request, "KeyConditionExpression": text, "ExpressionAttributeValues": values}


def pages(action, request):
    answers, limit = [], rng.choice([None, 1, 2, 5])
    request = request | ({"Limit": limit} if limit else {})
    for _ in range(60):
        answers.append(call(action, **request))
        if answers[-1][0] != 200 or "LastEvaluatedKey" not in answers[-1][1]:
            break
        request["ExclusiveStartKey"] = answers[-1][1]["LastEvaluatedKey"]
    return answers


def wanted(answers, ordered):
    # The order of a scan is DynamoDB's own affair; only that of texts is the same here.
    if ordered or any(status != 200 for status, _ in answers):
        return answers
    return sorted(json.dumps(item, sort_keys=True) for _, answer in answers for item in answer["Items"])


for turn in range(900):
    name = rng.choice(list(TABLES))
    match rng.randrange(9):
        case 0 | 1 | 2:
            answer = call("PutItem", TableName=name, Item=item(name), ReturnValues=rng.choice(["NONE", "ALL_OLD"]))
        case 3:
            answer = call("DeleteItem", TableName=name, Key=key(name), ReturnValues="ALL_OLD")
        case 4:
            text = rng.choice(["SET g = :v", "REMOVE g", "SET a = :v REMOVE n", "SET b = :v"])
            values = {"ExpressionAttributeValues": {":v": {"S": rng.choice("uv")}}} if ":v" in text else {}
            request = {"TableName": name, "Key": key(name), "UpdateExpression": text, **values}
            answer = call("UpdateItem", **request, ReturnValues="ALL_NEW")
        case 5:
            answer = wanted(pages("Scan", {"TableName": name}), TABLES[name] in ("S", None))
        case 6:
            how = rng.choice([{"IndexName": "by-g"}, {"IndexName": "by-gn"}, {"Segment": 1, "TotalSegments": 2}])
            ordered = TABLES[name] in ("S", None) or "IndexName" in how
            answer = wanted(pages("Scan", {"TableName": name, **how}), ordered)
        case _:
            answer = pages("Query", query(name))
    print(json.dumps(answer, sort_keys=True))
    if turn == 600:
        call("UpdateTable", TableName="texts", AttributeDefinitions=[
            {"AttributeName": "a", "AttributeType": "S"}, {"AttributeName": "pk", "AttributeType": "S"}],
            GlobalSecondaryIndexUpdates=[{"Create": {
                "IndexName": "late", "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"}}}])
for name in TABLES:
    print(json.dumps(call("DescribeTable", TableName=name)[1]["Table"]["ItemCount"]))
    for record in dynamodb.stream_live_records(name):
        change = record["dynamodb"]
        told = [record["eventName"], change["Keys"], change.get("OldImage"), change.get("NewImage")]
        print(json.dumps(told, sort_keys=True))
print(json.dumps(call("Query", TableName="texts", IndexName="late", KeyConditionExpression="a = :a",
    ExpressionAttributeValues={":a": {"S": "x"}}), sort_keys=True))
backup = call("CreateBackup", TableName="texts", BackupName="kept")[1]["BackupDetails"]["BackupArn"]
call("RestoreTableFromBackup", TargetTableName="again", BackupArn=backup)
print(json.dumps(wanted([call("Scan", TableName="again")], False)))
for pk in "pqr":
    print(json.dumps(call("ExecuteStatement", Statement=f"SELECT * FROM texts WHERE pk = '{pk}'"), sort_keys=True))
"""
)


def run(script: str, *arguments: str) -> list[Any]:
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_every_page_of_every_query_is_the_same(seed: str) -> None:
    stock, ours = run(PLAY, "stock", seed), run(PLAY, "ours", seed)
    assert len(stock) > 1000
    for mine, theirs in zip(ours, stock, strict=True):
        assert mine == theirs


@pytest.mark.parametrize("more", ["", 'FilterExpression="a > :p",'])
def test_a_page_reads_only_what_it_answers(more: str) -> None:
    """As it is kept, or item by item where a filter has to see them."""
    [decoded, fetched, answered] = run(
        START
        + """
create("texts", "S")
for number in range(2000):
    call("PutItem", TableName="texts", Item={"pk": {"S": "p"}, "sk": {"S": f"{number:05}"}, "a": {"S": "x"}})
seen, rows, loads, fetch = [], [], dynamodb_storage.json.loads, dynamodb_storage.Items.rows
dynamodb_storage.json = type("Json", (), {"loads": lambda text: seen.append(text) or loads(text)})
dynamodb_storage.Items.rows = lambda *given: (rows.append(row) or row for row in fetch(*given))
answer = call("Query", TableName="texts", Limit=3, ScanIndexForward=False, MORE
    KeyConditionExpression="pk = :p AND sk < :s",
    ExpressionAttributeValues={":p": {"S": "p"}, ":s": {"S": "01000"}})
print(len(seen))
print(len(rows))
print(json.dumps([item["sk"]["S"] for item in answer[1]["Items"]]))
""".replace("MORE", more),
        "ours",
    )
    assert answered == ["00999", "00998", "00997"]
    assert decoded == (3 if more else 0)
    assert fetched <= 4


def test_items_that_have_expired_go_and_no_others() -> None:
    [left] = run(
        START
        + """
create("texts", "S")
def put(name, **more):
    call("PutItem", TableName="texts", Item={"pk": {"S": "p"}, "sk": {"S": name}, **more})
put("before", expires={"N": "50"})
call("UpdateTimeToLive", TableName="texts", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})
put("old", expires={"N": "99"}), put("new", expires={"N": "101"}), put("word", expires={"S": "x"}), put("none")
put("renewed", expires={"N": "1"}), put("renewed", expires={"N": "200"})
dynamodb._usched_reap(100.0)
print(json.dumps([item["sk"]["S"] for item in call("Scan", TableName="texts")[1]["Items"]]))
""",
        "ours",
    )
    assert left == ["new", "none", "renewed", "word"]


def test_what_was_acknowledged_is_in_the_file_of_a_killed_engine(tmp_path: Path) -> None:
    file = tmp_path / "state" / "dynamodb.sqlite"
    script = (
        START
        + """
import os, signal
create("texts", "S")
for number in range(50):
    call("PutItem", TableName="texts", Item={"pk": {"S": "p"}, "sk": {"S": str(number)}, "g": {"S": "u"}})
call("DeleteItem", TableName="texts", Key={"pk": {"S": "p"}, "sk": {"S": "7"}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    subprocess.run([sys.executable, "-c", script, "ours", "1", str(file.parent)], check=False)
    with sqlite3.connect(file) as left:
        assert left.execute("SELECT count(*) FROM items").fetchone() == (49,)
        assert left.execute("SELECT count(*) FROM entries WHERE name = 'by-g'").fetchone() == (49,)
    left.close()


def test_a_number_written_in_another_way_is_the_same_key() -> None:
    [found] = run(
        START
        + """
create("numbers", "N")
call("PutItem", TableName="numbers", Item={"pk": {"S": "p"}, "sk": {"N": "7"}})
print(json.dumps(call("GetItem", TableName="numbers", Key={"pk": {"S": "p"}, "sk": {"N": "007.0"}})[1]))
""",
        "ours",
    )
    assert found["Item"]["sk"] == {"N": "7"}


def test_the_rows_of_a_deleted_table_go() -> None:
    [rows] = run(
        START
        + """
create("texts", "S")
call("PutItem", TableName="texts", Item={"pk": {"S": "p"}, "sk": {"S": "s"}, "g": {"S": "u"}})
call("DeleteTable", TableName="texts")
create("plain", None)
call("GetItem", TableName="plain", Key={"pk": {"S": "p"}})
print(json.dumps([database.read(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("items", "entries")]))
""",
        "ours",
    )
    assert rows == [0, 0]


def test_a_table_that_is_made_after_another_was_deleted_is_empty() -> None:
    [(status, answer)] = run(
        START
        + """
create("texts", "S")
call("PutItem", TableName="texts", Item={"pk": {"S": "p"}, "sk": {"S": "s"}})
call("DeleteTable", TableName="texts")
create("texts", "S")
call("PutItem", TableName="texts", Item={"pk": {"S": "other"}, "sk": {"S": "s"}})
print(json.dumps(call("GetItem", TableName="texts", Key={"pk": {"S": "p"}, "sk": {"S": "s"}})))
""",
        "ours",
    )
    assert (status, answer) == (200, {})
