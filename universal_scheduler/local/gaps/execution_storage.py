"""Gap: executions end with the engine, and those that have ended stay in memory for ever.

Executions and their histories are rows of an SQLite file. In memory are those that run. On a durable engine an
execution is in the file before its starter hears of it, and each state that it enters is written with the events so
far; the engine that comes next enters that state again with the same input, as Step Functions does when it has lost
the answer of a task. State machines and activities that users made are in the file, too.
"""

from __future__ import annotations

import contextvars
import functools
import hashlib
import itertools
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from universal_scheduler.local.gaps import edit, require_ministack
from universal_scheduler.local.gaps.transactions import File
from universal_scheduler.local.state import State

Json = dict[str, Any]
Event = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]
Written = TypeVar("Written")

RETENTION = timedelta(days=90)
"""https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
waited: contextvars.ContextVar[float] = contextvars.ContextVar("usched_waited", default=0.0)
"""The seconds that a Wait state, entered again, has waited before."""

_CACHE_KILOBYTES = 1000
_SWEEP_SECONDS = 3600.0
_RETRY_SECONDS = 1.0
_SCHEMA = """
CREATE TABLE definitions (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, text TEXT NOT NULL);
CREATE TABLE executions (
    id INTEGER PRIMARY KEY, arn TEXT NOT NULL UNIQUE, machine TEXT NOT NULL, map_run TEXT, status TEXT NOT NULL,
    moment TEXT NOT NULL, notified INTEGER NOT NULL, definition INTEGER, record TEXT NOT NULL
);
CREATE INDEX executions_in_time ON executions (machine, moment, arn);
CREATE INDEX ended_executions ON executions (moment) WHERE notified;
CREATE INDEX open_executions ON executions (id) WHERE NOT notified;
CREATE INDEX executions_of_definition ON executions (definition);
CREATE TABLE steps (
    execution INTEGER NOT NULL, number INTEGER NOT NULL, events TEXT NOT NULL, variables TEXT,
    PRIMARY KEY (execution, number)
) WITHOUT ROWID;
CREATE TABLE answers (
    execution INTEGER NOT NULL, step INTEGER NOT NULL, answer TEXT NOT NULL, PRIMARY KEY (execution, step)
) WITHOUT ROWID;
CREATE TABLE resources (
    kind TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, arn TEXT NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (kind, account, region, arn)
) WITHOUT ROWID;
"""
# moment: of the start while it runs, then of the end. notified: that it has ended, and its event is where it belongs.
# number: of the first event of a step. variables: of the state whose entry is the step's last event, else NULL.
# answers: to the token of the task that the step with this number entered.

_KINDS = ("_state_machines", "_state_machine_versions", "_state_machine_aliases", "_activities", "_tags")
"""ministack's dictionaries with what users make."""
_MAKERS = (
    *("_create_state_machine", "_update_state_machine", "_delete_state_machine", "_publish_state_machine_version"),
    *("_delete_state_machine_version", "_create_state_machine_alias", "_update_state_machine_alias"),
    *("_delete_state_machine_alias", "_create_activity", "_delete_activity", "_tag_resource", "_untag_resource"),
)
_log = logging.getLogger("usched.engine")
_sync: contextvars.ContextVar[bool] = contextvars.ContextVar("usched_sync_execution", default=False)
_own: contextvars.ContextVar[bool] = contextvars.ContextVar("usched_execution_thread", default=False)
"""Whether this is the thread of an execution, which nobody waits for."""
_events: contextvars.ContextVar[Events | None] = contextvars.ContextVar("usched_events", default=None)
"""Those of the execution whose thread this is."""
_answered: contextvars.ContextVar[Json | None] = contextvars.ContextVar("usched_answered", default=None)
"""What was answered to the task, entered again, before the engine ended."""


class ExecutionStorage:
    """The file. Its connection is for all threads."""

    def __init__(self, state: State) -> None:
        self.durable = state.durable
        self.closing = False
        self.file = File(state, "executions", [_SCHEMA], cache_kilobytes=_CACHE_KILOBYTES)
        [last] = self.file.read("SELECT coalesce(max(id), 0) FROM executions").fetchone()
        self._numbers = itertools.count(last + 1)
        self._definitions: dict[str, int] = {}

    def select(self, query: str, *values: Any) -> list[Any]:
        with self.file:
            return self.file.read(query, values).fetchall()

    def patiently(self, write: Callable[[], Written]) -> Written:
        """For the thread of an execution: it waits until the disk has room again, and for ever if the engine ends."""
        while True:
            if self.closing:
                threading.Event().wait()
            try:
                return write()
            except sqlite3.OperationalError as error:
                _log.error("An execution waits, as its file cannot be written (%s). Make room on the disk.", error)
                threading.Event().wait(_RETRY_SECONDS)

    def insert(self, execution: Json) -> None:
        """An execution that begins. On a durable engine with the events that it has."""
        events: Events = execution["events"]
        number = next(self._numbers)
        with self.file:
            definition = self._definition(execution["machine"])
            machine, map_run = execution["stateMachineArn"], execution.get("mapRunArn")
            row = (number, execution["executionArn"], machine, map_run, execution["status"], execution["startDate"])
            self.file.write(
                "INSERT INTO executions VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)", (*row, definition, _record(execution))
            )
            if self.durable:
                events.write(number, None)
        events.number = number
        if self.durable:
            events.written()

    def _definition(self, machine: Json | None) -> int | None:
        if machine is None:
            return None
        text = machine["definition"]
        if text not in self._definitions:
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
            stored = json.dumps(text)
            self.file.write("INSERT OR IGNORE INTO definitions (digest, text) VALUES (?, ?)", (digest, stored))
            [number] = self.file.read("SELECT id FROM definitions WHERE digest = ?", (digest,)).fetchone()
            if len(self._definitions) > 100:
                self._definitions.clear()
            self._definitions[text] = number
        return self._definitions[text]

    def write(self, events: Events, variables: Json | None = None) -> None:
        """Write the events that are not in the file yet; with variables, the last of them enters a state."""
        with events.lock:
            if events.number is not None and not events.ended and events.pending:
                with self.file:
                    events.write(events.number, variables)
                if variables is not None:
                    events.step = events.stored
                events.written()

    def answer(self, events: Events, answer: Json) -> None:
        """Write what was answered to the task at which an execution is."""
        with events.lock:
            if events.number is not None and not events.ended:
                row = (events.number, events.step, json.dumps(answer))
                with self.file:
                    self.file.write("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", row)

    def end(self, execution: Json, event: Event | None = None) -> bool:
        """Write the end of an execution, with its last event. False if its end is in the file."""
        events: Events = execution["events"]
        with events.lock:
            if events.ended or events.number is None:
                return False
            if event:
                events.add(event)
            try:
                with self.file:
                    events.write(events.number, None)
                    self.file.write(
                        "UPDATE executions SET status = ?, moment = ?, notified = ?, record = ? WHERE id = ?",
                        (
                            execution["status"],
                            execution["stopDate"],
                            not self.durable,
                            _record(execution),
                            events.number,
                        ),
                    )
                    if self.durable:
                        self.file.write("DELETE FROM answers WHERE execution = ?", (events.number,))
            except sqlite3.Error:
                if event:
                    events.pending.pop()
                raise
            events.written()
            events.ended = True
        return True

    def notified(self, execution: Json) -> None:
        if self.durable:
            with suppress(sqlite3.Error), self.file:  # else it is told again at the next start
                statement = "UPDATE executions SET notified = 1 WHERE id = ?"
                self.file.write(statement, (execution["events"].number,))

    def load(self, arn: str) -> Json | None:
        rows = self.select(f"{_LOAD} WHERE e.arn = ?", arn)
        return self._loaded(rows[0]) if rows else None

    def open(self) -> list[Json]:
        """The executions that run, with their positions, and those whose end has not been told."""
        executions = [self._loaded(row) for row in self.select(f"{_LOAD} WHERE NOT e.notified ORDER BY e.id")]
        for execution in executions:
            if execution["status"] == "RUNNING":
                execution["events"].read_length()
                self._locate(execution)
        return executions

    def _locate(self, execution: Json) -> None:
        rows = self.select(
            "SELECT s.number, s.events, s.variables, a.answer FROM steps AS s "
            "LEFT JOIN answers AS a ON a.execution = s.execution AND a.step = s.number "
            "WHERE s.execution = ? AND s.variables IS NOT NULL ORDER BY s.number DESC LIMIT 1",
            execution["events"].number,
        )
        for number, events, variables, answer in rows:
            execution["events"].step = number
            entered = json.loads(events)[-1]
            execution["position"] = entered["stateEnteredEventDetails"] | {
                "entered": entered["timestamp"],
                "variables": json.loads(variables),
                "answer": answer and json.loads(answer),
            }

    def _loaded(self, row: Sequence[Any]) -> Json:
        number, status, record, definition = row
        execution: Json = json.loads(record)
        if definition is not None:
            execution["machine"]["definition"] = json.loads(definition)
        execution["events"] = Events(self, (), number)
        execution["events"].ended = status != "RUNNING"
        return execution

    def listed(self, prefix: str, data: Json, before: tuple[str, str] | None, limit: int) -> list[Json]:
        """What ListExecutions says of executions, the latest first."""
        conditions, values = ["substr(arn, 1, ?) = ?"], [len(prefix), prefix]
        fields = {"stateMachineArn": "machine", "mapRunArn": "map_run", "statusFilter": "status"}
        for field, column in fields.items():
            if data.get(field):
                conditions.append(f"{column} = ?")
                values.append(data[field])
        index = ""
        if data.get("statusFilter") == "RUNNING":  # there are few of them
            index = "INDEXED BY open_executions"
            conditions.append("NOT notified")
        if before:
            conditions.append("(moment, arn) < (?, ?)")
            values += before
        where = " AND ".join(conditions)
        query = f"SELECT record FROM executions {index} WHERE {where} ORDER BY moment DESC, arn DESC LIMIT ?"
        return [json.loads(record) for (record,) in self.select(query, *values, limit)]

    def forget(self, machine: str) -> None:
        """All executions of a state machine."""
        self._delete("machine = ?", machine)

    def retain(self, since: datetime) -> None:
        """Forget the executions that ended before a moment."""
        while self._delete("notified AND moment < ? LIMIT 1000", f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"):
            pass
        with self.file:
            used = "SELECT 1 FROM executions WHERE definition = definitions.id"
            self.file.write(f"DELETE FROM definitions WHERE NOT EXISTS ({used})", ())
            self._definitions.clear()

    def _delete(self, which: str, *values: Any) -> int:
        numbers = self.select(f"SELECT id FROM executions WHERE {which}", *values)
        with self.file:
            for table, column in (("steps", "execution"), ("answers", "execution"), ("executions", "id")):
                for number in numbers:
                    self.file.write(f"DELETE FROM {table} WHERE {column} = ?", number)
        return len(numbers)


_LOAD = "SELECT e.id, e.status, e.record, d.text FROM executions AS e LEFT JOIN definitions AS d ON d.id = e.definition"


def _record(execution: Json) -> str:
    kept = {key: value for key, value in execution.items() if key not in ("events", "position")}
    if machine := kept.get("machine"):
        kept["machine"] = {key: machine[key] for key in ("stateMachineArn", "name", "roleArn", "creationDate")}
    return json.dumps(kept)


class Events(Sequence[Event]):
    """The history of one execution: what is in the file, then what is not there yet."""

    def __init__(self, storage: ExecutionStorage, events: Sequence[Event], number: int | None = None) -> None:
        self.lock = threading.RLock()
        self.number, self.pending, self.ended = number, list(events), False
        self.stored, self.step = 0, 0
        self._storage = storage

    def add(self, event: Event) -> Event:
        """An execution that has ended has no further events."""
        with self.lock:
            if not self.ended:
                event["id"] = self.stored + len(self.pending) + 1
                self.pending.append(event)
            return event

    def write(self, number: int, variables: Json | None) -> None:
        """In a transaction. The caller holds the lock, and says that it is `written` when that has ended."""
        if self.pending:
            place = None if variables is None else json.dumps(variables)
            row = (number, self.stored, json.dumps(self.pending, separators=(",", ":")), place)
            self._storage.file.write("INSERT INTO steps VALUES (?, ?, ?, ?)", row)

    def written(self) -> None:
        self.stored += len(self.pending)
        self.pending = []

    def read_length(self) -> None:
        self.stored = len(self)

    def __iter__(self) -> Iterator[Event]:
        with self.lock:
            query = "SELECT events FROM steps WHERE execution = ? ORDER BY number"
            steps = self._storage.select(query, self.number) if self.number is not None else []
            stored = [event for (events,) in steps for event in json.loads(events)]
            return iter(stored + self.pending)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, wanted: Any) -> Any:
        return list(self)[wanted]


class Executions:
    """All executions by ARN, as ministack asks for them. In memory are those that run."""

    def __init__(self, storage: ExecutionStorage, stepfunctions: Any) -> None:
        self._storage, self._stepfunctions = storage, stepfunctions
        self._running: dict[str, Json] = {}
        self._aside: dict[str, Json] = {}
        """Those that belong to whoever waits for them, and end with it: of StartSyncExecution, of a Map state."""

    def __setitem__(self, arn: str, execution: Json) -> None:
        execution["events"] = Events(self._storage, execution["events"])
        machine = self._stepfunctions._state_machines.get(execution["stateMachineArn"])
        execution["machine"] = machine and dict(machine)
        if _sync.get() or "mapRunArn" in execution:
            self._aside[arn] = execution
        else:
            self._storage.insert(execution)
            self._running[arn] = execution

    def adopt(self, execution: Json) -> None:
        self._running[execution["executionArn"]] = execution

    def get(self, arn: str, default: Any = None) -> Any:
        if not str(arn).startswith(_prefix()):
            return default
        return self._running.get(arn) or self._aside.get(arn) or self._storage.load(arn) or default

    def __getitem__(self, arn: str) -> Json:
        execution: Json | None = self.get(arn)
        if execution is None:
            raise KeyError(arn)
        return execution

    def __contains__(self, arn: str) -> bool:
        return self.get(arn) is not None

    def shown(self, arn: str) -> Json | None:
        """As readers see it: an end that is not in the file has not come yet."""
        running = self._running.get(arn)
        if running is None or running["status"] == "RUNNING":
            found: Json | None = self.get(arn)
            return found
        return running | {"status": "RUNNING", "stopDate": None, "output": None, "error": None, "cause": None}

    def items(self) -> list[tuple[str, Json]]:
        """Those that run."""
        return [(arn, execution) for arn, execution in list(self._running.items()) if arn.startswith(_prefix())]

    def pop(self, arn: str, default: Any = None) -> Any:
        return self._running.pop(arn, default)

    def clear(self) -> None:
        self._running.clear()
        self._aside.clear()
        with self._storage.file as file:
            for table in ("steps", "answers", "executions"):
                file.write(f"DELETE FROM {table}", ())

    def ended(self, execution: Json) -> None:
        """Its end is in the file: it leaves the memory, and the children of its Map states with it."""
        arn = execution["executionArn"]
        self._running.pop(arn, None)
        runs = self._stepfunctions._map_runs
        if self._aside and (mine := {run["mapRunArn"] for run in runs.values() if run["executionArn"] == arn}):
            for child in [child for child in list(self._aside.values()) if child.get("mapRunArn") in mine]:
                self.file(child)

    def file(self, execution: Json) -> None:
        """Put away one that was aside."""
        arn = execution["executionArn"]
        if execution["stopDate"] and not self._storage.load(arn):
            try:
                self._storage.insert(execution)
                self._storage.end(execution)
                self._storage.notified(execution)
            except sqlite3.Error:
                _log.exception("%s cannot be kept", arn)
        self._aside.pop(arn, None)

    def listed(self, data: Json, before: tuple[str, str] | None, limit: int) -> list[Json]:
        """What ListExecutions says, the latest first."""
        fields = {"stateMachineArn": "stateMachineArn", "mapRunArn": "mapRunArn", "statusFilter": "status"}
        wanted = {key: data[field] for field, key in fields.items() if data.get(field)}
        key = self._stepfunctions._execution_sort_key
        aside = [
            execution
            for arn, execution in list(self._aside.items())
            if arn.startswith(_prefix())
            and all(execution.get(field) == value for field, value in wanted.items())
            and (before is None or key(execution) < before)
        ]
        found = [*aside, *self._storage.listed(_prefix(), data, before, limit)]
        return sorted(found, key=key, reverse=True)[:limit]


def _prefix() -> str:
    from ministack.core.responses import get_account_id, get_region

    return f"arn:aws:states:{get_region()}:{get_account_id()}:"


class Resources:
    """State machines, their versions and aliases, activities and tags that users made."""

    def __init__(self, storage: ExecutionStorage, stepfunctions: Any) -> None:
        self._storage = storage
        self._stores: dict[str, dict[Any, Any]] = {kind: getattr(stepfunctions, kind)._data for kind in _KINDS}
        self._tasks: dict[Any, Any] = stepfunctions._activity_tasks._data
        self._deployed: dict[str, set[Any]] = {}
        self._kept: dict[tuple[str, Any], str] = {}

    def restore(self) -> None:
        """What is there now is the template's, which wins over what a user has made under the same name."""
        self._deployed = {kind: set(store) for kind, store in self._stores.items()}
        for kind, account, region, arn, record in self._storage.select("SELECT * FROM resources"):
            key = (account, region, arn)
            if kind in self._stores and key not in self._deployed[kind]:
                self._stores[kind][key] = json.loads(record)
                self._kept[kind, key] = record
                if kind == "_activities":
                    self._tasks[key] = []

    def keep(self) -> None:
        """Write what has changed. There are few of them, and they change seldom."""
        if not self._deployed:
            return
        now = {
            (kind, key): json.dumps(record)
            for kind, store in self._stores.items()
            for key, record in list(store.items())
            if key not in self._deployed[kind]
        }
        gone = [(kind, *key) for kind, key in self._kept.keys() - now.keys()]
        changed = [(kind, *key, text) for (kind, key), text in now.items() if self._kept.get((kind, key)) != text]
        if not gone and not changed:
            return
        with self._storage.file as file:
            for row in gone:
                file.write("DELETE FROM resources WHERE kind = ? AND account = ? AND region = ? AND arn = ?", row)
            for row in changed:
                file.write("INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?)", row)
        self._kept = now


class Continuation:
    """What the engine does with executions when it is ready, and when it ends."""

    def __init__(
        self, storage: ExecutionStorage, executions: Executions, resources: Resources, notify: Callable[[Json], None]
    ) -> None:
        self._storage, self._executions, self._resources, self._notify = storage, executions, resources, notify

    def resume(self) -> None:
        """When the template is deployed: executions go on, and ends that were not told are told."""
        if self._storage.durable:
            self._resources.restore()
            for execution in self._storage.open():
                contextvars.copy_context().run(self._resume, execution)
        threading.Thread(target=self._sweep, daemon=True).start()

    def define(self) -> None:
        """Write what a stack of a user's has made."""
        if self._storage.durable:
            self._resources.keep()

    def close(self) -> None:
        """From now on executions stay where they are: what fails because the engine ends is no failure of theirs."""
        self._storage.closing = self._storage.durable

    def _resume(self, execution: Json) -> None:
        from ministack.core import responses
        from ministack.services import stepfunctions

        _, _, _, region, account, *_ = execution["executionArn"].split(":")
        responses.set_request_account_id(account)
        responses.set_request_region(region)
        if execution["status"] != "RUNNING":
            self._notify(execution)
            return
        self._executions.adopt(execution)
        if "position" not in execution:
            stepfunctions._emit_execution_status_event(execution)
        run = functools.partial(contextvars.copy_context().run, stepfunctions._run_execution, execution["executionArn"])
        threading.Thread(target=run, daemon=True).start()

    def _sweep(self) -> None:
        while True:
            with suppress(sqlite3.OperationalError):  # the disk is full: an hour later is soon enough
                self._storage.retain(datetime.now(UTC) - RETENTION)
            time.sleep(_SWEEP_SECONDS)


def apply(state: State) -> Continuation:
    """Keep ministack's executions in the file; must run before the other changes to Step Functions."""
    require_ministack("executions are in memory only")
    from ministack.services import stepfunctions

    storage = ExecutionStorage(state)
    stepfunctions._executions = executions = Executions(storage, stepfunctions)
    resources = Resources(storage, stepfunctions)
    _enter_states(stepfunctions, storage)
    _answer(stepfunctions, storage)
    notify = _end(stepfunctions, storage, executions)
    _read(stepfunctions, storage, executions)
    _start(stepfunctions, executions)
    _delete(stepfunctions, storage)
    for name in _MAKERS if storage.durable else ():
        setattr(stepfunctions, name, _kept(resources, getattr(stepfunctions, name)))
    answers = ("_send_task_success", "_send_task_failure")
    for name in ("_start_execution", "_stop_execution", "_get_execution_history", *answers, *_MAKERS):
        setattr(stepfunctions, name, _available(stepfunctions, getattr(stepfunctions, name)))
    return Continuation(storage, executions, resources, notify)


def _enter_states(stepfunctions: Any, storage: ExecutionStorage) -> None:
    """An execution has the definition with which it started, and its position is written at each state's entry."""

    def enter(execution: Json, context: Json, kind: str, details: Json) -> None:
        position = execution.pop("position", None)
        _own.set(True)
        _events.set(execution["events"])
        _answered.set(position["answer"] if position and kind == "TaskStateEntered" else None)
        waited.set(0.0)
        if position:  # this entry is in the file
            context["State"]["EnteredTime"] = position["entered"]
            if kind == "WaitStateEntered":
                entered = datetime.fromisoformat(position["entered"])
                waited.set(max(0.0, (datetime.now(UTC) - entered).total_seconds()))
            return
        stepfunctions._add_event(execution, kind, details)
        if storage.durable:
            storage.patiently(lambda: storage.write(execution["events"], context["variables"]))

    def add_event(execution: Json, kind: str, details: Json | None = None) -> Event:
        events: Events = execution["events"]
        return events.add({"id": 0, "type": kind, "timestamp": stepfunctions.now_iso(), **(details or {})})

    stepfunctions._add_event = add_event
    stepfunctions._enter_state = enter
    edit(
        stepfunctions._run_execution,
        ('_state_machines.get(execution["stateMachineArn"])', 'execution["machine"]'),
        (
            '    try:\n        while current_name and execution["status"] == "RUNNING":\n',
            '    if position := execution.get("position"):\n'
            '        current_name, current_input = position["name"], json.loads(position["input"])\n'
            '        ctx["variables"].update(position["variables"])\n'
            '    try:\n        while current_name and execution["status"] == "RUNNING":\n',
        ),
        (
            '_add_event(execution, f"{state_type}StateEntered"',
            '_enter_state(execution, ctx, f"{state_type}StateEntered"',
        ),
    )
    sleep_until: Callable[[str], None] = stepfunctions._sleep_until

    def until(moment: str) -> None:
        waited.set(0.0)
        sleep_until(moment)

    stepfunctions._sleep_until = until


def _end(stepfunctions: Any, storage: ExecutionStorage, executions: Executions) -> Callable[[Json], None]:
    """An end is written before it is told, and told at least once. Answers what tells it."""
    emit: Callable[[Json], None] = stepfunctions._emit_execution_status_event
    stop: Callable[[Json], Answer] = stepfunctions._stop_execution

    def notify(execution: Json) -> None:
        emit(execution)
        storage.notified(execution)

    def emit_execution_status_event(execution: Json) -> None:
        if execution.get("sync") or execution["status"] == "RUNNING":
            emit(execution)
            return
        ended = storage.patiently(lambda: storage.end(execution)) if _own.get() else storage.end(execution)
        if ended:  # else somebody has stopped it meanwhile
            executions.ended(execution)
            notify(execution)

    def stop_execution(data: Json) -> Answer:
        execution = executions.get(data.get("executionArn", ""))
        if not execution or execution["status"] != "RUNNING" or execution.get("sync"):
            return stop(data)
        error, cause, stopped = data.get("error"), data.get("cause"), stepfunctions.now_iso()
        end = {"status": "ABORTED", "stopDate": stopped, "error": error, "cause": cause}
        details = {"error": error or "", "cause": cause or ""}
        event = {"id": 0, "type": "ExecutionAborted", "timestamp": stopped, "executionAbortedEventDetails": details}
        if not storage.end(execution | end, event):
            return stop(data)
        execution |= end
        executions.ended(execution)
        notify(execution)
        answer: Answer = stepfunctions.json_response({"stopDate": stopped})
        return answer

    stepfunctions._emit_execution_status_event = emit_execution_status_event
    stepfunctions._stop_execution = stop_execution
    return notify


def _answer(stepfunctions: Any, storage: ExecutionStorage) -> None:
    """What was answered to a token is written before whoever answered hears of it, and is not asked for again."""
    from ministack.core.responses import AccountRegionScopedDict

    class Tokens(AccountRegionScopedDict):  # type: ignore[misc]
        def __setitem__(self, token: str, info: Json) -> None:
            info["events"] = _events.get()
            super().__setitem__(token, info)

    def written(send: Callable[[Json], Answer], *fields: str) -> Callable[[Json], Answer]:
        def sent(data: Json) -> Answer:
            info = tokens.get(data.get("taskToken"))
            if info and info["events"] and not info["event"].is_set():
                storage.answer(info["events"], {field: data.get(field) for field in fields})
            return send(data)

        return sent

    def answered_before() -> Callable[[], Any] | None:
        answer = _answered.get()
        _answered.set(None)
        return functools.partial(result, answer) if answer else None

    def result(answer: Json) -> Any:
        if "output" not in answer:
            raise stepfunctions._ExecutionError(answer["error"] or "TaskFailed", answer["cause"] or "")
        return json.loads(answer["output"] or "{}")

    tokens = stepfunctions._task_tokens = Tokens()
    if storage.durable:
        stepfunctions._send_task_success = written(stepfunctions._send_task_success, "output")
        stepfunctions._send_task_failure = written(stepfunctions._send_task_failure, "error", "cause")
    stepfunctions._answered_before = answered_before
    edit(
        stepfunctions._execute_task,
        (
            "            if is_callback:\n                task_result",
            "            if answered := _answered_before():\n"
            "                task_result = answered()\n"
            "            elif is_callback:\n                task_result",
        ),
    )


def _read(stepfunctions: Any, storage: ExecutionStorage, executions: Executions) -> None:
    edit(stepfunctions._describe_execution, ("_executions.get(exec_arn)", "_executions.shown(exec_arn)"))
    its_machine = ("_state_machines.get(sm_arn)", 'execution.get("machine")')
    edit(stepfunctions._describe_state_machine_for_execution, its_machine)
    history: Callable[[Json], Answer] = stepfunctions._get_execution_history
    refused: Callable[[str, str, int], Answer] = stepfunctions.error_response_json

    def get_execution_history(data: Json) -> Answer:
        execution = executions.get(data.get("executionArn", ""))
        if execution and storage.durable:
            storage.write(execution["events"])  # what was read is still there after a restart
        return history(data)

    def list_executions(data: Json) -> Answer:
        """https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html"""
        token, map_run = data.get("nextToken"), data.get("mapRunArn")
        before = stepfunctions._decode_execution_token(token) if token else None
        if token and before is None:
            return refused("InvalidToken", "Invalid Token: 'Invalid token'", 400)
        if map_run and map_run not in stepfunctions._map_runs:
            return refused("ResourceNotFound", f"Map Run Does Not Exist: '{map_run}'", 400)
        limit = int(data.get("maxResults") or 1000)
        found = executions.listed(data, before, limit + 1)
        shown = ("executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate", "mapRunArn")
        page = [{key: it[key] for key in shown if key in it} for it in found[:limit]]
        more = {"nextToken": stepfunctions._encode_execution_token(found[limit - 1])} if len(found) > limit else {}
        answer: Answer = stepfunctions.json_response({"executions": page, **more})
        return answer

    stepfunctions._get_execution_history = get_execution_history
    stepfunctions._list_executions = list_executions


def _start(stepfunctions: Any, executions: Executions) -> None:
    start: Callable[[Json], Answer] = stepfunctions._start_execution
    start_sync: Callable[[Json], Answer] = stepfunctions._start_sync_execution

    def start_execution(data: Json) -> Answer:
        outer = _sync.set(False)
        try:
            return start(data)
        finally:
            _sync.reset(outer)

    def start_sync_execution(data: Json) -> Answer:
        outer = _sync.set(True)
        try:
            answer = start_sync(data)
        finally:
            _sync.reset(outer)
        if (execution := executions.get(json.loads(answer[2]).get("executionArn", ""))) and execution.get("sync"):
            executions.file(execution)
        return answer

    stepfunctions._start_execution = start_execution
    stepfunctions._start_sync_execution = start_sync_execution


def _delete(stepfunctions: Any, storage: ExecutionStorage) -> None:
    """The executions of a deleted machine are stopped, and gone."""
    delete: Callable[[Json], Answer] = stepfunctions._delete_state_machine

    def delete_state_machine(data: Json) -> Answer:
        arn = data.get("stateMachineArn", "")
        for execution_arn, execution in stepfunctions._executions.items():
            if execution["stateMachineArn"] == arn:
                stepfunctions._stop_execution({"executionArn": execution_arn})
        answer = delete(data)
        if answer[0] == 200:
            storage.forget(arn)
        return answer

    stepfunctions._delete_state_machine = delete_state_machine


def _kept(resources: Resources, make: Callable[[Json], Answer]) -> Callable[[Json], Answer]:
    def kept(data: Json) -> Answer:
        answer = make(data)
        if answer[0] == 200:
            resources.keep()
        return answer

    return kept


def _available(stepfunctions: Any, action: Callable[[Json], Answer]) -> Callable[[Json], Answer]:
    """https://docs.aws.amazon.com/step-functions/latest/apireference/CommonErrors.html"""

    def available(data: Json) -> Answer:
        try:
            return action(data)
        except sqlite3.OperationalError as error:
            todo = "Look at the disk with the engine's state directory."
            reason = f"The file of executions cannot be written ({error}). {todo}"
            unavailable: Answer = stepfunctions.error_response_json("ServiceUnavailable", reason, 503)
            return unavailable

    return available
