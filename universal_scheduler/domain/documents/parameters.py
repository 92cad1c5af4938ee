"""The parameters that a run has: the schedule's defaults, and what the run is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.errors import DocumentError, InvalidSchedule, did_you_mean
from universal_scheduler.domain.model import Scalar


def effective_parameters(defaults: Mapping[str, Scalar], given: Any) -> dict[str, Scalar]:
    """What a run has when it is given these: the schedule's defaults for the rest.

    Raises:
        InvalidSchedule: the schedule has no such parameter, or the value is no text, number, true or false.
    """
    if not isinstance(given, Mapping):
        raise InvalidSchedule([DocumentError("$.parameters", shown(given), "an object")])
    known = list(defaults)
    errors = []
    for name, value in given.items():
        path = f"$.parameters.{name}"
        if name not in known:
            only = f"only {', '.join(known)}" if known else "none: the schedule has no parameters"
            errors.append(DocumentError(path, f"unknown parameter '{name}'{did_you_mean(name, known)}", only))
        elif not isinstance(value, Scalar):
            errors.append(DocumentError(path, shown(value), "text, a number, true or false"))
    if errors:
        raise InvalidSchedule(errors)
    return {**defaults, **given}


def with_parameters(document: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The document as a run has it that is given these parameters.

    Raises:
        InvalidSchedule: as `effective_parameters`.
    """
    effective = effective_parameters(document.get("parameters", {}), given)
    return {**document, **({"parameters": effective} if effective else {})}
