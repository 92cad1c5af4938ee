"""Who has given a command, as the audit trail names them."""

from __future__ import annotations

import getpass
import os
import time
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from universal_scheduler.domain.runs.model import Mark, Verb

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring


def mark_of(stage: Wiring, verb: Verb, reason: str = "") -> Mark:
    """The verb as a mark of this operator, at this moment."""
    return Mark(verb, operator(stage), time.time(), reason)


def operator(stage: Wiring) -> str:
    """The name of the operator: USCHED_USER, else the caller's ARN on AWS, else the user of this machine."""
    if named := os.environ.get("USCHED_USER"):
        return named
    try:
        arn = stage.caller()
    except (BotoCoreError, ClientError):
        arn = ""  # the command itself will tell what is wrong with the credentials, if anything is
    return arn or _user()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return f"user {os.getuid()}"
