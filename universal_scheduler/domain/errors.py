"""The errors of the scheduler, one class for each cause; a state machine catches them by class name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WORD_COMPARED, KNOWN_COMPARED = 100, 300
"""Characters of a word, and known ones: comparing more takes seconds; of more, those that begin alike are compared."""
MESSAGE_LIMIT = 8000
"""Characters: an error goes from state to state beside a payload that has its own limit."""


class SchedulerError(Exception):
    """Base of every error that the scheduler raises on purpose; its text is for the person who caused it."""


@dataclass(frozen=True, slots=True)
class DocumentError:
    """One thing wrong with a schedule document: where (JSON path), what was found, what was expected."""

    path: str
    found: str
    expected: str
    message: str = ""
    """A sentence for people, where "found …, expected …" says it badly."""
    job: str = ""
    """The job that it is about, where it is about one that has a name."""
    line: int = 0
    """Of the text that the document was read from, from 1; 0 where it was not read from a text."""
    column: int = 0

    @property
    def problem(self) -> str:
        return self.message or f"found {self.found}, expected {self.expected}"

    def __str__(self) -> str:
        line = f"line {self.line}, column {self.column}, " if self.line else ""
        job = f" (job '{self.job}')" if self.job else ""
        return f"{line}{self.path}: {self.problem}{job}"

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it: path, found and expected always, the rest where it is known."""
        known = {"message": self.message, "job": self.job, "line": self.line, "column": self.column}
        always = {"path": self.path, "found": self.found, "expected": self.expected}
        return always | {key: value for key, value in known.items() if value}


class InvalidSchedule(SchedulerError):
    """The document does not describe a schedule that can run; `errors` says where and why."""

    headline = "The schedule document is not valid."

    def __init__(self, errors: Sequence[DocumentError]) -> None:
        self.errors = tuple(errors)
        details = " | ".join(str(error) for error in self.errors)
        super().__init__(f"{self.headline} {details}"[:MESSAGE_LIMIT])


class UnreadableDocument(InvalidSchedule):
    """The text is no JSON or YAML that means one thing: its errors have line and column."""

    headline = "The text cannot be read as a document."


class NotJson(UnreadableDocument):
    """The text is not written as JSON is: it may be YAML."""


class InvalidParameters(InvalidSchedule):
    """The schedule has no such parameters, or they cannot have such values."""

    headline = "The parameters do not fit the schedule."


class InvalidMessage(InvalidSchedule):
    """The start message does not say what to run, or cannot mean what it says."""

    headline = "The start message is not valid."


class InvalidRow(InvalidSchedule):
    """The row of a stored schedule does not describe a schedule that can run."""

    def __init__(self, schedule_id: str, errors: Sequence[DocumentError]) -> None:
        self.headline = (
            f"The schedule '{schedule_id}' is not valid, so it cannot run. GET /v1/schedules/{schedule_id} lists what "
            "is wrong in 'errors'; correct it and store it again."
        )
        super().__init__(errors)


class InvalidName(SchedulerError):
    """An execution cannot have this name."""

    def __init__(self, name: object, problem: str, rule: str) -> None:
        super().__init__(f"No execution can be named {ascii(name)[:120]}: {problem}. A name has {rule}.")


class ScheduleNotFound(SchedulerError):
    """There is no row with this scheduleId in the schedules table."""

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"There is no schedule '{schedule_id}'. Insert its row first, or check the spelling.")


class RunNotFound(SchedulerError):
    """There is no run with this scheduleId and startDateTime; without `start`, the schedule has never run."""

    def __init__(self, schedule_id: str, start: str = "") -> None:
        self.schedule_id, self.start = schedule_id, start
        what = f"has no run that started at '{start}'" if start else "has not run yet"
        super().__init__(f"The schedule '{schedule_id}' {what}.")


class SweepFailed(SchedulerError):
    """Some runs could not be looked at by the watchdogs."""

    def __init__(self, count: int, first: str) -> None:
        super().__init__(f"{count} runs could not be checked. The first is {first}. The log says why.")


class RunStillActive(SchedulerError):
    """A restart was asked for a run whose jobs are still being watched."""

    def __init__(self, schedule_id: str, start: str) -> None:
        self.schedule_id, self.start = schedule_id, start
        super().__init__(
            f"The run '{start}' of schedule '{schedule_id}' is still RUNNING. It can be restarted when it has ended."
        )


class IllegalVerb(SchedulerError):
    """An operator's verb cannot be done to this job, run or schedule as it is; nothing was changed.

    `advice` says what to do instead.
    """

    def __init__(self, verb: str, subject: str, why: str, advice: str = "") -> None:
        self.advice = advice
        super().__init__(f"Cannot {verb} {subject}: {why}.")


class JobNotFound(SchedulerError):
    """The run has no job of this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else f" Its jobs are {', '.join(known[:20]) or 'none'}."
        super().__init__(f"The run has no job '{name}'.{hint}")


class StaleExecution(SchedulerError):
    """A newer execution has taken over the run: this one must do nothing more."""

    def __init__(self, run_id: str, generation: int) -> None:
        super().__init__(f"Generation {generation} of run '{run_id}' is no longer the one that drives it.")


class RunChanged(SchedulerError):
    """Something has happened to the run since its driver looked: there is nothing to wait for."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Run '{run_id}' has changed since it was looked at.")


class ItemTooLarge(SchedulerError):
    """A document does not fit into a DynamoDB item."""


class StoreUnavailable(SchedulerError):
    """The tables throttled the writes for too long, or S3 did not answer: try again later."""


class ObjectUnreadable(SchedulerError):
    """There is no such object in S3, or it may not be read, or it is too large: asking again gives the same."""


class SubmissionRefused(SchedulerError):
    """The job platform will never accept this job as it is (unknown queue or definition, bad parameter)."""


class PlatformUnavailable(SchedulerError):
    """The job platform throttled the call or failed for a reason that passes: try again later."""


class Throttled(PlatformUnavailable):
    """The job platform did not take the call: too many at a time; nothing has happened."""


class DeliveryFailed(SchedulerError):
    """A channel did not take a message for a reason that may pass: try again, after `retry_after` seconds at least."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeliveryRefused(SchedulerError):
    """A channel will never take a message as it is (wrong address or key, no such topic)."""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A hint to put behind a word that is not known; empty where none of the known ones is like it."""
    word = word[:WORD_COMPARED]
    if len(known) > KNOWN_COMPARED:
        known = [name for name in known if name[:2].casefold() == word[:2].casefold()][:KNOWN_COMPARED]
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""
