"""What is doubtful in a valid document on a certain stage: queues, job definitions and schedules that it does not have.

A remark has the form of an error. Nothing here refuses a document at every door: the names may come to be later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from universal_scheduler.domain.errors import DocumentError, did_you_mean


class Kind(StrEnum):
    """What a name in a job of a document names."""

    QUEUE = "queue"
    DEFINITION = "job definition"


KEYS = {"jobQueue": Kind.QUEUE, "fallbackQueue": Kind.QUEUE, "jobDefinition": Kind.DEFINITION}


Short: TypeAlias = Mapping[Kind, Collection[str]]
"""The short names that a stage has for its own."""


@dataclass(frozen=True, slots=True)
class Use:
    """A name that is no short name of the stage, and the first place in the document that has it."""

    kind: Kind
    name: str
    path: str
    job: str

    @property
    def is_arn(self) -> bool:
        return self.name.startswith("arn:")


def foreign_names(row: Mapping[str, Any], short: Short) -> list[Use]:
    """The queues and job definitions of a row that are no short names of the stage, each once."""
    found: dict[tuple[Kind, str], Use] = {}
    for index, entry in enumerate(row["jobList"]):
        for key, kind in KEYS.items():
            name = entry.get(key)
            if name is not None and name not in short[kind]:
                found.setdefault((kind, name), Use(kind, name, f"$.jobList[{index}].{key}", entry["jobName"]))
    return list(found.values())


def misspelt(uses: Sequence[Use], short: Short) -> Iterator[DocumentError]:
    """Names that look like short names of the stage, and are none."""
    for use in uses:
        hint = _hint(use, short)
        if hint:
            yield DocumentError(use.path, f"the {use.kind} '{use.name}'{hint}", _expected(use.kind, short), job=use.job)


def unknown(uses: Sequence[Use], short: Short) -> Iterator[DocumentError]:
    """Names that nobody has looked up: all but ARNs, which are hardly written by hand."""
    for use in uses:
        if not use.is_arn:
            found = f"the {use.kind} '{use.name}'{_hint(use, short)}, which is no short name of this stage"
            yield DocumentError(use.path, found, _expected(use.kind, short), job=use.job)


def missing(uses: Sequence[Use], short: Short) -> tuple[list[DocumentError], list[DocumentError]]:
    """Names that Batch was asked for, and has not: errors, and warnings.

    One that looks like a short name of the stage is misspelt: its job can never run. Another may be made later.
    """
    errors: list[DocumentError] = []
    warnings: list[DocumentError] = []
    for use in uses:
        hint = _hint(use, short)
        found = f"the {use.kind} '{use.name}'{hint}, which Batch does not have"
        (errors if hint else warnings).append(DocumentError(use.path, found, _expected(use.kind, short), job=use.job))
    return errors, warnings


def upstream_remarks(
    row: Mapping[str, Any], exists: Callable[[str], bool], known: Sequence[str]
) -> Iterator[DocumentError]:
    """Schedules in `trigger.after` that there are not; `known` are some that there are, to suggest."""
    for position, name in enumerate(row.get("trigger", {}).get("after", ())):
        if not exists(name):
            found = f"'{name}'{did_you_mean(name, known)}, and there is no such schedule"
            expected = "the scheduleId of a schedule: until there is one, this one does not start by itself"
            yield DocumentError(f"$.trigger.after[{position}]", found, expected)


def _hint(use: Use, short: Short) -> str:
    return "" if use.is_arn else did_you_mean(use.name, sorted(short[use.kind]))


def _expected(kind: Kind, short: Short) -> str:
    names = ", ".join(sorted(short[kind])) or "none here"
    return f"a short name ({names}), or the name or ARN of a {kind} in this account and region"
