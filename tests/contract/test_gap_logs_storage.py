"""The embedded engine's CloudWatch Logs keeps streams and lines on disk, and answers as ministack does."""

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
import asyncio, json, random, sys
from pathlib import Path

if sys.argv[1] != "stock":
    from universal_scheduler.local.gaps import logs_storage
    from universal_scheduler.local.state import Safety, State
    state = State(Path(sys.argv[3]), Safety.PROCESS) if len(sys.argv) > 3 else State()
    logs = logs_storage.apply(state)
from ministack.services import cloudwatch_logs


def call(action, **request):
    headers = {"x-amz-target": f"Logs_20140328.{action}"}
    body = json.dumps(request).encode()
    status, _, answer = asyncio.run(cloudwatch_logs.handle_request("POST", "/", headers, body, {}))
    return status, json.loads(answer or b"{}")
"""

PLAY = (
    START
    + """
rng = random.Random(int(sys.argv[2]))
GROUPS, STREAMS = ["g/one", "g/two"], [f"s{number}" for number in range(5)] + ["other", "s1/x"]
some = lambda items: rng.choice(items)
time = lambda: rng.randrange(1000, 1040)


def without(answer):
    # Times of this moment and ids differ from play to play.
    if isinstance(answer, dict):
        hidden = ("ingestionTime", "creationTime", "lastIngestionTime", "eventId")
        return {key: without(value) for key, value in answer.items() if key not in hidden}
    return [without(each) for each in answer] if isinstance(answer, (list, tuple)) else answer


def get():
    request = {"logGroupName": some(GROUPS), "logStreamName": some(STREAMS), "limit": some([1, 2, 5, 10000])}
    request |= {name: time() for name in ("startTime", "endTime") if rng.random() < 0.3}
    if rng.random() < 0.5:
        request["startFromHead"] = rng.random() < 0.7
    answers = []
    for _ in range(rng.randrange(1, 6)):
        answers.append(call("GetLogEvents", **request))
        if answers[-1][0] != 200:
            break
        request["nextToken"] = answers[-1][1][some(["nextForwardToken", "nextBackwardToken"])]
    return answers


for _ in range(700):
    group, stream = some(GROUPS), some(STREAMS)
    match rng.randrange(12):
        case 0:
            answer = call("CreateLogGroup", logGroupName=group, tags={"a": "b"})
        case 1 | 2:
            answer = call("CreateLogStream", logGroupName=group, logStreamName=stream)
        case 3 | 4 | 5:
            texts = [some(["ERROR a", "b c", "Zürich", ""]) for _ in range(rng.randrange(4))]
            events = [{"timestamp": time(), "message": text} for text in texts]
            answer = call("PutLogEvents", logGroupName=group, logStreamName=stream, logEvents=events)
        case 6 | 7:
            answer = get()
        case 8:
            request = {"logGroupName": group, "limit": some([1, 3, 10000])}
            request |= {name: time() for name in ("startTime", "endTime") if rng.random() < 0.4}
            if rng.random() < 0.5:
                request["logStreamNames"] = rng.sample(STREAMS, 2)
            request["filterPattern"] = some(["", "ERROR", "-b", "Zür"])
            answer = call("FilterLogEvents", **request)
            if "logStreamNames" not in request or len(answer[1].get("events", ())) < request["limit"]:
                # Of one time, ministack takes the streams in their order, and this the events in theirs.
                key = lambda event: json.dumps(event, sort_keys=True)
                found = answer[1].get("events")
                answer = (answer[0], sorted(without(found), key=key) if found and request["limit"] == 10000 else None)
            else:
                answer = None
        case 9:
            request = {"logGroupName": group, "limit": some([1, 2, 50])}
            request["orderBy"] = some(["LogStreamName", "LastEventTime"])
            request |= some([{}, {"descending": True}, {"logStreamNamePrefix": "s"}])
            answer = call("DescribeLogStreams", **request)
            if token := answer[1].get("nextToken"):
                answer = [answer, call("DescribeLogStreams", **request, nextToken=token)]
        case 10:
            answer = call("DescribeLogGroups")
        case _:
            if rng.random() < 0.3:
                answer = call("DeleteLogStream", logGroupName=group, logStreamName=stream)
            elif rng.random() < 0.1:
                answer = call("DeleteLogGroup", logGroupName=group)
            else:
                answer = call("ListTagsLogGroup", logGroupName=group)
    print(json.dumps(without(answer), sort_keys=True))
"""
)


def run(script: str, *arguments: str) -> list[Any]:
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_the_same_requests_are_answered_alike(seed: str) -> None:
    stock, ours = run(PLAY, "stock", seed), run(PLAY, "ours", seed)
    assert len(stock) == 700
    for mine, theirs in zip(ours, stock, strict=True):
        assert mine == theirs


def test_events_of_all_streams_come_in_the_order_of_time_and_can_be_asked_for_by_their_ids() -> None:
    [found, record, unknown] = run(
        START
        + """
call("CreateLogGroup", logGroupName="g")
for name, times in (("late", (5, 1)), ("early", (2, 3)), ("none", ())):
    call("CreateLogStream", logGroupName="g", logStreamName=name)
    lines = [{"timestamp": time, "message": f"{name} {time}"} for time in times]
    call("PutLogEvents", logGroupName="g", logStreamName=name, logEvents=lines)
events = call("FilterLogEvents", logGroupName="g", startTime=2)[1]["events"]
print(json.dumps([[event["logStreamName"], event["message"]] for event in events]))
print(json.dumps(call("GetLogRecord", logRecordPointer=events[1]["eventId"])[1]["logRecord"]))
print(json.dumps(call("GetLogRecord", logRecordPointer="0")))
""",
        "ours",
    )
    assert found == [["early", "early 2"], ["early", "early 3"], ["late", "late 5"]]
    assert (record["@message"], record["@logStream"], record["@log"]) == ("early 3", "early", "g")
    assert unknown[0] == 400


def test_a_query_finds_what_was_written() -> None:
    [rows] = run(
        START
        + """
call("CreateLogGroup", logGroupName="g")
call("CreateLogStream", logGroupName="g", logStreamName="s")
lines = [{"timestamp": second * 1000, "message": f"line {second}"} for second in (10, 20, 30)]
call("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=lines)
query = call("StartQuery", logGroupName="g", startTime=15, endTime=25, queryString="fields @message")[1]["queryId"]
print(json.dumps(call("GetQueryResults", queryId=query)[1]["results"]))
""",
        "ours",
    )
    assert [field["value"] for row in rows for field in row if field["field"] == "@message"] == ["line 20"]


def test_nothing_is_left_of_a_deleted_group() -> None:
    [before, after] = run(
        START
        + """
def rows():
    return [logs.one(f"SELECT count(*) FROM {name}", ()) for name in ("streams", "events")]

call("CreateLogGroup", logGroupName="g")
call("CreateLogStream", logGroupName="g", logStreamName="s")
call("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=[{"timestamp": 1, "message": "m"}])
print(json.dumps(rows()))
call("DeleteLogGroup", logGroupName="g")
print(json.dumps(rows()))
""",
        "ours",
    )
    assert (before, after) == ([1, 1], [0, 0])


def killed(folder: Path, script: str) -> list[Any]:
    """What a process prints that is killed after it has run this on the files of a folder."""
    kill = "\nsys.stdout.flush(); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    command = [sys.executable, "-c", START + script + kill, "ours", "1", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_killed_engine_leaves_groups_streams_and_lines_as_they_were(tmp_path: Path) -> None:
    look = """
print(json.dumps([call("DescribeLogGroups"), call("DescribeLogStreams", logGroupName="mine"),
    call("ListTagsLogGroup", logGroupName="mine"),
    call("GetLogEvents", logGroupName="mine", logStreamName="s", startFromHead=True)]))
"""
    [before] = killed(
        tmp_path,
        """
for name in ("mine", "gone"):
    call("CreateLogGroup", logGroupName=name, tags={"owner": "me"})
    call("CreateLogStream", logGroupName=name, logStreamName="s")
    call("PutLogEvents", logGroupName=name, logStreamName="s", logEvents=[{"timestamp": 1, "message": "first"}])
call("PutRetentionPolicy", logGroupName="mine", retentionInDays=7)
call("TagLogGroup", logGroupName="mine", tags={"cost": "low"})
call("DeleteLogGroup", logGroupName="gone")
"""
        + look,
    )
    [after, group, lines, record] = killed(
        tmp_path,
        look
        + """
from ministack.services.cloudformation import provisioners
provisioners._RESOURCE_HANDLERS["AWS::Logs::LogGroup"]["create"](
    "Group", {"LogGroupName": "mine", "RetentionInDays": 30}, "stack")
call("PutLogEvents", logGroupName="mine", logStreamName="s", logEvents=[{"timestamp": 2, "message": "second"}])
print(json.dumps(call("DescribeLogGroups")[1]["logGroups"][0]))
events = call("FilterLogEvents", logGroupName="mine")[1]["events"]
print(json.dumps([event["message"] for event in events]))
print(json.dumps(call("GetLogRecord", logRecordPointer=events[0]["eventId"])[1]["logRecord"]["@log"]))
""",
    )
    assert after == before
    assert [each["logGroupName"] for each in after[0][1]["logGroups"]] == ["mine"]
    assert after[2][1]["tags"] == {"owner": "me", "cost": "low"}
    assert group["retentionInDays"] == 30
    assert group["creationTime"] == before[0][1]["logGroups"][0]["creationTime"]
    assert (lines, record) == (["first", "second"], "mine")


def test_the_file_of_the_first_release_goes_on(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "logs.sqlite")) as written:
        written.executescript((Path(__file__).parents[1] / "states" / "logs-1.sql").read_text())
    [group, tags, lines, token] = killed(
        tmp_path,
        """
print(json.dumps(call("DescribeLogGroups")[1]["logGroups"][0]))
print(json.dumps(call("ListTagsLogGroup", logGroupName="mine")[1]["tags"]))
put = call("PutLogEvents", logGroupName="mine", logStreamName="s", logEvents=[{"timestamp": 3, "message": "third"}])
found = call("GetLogEvents", logGroupName="mine", logStreamName="s", startFromHead=True)[1]["events"]
print(json.dumps([event["message"] for event in found]))
print(json.dumps(put[1]["nextSequenceToken"]))
""",
    )
    assert (group["logGroupName"], group["retentionInDays"], group["storedBytes"]) == ("mine", 7, 11)
    assert (tags, lines, token) == ({"owner": "me"}, ["first", "Zürich", "third"], "3")


def test_lines_go_when_their_group_no_longer_keeps_them() -> None:
    shown = run(
        START
        + """
DAY = 86_400_000
def put(group, stream, *days):
    call("CreateLogGroup", logGroupName=group)
    call("CreateLogStream", logGroupName=group, logStreamName=stream)
    call("PutLogEvents", logGroupName=group, logStreamName=stream,
         logEvents=[{"timestamp": day * DAY, "message": str(day)} for day in days])
def show():
    names = [group["logGroupName"] for group in call("DescribeLogGroups")[1]["logGroups"]]
    print(json.dumps({f"{name}/{event['logStreamName']}/{event['message']}": 1
        for name in names for event in call("FilterLogEvents", logGroupName=name)[1]["events"]}))
put("week", "old", 1, 2), put("week", "both", 2, 9), put("ever", "old", 1), put("ever", "long", 1, 10)
logs_storage._SWEPT = 1
call("PutRetentionPolicy", logGroupName="week", retentionInDays=7)
logs.sweep(10 * DAY)
show()
streams = call("DescribeLogStreams", logGroupName="week")[1]["logStreams"]
print(json.dumps([stream["logStreamName"] for stream in streams]))
print(json.dumps(streams[0]["firstEventTimestamp"] // DAY))
logs.sweep(10 * DAY, days=8)
show()
logs.sweep(10 * DAY, most_length=2)
show()
""",
        "ours",
    )
    assert [set(each) if isinstance(each, dict) else each for each in shown] == [
        {"week/both/9", "ever/old/1", "ever/long/1", "ever/long/10"},
        ["both"],
        9,
        {"week/both/9", "ever/long/10"},
        {"ever/long/10"},
    ]
