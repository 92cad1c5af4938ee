"""Reads options that have a name and a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from universal_scheduler.cli.problems import Problem
from universal_scheduler.domain.documents.parameters import with_parameters
from universal_scheduler.domain.errors import did_you_mean


def pairs(texts: Sequence[str], option: str, form: str) -> dict[str, str]:
    """The values of an option `NAME=VALUE` by their names. It may be given several times; the last value of a name
    counts.

    Raises:
        Problem: a text has no name or no `=`.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise Problem(f"{option} {text}: that is not {form}.", f"Write {option} {form}.")
        found[name] = value
    return found


def with_params(document: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """The document of a run that gets these `--param`.

    Raises:
        Problem: one is not NAME=VALUE, or the schedule does not have this parameter.
    """
    given = pairs(texts, "--param", "NAME=VALUE")
    check_parameters(document["scheduleId"], document.get("parameters", {}), given)
    return with_parameters(document, given)


def check_parameters(schedule_id: str, known: Iterable[str], given: Iterable[str]) -> None:
    """Check that the schedule has all parameters that were given.

    Raises:
        Problem: it does not have one of them.
    """
    known = [*known]
    for name in given:
        if name not in known:
            has = f"Its parameters are {', '.join(known)}." if known else "It has no parameters."
            raise Problem(
                f"The schedule '{schedule_id}' has no parameter '{name}'{did_you_mean(name, known)}.",
                f"{has} A document declares one with its default: parameters: {{{name}: DEFAULT}}",
            )
