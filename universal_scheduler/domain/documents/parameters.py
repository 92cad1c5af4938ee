"""The parameters of a run: the schedule's defaults and the values that the run gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from universal_scheduler.domain.documents.size import carried_errors
from universal_scheduler.domain.documents.storable import MAX_ERRORS, plain, storable_errors
from universal_scheduler.domain.documents.values import quoted, shown, step
from universal_scheduler.domain.errors import DocumentError, InvalidParameters, did_you_mean
from universal_scheduler.domain.runs.model import Scalar


def effective_parameters(defaults: Mapping[str, Scalar], given: Any) -> dict[str, Scalar]:
    """The parameters of a run that gets the values in `given`; the others have the schedule's defaults.

    Raises:
        InvalidParameters: the schedule has no such parameter, or a value is not a text, a number, true or false, or no
            table can hold it.
    """
    if not isinstance(given, Mapping):
        raise InvalidParameters([DocumentError("$.parameters", shown(given), "an object")])
    given, known = plain(given), list(defaults)
    errors = storable_errors({"parameters": given})
    for name, value in () if errors else given.items():
        path = f"$.parameters{step(name)}"
        if name not in known:
            found = f"unknown parameter {quoted(name)}{did_you_mean(name, known)}"
            only = f"only {', '.join(known)}" if known else "none: the schedule has no parameters"
            errors.append(DocumentError(path, found, only))
        elif not isinstance(value, Scalar):
            errors.append(DocumentError(path, shown(value), "text, a number, true or false"))
    if errors:
        raise InvalidParameters(errors[:MAX_ERRORS])
    return {**defaults, **given}


def with_parameters(document: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a run that gets these parameters.

    Raises:
        InvalidParameters: as for `effective_parameters`, or they are too large for the row of a run.
    """
    effective = effective_parameters(document.get("parameters", {}), given)
    made = {**document, **({"parameters": effective} if effective else {})}
    if given and (errors := list(carried_errors(made))):
        raise InvalidParameters(errors)
    return made
