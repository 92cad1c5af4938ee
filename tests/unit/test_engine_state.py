"""The files of the engine's services: copied at one moment while services write."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.background import in_background
from universal_scheduler.local import state as states
from universal_scheduler.local.state import Safety, State, StateError

LARGE = 2000
"""Pages: more than are copied in one step."""
SCHEMA = "CREATE TABLE steps (number INTEGER PRIMARY KEY, filling BLOB)"


class Service:
    """Writes one row after another."""

    def __init__(self, state: State, name: str) -> None:
        self.lock = threading.RLock()
        self.connection = state.open(name, [SCHEMA], self.lock, cache_kilobytes=100)
        self.number = 0

    def step(self, filling: int = 0) -> None:
        with self.lock:
            self.connection.execute("BEGIN")
            self.number += 1
            self.connection.execute("INSERT INTO steps VALUES (?, zeroblob(?))", (self.number, filling))
            self.connection.execute(
                "UPDATE steps SET filling = zeroblob(100) WHERE number % 100 = ?", (self.number % 100,)
            )
            self.connection.execute("COMMIT")


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state", Safety.PROCESS)


def steps(file: Path) -> list[int]:
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [number for (number,) in connection.execute("SELECT number FROM steps ORDER BY number")]


def test_copies_are_of_one_moment_while_services_write(state: State, tmp_path: Path) -> None:
    services = [Service(state, name) for name in ("first", "second", "third")]
    for service in services:
        for _ in range(LARGE):
            service.step(filling=4000)

    def step() -> None:
        for service in services:
            service.step()

    with in_background(step):
        for number in range(5):
            folder = tmp_path / str(number)
            folder.mkdir()
            state.copy(folder)
            copied = [steps(folder / f"{name}.sqlite") for name in ("first", "second", "third")]
            written = [len(numbers) for numbers in copied]
            assert copied == [list(range(1, count + 1)) for count in written]
            assert written == sorted(written, reverse=True)
            assert written[0] - written[-1] in (0, 1)
    assert services[0].number > LARGE


def test_a_copy_opens_as_the_state_itself(state: State, tmp_path: Path) -> None:
    Service(state, "a").step()
    (tmp_path / "copy").mkdir()
    state.copy(tmp_path / "copy")
    copied = Service(State(tmp_path / "copy", Safety.PROCESS), "a")
    assert copied.connection.execute("SELECT number FROM steps").fetchall() == [(1,)]
    assert state.versions == {"a": 1}


def test_no_moment_is_in_the_middle_of_a_transaction(state: State) -> None:
    service = Service(state, "a")
    service.connection.execute("BEGIN")
    entered = threading.Event()

    def freeze() -> None:
        with state.frozen():
            entered.set()

    thread = threading.Thread(target=freeze)
    thread.start()
    assert not entered.wait(0.1)
    service.connection.execute("COMMIT")
    thread.join()
    assert entered.is_set()


def test_services_that_never_rest_are_an_error_and_can_go_on(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "_FREEZE_SECONDS", 0.05)
    service = Service(state, "a")
    service.connection.execute("BEGIN")
    with pytest.raises(StateError, match="Try again later"), state.frozen():
        raise AssertionError
    service.connection.execute("COMMIT")
    service.step()


def test_two_services_that_want_each_others_lock_do_not_hang(state: State) -> None:
    first, second = Service(state, "first"), Service(state, "second")

    def crosswise() -> None:
        with second.lock, first.lock:
            first.step()

    with in_background(crosswise):
        for _ in range(20):
            with state.frozen():
                number = first.number
                assert first.number == number


def test_where_nothing_can_be_written_there_is_no_copy_and_services_go_on(state: State, tmp_path: Path) -> None:
    service = Service(state, "a")
    with pytest.raises(sqlite3.OperationalError):
        state.copy(tmp_path / "nowhere")
    service.step()


def test_what_was_written_goes_to_the_disk_once(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(states.os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    first, second = Service(state, "first"), Service(state, "second")
    first.step()
    second.step()
    state.sync()
    assert len(synced) == 2
    state.sync()
    assert len(synced) == 2
    second.step()
    state.sync()
    assert len(synced) == 3
    assert synced[2] > synced[1] > 0


def test_of_an_engine_without_a_folder_nothing_goes_to_the_disk() -> None:
    state = State()
    Service(state, "a").step()
    state.sync()
