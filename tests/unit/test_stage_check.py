"""What a stage says of the queues, job definitions and upstream schedules that a document names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.usched import Stage, row, told, usched, written
from universal_scheduler.adapters.memory.store import MemoryStore
from universal_scheduler.domain.documents.stage import Kind, foreign_names, misspelt
from universal_scheduler.domain.errors import PlatformUnavailable
from universal_scheduler.usecases.stage_check import MAX_NAMES, check_names, check_over, check_upstream
from universal_scheduler.usecases.triggers import find_cycle

SHORT = {Kind.QUEUE: ("high", "default", "low"), Kind.DEFINITION: ("shell",)}
ARN = "arn:aws:batch:us-east-1:123456789012:job-queue/hihg"


def job(name: str = "a", queue: str = "high", definition: str = "shell", **more: Any) -> dict[str, Any]:
    return {"jobName": name, "jobQueue": queue, "jobDefinition": definition, **more}


class Batch:
    def __init__(self, *names: str, fails: bool = False) -> None:
        self.names, self.fails = set(names), fails
        self.asked: list[str] = []

    def missing(self, kind: Kind, names: Sequence[str]) -> set[str]:
        if self.fails:
            raise PlatformUnavailable("not allowed")
        self.asked += [f"{kind} {name}" for name in names]
        return set(names) - self.names


def checked(*jobs: dict[str, Any], batch: Batch | None) -> tuple[list[str], list[str]]:
    errors, warnings = check_names({"scheduleId": "s", "jobList": list(jobs)}, SHORT, batch)
    return [f"{each.path} {each.found}" for each in errors], [f"{each.path} {each.found}" for each in warnings]


def test_short_names_are_known_and_nobody_is_asked() -> None:
    batch = Batch()
    assert checked(job(), job("b", "low", fallbackQueue="default"), batch=batch) == ([], [])
    assert not batch.asked


def test_names_that_batch_has_are_fine_and_each_is_asked_for_once() -> None:
    batch = Batch("mine", ARN, "load:3")
    jobs = [job("a", "mine", "load:3"), job("b", "mine", "load:3", fallbackQueue=ARN)]
    assert checked(*jobs, batch=batch) == ([], [])
    assert batch.asked == ["queue mine", f"queue {ARN}", "job definition load:3"]


def test_a_misspelt_short_name_is_an_error_where_batch_does_not_have_it() -> None:
    errors, warnings = checked(job("a", "hihg", "shel"), job("b", fallbackQueue="lwo"), batch=Batch())
    assert errors == [
        "$.jobList[0].jobQueue the queue 'hihg' (did you mean 'high'?), which Batch does not have",
        "$.jobList[0].jobDefinition the job definition 'shel' (did you mean 'shell'?), which Batch does not have",
        "$.jobList[1].fallbackQueue the queue 'lwo' (did you mean 'low'?), which Batch does not have",
    ]
    assert not warnings


@pytest.mark.parametrize("name", ["nightly-gpu", ARN])
def test_a_name_that_may_be_made_later_is_a_warning(name: str) -> None:
    errors, [warning] = checked(job(queue=name), batch=Batch())
    assert not errors
    assert warning == f"$.jobList[0].jobQueue the queue '{name}', which Batch does not have"


@pytest.mark.parametrize("batch", [None, Batch(fails=True)], ids=["nobody is asked", "may not be asked"])
def test_what_nobody_can_look_up_is_a_warning(batch: Batch | None) -> None:
    errors, warnings = checked(job("a", "hihg"), job("b", "mine"), job("c", ARN), batch=batch)
    assert not errors
    assert warnings == [
        "$.jobList[0].jobQueue the queue 'hihg' (did you mean 'high'?), which is no short name of this stage",
        "$.jobList[1].jobQueue the queue 'mine', which is no short name of this stage",
    ]


def test_a_document_with_thousands_of_names_is_told_of_the_first() -> None:
    _, warnings = checked(*(job(f"j{index}", f"queue-{index}") for index in range(3000)), batch=Batch())
    assert len(warnings) == MAX_NAMES


def test_without_a_stage_only_what_looks_misspelt_is_told() -> None:
    uses = foreign_names({"jobList": [job("a", "hihg"), job("b", "mine"), job("c", ARN)]}, SHORT)
    assert [remark.found for remark in misspelt(uses, SHORT)] == ["the queue 'hihg' (did you mean 'high'?)"]


def test_schedules_that_there_are_not_are_told() -> None:
    store = MemoryStore()
    store.put_schedule(row("stored"))
    waiting = row("w", trigger={"after": ["stored", "beside", "besied"]})
    [remark] = check_upstream(store, waiting, ["beside"])
    assert remark.path == "$.trigger.after[2]"
    assert remark.found == "'besied' (did you mean 'beside'?), and there is no such schedule"


# The commands


def with_queue(schedule_id: str, queue: str, **more: Any) -> dict[str, Any]:
    return row(schedule_id, jobList=[job(queue=queue)], **more)


def test_apply_stores_nothing_of_a_file_with_a_misspelt_queue(stage: Stage, tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.yaml", with_queue("bad", "hihg"), row("beside"))
    good = written(tmp_path / "good.yaml", row("good"))
    answer = told("apply", bad, good)
    assert set(stage.store.schedules) == {"good"}
    [error] = answer["errors"]
    assert (error["file"], error["document"], error["path"]) == (bad, "bad", "$.jobList[0].jobQueue")
    assert error["found"] == "the queue 'hihg' (did you mean 'high'?), which Batch does not have"
    assert error["expected"].startswith("a short name (default, high, low)")
    assert usched("apply", bad).exit_code == 1


def test_apply_warns_of_what_may_come_to_be(stage: Stage, tmp_path: Path) -> None:
    file = written(tmp_path / "s.yaml", with_queue("s", "mine", trigger={"after": ["nosuch", "t"]}), row("t"))
    answer = told("apply", file)
    assert set(stage.store.schedules) == {"s", "t"}
    assert answer["errors"] == []
    assert [(each["document"], each["path"]) for each in answer["warnings"]] == [
        ("s", "$.jobList[0].jobQueue"),
        ("s", "$.trigger.after[0]"),
    ]
    result = usched("apply", file)
    assert result.exit_code == 0
    assert " ".join(result.stdout.split()).count("Warning: ") == 2
    assert "'nosuch', and there is no such schedule" in " ".join(result.stdout.split())
    assert told("apply", written(tmp_path / "t.yaml", row("t")))["warnings"] == []


@pytest.mark.parametrize("command", ["simulate", "try"])
def test_a_run_without_a_stage_warns_of_what_looks_misspelt(tmp_path: Path, command: str) -> None:
    file = written(tmp_path / "s.yaml", row(jobList=[job("a", "hihg", "elsewhere")]))
    [warning] = told(command, file)["warnings"]
    assert (warning["path"], warning["found"]) == ("$.jobList[0].jobQueue", "the queue 'hihg' (did you mean 'high'?)")
    assert "did you mean 'high'?" in " ".join(usched(command, file).stdout.split())
    assert told(command, written(tmp_path / "t.yaml", row()))["warnings"] == []


def test_an_output_that_nobody_reads_is_told(tmp_path: Path) -> None:
    branch = {"job": "quality", "output": {"verdict": "good"}}
    file = written(
        tmp_path / "s.yaml", row(jobList=[job("quality", containerOverrides={}), job("b", jobDependencies=[branch])])
    )
    assert told("simulate", file, "--output", "quality.verdict=good")["warnings"] == []
    [warning] = told("simulate", file, "--output", "quality.verdct=good")["warnings"]
    assert warning["path"] == "$.jobList[0]"
    assert warning["found"] == "the output 'verdct' of 'quality' (did you mean 'verdict'?), which no job refers to"


@pytest.mark.parametrize("option", ["--fail", "--duration", "--output"])
def test_a_job_that_there_is_not_is_told_by_its_option(tmp_path: Path, option: str) -> None:
    file = written(tmp_path / "s.yaml", row(jobList=[job("quality")]))
    value = {"--fail": "qualty=2", "--duration": "qualty=3", "--output": "qualty.x=1"}[option]
    result = usched("simulate", file, option, value)
    assert result.exit_code == 2
    assert f"{option} qualty: 'load' has no job 'qualty' (did you mean 'quality'?)." in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        *(("--fail", f"a={code}") for code in ("0", "256", "nan", "1.5", "-1", "9" * 5000)),
        *(("--duration", f"a={seconds}") for seconds in ("inf", "nan", "-1", "soon", "")),
    ],
    ids=lambda words: " ".join(words)[:20],
)
def test_values_of_options_that_cannot_be_are_refused(tmp_path: Path, words: tuple[str, str]) -> None:
    result = usched("simulate", written(tmp_path / "s.yaml", row()), *words)
    assert result.exit_code == 2
    assert f"Error: {words[0]} {words[1]}: " in result.stderr


def test_options_go_to_the_schedule_of_a_file_that_has_the_job(tmp_path: Path) -> None:
    file = written(tmp_path / "s.yaml", row("s", jobList=[job("x")]), row("t", jobList=[job("y")]))
    runs = told("simulate", file, "--fail", "x=4", "--duration", "y=5")["runs"]
    assert [run["status"] for run in runs] == ["FAILED", "SUCCEEDED"]
    assert runs[0]["jobs"][0]["exitCode"] == 4


# Cycles of schedules


def after(schedule_id: str, *upstream: str) -> dict[str, Any]:
    return row(schedule_id, trigger={"after": list(upstream)} if upstream else {"manual": True})


def test_a_cycle_says_who_starts_whom() -> None:
    store = MemoryStore()
    for each in (after("b", "a"), after("c", "x", "b"), after("x")):
        store.put_schedule(each)
    [error] = find_cycle(store, after("a", "x", "c"))
    assert error.path == "$.trigger.after[1]"
    assert error.found == "a cycle: a → b → c → a"
    assert "would start each other for ever" in error.problem


def test_every_name_that_leads_back_is_told() -> None:
    store = MemoryStore()
    for each in (after("b", "a"), after("c", "a"), after("d")):
        store.put_schedule(each)
    assert [error.path for error in find_cycle(store, after("a", "b", "d", "c"))] == [
        "$.trigger.after[0]",
        "$.trigger.after[2]",
    ]


@pytest.mark.parametrize("upstream", [after("b", "b2"), row("b"), row("b", trigger="odd"), after("b", "b")])
def test_other_cycles_and_wrong_rows_do_not_matter(upstream: dict[str, Any]) -> None:
    store = MemoryStore()
    for each in (upstream, after("b2", "b"), after("c", "a") | {"scheduleErrors": [{"path": "$"}]}):
        store.put_schedule(each)
    assert find_cycle(store, after("a", "b", "c", "gone")) == []


def test_a_long_cycle_is_told_shortly_and_a_longer_one_is_not_looked_for() -> None:
    store = MemoryStore()
    for number in range(1, 1500):
        store.put_schedule(after(f"s{number}", f"s{number - 1}"))
    [error] = find_cycle(store, after("s0", "s900"))
    assert error.found == "a cycle: s0 → s1 → s2 → s3 → s4 → s5 → s6 → s7 → s8 → 892 more → s0"
    assert find_cycle(store, after("s0", "s1400")) == []


def test_apply_refuses_every_schedule_of_a_cycle_in_its_files(stage: Stage, tmp_path: Path) -> None:
    one = written(tmp_path / "one.yaml", after("a", "b"), row("c"))
    two = written(tmp_path / "two.yaml", after("b", "a"))
    answer = told("apply", one, two)
    assert [(error["document"], error["path"]) for error in answer["errors"]] == [
        ("a", "$.trigger.after[0]"),
        ("b", "$.trigger.after[0]"),
    ]
    assert not stage.store.schedules


def test_apply_may_turn_an_order_round(stage: Stage, tmp_path: Path) -> None:
    for each in (after("b", "a"), row("a")):
        stage.store.put_schedule(each)
    file = written(tmp_path / "s.yaml", after("a", "b"), row("b"), row("new"))
    answer = told("apply", file)
    assert answer["errors"] == []
    assert [entry["scheduleId"] for entry in answer["stored"]] == ["b", "a", "new"]


# Times that are over


def test_a_trigger_whose_time_is_over_is_told() -> None:
    triggers: list[dict[str, Any]] = [
        {"at": "at(2026-12-24T18:00:00)", "timezone": "Asia/Tokyo"},
        {"at": "at(2026-12-24T18:00:00)"},
        {"after": "x"},
        {"cron": "cron(0 6 ? * MON 2025)"},
        {"rate": "rate(5 minutes)"},
        {"rate": "rate(5 minutes)", "endDate": "2026-12-23"},
        {"cron": "0 6 * * *", "calendar": {"holidays": "US"}},
    ]
    now = datetime(2026, 12, 24, 12, tzinfo=UTC)
    over = check_over(row(trigger=triggers), lambda _: {}, now)
    assert [warning.path for warning in over] == ["$.trigger[0]", "$.trigger[3]", "$.trigger[5]"]
    assert "which is over: it starts nothing" in over[0].found
    assert check_over(row(trigger={"cron": "0 6 * * *", "calendar": "new"}), lambda _: {}, now) == []
    assert check_over(row(), lambda _: {}, now) == []


def test_apply_stores_a_schedule_whose_time_is_over(stage: Stage, tmp_path: Path) -> None:
    file = written(tmp_path / "s.yaml", row("s", trigger={"at": "at(2020-12-24T18:00:00)"}))
    answer = told("apply", file)
    assert [warning["path"] for warning in answer["warnings"]] == ["$.trigger"]
    assert set(stage.store.schedules) == {"s"}
