"""How what jobs print becomes log events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from universal_scheduler.local.batch import logs
from universal_scheduler.local.batch.logs import (
    MAX_BATCH_BYTES,
    MAX_EVENT_BYTES,
    Event,
    LogShipper,
    batches,
    read_lines,
)


class Sink:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, list[Event]]] = []
        self.streams: list[tuple[str, str]] = []

    async def open(self, group: str, stream: str) -> None:
        self.streams.append((group, stream))

    async def put(self, group: str, stream: str, events: Sequence[Event]) -> None:
        self.calls.append((group, stream, list(events)))

    def texts(self) -> list[str]:
        return [text for _, _, events in self.calls for _, text in events]


def ship(sink: object, path: Path) -> None:
    """Follow a file that is complete and wait for its end."""

    async def main() -> None:
        shipper = LogShipper(sink, lambda: 1000)  # type: ignore[arg-type]
        done = asyncio.Event()
        shipper.follow("job/1", path, "shell/default/t")
        shipper.finish("job/1", done.set)
        await done.wait()
        await shipper.close()

    asyncio.run(main())


def test_lines_become_events_of_the_jobs_stream(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"one\r\ntwo\n\nno newline")
    sink = Sink()
    ship(sink, tmp_path / "out")
    assert sink.streams == [("/aws/batch/job", "shell/default/t")]
    assert sink.calls == [
        ("/aws/batch/job", "shell/default/t", [(1000, "one"), (1000, "two")]),
        ("/aws/batch/job", "shell/default/t", [(1000, "no newline")]),
    ]


@pytest.mark.parametrize("content", [b"", None, b"\n\n"], ids=["empty", "missing", "blank"])
def test_an_attempt_without_output_has_a_stream_and_no_events(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "out").write_bytes(content)
    sink = Sink()
    ship(sink, tmp_path / "out")
    assert sink.calls == []
    assert sink.streams == [("/aws/batch/job", "shell/default/t")]


def test_the_stream_of_a_live_attempt_is_there_before_it_prints(tmp_path: Path) -> None:
    sink = Sink()

    async def main() -> None:
        LogShipper(sink, lambda: 1000).follow("job/1", tmp_path / "out", "s")
        async with asyncio.timeout(10):
            while not sink.streams:
                await asyncio.sleep(0)

    asyncio.run(main())
    assert sink.streams == [("/aws/batch/job", "s")]


def test_what_a_live_job_prints_is_shipped_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "TAIL_SECONDS", 0.001)
    sink, path = Sink(), tmp_path / "out"

    async def main() -> None:
        shipper = LogShipper(sink, lambda: 1000)
        tail = asyncio.create_task(shipper.tail())
        shipper.follow("job/1", path, "s")
        path.write_text("first\nsec")
        async with asyncio.timeout(10):
            while sink.texts() != ["first"]:
                await asyncio.sleep(0.001)
        with path.open("a") as file:
            file.write("ond\n")
        done = asyncio.Event()
        shipper.finish("job/1", done.set)
        await done.wait()
        tail.cancel()

    asyncio.run(main())
    assert sink.texts() == ["first", "second"]


def test_long_output_is_cut_as_put_log_events_demands() -> None:
    lines = [b"x" * 600_000, *[b"y" * 1000] * 3000, *[b"z"] * 12_000]
    cut = list(batches(lines, 1))
    assert b"".join(text.encode() for batch in cut for _, text in batch) == b"".join(lines)
    for batch in cut:
        sizes = [len(text.encode()) for _, text in batch]
        assert len(batch) <= 10_000
        assert max(sizes) <= MAX_EVENT_BYTES
        assert sum(sizes) + 26 * len(batch) <= MAX_BATCH_BYTES


def test_characters_are_not_cut(tmp_path: Path) -> None:
    text = "a" + "€" * 500_000  # three bytes each, no newline
    (tmp_path / "out").write_text(text)
    sink = Sink()
    ship(sink, tmp_path / "out")
    assert "".join(sink.texts()) == text
    assert max(len(it.encode()) for it in sink.texts()) <= MAX_EVENT_BYTES


def test_bytes_that_are_no_text_are_shown_as_such(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"\xff\xfe ok\n" + b"\x80" * 300_000)
    sink = Sink()
    ship(sink, tmp_path / "out")
    assert sink.texts()[0] == "\ufffd\ufffd ok"


def test_a_sink_that_fails_does_not_hold_up_the_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def open(self, *_: object) -> None:
            raise OSError("no room")

        async def put(self, *_: object) -> None:
            raise OSError("full")

    (tmp_path / "out").write_text("lost\n")
    ship(Broken(), tmp_path / "out")
    assert "could not be made" in caplog.text
    assert "misses lines" in caplog.text


def test_endless_output_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_OUTPUT_BYTES", 300_000)
    (tmp_path / "out").write_text("line\n" * 200_000)
    sink = Sink()
    ship(sink, tmp_path / "out")
    assert sink.texts()[-1] == f"[the rest of the output is only in {tmp_path / 'out'}]"
    assert len("".join(sink.texts())) < 500_000


@pytest.mark.parametrize("content", [b"", b"one\r\ntwo\n\nno newline", b"a\xff\xfeb\n", "é\n".encode()])
def test_what_has_been_printed_is_read_as_its_events_have_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "out"
    assert read_lines(path) == []
    path.write_bytes(content)
    sink = Sink()
    ship(sink, path)
    assert read_lines(path) == sink.texts()


def test_of_endless_output_the_beginning_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_OUTPUT_BYTES", 6)
    (tmp_path / "out").write_text("one\ntwo\nthree\n")
    assert read_lines(tmp_path / "out") == ["one", "tw", f"[the rest of the output is only in {tmp_path / 'out'}]"]


def test_a_container_may_name_its_log_group() -> None:
    assert logs.log_group({"logConfiguration": {"options": {"awslogs-group": "/mine"}}}) == "/mine"
    assert logs.log_group({"logConfiguration": {"logDriver": "awslogs"}}) == logs.log_group({}) == "/aws/batch/job"
