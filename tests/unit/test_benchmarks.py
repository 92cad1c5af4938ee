"""The benchmarks' arithmetic: what is computed from histories and times, and how it is shown. Nothing is timed."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import before, durable, floor, large, memory, reads, report
from benchmarks.display import JSON, PIPE, TERMINAL, Display, Taken
from benchmarks.measures import (
    PAYLOAD_LIMIT,
    JobTimes,
    Measured,
    Summary,
    lags,
    largest_payload,
    percentile,
    transitions,
    wall_with_wait,
)
from benchmarks.reference import handlers
from benchmarks.report import FLOOR, OURS, REFERENCE, Result
from benchmarks.start_latency import StartLatency
from benchmarks.workloads import Workload, all_workloads, diamond, fan
from universal_scheduler.domain.documents.parse import parse
from universal_scheduler.local.state import Safety

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def entered(kind: str, name: str, at: float, given: str = "{}") -> dict[str, Any]:
    details = {"name": name, "input": given}
    return {
        "type": f"{kind}StateEntered",
        "timestamp": BEGIN + timedelta(seconds=at),
        "stateEnteredEventDetails": details,
    }


def exited(kind: str, name: str, at: float, output: str = "{}") -> dict[str, Any]:
    details = {"name": name, "output": output}
    return {
        "type": f"{kind}StateExited",
        "timestamp": BEGIN + timedelta(seconds=at),
        "stateExitedEventDetails": details,
    }


def turns(*waits: tuple[float, float]) -> list[dict[str, Any]]:
    return [event for start, end in waits for event in (entered("Wait", "Wait", start), exited("Wait", "Wait", end))]


@pytest.mark.parametrize("workload", all_workloads(), ids=lambda workload: workload.name)
def test_a_workload_is_a_valid_schedule_with_upstream_jobs_first(workload: Workload) -> None:
    document = workload.document("s", "default", "shell") | {"trigger": {"manual": True}}
    names = [job.name for job in parse(document).jobs]
    assert names == list(workload.upstream)
    for at, name in enumerate(names):
        assert set(workload.upstream[name]) <= set(names[:at])


def test_the_workloads_have_the_agreed_sizes() -> None:
    assert {each.name: len(each.upstream) for each in all_workloads()} == {"W1": 5, "W2": 102, "W3": 50, "W4": 1000}
    assert len(fan().upstream["last"]) == 100


def test_lag_counts_from_the_last_upstream_job_to_stop() -> None:
    times = {"a": JobTimes(0, 1.0), "b": JobTimes(0, 2.0), "c": JobTimes(2.25, 3.0)}
    assert lags(times, {"a": (), "b": (), "c": ("a", "b")}) == (250.0,)


def test_lag_leaves_out_jobs_that_never_started_or_whose_upstream_is_unknown() -> None:
    times = {"a": JobTimes(0, 1.0), "b": JobTimes(0, 0), "c": JobTimes(2.0, 3.0)}
    assert lags(times, {"a": (), "b": ("a",), "c": ("a", "gone")}) == ()


@pytest.mark.parametrize(("percent", "expected"), [(50, 2), (95, 4), (100, 4), (1, 1)])
def test_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == expected
    assert percentile([], percent) is None


def test_transitions_are_the_start_and_every_state_entered() -> None:
    events = [{"type": "ExecutionStarted"}, entered("Task", "A", 0), exited("Task", "A", 1), entered("Succeed", "B", 1)]
    assert transitions(events) == 3


def test_the_largest_payload_is_counted_in_bytes() -> None:
    assert largest_payload([entered("Task", "A", 0, '"é"'), exited("Task", "A", 1, '"ee"')]) == 4
    assert largest_payload([]) == 0


def test_a_longer_wait_means_fewer_turns() -> None:
    events = turns((0.5, 1.5), (1.7, 2.7), (2.9, 3.9))
    assert wall_with_wait(4.1, events, 60) == pytest.approx(4.1 - 3 - 2 * 0.2 + 60)


def test_jobs_that_outlast_the_longer_wait_keep_their_turns() -> None:
    events = turns((0, 50), (50, 100))
    assert wall_with_wait(101, events, 60) == pytest.approx(101 - 100 + 120)


def test_what_is_submitted_later_waits_again() -> None:
    events = [*turns((0.5, 1.5)), entered("Task", "Submit Jobs", 1.6), *turns((1.8, 2.8))]
    assert wall_with_wait(3, events, 60) == pytest.approx(1 + 120)


def test_a_run_that_never_waited_stays_as_it_was() -> None:
    assert wall_with_wait(0.3, [entered("Task", "Submit Jobs", 0)], 60) == pytest.approx(0.3)


def test_the_floor_runs_every_job_after_its_upstream_jobs() -> None:
    measured = floor.run(diamond())
    assert measured.succeeded
    assert len(measured.lags) == 4
    assert min(measured.lags) >= 0


def test_a_summary_has_medians_and_names_the_first_break() -> None:
    runs = (Measured("SUCCEEDED", 1.0, batch={"SubmitJob": 4}), Measured("FAILED, so", 3.0), Measured("SUCCEEDED", 2.0))
    summary = Summary(runs)
    assert (summary.median("wall"), summary.median("payload"), summary.calls("SubmitJob")) == (2.0, None, 0)
    assert (summary.succeeded, summary.outcome) == (False, "FAILED, so")


def shown(result: Result) -> str:
    console = Console(width=120, file=StringIO())
    report.show(console, [result], StartLatency((0.1, 0.2), (0.3, 0.4)))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_table_compares_what_both_sides_finished() -> None:
    ours, reference = Measured("SUCCEEDED", 1.0, transitions=10), Measured("SUCCEEDED", 4.0, transitions=40)
    text = shown(Result(diamond(), {OURS: Summary((ours,)), REFERENCE: Summary((reference,)), FLOOR: Summary((ours,))}))
    assert text.count("0.25") == 2


def test_the_table_compares_with_the_revision_before() -> None:
    ours, was = Measured("SUCCEEDED", 1.0), Measured("SUCCEEDED", 8.0)
    text = shown(Result(diamond(), {OURS: Summary((ours,)), report.OURS_BEFORE: Summary((was,))}))
    assert "ours / before" in text
    assert "0.12" in text


def test_the_table_says_what_broke_and_compares_nothing_with_it() -> None:
    broken = Measured("FAILED, 101 of 102 jobs submitted, no history: too many", 0.2, transitions=4)
    text = shown(Result(fan(), {OURS: Summary((Measured("SUCCEEDED", 1.0),)), REFERENCE: Summary((broken,))}))
    assert "101 of 102 jobs submitted, no history: too many" in text
    assert "0.25" not in text


def test_a_payload_that_aws_refuses_is_shown_as_such() -> None:
    large = Summary((Measured("SUCCEEDED", 4.0, payload=PAYLOAD_LIMIT + 1),))
    text = shown(Result(diamond(), {OURS: Summary((Measured("SUCCEEDED", 1.0, payload=150),)), REFERENCE: large}))
    assert "breaks on AWS" in text
    assert "262,145 > 262,144 bytes" in text


def test_the_figures_can_be_written_as_json() -> None:
    result = Result(diamond(), {OURS: Summary((Measured("SUCCEEDED", 1.0, (5.0,), batch={"SubmitJob": 5}),))})
    written = json.loads(json.dumps(report.to_json([result], StartLatency((0.1,), (0.2,)))))
    assert written["workloads"]["W1"]["ours"]["lagMs"]["p95"] == 5.0
    assert written["workloads"]["W1"]["ours"]["batch"] == {"SubmitJob": 5}
    assert written["startLatency"]["recorded"]["median"] == 0.1


class Batch:
    """As much of a Batch client as the reference design's functions call."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)
        self.submitted: list[dict[str, Any]] = []

    def submit_job(self, **request: Any) -> dict[str, str]:
        self.submitted.append(request)
        return {"jobId": f"id-{request['jobName']}"}

    def describe_jobs(self, jobs: list[str]) -> dict[str, Any]:
        assert len(jobs) == 1, "the reference design asks about one job at a time"
        return {"jobs": [{"status": self.statuses.pop(0)}]}


def test_the_reference_submits_in_the_lists_order_with_the_ids_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch()
    monkeypatch.setattr(handlers, "_batch", lambda: batch)
    document = handlers.submit_jobs(diamond().document("s", "default", "shell"), None)
    assert [request["jobName"] for request in batch.submitted] == ["job1", "job2", "job3", "job4", "job5"]
    assert batch.submitted[3]["dependsOn"] == [{"jobId": "id-job1"}, {"jobId": "id-job2"}]
    assert document["jobList"][4]["jobId"] == {"jobId": "id-job5"}


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (("SUCCEEDED",) * 5, "SUCCEEDED"),
        (("SUCCEEDED", "RUNNING", "PENDING", "PENDING", "PENDING"), "RUNNING"),
        (("SUCCEEDED", "FAILED", "RUNNING", "PENDING", "PENDING"), "FAILED"),
    ],
)
def test_the_reference_decides_from_every_jobs_status(
    monkeypatch: pytest.MonkeyPatch, statuses: tuple[str, ...], expected: str
) -> None:
    batch = Batch(*statuses)
    monkeypatch.setattr(handlers, "_batch", lambda: batch)
    document = handlers.submit_jobs(diamond().document("s", "default", "shell"), None)
    assert handlers.get_job_status(document, None)["scheduleStatus"] == expected


def test_targets_say_what_was_missed_and_by_how_much() -> None:
    fast, slow, least = (Summary((Measured("SUCCEEDED", wall),)) for wall in (0.06, 0.04, 0.01))
    console = Console(file=StringIO(), width=120)
    console.print(report.targets_table([Result(diamond(), {OURS: fast, report.TRY: slow, FLOOR: least})]))
    assert isinstance(console.file, StringIO)
    [line] = [line for line in console.file.getvalue().splitlines() if "W1" in line]
    assert "0.06 / 0.08 " in line
    assert "0.04 / 0.02, missed by 100%" in line
    assert line.split()[-1] == "0.01"


def test_what_is_read_is_shown_by_call_and_size() -> None:
    figures = reads.Figures(
        {
            (reads.ENDED, reads.WHOLE, 10): reads.Reads(5, 10, 1.0),
            (reads.ENDED, reads.WHOLE, 2000): reads.Reads(34, 2000, 3500.25),
        }
    )
    screen = StringIO()
    Console(file=screen, width=110).print(reads.reads_table(figures))
    [line] = [line for line in screen.getvalue().splitlines() if reads.ENDED in line]
    assert line.split()[-6:] == ["5", "10", "1.0", "34", "2,000", "3,500.2"]
    assert figures.to_json()[1] == {
        "call": reads.ENDED,
        "by": reads.WHOLE,
        "of": 2000,
        "requests": 34,
        "rows": 2000,
        "ms": 3500.25,
    }


def test_what_a_display_costs_is_the_median_of_the_rounds_ratios() -> None:
    def took(*walls: float) -> tuple[Taken, ...]:
        return tuple(Taken(wall, wall / 2) for wall in walls)

    display = Display(diamond(), {JSON: took(1, 2, 4), PIPE: took(1, 3, 4), TERMINAL: took(2, 4, 40)})
    assert display.wall(PIPE) == 3
    assert display.ratios(PIPE) == (1.0, 1.0)
    assert display.ratios(TERMINAL) == (2.0, 2.0)
    screen = StringIO()
    report.show(Console(file=screen, width=100), [], None, display)
    [line] = [line for line in screen.getvalue().splitlines() if TERMINAL in line]
    assert line.split()[-3:] == ["4.00", "2.00", "2.00"]
    assert report.to_json([], None, display)["display"][JSON][0] == {"wall": 1, "processor": 0.5}


def test_large_runs_are_shown_by_shape_and_with_what_the_engine_keeps() -> None:
    def ran(version: str, number: int, shape: str, wall: float, megabytes: int) -> memory.Ran:
        return memory.Ran(version, number, shape, 10, wall, 1.5, 12, megabytes * 10**6, "SUCCEEDED: 10 SUCCEEDED")

    now = [ran("now", 1, memory.FLAT, 2.0, 100), ran("now", 2, memory.LAYERED, 3.0, 120)]
    was = [ran("before", 1, memory.FLAT, 4.0, 200), ran("before", 2, memory.LAYERED, 12.0, 400)]
    screen = StringIO()
    memory.show(Console(file=screen, width=120), [*now, *was])
    lines = screen.getvalue().splitlines()
    [ratio] = [line for line in lines if memory.RATIO in line]
    assert ratio.split()[-3:] == ["1.50", "3.00", "1.3"]
    [kept] = [line for line in lines if memory.MEMORY in line]
    assert kept.split()[-3:] == ["120", "400", "300"]
    assert json.loads(json.dumps(memory.to_json(now)))[1]["memory"] == 120 * 10**6


def test_a_large_run_that_did_not_succeed_is_named() -> None:
    broken = memory.Ran("now", 1, memory.FLAT, 10, 2.0, 1.5, 12, 10**8, "SUCCEEDED: 9 SUCCEEDED, 1 FAILED")
    screen = StringIO()
    memory.show(Console(file=screen, width=120), [broken])
    assert "run 1, now: SUCCEEDED: 9 SUCCEEDED, 1 FAILED" in screen.getvalue()


def test_each_job_of_a_layer_waits_for_three_of_the_layer_before() -> None:
    jobs = {job["jobName"]: job for job in large.layered(count=20, width=5)}
    assert [job["jobDependencies"] for job in list(jobs.values())[:5]] == [[]] * 5
    assert jobs["job6"]["jobDependencies"] == ["job1", "job2", "job3"]
    assert jobs["job10"]["jobDependencies"] == ["job5", "job1", "job2"]
    assert jobs["job20"]["jobDependencies"] == ["job15", "job11", "job12"]
    assert {job.get("runWhen") for job in list(jobs.values())[5:]} == {"all_done"}
    parse({"scheduleId": "s", "jobList": list(jobs.values()), "trigger": {"manual": True}})


def test_an_earlier_revision_is_taken_out_whole_without_its_benchmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(before, "ROOT", tmp_path)
    monkeypatch.setattr(before, "TREES", tmp_path / "build")
    git("init", "-q")
    for name in ("template.yaml", "benchmarks/x.py", "universal_scheduler/y.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("old")
    git("add", ".")
    git("commit", "-qm", "first")
    (tmp_path / "template.yaml").write_text("new")
    place = before.tree("HEAD")
    assert (place / "template.yaml").read_text() == "old"
    assert (place / "universal_scheduler" / "y.py").exists()
    assert not (place / "benchmarks").exists()
    with pytest.raises(before.RevisionError):
        before.tree("no-such-revision")


def printed(shown: Any) -> str:
    screen = StringIO()
    Console(file=screen, width=120).print(shown)
    return screen.getvalue()


def test_a_durable_engine_is_shown_as_a_multiple_of_an_ephemeral_one() -> None:
    sides = [
        durable.Side("W1", "ephemeral", (1.0, 3.0, 2.0), (0.5, 0.5, 0.5)),
        durable.Side("W1", "process", (2.5, 2.5, 9.0), (0.6, 0.6, 0.6)),
    ]
    wall, processor = durable.sides_tables(sides)
    assert "W1 2.000 2.500 1.25 ≤ 1.3" in " ".join(printed(wall).split())
    assert "W1 0.500 0.600 1.20" in " ".join(printed(processor).split())


def test_each_engine_comes_first_as_often_as_the_others() -> None:
    here: Any = {Safety.EPHEMERAL: "a", Safety.PROCESS: "b"}
    assert [stage for repeat in range(4) for _, stage in durable._in_turn(here, repeat)] == list("abbaabba")
