"""The errors of the scheduler, one class for each cause. A state machine catches them by the name of the class."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WORD_COMPARED, KNOWN_COMPARED = 100, 300
"""How many characters of a word, and how many known words, are compared. More would take seconds. If there are more
known words, only those with the same beginning are compared."""
MESSAGE_LIMIT = 8000
"""The longest message in characters: an error goes from state to state beside a payload, which has a limit."""


class SchedulerError(Exception):
    """The base of every error that the scheduler raises on purpose. Its text is for the person who has caused it."""


@dataclass(frozen=True, slots=True)
class DocumentError:
    """One error in a schedule document: its JSON path, what was found, and what was expected."""

    path: str
    found: str
    expected: str
    message: str = ""
    """A sentence for people, if "found …, expected …" would be hard to understand."""
    job: str = ""
    """The name of the job that has the error; empty if the error is in no job, or the job has no name."""
    line: int = 0
    """The line in the text of the document, from 1; 0 if the document was not read from a text."""
    column: int = 0

    @property
    def problem(self) -> str:
        """The error as a sentence for people, without its place."""
        return self.message or f"found {self.found}, expected {self.expected}"

    def __str__(self) -> str:
        line = f"line {self.line}, column {self.column}, " if self.line else ""
        job = f" (job '{self.job}')" if self.job else ""
        return f"{line}{self.path}: {self.problem}{job}"

    def as_dict(self) -> dict[str, Any]:
        """The error for JSON. It always has path, found and expected; it has the other keys if they are known."""
        known = {"message": self.message, "job": self.job, "line": self.line, "column": self.column}
        always = {"path": self.path, "found": self.found, "expected": self.expected}
        return always | {key: value for key, value in known.items() if value}


class InvalidSchedule(SchedulerError):
    """The document is not a schedule that can run. `errors` says where and why."""

    headline = "The schedule document is not valid."

    def __init__(self, errors: Sequence[DocumentError]) -> None:
        self.errors = tuple(errors)
        details = " | ".join(str(error) for error in self.errors)
        super().__init__(f"{self.headline} {details}"[:MESSAGE_LIMIT])


class UnreadableDocument(InvalidSchedule):
    """The text is neither JSON nor YAML with one meaning. The errors have line and column."""

    headline = "The text cannot be read as a document."


class NotJson(UnreadableDocument):
    """The text is not JSON. It may be YAML."""


class InvalidParameters(InvalidSchedule):
    """The schedule does not have these parameters, or they cannot have these values."""

    headline = "The parameters do not fit the schedule."


class InvalidMessage(InvalidSchedule):
    """The start message does not say what to run, or it contradicts itself."""

    headline = "The start message is not valid."


class InvalidRow(InvalidSchedule):
    """The row of a stored schedule is not a schedule that can run."""

    def __init__(self, schedule_id: str, errors: Sequence[DocumentError]) -> None:
        self.headline = (
            f"The schedule '{schedule_id}' is not valid, so it cannot run. GET /v1/schedules/{schedule_id} lists what "
            "is wrong in 'errors'; correct it and store it again."
        )
        super().__init__(errors)


class InvalidCalendar(InvalidSchedule):
    """The row of a calendar is wrong."""

    headline = "The calendar is not valid."


class InvalidName(SchedulerError):
    """An execution cannot have this name."""

    def __init__(self, name: object, problem: str, rule: str) -> None:
        super().__init__(f"No execution can be named {ascii(name)[:120]}: {problem}. A name has {rule}.")


class ScheduleNotFound(SchedulerError):
    """There is no row with this scheduleId in the schedules table."""

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"There is no schedule '{schedule_id}'. Insert its row first, or check the spelling.")


class RunNotFound(SchedulerError):
    """There is no run with this scheduleId and startDateTime. If `start` is empty, the schedule has never run."""

    def __init__(self, schedule_id: str, start: str = "") -> None:
        self.schedule_id, self.start = schedule_id, start
        what = f"has no run that started at '{start}'" if start else "has not run yet"
        super().__init__(f"The schedule '{schedule_id}' {what}.")


class SweepFailed(SchedulerError):
    """The watchdogs could not look at some runs."""

    def __init__(self, count: int, first: str) -> None:
        super().__init__(f"{count} runs could not be checked. The first is {first}. The log says why.")


class RunNotReady(SchedulerError):
    """A run cannot be cancelled yet, because it is still being started. Try again soon."""

    def __init__(self, schedule_id: str, execution: str) -> None:
        super().__init__(f"The run of '{schedule_id}' by the execution {execution} is still being started.")


class RunStillActive(SchedulerError):
    """Somebody asked for a restart of a run that has not ended."""

    def __init__(self, schedule_id: str, start: str) -> None:
        self.schedule_id, self.start = schedule_id, start
        super().__init__(
            f"The run '{start}' of schedule '{schedule_id}' is still RUNNING. It can be restarted when it has ended."
        )


class IllegalVerb(SchedulerError):
    """The verb is not legal for this job, run or schedule in its present state. Nothing was changed.

    `advice` says what to do instead.
    """

    def __init__(self, verb: str, subject: str, why: str, advice: str = "") -> None:
        self.advice = advice
        super().__init__(f"Cannot {verb} {subject}: {why}.")


class JobNotFound(SchedulerError):
    """The run has no job with this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else f" Its jobs are {', '.join(known[:20]) or 'none'}."
        super().__init__(f"The run has no job '{name}'.{hint}")


class StaleExecution(SchedulerError):
    """A newer execution has taken over the run. The old one must do nothing more."""

    def __init__(self, run_id: str, generation: int) -> None:
        super().__init__(f"Generation {generation} of run '{run_id}' is no longer the one that drives it.")


class RunChanged(SchedulerError):
    """Something has happened to the run since the last look, so that its execution must not wait."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Run '{run_id}' has changed since it was looked at.")


class ItemTooLarge(SchedulerError):
    """The document does not fit into a DynamoDB item."""


class StoreUnavailable(SchedulerError):
    """DynamoDB refused the writes for too long, or S3 did not answer. Try again later."""


class TimetableUnavailable(SchedulerError):
    """EventBridge Scheduler did not take an entry, or did not answer. Try again later."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"EventBridge Scheduler did not serve {name}: {why}")


class ObjectUnreadable(SchedulerError):
    """S3 does not have the object, does not allow to read it, or it is too large. Another try gives the same answer."""


class SubmissionRefused(SchedulerError):
    """The job platform will never accept this job as it is: its queue or definition is unknown, or a parameter is
    wrong."""


class PlatformUnavailable(SchedulerError):
    """The job platform refused the call for the moment, or failed for a reason that passes. Try again later."""


class Throttled(PlatformUnavailable):
    """The job platform did not take the call, because there were too many. Nothing has happened."""


class DeliveryFailed(SchedulerError):
    """A channel did not take a message, for a reason that may pass. Try again after at least `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeliveryRefused(SchedulerError):
    """A channel will never take this message: the address or the key is wrong, or there is no such topic."""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A hint for a word that is not known: ` (did you mean 'load'?)`. It is empty if no known word is similar."""
    word = word[:WORD_COMPARED]
    if len(known) > KNOWN_COMPARED:
        known = [name for name in known if name[:2].casefold() == word[:2].casefold()][:KNOWN_COMPARED]
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""
