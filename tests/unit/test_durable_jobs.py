"""Jobs of a durable Batch that is killed at any moment: what was answered is there, and goes on as if nothing was."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.local_batch import ARN, World, definition, environment, queue
from universal_scheduler.local.batch import Exit, jobs
from universal_scheduler.local.batch.job_file import JobFile
from universal_scheduler.local.state import Safety, StateError

REQUEST = {
    "tags": {"team": "data"},
    "timeout": {"attemptDurationSeconds": 90},
    "parameters": {"day": "today"},
    "containerOverrides": {"environment": [{"name": "A", "value": "é"}], "command": ["echo", "Ref::day"]},
    "retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onExitCode": "1", "action": "EXIT"}]},
    "shareIdentifier": "share",
    "propagateTags": True,
}
"""All that a submission may say."""
HOST_TERMINATED = "Host EC2 (instance i-"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, vcpus=2, safety=Safety.PROCESS)


def all_of(world: World) -> list[dict[str, Any]]:
    """The details of all jobs of the queue, but for what belongs to one Batch only."""
    found = []
    for status in ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"):
        listed = world.call("ListJobs", {"jobQueue": "default", "jobStatus": status})["jobSummaryList"]
        for job in (world.job(summary["jobId"]) for summary in listed):
            found.append(job)
            if size := job.get("arrayProperties", {}).get("size"):
                children = [f"{job['jobId']}:{index}" for index in range(size)]
                found += world.call("DescribeJobs", {"jobs": children[:100]})["jobs"]
    return sorted(found, key=lambda job: str(job["jobId"]))


@pytest.mark.parametrize("state", ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"])
def test_a_job_is_there_as_it_was(world: World, state: str) -> None:
    first = [world.submit() for _ in range(1 if state == "PENDING" else 2)]
    if state == "SUBMITTED":
        answer = world.call("SubmitJob", {"jobName": "x", "jobQueue": "default", "jobDefinition": "shell", **REQUEST})
        job = answer["jobId"]
        world.batch.write()
    else:
        depends_on = [{"jobId": first[0]}] if state == "PENDING" else []
        job = world.submit("x", dependsOn=depends_on, **REQUEST)
    if state == "STARTING":
        world.runner.starts = False
    if state not in ("SUBMITTED", "PENDING", "RUNNABLE"):
        world.exit(first[0])
    if state in ("SUCCEEDED", "FAILED"):
        world.exit(job, 0 if state == "SUCCEEDED" else 1)
    assert world.status(job) == state
    before = all_of(world)
    assert all_of(world.again(resumes=False)) == before


@pytest.mark.parametrize("ended", [False, True])
def test_an_array_is_there_as_it_was(world: World, ended: bool) -> None:
    job = world.submit(arrayProperties={"size": 3}, tags={"of": "all"})
    world.exit(f"{job}:0", 3)
    if ended:
        world.exit(f"{job}:1")
        world.exit(f"{job}:2")
    before = all_of(world)
    after = all_of(world.again(resumes=False))
    for it in (*before, *after):
        it.get("arrayProperties", {}).pop("statusSummaryLastUpdatedAt", None)
    assert after == before
    assert after[0]["arrayProperties"]["statusSummary"]["FAILED"] == 1


@pytest.mark.parametrize("seed", range(25))
def test_a_batch_that_was_killed_goes_on_as_one_that_was_not(tmp_path: Path, seed: int) -> None:
    """The same happens to two of them; one is killed every now and then, and what its jobs live under is not."""
    chance = random.Random(seed)
    whole, broken = World(tmp_path / "whole", 3), World(tmp_path / "broken", 3, Safety.PROCESS)
    pairs: list[tuple[str, str]] = []

    def key_pairs() -> list[tuple[str, str]]:
        twins = {**dict(pairs), **{f"{a}:{index}": f"{b}:{index}" for a, b in pairs for index in range(3)}}
        return [
            (key, twins[job] + "/" + number)
            for key in whole.runner.commands
            for job, _, number in [key.rpartition("/")]
        ]

    def submit() -> None:
        known = chance.sample(pairs, min(len(pairs), chance.randrange(3)))
        array = {"arrayProperties": {"size": 3}} if chance.random() < 0.3 else {}
        kinds = ["SEQUENTIAL"] if array and chance.random() < 0.3 else []
        request = array | {"retryStrategy": {"attempts": chance.randrange(1, 4)}}
        made = []
        for world, side in ((whole, 0), (broken, 1)):
            depends_on = [{"type": kind} for kind in kinds] + [{"jobId": pair[side]} for pair in known]
            made.append(world.submit(f"job-{len(pairs)}", dependsOn=depends_on, **request))
        pairs.append((made[0], made[1]))

    def exit_one(*, while_down: bool) -> None:
        nonlocal broken
        running = key_pairs()
        if not running:
            return
        key, twin = chance.choice(sorted(running, key=lambda it: whole.runner.order.index(it[0])))
        how = Exit(code=chance.choice([0, 0, 1]))
        if while_down:
            broken.runner.commands[twin].ended = how
            broken = broken.again(broken.runner.commands)
        else:
            broken.runner.commands[twin].on_exit(how)
            broken.clock.advance()
        whole.runner.commands.pop(key).on_exit(how)
        whole.clock.advance()

    for _ in range(60):
        match chance.randrange(8):
            case 0 | 1:
                submit()
            case 2 if pairs:
                operation, pair = chance.choice(["CancelJob", "TerminateJob"]), chance.choice(pairs)
                for world, job in ((whole, pair[0]), (broken, pair[1])):
                    world.call(operation, {"jobId": job, "reason": "no more"})
                    world.clock.advance()
            case 3:
                broken = broken.again(broken.runner.commands)
            case 4:
                exit_one(while_down=True)
            case _:
                exit_one(while_down=False)
        for world in (whole, broken):
            world.clock.advance(1)
    while whole.runner.commands:
        exit_one(while_down=False)
    names = {b: a for a, b in pairs}

    def comparable(world: World) -> list[Any]:
        text = json.dumps(all_of(world))
        for theirs, ours in names.items():
            text = text.replace(theirs, ours)
        found = json.loads(text)
        for job in found:
            job.get("arrayProperties", {}).pop("statusSummaryLastUpdatedAt", None)
            for place in (job["container"], *(attempt["container"] for attempt in job["attempts"])):
                place.pop("taskArn", None)
                place.pop("logStreamName", None)
        return sorted(found, key=lambda job: str(job["jobId"]))

    assert comparable(broken) == comparable(whole)
    assert not [job for job in all_of(broken) if job["status"] not in ("SUCCEEDED", "FAILED")]


# Adoption


def test_a_job_that_runs_on_is_adopted_with_its_end(world: World) -> None:
    job = world.submit(timeout={"attemptDurationSeconds": 90})
    started = world.job(job)["startedAt"]
    world.clock.advance(10)
    again = world.again(kept=world.runner.commands)
    assert again.status(job) == "RUNNING"
    again.exit(job, 0)
    assert again.job(job)["startedAt"] == started
    assert again.job(job)["attempts"][0]["stoppedAt"] == started + 10_000
    assert not again.runner.commands


def test_a_job_that_ended_while_nobody_was_there_has_its_exit_code_and_its_times(world: World) -> None:
    job = world.submit()
    stopped = world.clock.now() + 3000
    world.runner.commands[f"{job}/1"].ended = Exit(code=4, at=stopped)
    world.clock.advance(60)
    again = world.again(kept=world.runner.commands)
    [attempt] = again.job(job)["attempts"]
    assert (again.status(job), attempt["container"]["exitCode"], attempt["stoppedAt"]) == ("FAILED", 4, stopped)


def test_a_job_of_which_nobody_had_heard_that_it_runs_is_adopted(world: World) -> None:
    world.runner.starts = False
    job = world.submit()
    started = world.clock.now()
    world.clock.advance(10)
    again = world.again(kept=world.runner.commands)
    assert (again.status(job), again.job(job)["startedAt"]) == ("RUNNING", started)


def test_a_job_whose_start_was_written_but_not_commanded_is_started(world: World) -> None:
    world.runner.starts = False
    job = world.submit()
    again = world.again(kept={})
    assert again.status(job) == "RUNNING"
    assert again.runner.order == [f"{job}/1"]
    assert again.command(job).cwd == world.command(job).cwd


def test_the_time_out_of_an_adopted_job_counts_from_its_start(world: World) -> None:
    job = world.submit(timeout={"attemptDurationSeconds": 90})
    world.clock.advance(80)
    again = world.again(kept=world.runner.commands)
    again.clock.advance(9)
    assert not again.command(job).signals
    again.clock.advance(1)
    assert [str(number.name) for number in again.command(job).signals] == ["SIGTERM"]


def test_a_job_whose_time_was_out_while_nobody_was_there_is_ended_at_once(world: World) -> None:
    job = world.submit(timeout={"attemptDurationSeconds": 90})
    world.clock.time += 1_000_000
    assert [number.name for number in world.again(kept=world.runner.commands).command(job).signals] == ["SIGTERM"]


def test_a_job_that_was_being_terminated_is_killed_if_it_goes_on(world: World) -> None:
    job = world.submit()
    world.call("TerminateJob", {"jobId": job, "reason": "enough"})
    world.clock.advance()
    world.runner.commands[f"{job}/1"].signals.clear()
    again = world.again(kept=world.runner.commands)
    again.clock.advance(30)
    assert [number.name for number in again.command(job).signals] == ["SIGTERM", "SIGKILL"]
    again.exit(job, None, 9)
    assert (again.status(job), again.job(job)["statusReason"]) == ("FAILED", "enough")


def test_what_nobody_knows_of_is_ended(world: World) -> None:
    job = world.submit()
    stranger = world.runner.commands[f"{job}/1"]
    assert list(world.again(kept={"stranger/1": stranger, **world.runner.commands}).runner.commands) == [f"{job}/1"]


def test_adopted_jobs_hold_their_vcpus(world: World) -> None:
    jobs = [world.submit() for _ in range(3)]
    again = world.again(kept=world.runner.commands)
    assert again.status(*jobs) == ["RUNNING", "RUNNING", "RUNNABLE"]
    again.exit(jobs[0])
    assert again.status(*jobs) == ["SUCCEEDED", "RUNNING", "RUNNING"]


# The end of the host


def test_a_job_that_died_with_its_host_fails_as_on_a_host_that_was_terminated(world: World) -> None:
    job = world.submit()
    again = world.again()
    detail = again.job(job)
    assert detail["status"] == "FAILED"
    assert detail["statusReason"].startswith(HOST_TERMINATED)
    assert detail["attempts"][0]["statusReason"] == detail["statusReason"]
    assert "exitCode" not in detail["attempts"][0]["container"]


@pytest.mark.parametrize("starts", [True, False])
def test_a_rule_may_try_it_again(world: World, starts: bool) -> None:
    rules = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    world.runner.starts = starts
    job = world.submit(retryStrategy={"attempts": 2, "evaluateOnExit": rules})
    again = world.again()
    assert (again.status(job), again.runner.order) == ("RUNNING", [f"{job}/2"])
    again.exit(job, 1)
    assert again.status(job) == "FAILED"


def test_a_rule_on_exit_codes_says_nothing_of_a_job_without_one(world: World) -> None:
    rules = [{"onExitCode": "*", "action": "EXIT"}, {"onStatusReason": "Host EC2*", "action": "RETRY"}]
    job = world.submit(retryStrategy={"attempts": 2, "evaluateOnExit": rules})
    assert world.again().status(job) == "RUNNING"


def test_a_terminated_job_that_died_with_its_host_is_not_tried_again(world: World) -> None:
    job = world.submit(retryStrategy={"attempts": 3})
    world.call("TerminateJob", {"jobId": job, "reason": "enough"})
    world.clock.advance()
    again = world.again()
    assert (again.status(job), again.job(job)["statusReason"]) == ("FAILED", "enough")


# Telling


def test_what_was_written_and_perhaps_not_told_is_told_again(world: World) -> None:
    job = world.submit()
    again = world.again(kept=world.runner.commands)
    assert again.history(job) == ["RUNNING"]


def test_what_was_told_is_not_told_again(world: World) -> None:
    job = world.submit()
    world.clock.advance(1)
    again = world.again(kept=world.runner.commands)
    assert again.history(job) == []
    again.clock.advance(1)
    assert again.again(kept=world.runner.commands).history(job) == []


def test_what_could_not_be_told_is_told_as_soon_as_it_can_be(world: World, caplog: pytest.LogCaptureFixture) -> None:
    job = world.submit()
    world.is_deaf = True
    world.exit(job)
    world.clock.advance(50)
    assert caplog.text.count("cannot be announced. The engine tries again.") == 1
    world.is_deaf = False
    world.clock.advance(60)
    assert world.history(job)[-1] == "SUCCEEDED"
    assert world.again().history(job) == []


def test_what_could_not_be_told_is_told_at_the_next_start(world: World) -> None:
    job = world.submit()
    world.is_deaf = True
    world.exit(job)
    again = world.again()
    assert again.history(job) == ["SUCCEEDED"]
    again.clock.advance(1)
    assert again.again().history(job) == []


def test_events_show_the_job_as_it_was_at_each_change(world: World) -> None:
    job = world.submit()
    world.exit(job)
    assert world.history(job) == ["RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED"]


# Resources


def test_what_users_made_is_kept_and_what_the_template_makes_is_made_anew(world: World) -> None:
    world.call("CreateComputeEnvironment", environment("mine", 7))
    world.call("CreateJobQueue", queue("mine", 3, "mine", tags={"whose": "mine"}))
    world.call("CreateJobQueue", queue("gone", 3, "mine"))
    world.call("UpdateJobQueue", {"jobQueue": "gone", "state": "DISABLED"})
    world.call("DeleteJobQueue", {"jobQueue": "gone"})
    world.call("UpdateJobQueue", {"jobQueue": "default", "priority": 9})
    for name in ("shell", "mine"):
        retry = {"attempts": 2, "evaluateOnExit": [{"onExitCode": "1", "action": "EXIT"}]}
        world.call("RegisterJobDefinition", definition(name, retryStrategy=retry))
    world.call("RegisterJobDefinition", definition("mine"))
    world.call("DeregisterJobDefinition", {"jobDefinition": "mine:1"})
    world.batch.write()
    operations = ("DescribeComputeEnvironments", "DescribeJobQueues", "DescribeJobDefinitions")
    before = {operation: world.call(operation, {}) for operation in operations}
    again = world.again()
    after = {operation: again.call(operation, {}) for operation in operations}
    for described in (before, after):
        [template] = [it for it in described["DescribeJobQueues"]["jobQueues"] if it["jobQueueName"] == "default"]
        template["priority"] = 5
        for made in described["DescribeComputeEnvironments"]["computeEnvironments"]:
            made.pop("uuid")
    assert after == before
    job = again.submit(jobQueue="mine", jobDefinition="shell:2")
    assert again.job(job)["jobDefinition"] == f"{ARN}:job-definition/shell:2"


def test_the_jobs_of_a_queue_that_a_user_deleted_are_there(world: World) -> None:
    world.call("CreateJobQueue", queue("mine", 3, "usched"))
    job = world.submit(jobQueue="mine")
    world.exit(job)
    world.call("UpdateJobQueue", {"jobQueue": "mine", "state": "DISABLED"})
    world.call("DeleteJobQueue", {"jobQueue": "mine"})
    world.batch.write()
    assert world.again().job(job)["jobQueue"] == f"{ARN}:job-queue/mine"


# The file


def test_the_file_of_the_first_release_goes_on(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with closing(sqlite3.connect(tmp_path / "state" / "batch.sqlite")) as written:
        written.executescript((Path(__file__).parents[1] / "states" / "batch-1.sql").read_text())
    running, terminated = "0ed9031c-b4a9-402d-a7ba-985f36f54eab", "55185359-1875-4a40-87cf-2526b7a7660a"
    array, waits = "af132788-a8b4-4369-88bb-b0e8a9cbba77", "99565084-11a7-4462-bbd2-5f4115990704"
    ended = "1bb76ea0-9dd0-444f-8f5a-3b7002ff67c0"
    world = World(tmp_path, safety=Safety.PROCESS)
    assert world.status(terminated, array, f"{array}:0", f"{array}:1", waits) == ["FAILED"] * 5
    assert world.status(running, ended) == ["FAILED", "SUCCEEDED"]
    assert world.job(running)["statusReason"].startswith(HOST_TERMINATED)
    assert [attempt["statusReason"] for attempt in world.job(terminated)["attempts"]] == [
        "Essential container in task exited",
        "enough",
    ]
    assert world.job(waits)["statusReason"] == "Dependent Job failed"
    assert world.history(ended) == ["SUCCEEDED"]
    assert world.job(running)["tags"] == {"a": "b"}
    job = world.submit(jobQueue="mine", jobDefinition="mine:1")
    assert world.job(job)["retryStrategy"]["attempts"] == 2


def test_the_file_of_a_later_release_is_refused(world: World, tmp_path: Path) -> None:
    world.batch._life.close_file()
    with closing(sqlite3.connect(tmp_path / "state" / "batch.sqlite")) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(StateError, match="from a later release"):
        World(tmp_path, safety=Safety.PROCESS)


# Listing and forgetting


def test_pages_of_jobs_that_ended_go_through_memory_and_the_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "RECENT", 3)
    monkeypatch.setattr(jobs, "ARCHIVED_AT_ONCE", 2)
    made = [world.submit(f"job-{number}") for number in range(2)]
    for _ in range(9):
        made.append(world.submit(f"job-{len(made)}"))
        world.exit(made[-3])
    assert len(world.runner.commands) == 2

    def listed(world: World, **request: Any) -> list[str]:
        found, token = [], {}
        while True:
            page = world.call("ListJobs", {"jobQueue": "default", "maxResults": 2, **request, **token})
            found += [summary["jobId"] for summary in page["jobSummaryList"]]
            if "nextToken" not in page:
                return found
            token = {"nextToken": page["nextToken"]}

    for it in (world, world.again(kept=world.runner.commands)):
        assert listed(it, jobStatus="SUCCEEDED") == made[-3::-1]
        assert listed(it, filters=[{"name": "JOB_NAME", "values": ["job-*"]}]) == made[::-1]
        assert listed(it, filters=[{"name": "JOB_DEFINITION", "values": ["shell"]}]) == made[::-1]


def test_children_of_an_array_that_has_ended_are_listed(world: World) -> None:
    job = world.submit(arrayProperties={"size": 4})
    for index in range(4):
        world.exit(f"{job}:{index}", index % 2)
    again = world.again()
    page = again.call("ListJobs", {"arrayJobId": job, "jobStatus": "FAILED", "maxResults": 1})
    rest = again.call("ListJobs", {"arrayJobId": job, "jobStatus": "FAILED", "nextToken": page["nextToken"]})
    found = [it["arrayProperties"]["index"] for it in (*page["jobSummaryList"], *rest["jobSummaryList"])]
    assert (found, "nextToken" in rest) == ([1, 3], False)
    one_by_one = again.submit(arrayProperties={"size": 4}, dependsOn=[{"jobId": job, "type": "N_TO_N"}])
    assert again.status(*(f"{one_by_one}:{index}" for index in range(4))) == ["RUNNING", "FAILED"] * 2


def test_jobs_are_forgotten_after_seven_days_wherever_they_are(world: World) -> None:
    old = world.submit()
    world.exit(old)
    array = world.submit(arrayProperties={"size": 2})
    world.exit(f"{array}:0")
    world.exit(f"{array}:1")
    live = world.submit()
    again = world.again(kept=world.runner.commands)
    again.batch._life.open()
    again.clock.advance(7 * 24 * 3600 + 2 * 3600)
    assert again.call("DescribeJobs", {"jobs": [old, array, f"{array}:1"]})["jobs"] == []
    assert again.status(live) == "RUNNING"


def test_tags_of_a_job_are_kept(world: World) -> None:
    job = world.submit(tags={"a": "1"})
    world.exit(job)
    again = world.again()
    again.call("TagResource", {"resourceArn": f"{ARN}:job/{job}", "tags": {"b": "2"}})
    again.batch.write()
    assert again.again().job(job)["tags"] == {"a": "1", "b": "2"}


# A full disk


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(JobFile, "add", fails)
        patch.setattr(JobFile, "change", fails)
        yield


def handled(world: World, path: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """A request over HTTP, answered while the event loop goes on."""

    async def main() -> tuple[int, dict[str, Any]]:
        answering = asyncio.create_task(world.api.handle("POST", path, {}, json.dumps(request).encode()))
        await asyncio.sleep(0)
        world.clock.advance()
        status, _, body = await answering
        return status, json.loads(body)

    return asyncio.run(main())


def test_a_submission_that_cannot_be_written_is_refused_and_nothing_of_it_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"jobName": "x", "jobQueue": "default", "jobDefinition": "shell"}
    with full_disk(monkeypatch):
        status, answer = handled(world, "/v1/submitjob", request)
    assert (status, "make room" in answer["message"]) == (500, True)
    world.clock.advance(2)
    assert (all_of(world), world.runner.commands) == ([], {})
    status, answer = handled(world, "/v1/submitjob", request)
    assert (status, world.again().status(answer["jobId"])) == (200, "FAILED")  # it ran, and died with its host


def test_what_happens_while_nothing_can_be_written_is_written_and_told_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = world.submit(retryStrategy={"attempts": 2})
    with full_disk(monkeypatch):
        world.exit(job, 1)
        world.clock.advance(3)
        assert (world.history(job)[-1], list(world.runner.commands)) == ("RUNNING", [])
    world.clock.advance(2)
    assert world.history(job)[-3:] == ["RUNNABLE", "STARTING", "RUNNING"]
    assert list(world.runner.commands) == [f"{job}/2"]
