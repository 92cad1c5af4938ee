"""Random JSON at every door: it is refused with a path, the same everywhere, or it describes a run that ends."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.doors import ACCEPTED, Doors, could_be_a_row, document_of
from tests.rest_api import call
from tests.usched import Stage
from universal_scheduler.domain.documents.message import KEYS, OF_THE_SCHEDULER
from universal_scheduler.domain.documents.parse import SINGLE_JOB_KEYS, as_row

DEPTHS = (30, 33, 40, 200, 1000, 3000)
JOB = {"jobName": "a", "jobQueue": "q", "jobDefinition": "d", "containerOverrides": {"command": ["true"]}}
WHOLE: dict[str, Any] = {
    "scheduleId": "whole",
    "description": "everything",
    "wait_time": 5,
    "maxConcurrentJobs": 3,
    "timezone": "Europe/Zurich",
    "mustEndBy": "06:30",
    "maxDuration": "PT1H",
    "scheduleStatus": " ",
    "parameters": {"day": "2026-01-06", "n": 1.5, "yes": True},
    "notifications": [{"on": ["run_failed"], "sns": "arn:aws:sns:us-east-1:123456789012:topic"}],
    "jobList": [
        {**JOB, "parameters": {"p": "v"}, "retryStrategy": {"attempts": 2}, "timeout": {"attemptDurationSeconds": 60}},
        {**JOB, "jobName": "b", "jobDependencies": ["a"], "arrayProperties": {"size": 3}, "runWhen": "all_done"},
        {**JOB, "jobName": "c", "forEach": ["x", 2], "jobDependencies": [{"job": "a", "status": "FAILED"}]},
        {**JOB, "jobName": "e", "optional": True, "priority": 3, "notBefore": "2026-11-21T06:00:00+01:00"},
    ],
}
MESSAGE: dict[str, Any] = {
    "scheduleId": "stored",
    "parameters": {"day": "2026-01-06"},
    "scheduleStatus": "RESTART",
    "startDateTime": "2026-11-21T06:00:00.123456",
    "from": ["a"],
    "skip": ["b:1,2"],
    "definition": "newest",
}
WORDS = [
    *("", " ", "a", "RESTART", "restart", "{{run.parameters.day}}", "{{jobs.a.output.x}}", "{{", "P1D", "08:00"),
    *("\ud83d", "\ude00x", "\x00", "\n", "\u2028", "\ufeff", "\ufffe", "\x7f", "é漢😀", "a\u0301", "\u202e"),
    *("'", '"', "\\", "$.x", "#set($a=1)", "${x}", "<&>", "\U0010ffff", "s3://b/k"),
    *("a" * 129, "b" * 5_000, "漢" * 30_000, "x" * 210_000),
]
NUMBERS = [
    *(0, -1, 1, 7, 10**20, 2**63, 10**37 + 1, 10**43 + 1, -(10**126), 0.0, -0.0, 3.0, 1.5),
    *(1e-130, 1e-200, 1e125, 1e308, 0.1234567890123456789, float("nan"), float("inf"), float("-inf")),
]
KEYS_OF_ALL = [*WHOLE, *JOB, *KEYS, *OF_THE_SCHEDULER, "name", "input", "output", "size", "attempts", "scheduleErrors"]


def value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(8 if depth < 4 else 5)
    match kind:
        case 0:
            return chance.choice([None, True, False])
        case 1 | 2:
            return chance.choice(NUMBERS)
        case 3 | 4:
            return chance.choice(WORDS)
        case 5 | 6:
            return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
        case _:
            return {key(chance): value(chance, depth + 1) for _ in range(chance.randrange(4))}


def key(chance: random.Random) -> str:
    return chance.choice(KEYS_OF_ALL if chance.random() < 0.7 else WORDS)


def changed(chance: random.Random, document: dict[str, Any]) -> Any:
    """The document with one to three of its values changed, taken out, doubled or added to."""
    made = {"": copy.deepcopy(document)}
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        places: list[tuple[Any, Any]] = []
        ahead: list[Any] = [made]
        while ahead:
            holder = ahead.pop()
            for place, inner in holder.items() if isinstance(holder, dict) else enumerate(holder):
                places.append((holder, place))
                if isinstance(inner, dict | list):
                    ahead.append(inner)
        holder, place = chance.choice(places)
        match chance.randrange(5):
            case 0 if holder is not made:
                del holder[place]
            case 1 if isinstance(holder[place], dict):
                holder[place][key(chance)] = value(chance)
            case 2 if isinstance(holder[place], list) and holder[place]:
                holder[place].append(copy.deepcopy(chance.choice(holder[place])))
            case _:
                holder[place] = value(chance)
    return made[""]


def text_of(chance: random.Random, document: Any) -> str:
    """As JSON, often; else as something that is nearly JSON."""
    text = json.dumps(document, ensure_ascii=chance.random() < 0.7)
    text = text.encode(errors="replace").decode()
    match chance.randrange(12):
        case 0:
            return text[: chance.randrange(len(text) + 1)]
        case 1:
            place = chance.randrange(len(text) + 1)
            return text[:place] + chance.choice('{}[]",:\\\x00e1 ') + text[place:]
        case 2:
            depth, bracket = chance.choice(DEPTHS), chance.choice(["[]", '{"a":}'])
            deep = bracket[:-1] * depth + ("1" if len(bracket) > 2 else "") + bracket[-1] * depth
            return text[:-1] + f', "parameters": {{"deep": {deep}}}}}' if text.endswith("}") else deep
        case _:
            return text


def is_document(text: str) -> bool:
    """Whether `POST /executions` takes it for a document, and for nothing but one."""
    document = document_of(text)
    if not isinstance(document, dict) or document.keys() & {*OF_THE_SCHEDULER, "name", "input", "stateMachineArn"}:
        return False
    inner = document["output"] if isinstance(document.get("output"), dict) else document
    if inner.get("scheduleStatus") == "RESTART":
        return False
    return "jobList" in inner or document.keys() >= SINGLE_JOB_KEYS


def is_key(schedule_id: object) -> bool:
    return isinstance(schedule_id, str) and 0 < len(schedule_id) < 600


def judged(doors: Doors, text: str) -> None:
    """Every door that it can go through gives the same verdict, or says that it is too large for this door."""
    verdicts = doors.by_request(text)
    by_file = doors.by_command("simulate", doors.file("random.json", text))
    if not text.lstrip().startswith("["):  # a file may have a list of documents
        verdicts["simulate"] = by_file
    document = document_of(text)
    if could_be_a_row(document) and is_key(document.get("scheduleId")):
        verdicts["row"] = doors.by_row(as_row(document))
    if document is not None:
        message = doors.by_message(document)
        if is_document(text):
            verdicts["message"] = message
    if not is_document(text):
        del verdicts["executions"]
    told = {door: verdict for door, verdict in verdicts.items() if verdict != ("$ 413",)}
    assert len(set(told.values())) <= 1, (verdicts, text[:2000])


def nearly_a_schedule(chance: random.Random) -> Any:
    return changed(chance, WHOLE)


def check_documents(doors: Doors, made: Callable[[random.Random], Any], seed: int, count: int) -> None:
    chance = random.Random(seed)
    for _ in range(count):
        judged(doors, text_of(chance, made(chance)))


def check_start_messages(doors: Doors, stage: Stage, seed: int, count: int) -> None:
    stage.store.put_schedule(WHOLE | {"scheduleId": "stored"})
    chance = random.Random(seed)
    for _ in range(count):
        text = text_of(chance, changed(chance, MESSAGE))
        by_request = doors.by_request(text)["executions"]
        document = document_of(text)
        around = {"name", "input", "stateMachineArn", *OF_THE_SCHEDULER}
        if isinstance(document, dict) and not document.keys() & around:
            assert (doors.by_message(document) == ACCEPTED) <= (by_request == ACCEPTED), text


def attribute(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    """A DynamoDB attribute of any kind, as a stream has it: also those that JSON does not have."""
    number = "".join(chance.choice("0123456789") for _ in range(38))
    words = [word for word in WORDS if could_be_a_row({"x": word}) and word.isascii()]
    match chance.randrange(10 if depth < 3 else 8):
        case 0:
            return {"NULL": True}
        case 1:
            return {"BOOL": chance.random() < 0.5}
        case 2:
            return {"N": chance.choice([number, f"0.{number}", f"-{number}E+80", "1E-130", "1", "3.0", "9.99E+125"])}
        case 3 | 4:
            return {"S": chance.choice(words)}
        case 5:
            return {"B": chance.choice(["", "aGVsbG8=", "!", "eJw="])}
        case 6:
            return {"SS": ["a", "b"]}
        case 7:
            return chance.choice([{"NS": ["1", number]}, {"BS": ["aGVsbG8="]}])
        case 8:
            return {"L": [attribute(chance, depth + 1) for _ in range(chance.randrange(4))]}
        case _:
            return {"M": {chance.choice(KEYS_OF_ALL): attribute(chance, depth + 1) for _ in range(chance.randrange(4))}}


def check_rows(doors: Doors, seed: int, count: int) -> None:
    chance = random.Random(seed)
    for _ in range(count):
        item = {chance.choice([*KEYS_OF_ALL, "jobListCompressed"]): attribute(chance) for _ in range(6)}
        assert doors.by_item(item | {"scheduleId": {"S": chance.choice(["a", "b c", "é", "x" * 600])}}) != ACCEPTED


def check_routes(doors: Doors, seed: int, count: int) -> None:
    chance = random.Random(seed)
    for _ in range(count):
        word = quote(chance.choice(WORDS), safe=chance.choice(["", "'$&+,;=:@"]), errors="replace")
        method = chance.choice(["GET", "DELETE", "PUT", "POST"])
        route = chance.choice(["executions", "schedules", "submitJob", word])
        assert call(doors.api, method, f"/api/v1/{route}/{word}").status < 500
        job = changed(chance, {"jobName": "a", "jobQueue": "high", "jobDefinition": "shell", "parameters": {"a": "b"}})
        assert call(doors.api, "POST", "/api/v1/submitJob", text_of(chance, job)).status < 500
