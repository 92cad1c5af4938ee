"""Runs over memory whose jobs give each other values: parameters, outputs, lists, branches."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.test_drive import World, ref
from universal_scheduler.adapters.memory.objects import MemoryObjects
from universal_scheduler.domain.errors import InvalidSchedule, SchedulerError, StoreUnavailable
from universal_scheduler.domain.runs.model import Execution, JobRun, JobStatus, Run, RunStatus
from universal_scheduler.usecases.drive import Next, submit_jobs
from universal_scheduler.usecases.start import start_run
from universal_scheduler.usecases.views import run_view


def job(name: str, *after: Any, command: tuple[str, ...] = ("work",), **more: Any) -> dict[str, Any]:
    return {
        "jobName": name,
        "jobDefinition": "shell",
        "jobQueue": "default",
        "jobDependencies": list(after),
        "containerOverrides": {"command": list(command)},
        **more,
    }


def row(*jobs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"scheduleId": "nightly", "jobList": list(jobs), **more}


def run_of(world: World, run: Run, name: str) -> JobRun:
    [found] = [job for job in world.store.list_jobs(run.key.run_id) if job.name == name]
    return found


def sent(world: World, name: str) -> Any:
    """The last job of this name that the platform was given."""
    return [entry for entry in world.platform.jobs.values() if entry.job.name == name][-1]


def succeed(world: World, run: Run, name: str, output: Any = None) -> Next:
    """The job ends well, and has put this out."""
    if output is not None:
        content = output if isinstance(output, bytes) else json.dumps(output).encode()
        world.objects.objects[sent(world, name).environment["USCHED_OUTPUT"]] = content
    world.end(run, name)
    return world.poll(run)


@pytest.fixture
def world() -> World:
    return World()


def test_a_run_has_the_parameters_that_it_was_given(world: World) -> None:
    world.store.put_schedule(row(job("a", command=("load", "{{run.parameters.day}}")), parameters={"day": "today"}))
    for given, expected in (({}, "today"), ({"parameters": {"day": "friday"}}, "friday")):
        run = world.start({"scheduleId": "nightly", **given})
        world.submit(run)
        assert sent(world, "a").job.container_overrides["command"] == ["load", expected]
        view = run_view(run, world.store.list_jobs(run.key.run_id), world.now)
        assert view["parameters"] == {"day": expected}
        known = world.store.get_run(run.key)
        assert known is not None
        assert known.parameters == {"day": expected}


@pytest.mark.parametrize("given", [{"dya": "x"}, {"day": []}, "day"])
def test_a_run_that_cannot_be_given_that_does_not_start(world: World, given: object) -> None:
    world.store.put_schedule(row(job("a"), parameters={"day": "today"}))
    with pytest.raises(InvalidSchedule, match=r"\$\.parameters"):
        world.start({"scheduleId": "nightly", "parameters": given})
    assert not world.store.history


def test_a_document_sent_along_has_its_own_parameters(world: World) -> None:
    run = world.start(row(job("a", parameters={"x": "{{run.parameters.day}}"}), parameters={"day": "friday"}))
    world.submit(run)
    assert sent(world, "a").job.parameters == {"x": "friday"}


def test_a_single_jobs_parameters_are_batchs(world: World) -> None:
    run = world.start({"jobName": "a", "jobDefinition": "d", "jobQueue": "q", "parameters": {"x": "1"}})
    world.submit(run)
    assert sent(world, "a").job.parameters == {"x": "1"}
    assert not run.parameters


def test_what_a_job_puts_out_reaches_the_job_that_refers_to_it(world: World) -> None:
    run = world.start(row(job("list"), job("load", "list", command=("load", "{{jobs.list.output.n}}"))))
    assert world.submit(run) is Next.WAIT
    assert [entry.job.name for entry in world.platform.jobs.values()] == ["list"], "it is not handed down"
    assert succeed(world, run, "list", {"n": 5}) is Next.SUBMIT
    assert world.submit(run) is Next.WAIT
    assert sent(world, "load").job.container_overrides["command"] == ["load", "5"]
    view = run_view(run, world.store.list_jobs(run.key.run_id), world.now)
    assert view["jobs"][0]["output"] == {"n": 5}


def test_outputs_are_read_once_and_only_where_somebody_refers_to_them(world: World) -> None:
    reads = []

    class Counted(MemoryObjects):
        def read(self, address: str, limit_bytes: int) -> bytes:
            reads.append(address.split("/")[-2])
            return super().read(address, limit_bytes)

    world.objects = Counted()
    wanted = "{{jobs.a.output.n}}"
    run = world.start(row(job("a"), job("b"), job("c", "a", command=(wanted,)), job("d", "c", command=(wanted,))))
    world.submit(run)
    succeed(world, run, "a", {"n": 1})
    succeed(world, run, "b", {"n": 1})
    world.submit(run)
    succeed(world, run, "c")
    world.submit(run)
    assert sent(world, "d").job.container_overrides["command"] == ["1"]
    assert reads == ["a"]


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (None, "job 'list' has no output: s3://memory/outputs/"),
        (b"not json", "job 'list' has no output: what it put out cannot be read: line 1, column 1"),
        (b"x" * 5000, "has 5,000 bytes, and the limit is 4,096"),
        ({"m": 1}, "the output of job 'list' has no 'n', only m"),
    ],
)
def test_an_output_that_cannot_be_had_fails_the_job_that_refers_to_it(world: World, output: Any, why: str) -> None:
    run = world.start(row(job("list"), job("load", "list", command=("load", "{{jobs.list.output.n}}"))))
    world.submit(run)
    succeed(world, run, "list", output)
    assert world.submit(run) is Next.RECORD
    load = run_of(world, run, "load")
    assert load.status is JobStatus.FAILED
    assert why in load.reason
    assert world.record(run) is RunStatus.FAILED


def test_a_job_waits_for_the_output_of_a_job_that_its_rule_does_not_wait_for(world: World) -> None:
    refers = job("b", "a", command=("{{jobs.a.output.n}}",), runWhen="always")
    run = world.start(row(job("a"), refers))
    assert world.submit(run) is Next.WAIT
    view = run_view(run, world.store.list_jobs(run.key.run_id), world.now)
    assert "waits for the output of a, SUBMITTED since" in view["jobs"][1]["reason"]
    succeed(world, run, "a", {"n": 5})
    world.submit(run)
    assert sent(world, "b").job.container_overrides["command"] == ["5"]


def test_a_branch_is_taken_by_what_a_job_puts_out(world: World) -> None:
    def branch(kind: str) -> dict[str, Any]:
        return {"job": "list", "output": {"kind": kind}}

    run = world.start(row(job("list"), job("full", branch("full")), job("part", branch("part"))))
    world.submit(run)
    assert succeed(world, run, "list", {"kind": "part"}) is Next.SUBMIT
    world.submit(run)
    assert world.statuses(run) == {"list": "SUCCEEDED", "full": "SKIPPED", "part": "SUBMITTED"}


def test_a_branch_on_an_output_that_cannot_be_had_is_a_failure_that_says_why(world: World) -> None:
    run = world.start(row(job("list"), job("full", {"job": "list", "output": {"kind": "full"}})))
    world.submit(run)
    succeed(world, run, "list")
    world.submit(run)
    full = run_of(world, run, "full")
    assert full.status is JobStatus.UPSTREAM_FAILED
    assert "list (s3://memory/outputs/" in full.reason


def test_a_store_of_outputs_that_does_not_answer_is_asked_again(world: World) -> None:
    class Throttling(MemoryObjects):
        answers = 0

        def read(self, address: str, limit_bytes: int) -> bytes:
            self.answers += 1
            if self.answers % 2:
                raise StoreUnavailable("slow down")
            return super().read(address, limit_bytes)

    world.objects = Throttling()
    run = world.start(row(job("list"), job("load", "list", forEach={"s3": "{{jobs.list.output.values}}"})))
    world.submit(run)
    world.objects.objects["s3://b/list"] = b"x\ny\n"
    succeed(world, run, "list", {"values": "s3://b/list"})
    assert world.submit(run) is Next.PAUSE, "the output"
    assert world.submit(run) is Next.PAUSE, "the list"
    assert world.statuses(run)["load"] == "WAITING", "it was given back"
    assert world.submit(run) is Next.WAIT
    assert sent(world, "load").job.array_size == 2


def test_each_value_has_a_child(world: World) -> None:
    run = world.start(row(job("load", forEach=["north", 7, 2.5])))
    world.submit(run)
    entry = sent(world, "load")
    assert entry.job.array_size == 3
    assert entry.environment["USCHED_VALUES"] == "north\n7\n2.5"
    assert entry.job.container_overrides["command"][-1] == "work"


def test_an_array_is_sent_as_it_is_and_its_children_are_counted(world: World) -> None:
    run = world.start(row(job("load", arrayProperties={"size": 5})))
    world.submit(run)
    load = run_of(world, run, "load")
    assert sent(world, "load").job.array_size == 5
    world.platform.end_array(load.job_id, {1: "boom"})
    world.poll(run)
    view = run_view(run, world.store.list_jobs(run.key.run_id), world.now)
    assert view["jobs"][0]["children"] == {"SUCCEEDED": 4, "FAILED": 1}


def test_a_list_in_s3_is_read_when_the_job_before_has_written_it(world: World) -> None:
    run = world.start(row(job("list"), job("load", "list", forEach={"s3": "s3://b/list"})))
    world.submit(run)
    assert [entry.job.name for entry in world.platform.jobs.values()] == ["list"], "it is not handed down"
    world.objects.objects["s3://b/list"] = b'["a", "b"]'
    succeed(world, run, "list")
    world.submit(run)
    assert (sent(world, "load").job.array_size, sent(world, "load").environment["USCHED_VALUES"]) == (2, "a\nb")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "s3://b/list cannot be read"),
        (b"[{}]", "s3://b/list: a list for forEach has texts and numbers only"),
        (b"", "forEach has 0 values, and an array has 1 to 10,000"),
    ],
)
def test_a_list_that_cannot_be_had_fails_the_job(world: World, content: bytes | None, why: str) -> None:
    if content is not None:
        world.objects.objects["s3://b/list"] = content
    run = world.start(row(job("load", forEach={"s3": "s3://b/list"})))
    world.submit(run)
    assert why in run_of(world, run, "load").reason
    assert world.poll(run) is Next.RECORD


def test_a_job_is_told_where_to_put_what_others_refer_to(world: World) -> None:
    plain = {"jobName": "c", "jobDefinition": "d", "jobQueue": "q"}
    run = world.start(row(job("a"), {**job("b"), "containerOverrides": {}}, plain))
    world.submit(run)
    place = f"s3://memory/outputs/nightly-{run.key.start.replace(':', '-')}/a/1.json"
    assert sent(world, "a").environment["USCHED_OUTPUT"] == place
    assert "USCHED_OUTPUT" in sent(world, "b").environment
    assert sent(world, "c").environment == {}


def test_an_attempt_of_a_run_that_died_after_reading_goes_on(world: World) -> None:
    """What was read is kept: a second look needs the object no more."""
    run = world.start(row(job("list"), job("load", "list", command=("{{jobs.list.output.n}}",)), maxConcurrentJobs=1))
    world.submit(run)
    succeed(world, run, "list", {"n": 5})
    submit_jobs(world.store, world.platform, world.objects, ref(run), lambda: world.now, lambda: 5.0)
    world.objects.objects.clear()
    assert world.statuses(run)["load"] == "WAITING"
    world.submit(run)
    assert sent(world, "load").job.container_overrides["command"] == ["5"]


def restarted(world: World, run: Run, **more: Any) -> Run:
    message = {"scheduleId": "nightly", "startDateTime": run.key.start, "scheduleStatus": "RESTART", **more}
    world.executions += 1
    started = "2026-11-21T07:00:00.000Z"
    return start_run(world.store, message, world.execution(), started, platform=world.platform)


def failed_array(world: World, failed: dict[int, str], **more: Any) -> Run:
    """A run whose array of five failed in these children."""
    run = world.start(row(job("load", forEach=["a", "b", "c", "d", "e"]), **more))
    world.submit(run)
    world.platform.end_array(run_of(world, run, "load").job_id, failed)
    world.poll(run)
    assert world.record(run) is RunStatus.FAILED
    return run


def test_a_restart_submits_the_children_that_failed_and_no_others(world: World) -> None:
    run = restarted(world, failed_array(world, {1: "boom", 3: "boom"}))
    world.submit(run)
    first = sent(world, "load")
    assert first.job.array_size == 2
    assert {name: first.environment[name] for name in ("USCHED_CHILDREN", "USCHED_VALUES")} == {
        "USCHED_CHILDREN": "1 3",
        "USCHED_VALUES": "b\nd",
    }
    world.platform.end_array(run_of(world, run, "load").job_id, {1: "boom"})
    world.poll(run)
    world.record(run)
    run = restarted(world, run)
    world.submit(run)
    assert (sent(world, "load").job.array_size, sent(world, "load").environment["USCHED_CHILDREN"]) == (0, "3")
    world.end(run, "load")
    world.poll(run)
    assert world.record(run) is RunStatus.SUCCEEDED


def test_children_that_are_skipped_do_not_run_again(world: World) -> None:
    run = restarted(world, failed_array(world, {1: "boom", 3: "boom"}), skip=["load:1"])
    world.submit(run)
    assert sent(world, "load").environment["USCHED_CHILDREN"] == "3"


def test_a_job_all_of_whose_failed_children_are_skipped_counts_as_skipped(world: World) -> None:
    run = restarted(world, failed_array(world, {1: "boom", 3: "boom"}), skip=["load:1,3"])
    assert world.statuses(run) == {"load": "SKIPPED"}
    assert run_of(world, run, "load").reason.startswith("its failed children were skipped by ")
    assert world.submit(run) is Next.RECORD
    assert world.record(run) is RunStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("skip", "why"),
    [
        (["load:7"], "has no child 7 that could be skipped"),
        (["load:x"], r"\$\.skip\[0\]: found 'x' is no index"),
        (["laod:1"], "no job 'laod'"),
    ],
)
def test_what_cannot_be_skipped_is_refused(world: World, skip: list[str], why: str) -> None:
    run = failed_array(world, {1: "boom"})
    with pytest.raises(SchedulerError, match=why):
        restarted(world, run, skip=skip)
    assert world.statuses(run) == {"load": "FAILED"}


def test_a_job_that_is_named_runs_again_whole(world: World) -> None:
    run = restarted(world, failed_array(world, {1: "boom"}), **{"from": ["load"]})
    world.submit(run)
    assert sent(world, "load").job.array_size == 5


def test_all_children_run_again_where_batch_knows_nothing_any_more(world: World) -> None:
    run = failed_array(world, {1: "boom"})
    world.platform.jobs.clear()
    run = restarted(world, run)
    world.submit(run)
    assert sent(world, "load").job.array_size == 5


def test_an_array_without_a_command_runs_again_whole_and_says_so(world: World) -> None:
    plain = {"jobName": "load", "jobDefinition": "d", "jobQueue": "q", "arrayProperties": {"size": 3}}
    run = world.start(row(plain))
    world.submit(run)
    world.platform.end_array(run_of(world, run, "load").job_id, {1: "boom"})
    world.poll(run)
    world.record(run)
    run = restarted(world, run)
    assert "runs again whole" in run_of(world, run, "load").reason
    world.submit(run)
    assert sent(world, "load").job.array_size == 3


def test_an_array_that_has_become_another_runs_whole(world: World) -> None:
    run = failed_array(world, {1: "boom"})
    world.store.put_schedule(row(job("load", forEach=["x", "y", "z"])))
    run = restarted(world, run, definition="newest")
    world.submit(run)
    assert sent(world, "load").environment["USCHED_VALUES"] == "x\ny\nz"


def test_a_restart_that_is_tried_again_leaves_the_same_children(world: World) -> None:
    run = failed_array(world, {1: "boom"})
    message = {"scheduleId": "nightly", "startDateTime": run.key.start, "scheduleStatus": "RESTART"}
    execution = Execution("arn:again", "again")
    for _ in range(2):
        start_run(world.store, message, execution, "2026-11-21T07:00:00.000Z", platform=world.platform)
        world.store.history[run.key]["preparing"] = True  # it was cut off before it was done
    assert run_of(world, run, "load").children == "1"


def test_parameters_of_a_restart_are_the_runs_own_and_what_it_is_given(world: World) -> None:
    work = job("load", command=("{{run.parameters.day}} {{run.parameters.limit}}",))
    world.store.put_schedule(row(work, parameters={"day": "today", "limit": 5}))
    run = world.start({"scheduleId": "nightly", "parameters": {"day": "friday"}})
    world.submit(run)
    world.end(run, "load", JobStatus.FAILED)
    world.poll(run)
    world.record(run)
    run = restarted(world, run, parameters={"limit": 7})
    world.submit(run)
    assert sent(world, "load").job.container_overrides["command"] == ["friday 7"]
    assert sent(world, "load").environment["USCHED_OUTPUT"].endswith("/load/2.json")


# What Batch would refuse


def refused(world: World, *jobs: dict[str, Any], **more: Any) -> JobRun:
    """The job `a` of a run that submits what it can: Batch was not called for it."""
    run = world.start(row(*jobs, **more))
    world.submit(run)
    found = run_of(world, run, "a")
    assert found.status is JobStatus.FAILED
    assert all(entry.job.name != "a" for entry in world.platform.jobs.values())
    return found


def test_a_word_that_comes_out_empty_fails_the_job_with_the_reason(world: World) -> None:
    a = job("a", command=("echo", "{{run.parameters.suffix}}"))
    reason = refused(world, a, job("b"), parameters={"suffix": ""}).reason
    assert reason.startswith("AWS Batch would refuse the job. containerOverrides.command[1]: found")
    assert "'{{run.parameters.suffix}}', which is empty" in reason
    assert [entry.job.name for entry in world.platform.jobs.values()] == ["b"], "the others run"


def test_a_batch_parameter_that_comes_out_empty_fails_the_job_with_the_reason(world: World) -> None:
    a = job("a", command=("echo", "Ref::x"), parameters={"x": "{{run.parameters.suffix}}"})
    assert "'Ref::x', which is empty" in refused(world, a, parameters={"suffix": ""}).reason


def test_a_child_that_is_given_an_empty_word_fails_with_its_array(world: World) -> None:
    a = job("a", command=("echo", "{{run.parameters.suffix}}"), forEach=["x", "y"])
    assert "containerOverrides.command[1]: found '{{run.p" in refused(world, a, parameters={"suffix": ""}).reason


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"command": ("echo", "{{run.parameters.long}}")}, "containerOverrides: found 8,"),
        ({"parameters": {f"x{n}": "{{run.parameters.long}}" for n in range(4)}}, "found a job of 3"),
    ],
)
def test_values_that_make_a_job_too_large_fail_it_with_the_reason(
    world: World, more: dict[str, Any], reason: str
) -> None:
    assert reason in refused(world, job("a", **more), parameters={"long": "x" * 8000}).reason
