"""`usched local install`: the file of the service manager, judged by the service manager where there is one."""

from __future__ import annotations

import json
import os
import plistlib
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from universal_scheduler.cli import app
from universal_scheduler.local import engine
from universal_scheduler.local.service import notify, units
from universal_scheduler.local.service.units import Job


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return tmp_path


def install(*options: str) -> Any:
    return CliRunner().invoke(app.main, ["local", "install", *options])


def installed(*options: str) -> Any:
    result = install("--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def unit_of(text: str) -> dict[str, dict[str, list[str]]]:
    """The settings of a unit, each of which may come several times."""
    sections: dict[str, dict[str, list[str]]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            section.setdefault(name, []).append(value)
    return sections


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")


@pytest.mark.usefixtures("systemd")
def test_a_service_of_the_user_runs_this_very_installation(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/home/ann/my tools:/usr/bin")
    answer = installed("--vcpus", "8", "--safety", "power")
    path = home / ".config/systemd/user/usched.service"
    assert answer["path"] == str(path)
    assert path.read_text() == answer["text"]
    assert answer["commands"] == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now usched",
        "loginctl enable-linger",
    ]
    service = unit_of(answer["text"])["Service"]
    assert service["ExecStart"] == [
        f"{sys.executable} -m universal_scheduler.cli local start --foreground --port 4566 --safety power --vcpus 8"
    ]
    state = home / ".local/state/usched"
    assert service["Environment"] == [f"USCHED_STATE_DIR={state}", '"PATH=/home/ann/my tools:/usr/bin"']


@pytest.mark.usefixtures("systemd")
def test_a_service_of_the_system_needs_a_user_for_its_jobs() -> None:
    refused = install("--system", "--dry-run")
    assert refused.exit_code == 2
    assert "--run-as USER" in refused.stderr
    answer = installed("--system", "--dry-run", "--run-as", "batch", "--port", "4600", "--auth")
    assert answer["path"] == "/etc/systemd/system/usched-4600.service"
    assert not answer["written"]
    unit = unit_of(answer["text"])
    assert unit["Service"]["ExecStart"][0].endswith("--port 4600 --safety process --run-as batch --auth")
    assert unit["Service"]["Environment"] == [f"USCHED_STATE_DIR={engine.SYSTEM_DIR}"]
    assert unit["Install"]["WantedBy"] == ["multi-user.target"]


@pytest.mark.usefixtures("systemd")
def test_a_dry_run_prints_the_file_and_writes_nothing(home: Path) -> None:
    result = install("--dry-run")
    assert result.exit_code == 0
    assert result.stdout.startswith("[Unit]\n")
    assert "usched.service" in result.stderr
    assert not (home / ".config").exists()


@pytest.mark.usefixtures("systemd")
def test_a_place_that_cannot_be_written_is_an_error_that_says_so(home: Path) -> None:
    (home / ".config").write_text("")
    result = install()
    assert result.exit_code == 1
    assert "usched.service cannot be written" in result.stderr


def test_on_macos_it_is_a_file_of_launchd(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    answer = installed()
    path = home / "Library/LaunchAgents/local.usched.plist"
    assert answer["path"] == str(path)
    agent = plistlib.loads(path.read_bytes())
    assert agent["Label"] == "local.usched"
    assert agent["ProgramArguments"][:3] == [sys.executable, "-m", "universal_scheduler.cli"]
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["StandardOutPath"] == str(home / ".local/state/usched/engine-4566/engine.log")
    assert answer["commands"] == [f"launchctl bootstrap gui/$(id -u) {path}"]


STRANGE = Job(
    [sys.executable, "-c", "pass", 'a "b" c\\d', "50%", "$HOME", "it's"],
    {"PATH": "/a b:/c$d", "A": "100%"},
    4566,
    Path("/var/lib/usched/engine-4566"),
)


@pytest.mark.parametrize("system", [False, True])
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_systemd_itself_finds_no_fault(system: bool, tmp_path: Path) -> None:
    unit = units.systemd(STRANGE, system=system, home=tmp_path)
    file = tmp_path / unit.path.name
    file.write_bytes(unit.text)
    mode = "--system" if system else "--user"
    verdict = subprocess.run(
        ["systemd-analyze", mode, "verify", "--recursive-errors=no", file],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (verdict.returncode, verdict.stderr) == (0, "")


def test_words_are_written_as_systemd_reads_them(tmp_path: Path) -> None:
    service = unit_of(units.systemd(STRANGE, system=True, home=tmp_path).text.decode())["Service"]
    assert service["ExecStart"] == [f'{sys.executable} -c pass "a \\"b\\" c\\\\d" 50%% $$HOME "it\'s"']
    assert service["Environment"] == ['"PATH=/a b:/c$d"', "A=100%%"]


def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify.send("READY=1", "STATUS=Serving")
        assert manager.recv(1000) == b"READY=1\nSTATUS=Serving"
    notify.send("READY=1")  # the manager has gone
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify.send("READY=1")
