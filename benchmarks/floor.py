"""The floor: what a plain Python loop takes to run the same processes in the same order. It records nothing."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter

from benchmarks.measures import JobTimes, Measured, lags
from benchmarks.workloads import COMMAND, Workload


def run(workload: Workload) -> Measured:
    """Run a workload's jobs, as many at a time as there are processors."""
    order = TopologicalSorter(workload.upstream)
    order.prepare()
    times: dict[str, JobTimes] = {}
    ready: list[str] = []
    running: dict[Future[JobTimes], str] = {}
    width = os.cpu_count() or 1
    with ThreadPoolExecutor(width) as pool:
        began = time.perf_counter()
        while order.is_active():
            ready.extend(order.get_ready())
            while ready and len(running) < width:
                running[pool.submit(_process)] = ready.pop(0)
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(done)
                times[name] = done.result()
                order.done(name)
        wall = time.perf_counter() - began
    return Measured("SUCCEEDED", wall, lags(times, workload.upstream))


def _process() -> JobTimes:
    started = time.perf_counter()
    subprocess.run(COMMAND, check=True, stdin=subprocess.DEVNULL)
    return JobTimes(started, time.perf_counter())
