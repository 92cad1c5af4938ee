"""What operators do, by the `usched` command against a running engine: effects, audit lines, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.e2e.conftest import Stage, eventually
from universal_scheduler.cli import app

pytestmark = pytest.mark.e2e


def job(name: str, *after: str, command: str = "true", **more: Any) -> dict[str, Any]:
    return {
        "jobName": name,
        "jobDefinition": "shell",
        "jobQueue": "default",
        "jobDependencies": list(after),
        "containerOverrides": {"command": ["sh", "-c", command]},
        **more,
    }


@dataclass(frozen=True)
class Operator:
    """Somebody at a terminal, and a schedule that was stored by them."""

    stage: Stage
    schedule_id: str
    name: str = "ann"

    def put(self, *jobs: dict[str, Any], **more: Any) -> None:
        self.stage.put({"scheduleId": self.schedule_id, "jobList": list(jobs), "wait_time": 60, **more})

    def usched(self, verb: str, *words: str) -> Result:
        """In this process: a new one would take longer than what it does."""
        return CliRunner().invoke(app.main, self._words(verb, *words), env={"USCHED_USER": self.name})

    def process(self, verb: str, *words: str) -> int:
        command = [sys.executable, "-m", "universal_scheduler.cli", *self._words(verb, *words)]
        environment = os.environ | {"USCHED_USER": self.name}
        return subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False).returncode

    def _words(self, verb: str, *words: str) -> list[str]:
        return ["--port", str(self.stage.engine.port), verb, self.schedule_id, *words]

    def does(self, verb: str, *words: str) -> Any:
        done = self.usched(verb, *words, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def is_refused(self, why: str, verb: str, *words: str) -> None:
        """The verb is told what was wrong, and changes nothing."""
        before = self.rows()
        refused = self.usched(verb, *words)
        assert refused.exit_code == 2
        assert why in refused.stderr
        assert self.rows() == before

    def rows(self) -> Any:
        [run] = self.stage.runs(self.schedule_id)
        key = {"KeyConditionExpression": "runId = :run", "ExpressionAttributeValues": {":run": run["runId"]}}
        rows = self.stage.table("BatchScheduleJobs").query(**key, ConsistentRead=True)["Items"]
        watched = ("watch", "watchAt")  # which the watchdogs write when they come by
        run = {key: value for key, value in run.items() if key not in watched}
        return run, [row for row in rows if not row["jobName"].startswith(("#wake", "#told"))]

    def statuses(self) -> dict[str, str]:
        _, rows = self.rows()
        return {row["jobName"]: row["jobStatus"] for row in rows if not row["jobName"].startswith("#")}

    def sees(self, **statuses: str) -> None:
        """The jobs come to these states long before the run looks at them itself (a quarter of an hour)."""

        def look() -> bool:
            return bool(self.stage.runs(self.schedule_id)) and statuses.items() <= self.statuses().items()

        eventually(look, what=f"{statuses}")

    def ended(self, status: str) -> Any:
        run = self.stage.ended(self.schedule_id)
        assert run["scheduleStatus"] == status, run.get("statusReason")
        return run

    def trail(self) -> list[tuple[str, ...]]:
        lines = self.does("audit")["audit"]
        assert {line["by"] for line in lines} == {self.name}
        return [tuple(line.get(key, "") for key in ("verb", "job", "before", "after", "reason")) for line in lines]


@pytest.fixture
def ann(stage: Stage) -> Operator:
    return Operator(stage, f"verbs-{uuid.uuid4().hex[:8]}")


def running(pids: Path) -> list[int]:
    """Of the processes that wrote their numbers, those that are there."""
    found = []
    for line in pids.read_text().split() if pids.exists() else ():
        with suppress(ProcessLookupError):
            os.kill(int(line), 0)
            found.append(int(line))
    return found


def test_every_verb_on_a_job_of_a_run_that_goes_on(ann: Operator, tmp_path: Path) -> None:
    pids, mended = tmp_path / "pids", tmp_path / "mended"
    ann.put(
        job("gate", hold=True),
        job("then", "gate"),
        job("other", "gate"),
        job("fails", command=f"test -e {mended} || exit 3"),
        job("follows", "fails"),
        job("long", command=f"echo $$ >> {pids}; exec sleep 600"),
    )
    ann.sees(gate="HELD", fails="FAILED", follows="UPSTREAM_FAILED", long="RUNNING")
    view = ann.does("show")
    reasons = {entry["jobName"]: entry.get("reason") for entry in view["jobs"]}
    assert reasons["then"] == "waits for gate, held, as its schedule says"
    assert view["waitingFor"].startswith("waits for long, RUNNING since ")

    ann.is_refused("it is HELD already by its schedule", "hold", "gate")
    ann.is_refused("it is not held, it is WAITING", "release", "then")
    ann.is_refused("it is RUNNING: it has started", "skip", "long")
    ann.is_refused("it has not failed", "force-ok", "then")
    ann.is_refused("it has not ended", "rerun", "then")
    ann.is_refused("its rule would not let it run", "rerun", "follows")
    ann.is_refused("no job 'gat'. Did you mean 'gate'?", "release", "then", "gat")
    ann.is_refused("still RUNNING", "restart")

    ann.does("hold", "then", "--reason", "source is late")
    assert "by ann: source is late" in ann.usched("show").stdout
    ann.does("release", "then")
    ann.does("skip", "other")
    mended.touch()
    ann.does("rerun", "fails", "--reason", "mended")
    ann.sees(fails="SUCCEEDED", follows="SUCCEEDED")
    eventually(lambda: running(pids), what="the long job's process")
    ann.does("cancel", "long", "--reason", "too slow")
    ann.sees(long="CANCELLED")
    eventually(lambda: not running(pids), what="the end of the long job's process")
    ann.is_refused("it has ended CANCELLED", "cancel", "long")
    ann.does("force-ok", "long")
    ann.does("release", "gate")
    ann.ended("SUCCEEDED")
    assert ann.statuses() == dict.fromkeys(("gate", "then", "fails", "follows", "long"), "SUCCEEDED") | {
        "other": "SKIPPED"
    }
    assert ann.trail() == [
        ("hold", "then", "WAITING", "HELD", "source is late"),
        ("release", "then", "HELD", "WAITING", ""),
        ("skip", "other", "WAITING", "SKIPPED", ""),
        ("rerun", "fails", "FAILED", "WAITING", "mended"),
        ("cancel", "long", "RUNNING", "CANCELLED", "too slow"),
        ("force-ok", "long", "CANCELLED", "SUCCEEDED", ""),
        ("release", "gate", "HELD", "WAITING", ""),
    ]


def test_jobs_that_batch_has_and_that_wait_there_are_held_and_skipped(ann: Operator, tmp_path: Path) -> None:
    """Batch has the whole chain from the beginning: to an operator its jobs wait, as those that only the run has."""
    log, go = tmp_path / "log", tmp_path / "go"
    jobs = [job("a", command=f"until test -e {go}; do sleep 0.05; done")]
    jobs += [job(name, chr(ord(name) - 1), command=f"echo {name} >> {log}") for name in "bcde"]
    ann.put(*jobs)
    ann.sees(a="RUNNING", b="PENDING", c="PENDING", d="PENDING", e="PENDING")
    assert ann.does("hold", "d")["done"][0]["after"] == "HELD"
    ann.sees(b="PENDING", c="PENDING", d="HELD", e="WAITING")
    assert ann.does("skip", "b")["done"][0]["after"] == "SKIPPED"
    ann.sees(a="RUNNING", b="SKIPPED", c="SUCCEEDED", d="HELD", e="WAITING")
    go.touch()
    ann.sees(a="SUCCEEDED")
    ann.does("release", "d")
    ann.ended("SUCCEEDED")
    assert log.read_text().split() == ["c", "d", "e"]
    assert ann.statuses() == dict.fromkeys("acde", "SUCCEEDED") | {"b": "SKIPPED"}


def test_a_run_is_cancelled_and_restarted(ann: Operator, tmp_path: Path) -> None:
    pids, go = tmp_path / "pids", tmp_path / "go"
    ann.put(job("a", command=f"test -e {go} && exit 0; echo $$ >> {pids}; exec sleep 600"), job("b", "a"))
    ann.sees(a="RUNNING")
    eventually(lambda: running(pids), what="the job's process")
    ann.does("cancel", "--reason", "wrong day")
    run = ann.ended("CANCELLED")
    assert run["statusReason"] == "cancelled by ann: wrong day"
    assert ann.statuses() == {"a": "CANCELLED", "b": "CANCELLED"}
    eventually(lambda: not running(pids), what="the end of the job's process")
    ann.is_refused("it has ended CANCELLED", "cancel")
    ann.is_refused("its run has ended CANCELLED", "hold", "a")
    go.touch()
    restarted = ann.usched("restart", "--wait", "--reason", "right day", "--json")
    assert restarted.exit_code == 0, restarted.stderr
    assert json.loads(restarted.stdout)["cause"]["reason"] == "right day"
    assert ann.trail() == [
        ("cancel", "", "RUNNING", "CANCELLED", "wrong day"),
        ("restart", "", "CANCELLED", "RUNNING", "right day"),
    ]


def test_a_finally_job_runs_in_a_cancelled_run_and_again_after_its_restart(ann: Operator, tmp_path: Path) -> None:
    """The cancelled job takes its time to end in good order: the clean-up comes after it all the same."""
    log, go, pids = tmp_path / "log", tmp_path / "go", tmp_path / "pids"
    ends = f"trap 'sleep 0.5; echo a ended >> {log}; exit 1' TERM"
    slow = f"test -e {go} && exit 0; {ends}; echo $$ >> {pids}; sleep 600 & wait"
    ann.put(job("a", command=slow), job("b", "a"), job("clean-up", command=f"echo clean >> {log}", **{"finally": True}))
    ann.sees(a="RUNNING")
    eventually(lambda: running(pids), what="the job's process")
    told = ann.usched("cancel")
    assert "its jobs are being ended, then its finally jobs run: clean-up" in told.stdout
    ann.ended("CANCELLED")
    assert ann.statuses() == {"a": "CANCELLED", "b": "CANCELLED", "clean-up": "SUCCEEDED"}
    assert log.read_text().splitlines() == ["a ended", "clean"]
    go.touch()
    assert ann.usched("restart", "--wait").exit_code == 0
    assert log.read_text().splitlines() == ["a ended", "clean", "clean"]


def test_a_run_that_has_ended_is_restarted_in_every_way(ann: Operator, tmp_path: Path) -> None:
    log, mended = tmp_path / "log", tmp_path / "mended"
    jobs = [
        job("a", command=f"echo a >> {log}"),
        job("b", "a", command=f"echo b >> {log}; test -e {mended}"),
        job("c", "b", command=f"echo c >> {log}"),
    ]

    def ran() -> list[str]:
        lines = log.read_text().split()
        log.write_text("")
        return lines

    ann.put(*jobs)
    ann.ended("FAILED")
    assert ran() == ["a", "b"]
    ann.is_refused("no job 'bb'. Did you mean 'b'?", "restart", "--skip", "bb")

    ann.does("skip", "b", "--reason", "not today")
    eventually(lambda: ran() == ["c"] if log.stat().st_size else False, what="the job behind what was skipped")
    ann.ended("SUCCEEDED")
    mended.touch()
    ann.does("restart", "--from", "b", "--wait")
    assert ran() == ["b", "c"]
    ann.does("rerun", "a")
    eventually(lambda: ran() == ["a"] if log.stat().st_size else False, what="the rerun")
    ann.ended("SUCCEEDED")
    ann.does("restart", "--from", "a", "--skip", "b", "--wait")
    assert sorted(ran()) == ["a", "c"], "c waits for nobody, b was skipped"
    ann.put(
        *jobs[:2], job("d", "b", command=f"echo d >> {log}"), parameters={"day": "monday"}, trigger={"manual": True}
    )
    ann.does("restart", "--newest", "--param", "day=tuesday", "--wait")
    assert ran() == ["d"]
    assert ann.statuses() == {"a": "SUCCEEDED", "b": "SKIPPED", "d": "SUCCEEDED"}
    [run] = ann.stage.runs(ann.schedule_id)
    assert (run["parameters"], run["generation"]) == ({"day": "tuesday"}, 6)
    assert [line[0] for line in ann.trail()] == ["skip", "restart", "rerun", "restart", "restart"]


def test_a_paused_schedule_is_started_by_people_only(ann: Operator) -> None:
    ann.put(job("a"), trigger={"manual": True})
    ann.does("pause", "--reason", "migration")
    refused = ann.usched("pause")
    assert (refused.exit_code, "paused already by ann: migration" in refused.stderr) == (2, True)
    ann.stage.table("BatchSchedules").delete_item(Key={"scheduleId": ann.schedule_id})
    ann.put(job("a"))
    status, view = ann.stage.call("GET", f"/schedules/{ann.schedule_id}")
    assert (status, view["paused"]["by"], view["paused"]["reason"]) == (200, "ann", "migration")
    # Its row's insertion is before those of a schedule that is not paused: when that one runs, it was seen.
    witness = Operator(ann.stage, f"{ann.schedule_id}-after")
    witness.put(job("a"))
    witness.ended("SUCCEEDED")
    assert ann.stage.runs(ann.schedule_id) == []
    started = ann.usched("run", "--wait")
    assert (started.exit_code, "Triggers do not start it; this command does." in started.stdout) == (0, True)
    ann.does("resume")
    assert ann.usched("resume").exit_code == 2
    assert [line[0] for line in ann.trail()] == ["pause", "resume"]


def test_of_two_operators_at_once_one_wins(ann: Operator) -> None:
    ann.put(job("gate", hold=True), job("a", "gate"))
    ann.sees(gate="HELD", a="WAITING")
    words = [("hold", "a"), ("skip", "a"), ("cancel", "a")]
    with ThreadPoolExecutor(3) as pool:
        codes = list(pool.map(lambda word: ann.process(*word), words))
    trail = ann.trail()
    assert len(trail) == codes.count(0) >= 1
    for earlier, later in pairwise(trail):
        assert later[2] == earlier[3], "whoever came later acted on what the other had left, and saw it"
    ann.does("cancel")
    ann.ended("CANCELLED")
