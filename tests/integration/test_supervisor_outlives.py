"""The supervisor of a durable engine: it and its jobs outlive the engine, and the next one takes them over."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from universal_scheduler.local.batch import Exit, ProcessRunner, link
from universal_scheduler.local.batch import runner as runners
from universal_scheduler.local.batch.runner import SOCKET
from universal_scheduler.local.processes import MARK, alive, end_jobs

PATH = os.environ.get("PATH", os.defpath)
WAITS = "echo $$ > pid; while ! test -e go; do sleep 0.02; done; "

ENGINE = """
import asyncio, sys
from pathlib import Path
from tests.integration.test_supervisor_outlives import runner_of, start

async def main(home: Path) -> None:
    runner = runner_of(home)
    await runner.open()
    for name, script in zip(sys.argv[2::2], sys.argv[3::2]):
        start(runner, home, name, script)
    await asyncio.sleep(1000)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end_jobs(tmp_path)


def runner_of(home: Path) -> ProcessRunner:
    return ProcessRunner({MARK: str(home)}, engine_dir=home)


def start(runner: ProcessRunner, home: Path, name: str, script: str) -> asyncio.Future[Exit]:
    ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
    runner.start(
        name,
        ["sh", "-c", script],
        {"PATH": PATH, MARK: str(home), "NAME": name},
        home / name,
        home / f"{name}.log",
        on_start=lambda _: None,
        on_exit=ended.set_result,
    )
    return ended


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def killed_engine(home: Path, **scripts: str) -> dict[str, int]:
    """Start jobs in an engine that is killed when they run; their process ids."""
    arguments = [it for pair in scripts.items() for it in pair]
    with subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(home), *arguments], cwd=Path(__file__).parents[2]
    ) as engine:
        notes = {name: home / name / "pid" for name in scripts}
        wait_until(lambda: all(note.exists() and note.read_text().endswith("\n") for note in notes.values()))
        engine.kill()
    return {name: int(note.read_text()) for name, note in notes.items()}


def with_runner(home: Path, use: Callable[[ProcessRunner], Awaitable[None]], *, keep: bool = False) -> None:
    async def main() -> None:
        runner = runner_of(home)
        await runner.open()
        try:
            async with asyncio.timeout(30):
                await use(runner)
        finally:
            await runner.close(keep=keep)

    asyncio.run(main())


async def adopted(runner: ProcessRunner, name: str) -> tuple[int, Exit]:
    """Since when an adopted job runs, and how it ended."""
    ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
    started: list[int] = []
    assert runner.adopt(name, on_start=started.append, on_exit=ended.set_result)
    how = await ended
    return started[0], how


def now() -> int:
    return time.time_ns() // 1_000_000


def test_a_job_runs_on_when_its_engine_is_killed_and_its_exit_code_is_told_to_the_next(home: Path) -> None:
    before = now()
    pids = killed_engine(home, job=WAITS + "echo $NAME; exit 7")

    async def use(runner: ProcessRunner) -> None:
        assert runner.kept
        assert alive(pids["job"])
        taken = asyncio.create_task(adopted(runner, "job"))
        (home / "job" / "go").touch()
        started, how = await taken
        assert how == Exit(code=7)
        assert how.at is not None
        assert before <= started <= how.at <= now()
        assert (home / "job.log").read_text() == "job\n"

    with_runner(home, use)


def test_an_exit_code_that_nobody_has_taken_is_kept_until_somebody_does(home: Path) -> None:
    pids = killed_engine(home, job=WAITS + "exit 7", other=WAITS)
    (home / "job" / "go").touch()
    wait_until(lambda: not Path(f"/proc/{pids['job']}").exists())  # it has ended, and that was seen
    ended_before = now()

    async def look(runner: ProcessRunner) -> None:
        _, how = await adopted(runner, "job")
        assert how == Exit(code=7)
        assert how.at is not None
        assert how.at <= ended_before

    async def take(runner: ProcessRunner) -> None:
        await look(runner)
        runner.forget("job")

    async def look_for_it(runner: ProcessRunner) -> None:
        assert not runner.adopt("job", on_start=print, on_exit=print)
        assert runner.adopt("other", on_start=print, on_exit=print)

    with_runner(home, look, keep=True)
    with_runner(home, take, keep=True)
    with_runner(home, look_for_it)


def test_what_the_killed_engine_had_commanded_counts_and_the_next_commands_as_before(home: Path) -> None:
    killed_engine(home, job=WAITS)

    async def use(runner: ProcessRunner) -> None:
        taken = asyncio.create_task(adopted(runner, "job"))
        await asyncio.sleep(0)
        runner.kill("job", signal.SIGTERM)
        assert (await taken)[1] == Exit(signal=signal.SIGTERM)
        assert await start(runner, home, "next", "test $NAME = next") == Exit(code=0)

    with_runner(home, use)


def test_closing_ends_what_runs_and_what_it_ran_under(home: Path) -> None:
    pids = killed_engine(home, job="(setsid sh -c 'echo $$ > pid; exec sleep 1000' &); sleep 1000")

    async def use(runner: ProcessRunner) -> None:
        assert runner.kept

    with_runner(home, use)
    wait_until(lambda: not alive(pids["job"]))
    assert not (home / SOCKET).exists()
    assert end_jobs(home) == 0


def test_what_nobody_adopts_is_ended(home: Path) -> None:
    pids = killed_engine(home, job=WAITS, other=WAITS)

    async def use(runner: ProcessRunner) -> None:
        assert runner.adopt("other", on_start=print, on_exit=print)
        runner.end_others()
        await asyncio.to_thread(wait_until, lambda: not alive(pids["job"]))
        assert alive(pids["other"])

    with_runner(home, use)


def test_what_a_killed_supervisor_left_is_ended_before_anything_starts(home: Path) -> None:
    pids = killed_engine(home, job=WAITS, daemon="(setsid sh -c 'echo $$ > pid; exec sleep 1000' &); sleep 1000")
    parent = int(Path(f"/proc/{pids['job']}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)

    async def use(runner: ProcessRunner) -> None:
        assert not runner.kept
        assert not any(map(alive, pids.values()))
        assert not runner.adopt("job", on_start=print, on_exit=print)
        assert await start(runner, home, "next", "exit 3") == Exit(code=3)

    with_runner(home, use)


def test_a_supervisor_that_is_killed_while_its_engine_lives_is_replaced(home: Path) -> None:
    async def use(runner: ProcessRunner) -> None:
        lost = start(runner, home, "lost", WAITS)
        await asyncio.to_thread(wait_until, (home / "lost" / "pid").exists)
        assert runner._link is not None
        assert runner._link.process is not None
        os.kill(runner._link.process.pid, signal.SIGKILL)
        assert await lost == Exit(host_terminated=True)
        assert await start(runner, home, "next", "exit 3") == Exit(code=3)

    with_runner(home, use)


def test_what_is_started_while_the_supervisor_is_replaced_ends_somehow(home: Path) -> None:
    async def use(runner: ProcessRunner) -> None:
        assert runner._link is not None
        assert runner._link.process is not None
        first = runner._link
        os.kill(runner._link.process.pid, signal.SIGKILL)
        ends = []
        while runner._link is first:
            ends.append(start(runner, home, f"job{len(ends)}", "exit 3"))
            await asyncio.sleep(0.005)
        assert set(await asyncio.gather(*ends)) <= {Exit(host_terminated=True), Exit(code=3)}
        assert await start(runner, home, "next", "exit 3") == Exit(code=3)

    with_runner(home, use)


def test_a_supervisor_that_cannot_be_replaced_is_tried_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError("no room"), OSError("no room")]
    by_socket = link.by_socket

    def fails_at_first(path: Path, env: Mapping[str, str]) -> link.Link:
        if failures:
            raise failures.pop()
        return by_socket(path, env)

    async def use(runner: ProcessRunner) -> None:
        assert runner._link is not None
        assert runner._link.process is not None
        monkeypatch.setattr(link, "by_socket", fails_at_first)
        monkeypatch.setattr(runners, "AGAIN_SECONDS", 0.01)
        os.kill(runner._link.process.pid, signal.SIGKILL)
        assert await start(runner, home, "lost", "exit 3") == Exit(host_terminated=True)
        assert await start(runner, home, "next", "exit 3") == Exit(code=3)

    with_runner(home, use)


def test_without_jobs_and_without_an_engine_it_ends(home: Path) -> None:
    pids = []

    async def use(runner: ProcessRunner) -> None:
        await start(runner, home, "job", "true")
        runner.forget("job")
        assert runner._link is not None
        assert runner._link.process is not None
        pids.append(runner._link.process.pid)

    with_runner(home, use, keep=True)
    wait_until(lambda: not alive(pids[0]))


def test_only_its_user_can_command_it(home: Path) -> None:
    async def use(_: ProcessRunner) -> None:
        assert stat.S_IMODE((home / SOCKET).stat().st_mode) == 0o600

    with_runner(home, use)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there the length of a socket's path is limited")
def test_the_path_of_the_state_directory_may_be_long(home: Path) -> None:
    long = home / ("x" * 200)
    long.mkdir()
    pids = killed_engine(long, job=WAITS)

    async def use(runner: ProcessRunner) -> None:
        assert runner.kept

    with_runner(long, use)
    wait_until(lambda: not alive(pids["job"]))


def test_many_jobs_are_adopted_at_once(home: Path) -> None:
    pids = killed_engine(
        home, **{f"job{number}": f"echo $$ > pid; sleep 0.{number}; exit {number}" for number in range(9)}
    )

    async def use(runner: ProcessRunner) -> None:
        ends = await asyncio.gather(*(adopted(runner, name) for name in pids))
        assert [how.code for _, how in ends] == list(range(9))

    with_runner(home, use)
