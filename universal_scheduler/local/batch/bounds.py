"""What a job may take of this machine: what its definition and its overrides ask for."""

from __future__ import annotations

import math

from universal_scheduler.local.batch import describe
from universal_scheduler.local.batch.model import JobSpec
from universal_scheduler.local.batch.runner import Bounds

NICE_STEP = 1.25
"""One step of niceness more is so much less of a processor that others want too:
https://docs.kernel.org/scheduler/sched-nice-design.html"""
LEAST = 19


def bounds_of(spec: JobSpec) -> Bounds:
    """The bounds of a job's processes. A job of one vCPU or more has the weight of any other process."""
    mebibytes = describe.mebibytes(spec.container)
    return Bounds(None if mebibytes is None else mebibytes << 20, _niceness(spec.millicpus))


def _niceness(millicpus: int) -> int:
    return min(LEAST, max(0, round(math.log(1000 / millicpus, NICE_STEP))))
