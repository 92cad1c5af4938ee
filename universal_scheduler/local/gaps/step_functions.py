"""Gap: executions start late and never time out, callback tasks swallow Lambda errors and ignore time-outs, starts are
not idempotent."""

import contextvars
import json
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from universal_scheduler.domain.names import EXECUTION_NAME_LIMIT, execution_name_problem
from universal_scheduler.local.gaps import edit, require_ministack
from universal_scheduler.local.gaps.execution_storage import waited
from universal_scheduler.local.gateway import jsonbody

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]

_TIMEOUTS = {"TimeoutSecondsPath": "TimeoutSeconds", "HeartbeatSecondsPath": "HeartbeatSeconds"}
_running: contextvars.ContextVar["_Stop | None"] = contextvars.ContextVar("usched_execution", default=None)


QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
DEEPEST = 1000


class _Stopped(BaseException):
    """Ends an aborted execution's thread; no state may catch it, so it is no Exception."""


class _TimedOut(BaseException):
    """Ends the thread of an execution that has taken longer than its machine's TimeoutSeconds."""


class _Stop:
    """Lets StopExecution, and the time-out of its machine, end the waits of one execution."""

    def __init__(self, seconds: float | None) -> None:
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self.stopped = False
        self._lock = threading.Lock()
        self._waits: set[threading.Event] = set()

    def set(self) -> None:
        with self._lock:
            self.stopped = True
            waits = list(self._waits)
        for event in waits:
            event.set()

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Wait for ``event``; whether it came in time. Raises _Stopped or _TimedOut when the execution ends."""
        left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        if left is not None and (seconds is None or left < seconds):
            if not self._wait(event, left):
                raise _TimedOut
            return True
        return self._wait(event, seconds)

    def _wait(self, event: threading.Event, seconds: float | None) -> bool:
        with self._lock:
            if self.stopped:
                raise _Stopped
            self._waits.add(event)
        came = event.wait(seconds)
        with self._lock:
            self._waits.discard(event)
        if self.stopped:
            raise _Stopped
        return came


def apply() -> None:
    """Change ministack's Step Functions; must run after `execution_storage`, before the first execution starts."""
    require_ministack("step_functions")
    from ministack.services import stepfunctions

    _start_at_once(stepfunctions)
    _start_idempotently(stepfunctions)
    _refuse_starts(stepfunctions)
    _stop_at_once(stepfunctions)
    _call_back_as_on_aws(stepfunctions)
    _name_errors_as_on_aws(stepfunctions)


def _start_at_once(stepfunctions: Any) -> None:
    edit(stepfunctions._run_execution, ("    time.sleep(0.15)\n", ""))


def _start_idempotently(stepfunctions: Any) -> None:
    """Same name and input as a running execution: that execution's answer.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    lock = threading.Lock()
    start: Callable[[Json], Answer] = stepfunctions._start_execution

    def start_execution(data: Json) -> Answer:
        with lock:
            arn = stepfunctions._resolve_state_machine_arn(data.get("stateMachineArn", "").rsplit("#", 1)[0])
            machine = stepfunctions._state_machines.get(arn) if arn else None
            if machine and data.get("name"):
                # An ARN of an execution is that of its machine with other words in it.
                execution_arn = f"{arn.replace(':stateMachine:', ':execution:')}:{data['name']}"
                execution = stepfunctions._executions.get(execution_arn)
                if execution and execution["status"] == "RUNNING" and execution["input"] == data.get("input", "{}"):
                    answer: Answer = stepfunctions.json_response(
                        {"executionArn": execution_arn, "startDate": execution["startDate"]}
                    )
                    return answer
            return start(data)

    stepfunctions._start_execution = start_execution


def _refuse_starts(stepfunctions: Any) -> None:
    """A name with what a name must not have is refused, so is one of over 80 characters, and an input that is no JSON.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """

    def refusing(start: Callable[[Json], Answer]) -> Callable[[Json], Answer]:
        def started(data: Json) -> Answer:
            name = data.get("name")
            if name is None or not execution_name_problem(name):
                problem = _unreadable(data.get("input", "{}"))
                if not problem:
                    return start(data)
                text = f"Invalid State Machine Execution Input: '{problem}'"
                unread: Answer = stepfunctions.error_response_json("InvalidExecutionInput", text, 400)
                return unread
            code, text = "InvalidName", f"Invalid Name: '{name}'"
            if not 1 <= len(name) <= EXECUTION_NAME_LIMIT:
                bound = f"less than or equal to {EXECUTION_NAME_LIMIT}" if name else "greater than or equal to 1"
                wanted = f"failed to satisfy constraint: Member must have length {bound}"
                code, text = "ValidationException", f"1 validation error detected: Value '{name}' at 'name' {wanted}"
            refused: Answer = stepfunctions.error_response_json(code, text, 400)
            return refused

        return started

    stepfunctions._start_execution = refusing(stepfunctions._start_execution)
    stepfunctions._start_sync_execution = refusing(stepfunctions._start_sync_execution)


def _unreadable(text: str) -> str:
    """Why a text is no input, else nothing. AWS reads JSON in Java, whose usual reader goes 1,000 levels deep."""
    depths = accumulate(1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", QUOTED.sub("", text)))
    if max(depths, default=0) > DEEPEST:
        return f"more than {DEEPEST} levels"
    try:
        jsonbody.parse(text)
    except jsonbody.NotJson as error:
        return str(error)
    return ""


def _stop_at_once(stepfunctions: Any) -> None:
    stops: dict[str, _Stop] = {}
    run: Callable[[str], None] = stepfunctions._run_execution
    stop: Callable[[Json], Answer] = stepfunctions._stop_execution
    fail: Callable[[Json, str, str], None] = stepfunctions._fail_execution

    def time_out(execution: Json) -> float | None:
        """The seconds that are left."""
        try:
            seconds = json.loads(execution["machine"]["definition"]).get("TimeoutSeconds")
        except ValueError:
            return None
        started = datetime.fromisoformat(execution["startDate"])
        return None if seconds is None else max(0.0, seconds - (datetime.now(UTC) - started).total_seconds())

    def run_execution(execution_arn: str) -> None:
        execution = stepfunctions._executions.get(execution_arn)
        stops[execution_arn] = mine = _Stop(time_out(execution) if execution else None)
        outer = _running.set(mine)
        if execution and execution["status"] != "RUNNING":  # stopped before this thread began
            mine.set()
        try:
            run(execution_arn)
        except _Stopped:
            pass
        except _TimedOut:
            # https://docs.aws.amazon.com/step-functions/latest/dg/statemachine-structure.html
            execution |= {"status": "TIMED_OUT", "stopDate": stepfunctions.now_iso()}
            stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
            stepfunctions._emit_execution_status_event(execution)
        finally:
            _running.reset(outer)
            stops.pop(execution_arn, None)

    def stop_execution(data: Json) -> Answer:
        answer = stop(data)
        if answer[0] == 200 and (running := stops.get(data.get("executionArn", ""))):
            running.set()
        return answer

    def fail_execution(execution: Json, error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":  # an aborted execution stays aborted
            fail(execution, error, cause)

    def scaled_sleep(seconds: float) -> None:
        _wait(threading.Event(), max(0.0, seconds - waited.get()) * stepfunctions._SFN_WAIT_SCALE)

    stepfunctions._run_execution = run_execution
    stepfunctions._stop_execution = stop_execution
    stepfunctions._fail_execution = fail_execution
    stepfunctions._scaled_sleep = scaled_sleep


def _call_back_as_on_aws(stepfunctions: Any) -> None:
    """A failed Lambda fails its callback task, time-outs run from the task's start, every attempt has its own token.

    https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token
    """
    edit(
        stepfunctions._execute_task,
        (
            '        ctx["State"]["RetryCount"] = sum(retry_counts.values())\n',
            '        ctx["State"]["RetryCount"] = sum(retry_counts.values())\n'
            "        if is_callback:\n"
            '            ctx["Task"] = {"Token": new_uuid()}\n',
        ),
    )
    execute: Callable[[Json, Any, Json, Json], Any] = stepfunctions._execute_task

    def execute_task(state: Json, raw_input: Any, execution: Json, context: Json) -> Any:
        effective = stepfunctions._apply_input_path(state, raw_input, context)
        paths = {seconds: state[path] for path, seconds in _TIMEOUTS.items() if path in state}
        found = {name: stepfunctions._resolve_path_or_ctx(path, effective, context) for name, path in paths.items()}
        for name, seconds in found.items():
            if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds <= 0:
                raise stepfunctions._ExecutionError(
                    "States.Runtime", f"{name}Path must give a positive integer, but {paths[name]} gives: {seconds!r}"
                )
        return execute({**state, **found}, raw_input, execution, context)

    def invoke_with_callback(resource: str, task_input: Any, token: str, state: Json) -> Any:
        info: Json = {"event": threading.Event(), "result": None, "error": None, "heartbeat": None}
        stepfunctions._task_tokens[token] = info

        def deliver() -> None:
            try:
                stepfunctions._invoke_resource(resource.replace(".waitForTaskToken", ""), task_input)
            except Exception as error:  # noqa: BLE001 - whatever it is, the task must hear of it
                if not info["event"].is_set():  # an answer that came first counts
                    name, cause = getattr(error, "error", "States.Runtime"), getattr(error, "cause", str(error))
                    info["error"] = {"Error": name, "Cause": cause}
                    info["event"].set()

        threading.Thread(target=contextvars.copy_context().run, args=(deliver,), daemon=True).start()
        try:
            _await_answer(stepfunctions, info, state.get("TimeoutSeconds"), state.get("HeartbeatSeconds"))
        finally:
            stepfunctions._task_tokens.pop(token, None)
        if info["error"]:
            raise stepfunctions._ExecutionError(info["error"]["Error"], info["error"]["Cause"])
        return json.loads(info["result"])

    stepfunctions._execute_task = execute_task
    stepfunctions._invoke_with_callback = invoke_with_callback


def _await_answer(stepfunctions: Any, info: Json, timeout: int | None, heartbeat: int | None) -> None:
    """Return when the token is answered; raise States.Timeout or States.HeartbeatTimeout when that takes too long."""
    now = time.monotonic()
    end = now + timeout if timeout else None
    beat_seen, beat_end = None, now + heartbeat if heartbeat else None
    while True:
        deadline = min((at for at in (end, beat_end) if at is not None), default=None)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if _wait(info["event"], left):
            return
        if heartbeat and info["heartbeat"] != beat_seen:
            beat_seen = info["heartbeat"]
            age = (datetime.now(UTC) - datetime.fromisoformat(beat_seen)).total_seconds()
            beat_end = time.monotonic() + heartbeat - age
        elif end is not None and time.monotonic() >= end:
            raise stepfunctions._ExecutionError("States.Timeout", f"Task timed out after {timeout} seconds")
        else:
            raise stepfunctions._ExecutionError("States.HeartbeatTimeout", f"No heartbeat for {heartbeat} seconds")


def _wait(event: threading.Event, seconds: float | None) -> bool:
    running = _running.get()
    return event.wait(seconds) if running is None else running.wait(event, seconds)


def _name_errors_as_on_aws(stepfunctions: Any) -> None:
    """A throttled Lambda is ``Lambda.TooManyRequestsException``.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """
    edit(
        stepfunctions._call_lambda,
        (
            'body.get("errorType", "Lambda.Unknown")',
            'body.get("errorType") or "Lambda." + body.get("__type", "Unknown")',
        ),
    )
