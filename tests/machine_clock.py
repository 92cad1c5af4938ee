"""A machine whose clock is set while its engine is down: the engine and its functions see a clock that is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from universal_scheduler.local import engine as engines
from universal_scheduler.local.state import Safety

SOURCE = Path(__file__).with_suffix(".c")
# Functions get an environment of their own, so that the library has to be put there, too.
SERVER = """
import os
from universal_scheduler.local import server
from universal_scheduler.local.gaps import lambda_workers

made = lambda_workers.Zygote.__init__
kept = {name: os.environ[name] for name in ("LD_PRELOAD", "USCHED_TEST_CLOCK")}
lambda_workers.Zygote.__init__ = lambda zygote, given, *more: made(zygote, {**given, **kept}, *more)
server.main()
"""


class Machine:
    """It runs one durable engine at a time. `ahead` says how many seconds its clock is ahead of the right time."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._home, self._library, self._patch = folder / "engine", folder / "clock.so", patch
        compiler = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(SOURCE)]
        subprocess.run(compiler, check=True, capture_output=True)
        self._command = engines._command
        self.ahead = 0

    @property
    def now(self) -> datetime:
        """What its clock shows."""
        return datetime.fromtimestamp(time.time() + self.ahead, UTC)

    def set_clock(self, shown: datetime) -> None:
        self.ahead = round(shown.timestamp() - time.time())

    def start(self) -> engines.Engine:
        self._patch.setattr(engines, "_command", self._shifted)
        self.engine = engines.start(0, self._home, safety=Safety.PROCESS)
        return self.engine

    def kill(self) -> None:
        """As a power cut does to the process: no signal that it could handle."""
        os.kill(self.engine.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while engines.find(self._home):
            assert time.monotonic() < deadline, "the engine does not die"
            time.sleep(0.02)

    def stop(self) -> None:
        engines.stop(self._home)

    def _shifted(self, place: engines._Place, options: list[str]) -> list[str]:
        program, _, _, *rest = self._command(place, options)
        assert program == sys.executable
        shifted = [f"LD_PRELOAD={self._library}", f"USCHED_TEST_CLOCK={self.ahead}"]
        return ["/usr/bin/env", *shifted, program, "-c", SERVER, *rest]
