"""What options mean that have a name and a value."""

from __future__ import annotations

from collections.abc import Sequence

from universal_scheduler.cli.problems import Problem


def pairs(texts: Sequence[str], option: str, form: str) -> dict[str, str]:
    """`NAME=VALUE` of an option that may be given several times; the last of a name holds.

    Raises:
        Problem: one has no name, or no `=`.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise Problem(f"{option} {text}: that is not {form}.", f"Write {option} {form}.")
        found[name] = value
    return found
