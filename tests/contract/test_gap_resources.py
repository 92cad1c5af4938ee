"""What users make beside the template is on disk, and the engine starts whatever it finds there."""

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

from universal_scheduler.local.gaps import resources

START = """
import asyncio, json, os, signal, sys
from pathlib import Path

from universal_scheduler.local.gaps import resources
from universal_scheduler.local.state import Safety, State
from ministack import app
from ministack.services import sns, ssm

restore = resources.apply(State(Path(sys.argv[1]), Safety.PROCESS), ()) if sys.argv[1] != "stock" else lambda: None


async def asked(*calls):
    answers = []
    for service, action, request in calls:
        if service == "sns":
            form = "&".join([f"Action={action}", *(f"{key}={value}" for key, value in request.items())])
            headers = {"content-type": "application/x-www-form-urlencoded"}
            answer = await app.SERVICE_HANDLERS["sns"]("POST", "/", headers, form.encode(), {})
        else:
            headers = {"x-amz-target": f"AmazonSSM.{action}"}
            answer = await app.SERVICE_HANDLERS["ssm"]("POST", "/", headers, json.dumps(request).encode(), {})
        answers.append([answer[0], answer[2].decode() if isinstance(answer[2], bytes) else answer[2]])
    return answers


def call(*calls):
    return asyncio.run(asked(*calls))


kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
say = lambda *what: print(json.dumps(what), flush=True)
template = lambda: call(("sns", "CreateTopic", {"Name": "template"}))
topics = lambda: sorted(arn.rpartition(":")[2] for arn in sns._topics)
"""


def run(script: str, *arguments: object) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def rows(folder: Path) -> list[Any]:
    with closing(sqlite3.connect(folder / "resources.sqlite")) as file:
        return file.execute("SELECT service, store, key FROM resources").fetchall()


def test_what_was_made_is_there_after_a_kill_and_what_was_removed_is_not(tmp_path: Path) -> None:
    made = """
template()
restore()
call(("sns", "CreateTopic", {"Name": "mine"}), ("sns", "CreateTopic", {"Name": "gone"}))
gone = next(arn for arn in sns._topics if arn.endswith("gone"))
parameter = {"Name": "/p", "Value": "1", "Type": "String"}
call(("sns", "DeleteTopic", {"TopicArn": gone}), ("ssm", "PutParameter", parameter))
kill()
"""
    run(START + made, tmp_path)
    parameter = 'call(("ssm", "GetParameter", {"Name": "/p"}))[0][0]'
    assert run(f"{START}template(); restore(); say(topics(), {parameter})", tmp_path) == [[["mine", "template"], 200]]
    assert run(f"{START}restore(); say(topics())", tmp_path) == [[["mine"]]], "the template's topic is the template's"


def test_ministack_alone_forgets() -> None:
    """The gap: this fails when upstream writes what it answers."""
    run(START + "call(('sns', 'CreateTopic', {'Name': 'mine'})); kill()", "stock")
    assert run(START + "say(topics())", "stock") == [[[]]]


def test_what_a_service_cannot_read_keeps_no_engine_from_starting_and_is_not_lost(tmp_path: Path) -> None:
    run(START + "restore(); call(('sns', 'CreateTopic', {'Name': 'mine'}))", tmp_path)
    with closing(sqlite3.connect(tmp_path / "resources.sqlite")) as file, file:
        file.execute("INSERT INTO resources VALUES ('ssm', 'parameters', 'no key at all', '{}')")
    before = rows(tmp_path)
    more = "call(('sns', 'CreateTopic', {'Name': 'more'})); say(topics())"
    assert run(f"{START}restore(); {more}", tmp_path) == [[["mine", "more"]]]
    assert set(before) < set(rows(tmp_path))


def test_a_change_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    script = """
restore()
file = app.SERVICE_HANDLERS["sns"].__closure__
resource = next(cell.cell_contents for cell in file if isinstance(cell.cell_contents, resources.Resources))
resource._file._connection.execute("PRAGMA max_page_count = 1")
value = "x" * 4000
say(call(*[("ssm", "PutParameter", {"Name": f"/{n}", "Value": value, "Type": "String"}) for n in range(4)])[-1])
"""
    [[[status, body]]] = run(START + script, tmp_path)
    assert status == 503
    assert "Look at the disk" in body


@pytest.mark.parametrize(
    ("method", "path", "action", "changes"),
    [
        ("POST", "/", "CreateTopic", True),
        ("POST", "/", "PutRule", True),
        ("POST", "/", "SignUp", True),
        ("POST", "/", "VerifyEmailIdentity", True),
        ("POST", "/", "Publish", False),
        ("POST", "/", "PutEvents", False),
        ("POST", "/", "DescribeStacks", False),
        ("POST", "/", "GenerateDataKeyWithoutPlaintext", False),
        ("POST", "/2015-03-31/functions", None, True),
        ("POST", "/2015-03-31/functions/f/invocations", None, False),
        ("PUT", "/restapis/a", None, True),
        ("GET", "/restapis/a", None, False),
    ],
)
def test_which_calls_may_change_something(method: str, path: str, action: str | None, changes: bool) -> None:
    target = {"x-amz-target": f"Any.{action}"} if action else {}
    assert resources._may_change(method, path, target, b"", {}) is changes
    if action:
        form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        assert resources._may_change(method, path, form, f"Action={action}&Version=1".encode(), {}) is changes
        assert resources._may_change(method, path, {}, b"", {"Action": [action]}) is changes
