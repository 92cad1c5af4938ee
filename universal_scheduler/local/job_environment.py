"""The environment of jobs on this machine, both on an embedded engine and in a trial."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from universal_scheduler.local.package import ROOT

JOB_SCRIPTS = ROOT / "containers" / "job" / "bin"


def job_path(inherited: str) -> str:
    """PATH as in the job image: it finds the scripts of the image, and `python` is the interpreter with their
    packages."""
    return os.pathsep.join([str(JOB_SCRIPTS), str(Path(sys.executable).parent), inherited])
