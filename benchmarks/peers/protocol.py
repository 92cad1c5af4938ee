"""How the driver speaks to a peer's script, line by line. Standard library only: it runs in every peer's environment.

The script says that it is ready, then runs each workload whose name it is given, and answers how that went; it ends
with its input. What it prints besides goes to its log.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measures import JobTimes, Measured, lags
from benchmarks.workloads import COMMAND, Workload, all_workloads

READY = {"ready": True}
STOP_SECONDS = 5.0


def serve(measure: Callable[[Workload], Measured]) -> None:
    """Measure every workload that the driver names."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the peer prints
    workloads = {each.name: each for each in all_workloads()}
    answers.write(json.dumps(READY) + "\n")
    for line in sys.stdin:
        measured = measure(workloads[line.strip()])
        answers.write(json.dumps({"outcome": measured.outcome, "wall": measured.wall, "lags": measured.lags}) + "\n")


def timed(run: Callable[[Workload], str]) -> Callable[[Workload], Measured]:
    """Measures a peer whose jobs call `job`. `run` answers SUCCEEDED, or what the peer's own record says instead."""

    def measure(workload: Workload) -> Measured:
        _times().write_bytes(b"")
        began = time.perf_counter()
        outcome = run(workload)
        wall = time.perf_counter() - began
        times = {name: JobTimes(*when) for name, *when in map(json.loads, _times().read_text().splitlines())}
        if outcome == "SUCCEEDED" and times.keys() != workload.upstream.keys():
            outcome = f"SUCCEEDED with {len(times)} of {len(workload.upstream)} jobs"
        return Measured(outcome, wall, lags(times, workload.upstream))

    return measure


def job(name: str) -> None:
    """What every peer runs for a job: its process, and a line about when that was."""
    started = time.time()
    subprocess.run(COMMAND, check=True, stdin=subprocess.DEVNULL)
    line = json.dumps([name, started, time.time()]) + "\n"
    with _times().open("ab", buffering=0) as file:  # one write: the lines of several processes stay whole
        file.write(line.encode())


def home() -> Path:
    """The directory that the peer has for itself; empty when its script is started."""
    return Path(os.environ["HOME"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def servers(*commands: Sequence[str]) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Run these programs meanwhile; what is given waits until a look at them finds something.

    The programs go on to print to the script's log. Raises RuntimeError where one of them ends while it is waited for.
    """
    started = [subprocess.Popen(each, stdin=subprocess.DEVNULL, stdout=sys.stderr) for each in commands]

    def until(look: Callable[[], Any]) -> Any:
        while True:
            if ended := [each for each in started if each.poll() is not None]:
                command, code = commands[started.index(ended[0])], ended[0].returncode
                raise RuntimeError(f"{Path(command[0]).name} {' '.join(command[1:])} ended with {code}")
            try:
                if found := look():
                    return found
            except OSError:
                pass  # it does not listen yet, or does not know yet what it is asked about
            time.sleep(0.05)

    try:
        yield until
    finally:
        for each in started:
            each.terminate()
        for each in started:
            try:
                each.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                each.kill()


def call(url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    """Ask a peer's server; answers its JSON, None where it says nothing. Raises OSError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def _times() -> Path:
    return home() / "times"
