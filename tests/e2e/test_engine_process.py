"""An engine's life: it starts once, is found, is stopped, and leaves nothing behind even when it is killed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.e2e.conftest import eventually
from universal_scheduler.local import deploy, engine, processes
from universal_scheduler.local.batch import supervisor as supervisors
from universal_scheduler.local.state import Safety

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("USCHED_STATE_DIR", str(tmp_path))
    yield tmp_path
    for directory in tmp_path.iterdir():
        engine.stop(directory)


def client(at: engine.Engine, service: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=at.endpoint, region_name="us-east-1", **keys)


def test_an_engine_that_was_killed_a_moment_ago_does_not_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process still has the lock, and answers nobody."""
    place = home / "engine"
    place.mkdir()
    with closing(socket.create_server((engine.HOST, 0))) as free:
        port = free.getsockname()[1]
    dying = engine.Engine("", "", "", {}, {}, {}, os.getpid(), port, place)
    (place / engine.INFO).write_text(json.dumps(dying.to_json()))
    with (place / engine._LOCK).open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert engine.find(place) == dying
        with monkeypatch.context() as patch:
            patch.setattr(engine.time, "sleep", lambda _: fcntl.flock(held, fcntl.LOCK_UN))
            with engine._locked(place) as lock:
                assert isinstance(lock, int)
    (place / engine.INFO).unlink()  # it names the process of this test


def test_an_engine_is_started_once_found_by_its_port_and_stopped() -> None:
    started = engine.start(0, bare=True)
    assert engine.start(started.port, bare=True) == started
    assert engine.status(started.port) == started
    assert engine.running() == [started]
    assert engine.Engine.from_json(started.to_json()) == started
    assert engine.stop(started)
    assert engine.status(started.port) is None
    assert processes.marked(started.state_dir) == []
    assert not engine.stop(started)


def test_an_engine_of_an_earlier_release_is_found_and_stopped() -> None:
    started = engine.start(0, bare=True)
    earlier = {key: value for key, value in started.to_json().items() if key not in ("safety", "runAs", "credentials")}
    (started.state_dir / engine.INFO).write_text(json.dumps(earlier))
    assert engine.status(started.port) == started
    assert engine.stop(started)


def test_what_a_killed_engine_left_is_gone_after_the_next_stop() -> None:
    assert_killed_engine_leaves_nothing(then=lambda killed: engine.stop(killed.state_dir))


def test_what_a_killed_engine_left_is_gone_after_the_next_start() -> None:
    assert_killed_engine_leaves_nothing(then=lambda killed: engine.start(killed.port, bare=True))


def assert_killed_engine_leaves_nothing(then: Any) -> None:
    started = engine.start(0)
    batch = client(started, "batch")
    sleeping = {"command": ["sh", "-c", "setsid sleep 1000 & echo $! > $USCHED_DATA/pid; sleep 1000"]}
    batch.submit_job(jobName="j", jobQueue="default", jobDefinition="shell", containerOverrides=sleeping)
    client(started, "lambda").invoke(FunctionName="usched-get-schedule", Payload=b"{}")
    note = started.state_dir / "data" / "pid"
    left = int(eventually(lambda: note.read_text() if note.exists() else None))

    def with_left() -> set[int]:
        found = set(processes.marked(started.state_dir))
        return found if left in found else set()  # one in the middle of execve(2) shows no environment

    before = eventually(with_left)  # first: the supervisor ends what it can when the engine is gone
    os.kill(started.pid, signal.SIGKILL)
    then(started)
    eventually(lambda: not before & set(processes.marked(started.state_dir)))


def test_a_stopped_engine_takes_its_jobs_along() -> None:
    started = engine.start(0)
    sleeping = {"command": ["sh", "-c", "touch $USCHED_DATA/begun; exec sleep 1000"]}
    client(started, "batch").submit_job(
        jobName="j", jobQueue="default", jobDefinition="shell", containerOverrides=sleeping
    )
    eventually((started.state_dir / "data" / "begun").exists)
    engine.stop(started)
    assert processes.marked(started.state_dir) == []


def test_no_secret_of_the_shell_is_anywhere_in_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", secret := "swordfish-2718")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_SESSION_TOKEN", secret)
    started = engine.start(0)
    function, batch = client(started, "lambda"), client(started, "batch")
    function.invoke(FunctionName="usched-get-schedule", Payload=b"{}")
    printing = {"command": ["sh", "-c", "env > $USCHED_DATA/env; exec sleep 1000"]}
    batch.submit_job(jobName="j", jobQueue="default", jobDefinition="shell", containerOverrides=printing)
    seen = started.state_dir / "data" / "env"
    eventually(lambda: seen.exists() and "USCHED_PROCESS=" in seen.read_text())
    assert secret not in seen.read_text()
    pids = processes.marked(started.state_dir)
    assert started.pid in pids
    for pid in pids:
        with suppress(FileNotFoundError):  # it has ended
            assert secret not in Path(f"/proc/{pid}/environ").read_text(errors="replace")


def test_a_port_that_another_program_has_is_an_error_that_says_so() -> None:
    with socket.create_server((engine.HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(engine.EngineError, match=f"Port {port} of 127.0.0.1 cannot be used .*another port"):
            engine.start(port, bare=True)


def test_two_starts_at_the_same_time_give_one_engine() -> None:
    with socket.create_server((engine.HOST, 0)) as free:
        port = free.getsockname()[1]
    script = f"from universal_scheduler.local import engine; print(engine.start({port}, bare=True).pid)"
    starts = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert len({start.communicate(timeout=120)[0] for start in starts}) == 1


def test_a_template_that_cannot_be_deployed_is_an_error_that_names_the_resource(home: Path) -> None:
    started = engine.start(0, bare=True)
    template = home / "template.yaml"
    template.write_text("Resources: {Wrong: {Type: AWS::Batch::JobQueue, Properties: {Priority: 1}}}")
    code = home / "code.zip"
    code.write_bytes(b"")
    with pytest.raises(
        deploy.DeployError, match=r"template\.yaml: Wrong \(AWS::Batch::JobQueue\): .*computeEnvironment"
    ):
        deploy.deploy(deploy.Target(started.endpoint), {}, template=template, zip_path=code)
    template.unlink()
    code.unlink()


def test_a_process_that_becomes_an_engine_ends_with_its_signal() -> None:
    script = (
        "import signal\n"
        "from universal_scheduler.local import engine\n"
        # Whoever starts the tests in the background has Ctrl-C ignored, for their children too.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "engine.become(0, bare=True)"
    )
    terminal = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, stderr=subprocess.DEVNULL)
    started = eventually(lambda: next(iter(engine.running()), None))
    assert started.pid == terminal.pid
    os.killpg(terminal.pid, signal.SIGINT)
    assert terminal.wait(120) == 0
    assert not engine.running()
    eventually(lambda: not processes.marked(started.state_dir), what="the end of all its processes")


def test_nobody_becomes_an_engine_that_runs_already() -> None:
    started = engine.start(0, bare=True)
    with pytest.raises(engine.EngineError, match=f"runs on port {started.port} already, as process {started.pid}"):
        engine.become(started.port, bare=True)


def test_an_ephemeral_engine_does_not_delete_what_a_durable_one_has_kept() -> None:
    durable = engine.start(0, bare=True, safety=Safety.PROCESS)
    assert durable.safety is Safety.PROCESS
    engine.stop(durable)
    with pytest.raises(engine.EngineError, match="has the state of a durable engine"):
        engine.start(durable.port, bare=True)
    assert engine.start(durable.port, bare=True, safety=Safety.POWER).safety is Safety.POWER


def test_a_durable_engine_finds_nothing_of_an_ephemeral_one() -> None:
    ephemeral = engine.start(0, bare=True)
    client(ephemeral, "s3").create_bucket(Bucket="forgotten")
    engine.stop(ephemeral)
    left = ephemeral.state_dir / "state" / "dynamodb.sqlite"
    assert left.exists()
    before = left.stat().st_ino
    durable = engine.start(ephemeral.port, bare=True, safety=Safety.PROCESS)
    assert left.stat().st_ino != before
    assert client(durable, "s3").list_buckets()["Buckets"] == []


def test_only_a_durable_engine_lets_its_jobs_run_on() -> None:
    started = engine.start(0, bare=True)
    with pytest.raises(engine.EngineError, match="ephemeral and cannot keep its jobs"):
        engine.stop(started, keep_jobs=True)
    assert engine.status(started.port) == started


def test_a_sweep_may_spare_jobs_and_what_they_live_under(home: Path) -> None:
    mark = {processes.MARK: str(home)}
    sleep = ["sleep", "1000"]
    with (
        subprocess.Popen(sleep, env=mark | {processes.JOB_MARK: "all"}) as supervisor,
        subprocess.Popen(sleep, env=mark) as left,
    ):
        eventually(lambda: set(processes.marked(home)) == {supervisor.pid, left.pid})
        assert processes.sweep(home, spare_jobs=True) == 1
        assert left.wait(60) == -signal.SIGKILL
        assert supervisor.poll() is None
        assert processes.sweep(home) == 1
        assert supervisor.wait(60) == -signal.SIGKILL


def test_the_supervisor_marks_jobs_as_the_sweep_reads_it() -> None:
    assert supervisors.MARK == processes.JOB_MARK
