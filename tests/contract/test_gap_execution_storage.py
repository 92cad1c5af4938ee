"""The embedded engine's executions are on disk: those that ran when it was killed go on where they were."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ENGINE = """
import asyncio, json, os, signal, sqlite3, sys, time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from universal_scheduler.local.gaps import execution_storage, step_functions
from universal_scheduler.local.state import Safety, State
from ministack.services import stepfunctions

continuation = execution_storage.apply(State(Path(sys.argv[1]), Safety.PROCESS))
step_functions.apply()
ARN = "arn:aws:states:us-east-1:123456789012:"
OTHER = json.dumps({"StartAt": "B", "States": {"B": {"Type": "Fail"}}})


def call(action, **request):
    headers = {"x-amz-target": f"AWSStepFunctions.{action}"}
    answer = stepfunctions.handle_request("POST", "/", headers, json.dumps(request).encode(), {})
    status, _, body = asyncio.run(answer)
    return json.loads(body) if status == 200 else json.loads(body)["__type"]


def machine(name, states, start="A", **more):
    definition = json.dumps({"StartAt": start, "States": states, **more})
    role = "arn:aws:iam::123456789012:role/r"
    answer = call("CreateStateMachine", name=name, definition=definition, roleArn=role)
    return answer["stateMachineArn"]


def start(machine, name, **value):
    return call("StartExecution", stateMachineArn=machine, name=name, input=json.dumps(value))["executionArn"]


def describe(execution):
    return call("DescribeExecution", executionArn=execution)


def history(execution):
    return call("GetExecutionHistory", executionArn=execution, maxResults=1000)["events"]


def until(condition):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError("it did not come")


def ended(execution):
    return until(lambda: (it := describe(execution))["status"] != "RUNNING" and it)


def task(activity):
    return until(lambda: call("GetActivityTask", activityArn=activity))


def worker(name="work"):
    arn = f"{ARN}activity:{name}"
    call("CreateActivity", name=name)
    return arn


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def say(*what):
    print(json.dumps(what), flush=True)


def work(next=None, name="work", **more):
    return {"Type": "Task", "Resource": f"{ARN}activity:{name}", **({"Next": next} if next else {"End": True}), **more}
"""

Play = Callable[[str], list[Any]]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a script in the engine's process until it ends or kills itself; what it said."""

    def played(script: str) -> list[Any]:
        command = [sys.executable, "-c", ENGINE + script, str(tmp_path)]
        environment = {
            "MINISTACK_ACCOUNT_ID": "123456789012",
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
        assert ran.returncode in (0, -9), ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

    return played


def test_an_execution_goes_on_in_the_state_in_which_it_was_with_its_input(play: Play) -> None:
    """The first task is done, the second is at work when the engine is killed."""
    [[before]] = play("""
continuation.resume()
worker()
m = machine("m", {"A": work("B", ResultPath="$.a"), "B": work("C", ResultPath="$.b"), "C": {"Type": "Succeed"}})
e = start(m, "e", x=1)
first = task(worker())
call("SendTaskSuccess", taskToken=first["taskToken"], output='"done"')
assert json.loads(task(worker())["input"]) == {"x": 1, "a": "done"}
call("UpdateStateMachine", stateMachineArn=m, definition=OTHER)
say(history(e))
kill()
""")
    [[running, again, ended, after, definition]] = play("""
continuation.resume()
e = f"{ARN}execution:m:e"
running = describe(e)["status"]
again = task(worker())
call("SendTaskSuccess", taskToken=again["taskToken"], output='2')
end = ended(e)
says = call("DescribeStateMachineForExecution", executionArn=e)["definition"]
say(running, json.loads(again["input"]), json.loads(end["output"]), history(e), json.loads(says)["StartAt"])
""")
    assert running == "RUNNING"
    assert again == {"x": 1, "a": "done"}
    assert ended == {"x": 1, "a": "done", "b": 2}
    assert definition == "A", "it has the definition with which it started"
    assert after[: len(before)] == before, "what was read is still there"
    assert [event["id"] for event in after] == list(range(1, len(after) + 1))
    entered = [event["stateEnteredEventDetails"]["name"] for event in after if "stateEnteredEventDetails" in event]
    assert entered == ["A", "B", "C"]


def test_an_execution_that_entered_no_state_begins(play: Play) -> None:
    play("""
continuation.resume()
m = machine("m", {"A": {"Type": "Pass", "Result": 7, "End": True}})
stepfunctions._run_execution = lambda arn: None
start(m, "e")
kill()
""")
    [[output, events]] = play("""
continuation.resume()
e = f"{ARN}execution:m:e"
say(ended(e)["output"], [event["type"] for event in history(e)])
""")
    assert output == "7"
    assert events == ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"]


def test_what_has_ended_reads_as_before(play: Play) -> None:
    before, after = (
        *play("""
continuation.resume()
worker()
m = machine("m", {"A": {"Type": "Pass", "End": True}})
f = machine("f", {"A": {"Type": "Fail", "Error": "E", "Cause": "c"}})
s = machine("s", {"A": work()})
arns = [start(m, "e", text="é\\ud800"), start(f, "e"), start(s, "e")]
ended(arns[0]), ended(arns[1])
call("StopExecution", executionArn=arns[2], error="stopped", cause="by hand")
assert not stepfunctions._executions.items(), "what has ended is in memory"
assert not call("ListExecutions", stateMachineArn=s, statusFilter="RUNNING")["executions"]
running = start(s, "f")
[listed] = call("ListExecutions", stateMachineArn=s, statusFilter="RUNNING")["executions"]
assert listed["executionArn"] == running
assert not call("ListExecutions", stateMachineArn=m, statusFilter="RUNNING")["executions"]
lists = [call("ListExecutions", stateMachineArn=it) for it in (m, f, s)]
say([[describe(arn), history(arn)] for arn in arns], lists, "ExecutionAlreadyExists")
kill()
"""),
        *play("""
continuation.resume()
arns = [f"{ARN}execution:{it}:e" for it in "mfs"]
machines = [f"{ARN}stateMachine:{it}" for it in "mfs"]
lists = [call("ListExecutions", stateMachineArn=it) for it in machines]
again = call("StartExecution", stateMachineArn=machines[0], name="e", input="{}")
say([[describe(arn), history(arn)] for arn in arns], lists, again)
"""),
    )
    assert before == after
    assert [described["status"] for described, _ in after[0]] == ["SUCCEEDED", "FAILED", "ABORTED"]


def test_a_wait_goes_on_while_the_engine_is_down(play: Play) -> None:
    play("""
continuation.resume()
done = {"Type": "Wait", "Seconds": 0, "End": True}
m = machine("m", {"A": {"Type": "Wait", "Seconds": 3600, "Next": "B"}, "B": done})
e = start(m, "e")
until(lambda: len(history(e)) == 2)
kill()
""")
    [[status]] = play("""
class Later(datetime):
    @classmethod
    def now(cls, zone=None):
        return super().now(zone) + timedelta(hours=1)

execution_storage.datetime = Later
continuation.resume()
say(ended(f"{ARN}execution:m:e")["status"])
""")
    assert status == "SUCCEEDED"


def test_a_machines_time_out_counts_from_the_start_of_the_execution(play: Play) -> None:
    play("""
continuation.resume()
worker()
m = machine("m", {"A": {"Type": "Wait", "Seconds": 3600, "End": True}}, TimeoutSeconds=60)
e = start(m, "e")
until(lambda: len(history(e)) == 2)
kill()
""")
    [[status]] = play("""
class Later(datetime):
    @classmethod
    def now(cls, zone=None):
        return super().now(zone) + timedelta(seconds=61)

step_functions.datetime = Later
continuation.resume()
say(ended(f"{ARN}execution:m:e")["status"])
""")
    assert status == "TIMED_OUT"


def test_an_answer_that_was_accepted_is_not_asked_for_again(play: Play) -> None:
    """The engine is killed when it has answered SendTaskSuccess, before the execution has gone on."""
    play("""
continuation.resume()
worker()
retry = [{"ErrorEquals": ["Busy"], "IntervalSeconds": 0, "MaxAttempts": 1}]
m = machine("m", {"A": work("B"), "B": work("C"), "C": work(Retry=retry)})
for name in "de":
    start(m, name)
for _ in range(2):
    call("SendTaskSuccess", taskToken=task(worker())["taskToken"], output='"first"')
tasks = [task(worker()), task(worker())]
storage = continuation._storage
storage.patiently = lambda write: until(lambda: False)  # no execution goes on from here
call("SendTaskSuccess", taskToken=tasks[0]["taskToken"], output='"second"')
call("SendTaskSuccess", taskToken=tasks[1]["taskToken"], output='"second"')
kill()
""")
    play("""
continuation.resume()
tasks = [task(worker()), task(worker())]
assert [it["input"] for it in tasks] == ['"second"'] * 2, tasks
continuation._storage.patiently = lambda write: until(lambda: False)
call("SendTaskFailure", taskToken=tasks[0]["taskToken"], error="Busy")
call("SendTaskFailure", taskToken=tasks[1]["taskToken"], error="Broken", cause="in two")
kill()
""")
    [[again, outputs]] = play("""
continuation.resume()
again = task(worker())
call("SendTaskSuccess", taskToken=again["taskToken"], output='"third"')
ends = [ended(f"{ARN}execution:m:{name}") for name in "de"]
say(again["input"], sorted(json.loads(end["output"]) if end["status"] == "SUCCEEDED" else end["error"] for end in ends))
""")
    assert again == '"second"', "the failure that can be retried was"
    assert outputs == ["Broken", "third"]


def test_variables_are_kept(play: Play) -> None:
    play("""
continuation.resume()
worker()
states = {
    "A": {"Type": "Pass", "Assign": {"kept": "{% $states.input.x %}"}, "Output": None, "Next": "B"},
    "B": work("C"),
    "C": {"Type": "Pass", "Output": "{% $kept %}", "End": True},
}
e = start(machine("m", states, QueryLanguage="JSONata"), "e", x=[1, "two"])
task(worker())
kill()
""")
    [[output]] = play("""
continuation.resume()
call("SendTaskSuccess", taskToken=task(worker())["taskToken"], output="{}")
say(ended(f"{ARN}execution:m:e")["output"])
""")
    assert json.loads(output) == [1, "two"]


TELL = """
from ministack.services import eventbridge
eventbridge._put_events = lambda data, **_: hear(json.loads(data["Entries"][0]["Detail"])["status"])
"""


def test_an_end_is_written_before_it_is_told_and_told_again_when_that_was_cut_off(play: Play) -> None:
    kill_at_the_end = "hear = lambda status: kill() if status != 'RUNNING' else say(status)\n"
    states = '{"A": {"Type": "Pass", "End": True}}'
    script = f'continuation.resume()\ne = start(machine("m", {states}), "e")\nuntil(lambda: False)\n'
    assert play(TELL + kill_at_the_end + script) == [["RUNNING"]]
    again = TELL + "hear = say\ncontinuation.resume()\nsay(describe(f'{ARN}execution:m:e')['status'])\n"
    assert play(again) == [["SUCCEEDED"], ["SUCCEEDED"]]
    assert play(again) == [["SUCCEEDED"]], "once it was told, it is not told again"


def test_what_users_make_is_kept_and_the_template_wins(play: Play) -> None:
    play("""
theirs = machine("of-template", {"A": {"Type": "Pass", "End": True}})
continuation.resume()
call("UpdateStateMachine", stateMachineArn=theirs, definition=OTHER)
mine = machine("mine", {"A": {"Type": "Pass", "End": True}})
gone = machine("gone", {"A": {"Type": "Pass", "End": True}})
call("TagResource", resourceArn=mine, tags=[{"key": "owner", "value": "me"}])
version = call("PublishStateMachineVersion", stateMachineArn=mine)["stateMachineVersionArn"]
routing = [{"stateMachineVersionArn": version, "weight": 100}]
call("CreateStateMachineAlias", name="live", routingConfiguration=routing)
e = start(gone, "e")
call("DeleteStateMachine", stateMachineArn=gone)
worker("hand")
kill()
""")
    [[machines, states, tags, aliases, activities, forgotten]] = play("""
machine("of-template", {"A": {"Type": "Pass", "End": True}})
continuation.resume()
mine = f"{ARN}stateMachine:mine"
say(
    sorted(it["name"] for it in call("ListStateMachines")["stateMachines"]),
    [json.loads(call("DescribeStateMachine", stateMachineArn=f"{ARN}stateMachine:{name}")["definition"])["StartAt"]
     for name in ("mine", "of-template")],
    call("ListTagsForResource", resourceArn=mine)["tags"],
    len(call("ListStateMachineAliases", stateMachineArn=mine)["stateMachineAliases"]),
    [it["name"] for it in call("ListActivities")["activities"]],
    describe(f"{ARN}execution:gone:e"),
)
""")
    assert machines == ["mine", "of-template"]
    assert states == ["A", "A"]
    assert tags == [{"key": "owner", "value": "me"}]
    assert aliases == 1
    assert activities == ["hand"]
    assert forgotten == "ExecutionDoesNotExist"


def test_executions_are_kept_for_ninety_days(play: Play) -> None:
    [[old, new, definitions]] = play("""
continuation.resume()
worker()
m = machine("m", {"A": {"Type": "Pass", "End": True}})
e = start(m, "e")
ended(e)
storage = continuation._storage
call("UpdateStateMachine", stateMachineArn=m, definition=json.dumps({"StartAt": "W", "States": {"W": work()}}))
running = start(m, "running")
task(worker())
storage.retain(datetime.now(UTC) - execution_storage.RETENTION)
assert describe(e)["status"] == "SUCCEEDED"
storage.retain(datetime.now(UTC) + timedelta(days=1))
[count] = storage.select("SELECT count(*) FROM definitions")
say(describe(e), describe(running)["status"], count)
""")
    assert (old, new, definitions) == ("ExecutionDoesNotExist", "RUNNING", [1])


def test_what_cannot_be_written_is_refused_and_an_execution_waits_for_room(play: Play) -> None:
    [[started, answered, waiting, outputs]] = play("""
import logging
logging.disable()
continuation.resume()
worker()
large = json.dumps("x" * 20000)
m = machine("m", {"A": work()})
w = machine("w", {"A": {"Type": "Wait", "Seconds": 1, "Next": "B"}, "B": {"Type": "Pass", "End": True}})
e, f = start(m, "e"), call("StartExecution", stateMachineArn=w, name="e", input=large)["executionArn"]
token = task(worker())["taskToken"]
storage = continuation._storage
[pages] = storage.select("PRAGMA page_count")[0]
storage.select(f"PRAGMA max_page_count={pages}")
filler = 0
while not isinstance(started := call("StartExecution", stateMachineArn=m, name=f"f{filler}", input=large), str):
    filler += 1
answered = call("SendTaskSuccess", taskToken=token, output=large)
until(lambda: any(event["type"] == "PassStateEntered" for event in stepfunctions._executions.get(f)["events"]))
waiting = describe(f)["status"]
storage.select("PRAGMA max_page_count=1000000")
call("SendTaskSuccess", taskToken=token, output=large)
say(started, answered, waiting, [len(json.loads(ended(it)["output"])) for it in (e, f)])
""")
    assert (started, answered, waiting, outputs) == (*["ServiceUnavailable"] * 2, "RUNNING", [20000, 20000])


ENTRIES = """
def entries(execution):
    return [it["stateEnteredEventDetails"]["name"] for it in history(execution) if "stateEnteredEventDetails" in it]


NAMES = [f"{ARN}execution:m:e{number}" for number in range(5)]
"""

WORK = (
    ENTRIES
    + """
import random, threading
rng = random.Random(int(sys.argv[2]))
worker()
continuation.resume()
kinds = [work, lambda next: {"Type": "Pass", "Next": next}, lambda next: {"Type": "Wait", "Seconds": 0, "Next": next}]
states = {f"S{number}": rng.choice(kinds)(f"S{number + 1}") for number in range(12)} | {"S12": {"Type": "Succeed"}}
m = machine("m", states, "S0")


def add():
    while True:
        it = task(worker())
        answer = json.loads(it["input"]) + 1
        call("SendTaskSuccess", taskToken=it["taskToken"], output=json.dumps(answer))


class Later(threading.Thread):
    def run(self):
        time.sleep(random.uniform(0, 0.03))
        kill()


Later(daemon=True).start()
threading.Thread(target=add, daemon=True).start()
for arn in NAMES:
    definition = dict(stateMachineArn=m, name=arn.rpartition(":")[2], input="0")
    call("StartExecution", **definition)
    say("started", arn, describe(arn)["startDate"])
for arn in NAMES:
    say("ended", arn, ended(arn)["output"], states)
"""
)


@pytest.mark.parametrize("seed", range(3))
def test_executions_that_are_killed_at_random_enter_each_state_once_and_end_as_they_must(play: Play, seed: int) -> None:
    """The workers add one at each task: an answer that was accepted is not lost, and none counts twice."""
    started: dict[str, Any] = {}
    ends: dict[str, Any] = {}
    for _ in range(100):
        for what, arn, *more in play(WORK.replace("sys.argv[2]", str(seed))):
            if what == "started":
                assert started.setdefault(arn, more) == more, "it is the same execution"
            else:
                ends[arn] = more
        if len(ends) == 5:
            break
    [entered] = play(ENTRIES + "continuation.resume()\nsay(*[entries(arn) for arn in NAMES])\n")
    assert entered == [[f"S{number}" for number in range(13)]] * 5
    for output, states in ends.values():
        assert json.loads(output) == sum(state["Type"] == "Task" for state in states.values())
    assert len(ends) == 5


def test_what_fails_while_the_engine_stops_is_no_failure_of_the_execution(play: Play) -> None:
    [[status, written]] = play("""
continuation.resume()
m = machine("m", {"A": {"Type": "Wait", "Seconds": 1, "Next": "B"}, "B": {"Type": "Fail", "Error": "E"}})
e = start(m, "e")
until(lambda: len(history(e)) == 2)
continuation.close()
events = stepfunctions._executions.get(e)["events"]
until(lambda: events.pending[-1:] and events.pending[-1]["type"] == "FailStateEntered")
say(describe(e)["status"], [row[0] for row in continuation._storage.select("SELECT status FROM executions")])
kill()
""")
    assert (status, written) == ("RUNNING", ["RUNNING"])
    assert play('continuation.resume()\nsay(ended(f"{ARN}execution:m:e")["error"])\n') == [["E"]]
