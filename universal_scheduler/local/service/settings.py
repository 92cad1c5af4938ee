"""The settings of an engine that somebody may have to change: `engine.toml` in its state directory."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

FILE = "engine.toml"
_RETENTION = "retention"


class SettingsError(ValueError):
    """The settings cannot be used. The message says where the error is, and what is expected."""


LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 180, 365)
"""What the stage's parameter LogRetentionDays allows."""


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many days things are kept, and how many megabytes they may have together. 0 sets no limit."""

    run_days: int = 400
    event_days: int = 90
    """Of the log of all jobs; at least 1."""
    table_megabytes: int = 4096
    """Of runs with their jobs, of the log of all jobs, and of everything else in tables."""
    log_days: int = 30
    """One of `LOG_DAYS`."""
    log_megabytes: int = 2048
    job_file_days: int = 7
    job_file_megabytes: int = 2048

    def parameters(self) -> dict[str, str]:
        """The parameters of the stage that say the same."""
        return {"JobEventDays": str(self.event_days), "LogRetentionDays": str(self.log_days)}


def read(home: Path) -> Retention:
    """The settings of the engine with this state directory; without a file, the usual ones.

    Raises:
        SettingsError: a name or a value is wrong, or the file cannot be read.
    """
    path = home / FILE
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Retention()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    _check_names(path, "section", document, [_RETENTION])
    return _retention(path, document.get(_RETENTION, {}))


def _retention(path: Path, given: Any) -> Retention:
    if not isinstance(given, Mapping):
        raise SettingsError(f"{path}: {_RETENTION} is a section: begin it with the line [{_RETENTION}].")
    names = {_camel_case(field.name): field.name for field in fields(Retention)}
    _check_names(path, f"setting of [{_RETENTION}]", given, list(names))
    for name, value in given.items():
        if type(value) is not int or value < 0:
            raise SettingsError(f"{path}: {name} is {value!r}; a whole number is expected, or 0 for no limit.")
    found = Retention(**{names[name]: value for name, value in given.items()})
    if not found.event_days:
        raise SettingsError(f"{path}: eventDays must be at least 1.")
    if found.log_days not in LOG_DAYS:
        raise SettingsError(f"{path}: logDays is {found.log_days}; it must be one of {', '.join(map(str, LOG_DAYS))}.")
    return found


def _check_names(path: Path, what: str, given: Mapping[str, Any], known: list[str]) -> None:
    if wrong := sorted(given.keys() - set(known)):
        raise SettingsError(f"{path}: there is no {what} '{wrong[0]}'. There are: {', '.join(known)}.")


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
