"""Writes what changes to the file before anybody hears of it.

What changes in one turn of the event loop is written together: on disk is never half of what one event brought about.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from universal_scheduler.local.batch.clock import Clock
from universal_scheduler.local.batch.job_file import JobFile, ResourceRow, Telling
from universal_scheduler.local.batch.model import Job

AGAIN_SECONDS = 1.0
"""Until the next try to write a file that could not be written."""
LONGEST_PAUSE_SECONDS = 60.0
"""Between two tries to announce what cannot be announced."""
FORGET_SECONDS = 0.2
"""Until what was told is written down as told, if nothing else is written meanwhile."""

Action = Callable[[], None]

_log = logging.getLogger(__name__)


class Unwritten(Exception):
    """The file cannot be written. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class _Step:
    action: Action
    undo: Callable[[Unwritten], None] | None


class Journal(Protocol):
    def new(self, job: Job) -> None:
        """A job that is no child was submitted."""

    def changed(self, job: Job) -> None:
        """A job is another than it was, or it is a child that was not there before."""

    def resource(self, arn: str) -> None:
        """A resource was made, changed or deleted."""

    def after(self, action: Action, undo: Callable[[Unwritten], None] | None = None) -> None:
        """Do something as soon as all that has changed until now is on disk.

        If it cannot be written then ``undo`` is called instead. An action without ``undo`` waits until it can.
        """

    def notify(self, job: Job, action: Action) -> None:
        """Do what tells others of a job's change, as soon as that is on disk; again after a crash if need be."""

    def withdraw(self, job: Job) -> None:
        """A job that is new and could not be written is there no longer."""

    def notified(self, number: int) -> None:
        """Whoever was to be told of the change with this number has been told."""

    def write(self) -> None:
        """Write now what there is to be written."""

    def close(self) -> None:
        """Write for the last time."""


class NoJournal:
    """Of an engine that keeps nothing."""

    def new(self, job: Job) -> None:
        pass

    def changed(self, job: Job) -> None:
        pass

    def resource(self, arn: str) -> None:
        pass

    def after(self, action: Action, undo: Callable[[Unwritten], None] | None = None) -> None:
        del undo
        action()

    def notify(self, job: Job, action: Action) -> None:
        del job
        action()

    def withdraw(self, job: Job) -> None:
        pass

    def notified(self, number: int) -> None:
        pass

    def write(self) -> None:
        pass

    def close(self) -> None:
        pass


class FileJournal:
    """``resource`` makes the row of the resource with an ARN, None where there is none any more."""

    def __init__(self, file: JobFile, clock: Clock, resource: Callable[[str], ResourceRow | None]) -> None:
        self._file, self._clock, self._resource = file, clock, resource
        self._new: dict[int, Job] = {}
        self._changed: dict[str, Job] = {}
        self._arns: set[str] = set()
        self._untold: list[Telling] = []
        self._told: list[int] = []
        self._steps: list[_Step] = []
        self._last_telling = max((number for number, _ in file.untold()), default=0)
        self._scheduled = False
        self._failing = False
        self._closed = False

    def new(self, job: Job) -> None:
        self._new[job.seq] = job
        self.changed(job)

    def changed(self, job: Job) -> None:
        self._changed[job.id] = job
        self._schedule()

    def resource(self, arn: str) -> None:
        self._arns.add(arn)
        self._schedule()

    def after(self, action: Action, undo: Callable[[Unwritten], None] | None = None) -> None:
        if self._dirty:
            self._steps.append(_Step(action, undo))
            self._schedule()
        else:
            action()

    def notify(self, job: Job, action: Action) -> None:
        self._last_telling += 1
        number = self._last_telling
        self._untold.append((number, job.id))

        self._steps.append(_Step(lambda: self._notify(number, job.id, action, AGAIN_SECONDS), None))
        self._schedule()

    def _notify(self, number: int, job_id: str, action: Action, pause: float) -> None:
        if self._closed:
            return
        try:
            action()
        except Exception:  # noqa: BLE001 - whatever it is, it may work later
            if pause == AGAIN_SECONDS:
                _log.exception("A change of job %s cannot be announced. The engine tries again.", job_id)
            longer = min(2 * pause, LONGEST_PAUSE_SECONDS)
            self._clock.call_later(pause, lambda: self._notify(number, job_id, action, longer))
        else:
            self.notified(number)

    def notified(self, number: int) -> None:
        if not self._told:
            self._clock.call_later(FORGET_SECONDS, self.write)
        self._told.append(number)

    def write(self) -> None:
        if not self._failing:  # else there will be another try soon
            self._write()

    def close(self) -> None:
        while not self._failing and (self._dirty or self._told):  # what was written may lead to more
            self._write()
        self._closed = True

    def _write_again(self) -> None:
        self._failing = False
        self._write()

    def _write(self) -> None:
        self._scheduled = False
        if self._closed or not (self._dirty or self._told):
            return
        told = len(self._told)
        try:
            with self._file.transaction():
                self._file.notified(self._told)
                self._file.add(self._new.values())
                self._file.change(self._changed.values())
                self._file.keep_notices(self._untold)
                self._file.put_resources({arn: self._resource(arn) for arn in self._arns})
        except sqlite3.Error as error:
            self._fail(error)
            return
        del self._told[:told]
        for written in (self._new, self._changed, self._arns, self._untold):
            written.clear()
        steps, self._steps = self._steps, []
        for step in steps:
            step.action()

    @property
    def _dirty(self) -> bool:
        return bool(self._changed or self._arns or self._untold or self._steps)

    def _schedule(self) -> None:
        if not self._scheduled and not self._failing:
            self._scheduled = True
            self._clock.call_later(0, self.write)

    def _fail(self, error: sqlite3.Error) -> None:
        """Whoever waits hears of it; what has happened already stays to be written."""
        _log.error("The file of the jobs cannot be written (%s). Is the disk full?", error)
        self._failing = True
        unwritten = Unwritten(
            f"The file of the jobs cannot be written ({error}). Look at the disk with the engine's state directory, "
            "make room there, and try again."
        )
        undone = [step.undo for step in self._steps if step.undo is not None]
        self._steps = [step for step in self._steps if step.undo is None]
        for undo in undone:
            undo(unwritten)
        self._clock.call_later(AGAIN_SECONDS, self._write_again)

    def withdraw(self, job: Job) -> None:
        del self._new[job.seq]
        self._changed.pop(job.id, None)
