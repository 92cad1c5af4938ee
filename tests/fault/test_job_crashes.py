"""Batch is killed with kill -9 at random moments, with what jobs run under or without it, while jobs come and run.

What was acknowledged ends as it should; no attempt runs twice; a job runs again only after its attempt died with the
process under which it lived; the end of each job is told.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from universal_scheduler.local.processes import end_jobs, marked

KILLS = int(os.environ.get("USCHED_JOB_KILLS", "8"))
"""Of each kind; `make fault` has 100."""
PATIENCE_SECONDS = 120.0
ATTEMPTS = 10
RETRY_STRATEGY = {
    "attempts": ATTEMPTS,
    "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onExitCode": "*", "action": "EXIT"}],
}
HOST_TERMINATED = "Host EC2 (instance i-"
PATH = os.environ.get("PATH", os.defpath)


class Killable:
    """The process with Batch, and what it has acknowledged."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._numbers = 0
        self._answers: dict[int, tuple[int, Any]] = {}
        self._answered = threading.Condition()
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.batch_process", str(self.home), PATH],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,))
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._answered:
                if line.endswith("\n"):
                    number, *answer = json.loads(line)
                    self._answers[number] = answer[0], answer[1]
                self._answered.notify_all()

    def send(self, operation: str, request: Any) -> int:
        """Ask, and do not wait; the number of the request."""
        self._numbers += 1
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([self._numbers, operation, request]) + "\n")
        self._process.stdin.flush()
        return self._numbers

    def answer(self, number: int) -> Any:
        """None if there was none."""
        with self._answered:
            status, body = self._answers.get(number, (0, None))
        assert status in (0, 200), body
        return body

    def call(self, operation: str, request: Any) -> Any:
        number = self.send(operation, request)
        with self._answered:
            assert self._answered.wait_for(lambda: number in self._answers, PATIENCE_SECONDS)
        return self.answer(number)

    def kill(self, *, supervisor: bool) -> None:
        if supervisor:
            for pid in marked(self.home):
                with suppress(OSError):
                    if b"USCHED_PROCESS=all" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                        os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self.end()

    def end(self) -> None:
        """Wait for its end; one that still runs ends now."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Killable]:
    killable = Killable(tmp_path)
    yield killable
    killable.end()
    end_jobs(tmp_path)


def lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("supervisor", [False, True], ids=["alone", "with what jobs run under"])
def test_jobs_of_a_batch_that_is_killed_again_and_again(batch: Killable, supervisor: bool) -> None:
    chance = random.Random(int(supervisor))
    log = batch.home / "log"
    log.touch()
    wanted: dict[int, int] = {}
    """The exit code of each submission."""

    def submit(meanwhile: str = "") -> None:
        code = chance.choice([0, 0, 3])
        note = 'echo "$AWS_BATCH_JOB_ID $AWS_BATCH_JOB_ATTEMPT'
        meanwhile = meanwhile or f"sleep {chance.choice([0, 0.01, 0.05, 0.2])}"
        script = f'{note} begins" >> {log}; {meanwhile}; {note} ends" >> {log}; exit {code}'
        request: dict[str, Any] = {"jobName": "j", "jobQueue": "default", "jobDefinition": "shell"}
        request |= {"containerOverrides": {"command": ["sh", "-c", script]}, "retryStrategy": RETRY_STRATEGY}
        if chance.random() < 0.2:
            request["arrayProperties"] = {"size": 3}
        wanted[batch.send("SubmitJob", request)] = code

    for _ in range(KILLS):
        if chance.random() < 0.8:  # else it is killed while it starts
            batch.call("DescribeJobs", {"jobs": []})
        for _ in range(chance.randrange(1, 12)):
            submit()
        time.sleep(chance.random() * 0.6)  # the moment of the kill
        batch.kill(supervisor=supervisor)
        batch.start()
    submit(f"while ! test -e {batch.home}/go; do sleep 0.02; done")
    batch.call("DescribeJobs", {"jobs": []})
    runs(batch, log)
    batch.kill(supervisor=supervisor)
    (batch.home / "go").touch()
    batch.start()
    acknowledged = {answer["jobId"]: code for number, code in wanted.items() if (answer := batch.answer(number))}
    assert len(acknowledged) > KILLS
    details = ended(batch, list(acknowledged))
    begun = Counter((job, attempt) for job, attempt, what in lines(log) if what == "begins")
    assert set(begun.values()) == {1}, "an attempt ran twice"
    finished = {(job, attempt) for job, attempt, what in lines(log) if what == "ends"}
    told = defaultdict(set)
    for job, status in lines(batch.home / "events"):
        told[job].add(status)
    retried = 0
    for job_id, code in acknowledged.items():
        assert details[job_id]["status"] == ("FAILED" if code else "SUCCEEDED")
        for child in [f"{job_id}:{index}" for index in range(3)] if "arrayProperties" in details[job_id] else [job_id]:
            *lost, last = [(it["statusReason"], it["container"].get("exitCode")) for it in details[child]["attempts"]]
            assert last == ("Essential container in task exited", code)
            assert all(reason.startswith(HOST_TERMINATED) and exit_code is None for reason, exit_code in lost)
            assert (child, str(len(lost) + 1)) in finished
            retried += len(lost)
        assert details[job_id]["status"] in told[job_id]
    assert bool(retried) == supervisor
    strays = {job.partition(":")[0] for job, _ in begun} - acknowledged.keys()
    print(f"{KILLS} kills: {len(acknowledged)} jobs acknowledged, {len(strays)} others, {retried} attempts made again")


def runs(batch: Killable, log: Path) -> None:
    """Wait until the latest submission runs; it has been answered."""
    listed = batch.call("ListJobs", {"jobQueue": "default", "filters": [{"name": "JOB_NAME", "values": ["j"]}]})
    latest = listed["jobSummaryList"][0]["jobId"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any(job.partition(":")[0] == latest for job, *_ in lines(log)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended(batch: Killable, job_ids: list[str]) -> dict[str, Any]:
    """The details of the jobs and of their children when all have ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = described(batch, job_ids)
        assert [it for it in job_ids if it not in found] == [], "what was acknowledged is lost"
        if all(job["status"] in ("SUCCEEDED", "FAILED") for job in found.values()):
            arrays = [job_id for job_id, job in found.items() if "arrayProperties" in job]
            return found | described(batch, [f"{job_id}:{index}" for job_id in arrays for index in range(3)])
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def described(batch: Killable, job_ids: list[str]) -> dict[str, Any]:
    parts = [job_ids[at : at + 100] for at in range(0, len(job_ids), 100)]
    return {job["jobId"]: job for part in parts for job in batch.call("DescribeJobs", {"jobs": part})["jobs"]}
