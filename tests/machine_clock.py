"""A machine whose clock tests set: its engine, functions and jobs see what the clock shows, the rest of us do not."""

from __future__ import annotations

import os
import shutil
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
"""
RUN = "server.main()\n"
needs_a_clock = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler to set a clock"
)


class Machine:
    """It runs one durable engine at a time. `changes` is Python that its process runs before it begins."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, changes: str = "") -> None:
        self.home, self._library, self._clock = folder / "engine", folder / "clock.so", folder / "clock"
        compiler = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(SOURCE)]
        subprocess.run(compiler, check=True, capture_output=True)
        self._changes, self._command = changes, engines._command
        patch.setattr(engines, "_command", self._shifted)
        self._ahead = 0
        self.set_clock(self.now)

    @property
    def now(self) -> datetime:
        """What its clock shows."""
        return datetime.fromtimestamp(time.time() + self._ahead, UTC)

    def set_clock(self, shown: datetime) -> None:
        """From now on its clock goes on from here, also that of an engine that runs."""
        self._ahead = round(shown.timestamp() - time.time())
        if not self._clock.exists():
            self._clock.write_bytes(bytes(8))
        with self._clock.open("r+b") as file:
            file.write(self._ahead.to_bytes(8, sys.byteorder, signed=True))

    def start(self) -> engines.Engine:
        self.engine = engines.start(0, self.home, safety=Safety.PROCESS)
        return self.engine

    def kill(self) -> None:
        """As a power cut does to the process: no signal that it could handle."""
        os.kill(self.engine.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while engines.find(self.home):
            assert time.monotonic() < deadline, "the engine does not die"
            time.sleep(0.02)

    def stop(self) -> None:
        engines.stop(self.home)

    def _shifted(self, place: engines._Place, options: list[str]) -> list[str]:
        program, _, _, *rest = self._command(place, options)
        assert program == sys.executable
        shifted = [f"LD_PRELOAD={self._library}", f"USCHED_TEST_CLOCK={self._clock}"]
        return ["/usr/bin/env", *shifted, program, "-c", SERVER + self._changes + RUN, *rest]
