"""Names in a valid document that a certain stage does not have: queues, job definitions and schedules.

A remark has the form of an error. No door refuses a document because of a remark alone: the name may come later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from universal_scheduler.domain.documents.upstreams import upstream_paths
from universal_scheduler.domain.errors import DocumentError, did_you_mean


class Kind(StrEnum):
    """The kind of thing that a name in a job names."""

    QUEUE = "queue"
    DEFINITION = "job definition"


KEYS = {"jobQueue": Kind.QUEUE, "fallbackQueue": Kind.QUEUE, "jobDefinition": Kind.DEFINITION}


Short: TypeAlias = Mapping[Kind, Collection[str]]
"""The short names of a stage, by their kind."""


@dataclass(frozen=True, slots=True)
class Use:
    """A name that is not a short name of the stage, and the first place in the document that has it."""

    kind: Kind
    name: str
    path: str
    job: str

    @property
    def is_arn(self) -> bool:
        return self.name.startswith("arn:")


def foreign_names(row: Mapping[str, Any], short: Short) -> list[Use]:
    """The queues and job definitions of a row that are not short names of the stage, each once."""
    found: dict[tuple[Kind, str], Use] = {}
    for index, entry in enumerate(row["jobList"]):
        for key, kind in KEYS.items():
            name = entry.get(key)
            if name is not None and name not in short[kind]:
                found.setdefault((kind, name), Use(kind, name, f"$.jobList[{index}].{key}", entry["jobName"]))
    return list(found.values())


def misspelt(uses: Sequence[Use], short: Short) -> Iterator[DocumentError]:
    """A remark for each name that looks like a short name of the stage and is none."""
    for use in uses:
        hint = _hint(use, short)
        if hint:
            yield DocumentError(use.path, f"the {use.kind} '{use.name}'{hint}", _expected(use.kind, short), job=use.job)


def unknown(uses: Sequence[Use], short: Short) -> Iterator[DocumentError]:
    """A remark for each name that nobody has looked up. ARNs are left out, because people hardly write them by hand."""
    for use in uses:
        if not use.is_arn:
            found = f"the {use.kind} '{use.name}'{_hint(use, short)}, which is no short name of this stage"
            yield DocumentError(use.path, found, _expected(use.kind, short), job=use.job)


def missing(uses: Sequence[Use], short: Short) -> tuple[list[DocumentError], list[DocumentError]]:
    """The names that Batch does not have: errors and warnings.

    A name that looks like a short name of the stage is misspelt, so that its job can never run: that is an error.
    Another name may come later: that is a warning.
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
    """A remark for each schedule in a trigger `after` that does not exist. `known` are names to suggest."""
    for path, name in upstream_paths(row):
        if not exists(name):
            found = f"'{name}'{did_you_mean(name, known)}, and there is no such schedule"
            expected = "the scheduleId of a schedule: until there is one, this one does not start by itself"
            yield DocumentError(path, found, expected)


def _hint(use: Use, short: Short) -> str:
    return "" if use.is_arn else did_you_mean(use.name, sorted(short[use.kind]))


def _expected(kind: Kind, short: Short) -> str:
    names = ", ".join(sorted(short[kind])) or "none here"
    return f"a short name ({names}), or the name or ARN of a {kind} in this account and region"
