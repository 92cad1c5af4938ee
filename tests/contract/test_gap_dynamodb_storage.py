"""The embedded engine's DynamoDB keeps items on disk, reads what it answers, and answers the same."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

STATES = Path(__file__).parents[1] / "states"
START = """
import asyncio, base64, json, random, sys, time
from pathlib import Path

if sys.argv[1] != "stock":
    from universal_scheduler.local.gaps import dynamodb as gap, dynamodb_file, dynamodb_storage
    from universal_scheduler.local.state import Safety, State
    state = State(Path(sys.argv[3]), Safety.PROCESS) if len(sys.argv) > 3 else State()
    storage = dynamodb_storage.apply(state)
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
seen, rows, loads, fetch = [], [], dynamodb_file.json.loads, dynamodb_file.Items.rows
dynamodb_file.json = dynamodb_storage.json = type("Json", (), {"loads": lambda text: seen.append(text) or loads(text)})
dynamodb_file.Items.rows = lambda *given: (rows.append(row) or row for row in fetch(*given))
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


def killed(folder: Path, script: str) -> list[Any]:
    """What a process prints that is killed after it has run this on the files of a folder."""
    kill = "\nsys.stdout.flush(); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    command = [sys.executable, "-c", START + script + kill, "ours", "1", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


DESCRIBE = """
def describe(name):
    table = call("DescribeTable", TableName=name)[1]["Table"]
    arn = table["TableArn"]
    return [
        table, call("DescribeTimeToLive", TableName=name), call("ListTagsOfResource", ResourceArn=arn),
        call("DescribeContinuousBackups", TableName=name)[1]["ContinuousBackupsDescription"]
            ["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
    ]
"""
AS_A_STACK = """
from ministack.services.cloudformation import provisioners
dynamodb_storage.apply_to_stacks(storage)
def deploy(indexes, name="template", key="pk"):
    keys = [{"AttributeName": key, "KeyType": "HASH"}]
    return provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]["create"]("Table", {
        "TableName": name, "KeySchema": keys, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": each, "AttributeType": "S"} for each in (key, *indexes)],
        "GlobalSecondaryIndexes": [
            {"IndexName": f"by-{index}", "KeySchema": [{"AttributeName": index, "KeyType": "HASH"}],
             "Projection": {"ProjectionType": "ALL"}} for index in indexes],
        "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
        "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True}}, "stack")
def found(index, value):
    return [item["pk"]["S"] for item in call("Query", TableName="template", IndexName=f"by-{index}",
        KeyConditionExpression=f"{index} = :v", ExpressionAttributeValues={":v": {"S": value}})[1].get("Items", [])]
"""


def test_a_killed_engine_leaves_tables_as_they_were(tmp_path: Path) -> None:
    [before, numbers] = killed(
        tmp_path,
        DESCRIBE
        + """
create("mine", "N")
create("gone", "S")
for number in range(50):
    call("PutItem", TableName="mine", Item={"pk": {"S": "p"}, "sk": {"N": str(number)}, "g": {"S": "u"}})
call("DeleteItem", TableName="mine", Key={"pk": {"S": "p"}, "sk": {"N": "7"}})
call("UpdateTimeToLive", TableName="mine", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})
call("PutItem", TableName="mine", Item={"pk": {"S": "q"}, "sk": {"N": "1"}, "expires": {"N": "50"}})
arn = call("DescribeTable", TableName="mine")[1]["Table"]["TableArn"]
call("TagResource", ResourceArn=arn, Tags=[{"Key": "owner", "Value": "me"}])
call("UpdateContinuousBackups", TableName="mine",
     PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
call("DeleteTable", TableName="gone")
print(json.dumps(describe("mine")))
print(json.dumps([record["dynamodb"]["SequenceNumber"] for record in dynamodb.stream_live_records("mine")]))
""",
    )
    [after, tables, items, indexed, sequence, later] = killed(
        tmp_path,
        DESCRIBE
        + """
print(json.dumps(describe("mine")))
print(json.dumps(call("ListTables")[1]["TableNames"]))
print(json.dumps([item["sk"]["N"] for item in call("Scan", TableName="mine")[1]["Items"]]))
print(json.dumps(call("Query", TableName="mine", IndexName="by-g", KeyConditionExpression="g = :g",
    ExpressionAttributeValues={":g": {"S": "u"}}, Select="COUNT")[1]["Count"]))
dynamodb._usched_reap(100.0)
dynamodb.time.time = lambda: 1.0
call("DeleteItem", TableName="mine", Key={"pk": {"S": "p"}, "sk": {"N": "8"}})
print(json.dumps([record["dynamodb"]["SequenceNumber"] for record in dynamodb.stream_live_records("mine")]))
print(json.dumps(call("DescribeTable", TableName="mine")[1]["Table"]["ItemCount"]))
""",
    )
    assert after == before
    assert before[0]["ItemCount"] == 50
    assert tables == ["mine"]
    assert items == [str(number) for number in range(50) if number != 7] + ["1"]
    assert indexed == 49
    assert (sequence[:-1], later) == (numbers, 48)
    assert sequence == sorted(sequence), "also where the clock was set back"


def test_a_table_of_a_stack_goes_on_with_its_items_its_stream_and_the_indexes_of_now(tmp_path: Path) -> None:
    [_, stream, label] = killed(
        tmp_path,
        AS_A_STACK
        + """
print(json.dumps(deploy(["a", "b"])[0]))
call("PutItem", TableName="template", Item={"pk": {"S": "1"}, **{name: {"S": name} for name in "abc"}})
call("PutItem", TableName="template", Item={"pk": {"S": "2"}, "expires": {"N": "50"}})
print(json.dumps(list(dynamodb.stream_live_records("template"))))
print(json.dumps(dynamodb._tables["template"]["LatestStreamArn"]))
""",
    )
    [attributes, kept, by, left, end] = killed(
        tmp_path,
        AS_A_STACK
        + """
print(json.dumps(deploy(["a", "c"])[1]["StreamArn"]))
print(json.dumps(list(dynamodb.stream_live_records("template"))))
print(json.dumps([found("a", "a"), found("b", "b"), found("c", "c")]))
dynamodb._usched_reap(100.0)
print(json.dumps([item["pk"]["S"] for item in call("Scan", TableName="template")[1]["Items"]]))
print(json.dumps(dynamodb.stream_end_position("template")))
""",
    )
    assert (attributes, kept, end) == (label, stream, 2)
    assert by == [["1"], [], ["1"]]
    assert left == ["1"], "the template's time to live counts"


def test_a_stack_cannot_give_other_keys_to_items_that_are_there(tmp_path: Path) -> None:
    [message] = killed(
        tmp_path,
        AS_A_STACK
        + """
deploy([])
try:
    deploy([], key="other")
except ValueError as error:
    print(json.dumps(str(error)))
""",
    )
    assert message.endswith('table/template has items with the keys {"pk":"S"}, and cannot have the keys {"other":"S"}')


def test_records_of_a_stream_wait_for_their_reader_when_the_engine_was_down_for_long(tmp_path: Path) -> None:
    killed(
        tmp_path,
        """
create("mine", "S")
for number in range(5):
    call("PutItem", TableName="mine", Item={"pk": {"S": "p"}, "sk": {"S": str(number)}})
storage.positions.set("function", dynamodb._tables["mine"]["LatestStreamArn"], 3)
""",
    )
    [waiting, at_once, day_later] = killed(
        tmp_path,
        """
left = lambda: [record["dynamodb"]["Keys"]["sk"]["S"] for record in dynamodb.stream_live_records("mine")]
now, up = time.time(), time.monotonic()
dynamodb_storage.time = type("Clock", (), {"time": lambda: now + 30 * 3600, "monotonic": lambda: up})
print(json.dumps([left(), dynamodb.stream_start_position("mine"), dynamodb.stream_end_position("mine")]))
call("PutItem", TableName="mine", Item={"pk": {"S": "p"}, "sk": {"S": "5"}})
print(json.dumps([record["dynamodb"]["Keys"]["sk"]["S"] for record in dynamodb.stream_records_since("mine", 3, 9)]))
up += 25 * 3600
print(json.dumps([left(), dynamodb.stream_end_position("mine")]))
""",
    )
    assert waiting == [["3", "4"], 3, 5]
    assert at_once == ["3", "4", "5"]
    assert day_later == [[], 6]


def test_a_write_that_fails_leaves_memory_and_file_as_they_were(tmp_path: Path) -> None:
    [failed, seen, count, records, again] = killed(
        tmp_path,
        """
create("mine", "S")
put = lambda *sks: call("BatchWriteItem", RequestItems={"mine": [
    {"PutRequest": {"Item": {"pk": {"S": "p"}, "sk": {"S": sk}, "g": {"S": "u"}}}} for sk in sks]})
put("1")
append = dynamodb_file.Records.append
def full(records, record):
    append(records, record)
    raise sqlite3.OperationalError("database or disk is full")
import sqlite3
dynamodb_file.Records.append = full
print(json.dumps(put("2", "3")[0]))
dynamodb_file.Records.append = append
print(json.dumps([item["sk"]["S"] for item in call("Scan", TableName="mine")[1]["Items"]]))
print(json.dumps(call("DescribeTable", TableName="mine")[1]["Table"]["ItemCount"]))
print(json.dumps(len(dynamodb.stream_live_records("mine"))))
put("4")
print(json.dumps(call("Scan", TableName="mine", IndexName="by-g", Select="COUNT")[1]["Count"]))
""",
    )
    assert (failed, seen, count, records, again) == (500, ["1"], 1, 1, 2)


def test_a_table_whose_deletion_cannot_be_written_is_still_there(tmp_path: Path) -> None:
    [failed, items, tables, end] = killed(
        tmp_path,
        """
import sqlite3
create("mine", "S")
call("PutItem", TableName="mine", Item={"pk": {"S": "p"}, "sk": {"S": "1"}})
class Full:
    def __getattr__(self, name):
        return getattr(connection, name)
    def execute(self, statement, *given):
        if statement == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return connection.execute(statement, *given)
connection, storage.database._connection = storage.database._connection, Full()
print(json.dumps([call("DeleteTable", TableName="mine"), call("CreateTable", TableName="other",
    BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}])]))
storage.database._connection = connection
print(json.dumps([item["sk"]["S"] for item in call("Scan", TableName="mine")[1]["Items"]]))
print(json.dumps(call("ListTables")[1]["TableNames"]))
call("PutItem", TableName="mine", Item={"pk": {"S": "p"}, "sk": {"S": "2"}})
print(json.dumps(dynamodb.stream_end_position("mine")))
""",
    )
    assert [status for status, _ in failed] == [500, 500]
    assert "cannot be written (database or disk is full)" in failed[0][1]["message"]
    assert (items, tables, end) == (["1"], ["mine"], 2)


def test_the_file_of_the_first_release_goes_on(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "dynamodb.sqlite")) as written:
        written.executescript((STATES / "dynamodb-1.sql").read_text())
    [described, items, found, waiting, position, left, number] = killed(
        tmp_path,
        DESCRIBE
        + """
print(json.dumps(describe("mine")))
print(json.dumps([[item["pk"]["S"], item["sk"]["N"]] for item in call("Scan", TableName="mine")[1]["Items"]]))
print(json.dumps([item["sk"]["N"] for item in call("Query", TableName="mine", IndexName="by-g",
    KeyConditionExpression="g = :g", ExpressionAttributeValues={":g": {"S": "u"}})[1]["Items"]]))
print(json.dumps([record["eventName"] for record in dynamodb.stream_records_since("mine", 3, 9)]))
print(json.dumps(storage.positions.get("function", dynamodb._tables["mine"]["LatestStreamArn"])))
dynamodb._usched_reap(100.0)
print(json.dumps(call("DescribeTable", TableName="mine")[1]["Table"]["ItemCount"]))
call("DeleteItem", TableName="mine", Key={"pk": {"S": "Z\u00fcrich"}, "sk": {"N": "2"}})
print(json.dumps(dynamodb.stream_end_position("mine")))
""",
    )
    assert described[1][1]["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    assert described[2][1]["Tags"] == [{"Key": "owner", "Value": "me"}]
    assert items == [["Zürich", "-1"], ["Zürich", "2"], ["Zürich", "10"], ["q", "1"]]
    assert found == ["-1", "2", "10"]
    assert (waiting, position, left, number) == (["INSERT"], 3, 3, 5)


def test_the_file_of_a_later_release_is_refused(tmp_path: Path) -> None:
    killed(tmp_path, 'create("mine", "S")')
    with closing(sqlite3.connect(tmp_path / "dynamodb.sqlite")) as file:
        file.execute("PRAGMA user_version = 99")
    command = [sys.executable, "-c", START, "ours", "1", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "dynamodb.sqlite is from a later release of usched (version 99; this release knows 1)" in done.stderr


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
