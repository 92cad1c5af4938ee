"""Closes the known gaps of ministack: one module a gap, each with a test that fails when upstream closes it.

A gap's ``apply`` changes functions inside ministack, so each first asks for the one release that it was written for.
"""

import importlib.metadata
import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any

MINISTACK = "1.5.33"


class GapError(RuntimeError):
    """ministack is not what a gap was written for."""


def require_ministack(gap: str) -> None:
    """Raise GapError unless the installed ministack is the release that ``gap`` was written for."""
    installed = importlib.metadata.version("ministack")
    if installed != MINISTACK:
        raise GapError(
            f"the embedded engine's gap '{gap}' is written for ministack {MINISTACK}, but {installed} is installed: "
            f"install ministack=={MINISTACK}, or check that gap against {installed}"
        )


def edit(function: Callable[..., Any], *changes: tuple[str, str]) -> None:
    """Redefine ``function`` in its module with each (old, new) piece of its source replaced.

    Every old piece must be there exactly once: a change that upstream has already made is an error, not a silent no-op.
    """
    source = getattr(function, "edited", None) or textwrap.dedent(inspect.getsource(function))
    for old, new in changes:
        found = source.count(old)
        if found != 1:
            raise GapError(f"{function.__module__}.{function.__name__} has {found} times, not once: {old!r}")
        source = source.replace(old, new)
    module = sys.modules[function.__module__]
    exec(compile(source, f"<{function.__module__}.{function.__name__}, edited>", "exec"), vars(module))
    vars(module)[function.__name__].edited = source  # another gap may change it further


def between(function: Callable[..., Any], first: str, last: str) -> str:
    """The piece of a function's source from `first` up to `last`."""
    source = textwrap.dedent(inspect.getsource(function))
    return source[source.index(first) : source.index(last)]
