"""The peers' benchmark: how scripts are spoken to and ended, and what the table says of them. Nothing is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.measures import Measured, Summary
from benchmarks.peers import __main__ as driver
from benchmarks.peers import protocol, script, table
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.script import CutOff, PeerError, reason
from benchmarks.peers.table import Figures
from benchmarks.workloads import Workload, chain, diamond
from universal_scheduler.local import processes

READY = "print('{\"ready\": true}', flush=True)\n"
ANSWERING = READY + (
    "import json, sys\n"
    "for line in sys.stdin:\n"
    "    print(json.dumps({'outcome': 'SUCCEEDED', 'wall': len(line), 'lags': [1, 2]}), flush=True)\n"
)
HANGING = READY + "import subprocess\nsubprocess.run(['sleep', '1000'])\n"
BREAKING = READY + "input()\nimport sys\nsys.exit('ValueError: no such thing\\nand so on')\n"


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """A peer whose environment is this one, and whose script the test says."""
    monkeypatch.setattr(script, "PEERS", tmp_path)
    monkeypatch.setattr(script, "STOP_SECONDS", 5.0)
    monkeypatch.setattr(script, "LOOK_SECONDS", 0.05)
    yield Peer("fake", "Fake 1.0", ("nothing",), "as the test says")
    assert processes.marked(tmp_path / "fake") == []


def says(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    real = subprocess.Popen

    def popen(command: list[str], **more: Any) -> Any:
        return real([sys.executable, "-c", text] if command[1] == "-m" else command, **more)

    monkeypatch.setattr(script.subprocess, "Popen", popen)


def test_a_script_is_asked_for_workloads_by_name_and_watched(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, ANSWERING)
    with script.running(peer, Path(sys.prefix)) as running:
        running.wait_ready()
        assert running.measure("W1", 10) == Measured("SUCCEEDED", 3, (1, 2))
        assert running.memory_mb > 1


def test_a_script_that_takes_too_long_is_cut_off_with_all_that_it_started(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, HANGING)
    with script.running(peer, Path(sys.prefix)) as running:
        running.wait_ready()
        with pytest.raises(CutOff, match="> 0"):
            running.measure("W1", 0.2)


def test_an_interruption_ends_a_script_with_all_that_it_started(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, HANGING)
    monkeypatch.setattr(script, "STOP_SECONDS", 0.1)

    def interrupted() -> None:
        with script.running(peer, Path(sys.prefix)) as running:
            running.wait_ready()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_a_script_that_ends_is_an_error_with_the_reason(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, BREAKING)
    with script.running(peer, Path(sys.prefix)) as running:
        running.wait_ready()
        with pytest.raises(PeerError, match="it has ended: ValueError: no such thing"):
            running.measure("W1", 10)


def test_a_peer_that_is_cut_off_goes_on_with_the_next_workload(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    says(
        monkeypatch, ANSWERING.replace("    print", "    line == 'W3\\n' and __import__('time').sleep(1000)\n    print")
    )
    monkeypatch.setattr(driver, "install", lambda _: Path(sys.prefix))
    monkeypatch.setattr(driver, "installed_mb", lambda _: 1.0)
    monkeypatch.setattr(driver, "RUN_SECONDS", 1.0)
    figures = driver.measure(peer, [chain(), diamond()])
    assert (figures.wall("W3"), figures.wall("W1"), figures.problem) == ("> 1", "3", "")
    assert figures.cold_start is not None


def test_what_cannot_be_installed_is_kept_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def install(_: Peer) -> Path:
        script.called(tmp_path, sys.executable, "-c", "raise SystemExit('ERROR: no such package')")
        return tmp_path

    monkeypatch.setattr(driver, "install", install)
    figures = driver.measure(Peer("fake", "Fake", ("nothing",), "never"), [diamond()])
    assert (figures.problem, figures.workloads) == ("not installed: ERROR: no such package", {})


def test_an_installation_that_takes_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(script, "INSTALL_SECONDS", 0.2)
    with pytest.raises(CutOff, match="not installed within 0 s"):
        script.called(tmp_path, "sh", "-c", "sleep 1000 & sleep 1000")
    assert processes.marked(tmp_path) == []


def test_every_peer_has_a_script() -> None:
    here = Path(protocol.__file__).parent
    assert {path.stem for path in here.glob("run_*.py")} == {f"run_{peer.name}" for peer in PEERS}


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("Traceback\n  File x\nValueError: wrong\n\nnote\n", "ValueError: wrong"),
        ("one\ntwo\n", "two"),
        ("", "it says nothing"),
        ("WARNING: a\nERROR: No matching distribution found for x\n", "ERROR: No matching distribution found for x"),
    ],
)
def test_the_reason_is_the_last_error_of_a_log(log: str, expected: str) -> None:
    assert reason(log) == expected


def test_jobs_are_timed_by_what_they_say_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(workload: Workload) -> str:
        for name in workload.upstream:
            protocol.job(name)
        return "SUCCEEDED"

    measured = protocol.timed(run)(diamond())
    assert (measured.outcome, len(measured.lags)) == ("SUCCEEDED", 4)
    assert measured.wall > 0


def test_a_run_that_lost_jobs_did_not_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert protocol.timed(lambda _: "SUCCEEDED")(diamond()).outcome == "SUCCEEDED with 0 of 5 jobs"


def test_servers_are_waited_for_and_stopped_and_a_dead_one_is_named() -> None:
    looks = iter([None, OSError(), "up"])

    def look() -> Any:
        if isinstance(found := next(looks), OSError):
            raise found
        return found

    with protocol.servers(("sleep", "1000")) as until:
        assert until(look) == "up"
    with (
        pytest.raises(RuntimeError, match=r"false.*ended with 1"),
        protocol.servers(("false",)) as until,
    ):
        until(lambda: None)


def shown(*figures: Figures) -> str:
    console = Console(width=table.WIDTH, file=StringIO())
    table.show(console, figures)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_table_has_figures_cut_offs_and_reasons() -> None:
    done = Summary((Measured("SUCCEEDED", 1.2345, (5.0, 9.0)), Measured("SUCCEEDED", 1.2, (6.0, 7.0))))
    broken = Summary((Measured("FAILED: a task failed", 2.0),))
    good = Figures("Good", "well", {"W1": done, "W2": broken, "W3": done, "W4": "> 150"}, 123.4, 45.6, 0.5)
    missing = Figures("Missing", "never", problem="not installed: ERROR: no such thing")
    rows = [line.split() for line in shown(good, missing).splitlines()]
    assert ["Good", "1.22", "FAILED:", "1.22", ">", "150", "6", "/", "9", "123", "45.6", "0.5"] in rows
    assert ["Missing", "–", "–", "–", "–", "–", "/", "–", "–", "–", "–"] in rows
    assert "Missing did not do it all: not installed: ERROR: no such thing" in shown(missing)
    assert "Good did not do it all: W2: FAILED: a task failed" in shown(good)


def test_figures_can_be_written_as_json() -> None:
    figures = Figures("Good", "well", {"W1": Summary((Measured("SUCCEEDED", 1.0),)), "W4": "> 150"})
    written = json.loads(json.dumps(figures.to_json()))
    assert (written["workloads"]["W1"]["wall"], written["workloads"]["W4"]) == (1.0, "> 150")
