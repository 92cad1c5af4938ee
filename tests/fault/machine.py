"""A machine with a durable engine that is killed at random moments, with kill -9, and started again."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.e2e.conftest import eventually
from universal_scheduler.local import engine as engines
from universal_scheduler.local import processes
from universal_scheduler.local.state import Safety

ENGINE, FUNCTIONS, SUPERVISOR, JOBS = "engine", "functions", "supervisor", "jobs"
EVERYTHING = (ENGINE, FUNCTIONS, SUPERVISOR, JOBS)
KINDS: dict[tuple[str, ...], int] = {
    EVERYTHING: 5,
    (ENGINE,): 4,
    (ENGINE, FUNCTIONS): 3,
    (ENGINE, SUPERVISOR): 3,
    (ENGINE, JOBS): 2,
    (FUNCTIONS,): 2,
    (JOBS,): 2,
    (SUPERVISOR,): 2,
}
"""What is killed together, and how often."""
LATEST_SECONDS = 2.0
"""The latest moment for a crash, after the one before."""
STARTS = 5
QUEUES = ("usched-due", "usched-job-events", "usched-notifications", "usched-arrivals")
VISIBILITY_SECONDS = 20
"""After so long comes again what a killed function had in hand. The template says three minutes and more."""
FIGURES: list[str] = []
"""What the crash tests of this process have found; the end of the tests prints it."""


class Machine:
    """One engine with its state directory. `crash` ends some of its processes, and starts it again."""

    def __init__(self, home: Path, chance: random.Random, safety: Safety = Safety.PROCESS) -> None:
        self._chance, self._safety = chance, safety
        self.engine = engines.start(0, state_dir=home, safety=safety)
        self._be_impatient()
        self.crashes: Counter[str] = Counter()
        self.seconds: list[float] = []
        """How long each start after a crash took."""
        self.kills: list[tuple[float, tuple[str, ...]]] = []
        """When what was killed."""

    @property
    def home(self) -> Path:
        return self.engine.state_dir

    def crash(self) -> None:
        """Wait for a random moment, kill, and start again. One in five starts is killed in the middle, too."""
        time.sleep(self._chance.uniform(0.0, LATEST_SECONDS))
        kind = self._chance.choices([*KINDS], [*KINDS.values()])[0]
        self.crashes[" + ".join(kind)] += 1
        self._kill(kind)
        if ENGINE in kind:
            self._start()

    def _start(self) -> None:
        for _ in range(STARTS):
            murder = None
            if self._chance.random() < 0.2:
                murder = threading.Timer(self._chance.uniform(0.1, 1.0), self._kill_in_the_middle)
                murder.start()
            begin = time.monotonic()
            try:
                self.engine = engines.start(self.engine.port, state_dir=self.home, safety=self._safety)
            except engines.EngineError:
                if murder is None:
                    raise
            else:
                self.seconds.append(time.monotonic() - begin)
            finally:
                if murder is not None:
                    murder.join()
            if engines.find(self.home) is not None:
                self._be_impatient()
                return
        raise AssertionError("the engine does not start")

    def _be_impatient(self) -> None:
        for name in QUEUES:
            url = f"{self.engine.endpoint}/123456789012/{name}"
            client(self.engine, "sqs").set_queue_attributes(
                QueueUrl=url, Attributes={"VisibilityTimeout": str(VISIBILITY_SECONDS)}
            )

    def _kill_in_the_middle(self) -> None:
        self.crashes["engine, while it started"] += 1
        self._kill((ENGINE,))

    def _kill(self, roles: Iterable[str]) -> None:
        doomed = [pid for pid in processes.marked(self.home) if _role(pid) in roles]
        for number in (signal.SIGSTOP, signal.SIGKILL):  # so that they all die at the same moment
            for pid in doomed:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        self.kills.append((time.time(), tuple(roles)))
        eventually(lambda: not any(map(processes.alive, doomed)), what="the death of what was killed")

    def stop(self) -> None:
        engines.stop(self.home)
        assert not processes.marked(self.home), "the engine has left processes behind"


def client(engine: engines.Engine, service: str, **settings: Any) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    return boto3.client(service, endpoint_url=engine.endpoint, config=Config(**settings), **keys)


def _role(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    if b"AWS_BATCH_JOB_ID=" in environment:
        return JOBS
    names = {b"universal_scheduler.local.server": ENGINE, b"lambda_zygote.py": FUNCTIONS, b"supervisor": SUPERVISOR}
    return next((role for name, role in names.items() if name in command), "")
