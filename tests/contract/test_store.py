"""One suite over every store: memory, and the tables of template.yaml on moto's DynamoDB and on the engine's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.engine_dynamodb import engine_dynamodb
from tests.tables import create_tables
from universal_scheduler.adapters.dynamodb.items import item_size, run_to_values, to_item
from universal_scheduler.adapters.dynamodb.store import DynamoStore
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.domain.errors import ItemTooLarge, StoreUnavailable
from universal_scheduler.domain.runs.model import (
    AuditEntry,
    ChangeLog,
    Changes,
    Dependency,
    Execution,
    Job,
    JobRun,
    JobStatus,
    Mark,
    Observation,
    Run,
    RunKey,
    RunStatus,
    Submission,
    Verb,
)
from universal_scheduler.ports.store import Store
from universal_scheduler.ports.waits import CHANGE_LOG_LIMIT

KEY = RunKey("nightly", "2026-11-21T06:00:00.000001")
RUN = Run(KEY, RunStatus.RUNNING, Execution("arn:one", "one"), cause={"kind": "row"}, wait_seconds=7)
JOB = JobRun(Job("a", "default", "shell", (Dependency("z"),), container_overrides={"command": ["true"]}))


TABLES = {"schedules": "BatchSchedules", "history": "BatchScheduleHistory", "jobs": "BatchScheduleJobs"}


@pytest.fixture(params=["memory", "dynamodb", "engine"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    if request.param == "engine":
        with engine_dynamodb() as client:
            yield DynamoStore(client, **TABLES)
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("dynamodb", "us-east-1")
        create_tables(client)
        yield DynamoStore(client, **TABLES)


def row(schedule_id: str, **more: Any) -> dict[str, Any]:
    return {"scheduleId": schedule_id, "jobList": [{"jobName": "a"}], "wait_time": 60, "ratio": 0.5, **more}


def test_a_schedule_comes_back_as_it_was_written(store: Store) -> None:
    assert store.put_schedule(row("b"))
    assert store.get_schedule("b") == row("b")
    assert not store.put_schedule(row("b", wait_time=5))
    assert store.put_schedule(row("a"))
    assert [each["scheduleId"] for each in store.list_schedules()] == ["a", "b"]
    assert store.get_schedule("c") is None


def test_a_schedule_over_the_item_limit_is_refused(store: Store) -> None:
    with pytest.raises(ItemTooLarge):
        store.put_schedule(row("b", description="x" * 410_000))
    assert store.get_schedule("b") is None


def test_a_schedule_of_ten_thousand_jobs_comes_back_as_it_was_written(store: Store) -> None:
    jobs = [
        {
            "jobName": f"job-{i}",
            "jobQueue": "default",
            "containerOverrides": {"command": ["wörk", str(i)]},
            "ratio": 0.5,
        }
        for i in range(10_000)
    ]
    big = row("b", jobList=jobs, wait_time=7)
    assert store.put_schedule(big)
    assert store.get_schedule("b") == big
    assert store.list_schedules() == [big]
    store.record_schedule_errors("b", [{"path": "$"}])
    assert store.get_schedule("b") == big | {"scheduleErrors": [{"path": "$"}]}


def test_a_schedule_that_is_too_large_compressed_is_refused(store: Store) -> None:
    jobs = [{"jobName": random.Random(i).randbytes(50).hex()} for i in range(10_000)]
    with pytest.raises(ItemTooLarge, match="with its jobs compressed"):
        store.put_schedule(row("b", jobList=jobs))
    assert store.get_schedule("b") is None


def test_errors_are_written_beside_a_row_and_taken_away_again(store: Store) -> None:
    store.put_schedule(row("b"))
    errors = [{"path": "$", "found": "x", "expected": "y"}]
    store.record_schedule_errors("b", errors)
    assert store.get_schedule("b") == row("b", scheduleErrors=errors)
    store.record_schedule_errors("b", [])
    assert store.get_schedule("b") == row("b")
    store.record_schedule_errors("gone", errors)
    assert store.get_schedule("gone") is None


@pytest.mark.parametrize("room", [5_000, 300])
def test_of_a_row_that_is_nearly_full_as_many_errors_are_written_as_fit(store: Store, room: int) -> None:
    limit = 405_000  # moto's own; DynamoDB takes 4,600 bytes more
    full = row("full", description="x" * (limit - item_size(to_item(row("full"))) - len("description") - room))
    store.put_schedule(full)
    errors = [{"path": f"$.jobList[{i}]", "found": "x" * 100, "expected": "y"} for i in range(50)]
    store.record_schedule_errors("full", errors)
    kept = store.get_schedule("full")
    assert kept is not None
    written = kept.pop("scheduleErrors", [])
    assert kept == full
    assert written == errors[: len(written)]
    assert written or room < 1_000


def test_what_can_be_no_key_is_not_there(store: Store) -> None:
    for odd in ("", "x" * 2049, "漢" * 700, "\ud83d"):
        assert store.get_schedule(odd) is None
        assert store.find_run(odd) is None
        assert store.list_runs(odd, 10) == []
        assert store.get_run(RunKey(odd, "2026")) is None
        assert store.get_run(RunKey("s", odd)) is None
        assert store.paused(odd) is None


def test_a_run_belongs_to_the_execution_that_made_it(store: Store) -> None:
    assert store.create_run(RUN)
    assert store.create_run(RUN), "the same execution, tried again"
    assert not store.create_run(replace(RUN, execution=Execution("arn:two", "two")))
    assert store.get_run(KEY) == replace(RUN, document=store_document(store))
    assert store.find_run("one") == store.get_run(KEY)
    assert store.find_run("two") is None


def store_document(store: Store) -> Any:
    run = store.get_run(KEY)
    assert run is not None
    return run.document


def test_a_run_ends_once_and_only_for_its_newest_execution(store: Store) -> None:
    store.create_run(RUN)
    assert not store.finish_run(replace(RUN, generation=2), RunStatus.FAILED, "", "t", [])
    assert store.finish_run(RUN, RunStatus.FAILED, "a FAILED", "2026", [{"jobName": "a", "jobStatus": "FAILED"}])
    assert not store.finish_run(RUN, RunStatus.SUCCEEDED, "", "t", [])
    ended = store.get_run(KEY)
    assert ended is not None
    assert (ended.status, ended.reason, ended.ended_at) == (RunStatus.FAILED, "a FAILED", "2026")
    assert store.recorded_jobs(KEY) == [{"jobName": "a", "jobStatus": "FAILED"}]


@pytest.mark.parametrize("store", ["dynamodb"], indirect=True)
def test_a_run_whose_jobs_do_not_fit_into_its_row_says_how_many_they_are(store: Store) -> None:
    store.create_run(RUN)
    many = [{"jobName": f"{number}-{'x' * 200}"} for number in range(2000)]
    assert store.finish_run(RUN, RunStatus.SUCCEEDED, "", "t", many)
    ended = store.get_run(KEY)
    assert ended is not None
    assert (ended.job_list_omitted, store.recorded_jobs(KEY)) == (2000, [])
    again = replace(ended, status=RunStatus.RUNNING, generation=2, execution=Execution("arn:two", "two"))
    assert store.restart_run(again, ended)
    assert store.finish_run(again, RunStatus.SUCCEEDED, "", "t", many[:2])
    ended = store.get_run(KEY)
    assert ended is not None
    assert (ended.job_list_omitted, store.recorded_jobs(KEY)) == (0, many[:2])


def test_only_one_restart_of_a_run_wins(store: Store) -> None:
    store.create_run(RUN)
    second = replace(RUN, generation=2, execution=Execution("arn:two", "two"))
    store.finish_run(RUN, RunStatus.FAILED, "why", "t", [])
    assert not store.restart_run(second, replace(RUN, generation=7)), "another generation than was seen"
    assert not store.restart_run(second, replace(RUN, verb_count=1)), "an operator acted on it since it was seen"
    assert store.restart_run(second, RUN)
    assert store.restart_run(second, RUN), "the same again: its answer was lost"
    assert not store.restart_run(replace(second, execution=Execution("arn:three", "three")), RUN)
    restarted = store.get_run(KEY)
    assert restarted is not None
    assert (restarted.status, restarted.generation, restarted.reason) == (RunStatus.RUNNING, 2, "")
    assert restarted.execution == second.execution


def test_the_newest_runs_come_first(store: Store) -> None:
    for indexed in (False, True):
        for number in range(5):
            key = RunKey("nightly" if number < 4 else "other", f"2026-11-2{number}")
            store.create_run(replace(RUN, key=key, execution=Execution(f"arn:{number}", f"{number}")))
        assert [run.key.start for run in store.list_runs("nightly", 2)] == ["2026-11-23", "2026-11-22"]
        assert [run.key.start for run in store.list_runs("nightly", 9, since="2026-11-22")] == [
            "2026-11-23",
            "2026-11-22",
        ]
        assert [run.key.start for run in store.list_runs(None, 2)] == ["2026-11-24", "2026-11-23"]
        assert [run.key.start for run in store.list_runs(None, 9, since="2026-11-23T00")] == ["2026-11-24"]
        assert indexed or store.index_runs(100)


def test_runs_of_an_earlier_version_are_listed_before_and_after_they_are_in_the_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("dynamodb", "us-east-1")
        create_tables(client)
        starts = ["2026-11-20T06:00:00", "2026-11-21T05:00:00", "2026-11-21T06:00:00", "2026-11-23T06:00:00"]
        for number, start in enumerate(starts):
            old = run_to_values(replace(RUN, key=RunKey(f"s{number}", start)))
            del old["startDay"]
            client.put_item(TableName="BatchScheduleHistory", Item=to_item(old))

        def over() -> DynamoStore:
            tables = {"schedules": "BatchSchedules", "history": "BatchScheduleHistory", "jobs": "BatchScheduleJobs"}
            return DynamoStore(client, **tables)

        def listed(**given: Any) -> list[str]:
            return [run.key.start for run in over().list_runs(None, **given)]

        assert listed(limit=9) == starts[::-1]
        assert not over().index_runs(2), "there are more"
        while not over().index_runs(2):
            pass
        assert listed(limit=9) == starts[::-1]
        assert listed(limit=9, since="2026-11-21T05:30:00") == [starts[3], starts[2]]
        assert listed(limit=3) == starts[:0:-1]
        calls: list[str] = []
        client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
        assert over().index_runs(2)
        assert calls == ["GetItem"], "all runs are in it: the table is not read again"

        late = replace(RUN, key=RunKey("late", "2026-11-24T06:00:00"))
        unlisted = {name: value for name, value in run_to_values(late).items() if name != "startDay"}
        client.put_item(TableName="BatchScheduleHistory", Item=to_item(unlisted))
        assert over().finish_run(late, RunStatus.SUCCEEDED, "", "t", [])
        assert listed(limit=1) == [late.key.start], "made while functions of both versions were at work"


def test_a_listed_run_has_what_is_shown_of_it(store: Store) -> None:
    store.create_run(replace(RUN, document={"scheduleName": "Every night", "maxConcurrentJobs": 3}))
    [run] = store.list_runs("nightly", 1)
    assert (run.document["scheduleName"], run.max_concurrent_jobs) == ("Every night", 3)
    assert (run.wait_seconds, run.cause, run.execution) == (RUN.wait_seconds, RUN.cause, RUN.execution)


def test_runs_with_long_job_lists_are_all_listed(store: Store) -> None:
    fat = [{"jobName": f"j{i}", "jobStatus": "x" * 1000} for i in range(200)]
    for number in range(10):
        run = replace(RUN, key=RunKey("nightly", f"2026-11-2{number}"), execution=Execution(f"arn:{number}", "n"))
        store.create_run(run)
        store.finish_run(run, RunStatus.SUCCEEDED, "", "t", fat)
    assert len(store.list_runs("nightly", 20)) == len(store.list_runs(None, 20)) == 10
    while not store.index_runs(3):
        pass
    assert len(store.list_runs("nightly", 20)) == len(store.list_runs(None, 20)) == 10


def test_jobs_come_back_in_the_schedules_order(store: Store) -> None:
    jobs = [replace(JOB, job=replace(JOB.job, name=f"j{99 - i}"), position=i) for i in range(60)]
    store.put_jobs("run", jobs)
    assert store.list_jobs("run") == jobs
    assert store.list_jobs("other") == []


def test_a_job_is_claimed_once_for_each_intent_that_was_seen(store: Store) -> None:
    store.put_jobs("run", [JOB])
    assert store.claim_jobs("run", [JOB], 100.5) == {"a"}
    assert not store.claim_jobs("run", [JOB], 101.5)
    [claimed] = store.list_jobs("run")
    assert (claimed.status, claimed.intent_at) == (JobStatus.SUBMITTING, 100.5)
    assert store.claim_jobs("run", [claimed], 200.5), "an old intent is taken over"
    assert not store.claim_jobs("run", [claimed], 300.5)


def test_a_claim_is_given_back_only_by_whoever_made_it(store: Store) -> None:
    store.put_jobs("run", [JOB])
    assert not store.release_jobs("run", [JOB])
    store.claim_jobs("run", [JOB], 100.5)
    [claimed] = store.list_jobs("run")
    assert not store.release_jobs("run", [replace(claimed, intent_at=99.0)])
    assert store.release_jobs("run", [claimed])
    assert store.list_jobs("run") == [JOB]


def test_a_job_goes_forward_only(store: Store) -> None:
    store.put_jobs("run", [JOB])
    assert not store.record_submissions("run", [(JOB, "id-1")], 1.0), "not claimed"
    store.claim_jobs("run", [JOB], 1.0)
    assert store.record_submissions("run", [(JOB, "id-1")], 2.0)
    assert store.observe_jobs("run", [(JOB, Observation("id-1", JobStatus.RUNNING, started_at=3.0, log_stream="s"))])
    assert not store.observe_jobs("run", [(JOB, Observation("id-1", JobStatus.STARTING))]), "late"
    assert not store.observe_jobs("run", [(JOB, Observation("id-1", JobStatus.RUNNING))]), "duplicate"
    assert not store.observe_jobs("run", [(JOB, Observation("id-0", JobStatus.FAILED))]), "another attempt's job"
    assert store.observe_jobs("run", [(JOB, Observation("id-1", JobStatus.FAILED, "why", 3, stopped_at=4.0))])
    assert not store.end_jobs("run", [replace(JOB, status=JobStatus.CANCELLED, reason="too late")], 5.0)
    assert store.list_jobs("run") == [
        replace(
            JOB,
            status=JobStatus.FAILED,
            job_id="id-1",
            reason="why",
            exit_code=3,
            log_stream="s",
            intent_at=1.0,
            submitted_at=2.0,
            started_at=3.0,
            stopped_at=4.0,
        )
    ]


def test_attempts_are_counted_when_a_job_runs_again_and_when_it_is_submitted_again(store: Store) -> None:
    earlier = (Submission("id-0", 1, 2, "3 7-9"),)
    job = replace(JOB, status=JobStatus.PENDING, job_id="id-1", attempt=2, attempts=2, earlier=earlier)
    store.put_jobs("run", [job])
    assert store.list_jobs("run") == [job]
    first = Observation("id-1", JobStatus.RUNNING, started_at=1.0, attempts=1)
    assert store.observe_jobs("run", [(job, first)])
    [running] = store.list_jobs("run")
    assert (running.attempts, running.started_at) == (3, 1.0)
    assert not store.observe_jobs("run", [(running, first)]), "the same once more"
    second = replace(first, started_at=5.0, attempts=2, log_stream="s/2")
    assert store.observe_jobs("run", [(running, second)])
    assert not store.observe_jobs("run", [(running, second)]), "somebody has recorded it"
    assert not store.observe_jobs("run", [(store.list_jobs("run")[0], first)]), "late"
    [again] = store.list_jobs("run")
    assert (again.attempts, again.started_at, again.log_stream) == (4, 5.0, "s/2")
    assert store.observe_jobs("run", [(again, Observation("id-1", JobStatus.FAILED, attempts=2))])
    assert store.list_jobs("run")[0].attempts == 4


def test_a_job_that_failed_because_it_was_cancelled_is_cancelled(store: Store) -> None:
    store.put_jobs("run", [JOB])
    store.claim_jobs("run", [JOB], 1.0)
    store.record_submissions("run", [(JOB, "id-1")], 2.0)
    store.observe_jobs("run", [(JOB, Observation("id-1", JobStatus.FAILED, "cancelled by me; killed", 137))])
    cancelled = replace(JOB, status=JobStatus.CANCELLED, job_id="id-1")
    assert not store.end_jobs("run", [replace(cancelled, reason="cancelled by you")], 3.0)
    assert store.end_jobs("run", [replace(cancelled, reason="cancelled by me")], 3.0)
    [job] = store.list_jobs("run")
    assert (job.status, job.reason, job.exit_code) == (JobStatus.CANCELLED, "cancelled by me", 137)


def test_a_job_that_somebody_has_begun_to_submit_since_is_not_ended(store: Store) -> None:
    store.put_jobs("run", [JOB])
    store.claim_jobs("run", [JOB], 1.0)
    assert not store.end_jobs("run", [replace(JOB, status=JobStatus.CANCELLED, reason="by me")], 3.0)
    assert not store.end_jobs("run", [replace(JOB, status=JobStatus.CANCELLED, reason="by me", intent_at=0.5)], 3.0)
    assert store.end_jobs("run", [replace(JOB, status=JobStatus.CANCELLED, reason="by me", intent_at=1.0)], 3.0)


def test_a_job_that_never_started_because_the_run_was_cancelled_is_cancelled(store: Store) -> None:
    store.put_jobs("run", [JOB])
    store.claim_jobs("run", [JOB], 1.0)
    store.record_submissions("run", [(JOB, "id-1")], 2.0)
    store.observe_jobs("run", [(JOB, Observation("id-1", JobStatus.UPSTREAM_FAILED, "did not run: upstream a"))])
    assert store.end_jobs("run", [replace(JOB, status=JobStatus.CANCELLED, job_id="id-1", reason="by me")], 3.0)
    [job] = store.list_jobs("run")
    assert (job.status, job.reason) == (JobStatus.CANCELLED, "by me")


def test_a_job_that_was_submitted_meanwhile_is_not_ended_as_one_that_was_not(store: Store) -> None:
    store.put_jobs("run", [JOB])
    store.claim_jobs("run", [JOB], 1.0)
    store.record_submissions("run", [(JOB, "id-1")], 2.0)
    ended = replace(JOB, status=JobStatus.CANCELLED, reason="the run was given up")
    assert not store.end_jobs("run", [ended], 3.0)
    assert not store.end_jobs("run", [replace(ended, job_id="id-0")], 3.0)
    assert store.end_jobs("run", [replace(ended, job_id="id-1")], 3.0)


def test_a_submission_whose_record_was_answered_into_nothing_is_recorded(store: Store) -> None:
    store.put_jobs("run", [JOB])
    store.claim_jobs("run", [JOB], 1.0)
    assert store.record_submissions("run", [(JOB, "id-1")], 2.0)
    assert store.record_submissions("run", [(JOB, "id-1")], 2.0), "the SDK repeats a call whose answer was lost"
    assert not store.record_submissions("run", [(JOB, "id-2")], 2.0), "another submission"
    store.observe_jobs("run", [(JOB, Observation("id-1", JobStatus.RUNNING))])
    assert store.record_submissions("run", [(JOB, "id-1")], 2.0), "an event was faster than the answer"
    assert [job.status for job in store.list_jobs("run")] == [JobStatus.RUNNING], "nothing goes back"


def test_what_is_seen_before_a_submission_is_recorded_records_it_too(store: Store) -> None:
    store.put_jobs("run", [JOB])
    seen = Observation("id-1", JobStatus.RUNNING, started_at=3.0, attempts=1)
    heard = replace(JOB, submitted_at=2.0)
    assert not store.observe_jobs("run", [(heard, seen)]), "nobody has begun to submit it"
    store.claim_jobs("run", [JOB], 1.0)
    assert not store.observe_jobs("run", [(replace(heard, attempt=2), seen)]), "another attempt"
    assert not store.observe_jobs("run", [(replace(heard, job_id="id-1"), seen)]), "it has another job, or none"
    assert store.observe_jobs("run", [(heard, seen)])
    [job] = store.list_jobs("run")
    assert (job.status, job.job_id, job.submitted_at) == (JobStatus.RUNNING, "id-1", 2.0)
    assert (job.started_at, job.attempts, job.intent_at) == (3.0, 1, 1.0)
    assert not store.observe_jobs("run", [(heard, seen)]), "duplicate"
    assert not store.observe_jobs("run", [(heard, replace(seen, status=JobStatus.STARTING))]), "late"
    assert not store.observe_jobs("run", [(heard, replace(seen, job_id="id-2", status=JobStatus.FAILED))])
    assert store.record_submissions("run", [(JOB, "id-1")], 4.0), "it is recorded"
    assert not store.record_submissions("run", [(JOB, "id-2")], 4.0)
    assert store.observe_jobs("run", [(heard, replace(seen, status=JobStatus.SUCCEEDED))]), "of this very job"


def test_what_is_seen_of_a_job_that_was_recorded_meanwhile_is_kept(store: Store) -> None:
    store.put_jobs("run", [JOB])
    store.claim_jobs("run", [JOB], 1.0)
    store.record_submissions("run", [(JOB, "id-1")], 2.0)
    heard = replace(JOB, submitted_at=3.0)
    assert not store.observe_jobs("run", [(heard, Observation("id-2", JobStatus.RUNNING))]), "another job"
    assert store.observe_jobs("run", [(heard, Observation("id-1", JobStatus.RUNNING))])
    assert [(job.status, job.job_id) for job in store.list_jobs("run")] == [(JobStatus.RUNNING, "id-1")]


def test_an_earlier_attempt_can_change_nothing(store: Store) -> None:
    store.put_jobs("run", [replace(JOB, attempt=2)])
    assert not store.claim_jobs("run", [JOB], 1.0)
    assert not store.end_jobs("run", [replace(JOB, status=JobStatus.FAILED, reason="old")], 1.0)
    assert store.end_jobs(
        "run", [replace(replace(JOB, attempt=2), status=JobStatus.UPSTREAM_FAILED, reason="new")], 1.0
    )


def many(count: int) -> list[JobRun]:
    return [replace(JOB, job=replace(JOB.job, name=f"j{i:03}"), position=i) for i in range(count)]


def test_each_of_many_changes_is_written_or_not_for_itself(store: Store) -> None:
    jobs = many(60)
    store.put_jobs("run", [replace(job, attempt=2) if job.position % 7 == 0 else job for job in jobs])
    stale = {job.name for job in jobs if job.position % 7 == 0}
    took = store.claim_jobs("run", jobs, 1.5)
    assert took == {job.name for job in jobs} - stale
    assert store.claim_jobs("run", jobs, 2.5) == set(), "nobody claims them again"
    claimed = [job for job in store.list_jobs("run") if job.name in took]
    assert store.release_jobs("run", claimed[:2]) == {job.name for job in claimed[:2]}
    assert store.record_submissions("run", [(job, f"id-{job.name}") for job in claimed], 3.0) == {
        job.name for job in claimed[2:]
    }
    seen = [(job, Observation(f"id-{job.name}", JobStatus.RUNNING)) for job in jobs]
    assert store.observe_jobs("run", seen) == {job.name for job in claimed[2:]}
    ended = [replace(job, status=JobStatus.CANCELLED, reason="why") for job in store.list_jobs("run")]
    assert store.end_jobs("run", [replace(job, attempt=1) for job in ended], 4.0) == took
    assert {job.status for job in store.list_jobs("run")} == {JobStatus.WAITING, JobStatus.CANCELLED}
    assert store.end_jobs("run", [], 4.0) == set()


class Transactions:
    """A DynamoDB that answers transactions and single updates as it is told; nothing is written."""

    def __init__(self, *answers: list[str] | str) -> None:
        self.answers, self.asked = list(answers), list[list[str]]()

    def transact_write_items(self, TransactItems: Any) -> None:  # noqa: N803 - boto3's name
        self.asked.append([item["Update"]["Key"]["jobName"]["S"] for item in TransactItems])
        if self.answers and (answer := self.answers.pop(0)):
            raise ClientError(
                {
                    "Error": {"Code": "TransactionCanceledException", "Message": "no"},
                    "CancellationReasons": [{"Code": code} for code in answer],
                },  # type: ignore[typeddict-unknown-key]
                "TransactWriteItems",
            )

    def update_item(self, Key: Any, **_: Any) -> None:  # noqa: N803 - boto3's name
        self.asked.append([Key["jobName"]["S"]])
        if self.answers and (code := self.answers.pop(0)):
            raise throttled(str(code))


def claimed_by(client: Any, count: int) -> tuple[set[str], list[float]]:
    pauses: list[float] = []
    store = DynamoStore(client, schedules="s", history="h", jobs="j", sleep=pauses.append)
    return store.claim_jobs("run", many(count), 1.0), pauses


def test_one_failed_condition_leaves_the_others_of_its_transaction() -> None:
    client = Transactions(["None", "ConditionalCheckFailed", "None"])
    assert claimed_by(client, 3) == ({"j000", "j002"}, [])
    assert client.asked == [["j000", "j001", "j002"], ["j000", "j002"]]


def test_the_last_of_a_transaction_is_written_alone() -> None:
    client = Transactions(["None", "ConditionalCheckFailed"], "ConditionalCheckFailedException")
    assert claimed_by(client, 2) == (set(), [])
    assert client.asked == [["j000", "j001"], ["j000"]]


def test_a_transaction_that_meets_another_writer_is_tried_again() -> None:
    client = Transactions(["None", "TransactionConflict"], ["ThrottlingError", "None"])
    took, pauses = claimed_by(client, 2)
    assert (took, len(pauses), len(client.asked)) == ({"j000", "j001"}, 2, 3)


def test_a_single_write_that_meets_a_transaction_is_tried_again() -> None:
    took, pauses = claimed_by(Transactions("TransactionConflictException"), 1)
    assert (took, len(pauses)) == ({"j000"}, 1)


def test_a_transaction_that_is_always_in_conflict_is_given_up() -> None:
    client = Transactions()
    client.answers = [["TransactionConflict", "None"]] * 1000
    with pytest.raises(StoreUnavailable):
        claimed_by(client, 2)


def test_a_transaction_that_is_wrong_is_not_tried_again() -> None:
    client = Transactions(["ValidationError", "None"])
    with pytest.raises(ClientError, match="TransactionCanceled"):
        claimed_by(client, 2)


def test_a_job_is_changed_only_from_the_state_that_was_seen(store: Store) -> None:
    store.put_jobs("run", [JOB])
    held = replace(JOB, status=JobStatus.HELD, mark=Mark(Verb.HOLD, "ann", 10.25, "source is late"))
    assert store.change_job("run", JOB, held)
    assert not store.change_job("run", JOB, held), "it is not WAITING any more"
    assert store.list_jobs("run") == [held]
    bob = replace(held, mark=Mark(Verb.HOLD, "bob", 10.25, ""))
    assert not store.change_job("run", bob, JOB), "held by somebody else than was seen"
    assert not store.change_job("run", replace(held, attempt=2), JOB)
    assert store.change_job("run", held, JOB)
    assert store.list_jobs("run") == [JOB]


def test_what_a_job_has_no_more_is_taken_from_its_row(store: Store) -> None:
    ended = replace(JOB, status=JobStatus.FAILED, job_id="id-1", reason="why", exit_code=3, intent_at=1.0)
    store.put_jobs("run", [ended])
    assert store.change_job("run", ended, replace(JOB, attempt=2))
    assert store.list_jobs("run") == [replace(JOB, attempt=2)]
    assert store.claim_jobs("run", [replace(JOB, attempt=2)], 5.0)


def test_a_job_that_no_rule_could_reach_is_told_from_one_that_was_skipped(store: Store) -> None:
    names = ("unreached", "skipped")
    jobs = [replace(JOB, job=replace(JOB.job, name=name), position=i) for i, name in enumerate(names)]
    store.put_jobs("run", jobs)
    store.end_jobs("run", [replace(jobs[0], status=JobStatus.SKIPPED, reason="no rule", not_taken=True)], 1.0)
    store.end_jobs("run", [replace(jobs[1], status=JobStatus.SKIPPED, reason="somebody")], 1.0)
    assert [job.not_taken for job in store.list_jobs("run")] == [True, False]


def entry(verb: Verb, at: float = 10.5, **more: Any) -> AuditEntry:
    return AuditEntry(Mark(verb, "ann", at, "source is late"), **more)


HELD = replace(JOB, status=JobStatus.HELD, mark=entry(Verb.HOLD).mark)
HOLD = entry(Verb.HOLD, job="a", before="WAITING", after="HELD")


def seen(store: Store) -> Run:
    run = store.get_run(KEY)
    assert run is not None
    return run


def test_a_verb_changes_the_job_and_leaves_its_line_in_the_audit_trail(store: Store) -> None:
    store.create_run(RUN)
    store.put_jobs(KEY.run_id, [JOB])
    assert store.change_by_verb(seen(store), JOB, HELD, HOLD)
    assert store.list_jobs(KEY.run_id) == [HELD], "the trail is beside the jobs and none of them"
    assert store.audit(KEY.run_id) == [HOLD]
    release = entry(Verb.RELEASE, 11.5, job="a", before="HELD", after="WAITING", given={"more": ["x"]})
    assert store.change_by_verb(seen(store), HELD, replace(JOB, mark=release.mark), release)
    assert store.audit(KEY.run_id) == [HOLD, release]
    assert seen(store).verb_count == 2
    assert store.audit("other") == []


def test_of_two_verbs_by_what_both_have_read_one_is_done(store: Store) -> None:
    store.create_run(RUN)
    store.put_jobs(KEY.run_id, [JOB])
    stale = seen(store)
    assert store.change_by_verb(stale, JOB, HELD, HOLD)
    skipped = replace(JOB, status=JobStatus.SKIPPED, mark=entry(Verb.SKIP).mark)
    assert not store.change_by_verb(stale, JOB, skipped, entry(Verb.SKIP, 11.0)), "both as they were"
    assert not store.change_by_verb(seen(store), JOB, skipped, entry(Verb.SKIP, 11.0)), "the job as it was"
    assert not store.change_by_verb(stale, HELD, skipped, entry(Verb.SKIP, 11.0)), "the run as it was"
    assert store.list_jobs(KEY.run_id) == [HELD]
    assert store.audit(KEY.run_id) == [HOLD], "what was refused leaves nothing"


def test_a_verb_is_done_only_while_the_run_is_as_it_was_read(store: Store) -> None:
    store.create_run(RUN)
    store.put_jobs(KEY.run_id, [JOB])
    running = seen(store)
    store.finish_run(running, RunStatus.FAILED, "", "t", [])
    assert not store.change_by_verb(running, JOB, HELD, HOLD), "it has ended"
    ended = seen(store)
    again = replace(ended, status=RunStatus.RUNNING, generation=2, verb_count=1, preparing=True)
    again = replace(again, execution=Execution("arn:two", "two"))
    assert store.restart_run(again, ended, entry(Verb.RESTART))
    assert not store.change_by_verb(ended, JOB, HELD, HOLD), "it has been restarted"
    assert not store.change_by_verb(replace(seen(store), preparing=False), JOB, HELD, HOLD), "its jobs are not there"
    store.finish_preparing(again)
    assert not seen(store).preparing
    assert store.change_by_verb(seen(store), JOB, HELD, HOLD)
    assert [each.mark.verb for each in store.audit(KEY.run_id)] == [Verb.RESTART, Verb.HOLD]


def test_a_verb_that_came_too_late_is_refused_with_its_line_in_the_trail(store: Store) -> None:
    store.create_run(RUN)
    asked = replace(JOB, status=JobStatus.RUNNING, job_id="id", mark=HOLD.mark, withdraw_asked=True, behind={"z": 2})
    store.put_jobs(KEY.run_id, [asked])
    assert store.list_jobs(KEY.run_id) == [asked]
    after, late = (
        replace(asked, mark=None, withdraw_asked=False),
        entry(Verb.HOLD, 11.0, before="RUNNING", after="RUNNING"),
    )
    assert store.refuse_late(KEY.run_id, asked, after, late)
    assert not store.refuse_late(KEY.run_id, asked, after, late), "the job is not what it was"
    assert (store.list_jobs(KEY.run_id), store.audit(KEY.run_id)) == ([after], [late])


def test_an_intent_says_behind_which_attempts_the_job_goes_to_batch(store: Store) -> None:
    store.put_jobs(KEY.run_id, [JOB])
    behind = replace(JOB, behind={"z": 2})
    assert store.claim_jobs(KEY.run_id, [behind], 5.0)
    [claimed] = store.list_jobs(KEY.run_id)
    assert claimed.behind == {"z": 2}
    store.release_jobs(KEY.run_id, [claimed])
    [released] = store.list_jobs(KEY.run_id)
    assert store.claim_jobs(KEY.run_id, [replace(released, behind={})], 6.0)
    assert store.list_jobs(KEY.run_id)[0].behind == {}


def test_a_run_is_asked_for_its_end_by_one_operator(store: Store) -> None:
    store.create_run(RUN)
    stale = seen(store)
    cancel = entry(Verb.CANCEL, before="RUNNING", after="CANCELLED")
    assert store.ask_for_end(replace(stale, cancel=cancel.mark), cancel)
    assert seen(store).cancel == cancel.mark
    bob = AuditEntry(Mark(Verb.CANCEL, "bob", 12.0))
    assert not store.ask_for_end(replace(stale, cancel=bob.mark), bob)
    assert not store.ask_for_end(replace(seen(store), cancel=bob.mark), bob), "it was asked already"
    assert store.audit(KEY.run_id) == [cancel]


def test_a_run_does_not_end_as_it_was_before_a_verb(store: Store) -> None:
    store.create_run(RUN)
    store.put_jobs(KEY.run_id, [JOB])
    before = seen(store)
    store.change_by_verb(before, JOB, HELD, HOLD)
    assert not store.finish_run(before, RunStatus.SUCCEEDED, "", "t", [])
    assert store.finish_run(seen(store), RunStatus.SUCCEEDED, "", "t", [])


def test_a_restart_takes_a_cancel_and_the_old_end_away_and_changes_the_document(store: Store) -> None:
    store.create_run(replace(RUN, document={"scheduleName": "old", "maxConcurrentJobs": 3}))
    cancel = entry(Verb.CANCEL)
    store.ask_for_end(replace(seen(store), cancel=cancel.mark), cancel)
    store.finish_run(seen(store), RunStatus.CANCELLED, "cancelled", "t", [])
    ended = seen(store)
    document = {"scheduleName": "new", "parameters": {"day": "1"}}
    again = replace(
        ended,
        status=RunStatus.RUNNING,
        generation=2,
        cancel=None,
        document=document,
        wait_seconds=3,
        verb_count=ended.verb_count + 1,
    )
    again = replace(again, execution=Execution("arn:two", "two"))
    assert store.restart_run(again, ended)
    now = seen(store)
    assert (now.status, now.cancel, now.reason, now.ended_at) == (RunStatus.RUNNING, None, "", "")
    assert (now.document["scheduleName"], now.document["parameters"], now.wait_seconds) == ("new", {"day": "1"}, 3)
    assert now.max_concurrent_jobs is None


def test_jobs_that_a_run_has_no_more_are_removed(store: Store) -> None:
    jobs = [replace(JOB, job=replace(JOB.job, name=f"j{i}"), position=i) for i in range(40)]
    store.put_jobs("run", jobs)
    store.remove_jobs("run", [job.name for job in jobs[1:]])
    assert store.list_jobs("run") == jobs[:1]


def test_jobs_are_found_by_name(store: Store) -> None:
    store.put_jobs("run", [JOB])
    assert store.get_jobs("run", ["a", "b"]) == [JOB]
    assert store.get_jobs("run", []) == []


def test_a_schedule_is_paused_once_and_resumed_once(store: Store) -> None:
    pause, resume = entry(Verb.PAUSE, after="paused"), entry(Verb.RESUME, 11.0, before="paused")
    assert store.paused("b") is None
    assert not store.resume("b", resume)
    assert store.pause("b", pause)
    assert not store.pause("b", entry(Verb.PAUSE, 10.75))
    assert store.paused("b") == pause.mark
    store.put_schedule(row("b"))
    assert store.paused("b") == pause.mark, "whatever its owner writes"
    assert store.resume("b", resume)
    assert store.paused("b") is None
    assert store.audit("b") == [pause, resume]


def test_a_verb_that_changes_no_row_has_its_line_in_the_trail(store: Store) -> None:
    backfill = replace(entry(Verb.BACKFILL), given={"from": "2026-11-01", "to": "2026-11-30"})
    store.record_verb("b", backfill)
    assert store.audit("b") == [backfill]


def test_of_many_at_once_one_wins() -> None:
    store = MemoryStore()
    store.create_run(RUN)
    store.put_jobs(KEY.run_id, [JOB])
    run = seen(store)
    everybody = Barrier(8)

    def hold(number: int) -> bool:
        mark = Mark(Verb.HOLD, f"operator-{number}", 1.0 + number)
        everybody.wait()
        return store.change_by_verb(run, JOB, replace(JOB, status=JobStatus.HELD, mark=mark), AuditEntry(mark, "a"))

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(hold, range(8)))
    assert won.count(True) == 1
    [trail] = store.audit(KEY.run_id)
    assert trail.mark.by == f"operator-{won.index(True)}"


def test_rows_that_dynamodb_leaves_over_are_written_in_their_turn() -> None:
    class Throttling:
        written = 0

        def batch_write_item(self, RequestItems: Any) -> Any:  # noqa: N803 - boto3's name
            [(table, requests)] = RequestItems.items()
            taken = requests[:10]
            self.written += len(taken)
            return {"UnprocessedItems": {table: requests[10:]} if requests[10:] else {}}

    client: Any = Throttling()
    pauses: list[float] = []
    store = DynamoStore(client, schedules="s", history="h", jobs="j", sleep=pauses.append)
    store.put_jobs("run", [replace(JOB, job=replace(JOB.job, name=f"j{i}")) for i in range(60)])
    assert client.written == 60
    assert pauses

    client.batch_write_item = lambda RequestItems: {"UnprocessedItems": RequestItems}  # noqa: N803
    with pytest.raises(StoreUnavailable):
        store.put_jobs("run", [JOB])
    assert 30 <= sum(pauses) < 40, "it waits for some time, and not for ever"


def test_a_write_that_is_throttled_as_a_whole_waits_too() -> None:
    answers: list[dict[str, Any] | Exception] = [throttled("ProvisionedThroughputExceededException"), {}]

    class Throttling:
        def batch_write_item(self, **_: Any) -> Any:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    client: Any = Throttling()
    pauses: list[float] = []
    store = DynamoStore(client, schedules="s", history="h", jobs="j", sleep=pauses.append)
    store.put_jobs("run", [JOB])
    assert (len(pauses), answers) == (1, [])
    answers[:] = [throttled("ResourceNotFoundException")]
    with pytest.raises(ClientError, match="ResourceNotFound"):
        store.put_jobs("run", [JOB])


def throttled(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "BatchWriteItem")


def test_an_array_comes_back_with_all_that_is_known_of_it(store: Store) -> None:
    branch = Dependency("z", output=(("kind", "full"),))
    jobs = [
        JobRun(Job("a", "q", "d", (branch,), array_size=5, outputs_of=("z",)), children="1 3"),
        JobRun(Job("b", "q", "d", for_each=("x", "")), position=1, child_counts={"FAILED": 2}, output_problem="none"),
        JobRun(Job("c", "q", "d", for_each_s3="s3://b/k"), position=2, output={"n": 5, "ratio": 0.1, "full": True}),
    ]
    store.put_jobs(KEY.run_id, jobs)
    assert store.list_jobs(KEY.run_id) == jobs


def test_children_are_counted_while_an_array_goes_on(store: Store) -> None:
    array = replace(JOB, status=JobStatus.PENDING, job_id="id")
    store.put_jobs(KEY.run_id, [array])
    for counts, taken in (({"RUNNING": 2}, True), ({"RUNNING": 2}, False), ({"RUNNING": 1, "FAILED": 1}, True)):
        seen = Observation("id", JobStatus.PENDING, child_counts=counts)
        assert bool(store.observe_jobs(KEY.run_id, [(array, seen)])) is taken
        assert store.list_jobs(KEY.run_id)[0].child_counts == counts
    assert store.observe_jobs(KEY.run_id, [(array, Observation("id", JobStatus.FAILED, child_counts={"FAILED": 2}))])
    late = Observation("id", JobStatus.PENDING, child_counts={"RUNNING": 9})
    assert not store.observe_jobs(KEY.run_id, [(array, late)])
    assert not store.observe_jobs(
        KEY.run_id, [(array, Observation("id", JobStatus.FAILED, child_counts={"FAILED": 3}))]
    )
    assert store.list_jobs(KEY.run_id)[0].child_counts == {"FAILED": 2}


@pytest.mark.parametrize("found", [{"output": {"n": 5}}, {"output": {}}, {"output_problem": "it is no JSON"}])
def test_an_output_is_kept_for_the_attempt_that_put_it_out(store: Store, found: dict[str, Any]) -> None:
    done = replace(JOB, status=JobStatus.SUCCEEDED)
    store.put_jobs(KEY.run_id, [done])
    assert store.record_output(KEY.run_id, replace(done, **found))
    assert store.list_jobs(KEY.run_id) == [replace(done, **found)]
    store.put_jobs(KEY.run_id, [replace(JOB, attempt=2)])
    assert not store.record_output(KEY.run_id, replace(done, **found))
    assert store.list_jobs(KEY.run_id) == [replace(JOB, attempt=2)]


def test_the_change_log_names_the_jobs_that_were_counted(store: Store) -> None:
    assert store.change_log(KEY.run_id) == ChangeLog()
    store.count_change(KEY.run_id, 2, False, ["a", "b"])
    store.count_change(KEY.run_id, 0, True)
    store.count_change(KEY.run_id, 1, True, ["a"])
    log = store.change_log(KEY.run_id)
    assert log == ChangeLog(Changes(urgent=2, ended=3), 0, ("a", "b", "a"))
    assert log.since(0, 1) == ("b", "a")
    assert log.since(0, 3) == ()


def test_a_long_change_log_is_begun_anew(store: Store) -> None:
    names = [f"job{number}" for number in range(CHANGE_LOG_LIMIT)]
    store.count_change(KEY.run_id, len(names), False, names)
    store.count_change(KEY.run_id, 1, False, ["last"])
    log = store.change_log(KEY.run_id)
    assert log == ChangeLog(Changes(ended=CHANGE_LOG_LIMIT + 1), 1, ("last",))
    assert log.since(0, CHANGE_LOG_LIMIT) is None, "whoever had read a part of the old one reads all jobs"


def test_a_token_waits_for_so_many_ends(store: Store) -> None:
    seen = store.changes(KEY.run_id)
    assert seen == Changes()
    assert store.count_change(KEY.run_id, 1, False) == "", "nobody waits"
    assert store.park(KEY.run_id, 1, "t1", seen, 3)
    assert store.count_change(KEY.run_id, 1, False) == ""
    assert store.count_change(KEY.run_id, 1, False) == "t1"
    assert store.changes(KEY.run_id) == Changes(ended=3)
    assert store.list_jobs(KEY.run_id) == [], "no job run"


def test_a_token_is_not_parked_where_what_it_waits_for_has_happened(store: Store) -> None:
    seen = store.changes(KEY.run_id)
    store.count_change(KEY.run_id, 1, False)
    assert not store.park(KEY.run_id, 1, "t1", seen, 1)
    assert store.park(KEY.run_id, 1, "t1", seen, 2)
    store.count_change(KEY.run_id, 0, True)
    assert not store.park(KEY.run_id, 1, "t2", seen, 100)


def test_something_urgent_answers_at_once(store: Store) -> None:
    store.park(KEY.run_id, 1, "t1", Changes(), 100)
    assert store.count_change(KEY.run_id, 0, True) == "t1"
    assert store.changes(KEY.run_id) == Changes(urgent=1)


def test_a_token_that_was_answered_is_forgotten_and_no_other(store: Store) -> None:
    store.park(KEY.run_id, 1, "t1", Changes(), 1)
    store.clear_token(KEY.run_id, "another")
    assert store.count_change(KEY.run_id, 1, False) == "t1"
    store.clear_token(KEY.run_id, "t1")
    assert store.count_change(KEY.run_id, 1, True) == ""
    store.park(KEY.run_id, 1, "t2", store.changes(KEY.run_id), 1)
    store.clear_token(KEY.run_id)
    assert store.count_change(KEY.run_id, 1, True) == ""
    store.clear_token("nightly#never")


def test_an_older_execution_does_not_wait_in_the_place_of_a_newer(store: Store) -> None:
    assert store.park(KEY.run_id, 2, "new", Changes(), 1)
    assert not store.park(KEY.run_id, 1, "old", Changes(), 1)
    assert store.park(KEY.run_id, 2, "newer", Changes(), 1)
    assert store.count_change(KEY.run_id, 1, False) == "newer"


def test_an_earlier_turn_does_not_wait_in_the_place_of_a_later(store: Store) -> None:
    assert store.park(KEY.run_id, 1, "later", Changes(), 1, turn=5)
    assert not store.park(KEY.run_id, 1, "slow", Changes(), 1, turn=4)
    assert store.park(KEY.run_id, 1, "again", Changes(), 1, turn=5)
    assert store.park(KEY.run_id, 2, "next", Changes(), 1, turn=1), "another execution counts anew"
    assert store.count_change(KEY.run_id, 1, False) == "next"


def test_jobs_are_read_by_name_and_found_by_id(store: Store) -> None:
    jobs = [replace(JOB, job=replace(JOB.job, name=f"j{n}"), position=n) for n in range(120)]
    store.put_jobs(KEY.run_id, [*jobs, replace(JOB, job_id="id-1", status=JobStatus.RUNNING)])
    names = [f"j{n}" for n in range(110)]
    assert sorted(job.name for job in store.get_jobs(KEY.run_id, [*names, "none", "j1"])) == sorted(names)
    assert store.get_jobs(KEY.run_id, []) == []
    assert store.find_job("id-1") == (KEY, "a")
    assert store.find_job("id-2") is None
