"""What jobs find on this machine, whoever runs them: an embedded engine or a trial."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from universal_scheduler.local.package import ROOT

JOB_SCRIPTS = ROOT / "containers" / "job" / "bin"


def job_path(inherited: str) -> str:
    """PATH as in the job image: its scripts are found by name, and `python` is the one that has their packages."""
    return os.pathsep.join([str(JOB_SCRIPTS), str(Path(sys.executable).parent), inherited])
