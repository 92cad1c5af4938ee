"""Substitutes ``Ref::name`` in a job's command.

https://docs.aws.amazon.com/batch/latest/userguide/job_definition_parameters.html#parameters
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_REFERENCE = re.compile(r"Ref::([A-Za-z0-9_.-]+)")


def substitute(command: Iterable[str], parameters: Mapping[str, str]) -> tuple[str, ...]:
    """The command with every reference to a parameter replaced; one to an unknown parameter stays as it is."""
    return tuple(_REFERENCE.sub(lambda match: parameters.get(match[1], match[0]), word) for word in command)
