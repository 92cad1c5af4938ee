"""The backup file of a durable engine: written, checked, taken back; and what is refused."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from universal_scheduler.local.service import backup
from universal_scheduler.local.service.backup import BackupError
from universal_scheduler.local.state import Safety, State

SCHEMA = "CREATE TABLE notes (text TEXT)"


class Home:
    """A state directory with one service."""

    def __init__(self, path: Path, *, safety: Safety = Safety.PROCESS, migrations: int = 1) -> None:
        self.path = path
        self.migrations = [SCHEMA, *["SELECT 1"] * (migrations - 1)]
        self.safety = safety
        self.open()

    def open(self) -> None:
        self.state = State(self.path / "state", self.safety)
        self.connection = self.state.open("notes", self.migrations, threading.RLock(), cache_kilobytes=100)

    def note(self, text: str) -> None:
        self.connection.execute("INSERT INTO notes VALUES (?)", (text,))

    def notes(self) -> list[str]:
        return [text for (text,) in self.connection.execute("SELECT text FROM notes")]

    def backup(self) -> bytes:
        out = io.BytesIO()
        backup.write(self.path, self.state, out)
        return out.getvalue()

    def receive(self, content: bytes) -> None:
        backup.receive(self.path, self.state, io.BytesIO(content))

    def start_again(self) -> bool:
        self.connection.close()
        adopted = backup.adopt(self.path)
        self.open()
        return adopted

    def names(self) -> set[str]:
        return {path.name for path in self.path.iterdir()}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.note("before")
    return made


def repacked(content: bytes, change: dict[str, bytes | None], manifest: dict[str, object] | None = None) -> bytes:
    """The same archive with other files: None leaves one out."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(content)) as old,
        tarfile.open(fileobj=out, mode="w:gz") as new,
    ):
        files = {member.name: old.extractfile(member).read() for member in old}  # type: ignore[union-attr]
        if manifest:
            files["manifest.json"] = json.dumps(json.loads(files["manifest.json"]) | manifest).encode()
        for name, data in (files | change).items():
            if data is not None:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                new.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_what_was_backed_up_is_there_after_the_restore_and_what_came_later_is_not(home: Home) -> None:
    content = home.backup()
    home.note("after")
    home.receive(content)
    assert home.notes() == ["before", "after"]  # until the engine starts again
    assert home.start_again()
    assert home.notes() == ["before"]
    assert (home.path / "replaced" / "state" / "notes.sqlite").exists()
    assert not home.start_again()
    assert home.names() == {"state", "replaced"}


def test_a_backup_moves_to_another_machine(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.note("of the other")
    other.receive(home.backup())
    other.start_again()
    assert other.notes() == ["before"]


@pytest.mark.parametrize("steps", range(3))
def test_a_start_that_was_interrupted_in_the_exchange_goes_on_with_it(
    home: Home, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.receive(home.backup())
    home.note("after")
    home.connection.close()
    with monkeypatch.context() as patch:
        done = 0

        def interrupted(what: str) -> None:
            original = getattr(Path, what)

            def step(self: Path, *given: object) -> object:
                nonlocal done
                if done == steps:
                    raise KeyboardInterrupt
                done += 1
                return original(self, *given)

            patch.setattr(Path, what, step)

        for what in ("rename", "rmdir"):
            interrupted(what)
        with pytest.raises(KeyboardInterrupt):
            backup.adopt(home.path)
    backup.adopt(home.path)
    home.open()
    assert home.notes() == ["before"]


def test_a_complete_backup_says_when_it_was_taken_and_what_is_in_it(home: Home) -> None:
    manifest = backup.check(io.BytesIO(home.backup()))
    assert manifest["files"].keys() == {"state/notes.sqlite"}
    assert manifest["versions"] == {"notes": 1}
    assert manifest["at"].endswith("+00:00")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda _: b"no archive",
    "nothing": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-4],
    "another check sum": lambda content: content[:-8] + bytes(4) + content[-4:],
    "changed": lambda content: content[:200] + bytes(4) + content[204:],
    "without the manifest": lambda content: repacked(content, {"manifest.json": None}),
    "without a file": lambda content: repacked(content, {"state/notes.sqlite": None}),
    "a file of another size": lambda content: repacked(content, {"state/notes.sqlite": b"shorter"}),
    "a file more": lambda content: repacked(content, {"state/more.sqlite": b""}),
    "a file elsewhere": lambda content: repacked(
        content, {"state/../../a.sqlite": b""}, {"files": {"state/../../a.sqlite": 0}}
    ),
    "an absolute file": lambda content: repacked(content, {"/state/a.sqlite": b""}, {"files": {"/state/a.sqlite": 0}}),
    "no database": lambda content: repacked(
        content, {"state/notes.sqlite": b"x" * 5000}, {"files": {"state/notes.sqlite": 5000}}
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_backup_is_refused_and_changes_nothing(home: Home, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BackupError, match=r"damaged|no backup of usched"):
        home.receive(damage(home.backup()))
    assert home.names() == {"state"}


def test_a_backup_of_a_later_release_is_refused(home: Home, tmp_path: Path) -> None:
    later = Home(tmp_path / "later", migrations=2)
    with pytest.raises(BackupError, match=r"later release: notes\.sqlite has version 2, and this release knows 1"):
        home.receive(later.backup())
    with pytest.raises(BackupError, match="later release"):
        home.receive(repacked(home.backup(), {}, {"format": 2}))
    later.receive(home.backup())  # the other way it is brought to the next version at the start
    later.start_again()
    assert later.notes() == ["before"]


def test_an_ephemeral_engine_has_no_backup(tmp_path: Path, home: Home) -> None:
    ephemeral = Home(tmp_path / "ephemeral", safety=Safety.EPHEMERAL)
    with pytest.raises(BackupError, match="ephemeral"):
        ephemeral.backup()
    with pytest.raises(BackupError, match="ephemeral"):
        ephemeral.receive(home.backup())


def test_without_room_for_a_copy_there_is_no_backup(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = backup.shutil.disk_usage(home.path)
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(BackupError, match="Make room there first"):
        home.backup()
