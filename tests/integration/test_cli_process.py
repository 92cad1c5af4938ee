"""The command in a process of its own: what it writes to a terminal without UTF-8, and what it loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_where_the_terminal_has_no_utf_8_the_rest_is_escaped(tmp_path: Path) -> None:
    """In a process of its own: standard output's encoding is chosen when it starts."""
    job = {"jobName": "a", "jobQueue": "default", "jobDefinition": "东京"}
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"scheduleId": "load", "jobList": [job, job]}), encoding="utf-8")

    def simulate(*words: str) -> str:
        command = [sys.executable, "-m", "universal_scheduler.cli", "simulate", str(file), *words]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout

    assert "errors" in json.loads(simulate("--json"))["error"]
    job["jobName"] = "b"
    file.write_text(json.dumps({"scheduleId": "load", "jobList": [job]}), encoding="utf-8")
    assert json.loads(simulate("--json"))["runs"][0]["jobs"][0]["jobDefinition"] == "东京"
    assert "---\nb    SUCCEEDED" in simulate()


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from universal_scheduler.cli import main; main(['--help'], standalone_mode=False);"
        "heavy = {'boto3', 'botocore', 'rich', 'yaml', 'jsonschema', 'ministack'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Exit codes" in done.stdout


def test_trials_and_simulations_load_no_aws() -> None:
    code = (
        "import sys; from universal_scheduler.local import simulation, trial;"
        "simulation.simulate({'jobName': 'a', 'jobQueue': 'q', 'jobDefinition': 'd', 'wait_time': 1});"
        "heavy = {'boto3', 'botocore.client', 'ministack'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
