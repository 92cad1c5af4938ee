"""Jobs of a durable engine that is killed or stopped, and started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually
from tests.e2e.test_main_job import job, schedule
from universal_scheduler.local import engine, processes
from universal_scheduler.local.state import Safety

pytestmark = pytest.mark.e2e

BEGINS = "echo begun; touch $USCHED_DATA/begun-$AWS_BATCH_JOB_ATTEMPT; "
WAITS = BEGINS + "while ! test -e $USCHED_DATA/go; do sleep 0.05; done; "


class Place:
    """Where the engines of a test run one after the other."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.stage = Stage(self._start(0))

    def _start(self, port: int) -> engine.Engine:
        return engine.start(port, self.home, safety=Safety.PROCESS)

    def start(self) -> None:
        self.stage = Stage(self._start(self.stage.engine.port))

    def kill(self, *numbers: int) -> None:
        for number in (self.stage.engine.pid, *numbers):
            os.kill(number, signal.SIGKILL)
        eventually(lambda: engine.find(self.home) is None)

    def supervisor(self) -> int:
        """The process under which jobs live."""
        for pid in processes.marked(self.home):
            if b"USCHED_PROCESS=all" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return pid
        raise AssertionError("there is no supervisor")

    def submit(self, script: str, **request: Any) -> str:
        answer = self.stage.client("batch").submit_job(
            jobName="j",
            jobQueue="default",
            jobDefinition="shell",
            containerOverrides={"command": ["sh", "-c", script]},
            **request,
        )
        return str(answer["jobId"])

    def job(self, job_id: str) -> Any:
        [job] = self.stage.client("batch").describe_jobs(jobs=[job_id])["jobs"]
        return job

    def begun(self, attempt: int = 1) -> None:
        eventually((self.home / "data" / f"begun-{attempt}").exists)

    def let_go(self) -> None:
        (self.home / "data" / "go").touch()

    def ended(self, job_id: str) -> Any:
        def look() -> Any:
            job = self.job(job_id)
            return job if job["status"] in ("SUCCEEDED", "FAILED") else None

        return eventually(look)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "engine")
    yield made
    engine.stop(made.home)
    assert processes.marked(made.home) == []


def test_jobs_run_on_while_their_engine_is_killed_and_started_again(place: Place) -> None:
    first = place.submit(WAITS + "echo done; exit 5")
    queued = [place.submit("true", dependsOn=[{"jobId": first}]), place.submit("exit 3")]
    place.begun()
    place.kill()
    place.start()
    assert place.job(first)["status"] == "RUNNING"
    place.let_go()
    detail = place.ended(first)
    assert (detail["status"], detail["container"]["exitCode"]) == ("FAILED", 5)
    assert place.ended(queued[0])["statusReason"] == "Dependent Job failed"
    assert place.ended(queued[1])["container"]["exitCode"] == 3
    events = place.stage.client("logs").get_log_events(
        logGroupName="/aws/batch/usched", logStreamName=detail["container"]["logStreamName"]
    )["events"]
    assert [event["message"] for event in events] == ["begun", "done"]


def test_a_schedules_job_ends_while_the_engine_is_down(place: Place) -> None:
    row = schedule(job("a", command=WAITS + "true"), job("b", "a", command="true"))
    place.stage.put(row)
    place.begun()
    place.kill()
    place.let_go()
    place.start()
    assert place.stage.ended(row["scheduleId"])["scheduleStatus"] == "SUCCEEDED"


def test_jobs_that_died_with_the_engine_end_as_on_a_host_that_was_terminated(place: Place) -> None:
    rules = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    once, twice = place.submit(WAITS), place.submit(WAITS, retryStrategy={"attempts": 2, "evaluateOnExit": rules})
    place.begun()
    eventually(lambda: place.job(twice)["status"] == "RUNNING" and place.job(once)["status"] == "RUNNING")
    place.kill(place.supervisor())
    place.start()
    place.let_go()
    assert place.ended(once)["statusReason"].startswith("Host EC2 (instance i-")
    detail = place.ended(twice)
    assert (detail["status"], len(detail["attempts"])) == ("SUCCEEDED", 2)


@pytest.mark.parametrize("keep_jobs", [False, True])
def test_a_stop_ends_jobs_or_leaves_them_to_the_next_engine(place: Place, keep_jobs: bool) -> None:
    held = place.submit(WAITS)
    place.begun()
    engine.stop(place.stage.engine, keep_jobs=keep_jobs)
    assert bool(processes.marked(place.home)) == keep_jobs
    place.start()
    place.let_go()
    assert place.ended(held)["status"] == ("SUCCEEDED" if keep_jobs else "FAILED")
