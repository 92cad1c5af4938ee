"""The embedded engine's queues are on disk: what was answered is there after kill -9, and what failed is nowhere."""

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

START = """
import asyncio, json, os, random, signal, sys, time
from pathlib import Path

from universal_scheduler.local.gaps import queue_mappings, queue_storage
from universal_scheduler.local.state import Safety, State
from ministack.services import lambda_svc, sqs

queue_mappings.apply()
if sys.argv[1] != "stock":
    restore, _ = queue_storage.apply(State(Path(sys.argv[1]), Safety.PROCESS))


def call(action, queue=None, **request):
    headers = {"x-amz-target": f"AmazonSQS.{action}"}
    request |= {"QueueUrl": sqs._queue_url(queue)} if queue else {}
    status, _, body = asyncio.run(sqs.handle_request("POST", "/", headers, json.dumps(request).encode(), {}))
    return status, json.loads(body)


def made(name, **attributes):
    status, answer = call("CreateQueue", QueueName=name, Attributes=attributes)
    assert status == 200, answer


def dump():
    return [
        [url.rpartition("/")[2], {key: value for key, value in queue.items() if key != "messages"},
         [{key: value for key, value in message.items() if key != "row"} for message in queue["messages"]]]
        for url, queue in sorted(sqs._queues.items())
    ]


def templates():
    made("template")


def restored():
    templates()
    restore()


kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
say = lambda *what: print(json.dumps(what), flush=True)
"""

USERS = """
restored()
made("dead.fifo", FifoQueue="true")
dead = sqs._queues[sqs._queue_url("dead.fifo")]["attributes"]["QueueArn"]
made("first.fifo", FifoQueue="true", ContentBasedDeduplication="true", VisibilityTimeout="0",
     RedrivePolicy=json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 2}))
made("lost")
made("dead")
made("mine", VisibilityTimeout="0", RedrivePolicy=json.dumps({"deadLetterTargetArn": dead[:-5], "maxReceiveCount": 2}))
"""

PLAY = (
    START
    + USERS
    + """
rng = random.Random(int(sys.argv[2]))
handles = {name: [] for name in ("template", "mine", "first.fifo")}
SEEN = {"MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]}


def entry(queue):
    fifo = {"MessageGroupId": rng.choice("gh")} if queue == "first.fifo" else rng.choice([{}, {"DelaySeconds": 1}])
    return fifo | {
        "MessageBody": rng.choice(["ä", "\\U0001f600", "b", "c", "d"]) * rng.randint(1, 3),
        "MessageAttributes": rng.choice([{}, {"n": {"DataType": "Number", "StringValue": "1.50"}}]),
    }


def step():
    queue = rng.choice(list(handles))
    some = [{"Id": str(at), "ReceiptHandle": handle} for at, handle in enumerate(handles[queue][-3:])] or [
        {"Id": "0", "ReceiptHandle": "nobody's"}]
    match rng.randrange(12):
        case 0 | 1 | 2:
            return call("SendMessage", queue, **entry(queue))
        case 3 | 4:
            entries = [entry(queue) | {"Id": str(at)} for at in range(rng.randint(1, 4))]
            return call("SendMessageBatch", queue, Entries=entries)
        case 5 | 6 | 7:
            answer = call("ReceiveMessage", queue, **SEEN, **rng.choice([{}, {"VisibilityTimeout": 60}]))
            handles[queue] += [message["ReceiptHandle"] for message in answer[1].get("Messages", ())]
            return answer
        case 8:
            return call("DeleteMessage", queue, ReceiptHandle=some[0]["ReceiptHandle"])
        case 9:
            return call("DeleteMessageBatch", queue, Entries=some)
        case 10:
            entries = [it | {"VisibilityTimeout": rng.choice([0, 100])} for it in some]
            return call("ChangeMessageVisibilityBatch", queue, Entries=entries)
        case 11:
            if rng.random() < 0.2:
                return call("PurgeQueue", queue)
            sqs._delete_messages_for_esm(
                sqs._queue_url(queue),
                {message["receipt_handle"] for message in sqs._receive_messages_for_esm(sqs._queue_url(queue), 2)},
            )


for _ in range(rng.randint(20, 120)):
    step()
call("TagQueue", "mine", Tags={"owner": "me"})
call("SetQueueAttributes", "mine", Attributes={"DelaySeconds": "3"})
call("DeleteQueue", "lost")
call("GetQueueAttributes", "mine")
say(dump())
kill()
"""
)


def run(script: str, *arguments: object) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("seed", range(8))
def test_what_was_answered_is_there_after_kill(tmp_path: Path, seed: int) -> None:
    [[before]] = run(PLAY, tmp_path, seed)
    [[after]] = run(START + "restored(); call('GetQueueAttributes', 'mine'); say(dump())", tmp_path)
    counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed", "LastModifiedTimestamp")
    counts += ("ApproximateNumberOfMessagesNotVisible", "CreatedTimestamp")
    for _, queue, _ in (*before, *after):
        for name in counts:
            queue["attributes"].pop(name, None)
    assert [name for name, _, _ in after] == ["dead", "dead.fifo", "first.fifo", "mine", "template"]
    assert after == before


def test_ministack_alone_forgets() -> None:
    """The gap: this fails when upstream writes what it answers."""
    lines = run(START + "templates(); call('SendMessage', 'template', MessageBody='m'); say(); kill()", "stock")
    assert lines == [[]]
    assert run(START + "templates(); say(len(sqs._queues[sqs._queue_url('template')]['messages']))", "stock") == [[0]]


def test_a_repeated_message_of_a_fifo_queue_is_the_same_one_after_a_kill_too(tmp_path: Path) -> None:
    send = "say(call('SendMessage', 'first.fifo', MessageBody='m', MessageGroupId='g')[1]); "
    [[first]] = run(
        f"{START}{USERS}\n{send}\n"
        "sqs._delete_messages_for_esm(sqs._queue_url('first.fifo'), "
        "{it['receipt_handle'] for it in sqs._receive_messages_for_esm(sqs._queue_url('first.fifo'), 1)})\nkill()",
        tmp_path,
    )
    [[again], [left]] = run(f"{START}restored(); {send}say(len(dump()[2][2]))", tmp_path)
    assert again == first
    assert left == 0
    [[later]] = run(START + "restored(); " + send.replace("='m'", "='n'"), tmp_path)
    assert later["SequenceNumber"] > first["SequenceNumber"]


def test_what_a_function_had_in_hand_is_there_at_once_for_the_next_engine(tmp_path: Path) -> None:
    """The functions end with the engine: nobody handles these messages any more."""
    take = "sqs._receive_messages_for_esm(sqs._queue_url('template'), 10)"
    counts = f"say([(it['body'], it['receive_count']) for it in {take}])"
    send = "call('SendMessage', 'template', MessageBody='done'); call('SendMessage', 'template', MessageBody='failed')"
    [[taken]] = run(
        f"""{START}
restored()
{send}
lambda_svc._execute_function = lambda function, event: {{
    "body": {{"batchItemFailures": [{{"itemIdentifier": event["Records"][1]["messageId"]}}]}}}}
batch = {take}
event = {{"Records": [{{"messageId": message["id"]}} for message in batch]}}
mapping = {{"UUID": "any", "FunctionResponseTypes": ["ReportBatchItemFailures"]}}
lambda_svc._run_sqs_batch(mapping, {{}}, event, batch, sqs._queue_url("template"), "template")
call("SendMessage", "template", MessageBody="in hand")
{counts}
kill()
""",
        tmp_path,
    )
    assert taken == [["in hand", 1]]
    [[taken], [left]] = run(f"{START}restored(); {counts}; say([m['body'] for m in dump()[0][2]])", tmp_path)
    assert taken == [["in hand", 1]]
    assert left == ["failed", "in hand"], "the one that failed comes back when it is visible again"


def test_queues_that_the_template_has_no_longer_are_unseen_and_not_lost(tmp_path: Path) -> None:
    run(START + "made('old'); restored(); call('SendMessage', 'old', MessageBody='kept')", tmp_path)
    [names] = run(START + "restored(); say(*[name for name, _, _ in dump()])", tmp_path)
    assert names == ["template"]
    [[bodies]] = run(START + "made('old'); restored(); say([m['body'] for m in dump()[0][2]])", tmp_path)
    assert bodies == ["kept"]


def test_a_queue_that_cannot_be_written_takes_nothing_and_goes_on_later(tmp_path: Path) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html"""
    small = """
restored()
made("first.fifo", FifoQueue="true", ContentBasedDeduplication="true")
storage = sqs._queues[sqs._queue_url('template')].storage
pages = storage._connection.execute("PRAGMA page_count").fetchone()[0]
storage._connection.execute(f"PRAGMA max_page_count = {pages + 40}")
answered = []
many = lambda at: [
    {"Id": str(n), "MessageBody": f"{at}.{n} " + "x" * 3000, "MessageGroupId": str(n)} for n in range(10)]
for at in range(100):
    status, answer = call("SendMessageBatch", "first.fifo", Entries=many(at))
    if status != 200:
        break
    answered += [it["MessageId"] for it in answer["Successful"]]
here = lambda: [m["id"] for m in sqs._queues[sqs._queue_url("first.fifo")]["messages"]]
say(status, answer, here() == answered, len(answered) > 20)
storage._connection.execute("PRAGMA max_page_count = 1000000")
status, answer = call("SendMessageBatch", "first.fifo", Entries=many(at))
answered += [it["MessageId"] for it in answer["Successful"]]
say(status, len(answer["Successful"]), here() == answered, here())
kill()
"""
    [[status, answer, nothing, several], [*later, before]] = run(START + small, tmp_path)
    assert (status, nothing, several) == (503, True, True), answer
    assert answer["__type"].endswith("ServiceUnavailable")
    assert "Look at the disk" in answer["message"]
    assert later == [200, 10, True]
    [[after]] = run(START + "restored(); say([m['id'] for m in dump()[0][2]])", tmp_path)
    assert after == before


def test_who_sends_an_event_hears_that_a_queue_cannot_take_it(tmp_path: Path) -> None:
    script = """
from universal_scheduler.local.gaps import invocations
from ministack.services import eventbridge, sns

invocations.apply(State())
restored()
made("mine")
arn = sqs._queues[sqs._queue_url("mine")]["attributes"]["QueueArn"]


def asked(module, action, **request):
    headers = {"x-amz-target": f"AWSEvents.{action}"}
    return asyncio.run(module.handle_request("POST", "/", headers, json.dumps(request).encode(), {}))


def told(call):
    try:
        return call()[0]
    except Exception as error:
        return type(error).__name__, getattr(error, "status", None)


asked(eventbridge, "PutRule", Name="r", EventPattern=json.dumps({"source": ["s"]}))
asked(eventbridge, "PutTargets", Rule="r", Targets=[{"Id": "q", "Arn": arn}])
topic = sns._create_topic({"Name": ["t"]})
topic_arn = next(iter(sns._topics))
sns._topics[topic_arn]["subscriptions"].append(
    {"arn": "a", "protocol": "sqs", "endpoint": arn, "confirmed": True, "attributes": {}})
storage = sqs._queues[sqs._queue_url("mine")].storage
entry = {"Source": "s", "DetailType": "d", "Detail": json.dumps({"x": "x" * 100_000})}
send = lambda: asked(eventbridge, "PutEvents", Entries=[entry])
publish = lambda: (200 if sns._fanout(topic_arn, "id", "x" * 100_000, "") is None else 0,)
pages = storage._connection.execute("PRAGMA page_count").fetchone()[0]
storage._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
say(told(send), told(publish), len(sqs._queues[sqs._queue_url("mine")]["messages"]))
storage._connection.execute("PRAGMA max_page_count = 1000000")
say(told(send), told(publish), len(sqs._queues[sqs._queue_url("mine")]["messages"]))
"""
    refused, taken = run(START + script, tmp_path)
    assert refused == [["_Err", 503], ["_Err", 503], 0]
    assert taken == [200, 200, 2]


FIRST_RELEASE = r"""
CREATE TABLE queues (
    id INTEGER PRIMARY KEY, arn TEXT NOT NULL UNIQUE, url TEXT NOT NULL, last_sequence INTEGER NOT NULL DEFAULT 0,
    definition TEXT
);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, sent_at REAL NOT NULL, visible_at REAL NOT NULL,
    receive_count INTEGER NOT NULL, first_receive_at REAL, receipt_handle TEXT, rest TEXT NOT NULL
);
CREATE INDEX messages_of_queue ON messages (queue);
CREATE TABLE sent (queue INTEGER NOT NULL, key TEXT NOT NULL, expires REAL NOT NULL, answer TEXT NOT NULL,
    PRIMARY KEY (queue, key)) WITHOUT ROWID;
INSERT INTO queues VALUES
    (1, 'arn:aws:sqs:us-east-1:000000000000:template', 'http://localhost:4566/000000000000/template', 0, NULL),
    (2, 'arn:aws:sqs:us-east-1:000000000000:mine.fifo', 'http://localhost:4566/000000000000/mine.fifo', 7,
     '{"name": "mine.fifo", "url": "http://localhost:4566/000000000000/mine.fifo", "is_fifo": true, "attributes":
       {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:mine.fifo", "CreatedTimestamp": "1795643898",
        "LastModifiedTimestamp": "1795643898", "VisibilityTimeout": "30", "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600", "DelaySeconds": "0", "ReceiveMessageWaitTimeSeconds": "0",
        "FifoQueue": "true", "ContentBasedDeduplication": "true"}, "tags": {"owner": "me"}}');
INSERT INTO messages VALUES
    (5, 2, strftime('%s'), strftime('%s'), 1, 1795643898.25, 'a-handle',
     '{"id": "i", "body": "\u00e4", "md5_body": "8419b71c87a225a2c70b50486fbee545", "md5_attrs": null,
       "message_attributes": {}, "sys": {"SenderId": "000000000000", "SentTimestamp": "1795643898172"},
       "group_id": "g", "dedup_id": "d", "dedup_cache_key": "d", "seq": "00000000000000000007"}');
INSERT INTO sent VALUES
    (2, 'd', strftime('%s') + 200, '{"expire": 4000000000.5, "id": "i", "md5": "8419", "md5a": null, "seq": "7"}');
PRAGMA user_version = 1;
"""


def test_the_file_of_the_first_release_goes_on(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "queues.sqlite")) as written:
        written.executescript(FIRST_RELEASE)
    script = """
restored()
say(call("ListQueueTags", "mine.fifo")[1])
say(call("SendMessage", "mine.fifo", MessageBody="again", MessageGroupId="g", MessageDeduplicationId="d")[1])
[message] = call("ReceiveMessage", "mine.fifo", MessageSystemAttributeNames=["All"])[1]["Messages"]
say(message["Body"], message["Attributes"]["ApproximateReceiveCount"], message["Attributes"]["SequenceNumber"])
say(call("SendMessage", "mine.fifo", MessageBody="next", MessageGroupId="g")[1]["SequenceNumber"])
"""
    [tags], [repeated], message, [next_one] = run(START + script, tmp_path)
    assert tags == {"Tags": {"owner": "me"}}
    assert repeated["MessageId"] == "i"
    assert message == ["ä", "2", "00000000000000000007"]
    assert next_one == "00000000000000000008"
