"""Jobs and functions that run as another user than the engine. Only root can have such."""

from __future__ import annotations

import asyncio
import io
import os
import pwd
import signal
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from universal_scheduler.local import engine, run_as
from universal_scheduler.local.batch import Exit, ProcessRunner
from universal_scheduler.local.batch.runner import UNBOUNDED, Bounds
from universal_scheduler.local.gaps import lambda_workers
from universal_scheduler.local.processes import MARK
from universal_scheduler.local.run_as import RunAsError, User, find_user

OTHER = "nobody"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
PATH = "/usr/local/bin:/usr/bin:/bin"
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run jobs as somebody else")


@pytest.fixture
def other() -> User:
    found = find_user(OTHER)
    assert found is not None
    return found


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that every user may enter, as pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="usched-run-as-") as name:
        os.chmod(name, 0o711)
        yield Path(name)


def run(folder: Path, user: User, *argv: str, bounds: Bounds = UNBOUNDED) -> Exit:
    async def main() -> Exit:
        runner = ProcessRunner(user=user.ids)
        await runner.open()
        try:
            async with asyncio.timeout(30):
                return await runner.run("job", argv, {"PATH": PATH}, folder / "work", folder / "out", bounds)
        finally:
            await runner.close()

    return asyncio.run(main())


@only_root
def test_a_job_is_the_user_with_no_group_more(open_path: Path, other: User) -> None:
    assert run(open_path, other, "sh", "-c", "id -u; id -g; id -G") == Exit(code=0)
    uid, gid, groups = (open_path / "out").read_text().splitlines()
    assert (int(uid), int(gid)) == (other.uid, other.gid)
    assert set(map(int, groups.split())) == set(other.groups)


@only_root
def test_the_directory_and_the_output_of_a_job_are_the_users(open_path: Path, other: User) -> None:
    script = "pwd; echo again >> /dev/stdout; touch made"
    assert run(open_path, other, "sh", "-c", script) == Exit(code=0)
    assert (open_path / "out").read_text().split() == [str(open_path / "work"), "again"]
    for path in (open_path / "out", open_path / "work", open_path / "work" / "made"):
        assert path.stat().st_uid == other.uid


@only_root
def test_a_job_cannot_put_anything_beside_its_own_directory(open_path: Path, other: User) -> None:
    script = "touch ../other && exit 1; ln -s /etc/passwd ../other.log && exit 2; mv ../work ../moved && exit 3; exit 4"
    assert run(open_path, other, "sh", "-c", script) == Exit(code=4)


@only_root
def test_the_output_of_a_job_goes_into_no_file_that_somebody_else_has_put_there(open_path: Path, other: User) -> None:
    (open_path / "secret").touch(0o600)
    (open_path / "out").symlink_to(open_path / "secret")
    assert run(open_path, other, "id").error == 'exec: "' + str(open_path / "out") + '": File exists'
    assert (open_path / "secret").stat().st_uid == os.geteuid()
    assert (open_path / "secret").read_text() == ""


@only_root
@pytest.mark.parametrize(
    ("auth", "modes"),
    [(False, {"state": 0o700, "s3": 0o700, "jobs": 0o711}), (True, {"state": 0o700, "jobs": 0o711, "data": 0o700})],
)
def test_a_user_may_go_through_to_the_jobs_and_into_nothing_of_the_engine(
    tmp_path: Path, other: User, auth: bool, modes: dict[str, int]
) -> None:
    engine._close(tmp_path, other, auth=auth)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o711
    for name, mode in modes.items():
        assert (stat.S_IMODE((tmp_path / name).stat().st_mode), (tmp_path / name).stat().st_uid) == (mode, 0)


@only_root
@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["no-such-command"], 'exec: "no-such-command": executable file not found in $PATH'),
        (["/etc/passwd"], 'exec: "/etc/passwd": Permission denied'),
        ([], "no command specified"),
        (["sh", "a\0b"], "embedded null byte"),
    ],
)
def test_what_cannot_start_says_why(open_path: Path, other: User, argv: list[str], error: str) -> None:
    assert run(open_path, other, *argv) == Exit(error=error)


@only_root
def test_a_job_cannot_end_what_runs_the_jobs(open_path: Path, other: User) -> None:
    assert run(
        open_path, other, "sh", "-c", "kill -KILL $PPID && exit 1; cat /proc/$PPID/environ && exit 2; exit 3"
    ) == Exit(code=3)


@only_root
def test_the_system_signals_are_as_programs_expect(open_path: Path, other: User) -> None:
    assert run(open_path, other, "sh", "-c", "kill -PIPE $$").signal == signal.SIGPIPE
    assert run(open_path, other, "sh", "-c", "kill -TERM $$").signal == signal.SIGTERM


@only_root
def test_a_job_of_another_user_has_its_bounds(open_path: Path, other: User) -> None:
    how = run(
        open_path,
        other,
        "sh",
        "-c",
        "head -c 200M /dev/zero | tail -c 200M | sleep 1000",
        bounds=Bounds(64 << 20),
    )
    assert how == Exit(signal=signal.SIGKILL, out_of_memory=True)


@only_root
def test_the_jobs_of_the_next_engine_run_as_its_user(open_path: Path, other: User) -> None:
    async def main() -> None:
        first = ProcessRunner({MARK: str(open_path)}, engine_dir=open_path)
        await first.open()
        first.start(
            "kept",
            ["sleep", "1000"],
            {"PATH": PATH},
            open_path / "kept",
            open_path / "kept.log",
            on_start=lambda _: None,
            on_exit=lambda _: None,
        )
        await first.close(keep=True)
        second = ProcessRunner({MARK: str(open_path)}, other.ids, engine_dir=open_path)
        await second.open()
        try:
            assert second.kept
            async with asyncio.timeout(30):
                await second.run("job", ["id", "-u"], {"PATH": PATH}, open_path / "work", open_path / "out")
        finally:
            await second.close()

    asyncio.run(main())
    assert int((open_path / "out").read_text()) == other.uid


@only_root
def test_a_function_is_the_user(open_path: Path, other: User) -> None:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr(
            "main.py", "import os\ndef handler(event, context):\n    return [os.getuid(), os.getgroups()]\n"
        )
    zygote = lambda_workers.Zygote({"PATH": PATH}, other.ids)
    try:
        runtime = lambda_workers.Runtime(zygote, open_path / "lambda", "http://127.0.0.1:1", {"PATH": PATH})
        config = {
            "FunctionName": "f",
            "Handler": "main.handler",
            "Runtime": "python3.11",
            "Timeout": 20,
            "FunctionArn": ARN,
        }
        worker = lambda_workers.Worker(runtime, "f", config, code.getvalue())
        assert worker.invoke({}, "r-1")["body"] == [other.uid, sorted(other.groups)]
        worker.kill()
        worker._log.close()
    finally:
        zygote.close()


@only_root
def test_a_directory_may_be_shown_to_the_user_alone(open_path: Path, other: User) -> None:
    (open_path / "code").mkdir()
    (open_path / "code" / "main.py").write_text("one")
    run_as.show_only_to(open_path / "code", other)
    how = run(open_path, other, "sh", "-c", "cat ../code/main.py && ! touch ../code/more")
    assert (how, (open_path / "out").read_text()[:3]) == (Exit(code=0), "one")
    run_as.show_only_to(open_path / "code", None)
    assert stat.S_IMODE((open_path / "code").stat().st_mode) == 0o700


def test_nobody_runs_jobs_as_a_user_that_there_is_not() -> None:
    with pytest.raises(engine.EngineError, match="This machine has no user 'no-such-user'"):
        engine.start(0, run_as="no-such-user")


def test_only_root_runs_jobs_as_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(RunAsError, match=f"Only root can start an engine .* '{OTHER}'"):
        find_user(OTHER)


def test_the_user_of_the_engine_is_no_other_user() -> None:
    assert find_user(pwd.getpwuid(os.geteuid()).pw_name) is None
    assert find_user(None) is None


@only_root
def test_a_user_who_cannot_enter_the_state_directory_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    with pytest.raises(engine.EngineError, match=f"'{OTHER}' cannot enter .*USCHED_STATE_DIR"):
        engine.start(0, tmp_path / "closed" / "engine", run_as=OTHER)


@only_root
def test_a_user_who_cannot_run_python_is_an_error_that_says_so(
    open_path: Path, other: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    (open_path / "closed").mkdir(mode=0o700)
    monkeypatch.setattr(run_as.sys, "executable", str(open_path / "closed" / "python"))
    with pytest.raises(RunAsError, match=f"'{OTHER}' cannot run .*closed/python"):
        run_as.check_access(other, open_path)
