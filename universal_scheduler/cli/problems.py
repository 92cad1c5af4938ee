"""Explains expected errors to a person, also those of the AWS SDK: one line says what is wrong, one line what to do."""

from __future__ import annotations

import sys
from typing import IO, Any

import click

from universal_scheduler.cli.printable import json_text, printable_lines
from universal_scheduler.domain.errors import (
    IllegalVerb,
    InvalidCalendar,
    InvalidName,
    InvalidSchedule,
    RunNotFound,
    RunStillActive,
    ScheduleNotFound,
    SchedulerError,
)

HEAD = "Error: "
INDENT = " " * len(HEAD)
SDK_ADVICE = {
    "NoCredentialsError": "Give the SDK credentials (AWS_PROFILE), or add --local for the embedded engine.",
    "NoRegionError": "Name the region (AWS_DEFAULT_REGION, or your profile), or add --local for the embedded engine.",
    "EndpointConnectionError": "Check the network and AWS_ENDPOINT_URL. Is the engine running? usched local status",
    "ConnectionClosedError": "Try again. Is the engine running? usched local status",
    "ReadTimeoutError": "Try again. Is the engine running? usched local status",
}
SDK_ANY = "Check your AWS configuration (AWS_PROFILE, AWS_DEFAULT_REGION), or add --local for the embedded engine."
STAGE_ADVICE = "Check that the stack is deployed in this region (--stack, AWS_DEFAULT_REGION)."
CODE_ADVICE = {
    "AccessDeniedException": "These credentials do not allow this. Ask for the permission, or use other credentials.",
    "AccessDenied": "These credentials do not allow this. Ask for the permission, or use other credentials.",
    "ExpiredTokenException": "The credentials have expired. Log in again.",
    "ExpiredToken": "The credentials have expired. Log in again.",
    "UnrecognizedClientException": "AWS does not know these credentials. Check AWS_PROFILE and AWS_ACCESS_KEY_ID.",
    "InvalidClientTokenId": "AWS does not know these credentials. Check AWS_PROFILE and AWS_ACCESS_KEY_ID.",
    "ResourceNotFoundException": STAGE_ADVICE,
    "StateMachineDoesNotExist": STAGE_ADVICE,
}


def between_words(text: str, width: int) -> str:
    """The lines of an error's message, folded between words; what goes on stands further in. Advice is never folded:
    a command has to stay one line."""
    import textwrap

    folded = textwrap.TextWrapper(max(20, width - len(HEAD)), break_long_words=False, break_on_hyphens=False)
    lines = []
    for line in text.splitlines():
        inner = line.removeprefix(INDENT)
        folded.initial_indent = " " * (len(inner) - len(inner.lstrip()))
        folded.subsequent_indent = f"{folded.initial_indent}  " if folded.initial_indent else ""
        lines += folded.wrap(inner.strip())
    return f"\n{INDENT}".join(lines)


class Problem(click.ClickException):
    """The command did nothing, for example because it found no scheduler, or there is no such thing. With `--json` it
    is also the JSON document on standard output."""

    exit_code = 2

    def __init__(self, message: str, advice: str = "", **more: Any) -> None:
        super().__init__(message)
        self.advice = advice
        self.more = more
        self.as_json = False

    def show(self, file: IO[Any] | None = None) -> None:
        if self.as_json:
            error = {"message": self.message, **({"advice": self.advice} if self.advice else {}), **self.more}
            click.echo(json_text({"error": error}))
        details = printable_lines(self.message)
        if sys.stderr.isatty():
            import shutil

            details = between_words(details, shutil.get_terminal_size().columns)
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {details}", file=file, err=True)
        if self.advice:
            click.echo(f"       {printable_lines(self.advice)}", file=file, err=True)


class Failure(Problem):
    """The command has tried, and it failed."""

    exit_code = 1


def explain(error: Exception) -> Problem | None:
    """The problem to show to a person for an error; None if the error is a defect and needs its traceback."""
    match error:
        case Problem():
            return error
        case InvalidSchedule():
            errors = [entry.as_dict() for entry in error.errors]
            lines = "".join(f"\n         {entry}" for entry in error.errors)
            advice = "Correct the document and store it again with: usched apply FILE"
            what = "calendar" if isinstance(error, InvalidCalendar) else "schedule"
            return Problem(f"The {what} is not valid.{lines}", advice, errors=errors)
        case IllegalVerb():
            return Problem(str(error), error.advice)
        case ScheduleNotFound():
            return Problem(str(error), "See what has run with: usched runs. Store a schedule with: usched apply FILE")
        case RunNotFound(start=""):
            return Problem(str(error), f"Start it with: usched run {error.schedule_id}")
        case RunNotFound():
            return Problem(str(error), f"List its runs with: usched runs {error.schedule_id}")
        case RunStillActive():
            return Problem(str(error), f"Follow it with: usched show {error.schedule_id} {error.start}")
        case InvalidName():
            return Problem(str(error), "Choose another --name, or leave it out.")
        case SchedulerError():
            return Problem(str(error))
        case _:
            return _of_the_sdk(error)


def _of_the_sdk(error: Exception) -> Problem | None:
    if "botocore" not in sys.modules:  # then it cannot be one of its errors, and loading it takes long
        return None
    from botocore.exceptions import BotoCoreError, ClientError

    match error:
        case ClientError():
            details = error.response.get("Error", {})
            code = details.get("Code", "")
            message = f"AWS refused {error.operation_name}: {code}: {details.get('Message', '')}"
            return Problem(message, CODE_ADVICE.get(code, ""))
        case BotoCoreError():
            return Problem(str(error), SDK_ADVICE.get(type(error).__name__, SDK_ANY))
        case _:
            return None
