"""Real processes with bounds: what they hold of the machine's memory, and their share of its processors."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from universal_scheduler.local.batch import Exit, ProcessRunner, memory
from universal_scheduler.local.batch.runner import UNBOUNDED, Bounds

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what a process holds")

PATH = os.environ.get("PATH", os.defpath)
MB = 1 << 20
KILLED = Exit(signal=signal.SIGKILL, out_of_memory=True)

HOLD = "import sys, time; held = bytearray(int(sys.argv[1]) << 20); print('up', flush=True); time.sleep(1000)"
"""A program that holds so many MB, and waits."""
BELOW = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
"""The same, one process further down."""
DAEMON = "(setsid {python} -c '{hold}' {mb} &) ; sleep 1000"


def run(folder: Path, *jobs: tuple[list[str], Bounds]) -> list[Exit]:
    """Run these commands together, all to their ends."""

    async def main() -> list[Exit]:
        runner = ProcessRunner()
        await runner.open()
        try:
            async with asyncio.timeout(60):
                return await asyncio.gather(
                    *(
                        runner.run(str(it), argv, {"PATH": PATH}, folder / str(it), folder / f"{it}.log", bounds)
                        for it, (argv, bounds) in enumerate(jobs)
                    )
                )
        finally:
            await runner.close()

    return asyncio.run(main())


def python(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", program, *map(str, arguments)]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


@pytest.mark.parametrize(
    "argv",
    [
        python(HOLD, 200),
        python(BELOW, HOLD, 200),
        ["sh", "-c", f'for part in 1 2 3; do {sys.executable} -c "{HOLD}" 70 & done; wait'],
        ["sh", "-c", DAEMON.format(python=sys.executable, hold=HOLD.replace("'", '"'), mb=200)],
    ],
    ids=["itself", "a child", "several together", "a daemon"],
)
def test_a_job_that_holds_more_memory_than_it_may_is_killed(tmp_path: Path, argv: list[str]) -> None:
    assert run(tmp_path, (argv, Bounds(memory=128 * MB))) == [KILLED]


def test_only_the_job_that_holds_too_much_is_killed(tmp_path: Path) -> None:
    greedy = "import time; held = bytearray(300 << 20); time.sleep(1000)"
    # The other job ends when the greedy one has.
    other = "import os, time\nwhile os.path.exists('../0'): time.sleep(0.01)\nheld = bytearray(10 << 20)"
    ends = run(tmp_path, (python(greedy), Bounds(memory=128 * MB)), (python(other), Bounds(memory=128 * MB)))
    assert ends == [KILLED, Exit(code=0)]


def test_a_job_without_a_limit_holds_what_it_wants(tmp_path: Path) -> None:
    greedy = "import time; held = bytearray(300 << 20); time.sleep(1000)"
    free = "import os, time\nheld = bytearray(300 << 20)\nwhile os.path.exists('../0'): time.sleep(0.01)"
    ends = run(tmp_path, (python(greedy), Bounds(memory=128 * MB)), (python(free), UNBOUNDED))
    assert ends == [KILLED, Exit(code=0)]


def test_a_job_that_is_killed_by_somebody_else_was_not_out_of_memory(tmp_path: Path) -> None:
    assert run(tmp_path, (["sh", "-c", "kill -KILL $$"], Bounds(memory=128 * MB))) == [Exit(signal=signal.SIGKILL)]


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group below ours with little memory, as a container or a service may have."""
    path, limit = None, ""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers == "memory":
            path, limit = Path("/sys/fs/cgroup/memory") / place.lstrip("/"), "memory.limit_in_bytes"
        elif not controllers and path is None:
            path, limit = Path("/sys/fs/cgroup") / place.lstrip("/"), "memory.max"
    group = (path or Path("/none")) / f"usched-test-{os.getpid()}"
    try:
        group.mkdir()
        try:
            (group / limit).write_text(str(64 * MB))
            yield group
        finally:
            wait_until(lambda: not (group / "cgroup.procs").read_text())
            group.rmdir()
    except OSError:
        pytest.skip("no control group can be made here")


def test_a_job_that_the_kernel_kills_for_want_of_memory_says_so(tmp_path: Path, small_group: Path) -> None:
    enter = f"import os; open({str(small_group / 'cgroup.procs')!r}, 'w').write(str(os.getpid())); "
    assert run(tmp_path, (python(enter + HOLD, 200), UNBOUNDED)) == [KILLED]
    # The kernel has killed something, but not this job.
    assert run(tmp_path / "next", (["sh", "-c", "kill -KILL $$"], UNBOUNDED)) == [Exit(signal=signal.SIGKILL)]


@contextmanager
def started(program: str, *arguments: object) -> Iterator[int]:
    """A program that has come so far that it has said so."""
    with subprocess.Popen(python(program, *arguments), stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid
        os.killpg(process.pid, signal.SIGKILL)


def members(pid: int) -> list[int]:
    return memory.Processes().of_sessions({pid}, lambda _: None)[pid]


def test_memory_that_several_processes_share_counts_once() -> None:
    shared = """
import os, time
held = bytearray(100 << 20)
for child in range(3):
    if os.fork() == 0:
        time.sleep(1000)
print("up", flush=True)
time.sleep(1000)
"""
    with started(shared) as pid:
        pids = members(pid)
        assert len(pids) == 4
        assert memory.Processes().resident(pids) > 400 * MB
        assert 100 * MB < memory.held(pids, 200 * MB) < 150 * MB


def test_pages_of_files_do_not_count_as_the_system_can_take_them_back(tmp_path: Path) -> None:
    mapped = """
import mmap, sys, time
with open(sys.argv[1], "r+b") as file:
    file.write(bytes(100 << 20))
    file.flush()
    pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    seen = sum(pages[::4096])
print("up", flush=True)
time.sleep(1000)
"""
    (tmp_path / "file").touch()
    with started(mapped, tmp_path / "file") as pid:
        assert memory.Processes().resident(members(pid)) > 100 * MB
        assert memory.held(members(pid), 50 * MB) < 50 * MB


def test_a_process_that_has_ended_holds_nothing() -> None:
    with started(HOLD, 10) as pid:
        pass
    assert members(pid) == []
    assert memory.held([pid], 0) == 0


def test_a_job_has_its_niceness_from_its_bounds_and_its_session_too(tmp_path: Path) -> None:
    async def main() -> None:
        runner = ProcessRunner()
        await runner.open()
        argv = ["sh", "-c", "echo $$; sleep 1000"]
        pids: asyncio.Queue[int] = asyncio.Queue()
        try:
            runner.start(
                "job",
                argv,
                {"PATH": PATH},
                tmp_path,
                tmp_path / "out",
                bounds=Bounds(nice=6),
                on_start=pids.put_nowait,
                on_exit=lambda _: None,
            )
            pid = await pids.get()
            assert os.getpriority(os.PRIO_PROCESS, pid) == 6
            group = Path(f"/proc/{pid}/autogroup")
            if group.exists() and Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1":
                await asyncio.to_thread(wait_until, lambda: "nice 6" in group.read_text())
            assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "500"
        finally:
            await runner.close()

    asyncio.run(main())


def test_two_jobs_share_a_processor_by_their_niceness(tmp_path: Path) -> None:
    # Both spin on one processor until one of them has had a second and a half of it.
    spin = """
import os, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
while time.process_time() < 1.5 and not os.path.exists("../done"):
    for turn in range(10000): pass
open("../done", "w").close()
print(time.process_time())
"""
    run(tmp_path, (python(spin), Bounds(nice=0)), (python(spin), Bounds(nice=6)))
    full, quarter = (float((tmp_path / f"{it}.log").read_text()) for it in range(2))
    assert quarter < full / 2
