"""The first commands of README.md, one after the other, as a newcomer types them: on an engine that they start."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.docs.commands import command_lines
from tests.docs.desk import ROOT
from tests.docs.markdown import examples
from tests.e2e.conftest import eventually

pytestmark = pytest.mark.e2e
START, STOP = "usched local start", "usched local stop"
PORT = "http://127.0.0.1:4566/"


def quick_start() -> tuple[str, list[str]]:
    """The schedule `nightly.yaml`, and the commands that start an engine, use it and stop it."""
    blocks = examples(ROOT / "README.md")
    [document] = [block.text for block in blocks if block.file == "nightly.yaml"]
    [block] = [block for block in blocks if block.language == "console" and START in block.text]
    return document, [shlex.join(shlex.split(line, comments=True)) for _, line in command_lines(block.text, "$ ")]


class Newcomer:
    """Somebody in a new directory. The engine is on a free port: another one may have the usual port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = os.environ | {"USCHED_STATE_DIR": str(directory / "engines"), "COLUMNS": "80"}
        self.endpoint = ""

    def types(self, line: str) -> str:
        """Type a command, again until it does what it is to do: a run may only just have begun."""
        words = shlex.split(line)
        if words[0] == "curl":
            return self._sends(words)
        assert words[0] == "usched"
        more = ["--port", "0", "--json"] if line == START else []
        answer = eventually(lambda: self._once([*words[1:], *more]), seconds=90, what=line)
        if more:
            self.endpoint = json.loads(answer)["endpoint"]
        return answer

    def _once(self, words: list[str]) -> str:
        command = [sys.executable, "-m", "universal_scheduler.cli", *words]
        done = subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        return done.stdout if done.returncode == 0 else ""

    def _sends(self, words: list[str]) -> str:
        [url] = [word for word in words if word.startswith(PORT)]
        body = words[words.index("-d") + 1].encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url.replace(PORT, f"{self.endpoint}/"), body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(answer.read().decode())


def test_the_quick_start_does_what_it_says(tmp_path: Path) -> None:
    document, lines = quick_start()
    (tmp_path / "nightly.yaml").write_text(document)
    newcomer = Newcomer(tmp_path)
    answers = {}
    try:
        for line in lines:
            if not line.startswith("source "):
                answers[line] = newcomer.types(line)
    finally:
        newcomer._once(["local", "stop"])
    assert [line.split()[0] for line in answers].count("usched") >= 5
    assert "SUCCEEDED" in answers["usched try nightly.yaml"]
    assert answers["usched --local logs nightly load"].split() == ["6", "/tmp/x.csv"]
    assert (
        json.loads(next(text for line, text in answers.items() if line.startswith("curl")))["scheduleId"] == "nightly"
    )
    assert answers[STOP].startswith("Stopped ")
