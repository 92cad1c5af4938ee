"""Real processes under the supervisor: how they start, end, and never outlive their engine."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from universal_scheduler.local.batch import Exit, ProcessRunner, supervisor

PATH = os.environ.get("PATH", os.defpath)


def with_runner(use: Callable[[ProcessRunner], Awaitable[None]]) -> None:
    async def main() -> None:
        runner = ProcessRunner()
        await runner.open()
        try:
            async with asyncio.timeout(30):
                await use(runner)
        finally:
            await runner.close()

    asyncio.run(main())


def run(tmp_path: Path, *argv: str, **env: str) -> Exit:
    """Run one command in ``tmp_path/work`` with its output in ``tmp_path/out``."""
    ended: list[Exit] = []

    async def use(runner: ProcessRunner) -> None:
        ended.append(await runner.run("job", argv, {"PATH": PATH, **env}, tmp_path / "work", tmp_path / "out"))

    with_runner(use)
    return ended[0]


def shell(tmp_path: Path, script: str) -> Exit:
    return run(tmp_path, "sh", "-c", script)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


async def appears(*paths: Path) -> None:
    while not all(path.exists() and path.read_text().endswith("\n") for path in paths):
        await asyncio.sleep(0.005)


def test_both_outputs_go_to_the_file_in_order(tmp_path: Path) -> None:
    assert shell(tmp_path, "echo one; echo two >&2; pwd; echo $PPID > /dev/null") == Exit(code=0)
    assert (tmp_path / "out").read_text() == f"one\ntwo\n{tmp_path / 'work'}\n"


def test_what_a_job_leaves_empty_is_taken_away(tmp_path: Path) -> None:
    assert shell(tmp_path, "rm -f nothing") == Exit(code=0)
    assert list(tmp_path.iterdir()) == []
    assert shell(tmp_path, "touch something; echo said") == Exit(code=0)
    assert {path.name for path in tmp_path.iterdir()} == {"work", "out"}


def test_a_directory_that_was_there_before_the_job_stays(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    shell(tmp_path, "true")
    assert run(tmp_path, "no-such-command").exit_code == 127
    assert (tmp_path / "work").is_dir()


def test_a_directory_that_cannot_be_made_fails_the_job_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def use(runner: ProcessRunner) -> None:
        how = await runner.run("job", ["true"], {"PATH": PATH}, tmp_path / "file" / "work", tmp_path / "out")
        assert "Not a directory" in str(how.error)
        assert await runner.run("next", ["true"], {"PATH": PATH}, tmp_path / "work", tmp_path / "out") == Exit(code=0)

    with_runner(use)


def test_an_exit_code_is_told(tmp_path: Path) -> None:
    assert shell(tmp_path, "exit 7") == Exit(code=7)


def test_a_signal_is_told(tmp_path: Path) -> None:
    how = shell(tmp_path, "kill -SEGV $$")
    assert (how, how.exit_code) == (Exit(signal=signal.SIGSEGV), 139)


def test_a_command_sees_only_the_environment_it_was_given(tmp_path: Path) -> None:
    run(tmp_path, "env", OWN="1")
    names = {line.partition("=")[0] for line in (tmp_path / "out").read_text().splitlines()}
    assert names == {"PATH", "OWN", "USCHED_PROCESS"}


def test_each_command_has_its_own_environment(tmp_path: Path) -> None:
    environments = [{"A": "1", "B": "1"}, {"A": "2"}, {"B": "1", "C": "3"}, {"A": "1", "B": "1"}, {}]

    async def use(runner: ProcessRunner) -> None:
        for number, environment in enumerate(environments):
            await runner.run(str(number), ["env"], {"PATH": PATH, **environment}, tmp_path, tmp_path / str(number))

    with_runner(use)
    for number, environment in enumerate(environments):
        lines = set((tmp_path / str(number)).read_text().splitlines())
        expected = {"PATH": PATH, "USCHED_PROCESS": str(number), **environment}
        assert lines == {f"{name}={value}" for name, value in expected.items()}


def test_words_of_a_kind_of_their_own_are_texts(tmp_path: Path) -> None:
    class Word(StrEnum):
        SHELL = "sh"
        SCRIPT = "echo $SHOWN"

    assert run(tmp_path, Word.SHELL, "-c", Word.SCRIPT, SHOWN=Word.SHELL) == Exit(code=0)
    assert (tmp_path / "out").read_text() == "sh\n"


def test_a_command_is_looked_up_in_its_own_path(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "hello"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    assert run(tmp_path, "hello", PATH=f"/nowhere:{program.parent}:/bin") == Exit(code=0)
    assert (tmp_path / "out").read_text() == "hello\n"


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["no-such-command"], 'exec: "no-such-command": executable file not found in .PATH'),
        (["/no/such/command"], "No such file"),
        (["./notes"], "[Pp]ermission denied|No such file"),
        ([], "no command specified"),
        (["sh", "a\0b"], "null"),
    ],
)
def test_what_cannot_start_says_why(tmp_path: Path, argv: list[str], error: str) -> None:
    how = run(tmp_path, *argv)
    assert how.exit_code == 127
    assert how.error is not None
    assert re.search(error, how.error)


def test_the_system_signals_are_as_programs_expect(tmp_path: Path) -> None:
    # Python ignores SIGPIPE and the supervisor what a terminal sends; a job must inherit neither.
    assert shell(tmp_path, "kill -PIPE $$").signal == signal.SIGPIPE
    assert shell(tmp_path, "kill -INT $$").signal == signal.SIGINT


def test_what_a_job_leaves_in_its_group_dies_with_it(tmp_path: Path) -> None:
    shell(tmp_path, "sleep 1000 & echo $!")
    left = int((tmp_path / "out").read_text())
    wait_until(lambda: not alive(left))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux gives daemons to the supervisor")
def test_a_daemon_dies_with_its_own_job_only(tmp_path: Path) -> None:
    daemon = "(setsid sh -c 'echo $$ > $0; exec sleep 1000' \"$PWD/pid\" &) ; "
    files = [tmp_path / name / "pid" for name in ("short", "long")]

    async def use(runner: ProcessRunner) -> None:
        env = {"PATH": PATH}
        wait = "while ! [ -s pid ]; do sleep 0.01; done; "
        long = asyncio.create_task(
            runner.run("long", ["sh", "-c", daemon + "sleep 1000"], env, files[1].parent, tmp_path / "long.log")
        )
        await appears(files[1])
        await runner.run("short", ["sh", "-c", daemon + wait], env, files[0].parent, tmp_path / "short.log")
        short_pid, long_pid = (int(file.read_text()) for file in files)
        while alive(short_pid):
            await asyncio.sleep(0.005)
        assert alive(long_pid)
        runner.kill("long", signal.SIGKILL)
        assert (await long).signal == signal.SIGKILL
        while alive(long_pid):
            await asyncio.sleep(0.005)

    with_runner(use)


def test_a_signal_reaches_the_whole_group(tmp_path: Path) -> None:
    async def use(runner: ProcessRunner) -> None:
        script = "trap 'echo caught; exit 4' TERM; (trap 'echo child; exit' TERM; sleep 1000 & wait) & echo up; wait"
        task = asyncio.create_task(runner.run("job", ["sh", "-c", script], {"PATH": PATH}, tmp_path, tmp_path / "out"))
        await appears(tmp_path / "out")
        runner.kill("job", signal.SIGTERM)
        assert await task == Exit(code=4)
        runner.kill("job", signal.SIGTERM)  # nobody there any more

    with_runner(use)
    assert "caught" in (tmp_path / "out").read_text()


def test_closing_kills_what_runs(tmp_path: Path) -> None:
    async def use(runner: ProcessRunner) -> None:
        runner.start(
            "job",
            ["sh", "-c", "trap '' TERM HUP INT; echo $$; while :; do sleep 1000; done"],
            {"PATH": PATH},
            tmp_path,
            tmp_path / "out",
            on_start=lambda _: None,
            on_exit=lambda _: pytest.fail("nobody is told any more"),
        )
        await appears(tmp_path / "out")

    with_runner(use)
    killed = int((tmp_path / "out").read_text())
    wait_until(lambda: not alive(killed))


ENGINE = """
import asyncio, sys
from pathlib import Path
from universal_scheduler.local.batch import ProcessRunner

async def main(folder: Path) -> None:
    runner = ProcessRunner()
    await runner.open()
    plain = "echo $$ > pid; exec sleep 1000"
    daemon = "(setsid sh -c 'echo $$ > pid; exec sleep 1000' &); trap '' TERM; sleep 1000"
    for name, script in (("plain", plain), ("daemon", daemon)):
        runner.start(name, ["sh", "-c", script], {"PATH": sys.argv[2]}, folder / name, folder / f"{name}.log",
                     on_start=lambda _: None, on_exit=lambda _: None)
    print(runner._link.process.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux gives daemons to the supervisor")
def test_killing_the_engine_leaves_no_process(tmp_path: Path) -> None:
    files = [tmp_path / name / "pid" for name in ("plain", "daemon")]
    with subprocess.Popen([sys.executable, "-c", ENGINE, str(tmp_path), PATH], stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        supervisor = int(engine.stdout.readline())
        wait_until(lambda: all(file.exists() and file.read_text().endswith("\n") for file in files))
        jobs = [int(file.read_text()) for file in files]
        engine.kill()
    wait_until(lambda: not any(map(alive, [supervisor, *jobs])))


def test_a_killed_supervisor_is_replaced_and_its_jobs_are_reported(tmp_path: Path) -> None:
    async def use(runner: ProcessRunner) -> None:
        env = {"PATH": PATH}
        script = "echo $$; exec sleep 1000"
        lost = asyncio.create_task(runner.run("lost", ["sh", "-c", script], env, tmp_path, tmp_path / "out"))
        await appears(tmp_path / "out")
        assert runner._link is not None
        assert runner._link.process is not None
        os.kill(runner._link.process.pid, signal.SIGKILL)
        assert await lost == Exit(host_terminated=True)
        killed = int((tmp_path / "out").read_text())
        await asyncio.to_thread(wait_until, lambda: not alive(killed))  # the kernel takes its time after a SIGKILL
        assert await runner.run("next", ["true"], env, tmp_path, tmp_path / "next.log") == Exit(code=0)

    with_runner(use)


def test_what_a_killed_supervisor_started_and_did_not_say_is_ended_too(tmp_path: Path) -> None:
    async def use(runner: ProcessRunner) -> None:
        lost = asyncio.create_task(
            runner.run("lost", ["sh", "-c", "echo $$; exec sleep 1000"], {"PATH": PATH}, tmp_path, tmp_path / "out")
        )
        await appears(tmp_path / "out")
        assert runner._link is not None
        assert runner._link.process is not None
        os.kill(runner._link.process.pid, signal.SIGSTOP)
        runner._running["lost"].pid = None  # as if it had been killed before it could say so
        os.kill(runner._link.process.pid, signal.SIGKILL)
        assert await lost == Exit(host_terminated=True)
        killed = int((tmp_path / "out").read_text())
        await asyncio.to_thread(wait_until, lambda: not alive(killed))

    with_runner(use)


@given(st.lists(st.lists(st.tuples(st.text(max_size=3), st.none()), max_size=2), max_size=2), st.data())
def test_messages_arrive_in_whatever_pieces_they_are_read(lists: list[list[supervisor.Message]], data: Any) -> None:
    sent = b"".join(supervisor.pack(messages) for messages in lists)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)))))
    unpacker = supervisor.Unpacker()
    read = [unpacker.feed(sent[start:end]) for start, end in pairwise([0, *cuts, len(sent)])]
    assert [message for messages in read for message in messages] == [it for messages in lists for it in messages]


def test_more_commands_than_the_pipe_takes_at_once(tmp_path: Path) -> None:
    async def use(runner: ProcessRunner) -> None:
        values = [str(number) * 50_000 for number in range(1, 10)]
        ends = await asyncio.gather(
            *(
                runner.run(value[0], ["sh", "-c", "exit ${#V}"], {"PATH": PATH, "V": value}, tmp_path, tmp_path / "out")
                for value in values
            )
        )
        assert {it.code for it in ends} == {50_000 % 256}

    with_runner(use)


def test_a_caller_that_keeps_the_event_loop_busy_can_let_commands_go_on(tmp_path: Path) -> None:
    async def use(runner: ProcessRunner) -> None:
        ends: list[Exit] = []
        runner.start("job", ["true"], {}, tmp_path, tmp_path / "out", on_start=lambda _: None, on_exit=ends.append)

        def advanced() -> bool:
            runner.advance()
            return bool(ends)

        wait_until(advanced)
        assert ends == [Exit(code=0)]
        assert await runner.run("next", ["true"], {"PATH": PATH}, tmp_path, tmp_path / "out") == Exit(code=0)

    with_runner(use)


def test_hundreds_at_once(tmp_path: Path) -> None:
    async def use(runner: ProcessRunner) -> None:
        commands = [["sh", "-c", f"echo {number}; exit {number % 3}"] for number in range(300)]
        ends = await asyncio.gather(
            *(
                runner.run(str(number), argv, {"PATH": PATH}, tmp_path / str(number), tmp_path / f"{number}.log")
                for number, argv in enumerate(commands)
            )
        )
        assert [it.code for it in ends] == [number % 3 for number in range(300)]

    with_runner(use)
    assert all((tmp_path / f"{number}.log").read_text() == f"{number}\n" for number in range(300))
