"""Gap: queues and their messages are in memory only.

On a durable engine each message is a row of an SQLite file, written before the sender hears of it. In memory the
messages stay where ministack works on them; what changes there is written by what looks like its own dictionaries and
lists. Queues that users made are in the file, too; those of the template are made anew at each start, and find their
messages by name.

A message that a function has in hand is taken by nobody in the file: the engine's end ends the function, too, so that
the message is there at once for the engine that comes next. That receive is not counted.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, SupportsIndex

from universal_scheduler.local.gaps import require_ministack
from universal_scheduler.local.gaps.transactions import File
from universal_scheduler.local.state import State

Json = dict[str, Any]
Message = dict[str, Any]

_CACHE_KILOBYTES = 2000
_LONGEST_RETENTION = 14 * 86400.0
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html"""
_SCHEMA = """
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
"""
_COLUMNS = ("sent_at", "visible_at", "receive_count", "first_receive_at", "receipt_handle")
_HOST = re.compile(r"^https?://[^/]*")
_ROW = "row"
"""The key of a message under which the number of its row is, as long as it is in its queue."""
_DEFINED = ("name", "url", "is_fifo", "attributes", "tags")


class QueueStorage(File):
    """The file. Everything that changes a queue is done in a transaction of it: all or nothing, in memory, too."""

    def __init__(self, state: State) -> None:
        super().__init__(state, "queues", [_SCHEMA], cache_kilobytes=_CACHE_KILOBYTES)
        [last] = self.read("SELECT coalesce(max(id), 0) FROM messages").fetchone()
        self._numbers = itertools.count(last + 1)
        self._undo: list[Callable[[], Any]] = []
        self.undone = self._take_back
        self.deployed = False
        """Whether the template is deployed: what was made before is the template's, what comes later is a user's."""

    def __exit__(self, kind: object, *raised: object) -> None:
        """An error of the file becomes one of SQS."""
        outermost = self._depth == 1
        with self.lock:
            try:
                super().__exit__(kind, *raised)
            except sqlite3.Error as problem:
                raise (_unavailable(problem) if outermost else problem) from problem
            finally:
                if outermost:
                    self._undo.clear()
        if outermost and isinstance(raised[0], sqlite3.Error):
            raise _unavailable(raised[0]) from raised[0]

    def _take_back(self) -> None:
        for undo in reversed(self._undo):
            undo()

    def write_all(self, statement: str, *rows: Sequence[Any], undo: Callable[[], Any] | None = None) -> None:
        """In the transaction that goes on; `undo` takes back in memory what the caller does there next."""
        for row in rows:
            self.write(statement, row)
        if undo:
            self._undo.append(undo)

    def enter(self, given: Json, *, users: bool) -> Queue:
        """A queue with the messages that the file has for its name."""
        arn, url = given["attributes"]["QueueArn"], given["url"]
        with self:
            self.write_all("INSERT OR IGNORE INTO queues (arn, url) VALUES (?, ?)", (arn, url))
            self.write_all("UPDATE queues SET url = ? WHERE arn = ?", (url, arn))
            number, sequence = self.read("SELECT id, last_sequence FROM queues WHERE arn = ?", (arn,)).fetchone()
            sent = self.read("SELECT key, answer FROM sent WHERE queue = ?", (number,)).fetchall()
            given = {**given, "fifo_seq": sequence, "dedup_cache": {key: json.loads(answer) for key, answer in sent}}
            queue = Queue(self, number, given, self._messages(number), users=users)
            if users:
                self.define(queue)
        return queue

    def _messages(self, queue: int) -> Iterator[Message]:
        rows = self.read(f"SELECT id, rest, {', '.join(_COLUMNS)} FROM messages WHERE queue = ? ORDER BY id", (queue,))
        for row, rest, *values in rows:
            yield {**json.loads(rest), **dict(zip(_COLUMNS, values, strict=True)), _ROW: row}

    def define(self, queue: Queue) -> None:
        """Write what a user's queue is, if that has changed."""
        if not queue.users:
            return
        definition = json.dumps({key: queue[key] for key in _DEFINED})
        with self:
            self.write_all(
                "UPDATE queues SET definition = ? WHERE id = ? AND definition IS NOT ?",
                (definition, queue.number, definition),
            )

    def defined(self) -> list[Json]:
        """The queues that users made."""
        rows = self.read("SELECT definition FROM queues WHERE definition IS NOT NULL ORDER BY id")
        return [json.loads(definition) for (definition,) in rows.fetchall()]

    def drop(self, *queues: Queue) -> None:
        numbers = [(queue.number,) for queue in queues]
        with self:
            for table, column in (("messages", "queue"), ("sent", "queue"), ("queues", "id")):
                self.write_all(f"DELETE FROM {table} WHERE {column} = ?", *numbers)

    def add(self, queue: Queue, message: Message, undo: Callable[[], Any]) -> None:
        number = next(self._numbers)
        message.pop(_ROW, None)  # a copy of a message of another queue
        rest = json.dumps({key: value for key, value in message.items() if key not in _COLUMNS})
        values = (number, queue.number, *(message.get(key) for key in _COLUMNS), rest)
        self.write_all(
            f"INSERT INTO messages (id, queue, {', '.join(_COLUMNS)}, rest) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values,
            undo=undo,
        )
        message[_ROW] = number
        if sequence := message.get("seq"):
            self.write_all("UPDATE queues SET last_sequence = ? WHERE id = ?", (int(sequence), queue.number))
        if key := message.get("dedup_cache_key"):
            self._remember(queue, key, message)

    def _remember(self, queue: Queue, key: str, message: Message) -> None:
        """What makes the same message, sent again within five minutes, no second one."""
        from ministack.services import sqs

        expires = message["sent_at"] + sqs._DEDUP_WINDOW_S
        answer = {"expire": expires, "id": message["id"], "md5": message["md5_body"], "md5a": message["md5_attrs"]}
        self.write_all("DELETE FROM sent WHERE queue = ? AND expires <= ?", (queue.number, message["sent_at"]))
        self.write_all(
            "INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?)",
            (queue.number, key, expires, json.dumps(answer | {"seq": message["seq"]})),
            undo=lambda: queue["dedup_cache"].pop(key, None),
        )

    def remove(self, messages: Iterable[Message], undo: Callable[[], Any]) -> None:
        rows = {message[_ROW]: message for message in messages if _ROW in message}
        if not rows:
            return
        self.write_all("DELETE FROM messages WHERE id = ?", *((row,) for row in rows), undo=undo)
        for row, message in rows.items():
            del message[_ROW]
            self._undo.append(functools.partial(message.__setitem__, _ROW, row))

    def received(self, messages: Iterable[Message]) -> None:
        """Write who has messages in hand, how often they came, and when they come again."""
        rows = [message for message in messages if _ROW in message]
        if rows:
            with self:
                self.write_all(
                    "UPDATE messages SET visible_at = ?, receive_count = ?, first_receive_at = ?, receipt_handle = ? "
                    "WHERE id = ?",
                    *([message[key] for key in (*_COLUMNS[1:], _ROW)] for message in rows),
                )

    def sweep(self, live: Iterable[Queue], now: float) -> None:
        """Forget what is too old of queues that the template has no longer."""
        numbers = ", ".join(str(queue.number) for queue in live)
        with self:
            self.write_all(
                f"DELETE FROM messages WHERE queue NOT IN ({numbers}) AND sent_at < ?", (now - _LONGEST_RETENTION,)
            )


def _unavailable(error: sqlite3.Error) -> Exception:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html"""
    from ministack.services import sqs

    reason = f"The queue's file cannot be written ({error}). Look at the disk with the engine's state directory."
    unavailable: Exception = sqs._Err("ServiceUnavailable", reason, 503)
    return unavailable


class Queue(Json):
    """One queue. Its messages are always a list that writes."""

    def __init__(
        self, storage: QueueStorage, number: int, given: Json, messages: Iterable[Message], *, users: bool
    ) -> None:
        super().__init__(given)
        self.storage, self.number, self.users = storage, number, users
        super().__setitem__("messages", Messages(self, messages))

    def __setitem__(self, key: str, value: Any) -> None:
        if key != "messages":
            return super().__setitem__(key, value)
        with self.storage:
            old, stay = self["messages"], {id(message) for message in value}
            restore = functools.partial(super().__setitem__, key, old)
            self.storage.remove((message for message in old if id(message) not in stay), restore)
            super().__setitem__(key, Messages(self, value))
        return None


class Messages(list[Message]):
    """The messages of one queue. It has what ministack and our mappings do with them, no more."""

    def __init__(self, queue: Queue, messages: Iterable[Message]) -> None:
        super().__init__(messages)
        self._queue, self._storage = queue, queue.storage

    def append(self, message: Message) -> None:
        from ministack.services import sqs

        sqs._ensure_msg_fields(message)
        with self._storage:
            self._storage.add(self._queue, message, lambda: super(Messages, self).remove(message))
            super().append(message)

    def pop(self, at: SupportsIndex = -1) -> Message:
        with self._storage:
            message = self[at]
            self._storage.remove([message], lambda: super(Messages, self).insert(at, message))
            return super().pop(at)

    def remove(self, message: Message) -> None:
        self.pop(self.index(message))

    def clear(self) -> None:
        with self._storage:
            messages = list(self)
            self._storage.remove(messages, lambda: super(Messages, self).extend(messages))
            super().clear()


def _all_queues(storage: QueueStorage) -> Any:
    """All queues by URL, as ministack keeps them."""
    from ministack.core.responses import AccountRegionScopedDict
    from ministack.services import sqs

    here = sqs._queue_url("").rpartition("/")[0].rpartition("/")[0]

    def dropped(queue: Any) -> Any:
        if isinstance(queue, Queue):
            storage.drop(queue)
        return queue

    class Queues(AccountRegionScopedDict):  # type: ignore[misc]
        def _scoped(self, url: str) -> Any:
            """What users made may know a queue by its URL on the port of an earlier start."""
            return super()._scoped(_HOST.sub(here, url))

        def __setitem__(self, url: str, queue: Json) -> None:
            super().__setitem__(url, storage.enter(queue, users=storage.deployed))

        def pop(self, *given: Any) -> Any:
            return dropped(super().pop(*given))

        def pop_scoped(self, *given: Any) -> Any:
            return dropped(super().pop_scoped(*given))

        def clear(self) -> None:
            storage.drop(*self.all_values())
            super().clear()

    return Queues()


def apply(state: State) -> tuple[Callable[[], None], Callable[[], None]]:
    """Keep ministack's queues in the file of a durable engine; must run after `queue_mappings` and before the first
    queue is made.

    What it answers first must be called when the template is deployed: it makes the queues again that users made. The
    second writes what others than SQS have changed of users' queues, such as a stack.
    """
    require_ministack("queues are in memory only")
    if not state.durable:
        return lambda: None, lambda: None
    from ministack.services import lambda_svc, sqs

    storage = QueueStorage(state)
    sqs._queues_lock = storage.lock
    sqs._queues = _all_queues(storage)
    sqs._collect_msgs = _received(storage, sqs._collect_msgs)
    lambda_svc._run_sqs_batch = _tried(storage, lambda_svc._run_sqs_batch)
    actions = sqs._HANDLERS
    for name in ("SetQueueAttributes", "AddPermission", "RemovePermission", "TagQueue", "UntagQueue"):
        actions[name] = _defined(storage, sqs, actions[name])
    for name in ("ChangeMessageVisibility", "ChangeMessageVisibilityBatch"):
        actions[name] = _seen_again(storage, sqs, actions[name])
    for name, action in actions.items():
        if not inspect.iscoroutinefunction(action):
            actions[name] = _whole(storage, action)
    sqs._act_send_message = actions["SendMessage"]
    for name in ("_dlq_sweep", "_expire_retained", "_receive_messages_for_esm", "_delete_messages_for_esm"):
        setattr(sqs, name, _whole(storage, getattr(sqs, name)))
    return functools.partial(_restore, storage, sqs), functools.partial(_define, storage, sqs)


def _restore(storage: QueueStorage, sqs: Any) -> None:
    for definition in storage.defined():
        name = definition["name"]
        account, region = sqs._owner_from_queue_arn(definition["attributes"]["QueueArn"])
        if not sqs._queue_name_to_url.contains_scoped(account, region, name):
            url = sqs._queue_url_for_account(account, name)  # the engine's port may be another
            queue = storage.enter(definition | {"url": url}, users=True)
            sqs._queues.set_scoped(account, region, url, queue)
            sqs._queue_name_to_url.set_scoped(account, region, name, url)
    storage.sweep(sqs._queues.all_values(), time.time())
    storage.deployed = True


def _define(storage: QueueStorage, sqs: Any) -> None:
    with storage:
        for queue in sqs._queues.all_values():
            storage.define(queue)


def _whole(storage: QueueStorage, action: Callable[..., Any]) -> Callable[..., Any]:
    def whole(*given: Any) -> Any:
        with storage:
            return action(*given)

    return whole


def _received(storage: QueueStorage, collect: Callable[..., list[Message]]) -> Callable[..., list[Message]]:
    def received(*given: Any) -> list[Message]:
        with storage:
            messages = collect(*given)
            storage.received(messages)
            return messages

    return received


def _tried(storage: QueueStorage, run: Callable[..., None]) -> Callable[..., None]:
    def tried(mapping: Json, function: Json, event: Json, batch: list[Message], *rest: Any) -> None:
        try:
            run(mapping, function, event, batch, *rest)
        finally:
            storage.received(batch)  # what failed: the rest is gone

    return tried


def _defined(storage: QueueStorage, sqs: Any, action: Callable[[Json, str], Any]) -> Callable[[Json, str], Any]:
    def defined(data: Json, url: str) -> Any:
        answer = action(data, url)
        storage.define(sqs._get_q(data.get("QueueUrl", url)))
        return answer

    return defined


def _seen_again(storage: QueueStorage, sqs: Any, action: Callable[[Json, str], Any]) -> Callable[[Json, str], Any]:
    def seen_again(data: Json, url: str) -> Any:
        answer = action(data, url)
        handles = {entry.get("ReceiptHandle") for entry in (data, *data.get("Entries", ()))} - {None}
        messages = sqs._get_q(data.get("QueueUrl", url))["messages"]
        storage.received(message for message in messages if message["receipt_handle"] in handles)
        return answer

    return seen_again
