"""Gap: buckets and objects are in memory. What ministack writes with S3_PERSIST comes in pieces, forgets settings,
parts of uploads and locks, and takes an error of the disk for success.

On a durable engine what a request to S3 has changed is written in one transaction, before the answer: the object with
its versions, tags, lists of access and locks, parts of uploads, settings of users' buckets, and the notifications that
are still to be sent. Bodies leave the memory. A bucket's keys are read when the first of them is asked for. Buckets of
the template are made anew at each start, and find their objects by name.
"""

from __future__ import annotations

import contextvars
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from universal_scheduler.local.gaps import edit, require_ministack
from universal_scheduler.local.gaps.transactions import File
from universal_scheduler.local.state import State

Json = dict[str, Any]
Place = tuple[str, str, str]
"""Account, bucket and key of an object."""

_CACHE_KILOBYTES = 4000
_CHUNK = 16 * 2**20
"""Bytes of a body in one row: SQLite takes a thousand million at most. https://www.sqlite.org/limits.html"""
_REPEATABLE_SECONDS = 86400.0
"""For so long who has completed an upload may ask again and gets the same answer."""
_NULL = "null"
_SCHEMA = """
CREATE TABLE buckets (
    id INTEGER PRIMARY KEY, account TEXT NOT NULL, name TEXT NOT NULL, definition TEXT, UNIQUE (account, name)
);
CREATE TABLE objects (
    bucket INTEGER NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE bodies (
    bucket INTEGER NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (bucket, key, version, at)
);
CREATE TABLE uploads (account TEXT NOT NULL, id TEXT NOT NULL, upload TEXT NOT NULL, PRIMARY KEY (account, id));
CREATE TABLE parts (
    account TEXT NOT NULL, upload TEXT NOT NULL, number INTEGER NOT NULL, part TEXT NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (account, upload, number)
);
CREATE TABLE completed (
    account TEXT NOT NULL, id TEXT NOT NULL, at REAL NOT NULL, answer TEXT NOT NULL, PRIMARY KEY (account, id)
);
CREATE TABLE notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, region TEXT NOT NULL, given TEXT NOT NULL
);
"""


class Unwritable(Exception):
    """The file cannot be written. Nothing was changed."""


class ObjectStorage:
    """The file. Everything that changes an object is done under its lock."""

    def __init__(self, state: State, s3: Any) -> None:
        self._s3 = s3
        self._file = File(state, "objects", [_SCHEMA], cache_kilobytes=_CACHE_KILOBYTES)
        self.lock = self._file.lock
        self._depth = 0
        self._objects: dict[Place, None] = {}
        self._buckets: dict[tuple[str, str], None] = {}
        self._uploads: dict[tuple[str, str], None] = {}
        self._notifications: list[Notification] = []
        self._beside = {
            name: getattr(s3, f"_object_{name}") for name in ("tags", "acl", "annotations", "retention", "legal_hold")
        }
        """What is stored beside the objects, by bucket, key and version."""
        self.deployed = False
        """Whether the template is deployed: what was made before is the template's, what comes later is a user's."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is touched in it is written at its end. If that cannot be, memory is again as the file is.

        Raises:
            Unwritable: it cannot be written.
        """
        with self.lock:
            if self._depth:
                yield
                return
            self._depth = 1
            try:
                yield
            finally:
                try:
                    self._write()
                    for notification in self._notifications:
                        notification.start()
                finally:
                    self._depth = 0
                    self._objects, self._buckets, self._uploads, self._notifications = {}, {}, {}, []

    def touch(self, bucket: str, key: str) -> None:
        """The object, or its versions, may be other than before."""
        with self.transaction():
            self._objects[self._s3.get_account_id(), bucket, key] = None

    def touch_bucket(self, bucket: str, account: str | None = None) -> None:
        with self.transaction():
            self._buckets[account or self._s3.get_account_id(), bucket] = None

    def touch_upload(self, upload: str) -> None:
        with self.transaction():
            self._uploads[self._s3.get_account_id(), upload] = None

    def notify(self, notification: Notification) -> None:
        with self.transaction():
            self._notifications.append(notification)

    @contextmanager
    def _writing(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        try:
            with self._file:
                yield self._file.write
        except sqlite3.Error as error:
            reason = f"The objects' file cannot be written ({error})."
            raise Unwritable(f"{reason} Look at the disk with the engine's state directory.") from error

    def _write(self) -> None:
        if not (self._objects or self._buckets or self._uploads or self._notifications):
            return
        try:
            with self._writing() as execute:
                for account, name in self._buckets:
                    self._define(account, name)
                for place in self._objects:
                    self._write_object(place)
                for account, upload in self._uploads:
                    self._write_upload(account, upload)
                for notification in self._notifications:
                    notification.number = execute(
                        "INSERT INTO notifications (account, region, given) VALUES (?, ?, ?)",
                        (notification.account, notification.region, json.dumps(notification.given)),
                    ).lastrowid
        except Unwritable:
            self._read_again()
            raise
        self._forget_bodies()

    # Buckets

    def bucket(self, account: str, name: str) -> Bucket | None:
        found = self._s3._buckets.get_scoped(account, None, name)
        return found if isinstance(found, Bucket) else None

    def enter(self, account: str, name: str, given: Json, *, users: bool) -> Bucket:
        with self._writing() as execute:
            execute("INSERT OR IGNORE INTO buckets (account, name) VALUES (?, ?)", (account, name))
            [number] = execute("SELECT id FROM buckets WHERE account = ? AND name = ?", (account, name)).fetchone()
        return Bucket(self, number, account, name, given, users=users)

    def drop(self, bucket: Bucket) -> None:
        with self._writing() as execute:
            for table, column in (("objects", "bucket"), ("bodies", "bucket"), ("buckets", "id")):
                execute(f"DELETE FROM {table} WHERE {column} = ?", (bucket.number,))

    def _define(self, account: str, name: str) -> None:
        bucket = self.bucket(account, name)
        if bucket is None or not bucket.users:
            return
        settings = {
            kind: store.get_scoped(account, None, name)
            for kind, store in self._settings()
            if store.contains_scoped(account, None, name)
        }
        definition = _text({"bucket": {key: bucket[key] for key in bucket if key != "objects"}, "settings": settings})
        self._file.write(
            "UPDATE buckets SET definition = ? WHERE id = ? AND definition IS NOT ?",
            (definition, bucket.number, definition),
        )

    def _settings(self) -> Iterator[tuple[str, Any]]:
        for kind, store in self._s3._PERSISTED_BUCKET_DICTS.items():
            if kind.startswith("bucket_"):
                yield kind, store

    def restore_buckets(self) -> None:
        """Make the buckets again that users made."""
        rows = self._file.read("SELECT account, name, definition FROM buckets WHERE definition IS NOT NULL")
        for account, name, text in rows.fetchall():
            if not self._s3._buckets.contains_scoped(account, None, name):
                definition = _read(text)
                bucket = self.enter(account, name, definition["bucket"], users=True)
                self._s3._buckets.set_scoped(account, None, name, bucket)
                for kind, store in self._settings():
                    if kind in definition["settings"]:
                        store.set_scoped(account, None, name, definition["settings"][kind])

    # Objects

    def load(self, bucket: Bucket) -> Json:
        """The objects of a bucket."""
        objects: Json = {}
        rows = self._file.read("SELECT key, state FROM objects WHERE bucket = ?", (bucket.number,))
        for key, state in rows.fetchall():
            self._enter_object(bucket, objects, key, _read(state))
        return objects

    def _enter_object(self, bucket: Bucket, objects: Json, key: str, state: Json) -> None:
        account, name = bucket.account, bucket.name
        if state["current"] is not None:
            objects[key] = {**state["current"], "body": None}
        if state["versions"]:
            versions = [{**version, "data": None} for version in state["versions"]]
            self._s3._object_versions.set_scoped(account, None, (name, key), versions)
        for kind, store in self._beside.items():
            for version, value in state.get(kind, ()):
                store.set_scoped(account, None, (name, key, version), value)

    def _write_object(self, place: Place) -> None:
        account, name, key = place
        bucket = self.bucket(account, name)
        if bucket is None:
            return
        current, versions = self._in_memory(bucket, key)
        stay = []
        for version, body in _bodies(current, versions):
            stay.append(version)
            if body is not None:
                self._file.write(
                    "DELETE FROM bodies WHERE bucket = ? AND key = ? AND version = ?", (bucket.number, key, version)
                )
                for at, start in enumerate(range(0, len(body), _CHUNK)):
                    self._file.write(
                        "INSERT INTO bodies (bucket, key, version, at, data) VALUES (?, ?, ?, ?, ?)",
                        (bucket.number, key, version, at, body[start : start + _CHUNK]),
                    )
        self._file.write(
            "DELETE FROM bodies WHERE bucket = ? AND key = ? AND version NOT IN (SELECT value FROM json_each(?))",
            (bucket.number, key, json.dumps(stay)),
        )
        if current is None and not versions:
            self._file.write("DELETE FROM objects WHERE bucket = ? AND key = ?", (bucket.number, key))
            return
        state: Json = {
            "current": None if current is None else {name: it for name, it in current.items() if name != "body"},
            "versions": [{name: it for name, it in version.items() if name != "data"} for version in versions],
        }
        names = [None, *dict.fromkeys([_NULL, *(version["version_id"] for version in versions)])]
        for kind, store in self._beside.items():
            found = [(version, store.get_scoped(account, None, (name, key, version))) for version in names]
            if found := [pair for pair in found if pair[1] is not None]:
                state[kind] = found
        self._file.write(
            "INSERT OR REPLACE INTO objects (bucket, key, state) VALUES (?, ?, ?)", (bucket.number, key, _text(state))
        )

    def _in_memory(self, bucket: Bucket, key: str) -> tuple[Json | None, list[Json]]:
        versions = self._s3._object_versions.get_scoped(bucket.account, None, (bucket.name, key))
        return bucket["objects"].get(key), versions or []

    def _forget_bodies(self) -> None:
        for account, name, key in self._objects:
            if bucket := self.bucket(account, name):
                current, versions = self._in_memory(bucket, key)
                for version in versions:
                    if "data" in version:
                        version["data"] = None
                if current is not None:
                    current["body"] = None

    def body(self, bucket_name: str, key: str, version: str) -> bytes | None:
        """None if there is no such object or version."""
        bucket = self.bucket(self._s3.get_account_id(), bucket_name)
        if bucket is None:
            return None
        with self.lock:
            chunks = self._file.read(
                "SELECT data FROM bodies WHERE bucket = ? AND key = ? AND version = ? ORDER BY at",
                (bucket.number, key, version),
            ).fetchall()
        return b"".join(data for (data,) in chunks)

    # Uploads in parts

    def _write_upload(self, account: str, number: str) -> None:
        execute = self._file.write
        upload = self._s3._multipart_uploads.get_scoped(account, None, number)
        if upload is None:
            execute("DELETE FROM uploads WHERE account = ? AND id = ?", (account, number))
            execute("DELETE FROM parts WHERE account = ? AND upload = ?", (account, number))
            if done := self._s3._completed_multipart_uploads.get_scoped(account, None, number):
                execute(
                    "INSERT OR REPLACE INTO completed (account, id, at, answer) VALUES (?, ?, ?, ?)",
                    (account, number, time.time(), _text(done)),
                )
            return
        text = _text({key: value for key, value in upload.items() if key != "parts"})
        execute("INSERT OR REPLACE INTO uploads (account, id, upload) VALUES (?, ?, ?)", (account, number, text))
        for at, part in upload["parts"].items():
            if not isinstance(part, _Written):
                rest = _text({key: value for key, value in part.items() if key != "body"})
                values = (account, number, at, rest, part["body"])
                execute(
                    "INSERT OR REPLACE INTO parts (account, upload, number, part, data) VALUES (?, ?, ?, ?, ?)", values
                )
                upload["parts"][at] = _Written(part)

    def _read_upload(self, account: str, number: str) -> None:
        row = self._file.read("SELECT upload FROM uploads WHERE account = ? AND id = ?", (account, number)).fetchone()
        uploads = self._s3._multipart_uploads
        if row is None:
            uploads._data.pop((account, number), None)
            return
        parts = self._file.read(
            "SELECT number, part, data FROM parts WHERE account = ? AND upload = ?", (account, number)
        )
        read = {at: _Written({**_read(part), "body": data}) for at, part, data in parts.fetchall()}
        uploads._data[account, number] = {**_read(row[0]), "parts": read}
        self._s3._completed_multipart_uploads._data.pop((account, number), None)

    def restore_uploads(self) -> None:
        with self._writing():
            self._file.write("DELETE FROM completed WHERE at < ?", (time.time() - _REPEATABLE_SECONDS,))
            for account, number in self._file.read("SELECT account, id FROM uploads").fetchall():
                self._read_upload(account, number)
            done = self._file.read("SELECT account, id, answer FROM completed").fetchall()
        for account, number, text in done:
            answer = _read(text)
            answer["response"] = tuple(answer["response"])
            self._s3._completed_multipart_uploads.set_scoped(account, None, number, answer)

    # Notifications

    def waiting_notifications(self) -> list[Notification]:
        with self.lock:
            rows = self._file.read("SELECT id, account, region, given FROM notifications ORDER BY id")
            return [
                Notification(self, account, region, json.loads(given), number)
                for number, account, region, given in rows.fetchall()
            ]

    def notified(self, number: int) -> None:
        with self._writing() as execute:
            execute("DELETE FROM notifications WHERE id = ?", (number,))

    def _read_again(self) -> None:
        """What was touched becomes again what the file says."""
        for account, name in self._buckets:
            bucket = self.bucket(account, name)
            if bucket is None or not bucket.users:
                continue
            row = self._file.read("SELECT definition FROM buckets WHERE id = ?", (bucket.number,)).fetchone()
            definition = _read(row[0]) if row and row[0] else None
            for kind, store in self._settings():
                store.pop_scoped(account, None, name, None)
                if definition and kind in definition["settings"]:
                    store.set_scoped(account, None, name, definition["settings"][kind])
            if definition is None:
                self._s3._buckets.pop_scoped(account, None, name)
            else:
                bucket.update(definition["bucket"])
        for account, name, key in self._objects:
            if bucket := self.bucket(account, name):
                bucket["objects"].pop(key, None)
                self._s3._object_versions.pop_scoped(account, None, (name, key), None)
                row = self._file.read(
                    "SELECT state FROM objects WHERE bucket = ? AND key = ?", (bucket.number, key)
                ).fetchone()
                if row:
                    self._enter_object(bucket, bucket["objects"], key, _read(row[0]))
        for account, upload in self._uploads:
            self._read_upload(account, upload)


class Bucket(Json):
    """One bucket. Its objects are read when they are asked for."""

    def __init__(
        self, storage: ObjectStorage, number: int, account: str, name: str, given: Json, *, users: bool
    ) -> None:
        super().__init__({key: value for key, value in given.items() if key != "objects"})
        self.number, self.account, self.name, self.users = number, account, name, users
        self._storage = storage

    def __missing__(self, key: str) -> Any:
        if key != "objects":
            raise KeyError(key)
        with self._storage.lock:
            if key not in self:
                self[key] = self._storage.load(self)
        return self[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self["objects"] if key == "objects" else super().get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        return self["objects"] if key == "objects" else super().setdefault(key, default)


class _Written(Json):
    """A part that is in the file."""


class Notification:
    """That an object was made or removed, on its way to who wants to hear of it."""

    def __init__(
        self, storage: ObjectStorage, account: str, region: str, given: Mapping[str, Any], number: int | None = None
    ) -> None:
        self._storage, self.account, self.region, self.given, self.number = storage, account, region, given, number

    def start(self) -> None:
        threading.Thread(target=contextvars.Context().run, args=(self._send,), daemon=True).start()

    def _send(self) -> None:
        from ministack.core.responses import set_request_account_id, set_request_region
        from ministack.services import s3

        set_request_account_id(self.account)
        set_request_region(self.region)
        s3._fire_s3_event(**self.given)
        if self.number is not None:
            self._storage.notified(self.number)


def _bodies(current: Json | None, versions: list[Json]) -> Iterator[tuple[str, bytes | None]]:
    """Versions that have a body, and the body as long as it is in memory only."""
    found = {version["version_id"]: version.get("data") for version in versions if not version.get("is_delete_marker")}
    if current is not None:
        name = current.get("version_id") or _NULL
        if found.get(name) is None:
            found[name] = current.get("body")
    yield from found.items()


def _text(value: Any) -> str:
    from ministack.core import persistence

    return json.dumps(value, default=persistence._json_default)


def _read(text: str) -> Any:
    from ministack.core import persistence

    return json.loads(text, object_hook=persistence._json_object_hook)


def apply(state: State) -> tuple[Callable[[], None], Callable[[], None], Callable[[], None]]:
    """Keep ministack's buckets in the file of a durable engine; must run before the first bucket is made.

    What it answers first must be called when the template is deployed: it makes the buckets again that users made. The
    second writes what others than S3 have changed of users' buckets, such as a stack. The third sends the notifications
    that an earlier engine has not sent.
    """
    require_ministack("buckets are in memory only")
    if not state.durable:
        return (lambda: None,) * 3
    from ministack.services import s3
    from ministack.services.cloudformation import provisioners

    edit(s3._create_bucket, ("if S3_PERSIST:", "if False:  # the bucket is in the file"))
    storage = ObjectStorage(state, s3)
    s3.S3_PERSIST = True
    s3._buckets = _all_buckets(storage)
    s3._multipart_uploads = _all_uploads(storage)
    touch = storage.touch
    s3._persist_object = s3._persist_delete_marker = lambda bucket, key, _: touch(bucket, key)
    s3._persist_version_state = s3._delete_version_file = lambda bucket, key, _: touch(bucket, key)
    s3._persist_displaced_version = lambda bucket, key, *_: touch(bucket, key)
    s3._delete_persisted_object = touch
    s3._delete_persisted_bucket = lambda _: None
    s3._version_body = lambda _, bucket, key, version: _in_hand_or(
        version.get("data"), storage, bucket, key, version["version_id"]
    )
    s3._read_body = lambda bucket, key, current: (
        _in_hand_or(current.get("body"), storage, bucket, key, current.get("version_id") or _NULL) or b""
    )
    s3._dispatch = _written(storage, s3, s3._dispatch)
    s3._fire_s3_event_async = _noted(storage, s3)
    kinds = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    kinds["create"] = _named(provisioners, kinds["create"])

    def restore() -> None:
        storage.restore_buckets()
        storage.restore_uploads()
        storage.deployed = True

    def define() -> None:
        with storage.transaction():
            for account, name in list(s3._buckets._data):
                storage.touch_bucket(name, account)

    def notify() -> None:
        for notification in storage.waiting_notifications():
            notification.start()

    return restore, define, notify


def _all_buckets(storage: ObjectStorage) -> Any:
    from ministack.core.responses import AccountScopedDict, get_account_id

    from universal_scheduler.local import deploy

    class Buckets(AccountScopedDict):  # type: ignore[misc]
        def __setitem__(self, name: str, given: Json) -> None:
            if name == deploy.ARTIFACTS:  # it is filled anew at each start
                super().__setitem__(name, given)
                return
            super().__setitem__(name, storage.enter(get_account_id(), name, given, users=storage.deployed))
            storage.touch_bucket(name)

        def setdefault(self, name: str, default: Any = None) -> Any:
            if name not in self:
                self[name] = default
            return self[name]

        def get(self, name: str, default: Any = None) -> Any:
            bucket = super().get(name, default)
            if isinstance(bucket, Bucket):
                bucket.get("objects")  # their versions are read, too
            return bucket

        def __delitem__(self, name: str) -> None:
            drop(self[name])
            super().__delitem__(name)

        def pop(self, name: str, *default: Any) -> Any:
            drop(super().get(name))
            return super().pop(name, *default)

        def clear(self) -> None:
            for bucket in list(self._data.values()):
                drop(bucket)
            super().clear()

    def drop(bucket: Any) -> None:
        if isinstance(bucket, Bucket):
            storage.drop(bucket)

    return Buckets()


def _all_uploads(storage: ObjectStorage) -> Any:
    from ministack.core.responses import AccountScopedDict

    class Uploads(AccountScopedDict):  # type: ignore[misc]
        def __setitem__(self, number: str, upload: Json) -> None:
            super().__setitem__(number, upload)
            storage.touch_upload(number)

        def __delitem__(self, number: str) -> None:
            super().__delitem__(number)
            storage.touch_upload(number)

    return Uploads()


def _in_hand_or(data: bytes | None, storage: ObjectStorage, bucket: str, key: str, version: str) -> bytes | None:
    return data if data is not None else storage.body(bucket, key, version)


def _written(storage: ObjectStorage, s3: Any, dispatch: Callable[..., Any]) -> Callable[..., Any]:
    def written(method: str, bucket: str, key: str, headers: Json, body: bytes, query: Json) -> Any:
        if method in ("GET", "HEAD"):
            return dispatch(method, bucket, key, headers, body, query)
        try:
            with storage.transaction():
                answer = dispatch(method, bucket, key, headers, body, query)
                if "uploadId" in query:
                    storage.touch_upload(s3._qp(query, "uploadId"))
                elif key:
                    storage.touch(bucket, key)
                else:
                    storage.touch_bucket(bucket)
                return answer
        except Unwritable as error:
            # https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
            return s3._error("ServiceUnavailable", str(error), 503, f"/{bucket}/{key}")

    return written


def _noted(storage: ObjectStorage, s3: Any) -> Callable[..., None]:
    names = ("size", "etag", "deletion_type")

    def noted(bucket_name: str, key: str, event_name: str, *rest: Any, **more: Any) -> None:
        if bucket_name in s3._bucket_notifications:
            given = {
                "bucket_name": bucket_name,
                "key": key,
                "event_name": event_name,
                **dict(zip(names, rest, strict=False)),
                **more,
            }
            given["sequencer"] = s3._next_event_sequencer(event_name)
            storage.notify(Notification(storage, s3.get_account_id(), s3.get_region(), given))

    return noted


def _named(provisioners: Any, create: Callable[..., Any]) -> Callable[..., Any]:
    """The template's bucket without a name gets the same name at each start: else its objects would not be found."""
    from universal_scheduler.local import deploy

    def named(logical_id: str, properties: Json, stack: str) -> Any:
        if stack == deploy.STACK and not properties.get("BucketName"):
            provisioners._NAME_SEED.set("kept")
        return create(logical_id, properties, stack)

    return named
