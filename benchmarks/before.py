"""An earlier revision of the scheduler, measured in the same run as this one by this one's own measuring code."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from universal_scheduler.local.package import ROOT

TREES = ROOT / "build" / "before"


class RevisionError(RuntimeError):
    """The revision cannot be taken out of the repository; the message says why."""


def tree(revision: str) -> Path:
    """A folder with the scheduler as it was at a revision (whatever git takes as one), without its benchmarks.

    It runs with this interpreter and with the packages that are installed now. Raises RevisionError.
    """
    commit = _git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
    place = TREES / commit[:12]
    if not (place / "template.yaml").exists():
        shutil.rmtree(place, ignore_errors=True)
        archive = _git("archive", "--format=tar", commit, "--", ".", ":(exclude)benchmarks", ":(exclude)tests")
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(place, filter="data")
    return place


def _git(*words: str) -> bytes:
    made = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=False)
    if made.returncode:
        raise RevisionError(made.stderr.decode(errors="replace").strip() or f"git {words[0]} failed")
    return made.stdout
