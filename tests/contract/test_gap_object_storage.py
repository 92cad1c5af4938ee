"""The embedded engine's buckets are on disk: what was answered is there after kill -9, and what failed is nowhere."""

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
import asyncio, json, os, random, re, signal, sys, time
from pathlib import Path
from urllib.parse import parse_qs

from universal_scheduler.local.gaps import object_storage
from universal_scheduler.local.state import Safety, State
from ministack.services import s3

if sys.argv[1] != "stock":
    restore, _, notify = object_storage.apply(State(Path(sys.argv[1]), Safety.PROCESS))


def call(method, path, body=b"", **headers):
    path, _, query = path.partition("?")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    parsed = parse_qs(query, keep_blank_values=True)
    status, fields, content = asyncio.run(s3.handle_request(method, path, named, body, parsed))
    assert status < 500 or named, content
    return status, fields, content


def made(name):
    status, _, content = call("PUT", f"/{name}")
    assert status == 200, content


def dump():
    def asked(path):
        status, fields, content = call("GET", path)
        fields = {name: value for name, value in fields.items() if not name.startswith(("x-amz-id", "x-amz-request"))}
        content = content.encode() if isinstance(content, str) else content
        return status, fields, re.sub("<RequestId>.*?</RequestId>", "", content.decode("latin-1"))

    places = ("", "?versions", "?uploads", "?versioning", "?tagging", "?policy", "?lifecycle", "?notification",
              "?encryption", "?cors", "?acl", "?object-lock", "?publicAccessBlock", "?location")
    listed = re.findall("<Name>(.*?)</Name>", call("GET", "/")[2].decode())
    found = [[name, [asked(f"/{name}{place}") for place in places]] for name in listed]
    for name, answers in found:
        versions = answers[1][2].encode("latin-1").decode()
        for key, version in re.findall("<Key>(.*?)</Key><VersionId>(.*?)</VersionId>", versions):
            for about in ("", "&tagging", "&acl", "&retention", "&legal-hold"):
                answers.append([key, version, about, asked(f"/{name}/{key}?versionId={version}{about}")])
                answers.append([key, about, asked(f"/{name}/{key}?{about}")])
    for name, upload in sorted(s3._multipart_uploads.items()):
        found.append([name, asked(f"/{upload['bucket']}/{upload['key']}?uploadId={name}")])
    return found


def restored():
    made("template")
    restore()


kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
say = lambda *what: print(json.dumps(what), flush=True)
VERSIONED = b"<VersioningConfiguration><Status>%s</Status></VersioningConfiguration>"
"""

PLAY = (
    START
    + """
restored()
made("mine")
made("gone")
call("PUT", "/mine?tagging", b"<Tagging><TagSet><Tag><Key>owner</Key><Value>me</Value></Tag></TagSet></Tagging>")
call("PUT", "/mine?lifecycle", b"<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix/>"
     b"</Filter><Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>")
call("DELETE", "/gone")
status, _, content = call("PUT", "/locked", x_amz_bucket_object_lock_enabled="true")
assert status == 200, content
rng = random.Random(int(sys.argv[2]))
uploads, versions, completed = [], [], []
object_storage._CHUNK = 1000


def body():
    return rng.randbytes(rng.choice([0, 1, 999, 1000, 1001, 5000]))


def step():
    bucket = rng.choice(["template", "mine", "locked"])
    key = rng.choice(["a", "b", "c/d", "%C3%A4", "e f".replace(" ", "%20")])
    match rng.randrange(13):
        case 0 | 1 | 2:
            more = rng.choice([{}, {"x_amz_meta_of": "x"}, {"x_amz_tagging": "k=v"}, {"x_amz_acl": "public-read"},
                               {"content_type": "text/plain", "x_amz_storage_class": "STANDARD_IA"}])
            fields = call("PUT", f"/{bucket}/{key}", body(), **more)[1]
            if version := fields.get("x-amz-version-id"):
                versions.append((bucket, key, version))
        case 3:
            call("DELETE", f"/{bucket}/{key}")
        case 4:
            if versions:
                bucket, key, version = versions.pop(rng.randrange(len(versions)))
                call("DELETE", f"/{bucket}/{key}?versionId={version}")
        case 5:
            call("PUT", "/template/copy", x_amz_copy_source=f"/{bucket}/{key}")
        case 6:
            call("PUT", f"/{bucket}/{key}?tagging",
                 b"<Tagging><TagSet><Tag><Key>n</Key><Value>%d</Value></Tag></TagSet></Tagging>" % rng.randrange(9))
        case 7:
            hold = b"<LegalHold><Status>%s</Status></LegalHold>" % rng.choice([b"ON", b"OFF"])
            call("PUT", f"/{bucket}/{key}?legal-hold", hold)
        case 8:
            call("PUT", f"/mine?versioning", VERSIONED % rng.choice([b"Enabled", b"Suspended"]))
        case 9:
            number = re.search("<UploadId>(.*)</UploadId>", call("POST", f"/{bucket}/{key}?uploads")[2].decode())[1]
            uploads.append((bucket, key, number, {}))
        case 10 | 11:
            if uploads:
                bucket, key, number, parts = rng.choice(uploads)
                part = rng.randint(1, 3)
                parts[part] = call("PUT", f"/{bucket}/{key}?partNumber={part}&uploadId={number}", body())[1]["ETag"]
        case 12:
            if uploads:
                bucket, key, number, parts = uploads.pop(rng.randrange(len(uploads)))
                if rng.random() < 0.2 or not parts:
                    return call("DELETE", f"/{bucket}/{key}?uploadId={number}")
                part = "<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>"
                text = "".join(part.format(at, tag) for at, tag in sorted(parts.items()))
                text = f"<CompleteMultipartUpload>{text}</CompleteMultipartUpload>".encode()
                request = "POST", f"/{bucket}/{key}?uploadId={number}", text
                completed.append([request[1], text.decode(), call(*request)[2].decode()])
            keys = "".join(f"<Object><Key>{key}</Key></Object>" for key in ("a", "b") if rng.random() < 0.5)
            if keys:
                call("POST", f"/{bucket}?delete", f"<Delete>{keys}</Delete>".encode())


for _ in range(rng.randint(30, 120)):
    step()
say(dump(), completed)
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
    [[before, completed]] = run(PLAY, tmp_path, seed)
    again = f"[call('POST', path, body.encode())[2].decode() for path, body, _ in {completed!r}]"
    [[after, answers]] = run(f"{START}restored(); say(dump(), {again})", tmp_path)
    assert {"mine", "locked", "template"} <= {name for name, _ in before}
    assert after == before
    assert answers == [answer for _, _, answer in completed], "who asks again gets the same answer"


def test_ministack_alone_forgets() -> None:
    """The gap: this fails when upstream writes what it answers."""
    script = START + "made('template'); say(call('PUT', '/template/a', b'x')[0]); kill()"
    assert run(script, "stock") == [[200]]
    assert run(START + "made('template'); say(call('GET', '/template/a')[0])", "stock") == [[404]]


def test_bodies_leave_the_memory_and_keys_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    held = "say(s3._buckets._data[s3.get_account_id(), 'template'].get('objects')['a']['body'])"
    assert run(START + "restored(); call('PUT', '/template/a', b'x' * 9999); " + held, tmp_path) == [[None]]
    seen = "say('objects' in s3._buckets._data[s3.get_account_id(), 'template'])"
    read = "say(len(call('GET', '/template/a')[2]))"
    assert run(f"{START}restored(); {seen}; {read}; {seen}", tmp_path) == [[False], [9999], [True]]


def test_a_notification_that_was_not_sent_is_sent_by_the_next_engine(tmp_path: Path) -> None:
    noted = """
made("template")
call("PUT", "/template?notification", b"<NotificationConfiguration><EventBridgeConfiguration/>"
     b"</NotificationConfiguration>")
sent = []


def fire(**given):
    if "CUT" == "yes":
        time.sleep(1000)
    sent.append(given)


s3._fire_s3_event = fire
restore()
notify()
"""
    run(START + noted.replace("CUT", "yes") + "call('PUT', '/template/a', b'xyz'); kill()", tmp_path)
    count = "storage = s3._buckets['template']._storage\nwhile storage.waiting_notifications():\n    time.sleep(0.01)\n"
    wait = START + noted + "deadline = time.monotonic() + 10\n" + count + "say(*sent)"
    [[first]] = run(wait, tmp_path)
    assert (first["bucket_name"], first["key"], first["size"]) == ("template", "a", 3)
    assert first["event_name"] == "s3:ObjectCreated:Put"
    [nothing_more] = run(wait, tmp_path)
    assert nothing_more == []


def test_objects_that_cannot_be_written_are_refused_and_nothing_of_them_stays(tmp_path: Path) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList"""
    small = """
restored()
made("mine")
call("PUT", "/mine?versioning", VERSIONED % b"Enabled")
storage = s3._buckets["template"]._storage
call("PUT", "/mine/a", b"first")
number = re.search("<UploadId>(.*)</UploadId>", call("POST", "/mine/u?uploads")[2].decode())[1]
call("PUT", f"/mine/u?partNumber=1&uploadId={number}", b"part")
pages = storage._file._connection.execute("PRAGMA page_count").fetchone()[0]
storage._file._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
before = dump()
large = b"x" * 1_000_000
tag = b"<Part><PartNumber>1</PartNumber></Part>" + b" " * 99999
refused = [
    call("PUT", "/mine/a", large, content_type="text/plain"),
    call("PUT", "/template/new", large, content_type="text/plain"),
    call("PUT", f"/mine/u?partNumber=1&uploadId={number}", large, content_type="text/plain"),
    call("PUT", "/mine?policy", json.dumps({"Statement": "x" * 100_000}).encode(), content_type="text/plain"),
]
say([status for status, _, _ in refused], refused[0][2].decode(), dump() == before)
storage._file._connection.execute("PRAGMA max_page_count = 1000000")
say(call("PUT", "/mine/a", large)[0], call("GET", "/mine/a")[2] == large)
say(dump())
kill()
"""
    [[statuses, text, nothing], later, [before]] = run(START + small, tmp_path)
    assert statuses == [503] * 4
    assert "<Code>ServiceUnavailable</Code>" in text
    assert "Look at the disk" in text
    assert nothing is True
    assert later == [200, True]
    assert run(START + "restored(); say(dump())", tmp_path) == [[before]]


FIRST_RELEASE = r"""
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
INSERT INTO buckets VALUES (1, '000000000000', 'template', NULL), (2, '000000000000', 'mine',
    '{"bucket": {"created": "2026-11-25T21:58:20.487Z", "region": "us-east-1"},
      "settings": {"bucket_versioning": "Enabled"}}');
INSERT INTO objects VALUES
    (1, 'b', '{"current": {"content_type": "text/plain", "content_encoding": null, "etag": "\"e\"", "last_modified":
      "2026-11-25T21:58:20.489Z", "size": 4, "metadata": {}, "preserved_headers": {}, "storage_class": "STANDARD",
      "checksums": {}}, "versions": []}'),
    (2, 'a', '{"current": {"content_type": "text/plain", "content_encoding": null, "etag": "\"f\"", "last_modified":
      "2026-11-25T21:58:20.488Z", "size": 5, "metadata": {"x-amz-meta-of": "x"}, "preserved_headers": {},
      "storage_class": "STANDARD", "checksums": {}, "version_id": "v"}, "versions": [{"version_id": "v",
      "last_modified": "2026-11-25T21:58:20.488Z", "etag": "\"f\"", "size": 5, "is_latest": true, "content_type":
      "text/plain", "content_encoding": null, "metadata": {"x-amz-meta-of": "x"}, "preserved_headers": {},
      "storage_class": "STANDARD", "checksums": {}, "parts": null, "replication_status": null}],
      "tags": [["v", {"k": "v"}]]}');
INSERT INTO bodies VALUES (2, 'a', 'v', 0, X'6669'), (2, 'a', 'v', 1, X'727374'), (1, 'b', 'null', 0, X'626F6479');
INSERT INTO uploads VALUES ('000000000000', 'u', '{"bucket": "mine", "key": "u", "metadata": {}, "content_type":
    "text/plain", "content_encoding": null, "preserved_headers": {}, "requested_sse": null, "storage_class":
    "STANDARD", "checksum_algorithm": null, "created": "2026-11-25T21:58:20.489Z"}');
INSERT INTO parts VALUES ('000000000000', 'u', 1,
    '{"etag": "\"p\"", "size": 4, "last_modified": "2026-11-25T21:58:20.490Z", "checksums": {}}', X'70617274');
PRAGMA user_version = 1;
"""


def test_the_file_of_the_first_release_goes_on(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "objects.sqlite")) as written:
        written.executescript(FIRST_RELEASE)
    script = """
restored()
status, fields, content = call("GET", "/mine/a?versionId=v")
say(status, fields["x-amz-meta-of"], content.decode(), call("GET", "/mine/a?tagging")[2].decode())
say(call("GET", "/template/b")[2].decode())
part = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"
say(call("POST", "/mine/u?uploadId=u", part)[0], call("GET", "/mine/u")[2].decode())
"""
    [status, of, content, tags], *rest = run(START + script, tmp_path)
    assert (status, of, content) == (200, "x", "first")
    assert "<Key>k</Key><Value>v</Value>" in tags
    assert rest == [["body"], [200, "part"]]
