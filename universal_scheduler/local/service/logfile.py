"""The file with the log of an engine that nobody watches."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

LOG = "engine.log"
_MOST_BYTES, _FILES = 10 << 20, 5


def rotate(path: Path, *, most_bytes: int = _MOST_BYTES, files: int = _FILES) -> None:
    """Put a log file aside when it is too large: as FILE.1, the one before as FILE.2, and so on.

    Processes write on at its end, so it is copied and made empty; a line that comes in between may be lost.
    """
    try:
        if path.stat().st_size <= most_bytes:
            return
    except FileNotFoundError:
        return
    for number in range(files - 1, 0, -1):
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}.{number}").replace(path.with_name(f"{path.name}.{number + 1}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
