"""A Batch that throttles, errs and loses answers, functions that are cut off: no job twice, none lost, every end right.

Each test is one way in which the loop "submit all, look at all, write the result" goes wrong.
"""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stage, eventually
from tests.e2e.faulty_batch import (
    DESCRIBE_JOBS,
    SUBMIT_JOB,
    Fault,
    FaultyBatch,
    Held,
    Slow,
    answer_lost,
    done_but_answered_500,
    in_front_of,
    request_lost,
    throttled,
)
from tests.e2e.test_main_job import job, schedule
from universal_scheduler.adapters.dynamodb.runs import JOB_LIST_LIMIT_BYTES
from universal_scheduler.domain.names import batch_job_name
from universal_scheduler.domain.runs.model import RunKey
from universal_scheduler.domain.runs.planner import INTENT_SETTLE_SECONDS
from universal_scheduler.local import engine as engines
from universal_scheduler.local import processes

pytestmark = pytest.mark.e2e


Own = tuple[Stage, FaultyBatch]


@contextmanager
def started_behind_a_proxy(home: Path, *, events: bool) -> Iterator[Own]:
    """An engine whose functions reach Batch through the proxy only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("USCHED_STATE_DIR", str(home))
        patch.delenv("SFN_ENDPOINT_URL", raising=False)
        started = engines.start(port=0, events=events)
        try:
            with in_front_of(started.endpoint) as faulty:
                stage = Stage(started)
                for each in stage.client("lambda").list_functions()["Functions"]:
                    stage.client("lambda").update_function_configuration(
                        FunctionName=each["FunctionName"],
                        Environment={
                            "Variables": each["Environment"]["Variables"] | {"AWS_ENDPOINT_URL_BATCH": faulty.endpoint}
                        },
                    )
                yield stage, faulty
        finally:
            engines.stop(started)


@pytest.fixture(scope="module")
def without_events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    """Runs look at their jobs and hear nothing: all that they know, they know from Batch's answers."""
    with started_behind_a_proxy(tmp_path_factory.mktemp("without"), events=False) as own:
        yield own


@pytest.fixture(scope="module")
def with_events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    with started_behind_a_proxy(tmp_path_factory.mktemp("with"), events=True) as own:
        yield own


@pytest.fixture
def own_stage(request: pytest.FixtureRequest) -> Own:
    own: Own = request.getfixturevalue(getattr(request, "param", "without_events"))
    return own


@pytest.fixture
def stage(own_stage: Own) -> Stage:
    return own_stage[0]


@pytest.fixture
def faulty(own_stage: Own) -> Iterator[FaultyBatch]:
    yield own_stage[1]
    own_stage[1].rules.clear()


def side_by_side(count: int) -> dict[str, Any]:
    return schedule(*(job(f"{uuid.uuid4().hex[:6]}-{number}") for number in range(count)))


def start(stage: Stage, row: dict[str, Any]) -> Any:
    """The run that the row's insertion starts, as soon as it is recorded."""
    stage.put(row)
    return eventually(lambda: next(iter(stage.runs(row["scheduleId"])), None), what="the start of the run")


def submissions(stage: Stage, run: Any) -> dict[str, int]:
    """How many jobs Batch has for each attempt of the run's jobs, whoever submitted them, as `{"job 1": 1}`."""
    key = RunKey(run["scheduleId"], run["startDateTime"])
    names = {
        batch_job_name(key, name, attempt): f"{name} {attempt}" for name in stage.jobs(run) for attempt in range(1, 5)
    }
    pages = stage.client("batch").get_paginator("list_jobs")
    every = [{"name": "AFTER_CREATED_AT", "values": ["0"]}]
    listed = [
        each["jobName"] for page in pages.paginate(jobQueue="default", filters=every) for each in page["jobSummaryList"]
    ]
    return dict(Counter(names[name] for name in listed if name in names))


def once(row: dict[str, Any], *, without: tuple[str, ...] = ()) -> dict[str, int]:
    return {f"{each['jobName']} 1": 1 for each in row["jobList"] if each["jobName"] not in without}


def states(run: Any) -> dict[str, str]:
    return {each["jobName"]: each["jobStatus"] for each in run["jobList"]}


def assert_succeeded(stage: Stage, row: dict[str, Any]) -> None:
    """The run is recorded as SUCCEEDED with all its jobs, and Batch has each of them once."""
    run = stage.ended(row["scheduleId"])
    assert run["scheduleStatus"] == "SUCCEEDED", run.get("statusReason")
    assert states(run) == {each["jobName"]: "SUCCEEDED" for each in row["jobList"]}
    assert submissions(stage, run) == once(row)


def in_doubt(stage: Stage, run: Any) -> dict[str, Any]:
    """The jobs of which it is not known whether Batch has taken them."""
    return {name: entry for name, entry in stage.jobs(run).items() if entry["jobStatus"] == "SUBMITTING"}


def intents_settle(stage: Stage, run: Any) -> None:
    """Let the time pass that submissions in doubt are given, by making them as much older as that."""
    for name, entry in in_doubt(stage, run).items():
        stage.table("BatchScheduleJobs").update_item(
            Key={"runId": run["runId"], "jobName": name},
            UpdateExpression="SET intentAt = :older",
            ExpressionAttributeValues={":older": entry["intentAt"] - Decimal(INTENT_SETTLE_SECONDS)},
        )


def kill_functions(stage: Stage) -> None:
    """End every function where it is, as Lambda does at its time-out; the engine lives on."""
    for pid in processes.marked(stage.engine.state_dir):
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_text()
            if "lambda_zygote" in command and os.getsid(pid) == pid:  # the one they are forked from leads no session
                os.kill(pid, signal.SIGKILL)


def restart(stage: Stage, run: Any) -> str:
    """Ask for a restart of the run; answers the execution's name."""
    message = {"scheduleId": run["scheduleId"], "startDateTime": run["startDateTime"], "scheduleStatus": "RESTART"}
    name = f"restart-{uuid.uuid4().hex[:8]}"
    status, answer = stage.call("POST", "/executions", {"input": json.dumps(message), "name": name})
    assert status in (200, 202), answer
    return name


def test_a_throttle_in_the_middle_of_submission_only_delays_the_run(stage: Stage, faulty: FaultyBatch) -> None:
    row = side_by_side(30)
    rule = faulty.inject(SUBMIT_JOB, throttled, calls={12, 13}, about=row["scheduleId"])
    start(stage, row)
    assert_succeeded(stage, row)
    assert rule.suffered == 2


@pytest.mark.parametrize("fault", [done_but_answered_500, answer_lost, request_lost])
def test_a_submission_in_doubt_is_looked_up_and_never_repeated_blindly(
    stage: Stage, faulty: FaultyBatch, fault: Fault
) -> None:
    row = schedule(job("a"), job("b"), job("c", "a", "b"))
    rule = faulty.inject(SUBMIT_JOB, fault, calls={2}, about=row["scheduleId"])
    run = start(stage, row)
    eventually(lambda: rule.suffered and len(in_doubt(stage, run)) == 1, what="a submission in doubt")
    intents_settle(stage, run)
    assert_succeeded(stage, row)
    assert rule.suffered == 1


@pytest.mark.parametrize("own_stage", ["with_events"], indirect=True)
def test_a_submission_in_doubt_is_settled_by_the_jobs_own_events(stage: Stage, faulty: FaultyBatch) -> None:
    row = schedule(job("a"), job("b"), job("c", "a", "b"))
    rule = faulty.inject(SUBMIT_JOB, answer_lost, calls={2}, about=row["scheduleId"])
    start(stage, row)
    assert_succeeded(stage, row)
    assert rule.suffered == 1


def test_slow_answers_only_delay_the_run(stage: Stage, faulty: FaultyBatch) -> None:
    row = schedule(job("a"), job("b", "a"))
    submitting = faulty.inject(SUBMIT_JOB, Slow(1.5), calls={1}, about=row["scheduleId"])
    looking = faulty.inject(DESCRIBE_JOBS, Slow(1.5), calls={1})
    start(stage, row)
    assert_succeeded(stage, row)
    assert (submitting.suffered, looking.suffered) == (1, 1)


def test_throttled_looks_only_delay_the_run(stage: Stage, faulty: FaultyBatch) -> None:
    row = schedule(job("a"), job("b", "a"))
    rule = faulty.inject(DESCRIBE_JOBS, throttled, calls=range(1, 4))
    start(stage, row)
    assert_succeeded(stage, row)
    assert rule.suffered == 3


@pytest.mark.parametrize("own_stage", ["without_events", "with_events"], indirect=True)
def test_jobs_beside_a_failed_one_are_watched_to_their_end_and_run_once(
    stage: Stage, faulty: FaultyBatch, tmp_path: Path
) -> None:
    del faulty
    until_let_go = f"while ! test -e {tmp_path}/go; do sleep 0.05; done"
    siblings = {f"sibling{number}": "SUCCEEDED" for number in range(1, 4)}
    row = schedule(
        job("bad", command=f"test -e {tmp_path}/mended"), *(job(name, command=until_let_go) for name in siblings)
    )
    run = start(stage, row)
    eventually(lambda: stage.jobs(run)["bad"]["jobStatus"] == "FAILED", what="the failure's record")

    refused = restart(stage, run)
    eventually(lambda: stage.call("GET", f"/executions/{refused}")[1].get("status") == "FAILED", what="the refusal")
    [still] = [each for each in stage.runs(row["scheduleId"]) if each["startDateTime"] == run["startDateTime"]]
    assert (still["scheduleStatus"], still["generation"]) == ("RUNNING", 1)

    (tmp_path / "go").touch()
    ended = eventually(
        lambda: next((each for each in stage.runs(row["scheduleId"]) if len(each.get("jobList", ())) == 4), None)
    )
    assert (ended["scheduleStatus"], ended["startDateTime"]) == ("FAILED", run["startDateTime"])
    assert states(ended) == siblings | {"bad": "FAILED"}
    assert submissions(stage, run) == once(row)

    (tmp_path / "mended").touch()
    restart(stage, run)
    again = eventually(
        lambda: next((each for each in stage.runs(row["scheduleId"]) if each["scheduleStatus"] == "SUCCEEDED"), None)
    )
    assert again["startDateTime"] == run["startDateTime"]
    assert submissions(stage, run) == once(row) | {"bad 2": 1}


def test_functions_killed_in_the_middle_of_submission_orphan_and_double_nothing(
    stage: Stage, faulty: FaultyBatch
) -> None:
    row = side_by_side(40)
    held = Held()
    faulty.inject(SUBMIT_JOB, held, calls=range(12, 41), about=row["scheduleId"])
    run = start(stage, row)
    eventually(held.arrived.is_set, what="the twelfth submission")
    kill_functions(stage)
    assert in_doubt(stage, run)
    faulty.rules.clear()
    held.released.set()
    assert 12 <= len(submissions(stage, run)) < 40
    intents_settle(stage, run)
    assert_succeeded(stage, row)


def test_a_run_whose_jobs_do_not_fit_into_its_row_is_recorded_all_the_same(stage: Stage, faulty: FaultyBatch) -> None:
    del faulty
    names = [f"{number:03}-{'x' * 120}" for number in range(160)]
    wide = [job(name) for name in names[:20]] + [job(name, *names[:20]) for name in names[20:]]
    row = schedule(*({key: value for key, value in each.items() if key != "containerOverrides"} for each in wide))
    assert len(json.dumps(row["jobList"], separators=(",", ":"))) > JOB_LIST_LIMIT_BYTES
    run = start(stage, row)
    ended = stage.ended(row["scheduleId"])
    assert (ended["scheduleStatus"], ended["statusReason"]) == ("SUCCEEDED", "")
    assert (ended["jobList"], ended["jobListOmitted"]) == ([], len(names))
    assert {entry["jobStatus"] for entry in stage.jobs(run).values()} == {"SUCCEEDED"}
    assert submissions(stage, run) == once(row)


def test_a_misspelt_dependency_is_named_and_starts_nothing(stage: Stage, faulty: FaultyBatch) -> None:
    del faulty
    row = schedule(job("cleanse"), job("load", "claense"))
    stage.put(row)
    [error] = eventually(lambda: (stage.row(row["scheduleId"]) or {}).get("scheduleErrors"), what="the error")
    assert "claense" in error["found"]
    assert stage.runs(row["scheduleId"]) == []


def test_jobs_may_stand_in_any_order(stage: Stage, faulty: FaultyBatch) -> None:
    del faulty
    row = schedule(job("c", "b"), job("b", "a"), job("a"))
    start(stage, row)
    assert_succeeded(stage, row)


def test_a_schedule_without_a_topic_succeeds(stage: Stage, faulty: FaultyBatch) -> None:
    del faulty
    row = schedule(job("a"))
    assert "scheduleSnsTopic" not in row
    run = start(stage, row)
    assert_succeeded(stage, row)
    status, shown = stage.call("GET", f"/executions/{run['executionArn'].rpartition(':')[2]}")
    assert (status, shown["status"]) == (200, "SUCCEEDED")
