"""Brings what jobs print to a log service: about once a second while they run, all of it before their end is told.

An attempt's stream is there from its start, also where it prints nothing, as the awslogs driver has it.

The batches respect https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

GROUP = "/aws/batch/job"
TAIL_SECONDS = 1.0
READ_BYTES = 128 * 1024
"""At a time: what else the event loop has to do waits meanwhile."""
READS_PER_TAIL = 8
MAX_OUTPUT_BYTES = 32 * 1024 * 1024
"""Of one attempt, each line's overhead included: a job that prints for ever must neither fill the memory of a log
service on this machine nor take for ever to end."""
EVENT_OVERHEAD = 26
MAX_EVENT_BYTES = 256 * 1024 - EVENT_OVERHEAD
MAX_BATCH_BYTES = 1_048_576
MAX_BATCH_EVENTS = 10_000

Event: TypeAlias = tuple[int, str]
"""Epoch milliseconds and text."""

logger = logging.getLogger(__name__)


class LogSink(Protocol):
    """Where log events go; both make the group and the stream where there are none."""

    async def open(self, group: str, stream: str) -> None: ...

    async def put(self, group: str, stream: str, events: Sequence[Event]) -> None: ...


@dataclass(slots=True)
class _Tail:
    path: Path
    stream: str
    group: str
    sink: LogSink
    on_shipped: Callable[[int], None]
    offset: int
    partial: bytes = b""
    shipped: int = 0
    full: bool = False
    opened: bool = False
    """Whether the stream was made, or could not be."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class LogShipper:
    """Follows the output files of live jobs. A sink that fails loses the lines it was given, never a job.

    Without a sink nothing is shipped.
    """

    def __init__(self, sink: LogSink | None, now: Callable[[], int]) -> None:
        self._sink = sink
        self._now = now
        self._live: dict[str, _Tail] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(
        self,
        key: str,
        path: Path,
        stream: str,
        group: str = GROUP,
        *,
        offset: int = 0,
        on_shipped: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Make the stream, and ship what is written to a file, from an offset on. ``on_shipped`` is told up to which
        offset it has been shipped."""
        if self._sink is not None:
            tail = self._live[key] = _Tail(path, stream, group, self._sink, on_shipped, offset)
            tail.shipped, tail.full = offset, offset >= MAX_OUTPUT_BYTES
            self._spawn(_open(tail))

    def finish(self, key: str, done: Callable[[], None]) -> None:
        """Nothing will be written any more: ship the rest, then call ``done``; at once when there is no rest."""
        tail = self._live.pop(key, None)
        if tail is None or (tail.opened and not tail.lock.locked() and not tail.partial and _nothing_new(tail)):
            done()
            return

        async def finish() -> None:
            await self._ship(tail, last=True)
            done()

        self._spawn(finish())

    async def tail(self) -> None:
        """Ship what live jobs print, until cancelled."""
        while True:
            await asyncio.sleep(TAIL_SECONDS)
            for tail in list(self._live.values()):
                if not tail.full and not _nothing_new(tail):
                    await self._ship(tail, last=False)

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ship(self, tail: _Tail, *, last: bool) -> None:
        await _open(tail)
        async with tail.lock:
            try:
                reads = 0
                while (
                    not tail.full
                    and (last or reads < READS_PER_TAIL)
                    and (data := _read(tail.path, tail.offset, READ_BYTES))
                ):
                    await self._ship_data(tail, data)
                    reads += 1
                    await asyncio.sleep(0)
                if last:
                    await self._put(tail, [tail.partial])
            except Exception:
                logger.exception("the log stream %s misses lines", tail.stream)

    async def _ship_data(self, tail: _Tail, data: bytes) -> None:
        tail.offset += len(data)
        *lines, tail.partial = (tail.partial + data).split(b"\n")
        if len(tail.partial) > MAX_EVENT_BYTES:
            end = _whole_characters(tail.partial, MAX_EVENT_BYTES)
            lines.append(tail.partial[:end])
            tail.partial = tail.partial[end:]
        tail.shipped += len(data) + EVENT_OVERHEAD * len(lines)
        if tail.shipped >= MAX_OUTPUT_BYTES:
            tail.full = True
            lines += [tail.partial, _rest_is_in(tail.path)]
            tail.partial = b""
        await self._put(tail, lines)
        tail.on_shipped(MAX_OUTPUT_BYTES if tail.full else tail.offset - len(tail.partial))

    async def _put(self, tail: _Tail, lines: Sequence[bytes]) -> None:
        for batch in batches(lines, self._now()):
            await tail.sink.put(tail.group, tail.stream, batch)


async def _open(tail: _Tail) -> None:
    async with tail.lock:
        if not tail.opened:
            try:
                await tail.sink.open(tail.group, tail.stream)
            except Exception:
                logger.exception("the log stream %s could not be made", tail.stream)
            tail.opened = True


def read_lines(path: Path) -> list[str]:
    """What an attempt that has ended has printed, line by line as its log events would have it."""
    data = _read(path, 0, MAX_OUTPUT_BYTES + 1)
    if len(data) > MAX_OUTPUT_BYTES:
        data = data[:MAX_OUTPUT_BYTES] + b"\n" + _rest_is_in(path)
    return [text for line in data.split(b"\n") if (text := line.rstrip(b"\r").decode(errors="replace"))]


def log_group(container: Mapping[str, Any]) -> str:
    """The group that a job's container names, else Batch's own.

    https://docs.aws.amazon.com/batch/latest/userguide/using_awslogs.html
    """
    options = (container.get("logConfiguration") or {}).get("options") or {}
    return str(options.get("awslogs-group") or GROUP)


def batches(lines: Sequence[bytes], time: int) -> Iterator[list[Event]]:
    """The lines as log events, cut into as few calls as PutLogEvents allows. Empty lines are no events."""
    batch: list[Event] = []
    size = 0
    for line in lines:
        for text in pieces(line.rstrip(b"\r").decode(errors="replace")):
            cost = len(text.encode()) + EVENT_OVERHEAD
            if len(batch) == MAX_BATCH_EVENTS or size + cost > MAX_BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch.append((time, text))
            size += cost
    if batch:
        yield batch


def pieces(text: str) -> Iterator[str]:
    """A line in parts that are each small enough for one event, never cut within a character."""
    if len(text) * 4 <= MAX_EVENT_BYTES:
        if text:
            yield text
        return
    data = text.encode()
    start = 0
    while start < len(data):
        end = _whole_characters(data, start + MAX_EVENT_BYTES)
        yield data[start:end].decode()
        start = end


def _whole_characters(data: bytes, end: int) -> int:
    """The last place at or before ``end`` where UTF-8 text can be cut."""
    if end >= len(data):
        return len(data)
    for back in range(4):
        if data[end - back] & 0xC0 != 0x80:
            return end - back
    return end  # no UTF-8 at all


def _nothing_new(tail: _Tail) -> bool:
    try:
        return os.stat(tail.path).st_size == tail.offset
    except OSError:
        return True


def _read(path: Path, offset: int, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(count)
    except FileNotFoundError:
        return b""


def _rest_is_in(path: Path) -> bytes:
    return f"[the rest of the output is only in {path}]".encode()
